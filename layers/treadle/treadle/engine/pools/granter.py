"""Grants slots of concurrency pools to the runs that wait for them, in their order."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from treadle.engine.messages import LaunchRequest
from treadle.engine.pools.overlap import Overlaps
from treadle.engine.pools.queues import Pool, Waiting, is_retry, read_pool, waiting_runs
from treadle.engine.record.pool_slots import pools_needed, with_wait
from treadle.engine.record.run_state import MESSAGE_LOST_MS
from treadle.model.pools import (
    MAX_COUNTED,
    Overlap,
    Slot,
    StartSlot,
    Waiter,
    is_of_starts,
    pool_of_job,
    run_of_age,
)
from treadle.model.runs import Run
from treadle.ports.pools import PoolStore, SlotTakenError
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue

SLICE = 25
"""How many waiting runs are read at once."""

LOOK_MS = 5_000
"""The free slots are read again after this time, as a limit may have been lowered."""

_TRIES = 5
"""How often the free slots are read again because another process took one of them."""


class Granter:
    """Starts waiting runs as far as their pools have free slots, and ends those that the overlap of their job ends.

    A run gets slots of all its pools in one transaction with its own record, or none. Any number of processes may
    grant at a time: each slot is an item that one of them takes. A slot of a pool of starts per minute is free again a
    minute after it was taken.

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
        self._overlaps = Overlaps(pools, runs, clock)

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
        granted: list[Run] = []
        pool = read_pool(self._pools, key, self._clock.now())
        try:
            if pool.overlap.keeps_latest:
                while not self._grant_latest(key, granted, ends_at) and self._clock.now() < ends_at:
                    pass
            else:
                self._grant_in_order(pool, granted, ends_at)
            if pool.overlap is Overlap.SKIP:
                self._overlaps.skip(key, ends_at)
        finally:
            # Also those before an error; what a lost message leaves behind is launched by RECONCILE.
            self._launches.send([LaunchRequest.of(run).to_json() for run in granted])
        return len(granted)

    def _grant_in_order(self, pool: Pool, granted: list[Run], ends_at: int) -> None:
        """Grant a pool's free slots to the first runs in its queue."""
        key, known = pool.key, {pool.key: pool}
        skipped: set[str] = set()
        looked_at = self._clock.now()
        while room := len(self._pool(known, key).free):
            if self._clock.now() - looked_at > LOOK_MS:
                known.clear()
                looked_at = self._clock.now()
                continue
            found = self._pools.waiters(key, min(SLICE, room) + len(skipped))
            waiters = [each for each in found if each.run_id not in skipped]
            if not waiters or self._clock.now() >= ends_at:
                break
            turn = None
            if waiters[0].has_turn:
                waiters = [self._next_in_turn(self._pool(known, key), waiters[0], skipped)]
                turn = waiters[0].turn
            gone: set[str] = set()
            for each in waiting_runs(self._runs, key, waiters):
                if not self._pool(known, key).free:
                    return
                if self._grant_to(known, each.run, granted, turn) is not None:
                    gone.add(each.run.run_id)
            skipped |= {each.run_id for each in waiters} - gone

    def _next_in_turn(self, pool: Pool, first: Waiter, skipped: Collection[str]) -> Waiter:
        """Return the first run of the next turn, among those of the highest priority."""
        if pool.turn is None:
            pool.turn = self._pools.last_turn(pool.key)
        if not pool.turn:
            return first
        found = self._pools.waiters(pool.key, 1 + len(skipped), first.after(pool.turn))
        later = next((each for each in found if each.run_id not in skipped), first)
        return later if later.has_priority_of(first) else first

    def _grant_latest(self, key: str, granted: list[Run], ends_at: int) -> bool:
        """Grant a pool's free slots to the newest runs in its queue, or let one wait, and end the others.

        Return False if there is more to do: not all of its runs were judged, or slots or the latest run have changed.
        """
        waiters = self._pools.waiters(key, MAX_COUNTED)
        pool, latest = read_pool(self._pools, key, self._clock.now()), self._pools.latest(key)
        found = sorted(waiting_runs(self._runs, key, waiters), key=lambda each: each.age)
        retries = [each for each in found if is_retry(each.run)]
        judged = [each for each in found if not is_retry(each.run)]
        is_whole = len(waiters) < MAX_COUNTED
        number = max(1, len(pool.free)) if is_whole else 1
        kept = [each for each in judged if each.age >= latest][-number:]
        if is_whole and not self._grant_kept(pool, latest, retries, kept, granted):
            return False
        newer = kept[-1].run.run_id if kept else run_of_age(latest)
        older = [each for each in judged if each not in kept]
        ended = self._overlaps.replace(older, newer, pool.overlap, ends_at)
        return is_whole or not ended

    def _grant_kept(
        self,
        pool: Pool,
        latest: str,
        retries: Collection[Waiting],
        kept: Collection[Waiting],
        granted: list[Run],
    ) -> bool:
        """Grant slots to these runs as far as possible; return False if this has to be tried again.

        Another process has named a newer run, or a run in progress was canceled at once.
        """
        known = {pool.key: pool}
        for each in retries:
            self._grant_to(known, each.run, granted)
        for each in kept:
            if not self._overlaps.name_latest(pool, each, latest):
                return False
            latest = each.age
            after = self._grant_to(known, each.run, granted)
            if after is None and self._overlaps.cancel_for(each.run, pool.key):
                return False
        return True

    def _grant_to(
        self, known: dict[str, Pool], run: Run, granted: list[Run], turn: str | None = None
    ) -> Run | None:
        changed = self._started_or_moved(known, run, turn)
        if changed is not None and changed.waiting is None:
            granted.append(changed)
            if turn is not None and run.waiting is not None:
                self._pool(known, run.waiting.pool).turn = turn
        return changed

    def _started_or_moved(self, known: dict[str, Pool], run: Run, turn: str | None) -> Run | None:
        """Give a run the slots that it needs, or move it to the queue of a full pool; None if neither is possible."""
        for _ in range(_TRIES):
            needed = pools_needed(run)
            full = self._full(known, needed, run)
            if full is None:
                numbers = {pool: self._pool(known, pool).free[0] for pool in needed}
                changed = self._with_slots_of(known, run, numbers, turn)
            elif run.waiting is not None and full != run.waiting.pool:
                changed = with_wait(run, full)
            else:
                return None
            try:
                current = self._runs.replace(changed, run)
            except SlotTakenError:
                known.clear()
                continue
            if current is None:
                for pool in needed if full is None else ():
                    self._pool(known, pool).free.pop(0)
                return replace(changed, revision=changed.revision + 1)
            if current.waiting != run.waiting:
                return None
            run = current
        return None

    def _full(self, known: dict[str, Pool], needed: Collection[str], run: Run) -> str | None:
        """Return a pool that has no free slot for a run, or whose queue has to decide about it; None if all have one.

        That of its job comes first: a run that waits elsewhere would not be compared with others of its job.
        """
        own = pool_of_job(run.job)
        if own in needed and run.waiting is not None and run.waiting.pool != own:
            pool = self._pool(known, own)
            if not self._overlaps.is_latest(pool, run):
                return own
        first = sorted(needed, key=lambda pool: pool != own)
        return next((pool for pool in first if not self._has_room(known, pool, run)), None)

    def _has_room(self, known: dict[str, Pool], pool: str, run: Run) -> bool:
        """Return whether a pool has a free slot for a run: one that no run before it in the pool's own queue needs."""
        room = len(self._pool(known, pool).free)
        wait = run.waiting
        if not room or wait is None or pool == wait.pool:
            return bool(room)
        waiters = self._pools.waiters(pool, room)
        # Where runs take turns, those in the queue come first: the run joins it, and gets a turn there.
        return sum(each.has_turn or each.order < wait.order for each in waiters) < room

    def _pool(self, known: dict[str, Pool], key: str) -> Pool:
        """Return a pool, read once."""
        if key not in known:
            known[key] = read_pool(self._pools, key, self._clock.now())
        return known[key]

    def _with_slots_of(
        self, known: dict[str, Pool], run: Run, numbers: Mapping[str, int], turn: str | None
    ) -> Run:
        """Return a waiting run that is to be launched, with a slot of each pool that it needs.

        In a queue that takes turns, the record names its turn, which the store notes as the last one. If this process
        dies before it sends the launch message, RECONCILE does.
        """
        now, of_starts = self._clock.now(), {pool for pool in numbers if is_of_starts(pool)}
        slots = tuple(
            Slot(pool, number, run.attempt, now) for pool, number in numbers.items() if pool not in of_starts
        )
        own = pool_of_job(run.job)
        overlap = self._pool(known, own).overlap if own in numbers else run.overlap
        return replace(
            run,
            waiting=None,
            slots=(*run.slots, *slots),
            starts=tuple(StartSlot(pool, numbers[pool], now) for pool in numbers if pool in of_starts),
            turns=run.turns if turn is None or run.waiting is None else {**run.turns, run.waiting.pool: turn},
            overlap=None if overlap is Overlap.QUEUE else overlap,
            next_at=now + MESSAGE_LOST_MS,
        )
