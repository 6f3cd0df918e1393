"""An operator's release of a sensor that is held because it looks like a loop."""

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.identity import timestamp
from treadle.engine.reconcile.held_ticks import FAR
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS
from treadle.model.sensors import Edit
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

MOST_WOKEN = 1_000
"""How many pending ticks are looked at for those to dispatch at once; the others are due within ten minutes."""


class LoopReleases:
    """Releases sensors that are held as a loop."""

    def __init__(self, ticks: TickStore, sensors: SensorStore, clock: Clock) -> None:
        self._ticks = ticks
        self._sensors = sensors
        self._clock = clock

    def release(self, sensor: str, by: str) -> int:
        """Let a sensor's held requests start, and take no evidence of a loop from before.

        RECONCILE dispatches the held ticks at its next pass, within about a minute.

        Args:
            sensor: the sensor's name.
            by: the operator.

        Returns:
            How many held ticks it dispatches then.

        Raises:
            CommandRefusedError: if the sensor is not held as a loop.
            StoreError: if a store did not respond.
        """
        now = self._clock.now()
        if not self._ticks.release_loop(sensor, now, by):
            msg = f"Sensor {sensor} is not held as a loop. What else holds its requests: treadle tick list {sensor} --status HELD"
            raise CommandRefusedError(msg)
        reason = f"Released by {by} at {timestamp(now)}. RECONCILE dispatches it within about a minute."
        held = [tick_id for of, tick_id in self._ticks.pending(FAR, MOST_WOKEN) if of == sensor]
        # Due at RECONCILE's next pass.
        due = now - DISPATCH_LATE_MS - 1
        woken = sum(self._ticks.postpone(sensor, tick_id, due, reason) for tick_id in held)
        self._sensors.edit(sensor, Edit(now, by, releases_loop=True))
        return woken
