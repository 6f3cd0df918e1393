"""Start, stop and reset a sensor, set its cursor, and give its state to a project.

Each edit is remembered, and no tick in flight overwrites it.
"""

from treadle.definitions.contexts import check_cursor_size
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.ports.sensors import KEPT_EDITS, Edit, RecordedEdit, SensorState, SensorStore
from treadle.ports.system import Clock


class SensorOperations:
    """Edits sensors.

    Args:
        sensors: keeps their state.
        clock: the time.
    """

    def __init__(self, sensors: SensorStore, clock: Clock) -> None:
        self._sensors = sensors
        self._clock = clock

    def start(self, sensor: str, default: DefaultSensorStatus, by: str) -> SensorState:
        """Let the sensor evaluate from now on; the cursor stays. Nothing changes if it does already.

        Args:
            sensor: its name.
            default: what holds where no operator has said anything.
            by: who asks.

        Raises:
            StoreError: if the store did not answer.
        """
        state = self._sensors.get(sensor)
        if state.is_running(default):
            return state
        return self._sensors.edit(sensor, Edit(self._clock.now(), by, status=InstigatorStatus.RUNNING))

    def stop(self, sensor: str, by: str) -> SensorState:
        """Let the sensor evaluate no more; the cursor stays, and a leased tick in flight commits nothing.

        The tick of an event has no condition on the sensor: one whose commit is under way, or that read the
        status within the last second, may still be committed.

        Args:
            sensor: its name.
            by: who asks.

        Raises:
            StoreError: if the store did not answer.
        """
        state = self._sensors.get(sensor)
        if state.status is InstigatorStatus.STOPPED:
            return state
        return self._sensors.edit(sensor, Edit(self._clock.now(), by, status=InstigatorStatus.STOPPED))

    def reset(self, sensor: str, by: str) -> SensorState:
        """Let the code and the deployment decide again whether the sensor evaluates; the cursor stays.

        Args:
            sensor: its name.
            by: who asks.

        Raises:
            StoreError: if the store did not answer.
        """
        if self._sensors.get(sensor).status is InstigatorStatus.DECLARED_IN_CODE:
            return self._sensors.get(sensor)
        return self._sensors.edit(
            sensor, Edit(self._clock.now(), by, status=InstigatorStatus.DECLARED_IN_CODE)
        )

    def set_cursor(
        self, sensor: str, cursor: str | None, by: str, *, if_epoch: int | None = None
    ) -> SensorState:
        """Give the sensor another bookmark, or none; its status stays.

        Args:
            sensor: its name.
            cursor: the bookmark; None clears it.
            by: who asks.
            if_epoch: the epoch that the operator saw; None to set it whatever came in between.

        Raises:
            DagsterInvariantViolationError: if it is too large to be kept.
            LeaseLostError: if the epoch has moved on.
            StoreError: if the store did not answer.
        """
        check_cursor_size(sensor, cursor)
        edit = Edit(self._clock.now(), by, sets_cursor=True, cursor=cursor, if_epoch=if_epoch)
        return self._sensors.edit(sensor, edit)

    def adopt(self, sensor: str, project: str, by: str, *, fresh: bool = False) -> SensorState:
        """Make the sensor's state a project's, so that its ticks evaluate on it; run keys stay taken.

        Nothing changes if it is the project's already, unless it is to begin anew.

        Args:
            sensor: its name.
            project: the project that has registered the sensor.
            by: who asks.
            fresh: True to clear the cursor, the last run key, a pause and what failures held up.

        Raises:
            StoreError: if the store did not answer.
        """
        state = self._sensors.get(sensor)
        if state.project == project and not fresh:
            return state
        return self._sensors.edit(sensor, Edit(self._clock.now(), by, sets_cursor=fresh, project=project))

    def edits(self, sensor: str, limit: int = KEPT_EDITS) -> list[RecordedEdit]:
        """What operators changed of the sensor, newest first.

        Args:
            sensor: its name.
            limit: how many at most.

        Raises:
            StoreError: if the store did not answer.
        """
        return self._sensors.edits(sensor)[:limit]
