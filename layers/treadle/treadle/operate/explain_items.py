"""Explains what became of an item: whether it waits, in which batch it is, or why it was set aside."""

from treadle.definitions.bounds import counted
from treadle.engine.identity import timestamp
from treadle.model.batches import BatchState, LedgerEntry, digest_of
from treadle.model.deployment import DeployedSensor
from treadle.operate.explanation import Explanation, ExplanationBuilder, add_tick, closed
from treadle.operate.request_trace import RequestTracer
from treadle.ports.batches import BatchStore
from treadle.ports.ticks import TickStore


def identities_of(sensor: DeployedSensor, subject: str) -> list[str]:
    """Return what may identify the item that an operator names: it, or the record or materialization with that id."""
    of = sensor.subscription.assets if sensor.subscription else ()
    return [subject, *(f"{each}/{subject}" for each in (*of, sensor.stream) if each)]


class ItemExplainer:
    """Explains the items of batches.

    Args:
        tracer: traces the requests of batches.
        ticks: tick records.
        batches: knows the items.
    """

    def __init__(self, tracer: RequestTracer, ticks: TickStore, batches: BatchStore) -> None:
        self._tracer = tracer
        self._ticks = ticks
        self._batches = batches

    def explain(self, explanation: ExplanationBuilder, sensor: str, *identities: str) -> Explanation | None:
        """Explain an item; return None if it was never accepted.

        Args:
            explanation: the steps so far.
            sensor: the sensor's name.
            identities: what may identify the item.

        Raises:
            StoreError: if a store did not respond.
        """
        known = self._batches.known(sensor, identities)
        identity = next((each for each in identities if each in known), None)
        if identity is None:
            return None
        entry = known[identity]
        of = f" of {entry.by!r}" if entry.by else ""
        explanation.add("item", entry.accepted_at, f"{identity} was accepted for a batch{of}")
        state = next((each for each in self._batches.states(sensor) if each.by == entry.by), None)
        tick_id = entry.tick_id or self._unmarked(sensor, identity, state)
        if tick_id is None:
            return self._waiting(explanation, entry, state)
        return self._in_batch(explanation, sensor, tick_id)

    def _unmarked(self, sensor: str, identity: str, state: BatchState | None) -> str | None:
        """Return the tick of a batch that is committed and not marked yet, if the item is in it."""
        manifest = self._batches.manifest(sensor, state.unmarked) if state and state.unmarked else None
        key = digest_of(identity)
        return manifest.tick_id if manifest and any(each.key == key for each in manifest.members) else None

    def _waiting(
        self, explanation: ExplanationBuilder, entry: LedgerEntry, state: BatchState | None
    ) -> Explanation:
        text = f"It has waited for a batch since {timestamp(entry.accepted_at)}"
        if state is None:
            return explanation.end(f"{text}.")
        failures, looked_at = state.failures, state.closes_at or explanation.now
        if failures.count:
            reason = f"the function failed {counted(failures.count, 'time')} in a row: {failures.reason}"
            explanation.add("tick", None, reason, ok=False)
            text = f"{text}; {closed(reason)} It is evaluated again"
            return explanation.end(f"{text} at {timestamp(looked_at)}.")
        return explanation.end(
            f"{text}; somebody looks whether the batch is to be closed at {timestamp(looked_at)}, or "
            "earlier if it is full."
        )

    def _in_batch(self, explanation: ExplanationBuilder, sensor: str, tick_id: str) -> Explanation:
        tick = self._ticks.get(sensor, tick_id)
        if tick is None:
            return explanation.end(f"It is in the batch of tick {tick_id}; that record has expired.")
        if tick.requests:
            return self._tracer.of_request(explanation, tick, tick.requests[0])
        add_tick(explanation, tick)
        if tick.rejected:
            return explanation.end(closed(tick.reason or tick.rejected[0].reason))
        reason = closed(tick.reason or "no reason given")
        return explanation.end(f"It is in the batch of tick {tick_id}, which requested no run: {reason}")
