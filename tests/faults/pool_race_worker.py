"""One of many processes that create, grant, start and end runs of pools, and may be killed at any moment."""

import contextlib
import logging
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from tests.support.hooks import hooked
from tests.support.shared_directory import DirectoryQueue, SharedTarget, append, lines, now_ms
from tests.support.throttling import CONFLICT
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.definitions.errors import LaunchError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.assembly import Assembly
from treadle.engine.launch import launcher
from treadle.engine.messages import LaunchRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.pools import granter, pool_checks
from treadle.engine.reconcile import reconciler
from treadle.engine.record import run_state
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Run
from treadle.model.targets import Execution, JobSettings
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants
from treadle.testing.pools import DeclaredPools, Pool

JOBS = ("load", "clean", "both")
POOLS = {
    "p": Pool("p", 3, jobs=["load", "both"]),
    "q": Pool("q", 2, jobs=["clean", "both"], turns_by="customer"),
    "customer": Pool("customer", 1, tag="customer", per_value=True),
}
KEYS = ("p", "q", "customer=a", "customer=b")
CREATED = 3
"""How many runs a process creates."""

CONFLICT_RATE = 0.1
IDLE_SECONDS = 0.02
LIMIT_SECONDS = 6.0
"""The time limit of a launch, as of a function; the kernel ends a process that exceeds it."""


@dataclass(frozen=True, slots=True)
class SharedPools:
    """The state that the processes share.

    Attributes:
        folder: of the queue, the target and flags.
        tables: the names of the tables.
        endpoint: of DynamoDB.
    """

    folder: Path
    tables: TableNames
    endpoint: str

    def stores(self) -> DynamoStores:
        """Return the stores, with a client of this process."""
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = self.endpoint
        return DynamoStores(self.tables, RandomTokens())

    @property
    def launches(self) -> DirectoryQueue:
        """The launch queue."""
        return DirectoryQueue(self.folder / "launches")

    @property
    def target(self) -> "LoggingTarget":
        """The target of all jobs."""
        return LoggingTarget(self.folder / "target")

    def declare(self) -> None:
        """Declare the pools."""
        self.stores().pools.declare(DeclaredPools(POOLS).states, ())

    def note_queues(self) -> None:
        """Note all queues, as PUBLISH does for each run that joins one."""
        pools = self.stores().pools
        for key in KEYS:
            pools.note_queue(key, uuid4().hex)

    def has(self, flag: str) -> bool:
        """Return whether the parent has set a flag: `extended`, `closing` or `done`."""
        return (self.folder / flag).exists()


class LoggingTarget(SharedTarget):
    """A target that logs the start and the end of each execution, in order.

    Args:
        folder: of the executions.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, is_named=True, listing_lag_ms=0, failure_rate=0.05)
        self._ends = folder / "ends"
        self._ends.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"

    def _take_name(self, launch_id: str) -> bool:
        # Logged first: a process that is killed in between logs a start that never was, but never misses one.
        append(self._log, "+", launch_id)
        return super()._take_name(launch_id)

    def end(self, launch_id: str) -> None:
        """End an execution, and log it."""
        with contextlib.suppress(FileExistsError):
            append(self._log, "-", launch_id)
            os.close(os.open(self._ends / launch_id, os.O_CREAT | os.O_EXCL))

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Return an execution."""
        execution = self._execution(external_id)
        if not (self._ends / external_id).exists():
            return execution
        return Execution(
            external_id, "shared", Status.SUCCESS, execution.started_at, now_ms(), launch_id=external_id
        )

    def log(self) -> list[list[str]]:
        """Return the starts and ends, in order."""
        return lines(self._log)


def shorten_delays() -> None:
    """Shorten the delays of the engine from minutes to what a test can wait, as in the races of sensors."""
    launcher.TAKEOVER_MARGIN_MS = 200
    launcher.RETRY_SECONDS = 1
    granter.MESSAGE_LOST_MS = 1_500  # type: ignore[attr-defined]
    pool_checks.CHECKED_MS = 1_500
    for module in (run_state, reconciler):
        module.LAUNCH_DUE_MS = 3_000  # type: ignore[attr-defined]


class PoolWorker:
    """All components of the engine that concern pools, on the shared state.

    Args:
        shared: the shared state.
    """

    def __init__(self, shared: SharedPools) -> None:
        self._shared = shared
        self._stores = shared.stores()
        self._clock = SystemClock()
        self._left = CREATED
        stores: Any = self._stores
        engine = Assembly(stores, self._clock, RandomTokens(), "race", DeclaredPools(POOLS))
        jobs = {name: JobSettings(name, "shared", "shared", "-") for name in JOBS}
        self._target = shared.target
        targets: Any = {"shared": self._target}
        self._pools = engine.pools
        self._granter = engine.granter(shared.launches)
        self._launcher = engine.launcher(shared.launches, jobs, targets)
        dispatcher = engine.dispatcher(shared.launches, FixedGrants({}), InMemoryBus())
        self._reconciler = engine.reconciler(dispatcher, shared.launches, jobs, targets)

    def create(self) -> None:
        """Create a run that waits, as DISPATCH does."""
        self._left -= 1
        now, job = self._clock.now(), random.choice(JOBS)
        tags = {"customer": random.choice("ab")} if random.random() < 0.3 else {}
        tags["dagster/priority"] = str(random.randrange(3))
        run_id = uuid4().hex
        pools = self._pools.of(job, tags)
        queued = {"1/0": {"QUEUED": now}}
        turns = self._pools.turns(pools, tags)
        run = Run(
            run_id, job, "watch", run_id, "t", "{}", tags, now, reached=queued, pools=pools, turns=turns
        )
        waiting = with_wait(run)
        assert self._stores.runs.create(waiting) is None
        assert waiting.waiting is not None
        self._stores.pools.note_queue(waiting.waiting.pool, uuid4().hex)

    def grant(self) -> None:
        """Grant the free slots of all pools, in any order."""
        for key in random.sample(KEYS, len(KEYS)):
            self._granter.grant(key, self._clock.now() + 500)

    def launch(self) -> None:
        """Launch an attempt."""
        found = self._shared.launches.receive()
        if found is None:
            time.sleep(IDLE_SECONDS)
            return
        receipt, body = found
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        self._launcher.launch(LaunchRequest.from_json(body), LIMIT_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._shared.launches.delete(receipt)

    def end(self) -> None:
        """End an execution, and record it unless the report is lost."""
        holders = [each for key in KEYS for each in self._stores.pools.holders(key)]
        runs = self._stores.runs.get_many({each.run_id for each in holders}).values()
        started = [run for run in runs if run.status is Status.STARTED]
        if not started:
            time.sleep(IDLE_SECONDS)
            return
        run = random.choice(started)
        self._target.end(run.launch_id)
        if random.random() < 0.9:
            report = Report(run.attempt, Status.SUCCESS, self._clock.now())
            update_with_optimistic_lock(self._stores.runs, run, lambda current: fold(current, report))

    def limit(self) -> None:
        """Lower or restore a limit, as an operator does; only restore it if the race is extended."""
        pool = random.choice([POOLS["p"], POOLS["q"]])
        lower = () if self._shared.has("extended") else range(pool.limit or 0)
        self._stores.pools.set_override(pool.name, random.choice([None, *lower]), "ann", 0)

    def reconcile(self) -> None:
        """Run RECONCILE, once a second in all processes."""
        second = self._shared.folder / f"reconcile-{self._clock.now() // 1000}"
        with contextlib.suppress(FileExistsError):
            second.touch(exist_ok=False)
            self._reconciler.reconcile(2.0)

    def step(self) -> None:
        """Run a random component."""
        steps = [
            (4, self.grant),
            (8, self.launch),
            (6, self.end),
            (1, self.reconcile),
        ]
        if not self._shared.has("closing"):
            steps += [(4, self.create), (1, self.limit)] if self._left else [(1, self.limit)]
        (chosen,) = random.choices([step for _, step in steps], [weight for weight, _ in steps])
        chosen()


def _conflict(model: Any, **_: Any) -> tuple[Any, dict[str, Any]] | None:
    """Refuse a transaction because of a conflict, which DynamoDB Local never does."""
    if model.name != "TransactWriteItems" or random.random() >= CONFLICT_RATE:
        return None
    error = {"Code": CONFLICT, "Message": "Transaction is ongoing for the item."}
    return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {"RequestId": "r"}}


def race(shared: SharedPools, seed: int) -> None:
    """Run one component after the other until the parent sets the flag `done`.

    Args:
        shared: the shared state.
        seed: of this process's random choices.
    """
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    shorten_delays()
    with hooked(("before-call.dynamodb.*", _conflict)):
        worker = PoolWorker(shared)
        while not shared.has("done"):
            try:
                worker.step()
            except (StoreError, LaunchError):
                continue  # The message is redelivered.
            except Exception as error:
                append(shared.folder / "problems", repr(error))
                raise
