"""Races of real processes that evaluate, dispatch and launch for one sensor on DynamoDB Local, and are killed.

`TREADLE_RACES_SECONDS=30` extends the race from the default of ten seconds.
"""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.faults.race_worker import FAR, JOBS, QUEUES, RUN_IDS, SENSOR, STEP, SharedState, race
from tests.support.shared_directory import lines
from tests.support.tables import create_tables
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickKind

ROOT = Path(__file__).parents[2]
PROCESSES = 16
SECONDS = float(os.environ.get("TREADLE_RACES_SECONDS", "10"))
MAX_EXTRA_SECONDS = 120.0
"""The additional time for a slow machine to reach the coverage, and to finish all work."""

LAST = int(18 * SECONDS)
"""The sensor's last cursor, unless the race is extended: two cores must launch all requests in time."""

EVENTS = range(0, LAST, 7)
MIN_KILLS = 6

KILL_POINTS = ("suspended", "evaluating", "before", "after") * 2
"""Where the first processes are killed or suspended, and all that follow if the race is extended; the others are killed
at any moment."""


@dataclass
class Workers:
    """The worker processes, and the faults injected into them.

    Attributes:
        shared: their shared state.
        running: the running processes.
        counts: the number of exits and faults of each kind.
        suspended: the suspended processes, and when to resume them.
        spared: the processes that are to suspend themselves, to which nothing else happens.
    """

    shared: SharedState
    running: list[ForkServerProcess] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    suspended: dict[int, float] = field(default_factory=dict)
    spared: set[int | None] = field(default_factory=set)
    _seeds: int = 0

    def replace_ended(self) -> None:
        """Replace the processes that have ended."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.faults.race_worker"])
        for process in [process for process in self.running if process.exitcode is not None]:
            self.running.remove(process)
            code = process.exitcode or 0
            self.counts[signal.Signals(-code).name if code < 0 else f"exit {code}"] += 1
        while len(self.running) < PROCESSES:
            has_point = self._seeds < len(KILL_POINTS) or self.shared.has("extended")
            kill_point = KILL_POINTS[self._seeds % len(KILL_POINTS)] if has_point else ""
            process = context.Process(target=race, args=(self.shared, self._seeds, kill_point), daemon=True)
            process.start()
            self._seeds += 1
            if kill_point == "suspended":
                self.spared.add(process.pid)
            self.running.append(process)

    def inject(self) -> None:
        """Kill a process, or suspend it for longer than its leases and claims last."""
        spared = set() if self.shared.has("lost") else self.spared
        pid = random.choice([process.pid for process in self.running if process.pid not in spared])
        assert pid is not None
        with contextlib.suppress(ProcessLookupError):
            if random.random() < 0.7:
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                self.counts["suspended"] += 1
                self.suspended[pid] = time.monotonic() + random.choice((0.2, 3.0))

    def resume(self, *, all_of_them: bool = False) -> None:
        """Resume the processes that have been suspended for long enough."""
        for pid, until in list(self.suspended.items()):
            if all_of_them or until <= time.monotonic():
                del self.suspended[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def problems(self) -> list[str]:
        """Return the errors that ended a process unexpectedly."""
        path = self.shared.folder / "problems"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def shared(dynamodb_local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedState:
    """Return empty tables and queues, and the events, each of them sent three times."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'layers' / 'treadle'}")
    for name in QUEUES:
        (tmp_path / name).mkdir()
    shared = SharedState(tmp_path, create_tables(), dynamodb_local, LAST)
    bodies: list[Mapping[str, object]] = [{"number": number} for number in EVENTS]
    shared.queue("events").send(bodies * 3)
    return shared


@contextlib.contextmanager
def running_workers(shared: SharedState) -> Iterator[Workers]:
    """Run the processes, and kill them at the end."""
    workers = Workers(shared)
    try:
        yield workers
    finally:
        for process in workers.running:
            process.kill()
            process.join()


def scanned(table: str, *attributes: str) -> list[dict[str, Any]]:
    """Return the named attributes of all items of a table."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [{name: item.get(name) for name in attributes} for page in pages for item in page["Items"]]


def all_ticks(stores: DynamoStores, shared: SharedState) -> list[Tick]:
    """Return all tick records, in order."""
    keys = [
        (item["sensor"]["S"], item["tick_id"]["S"])
        for item in scanned(shared.tables.ticks, "sensor", "tick_id")
    ]
    return [tick for key in sorted(keys) if (tick := stores.ticks.get(*key))]


def unfinished(stores: DynamoStores, shared: SharedState) -> dict[str, int]:
    """Return the amount of unfinished work, by kind."""
    statuses = [item["status"]["S"] for item in scanned(shared.tables.runs, "status")]
    left = {name: len(shared.queue(name)) for name in QUEUES}
    left["ticks"] = len(stores.ticks.pending(FAR, 1_000))
    left["runs"] = statuses.count(DagsterRunStatus.QUEUED.value)
    return {name: number for name, number in left.items() if number}


def run_race(workers: Workers, stores: DynamoStores) -> None:
    """Run the race with faults for its time, and until the coverage is reached."""
    ends_at = time.monotonic() + SECONDS
    while True:
        workers.replace_ended()
        time.sleep(0.5)
        workers.resume()
        now = time.monotonic()
        if now >= ends_at and (now >= ends_at + MAX_EXTRA_SECONDS or has_enough_coverage(workers, stores)):
            workers.resume(all_of_them=True)
            return
        if now >= ends_at:
            (workers.shared.folder / "extended").touch()
        workers.inject()


def has_enough_coverage(workers: Workers, stores: DynamoStores) -> bool:
    """Return whether processes were killed, leases and claims taken over, and a tick lost its lease."""
    died = any(tick.error for tick in all_ticks(stores, workers.shared))
    taken_over = all({"again", "found"} & set(workers.shared.target(job).queried()) for job in JOBS)
    lost = workers.shared.has("lost")
    return workers.counts["SIGKILL"] >= MIN_KILLS and died and lost and taken_over


def run_to_completion(workers: Workers, stores: DynamoStores) -> None:
    """Finish all work, without further evaluations and faults."""
    ends_at = time.monotonic() + MAX_EXTRA_SECONDS
    (workers.shared.folder / "closing").touch()
    while left := unfinished(stores, workers.shared):
        assert not workers.problems(), workers.problems()
        assert time.monotonic() < ends_at, f"unfinished: {left}, after {workers.counts}"
        workers.replace_ended()
        time.sleep(0.5)
    (workers.shared.folder / "done").touch()
    for process in workers.running:
        process.join(20)


@pytest.mark.timeout(2.5 * MAX_EXTRA_SECONDS + SECONDS)
def test_processes_that_are_killed_start_each_key_once_and_lose_none(
    shared: SharedState, record_property: Callable[[str, object], None]
) -> None:
    stores = shared.stores()

    began = time.monotonic()
    with running_workers(shared) as workers:
        run_race(workers, stores)
        raced = time.monotonic() - began
        run_to_completion(workers, stores)

    ticks = all_ticks(stores, shared)
    runs = {
        run.run_id: run
        for item in scanned(shared.tables.runs, "run_id")
        if (run := stores.runs.get(item["run_id"]["S"]))
    }
    workers.counts["seconds of the race"] = round(raced)
    workers.counts["seconds to completion"] = round(time.monotonic() - began - raced)
    record_property("summary", report(workers, ticks, runs))
    assert workers.problems() == []
    assert_cursor_advanced_step_by_step(ticks)
    assert_each_request_has_its_run(ticks, runs)
    assert_each_run_was_started_once(shared, runs)
    assert has_enough_coverage(workers, stores)


def assert_cursor_advanced_step_by_step(ticks: list[Tick]) -> None:
    """Assert that each tick was committed once, and from the cursor of the one before it (I4, I5)."""
    done = [tick for tick in ticks if tick.kind is TickKind.LEASED and tick.status is TickStatus.SUCCESS]
    nominal = [tick.time for tick in ticks if tick.kind is TickKind.LEASED]

    assert [int(tick.cursor or 0) for tick in done] == list(range(STEP, STEP * len(done) + 1, STEP))
    assert len(set(nominal)) == len(nominal)


def assert_each_request_has_its_run(ticks: list[Tick], runs: dict[str, Run]) -> None:
    """Assert one record for each key and each request without key, and no other (I1, I2, I3)."""
    last = max(int(tick.cursor or 0) for tick in ticks if tick.kind is TickKind.LEASED)
    keys = {*range(last + STEP), *(number + each for number in EVENTS for each in range(STEP))}
    keyless = [run.run_id for tick in ticks for run in tick.requests if run.run_key is None]

    assert len(set(keyless)) == len(keyless) == last // STEP
    assert set(runs) == {*keyless, *(RUN_IDS.keyed(SENSOR, f"k{number}") for number in keys)}
    assert {event.tick_id for event in ticks if event.kind is TickKind.EVENT and event.error} == set()


def assert_each_run_was_started_once(shared: SharedState, runs: dict[str, Run]) -> None:
    """Assert one start for each run, although processes raced and were killed (I1)."""
    started = Counter(launch_id for job in JOBS for launch_id in shared.target(job).started())

    assert started == Counter(f"{run_id}-1" for run_id in runs)
    assert {(run.attempt, run.status) for run in runs.values()} == {(1, DagsterRunStatus.STARTED)}


def report(workers: Workers, ticks: list[Tick], runs: dict[str, Run]) -> str:
    """Return the counts, for the summary at the end."""
    resolved = {job: dict(Counter(workers.shared.target(job).queried())) for job in JOBS}
    counts = {
        "processes": dict(workers.counts),
        "ticks": dict(Counter(f"{tick.kind}/{tick.status}" for tick in ticks)),
        "leases of killed processes": sum(tick.error is not None for tick in ticks),
        "ticks that lost their lease": len(lines(workers.shared.folder / "lost")),
        "claims taken over": sum(
            bool(r.pending_start and r.claim and r.pending_start.token != r.claim.token)
            for r in runs.values()
        ),
        "keys": sum(run.run_key is not None for run in runs.values()),
        "runs without key": sum(run.run_key is None for run in runs.values()),
        "existing keys": sum(tick.dispatched.existing for tick in ticks if tick.dispatched),
        "resolved starts": resolved,
    }
    return f"races: {json.dumps(counts)}"
