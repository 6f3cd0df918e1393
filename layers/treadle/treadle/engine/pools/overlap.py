"""Ends runs that give way to others of their job, as the job's overlap says."""

from collections.abc import Callable, Iterable

from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.pools.giving_way import ended_for, is_ending, replaced, skipped
from treadle.engine.pools.queues import Pool, Waiting, is_retry, read_pool, waiting_runs
from treadle.engine.record.pool_slots import pools_needed
from treadle.model.pools import MAX_COUNTED, Overlap, run_of_age
from treadle.model.runs import Run
from treadle.ports.pools import PoolStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock


class Overlaps:
    """Ends the runs that wait for their job's pool and may not, and those in progress that another one cancels.

    Where at most one run waits, `PoolStore.latest` names the newest that was kept. Only that run is granted slots. It is
    ended, if it still waits, before another one is named: so a process that still acts for it finds its record changed.

    Args:
        pools: the pools.
        runs: stores run records.
        clock: the clock.
    """

    def __init__(self, pools: PoolStore, runs: RunStore, clock: Clock) -> None:
        self._pools = pools
        self._runs = runs
        self._clock = clock

    def skip(self, key: str, ends_at: int) -> None:
        """End the runs that wait for a pool while others hold all of its slots.

        Those that an operator has started, and retries, wait.

        Args:
            key: the pool.
            ends_at: when to stop.
        """
        while self._clock.now() < ends_at:
            # The queue is read before the slots: another run was in progress while these waited.
            waiters = self._pools.waiters(key, MAX_COUNTED)
            pool = read_pool(self._pools, key)
            if not waiters or not pool.is_full or pool.overlap is not Overlap.SKIP:
                return
            others, other, now = len(pool.holders), pool.holders[0].run_id, self._clock.now()
            found = waiting_runs(self._runs, key, waiters)
            ended = self._end_each(
                [each for each in found if not (is_retry(each.run) or _is_allowed(each.run))],
                lambda run: skipped(run, others, other, now),  # noqa: B023
                ends_at,
            )
            if not ended or len(waiters) < MAX_COUNTED:
                return

    def replace(self, older: Iterable[Waiting], newer: str, overlap: Overlap, ends_at: int) -> int:
        """End runs that wait although a newer one was kept or started; return how many have ended.

        Args:
            older: the runs.
            newer: the id of the newer one.
            overlap: of their job.
            ends_at: when to stop.
        """
        now = self._clock.now()
        return self._end_each(older, lambda run: replaced(run, newer, overlap, now), ends_at)

    def name_latest(self, pool: Pool, kept: Waiting, latest: str) -> bool:
        """Let a waiting run be the latest of its pool; return False if another process has named one meanwhile.

        Args:
            pool: the pool.
            kept: the run; it is not older than the latest one.
            latest: the age of the latest one until now.
        """
        if kept.age == latest:
            return True
        before, now = run_of_age(latest), self._clock.now()
        for run in self._runs.get_many([before]).values() if before else ():
            if run.waiting is not None and run.waiting.age == latest and pool.key in pools_needed(run):
                found = Waiting(run, run.waiting)
                self._end(found, lambda each: replaced(each, kept.run.run_id, pool.overlap, now))
        return self._pools.set_latest(pool.key, kept.age, latest)

    def is_latest(self, pool: Pool, run: Run) -> bool:
        """Return whether a waiting run may be granted slots, as far as its job's pool and other runs of it decide."""
        if not pool.overlap.keeps_latest or is_retry(run) or run.waiting is None:
            return True
        return run.waiting.age == self._pools.latest(pool.key)

    def cancel_for(self, newer: Run, key: str) -> bool:
        """Cancel as many runs in progress as keep a run from starting that waits for their job's pool, the oldest first.

        Return whether one of them has ended at once, as it was not at its target.

        Args:
            newer: the run that waits.
            key: the pool.
        """
        pool, now = read_pool(self._pools, key), self._clock.now()
        if pool.state is None or not pool.is_full or pool.overlap is not Overlap.CANCEL:
            return False
        # Read after the slots: as long as it waits, it is not one of those that hold them.
        runs = self._runs.get_many([newer.run_id, *(each.run_id for each in pool.holders)])
        wait = runs[newer.run_id].waiting if newer.run_id in runs else None
        if wait is None or wait.pool != key:
            return False
        held = {(each.run_id, each.attempt) for each in pool.holders}
        in_progress = [
            run
            for run in runs.values()
            if (run.run_id, run.attempt) in held and (not run.status.is_finished or run.retry_at is not None)
        ]
        left, has_ended = len(pool.holders) - pool.state.limit_of(key) + 1, False
        # Those that end already come first.
        for run in sorted(in_progress, key=lambda each: (not is_ending(each), each.attempted_at)):
            if left <= 0:
                break
            after = update_with_optimistic_lock(
                self._runs, run, lambda current: ended_for(current, newer.run_id, now)
            )
            has_ended |= not after.slots
            left -= after.status.is_finished or is_ending(after)
        return has_ended

    def _end_each(self, found: Iterable[Waiting], ended: Callable[[Run], Run], ends_at: int) -> int:
        number = 0
        for each in found:
            if self._clock.now() >= ends_at:
                break
            number += self._end(each, ended)
        return number

    def _end(self, found: Waiting, ended: Callable[[Run], Run]) -> bool:
        """End a run if it still waits; return whether it has ended."""

        def changed(current: Run) -> Run:
            wait = current.waiting
            still = wait is not None and (wait.pool, wait.age) == (found.wait.pool, found.age)
            return ended(current) if still else current

        return update_with_optimistic_lock(self._runs, found.run, changed).status.is_finished


def _is_allowed(run: Run) -> bool:
    """Return whether an operator has allowed the current attempt."""
    return any(each.attempts == run.attempt for each in run.allowances)
