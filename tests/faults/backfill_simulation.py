"""A simulation of a backfill, its operator and the engine: a fault can be injected at every call of a port."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from tests.faults.simulated_aws import (
    SimulatedDeadLetters,
    SimulatedQueue,
    SimulatedTarget,
    TargetFaults,
)
from tests.faults.simulation import PORTS, Simulation
from tests.faults.trace import Trace, TracedRuns
from tests.support.engine import JOB, JOBS, NAMESPACE
from tests.support.metrics import discard_metrics
from tests.support.replaced_stores import ReplacedStores
from treadle.adapters.status_events import parse_status_change
from treadle.definitions.errors import (
    CommandRefusedError,
    LaunchDelayedError,
    LaunchUncertainError,
    StoreError,
    TreadleError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import RunIds
from treadle.engine.invocation_batch import InvocationBatch
from treadle.engine.messages import BackfillRequest, LaunchRequest
from treadle.engine.publish.publisher import backfill_requests, statuses_reached
from treadle.entrypoints.handler import process_queue
from treadle.model.backfills import Backfill, BackfillPartition, BackfillStatus, PartitionState, backfill_of
from treadle.model.runs import Run
from treadle.operate.backfills import BackfillOperations
from treadle.operate.runs import RunOperations
from treadle.ports.targets import Target
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import SequentialIds, VirtualClock
from treadle.testing.targets import NAMED

SECONDS = 60
PAUSE_SECONDS = 1_200
MINUTE_MS = 60_000
RECONCILE_MS = 300_000
NAME = "may"
FAILING = ("p1",)
"""The partitions whose first attempt fails."""


@dataclass(frozen=True, slots=True)
class BackfillScenario:
    """What the operator does.

    Attributes:
        total: the number of partitions.
        limit: how many runs may be in progress; 0 for no limit.
        commands: the operator's commands in order, each with the minute at which it is first given.
    """

    total: int = 4
    limit: int = 2
    commands: tuple[tuple[int, str], ...] = ()


PAUSED = BackfillScenario(
    commands=((0, "start"), (1, "start"), (4, "pause"), (12, "resume"), (60, "retry"), (60, "retry"))
)
CANCELED = BackfillScenario(commands=((0, "start"), (4, "cancel"), (4, "cancel")))
UNLIMITED = BackfillScenario(limit=0, commands=((0, "start"), (1, "start"), (60, "retry")))
SCENARIOS = {"paused": PAUSED, "canceled": CANCELED, "unlimited": UNLIMITED}


class _Context:
    """Lambda's context of an invocation that has just begun."""

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


@dataclass(slots=True)
class BackfillSimulation(Simulation):
    """A simulation of one backfill.

    Attributes:
        scenario: what the operator does.
        faults: injects the faults.
        problems: what went wrong on the way.
        most: the maximum number of runs that were in progress at once.
        waiting_at_cancel: the partitions that were waiting when the backfill was canceled.
    """

    ports: ClassVar[Mapping[str, str]] = {
        "runs": PORTS["runs"],
        "backfills": "BackfillStore",
    }

    scenario: BackfillScenario = PAUSED
    faults: Faults = field(default_factory=Faults)
    clock: VirtualClock = field(default_factory=VirtualClock)
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    trace: Trace = field(default_factory=Trace)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    stream: list[tuple[int, Run, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    most: int = 0
    waiting_at_cancel: frozenset[int] = frozenset()
    dispatches: SimulatedQueue = field(init=False)
    launches: SimulatedQueue = field(init=False)
    events: SimulatedQueue = field(init=False)
    jobs_run: "PartitionTarget" = field(init=False)
    began_at: int = field(init=False)
    next_look: int = field(init=False)
    commands: list[tuple[int, str]] = field(init=False)
    _tokens: SequentialIds = field(default_factory=SequentialIds)

    def __post_init__(self) -> None:
        random.seed(0)  # The delay of a throttled message is random.
        self.began_at = self.clock.now()
        self.next_look = self.began_at + RECONCILE_MS
        for name in ("dispatches", "launches", "events"):
            setattr(self, name, SimulatedQueue(self.clock, self.dead_letters.kept))
        failing = frozenset(f"{key}/1" for key in FAILING)
        self.jobs_run = PartitionTarget(self.clock, NAMED, TargetFaults(failing=failing), self.events)
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_SECONDS * 1000)
        self.commands = [
            (self.began_at + minute * MINUTE_MS, name) for minute, name in self.scenario.commands
        ]

    # The ports.

    def _stores(self) -> Any:
        return ReplacedStores(self.stores, runs=_WatchedRuns(self))

    def backfill(self) -> Backfill | None:
        """Return the backfill as it is stored."""
        return self.stores.backfills.get(NAME)

    # The operator.

    def _operate(self, name: str) -> None:
        engine, run_ids = self.engine, RunIds.of(NAMESPACE)
        runs = RunOperations(
            engine.stores.runs, self.stores.sensors, self._queue(self.launches), JOBS, {}, run_ids, self.clock
        )
        operations = BackfillOperations(
            engine.stores.backfills, self._queue(self.dispatches), JOBS, runs, run_ids, self.clock
        )
        if name == "start":
            partitions = [BackfillPartition(f"p{number}") for number in range(self.scenario.total)]
            operations.start(JOB, partitions, "ann", name=NAME, limit=self.scenario.limit)
        else:
            getattr(operations, name)(NAME, "ann")
        if name == "cancel" and not self.waiting_at_cancel:
            found = self.backfill()
            self.waiting_at_cancel = frozenset(found.positions(PartitionState.WAITING) if found else ())

    def _command(self, name: str) -> None:
        """Give a command, again until it succeeds or is refused."""
        is_done = False
        while not is_done:
            with suppress(StoreError):
                try:
                    is_done = self.faults.run("COMMAND", lambda: self._operate(name))
                except CommandRefusedError as error:
                    is_done, found = True, self.backfill()
                    if name in {"start", "retry"} or (found is not None and found.is_unfinished):
                        self.problems.append(f"{name} was refused: {error}")

    # The engine.

    def _dispatch(self, event: dict[str, Any]) -> Any:
        backfiller = self.engine.backfiller(self._queue(self.launches), JOBS)
        inbox = self._inbox("dispatch", self.dispatches)

        def handle(request: BackfillRequest) -> None:
            backfiller.advance(request.name, self.clock.now() + SECONDS * 1000, request.positions)

        return process_queue(event, _Context(), handle, inbox, BackfillRequest.from_json, kept_in_tables=True)

    def _launch(self, event: dict[str, Any]) -> Any:
        inbox, target = self._inbox("launch", self.launches), self._target()
        launcher = self.engine.launcher(inbox.queue, JOBS, target)
        batch = InvocationBatch(partial(launcher.launch_many, seconds=SECONDS))
        return process_queue(
            event, _Context(), batch.result, inbox, LaunchRequest.from_json, batch.begin, kept_in_tables=True
        )

    def _target(self) -> dict[str, Target]:
        target: Target = self.jobs_run
        lost, throttled = LaunchUncertainError, LaunchDelayedError
        return {"step_functions": faulty(target, "Target", self.faults, lost=lost, throttled=throttled)}

    def _record(self, event: dict[str, Any]) -> Any:
        recorder = self.engine.recorder(JOBS, self._target())

        batch = InvocationBatch(recorder.record_many)
        inbox = self._inbox("record", self.events)
        return process_queue(event, _Context(), batch.result, inbox, parse_status_change, batch.begin)

    def _publish(self, run: Run, before: Any) -> None:
        requests = backfill_requests(statuses_reached(run, before))
        with suppress(StoreError):
            self._queue(self.dispatches).send([each.to_json() for each in requests])

    def _reconcile(self) -> None:
        engine, launches = self.engine, self._queue(self.launches)
        dispatcher = engine.dispatcher(launches, FixedGrants({}), InMemoryBus())
        engine.reconciler(dispatcher, launches, JOBS, self._target()).reconcile(SECONDS)

    # Time.

    @property
    def is_busy(self) -> bool:
        """Whether a run or the backfill is not finished."""
        runs, found = self.stores.tables.runs.values(), self.backfill()
        return any(run.next_at is not None for run in runs) or bool(found and found.next_at is not None)

    def _next_times(self) -> Iterator[int]:
        queues = (self.dispatches, self.launches, self.events)
        yield from (queue.next_at for queue in queues if queue.next_at is not None)
        yield from (at for at, *_ in self.stream[:1])
        yield from (end[0] for end in self.jobs_run.ends[:1])
        yield from (at for at, _ in self.commands[:1])
        if self.is_busy:
            yield self.next_look

    def _run_due(self) -> None:
        self.jobs_run.end_due()
        while self.commands and self.commands[0][0] <= self.clock.now():
            self._command(self.commands.pop(0)[1])
        self._receive("DISPATCH", self.dispatches, self._dispatch)
        self._receive("LAUNCH", self.launches, self._launch)
        self._receive("RECORD", self.events, self._record)
        while self.stream and self.stream[0][0] <= self.clock.now():
            _, run, before = self.stream.pop(0)
            if not self.faults.run("PUBLISH", partial(self._publish, run, before)):
                self.stream.insert(0, (self.clock.now() + MINUTE_MS, run, before))
        if self.is_busy and self.next_look <= self.clock.now():
            self.next_look = self.clock.now() + RECONCILE_MS
            with suppress(TreadleError):
                self.faults.run("RECONCILE", self._reconcile)
        discard_metrics()

    # What is written.

    def wrote(self, before: Run | None, run: Run) -> None:
        """Check a write of a run, and let the stream deliver it."""
        found, place = self.backfill(), backfill_of(run)
        if place is None or found is None:
            self.problems.append(f"{run} belongs to no backfill")
        elif before is None or before.attempt != run.attempt:
            state = PartitionState(chr(found.states[place[1]]))
            if state is not PartitionState.RESERVED:
                self.problems.append(
                    f"attempt {run.attempt} of {run.partition_key} was created while {state.name}"
                )
        running = sum(not each.status.is_finished for each in self.stores.tables.runs.values())
        self.most = max(self.most, running)
        self.stream.append((self.clock.now(), run, before.reached if before else None))


class _WatchedRuns(TracedRuns):
    """A `RunStore` that reports each write to the simulation."""

    def __init__(self, simulation: BackfillSimulation) -> None:
        super().__init__(simulation.stores.runs, simulation.trace)
        self._simulation = simulation

    def _before(self, run: Run) -> Run | None:
        return self._simulation.stores.tables.runs.get(run.run_id)

    def create(self, run: Run) -> Run | None:
        current = super().create(run)
        if current is None:
            self._simulation.wrote(None, run)
        return current

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        known = self._before(run)
        current = super().replace(run, before)
        if current is None:
            self._simulation.wrote(known, run)
        return current


@dataclass(slots=True)
class PartitionTarget(SimulatedTarget):
    """A target whose executions fail by partition and attempt, as in `p1/1`."""

    def start(self, start: Any) -> Any:
        """Start a job, as often as the contract promises."""
        before = len(self.inner.executions)
        execution = self.inner.start(start)
        if len(self.inner.executions) > before:
            partition = json.loads(start.payload)["partition_key"]
            self._begun(execution, f"{partition}/{start.launch_id.rpartition('-')[2]}")
        return execution


def violations(simulation: BackfillSimulation) -> list[str]:
    """Return what a backfill must never do, and did."""
    return [*simulation.problems, *_of_end(simulation), *_of_starts(simulation)]


def _of_end(simulation: BackfillSimulation) -> Iterator[str]:
    found, scenario = simulation.backfill(), simulation.scenario
    if found is None:
        yield "the backfill was never started"
        return
    if found.next_at is not None or simulation.is_busy:
        yield f"the backfill or a run never ends: {found.states!r}"
    if simulation.dead_letters.kept:
        yield f"there are dead letters: {simulation.dead_letters.kept}"
    if scenario.limit and simulation.most > scenario.limit:
        yield f"{simulation.most} runs were in progress at once"
    all_succeeded = found.shown_status is BackfillStatus.COMPLETED_SUCCESS
    if not (all_succeeded or scenario == CANCELED) or found.is_unfinished:
        yield f"the backfill is {found.shown_status}: {found.states!r}"
    yield from _of_partitions(simulation, found)


def _of_partitions(simulation: BackfillSimulation, found: Backfill) -> Iterator[str]:
    """Check that each partition has one run, in the state that the backfill shows."""
    records = simulation.stores.tables.runs
    runs = {run.partition_key: run for run in records.values()}
    if len(runs) != len(records):
        yield "a partition has two runs"
    for position in range(found.total):
        run, state = runs.get(f"p{position}"), PartitionState(chr(found.states[position]))
        if state.name != (run.status.name if run else "WAITING"):
            yield f"partition {position} is {state.name}, but its run is {run}"
        if run and position in simulation.waiting_at_cancel:
            yield f"partition {position} was started after the backfill was canceled"


def _of_starts(simulation: BackfillSimulation) -> Iterator[str]:
    begun = simulation.jobs_run.inner.begun
    for launch_id, executions in begun.items():
        if len(executions) > 1:
            yield f"{launch_id} was started {len(executions)} times"
    if simulation.scenario == CANCELED:
        return
    attempts = Counter(launch_id.rpartition("-")[0] for launch_id in begun)
    wanted = {
        run.run_id: 2 if run.partition_key in FAILING else 1
        for run in simulation.stores.tables.runs.values()
        if run.status is Status.SUCCESS
    }
    if attempts != wanted:
        yield f"the runs had {sorted(attempts.values())} starts"
