"""The hourly rate limit: how many runs one sensor may start per clock hour."""

import logging
import threading
from collections.abc import Callable

from treadle.definitions.errors import StoreRejectedError, UnreadableRecordError
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

HOUR_MS = 3_600_000

SHARE = 100
"""A process reserves one part in this many of the hourly limit; unused reservations are lost to the hour."""


class RunRateLimiter:
    """Reserves runs from each sensor's hourly limit in small batches, and counts them in this process.

    Args:
        ticks: stores the count that all processes share.
        clock: the clock.
        limit: returns a sensor's runs per hour; 0 for no limit.
    """

    def __init__(self, ticks: TickStore, clock: Clock, limit: Callable[[str], int]) -> None:
        self._ticks = ticks
        self._clock = clock
        self.limit = limit
        self._left: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def take(self, sensor: str) -> int | None:
        """Reserve one run of a sensor; return the hour that it counts in, or None if it may not start.

        Raises:
            StoreError: if the store did not answer.
        """
        hour, limit = self._hour(), self.limit(sensor)
        if not limit:
            return hour
        with self._lock:
            left = self._left.get((sensor, hour))
            if not left:
                if left is None:
                    # Earlier hours are not needed any more.
                    self._left = {key: rest for key, rest in self._left.items() if key[1] == hour}
                left = self._admitted(sensor, hour, max(1, limit // SHARE), limit)
            self._left[sensor, hour] = max(0, left - 1)
            return hour if left > 0 else None

    def _admitted(self, sensor: str, hour: int, share: int, limit: int) -> int:
        """Return how many more runs may start; 0 if the count is unreadable, until the next hour's count."""
        try:
            return self._ticks.admit(sensor, hour, share, limit)
        except (UnreadableRecordError, StoreRejectedError):
            logger.exception(
                "The runs of sensor %s in this hour cannot be counted: its requests wait", sensor
            )
            return 0

    def give_back(self, sensor: str, hour: int) -> None:
        """Release a reservation, because no run was started.

        Args:
            sensor: the sensor's name.
            hour: which `take` returned; in another hour, the reservation admits nothing.
        """
        with self._lock:
            if (sensor, hour) in self._left:
                self._left[sensor, hour] += 1

    def window_end(self) -> int:
        """Return when the next hour begins, in milliseconds."""
        return self._hour() + HOUR_MS

    def _hour(self) -> int:
        now = self._clock.now()
        return now - now % HOUR_MS
