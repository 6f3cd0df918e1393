"""The log of one tick: each line has sensor and tick, and the lines are stored in the tick's record."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from treadle.definitions.bounds import MAX_LOG, unicode_text
from treadle.definitions.logs import LOGGER, SensorLogger

MAX_LINES = 200
MAX_CHARACTERS = 16_000
"""The total; fewer if the lines exceed `MAX_LOG` bytes as JSON in ASCII, which is how they are stored."""


_STORED_CHARACTER = 12
"""The maximum number of bytes of a character as JSON in ASCII: an escaped surrogate pair."""


def tick_log(sensor: str, tick_id: str) -> SensorLogger:
    """Return the logger of one tick, whose records have sensor and tick as fields."""
    return SensorLogger(f"{LOGGER}.{sensor}", {"sensor": sensor, "tick_id": tick_id})


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.lines: list[str] = []
        self._left = MAX_CHARACTERS
        self._room = MAX_LOG

    def emit(self, record: logging.LogRecord) -> None:
        if self._left <= 0 or len(self.lines) >= MAX_LINES:
            return
        try:
            line = unicode_text(str(self.format(record))[: self._left])
        except Exception:  # noqa: BLE001 - as in any handler, a line that cannot be formatted fails nothing
            self.handleError(record)
            return
        stored = len(json.dumps(line))
        if stored > self._room:
            line = line[: self._room // _STORED_CHARACTER]
            self._left = len(line)
        self._room -= stored
        self._left -= len(line)
        self.lines.append(line)


_levels: dict[str, tuple[int, int]] = {}
"""Of each captured logger, the number of its captures and the level that it had before the first of them."""

_changes = threading.Lock()


@contextmanager
def capture(logger_name: str) -> Iterator[list[str]]:
    """Capture the lines logged in the block: the first 200, and at most 16,000 characters.

    Captures of one logger may overlap, as when threads of a test evaluate a sensor; the last one restores its level.

    Args:
        logger_name: the logger; captured from INFO on, unless its level is set.
    """
    logger = logging.getLogger(logger_name)
    handler = _Lines()
    with _changes:
        captures, level = _levels.get(logger_name, (0, logger.level))
        _levels[logger_name] = captures + 1, level
        if logger.getEffectiveLevel() > logging.INFO and logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        with _changes:
            logger.removeHandler(handler)
            captures, level = _levels.pop(logger_name)
            if captures > 1:
                _levels[logger_name] = captures - 1, level
            elif logger.level != level:  # Each change of a level empties the caches of all loggers.
                logger.setLevel(level)
