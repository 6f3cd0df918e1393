"""Grants slots of concurrency pools to the runs that wait for them, in their order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from treadle.engine.messages import LaunchRequest
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import MESSAGE_LOST_MS
from treadle.model.pools import PoolState, Slot, Waiter, pool_name
from treadle.model.runs import Run
from treadle.ports.pools import PoolStore, SlotTakenError
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue

BATCH = 100
"""How many runs of a pool that is not declared any more start at once."""

SLICE = 25
"""How many waiting runs are read at once."""

LOOK_MS = 5_000
"""The free slots are read again after this time, as a limit may have been lowered."""

_TRIES = 5
"""How often the free slots are read again because another process took one of them."""


class Granter:
    """Starts waiting runs as far as their pools have free slots.

    A run gets slots of all its pools in one transaction with its own record, or none. Any number of processes may
    grant at a time: each slot is an item that one of them takes.

    Args:
        pools: the pools.
        runs: stores run records.
        launches: LAUNCH's queue.
        clock: the clock.
    """

    def __init__(self, pools: PoolStore, runs: RunStore, launches: Queue, clock: Clock) -> None:
        self._pools = pools
        self._runs = runs
        self._launches = launches
        self._clock = clock

    def grant(self, key: str, ends_at: int) -> int:
        """Grant the free slots of a pool whose slots or queue have changed; return how many runs start.

        Args:
            key: the pool's key.
            ends_at: when to stop, in milliseconds.

        Raises:
            StoreError: if a store or the queue did not answer; it is safe to retry.
        """
        return self._grant(key, ends_at) if self._pools.waiters(key, 1) else 0

    def check_queue(self, key: str, token: str, ends_at: int) -> int:
        """Grant a noted queue's free slots, and remove the note of an empty one; return how many runs start.

        Args:
            key: the pool.
            token: of the note, as it was read.
            ends_at: when to stop.
        """
        if not self._pools.waiters(key, 1):
            self._pools.forget_queue(key, token)
            return 0
        return self._grant(key, ends_at)

    def _grant(self, key: str, ends_at: int) -> int:
        free: dict[str, list[int]] = {}
        granted: list[Run] = []
        skipped: set[str] = set()
        try:
            looked_at = self._clock.now()
            while room := len(self._free(free, key)):
                if self._clock.now() - looked_at > LOOK_MS:
                    free.clear()
                    looked_at = self._clock.now()
                    continue
                found = self._pools.waiters(key, min(SLICE, room) + len(skipped))
                waiters = [each for each in found if each.run_id not in skipped]
                if not waiters or self._clock.now() >= ends_at:
                    break
                skipped |= self._grant_each(free, key, waiters, granted)
        finally:
            # Also those before an error; what a lost message leaves behind is launched by RECONCILE.
            self._launches.send([LaunchRequest.of(run).to_json() for run in granted])
        return len(granted)

    def _grant_each(
        self, free: dict[str, list[int]], key: str, waiters: Sequence[Waiter], granted: list[Run]
    ) -> set[str]:
        """Grant slots to these runs in order; return those that are to be passed over."""
        runs = self._runs.get_many([each.run_id for each in waiters])
        skipped: set[str] = set()
        for waiter in waiters:
            if not self._free(free, key):
                break
            run = runs.get(waiter.run_id)
            # Both change in one transaction: it has left since the queue was read, or one of them was changed by hand.
            is_there = run is not None and _waits_at(run, key, waiter)
            changed = self._started_or_moved(free, run) if run is not None and is_there else None
            if changed is None:
                skipped.add(waiter.run_id)
            elif changed.waiting is None:
                granted.append(changed)
        return skipped

    def _started_or_moved(self, free: dict[str, list[int]], run: Run) -> Run | None:
        """Give a run slots of all its pools, or move it to the queue of one that is full; None if neither is possible."""
        for _ in range(_TRIES):
            full = next((pool for pool in run.pools if not self._has_room(free, pool, run)), None)
            if full is None:
                changed = _with_slots_of(
                    run, {pool: self._free(free, pool)[0] for pool in run.pools}, self._clock.now()
                )
            elif run.waiting is not None and full != run.waiting.pool:
                changed = with_wait(run, full)
            else:
                return None
            try:
                current = self._runs.replace(changed, run)
            except SlotTakenError:
                free.clear()
                continue
            if current is None:
                for pool in run.pools if full is None else ():
                    self._free(free, pool).pop(0)
                return replace(changed, revision=changed.revision + 1)
            if current.waiting != run.waiting:
                return None
            run = current
        return None

    def _has_room(self, free: dict[str, list[int]], pool: str, run: Run) -> bool:
        """Return whether a pool has a free slot for a run: one that no run before it in the pool's own queue needs."""
        room = len(self._free(free, pool))
        wait = run.waiting
        if not room or wait is None or pool == wait.pool:
            return bool(room)
        return sum(each.order < wait.order for each in self._pools.waiters(pool, room)) < room

    def _free(self, free: dict[str, list[int]], key: str) -> list[int]:
        """Return the free slots of a pool, read once."""
        if key not in free:
            free[key] = self._read(key)
        return free[key]

    def _read(self, key: str) -> list[int]:
        state = self._pools.state(pool_name(key))
        if state is not None and state.closed_until is not None:
            return []
        holders = self._pools.holders(key)
        return free_slots(state, key, [each.number for each in holders])


def _waits_at(run: Run, key: str, waiter: Waiter) -> bool:
    return run.waiting is not None and (run.waiting.pool, run.waiting.order) == (key, waiter.order)


def _with_slots_of(run: Run, numbers: Mapping[str, int], now: int) -> Run:
    """Return a waiting run that is to be launched, with a slot of each of its pools.

    If this process dies before it sends the launch message, RECONCILE does.
    """
    slots = tuple(Slot(pool, number, run.attempt, now) for pool, number in numbers.items())
    return replace(run, waiting=None, slots=(*run.slots, *slots), next_at=now + MESSAGE_LOST_MS)


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
