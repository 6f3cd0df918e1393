"""What an operator does with requests that wait for a grant, or for the next hour, and are not wanted any more."""

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.identity import timestamp
from treadle.engine.reconcile import DISPATCH_LATE_MS
from treadle.ports.system import Clock
from treadle.ports.ticks import Drop, Tick, TickStore

MAX_REASON = 500
"""Characters of what an operator may say."""

NO_REASON = "no reason given"


class TickDrops:
    """Drops what ticks wait for.

    Args:
        ticks: keeps tick records.
        clock: the time.
    """

    def __init__(self, ticks: TickStore, clock: Clock) -> None:
        self._ticks = ticks
        self._clock = clock

    def drop(self, sensor: str, tick_id: str, by: str, reason: str = "") -> Tick:
        """Let no more start of a tick that waits; what has been started of it stays so.

        The decision is kept on the tick's record. RECONCILE carries it out at its next pass, within about a
        minute: from then on, what was not started counts as refused, and the record may expire.

        Args:
            sensor: whose tick.
            tick_id: which.
            by: who asks.
            reason: why, in words.

        Returns:
            The tick as it stands.

        Raises:
            CommandRefusedError: if there is no such tick, or nothing of it waits.
            StoreError: if the store did not answer.
        """
        words = reason.strip().encode(errors="replace").decode()[:MAX_REASON]
        drop = Drop(self._clock.now(), by, words or NO_REASON)
        held = f"Dropped by {by} at {timestamp(drop.at)}: {drop.reason}. RECONCILE notes it within about a minute."
        # As late as RECONCILE's next pass takes.
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
        return f"{what} was dropped by {tick.dropped.by} at {timestamp(tick.dropped.at)} already."
    if not tick.is_to_be_dispatched:
        return f"{what} was dispatched, or has nothing to dispatch: nothing of it waits."
    return f"{what} is about to be dispatched: nothing of it is held."
