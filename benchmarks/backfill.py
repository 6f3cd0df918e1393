"""A backfill of 10,000 partitions on DynamoDB Local, whose process is killed five times on the way.

`python -m benchmarks.backfill` prints a table, and fails unless each partition has exactly one run with one launch id,
and every state is recorded. Queues are in this process; what runs a killed process again is RECONCILE's step.
"""

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

from benchmarks.figures import Figure, report_figures
from tests.support.process_kill import KilledError, KillPoint, kill_point
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters import clients
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.backfills.backfiller import LOOK_MS, Backfiller
from treadle.engine.identity import RunIds
from treadle.engine.record.run_state import Report, fold
from treadle.model.backfills import BackfillPartition, BackfillStatus
from treadle.model.targets import JobSettings
from treadle.operate.backfills import BackfillOperations
from treadle.operate.runs import RunOperations
from treadle.testing.system import InMemoryQueue, VirtualClock

PARTITIONS = 10_000
KILLS = 5
KILLED_AFTER = 75
"""Calls of DynamoDB between two kills: five are on the way, since 25 runs take at least one call."""

WORKERS = 8
JOB = "load"
NAME = "ten_thousand"
RUN_IDS = RunIds.of("123456789012/us-east-1/bench")


class Measurement:
    """Runs one backfill from its start to its end.

    Args:
        partitions: how many.
        kills: how often the process that creates its runs dies.
        killed_after: the calls of DynamoDB between two kills.
    """

    def __init__(
        self, partitions: int = PARTITIONS, kills: int = KILLS, killed_after: int = KILLED_AFTER
    ) -> None:
        self.partitions, self.kills, self.killed_after = partitions, kills, killed_after
        self.clock, self.launches = VirtualClock(), InMemoryQueue()
        self.tables = create_tables()
        self._connect()
        self.jobs = {JOB: JobSettings(JOB, "memory", "memory:load", "-")}
        self.killed: list[str] = []
        self.seconds: dict[str, float] = {}

    def _connect(self) -> None:
        clients.forget()
        self.stores = DynamoStores(self.tables, RandomTokens())

    @property
    def operations(self) -> BackfillOperations:
        """What an operator's command uses."""
        runs = RunOperations(
            self.stores.runs, self.stores.sensors, self.launches, self.jobs, {}, RUN_IDS, self.clock
        )
        return BackfillOperations(
            self.stores.backfills, InMemoryQueue(), self.jobs, runs, RUN_IDS, self.clock
        )

    def run(self) -> list[str]:
        """Measure, and return the problems of the result."""
        self._timed("start", self._start)
        with kill_point() as kill:
            self._connect()  # Clients that are made meanwhile have the kill point.
            self._timed("create", lambda: self._create(kill))
        self._connect()
        self._timed("end", self._end)
        self._timed("follow", self._follow)
        return self._problems()

    def _timed(self, name: str, step: Callable[[], object]) -> None:
        began = time.perf_counter()
        step()
        self.seconds[name] = time.perf_counter() - began

    def _start(self) -> None:
        keys = [BackfillPartition(f"partition-{number:05d}") for number in range(self.partitions)]
        for _ in range(2):
            self.operations.start(JOB, keys, "ada", name=NAME)

    def _backfiller(self) -> Backfiller:
        return Backfiller(
            self.stores.backfills,
            self.stores.runs,
            self.launches,
            self.jobs,
            RUN_IDS,
            self.clock,
            workers=WORKERS,
        )

    def _create(self, kill: KillPoint) -> None:
        """Advance until all is created, as RECONCILE does once the dead process's time has passed."""
        chance = random.Random(7)
        while True:
            if len(self.killed) < self.kills:
                kill.call = self.killed_after * (len(self.killed) + 1)
                kill.after = bool(chance.getrandbits(1))
            try:
                self._backfiller().advance(NAME, self.clock.now() + LOOK_MS)
            except KilledError:
                self.killed.append(kill.killed_at)
                continue
            kill.call = 0
            return

    def _end(self) -> None:
        runs = self.stores.runs.get_many(self._run_ids())
        ended = [fold(run, Report(1, Status.SUCCESS, self.clock.now())) for run in runs.values()]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self.stores.runs.replace, ended))

    def _follow(self) -> None:
        for _ in range(3 * -(-self.partitions // 1_000)):
            self._backfiller().advance(NAME, self.clock.now() + LOOK_MS)
            self.clock.advance(LOOK_MS / 1000)

    def _run_ids(self) -> set[str]:
        return {RUN_IDS.backfill(NAME, f"partition-{number:05d}") for number in range(self.partitions)}

    def _problems(self) -> list[str]:
        backfill, ids = self.stores.backfills.get(NAME), self._run_ids()
        runs = self.stores.runs.get_many(ids)
        listed = [run_id for run_id in ids if run_id not in runs]
        problems = [f"{len(listed)} partitions have no run"] if listed else []
        again = [run for run in runs.values() if run.attempt != 1]
        problems += [f"{len(again)} runs were started twice"] if again else []
        launched = {(body["run_id"], body["attempt"]) for body in self.launches.drain()}
        if launched != {(run_id, 1) for run_id in ids}:
            problems.append(f"{len(launched)} attempts were launched")
        if len(self.killed) != self.kills:
            problems.append(f"the process was killed {len(self.killed)} times: {self.killed}")
        if backfill is None or backfill.shown_status is not BackfillStatus.COMPLETED_SUCCESS:
            problems.append(
                f"the backfill is {backfill and backfill.shown_status}: {backfill and backfill.counts()}"
            )
        return problems


def measure(endpoint: str) -> tuple[Measurement, list[str]]:
    """Return the measurement, and the problems of its result.

    Args:
        endpoint: DynamoDB's URL.
    """
    with patch.dict(os.environ, local_aws(endpoint), clear=True):
        measurement = Measurement()
        return measurement, measurement.run()


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    with dynamodb_local(optimizes=True) as endpoint:
        measurement, problems = measure(endpoint)
    for problem in problems:
        print(f"WRONG: {problem}")
    print(f"The process was killed at {', '.join(measurement.killed)}.")
    seconds = measurement.seconds
    figures = [
        Figure("the command that starts it", seconds["start"], "s"),
        Figure("runs created, with five kills", PARTITIONS / seconds["create"], "runs/s"),
        Figure("ends found by looking at all runs", PARTITIONS / seconds["follow"], "runs/s"),
        Figure("partitions without exactly one run", float(len(problems)), "", 0),
    ]
    return report_figures(f"A backfill of {PARTITIONS:,} partitions", figures) or bool(problems)


if __name__ == "__main__":
    run_tool(main)
