"""The log of one tick: each line has sensor and tick, and the lines are stored in the tick's record."""

import json
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from treadle.definitions.bounds import MAX_LOG, unicode_text

MAX_LINES = 200
MAX_CHARACTERS = 16_000
"""The total; fewer if the lines exceed `MAX_LOG` bytes as JSON in ASCII, which is how they are stored."""


_STORED_CHARACTER = 12
"""The maximum number of bytes of a character as JSON in ASCII: an escaped surrogate pair."""


class TickLog(logging.LoggerAdapter[logging.Logger]):
    """The sensor's logger."""

    def __init__(self, sensor: str, tick_id: str) -> None:
        logger = logging.getLogger(f"treadle.sensor.{sensor}")
        super().__init__(logger, {"sensor": sensor, "tick_id": tick_id})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add sensor and tick to the author's extra fields."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


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


@contextmanager
def capture(logger_name: str) -> Iterator[list[str]]:
    """Capture the lines logged in the block: the first 200, and at most 16,000 characters.

    Args:
        logger_name: the logger; captured from INFO on, unless its level is set.
    """
    logger = logging.getLogger(logger_name)
    handler = _Lines()
    level = logger.level
    if logger.getEffectiveLevel() > logging.INFO and level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
