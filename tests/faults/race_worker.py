"""One of many processes that evaluate, dispatch and launch for one sensor, and may be killed at any moment."""

import contextlib
import logging
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.replaced_stores import ReplacedStores
from tests.support.shared_directory import DirectoryQueue, SharedTarget, append
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import LaunchError, StoreError
from treadle.definitions.evaluation import combine
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.results import RunRequest, SensorExecutionData, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly
from treadle.engine.dispatch import chunks, dispatcher
from treadle.engine.identity import RunIds
from treadle.engine.launch import launcher
from treadle.engine.messages import ChunkRequest, LaunchRequest, TickRequest
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile import reconciler
from treadle.engine.record import run_state
from treadle.engine.tick import backoff, scheduled_ticks
from treadle.engine.tick.evaluation import Budget
from treadle.model.runs import KeyState
from treadle.model.targets import Execution, JobSettings, Start
from treadle.ports.runs import RunStore
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants

SENSOR = "raced"
JOBS = ("named", "listed")
"""One job's target accepts the launch id as a token, the other's only lists its executions."""

RUN_IDS = RunIds.of("race")
STEP = 3
"""A tick advances the cursor by this number, and requests twice as many keys: two ticks request each key."""

TICK_SECONDS = 1.0
"""The time limit of an evaluation. Only the lease enforces it: a process that exceeds it must be harmless."""

LIMIT_SECONDS = 2.0
"""The time limit of a launch, as of a function; the kernel ends a process that exceeds it."""

LISTING_LAG_MS = 200
FAILURE_RATE = 0.05
IDLE_SECONDS = 0.02
FAR = 10**15
QUEUES = ("events", "chunks", "launches")


@dataclass(frozen=True, slots=True)
class SharedState:
    """The state that the processes share.

    Attributes:
        folder: of queues, targets and flags.
        tables: the names of the tables.
        endpoint: of DynamoDB.
        last: the cursor after which the sensor finds nothing, unless the race is extended.
    """

    folder: Path
    tables: TableNames
    endpoint: str
    last: int

    def stores(self) -> DynamoStores:
        """Return the stores, with a client of this process."""
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = self.endpoint
        return DynamoStores(self.tables, RandomTokens())

    def queue(self, name: str) -> DirectoryQueue:
        """Return a queue."""
        return DirectoryQueue(self.folder / name)

    def target(self, job: str) -> SharedTarget:
        """Return the target of a job."""
        return SharedTarget(
            self.folder / job,
            is_named=job == "named",
            listing_lag_ms=LISTING_LAG_MS,
            failure_rate=FAILURE_RATE,
        )

    def has(self, flag: str) -> bool:
        """Return whether a flag is set.

        The parent extends the race by `extended`, ends evaluations by `closing`, and everything by `done`; a process whose
        tick has lost its lease sets `lost`.
        """
        return (self.folder / flag).exists()


def shorten_delays() -> None:
    """Shorten the delays of the engine from minutes to what a test can wait.

    Only delays are shortened. A claim is safe because its holder cannot act once it has expired; here the kernel
    ensures that, because it ends a launch at `LIMIT_SECONDS`, so a small margin is enough.
    """
    scheduled_ticks.LEASE_MARGIN_MS = 200
    launcher.TAKEOVER_MARGIN_MS = 200
    launcher.UNSEEN_FOR_MS = 3 * LISTING_LAG_MS
    launcher.RETRY_SECONDS = 1
    launcher.MESSAGE_LOST_MS = 1_500  # type: ignore[attr-defined]
    for module in (dispatcher, run_state, reconciler):
        module.LAUNCH_DUE_MS = 3_000  # type: ignore[attr-defined]
    reconciler.DISPATCH_LATE_MS = 1_000
    reconciler.RETRY_MS = 1_000
    dispatcher.HANDED_ON_MS = 2_000
    # Small ticks are dispatched in chunks, too, and a sensor whose evaluations are killed has no backoff.
    chunks.CHUNK_SIZE = 4
    dispatcher.CHUNK_SIZE = 4  # type: ignore[attr-defined]
    backoff.FAILURES_BEFORE_BACKOFF = 10_000


def request(number: int) -> RunRequest:
    """Return the request for a key; the job alternates."""
    return RunRequest(f"k{number}", {"n": number}, job_name=JOBS[number % 2])


class Numbers(SensorDefinition):
    """A sensor that requests the numbers after its cursor, and those of an event."""

    takes_events = True

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Return requests for the event's number and the next ones."""
        assert isinstance(event, ObjectCreated)
        first = int(event.object.key)
        return combine([request(first + each) for each in range(STEP)], context, self.job_names)


def event_of(number: int) -> ObjectCreated:
    """Return the event of a number."""
    time = datetime(2026, 11, 22, 18, tzinfo=UTC)
    return ObjectCreated(S3Object("b", str(number), "e", "null", 1, time), time, str(number))


class KillingTarget:
    """A target that kills its process before or after a start.

    Args:
        target: the target.
        kill_point: `before` or `after`; any other value never kills.
    """

    def __init__(self, target: SharedTarget, kill_point: str) -> None:
        self._target = target
        self._kill_point = kill_point
        self.contract = target.contract
        self.prepare = target.prepare
        self.resolve = target.resolve
        self.describe = target.describe
        self.recent = target.recent
        self.cancel = target.cancel

    def start(self, start: Start) -> Execution:
        """Start, or kill the process."""
        if self._kill_point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        execution = self._target.start(start)
        if self._kill_point == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return execution


class SuspendingRuns:
    """A `RunStore` that can suspend its process once, after the planner has read it.

    That is between evaluation and commit, for longer than the lease: the tick must then commit nothing.

    Args:
        runs: the store.
    """

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs
        self.suspends = False

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        """Return the state of each key."""
        found = self._runs.key_states(requests)
        if self.suspends:
            self.suspends = False
            seconds = TICK_SECONDS + 1.5
            subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"])
            os.kill(os.getpid(), signal.SIGSTOP)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """End the process if the block exceeds the time limit, as Lambda does."""
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


class Worker:
    """All components of the engine, on the shared state.

    Args:
        shared: the shared state.
        kill_point: where this process is killed: `evaluating`, `before` or `after` a start; or `suspended` if it is
            suspended before it commits.
    """

    def __init__(self, shared: SharedState, kill_point: str) -> None:
        stores, clock, tokens = shared.stores(), SystemClock(), RandomTokens()
        self._shared = shared
        self._kill_point = kill_point
        self._stores = stores
        jobs = {name: JobSettings(name, name, f"shared:{name}", "-") for name in JOBS}
        targets = {name: KillingTarget(shared.target(name), kill_point) for name in JOBS}
        definition = Numbers(
            SENSOR, evaluation_fn=self._evaluate, jobs=[JobDefinition(name) for name in JOBS]
        )
        launches, grants = shared.queue("launches"), FixedGrants({SENSOR: frozenset(JOBS)})
        self._planner_runs = SuspendingRuns(stores.runs)
        wrapped: Any = ReplacedStores(stores, runs=self._planner_runs)
        engine = Assembly(wrapped, clock, tokens, "race")
        settings = scheduled_ticks.TickSettings(40, DefaultSensorStatus.RUNNING)
        self._sensor = engine.sensor(definition, settings)
        chunks = shared.queue("chunks")
        self._dispatcher = engine.dispatcher(launches, grants, InMemoryBus(), chunks=chunks)
        self._launcher = engine.launcher(launches, jobs, targets)
        self._reconciler = engine.reconciler(self._dispatcher, launches, jobs, targets)
        self._clock = clock

    def _evaluate(self, context: SensorEvaluationContext) -> SensorResult | SkipReason:
        if self._kill_point == "evaluating":
            os.kill(os.getpid(), signal.SIGKILL)
        number = int(context.cursor or 0)
        if number >= self._shared.last and not self._shared.has("extended"):
            return SkipReason("the end")
        keyed = [request(number + each) for each in range(2 * STEP)]
        keyless = RunRequest(run_config={"n": number}, job_name=random.choice(JOBS))
        return SensorResult([*keyed, keyless], cursor=str(number + STEP))

    def tick(self) -> None:
        """Run a scheduled tick now."""
        self._planner_runs.suspends = self._kill_point == "suspended"
        outcome = self._sensor.scheduled.tick(self._clock.now(), Budget(TICK_SECONDS))
        if outcome.decision in {Decision.SUCCESS, Decision.LOST} and not self._planner_runs.suspends:
            self._kill_point = ""
        self._planner_runs.suspends = False
        if outcome.decision is Decision.LOST:
            append(self._shared.folder / "lost", outcome.subject)

    def take_event(self, body: dict[str, object]) -> None:
        """Evaluate an event."""
        event = event_of(int(str(body["number"])))
        events = self._sensor.events
        events.evaluate(event, events.load_batch_state([event]), Budget(TICK_SECONDS))

    def dispatch(self) -> None:
        """Dispatch any pending tick, as the stream would."""
        keys = self._stores.ticks.pending(FAR, 20)
        found = self._stores.ticks.get(*random.choice(keys)) if keys else None
        if found is None:
            time.sleep(IDLE_SECONDS)
        else:
            self._dispatcher.dispatch(found)

    def dispatch_chunk(self, body: dict[str, object]) -> None:
        """Dispatch a chunk of a tick."""
        request = TickRequest.from_json(body)
        assert isinstance(request, ChunkRequest)
        self._dispatcher.dispatch_chunk(request)

    def launch(self, body: dict[str, object]) -> None:
        """Launch an attempt."""
        with time_limit():
            self._launcher.launch(LaunchRequest.from_json(body), LIMIT_SECONDS)

    def reconcile(self) -> None:
        """Run RECONCILE, once a second in all processes; a pass may overlap the next one."""
        second = self._shared.folder / f"reconcile-{self._clock.now() // 1000}"
        with contextlib.suppress(FileExistsError):
            second.touch(exist_ok=False)
            self._reconciler.reconcile(1.0)

    def process(self, queue: str, step: Callable[[dict[str, object]], None]) -> None:
        """Process any message of a queue, and delete it if that succeeds."""
        found = self._shared.queue(queue).receive()
        if found is None:
            time.sleep(IDLE_SECONDS)
            return
        receipt, body = found
        step(body)
        self._shared.queue(queue).delete(receipt)

    def step(self) -> None:
        """Run a random component."""
        steps: list[tuple[int, Callable[[], None]]] = [
            (3, lambda: self.process("events", self.take_event)),
            (4, self.dispatch),
            (4, lambda: self.process("chunks", self.dispatch_chunk)),
            (8, lambda: self.process("launches", self.launch)),
            (1, self.reconcile),
        ]
        if not self._shared.has("closing"):
            steps.append((6, self.tick))
        (chosen,) = random.choices([step for _, step in steps], [weight for weight, _ in steps])
        chosen()


def race(shared: SharedState, seed: int, kill_point: str) -> None:
    """Run one component after the other until the parent sets the flag `done`.

    Args:
        shared: the shared state.
        seed: of this process's random choices.
        kill_point: where the process is killed.
    """
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    shorten_delays()
    worker = Worker(shared, kill_point)
    while not shared.has("done"):
        try:
            worker.step()
        except (StoreError, LaunchError):
            continue  # The message is redelivered.
        except Exception as error:
            append(shared.folder / "problems", repr(error))
            raise
