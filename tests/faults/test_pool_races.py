"""Races of real processes that create, grant, start and end runs of pools on DynamoDB Local, and are killed."""

import contextlib
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.faults.pool_race_worker import JOBS, POOLS, SharedPools, race
from tests.faults.test_races import ROOT, scanned
from tests.support.tables import create_tables
from treadle.adapters.system import RandomTokens
from treadle.definitions.errors import StoreThrottledError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.assembly import Assembly
from treadle.engine.record.pool_slots import with_wait
from treadle.model.pools import starts_key
from treadle.model.runs import Run
from treadle.testing.pools import DeclaredPools, Pool
from treadle.testing.system import InMemoryQueue, VirtualClock

PROCESSES = int(os.environ.get("TREADLE_POOL_RACES_PROCESSES", "8"))
SECONDS = float(os.environ.get("TREADLE_POOL_RACES_SECONDS", "6"))
MAX_EXTRA_SECONDS = 120.0
"""The additional time for a slow machine to begin, and to finish all work."""

KILLS = 3
MIN_RUNS = 12
LIMITS = {"p": 3, "q": 2, "customer=a": 1, "customer=b": 1}


@pytest.fixture
def shared(dynamodb_local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedPools:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'layers' / 'treadle'}")
    (tmp_path / "launches").mkdir()
    shared = SharedPools(tmp_path, create_tables(), dynamodb_local)
    shared.declare()
    return shared


@pytest.fixture
def processes(shared: SharedPools) -> Iterator[list[ForkServerProcess]]:
    """Return the running processes; they are killed at the end."""
    running: list[ForkServerProcess] = []
    yield running
    for process in running:
        process.kill()
        process.join()


def refill(shared: SharedPools, running: list[ForkServerProcess], seeds: Iterator[int]) -> int:
    """Replace the processes that have ended; return how many were killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.pool_race_worker"])
    ended = [process for process in running if process.exitcode is not None]
    for process in ended:
        running.remove(process)
    while len(running) < PROCESSES:
        process = context.Process(target=race, args=(shared, next(seeds)), daemon=True)
        process.start()
        running.append(process)
    return len(ended)


def all_runs(shared: SharedPools) -> list[Run]:
    stores = shared.stores()
    names = [item["run_id"]["S"] for item in scanned(shared.tables.runs, "run_id")]
    return list(stores.runs.get_many(names).values())


def under_way(shared: SharedPools, runs: list[Run]) -> dict[str, int]:
    """Return the highest number of executions of each pool that were under way at once, by the target's log.

    It may contain starts of runs that were created after `runs` were read.
    """
    pools = {run.launch_id: DeclaredPools(POOLS).of(run.job, run.tags) for run in runs}
    running: set[str] = set()
    most: Counter[str] = Counter()
    for sign, launch_id in shared.target.log():
        (running.add if sign == "+" else running.discard)(launch_id)
        now = Counter(pool for each in running for pool in pools.get(each, ()))
        for pool, number in now.items():
            most[pool] = max(most[pool], number)
    return dict(most)


@pytest.mark.timeout(SECONDS + 3 * MAX_EXTRA_SECONDS)
def test_processes_that_are_killed_never_exceed_a_limit_and_leave_no_slot(
    shared: SharedPools, processes: list[ForkServerProcess], record_property: Callable[[str, object], None]
) -> None:
    killed, seeds, began = 0, iter(range(10_000)), time.monotonic()
    problems = shared.folder / "problems"

    while time.monotonic() - began < SECONDS + MAX_EXTRA_SECONDS:
        killed += refill(shared, processes, seeds)
        time.sleep(0.5)
        starts = len(shared.target.started())
        is_over = time.monotonic() - began > SECONDS and starts >= MIN_RUNS and killed >= KILLS
        runs = all_runs(shared) if is_over else []
        if is_over and under_way(shared, runs) == LIMITS:
            break
        if is_over:
            (shared.folder / "extended").touch()
        # Not before it has begun: the first ones are still importing their modules. The one that replaces it creates
        # more runs, until each pool was full.
        is_idle = is_over and sum(not run.status.is_finished for run in runs) < PROCESSES
        if is_idle or (killed < KILLS and starts > 3 * (killed + 1)):
            random.choice(processes).kill()
    raced = time.monotonic() - began
    (shared.folder / "closing").touch()
    stores = shared.stores()
    while left := [run for run in all_runs(shared) if not run.status.is_finished]:
        # Again and again, as a process may be about to create a run, or to change a limit.
        shared.note_queues()
        for name in POOLS:
            stores.pools.set_override(name, None, "ann", 0)
        assert not problems.exists(), problems.read_text()
        assert time.monotonic() - began - raced < MAX_EXTRA_SECONDS, f"{len(left)} runs are left: {left[0]}"
        refill(shared, processes, seeds)
        time.sleep(0.5)
    (shared.folder / "done").touch()
    for process in processes:
        process.join(20)

    runs, most = all_runs(shared), under_way(shared, all_runs(shared))
    record_property("summary", f"races of pools: {len(runs)} runs, {killed} killed, {most}, {raced:.0f} s")
    assert not problems.exists(), problems.read_text()
    assert Counter(shared.target.started()) == Counter(run.launch_id for run in runs)
    assert {(run.status, run.attempt, run.slots, run.waiting) for run in runs} == {
        (Status.SUCCESS, 1, (), None)
    }
    assert {run.job for run in runs} == set(JOBS)
    left_items = [
        (item["asset_key"]["S"], item["item"]["S"])
        for item in scanned(shared.tables.events, "asset_key", "item")
    ]
    assert {each for each in left_items if each[0].startswith("#pool/")} == {("#pool/q", "turn")}
    # Not only never more, but also as many: otherwise the race would show nothing.
    assert most == LIMITS
    assert killed


def test_granters_at_the_same_time_grant_no_more_starts_than_allowed(shared: SharedPools) -> None:
    pool = Pool("rate", jobs=["load"], starts_per_minute=5)
    clock, stores, launches = VirtualClock(), shared.stores(), InMemoryQueue()
    key = starts_key(pool.name)
    stores.pools.declare(DeclaredPools({pool.name: pool}).states, ())
    for number in range(20):
        queued = {"1/0": {"QUEUED": clock.now()}}
        run = Run(f"r{number}", "load", "", None, "t", "{}", {}, clock.now(), reached=queued, pools=(key,))
        assert stores.runs.create(with_wait(run)) is None

    def grant(_: int) -> int:
        engine = Assembly(shared.stores(), clock, RandomTokens(), "race")
        granted = 0
        for _ in range(3):
            with contextlib.suppress(StoreThrottledError):
                granted += engine.granter(launches).grant(key, clock.now() + 60_000)
        return granted

    for expected in (5, 10, 15, 20):
        with ThreadPoolExecutor(6) as granters:
            list(granters.map(grant, range(6)))
        runs = stores.runs.get_many([f"r{number}" for number in range(20)]).values()
        assert sum(run.waiting is None for run in runs) == expected
        assert len(stores.pools.holders(key)) == 5
        clock.advance(60)
    starts = sorted(run.starts[0].at for run in stores.runs.get_many([f"r{n}" for n in range(20)]).values())
    assert min(later - earlier for earlier, later in zip(starts, starts[5:], strict=False)) >= 60_000
