"""The logger of an evaluation: the same type at a tick and in a test."""

import logging
from collections.abc import Mapping
from typing import Any

LOGGER = "treadle.sensor"
"""The parent of all sensors' loggers."""


class SensorLogger(logging.Logger):
    """A standard logger of one evaluation; its handlers, filters and level end with the evaluation.

    It is not registered with `logging`, so a warm function keeps no logger and no handler of earlier ticks. Its
    records go on to the handlers of the registered logger of the same name.

    Args:
        name: the name of that logger.
        extra: fields of each record.
    """

    def __init__(self, name: str = LOGGER, extra: Mapping[str, object] | None = None) -> None:
        super().__init__(name)
        self.parent = logging.getLogger(name)
        self._extra = dict(extra or {})

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        """Return whether a record of this level is logged; not cached, as `logging` clears only its loggers' caches."""
        return not self.disabled and level > self.manager.disable and level >= self.getEffectiveLevel()

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802 - logging's own name
        """Make a record, and add the evaluation's fields to the author's extra fields."""
        record = super().makeRecord(*args, **kwargs)
        for name, value in self._extra.items():
            record.__dict__.setdefault(name, value)
        return record
