"""What an evaluation sees and may change: its cursor, and what is known of the ticks before."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from treadle.definitions.errors import DagsterInvariantViolationError

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def _no_deadline() -> float:
    return float("inf")


def _nothing_claimed(_keys: Collection[str]) -> set[str]:
    return set()


@dataclass(slots=True)
class SensorEvaluationContext:
    """Given to a sensor's function.

    Attributes:
        sensor_name: the sensor's name.
        last_run_key: the last run key that a tick of this sensor asked for, kept as Dagster keeps it.
        last_tick_completion_time: seconds since the epoch at which the last tick ended (really its end:
            Dagster gives the start), or None.
        last_sensor_start_time: seconds since the epoch at which the sensor was last started, or None.
        log: a standard logger; its lines go to CloudWatch.
    """

    sensor_name: str
    _cursor: str | None = None
    last_run_key: str | None = None
    last_tick_completion_time: float | None = None
    last_sensor_start_time: float | None = None
    log: Log = field(default_factory=lambda: logging.getLogger("treadle.sensor"))
    _remaining_seconds: Callable[[], float] = _no_deadline
    _claimed_run_keys: Callable[[Collection[str]], set[str]] = _nothing_claimed
    _has_cursor: bool = True
    cursor_updated: bool = False

    @property
    def cursor(self) -> str | None:
        """The sensor's bookmark as the last committed tick left it, or as `update_cursor` set it."""
        return self._cursor

    def update_cursor(self, cursor: str | None) -> None:
        """Set the bookmark; it becomes durable together with this tick's requests, or not at all.

        Args:
            cursor: the new value; None clears it.

        Raises:
            DagsterInvariantViolationError: if the value is no string, or this evaluation has no cursor.
        """
        if not self._has_cursor:
            msg = (
                f"Sensor {self.sensor_name} evaluates one event and has no cursor then: "
                "any number of events are evaluated side by side. Remove update_cursor."
            )
            raise DagsterInvariantViolationError(msg)
        value: object = cursor
        if value is not None and not isinstance(value, str):
            msg = f"A cursor is a string or None, not {type(value).__name__}: wrap it in json.dumps(...)."
            raise DagsterInvariantViolationError(msg)
        self._cursor = cursor
        self.cursor_updated = True

    @property
    def is_first_tick_since_sensor_start(self) -> bool:
        """True if no tick has ended since the sensor was last started."""
        if self.last_tick_completion_time is None:
            return True
        started = self.last_sensor_start_time
        return started is not None and started > self.last_tick_completion_time

    @property
    def remaining_seconds(self) -> float:
        """Seconds until the evaluation is stopped; infinite in a test without a deadline."""
        return self._remaining_seconds()

    def claimed_run_keys(self, run_keys: Collection[str]) -> set[str]:
        """Those of the given run keys that can start no run any more, so that they need not be asked for.

        An economy for sensors that look at many known things again and again; leaving it out changes
        nothing but the cost.

        Args:
            run_keys: any number of run keys; a hundred cost one request.
        """
        return self._claimed_run_keys(run_keys)
