"""What RECONCILE does for concurrency pools: opens those that jobs have joined, and looks at queues."""

import logging
from collections.abc import Collection, Set
from dataclasses import dataclass, replace

from treadle.definitions.errors import StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import GrantRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.pools.granter import Granter
from treadle.engine.record.pool_slots import is_in_doubt, with_pools
from treadle.engine.record.run_state import OVERDUE_MS
from treadle.engine.registry.registry_cache import Pools
from treadle.model.pools import MAX_COUNTED, PoolState, Waiter, is_of_starts, pool_name, start_times
from treadle.model.run_queries import MOST_SCANNED
from treadle.model.runs import Run
from treadle.ports.pools import PoolStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue

logger = logging.getLogger(__name__)

PAGE = 100
"""How many runs are read at once."""

CHECKED_MS = 120_000
"""A run that holds a slot others wait for is checked every two minutes, as the report of its end may be lost."""

PASS_MS = 60_000
"""The time between two passes."""

LOOKS_MS = 5_000
"""The starts that a pool of starts per minute allows within this time are granted together, at the last one's time."""

MAX_CHECKED = 50
"""The maximum number of such runs of a pool in one pass."""


@dataclass(frozen=True, slots=True)
class PoolQueue:
    """The runs that wait for a pool, of all values of its tag.

    Attributes:
        pool: the pool's name.
        waiting: how many there are; of each value, at most `MAX_COUNTED` are counted.
        longest_ms: how long the oldest has waited.
    """

    pool: str
    waiting: int = 0
    longest_ms: int = 0

    def with_waiters(self, waiters: Collection[Waiter], now: int) -> "PoolQueue":
        """Return it with further runs."""
        longest = max((now - each.since for each in waiters if each.since is not None), default=0)
        return replace(self, waiting=self.waiting + len(waiters), longest_ms=max(self.longest_ms, longest))


@dataclass(frozen=True, slots=True)
class PoolsChecked:
    """The result of one pass.

    Attributes:
        granted: runs that a slot was granted to.
        entered: runs in progress or in doubt that were entered as holders of slots beyond the limit.
        in_doubt: slots that others wait for, and whose holder may or may not have ended.
        overdue: runs that hold slots others wait for, and are to be checked at their target.
        queues: the pools in which runs wait.
        failed: pools that could not be checked, and are checked by the next pass.
    """

    granted: int = 0
    entered: int = 0
    in_doubt: int = 0
    overdue: tuple[Run, ...] = ()
    queues: tuple[PoolQueue, ...] = ()
    failed: int = 0


class PoolChecks:
    """Checks all pools.

    Args:
        pools: stores pools.
        runs: stores run records.
        of_run: which pools a run is in, as declared now.
        jobs: the names of the registered jobs.
        granter: grants slots.
        clock: the clock.
        dispatches: DISPATCH's queue, for messages to grant what is free before the next pass; None to leave them out.
    """

    def __init__(
        self,
        pools: PoolStore,
        runs: RunStore,
        of_run: Pools,
        jobs: Collection[str],
        granter: Granter,
        clock: Clock,
        dispatches: Queue | None = None,
    ) -> None:
        self._pools = pools
        self._runs = runs
        self._of_run = of_run
        self._jobs = jobs
        self._granter = granter
        self._clock = clock
        self._dispatches = dispatches

    def check(self, ends_at: int) -> PoolsChecked:
        """Open the pools whose time has come, and grant the slots that are free although runs wait for them.

        Args:
            ends_at: when to stop; the next pass continues.

        Raises:
            StoreError: if the pools or the index of runs could not be read.
        """
        now = self._clock.now()
        states = self._pools.states()
        due = [each for each in states.values() if each.closed_until is not None and each.closed_until <= now]
        entered = self._open(due, ends_at) if due else 0
        granted = in_doubt = failed = 0
        overdue: list[Run] = []
        queues: dict[str, PoolQueue] = {}
        for key, token in _rotated(list(self._pools.queues().items()), now // PASS_MS):
            if self._clock.now() >= ends_at:
                break
            try:
                granted += self._granter.check_queue(key, token, ends_at)
                waiters = self._pools.waiters(key, MAX_COUNTED)
                holders = self._holders(key) if waiters and not is_of_starts(key) else []
                if waiters and is_of_starts(key):
                    self._plan_starts(key, states.get(pool_name(key)), len(waiters))
            except StoreError:
                logger.exception("Pool %s could not be checked", key)
                failed += 1
                continue
            name = pool_name(key)
            if waiters:
                queues[name] = queues.get(name, PoolQueue(name)).with_waiters(waiters, now)
            in_doubt += sum(map(is_in_doubt, holders))
            overdue += self._overdue(holders)
        return PoolsChecked(granted, entered, in_doubt, tuple(overdue), tuple(queues.values()), failed)

    def _plan_starts(self, key: str, state: PoolState | None, waiting: int) -> None:
        """Let DISPATCH grant the starts that a pool of starts per minute allows before the next pass."""
        if self._dispatches is None or state is None:
            return
        now = self._clock.now()
        times = start_times(self._pools.holders(key), state.limit_of(key), now)[:waiting]
        delays = [(time - now) // 1000 + 1 for time in _together(times)]
        self._dispatches.send([GrantRequest(key).to_json() for _ in delays], delay_seconds=delays)

    def _open(self, due: Collection[PoolState], ends_at: int) -> int:
        """Enter the runs of these pools that are in progress or in doubt as holders of slots; then open the pools."""
        entered, token = 0, None
        while True:
            run_ids, token = self._runs.in_progress(PAGE, token)
            for run in self._runs.get_many(run_ids).values():
                entered += self._enter(run)
            if token is None:
                break
            if self._clock.now() >= ends_at:
                return entered  # They stay closed, and the next pass begins again.
        for job in self._members({each.name for each in due}):
            if self._clock.now() >= ends_at:
                break  # It is not known that those in doubt are in progress.
            entered += self._enter_in_doubt(job)
        for each in due:
            self._pools.open(each)
        return entered

    def _members(self, pools: Set[str]) -> Collection[str]:
        """Return the jobs whose runs are in one of these pools; all jobs if tags decide that."""
        by_job = {job: pools & set(self._of_run.of(job, {})) for job in self._jobs}
        if pools - set().union(*by_job.values()):
            return self._jobs
        return [job for job, found in by_job.items() if found]

    def _enter_in_doubt(self, job: str) -> int:
        """Enter the runs of a job that may or may not have ended, as far as its latest runs show them."""
        page = self._runs.page(job=job, statuses={Status.FAILURE}, limit=MOST_SCANNED)
        names = [run.run_id for run in page.runs if run.failure is not None and run.failure.assumed]
        return sum(map(self._enter, self._runs.get_many(names).values()))

    def _enter(self, run: Run) -> bool:
        if run.status is Status.QUEUED and run.pending_start is None:
            return False  # It is not started before it has slots: its launch looks at its pools itself.
        pools = self._of_run.of(run.job, run.tags)
        if all(pool in run.pools for pool in pools):
            return False
        after = update_with_optimistic_lock(self._runs, run, lambda current: with_pools(current, pools))
        return after.revision != run.revision

    def _holders(self, key: str) -> list[Run]:
        """Return the runs that hold slots of a pool."""
        return list(self._runs.get_many([each.run_id for each in self._pools.holders(key)]).values())

    def _overdue(self, holders: Collection[Run]) -> list[Run]:
        """Return the runs that were not checked for two minutes, the longest ago first."""
        late = self._clock.now() + OVERDUE_MS - CHECKED_MS
        found = [run for run in holders if run.status in _STARTED and (run.next_at or late + 1) <= late]
        return sorted(found, key=lambda run: run.next_at or 0)[:MAX_CHECKED]


def _together(times: Collection[int]) -> list[int]:
    """Return the last of the times of each group of times that are close to each other."""
    found: list[int] = []
    first = None
    for time in times:
        if first is None or time - first > LOOKS_MS:
            first = time
            found.append(time)
        else:
            found[-1] = time
    return found


def _rotated(queues: list[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    """Return the queues beginning at another one in each pass, as the time may not suffice for all of them."""
    first = number * _STRIDE % len(queues) if queues else 0
    return queues[first:] + queues[:first]


_STRIDE = 97
_STARTED = {Status.STARTING, Status.STARTED, Status.CANCELING}
