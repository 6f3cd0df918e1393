"""Operators' edits of sensors, cursors and owners; each edit is recorded, and no tick in flight overwrites it."""

from treadle.definitions.contexts import check_cursor_size
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.model.sensors import KEPT_EDITS, Edit, RecordedEdit, SensorState
from treadle.ports.event_sources import EventSources
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock


class SensorOperations:
    """Edits sensors.

    Args:
        sensors: their state.
        clock: the clock.
        sources: what invokes the sensors that consume queues or streams; None if there are none.
    """

    def __init__(self, sensors: SensorStore, clock: Clock, sources: EventSources | None = None) -> None:
        self._sensors = sensors
        self._clock = clock
        self._sources = sources

    def _switch(self, sensor: str, *, is_on: bool) -> None:
        """Switch what invokes the sensor, also if its status is already right: an earlier attempt may have failed."""
        if self._sources is not None:
            self._sources.switch(sensor, is_on=is_on)

    def start(self, sensor: str, default: DefaultSensorStatus, by: str) -> SensorState:
        """Start a sensor; its cursor stays. Does nothing if it is running already.

        Args:
            sensor: the sensor's name.
            default: its status if no operator has set one.
            by: the operator.

        Raises:
            StoreError: if the store did not respond.
            DeploymentError: if the status was set, and the delivery from a queue or stream was not switched.
        """
        state = self._sensors.get(sensor)
        if not state.is_running(default):
            state = self._sensors.edit(sensor, Edit(self._clock.now(), by, status=InstigatorStatus.RUNNING))
        self._switch(sensor, is_on=True)
        return state

    def stop(self, sensor: str, by: str) -> SensorState:
        """Stop a sensor; its cursor stays, and a leased tick in flight commits nothing.

        An event's tick has no condition on the sensor: one whose commit is in progress, or that read the
        status within the last second, may still be committed.

        Args:
            sensor: the sensor's name.
            by: the operator.

        Raises:
            StoreError: if the store did not respond.
            DeploymentError: if the status was set, and the delivery from a queue or stream was not switched.
        """
        state = self._sensors.get(sensor)
        if state.status is not InstigatorStatus.STOPPED:
            state = self._sensors.edit(sensor, Edit(self._clock.now(), by, status=InstigatorStatus.STOPPED))
        self._switch(sensor, is_on=False)
        return state

    def reset(
        self, sensor: str, by: str, default: DefaultSensorStatus = DefaultSensorStatus.STOPPED
    ) -> SensorState:
        """Return a sensor to the status that the code and the deployment declare; its cursor stays.

        Args:
            sensor: the sensor's name.
            by: the operator.
            default: the declared status, by which a queue or stream delivers to the sensor or not.

        Raises:
            StoreError: if the store did not respond.
            DeploymentError: if the status was set, and the delivery from a queue or stream was not switched.
        """
        state = self._sensors.get(sensor)
        if state.status is not InstigatorStatus.DECLARED_IN_CODE:
            edit = Edit(self._clock.now(), by, status=InstigatorStatus.DECLARED_IN_CODE)
            state = self._sensors.edit(sensor, edit)
        self._switch(sensor, is_on=default is DefaultSensorStatus.RUNNING)
        return state

    def set_cursor(
        self, sensor: str, cursor: str | None, by: str, *, if_epoch: int | None = None
    ) -> SensorState:
        """Replace or clear a sensor's cursor; its status stays.

        Args:
            sensor: the sensor's name.
            cursor: the new cursor; None clears it.
            by: the operator.
            if_epoch: the epoch that the operator saw; None to set the cursor unconditionally.

        Raises:
            DagsterInvariantViolationError: if the cursor is too large.
            LeaseLostError: if the epoch has changed.
            StoreError: if the store did not respond.
        """
        check_cursor_size(sensor, cursor)
        edit = Edit(self._clock.now(), by, sets_cursor=True, cursor=cursor, if_epoch=if_epoch)
        return self._sensors.edit(sensor, edit)

    def adopt(self, sensor: str, project: str, by: str, *, fresh: bool = False) -> SensorState:
        """Make the sensor's state a project's, so that its ticks evaluate on it; run keys stay taken.

        Nothing changes if it is the project's already, unless it is to start over.

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
        """Return the operators' edits of a sensor, newest first.

        Args:
            sensor: the sensor's name.
            limit: the maximum number of edits.

        Raises:
            StoreError: if the store did not respond.
        """
        return self._sensors.edits(sensor)[:limit]
