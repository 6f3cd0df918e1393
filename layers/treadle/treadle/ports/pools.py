"""The store of concurrency pools: their limits, the slots that are held, and the runs that wait.

Slots and queues change only with run records, in the same transactions (`RunStore.create` and `RunStore.replace`).
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from treadle.model.pools import Holder, PoolState, Waiter


class SlotTakenError(Exception):
    """Another run holds a slot that a write was to take; nothing was written."""


class PoolStore(Protocol):
    """Stores pools; all reads are strongly consistent."""

    def states(self) -> dict[str, PoolState]:
        """Return all declared pools, by name."""

    def state(self, name: str) -> PoolState | None:
        """Return a declared pool; None if there is none, and so no limit."""

    def declare(self, declared: Collection[PoolState], removed: Collection[str]) -> None:
        """Store the limits of declared pools, and remove others; an operator's limit is kept.

        Args:
            declared: the pools. One with a `closed_until` is closed until then; others stay as they are.
            removed: the names of pools that are no longer declared.
        """

    def set_override(self, name: str, limit: int | None, by: str, at: int) -> PoolState | None:
        """Set an operator's limit, or remove it; return the pool afterwards, None if it is not declared.

        Args:
            name: the pool's name.
            limit: the limit; None to remove it.
            by: the operator.
            at: the time.
        """

    def open(self, state: PoolState) -> bool:
        """Open a pool that is closed until exactly this state's time; return False if that has changed."""

    def holders(self, key: str) -> list[Holder]:
        """Return the slots that are held, those beyond the limit included."""

    def waiters(self, key: str, limit: int) -> list[Waiter]:
        """Return the first runs in the queue, in order."""

    def latest(self, key: str) -> str:
        """Return the age of the newest run of a pool that was kept in the queue or started; "" if there was none.

        Only where the pool's overlap keeps the latest run.
        """

    def set_latest(self, key: str, age: str, before: str) -> bool:
        """Store that age, if it is still `before`; return whether it was."""

    def note_queue(self, key: str, token: str) -> None:
        """Note that runs wait in a queue, so that RECONCILE looks at it.

        Args:
            key: the pool's key.
            token: a new one for each note: `forget_queue` has no effect if another note followed.
        """

    def queues(self) -> Mapping[str, str]:
        """Return the noted queues, by the pool's key, with the tokens of their notes."""

    def forget_queue(self, key: str, token: str) -> None:
        """Remove the note of a queue that was empty, unless it was noted again since."""
