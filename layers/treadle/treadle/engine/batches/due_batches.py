"""Finds the batches that are due, and invokes the functions of their sensors."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.definitions.errors import StoreError
from treadle.engine.registry.registry_cache import Grants
from treadle.model.registry import SensorEntry
from treadle.model.sensors import SensorState
from treadle.ports.batches import BatchStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock, Functions

if TYPE_CHECKING:
    from treadle.model.batches import DueBatch

logger = logging.getLogger(__name__)

MOST_READ = 10_000
"""The maximum number of due batches that are read for one pass; those of stopped sensors are among them."""

CLOSED_AT_ONCE = 20
"""How many batches one invocation closes at most."""

OVERDUE_MS = 600_000
"""A batch that has been due for longer is not closed, whatever its sensor's function is sent: a closer moves that time."""


@dataclass(frozen=True, slots=True)
class DueBatchesChecked:
    """The result of one pass.

    Attributes:
        closing: batches for which a function was invoked.
        overdue: batches that no function closes.
        failed: invocations that failed, and are repeated by the next pass.
    """

    closing: int = 0
    overdue: int = 0
    failed: int = 0


class DueBatches:
    """Checks the open batches of all sensors.

    Args:
        batches: stores batches.
        sensors: stores the sensors' states.
        registry: the registered sensors.
        functions: invokes functions.
        clock: the clock.
    """

    def __init__(
        self,
        batches: BatchStore,
        sensors: SensorStore,
        registry: Grants,
        functions: Functions,
        clock: Clock,
    ) -> None:
        self._batches = batches
        self._sensors = sensors
        self._registry = registry
        self._functions = functions
        self._clock = clock

    def check(self, ends_at: int) -> DueBatchesChecked:
        """Invoke the function of each running sensor with due batches.

        Args:
            ends_at: when to stop; the next pass continues.

        Raises:
            StoreError: if a store did not answer.
        """
        now = self._clock.now()
        due: dict[str, list[DueBatch]] = {}
        for each in self._batches.due(now, MOST_READ):
            due.setdefault(each.sensor, []).append(each)
        if not due:
            return DueBatchesChecked()
        entries, states = self._registry.sensors(), self._sensors.get_many(due)
        running = {name: found for name, found in due.items() if _is_running(entries.get(name), states[name])}
        overdue = sum(now - each.due > OVERDUE_MS for found in running.values() for each in found)
        closing = failed = 0
        for name, found in running.items():
            for first in range(0, len(found), CLOSED_AT_ONCE):
                if self._clock.now() >= ends_at:
                    return DueBatchesChecked(closing, overdue, failed)
                some = found[first : first + CLOSED_AT_ONCE]
                event = {"treadle": "close", "batches": [each.key for each in some]}
                if self._invoke(entries[name], event):
                    closing += len(some)
                else:
                    failed += 1
        return DueBatchesChecked(closing, overdue, failed)

    def _invoke(self, entry: SensorEntry, event: Mapping[str, object]) -> bool:
        try:
            self._functions.invoke(entry.function, event)
        except StoreError:
            logger.exception("The function of sensor %s could not be invoked to close batches", entry.name)
            return False
        return True


def _is_running(entry: SensorEntry | None, state: SensorState) -> bool:
    """Return whether a sensor is registered and running; the items of others wait."""
    return entry is not None and state.is_running(entry.default_status)
