"""Accepts items of batches, and makes sure that somebody closes these."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from treadle.definitions.bounds import unicode_text
from treadle.definitions.item_batches import Batch, ItemFacts
from treadle.engine.tick.batch_content import packed
from treadle.model.batches import BatchItem, LedgerEntry, by_key, waiting_since
from treadle.ports.batches import BatchStore
from treadle.ports.system import Clock

LOOKS = 4
"""How often one looks whether a batch is full, while it becomes full."""

AT_ONCE = 100
"""How many items are accepted by one call of the store."""


@dataclass(slots=True)
class BatchAcceptor:
    """Accepts the items of a sensor.

    An item is accepted for good once `settle` has returned, which must be before its event is acknowledged. A batch that
    may be full is in `full` then.

    Attributes:
        sensor: the sensor's name.
        batch: when its batches are closed.
        batches: stores them.
        clock: the clock.
        full: the keys of the batches that may be full.
    """

    sensor: str
    batch: Batch
    batches: BatchStore
    clock: Clock
    full: set[str] = field(default_factory=set)
    _opened: dict[str, bool] = field(default_factory=dict)
    _latest: int = 0

    def accept(self, found: Sequence[ItemFacts]) -> list[str | Exception]:
        """Accept items; return for each why it was accepted before, "" if it was not, or the error if it cannot be stored.

        Raises:
            StoreError: if a store did not answer; some may have been accepted.
        """
        reasons: list[str | Exception] = []
        for first in range(0, len(found), AT_ONCE):
            some = self._items(found[first : first + AT_ONCE])
            for item, before in zip(some, self.batches.accept(self.sensor, some), strict=True):
                if isinstance(before, Exception):
                    reasons.append(before)
                    continue
                reasons.append("" if before is None else _known(before))
                # It may have been accepted by a process that died before it could open the batch.
                if before is None or before.tick_id is None:
                    by = item.by if before is None else before.by
                    self._opened[by] = self._opened.get(by, False) or self._is_sampled(item)
        return reasons

    def settle(self, *, closes: bool = True) -> None:
        """Open the batches of the items that were accepted.

        Args:
            closes: True if the caller closes those of `take_full`; otherwise RECONCILE is to look at them in its next pass.

        Raises:
            StoreError: if a store did not answer; the items' events must then not be acknowledged.
        """
        for by, may_be_full in list(self._opened.items()):
            now, batch = self.clock.now(), self.batch
            at_once = may_be_full and not closes
            self.batches.open(self.sensor, by, now, batch.within_ms, batch.quiet_ms, at_once=at_once)
            del self._opened[by]
            if may_be_full and closes:
                self.full.add(by_key(by))

    def take_full(self) -> list[str]:
        """Return the keys of the batches that may be full, once."""
        full = sorted(self.full)
        self.full.clear()
        return full

    def _items(self, found: Sequence[ItemFacts]) -> list[BatchItem]:
        """Return items of now, a millisecond apart: a batch has its items in the order of their times."""
        now, items = self.clock.now(), []
        for place, each in enumerate(found):
            # Later than the one before, as far as that is not in the future, from where batches would be closed late.
            self._latest = max(now - (len(found) - 1 - place), min(self._latest + 1, now))
            identity, by = unicode_text(each.identity), unicode_text(each.by)
            items.append(BatchItem(identity, by, self._latest, each.size, packed(each.value)))
        return items

    def _is_sampled(self, item: BatchItem) -> bool:
        """Return whether one looks after this item; a sample, so that nothing counts the items."""
        step = self.batch.size // LOOKS
        if self.batch.bytes is not None:
            step = min(step, self.batch.bytes // (LOOKS * max(1, item.size)))
        return step <= 1 or int(item.key[:8], 16) % step == 0


def _known(entry: LedgerEntry) -> str:
    since = waiting_since(entry)
    if entry.tick_id is None:
        return f"It was accepted before, at {since}."
    end = "was set aside by" if entry.set_aside else "is in the batch of"
    return f"It was accepted before, at {since}, and {end} tick {entry.tick_id}."
