"""Lists the open batches of a sensor: what waits for them, when they are closed, and why one is not."""

from dataclasses import dataclass

from treadle.model.batches import BatchState, by_key
from treadle.ports.batches import BatchStore
from treadle.ports.system import Clock

SHOWN = 10
"""Of how many batches the items are counted; each takes sixteen requests."""


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch for which items wait.

    Attributes:
        by: the value of `Batch.by`; "" without it.
        items: how many items wait; with `is_more`, at least so many.
        bytes: their size, as `Batch.bytes` limits it.
        is_more: True if more items wait than were counted.
        oldest_at: when the oldest of them was accepted.
        closes_at: when somebody looks whether the batch is to be closed, unless it is full before; None while it is being
            closed.
        failures: how often the function has failed for it in a row.
        reason: why it failed last; "" if it has not.
    """

    by: str
    items: int
    bytes: int
    is_more: bool
    oldest_at: int
    closes_at: int | None
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class BatchList:
    """The open batches of a sensor.

    Attributes:
        batches: the first of them: those at which the function fails, then by their oldest item.
        omitted: how many more there are.
    """

    batches: tuple[OpenBatch, ...]
    omitted: int


class OpenBatches:
    """Lists open batches.

    Args:
        batches: stores them.
        clock: the clock.
    """

    def __init__(self, batches: BatchStore, clock: Clock) -> None:
        self._batches = batches
        self._clock = clock

    def of(self, sensor: str) -> BatchList:
        """Return the open batches of a sensor.

        Raises:
            StoreError: if the store did not respond.
        """
        states = sorted(
            self._batches.states(sensor), key=lambda each: (not each.failures.count, each.first_at)
        )
        shown = tuple(self._counted(state) for state in states[:SHOWN])
        return BatchList(shown, len(states) - len(shown))

    def _counted(self, state: BatchState) -> OpenBatch:
        found = self._batches.count(state.sensor, by_key(state.by))
        return OpenBatch(
            state.by,
            found.items,
            found.bytes,
            found.is_more,
            found.oldest_at or state.first_at,
            None if state.is_held(self._clock.now()) else state.closes_at,
            state.failures.count,
            state.failures.reason,
        )
