"""Threads that grant slots at a time while runs are requested out of order and end: none starts after a newer one."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import pytest

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.pools.granter import Granter
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import Report, fold
from treadle.model.pools import Overlap, PoolState
from treadle.model.runs import Run
from treadle.testing.stores import InMemoryRunStore, InMemoryStores
from treadle.testing.system import InMemoryQueue, VirtualClock
from treadle.testing.tables import InMemoryTables

NUMBER = 80
GRANTERS = 3
OWN, OTHER = "job:load", "all"
SECONDS = 30


class Granted(InMemoryRunStore):
    """A run store that notes which runs are granted slots, in order.

    Attributes:
        ages: when those runs were requested.
        most: the most slots of the job that were held at a time.
    """

    def __init__(self, tables: InMemoryTables) -> None:
        super().__init__(tables)
        self.ages: list[str] = []
        self.most = 0

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        with self._tables.lock:
            current = super().replace(run, before)
            if current is None and before is not None and before.waiting is not None and run.slots:
                self.ages.append(before.waiting.age)
                self.most = max(self.most, len(self._tables.slots[OWN]))
            return current


@dataclass
class Race:
    """One race.

    Attributes:
        overlap: of the job.
        limit: of the job.
        pools: the pools of its runs.
    """

    overlap: Overlap
    limit: int
    pools: tuple[str, ...]
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    clock: VirtualClock = field(default_factory=VirtualClock)
    stop: Event = field(default_factory=Event)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tables = self.stores.tables
        self.runs = Granted(self.tables)
        self.chance = random.Random(0)
        self.stores.pools.declare([PoolState(OWN, self.limit, overlap=self.overlap), PoolState(OTHER, 2)], ())

    def request(self) -> None:
        """Create runs, each up to six places later or earlier than it was requested."""
        now = self.clock.now()
        for number in sorted(range(NUMBER), key=lambda each: each + self.chance.random() * 6):
            reached = {"1/0": {"QUEUED": now}}
            run = Run(
                f"r{number:03}", "load", "s", None, "t", "{}", {}, now, pools=self.pools, reached=reached
            )
            assert self.runs.create(with_wait(run, requested=(now + number, 0))) is None
            time.sleep(self.chance.random() * 0.002)

    def grant(self) -> None:
        """Grant slots until the race is over."""
        granter = Granter(self.stores.pools, self.runs, InMemoryQueue(), self.clock)
        while not self.stop.is_set():
            for pool in self.pools:
                granter.grant(pool, self.clock.now() + 60_000)

    def end(self) -> None:
        """End runs that have slots, as CANCELED if that was requested."""
        chance = random.Random(1)
        while not self.stop.is_set():
            for run in list(self.tables.runs.values()):
                if chance.random() < 0.3:
                    update_with_optimistic_lock(self.runs, run, self._ended)
            time.sleep(0.0005)

    def _ended(self, run: Run) -> Run:
        if run.status.is_finished or not run.slots or run.waiting is not None:
            return run
        now, status = self.clock.now(), Status.CANCELED if run.cancellations else Status.SUCCESS
        return fold(run, Report(run.attempt, status, now, started_at=now))

    def run(self) -> None:
        """Race until all runs have ended."""
        threads = [self._thread(each) for each in (*[self.grant] * GRANTERS, self.end)]
        requests = self._thread(self.request)
        requests.join()
        give_up_at = time.monotonic() + SECONDS
        while not self.is_over and time.monotonic() < give_up_at and not self.errors:
            time.sleep(0.01)
        self.stop.set()
        for thread in threads:
            thread.join()

    @property
    def is_over(self) -> bool:
        return all(run.status.is_finished for run in list(self.tables.runs.values()))

    def _thread(self, work: Callable[[], None]) -> Thread:
        def noted() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the test fails with it
                self.errors.append(error)

        thread = Thread(target=noted)
        thread.start()
        return thread


@contextmanager
def often_switched() -> Iterator[None]:
    """Let threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("pools", [(OWN,), (OTHER, OWN)], ids=["one pool", "two pools"])
@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.LATEST, Overlap.CANCEL])
def test_no_run_starts_after_a_newer_one_and_the_newest_starts(
    overlap: Overlap, limit: int, pools: tuple[str, ...]
) -> None:
    race = Race(overlap, limit, pools)

    with often_switched():
        race.run()

    assert race.errors == []
    assert race.is_over
    assert 0 < race.runs.most <= limit
    assert not any(race.tables.waiters.values())
    assert not any(race.tables.slots.values())
    gave_way = [run for run in race.tables.runs.values() if run.gave_way]
    assert gave_way
    if overlap.keeps_latest:
        assert race.runs.ages == sorted(race.runs.ages)
        assert race.tables.runs[f"r{NUMBER - 1:03}"].status is Status.SUCCESS
        causes = {run.run_id: run.failure.cause for run in gave_way if run.failure is not None}
        assert all(cause.split()[1] > run_id for run_id, cause in causes.items())
