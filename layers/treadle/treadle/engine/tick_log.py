"""The log of one tick: each line bears sensor and tick, and the lines are kept with the tick's record."""

import json
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from treadle.definitions.bounds import MAX_LOG, unicode_text

MAX_LINES = 200
MAX_CHARACTERS = 16_000
"""In all; fewer where written as JSON in ASCII, as they are stored, they have more than `MAX_LOG` bytes."""


_STORED_CHARACTER = 12
"""As many bytes as JSON in ASCII has for a character at most: an escaped pair of surrogates."""


class TickLog(logging.LoggerAdapter[logging.Logger]):
    """The sensor's logger.

    Args:
        sensor: its name.
        tick_id: of the tick.
    """

    def __init__(self, sensor: str, tick_id: str) -> None:
        logger = logging.getLogger(f"treadle.sensor.{sensor}")
        super().__init__(logger, {"sensor": sensor, "tick_id": tick_id})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add sensor and tick to what the author adds."""
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
    """The lines logged in the block, the first 200 of them and no more than 16,000 characters.

    Args:
        logger_name: whose lines; from INFO on, if nobody has said otherwise.
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
