"""Pools as the granter reads them: their free slots, and the runs in their queues."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from treadle.model.pools import Holder, Overlap, PoolState, PoolWait, Waiter, pool_name
from treadle.model.runs import Run
from treadle.ports.pools import PoolStore
from treadle.ports.runs import RunStore

BATCH = 100
"""How many runs of a pool that is not declared any more start at once."""


@dataclass(slots=True)
class Pool:
    """A pool as it was read.

    Attributes:
        key: its key.
        state: its declaration; None if it is not declared.
        holders: the slots that are held.
        free: the numbers of the free slots, the lowest first.
        turn: the turn that was granted last, if it takes turns; None if that was not read.
    """

    key: str
    state: PoolState | None
    holders: list[Holder]
    free: list[int] = field(init=False)
    turn: str | None = None

    def __post_init__(self) -> None:
        is_closed = self.state is not None and self.state.closed_until is not None
        held = [each.number for each in self.holders]
        self.free = [] if is_closed else free_slots(self.state, self.key, held)

    @property
    def overlap(self) -> Overlap:
        """What becomes of a run for which no slot is free."""
        return Overlap.QUEUE if self.state is None else self.state.overlap

    @property
    def is_full(self) -> bool:
        """True if runs in progress hold all of its slots; a pool that is closed or paused is not full."""
        state = self.state
        if state is None or state.closed_until is not None or state.limit_of(self.key) == 0:
            return False
        return not self.free


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits, with its place in the queue."""

    run: Run
    wait: PoolWait

    @property
    def age(self) -> str:
        """When it was requested, as text that sorts from the oldest request to the newest."""
        return self.wait.age


def read_pool(pools: PoolStore, key: str, now: int) -> Pool:
    """Read a pool.

    Args:
        pools: the pools.
        key: the pool's key.
        now: the current time, by which slots of pools of starts per minute are free.
    """
    state = pools.state(pool_name(key))
    return Pool(key, state, [each for each in pools.holders(key) if each.is_held(now)])


def waiting_runs(runs: RunStore, key: str, waiters: Collection[Waiter]) -> Iterator[Waiting]:
    """Yield the runs of these entries of a queue, in their order, as far as they still wait there.

    A run and its entry change in one transaction: it has left since the queue was read, or one of them was changed by
    hand.

    Args:
        runs: stores run records.
        key: the pool's key.
        waiters: the entries.
    """
    found = runs.get_many([each.run_id for each in waiters])
    for waiter in waiters:
        run = found.get(waiter.run_id)
        place = None if run is None else run.place
        if run is not None and place is not None and (place.pool, place.order) == (key, waiter.order):
            yield Waiting(run, place)


def is_retry(run: Run) -> bool:
    """Return whether a run's retry policy has started its current attempt: it was in progress before those that wait."""
    return run.policy_retries > 0


def free_slots(state: PoolState | None, key: str, held: Collection[int]) -> list[int]:
    """Return the numbers of a pool's free slots, the lowest first.

    Runs beyond the limit count too, so that nothing starts before enough of them have ended. A pool that is no longer
    declared has no limit; its queue is emptied step by step.

    Args:
        state: the declared pool; None if it is not declared.
        key: the pool's key.
        held: the numbers of the slots that are held.
    """
    limit = BATCH + len(held) if state is None else state.limit_of(key)
    taken, room = set(held), max(0, limit - len(held))
    free: list[int] = []
    number = 1
    while len(free) < room:
        if number not in taken:
            free.append(number)
        number += 1
    return free
