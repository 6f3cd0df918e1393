"""An operator's drop of requests that wait for a grant or for the next hour and are no longer wanted."""

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.identity import timestamp
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS
from treadle.model.ticks import Drop, Tick
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

MAX_REASON = 500
"""Maximum number of characters of an operator's reason."""

NO_REASON = "no reason given"


class TickDrops:
    """Drops the waiting requests of held ticks."""

    def __init__(self, ticks: TickStore, clock: Clock) -> None:
        self._ticks = ticks
        self._clock = clock

    def drop(self, sensor: str, tick_id: str, by: str, reason: str = "") -> Tick:
        """Drop the requests of a tick that still wait; runs that were started continue.

        The decision is stored in the tick's record. RECONCILE applies it at its next pass, within about a
        minute: from then on, requests that were not started count as refused, and the record may expire.

        Args:
            sensor: the name of the tick's sensor.
            tick_id: the tick.
            by: the operator.
            reason: free text.

        Returns:
            The tick's current record.

        Raises:
            CommandRefusedError: if the tick does not exist, or none of its requests wait.
            StoreError: if the store did not respond.
        """
        text = reason.strip().encode(errors="replace").decode()[:MAX_REASON]
        drop = Drop(self._clock.now(), by, text or NO_REASON)
        held = f"Dropped by {by} at {timestamp(drop.at)}: {drop.reason}. RECONCILE applies it within about a minute."
        # Due at RECONCILE's next pass.
        due = drop.at - DISPATCH_LATE_MS - 1
        is_noted = self._ticks.drop(sensor, tick_id, drop, due, held)
        tick = self._ticks.get(sensor, tick_id)
        if tick is None or not is_noted:
            raise CommandRefusedError(_refusal(sensor, tick_id, tick))
        return tick


def _refusal(sensor: str, tick_id: str, tick: Tick | None) -> str:
    if tick is None:
        return f"Sensor {sensor} has no tick {tick_id}: see treadle tick list {sensor} --status HELD."
    what = f"Tick {tick_id} of sensor {sensor}"
    if tick.dropped is not None:
        return f"{what} was already dropped by {tick.dropped.by} at {timestamp(tick.dropped.at)}."
    if not tick.is_to_be_dispatched:
        return f"{what} has no held requests: it was dispatched, or requested nothing."
    return f"{what} has no held requests: it is about to be dispatched."
