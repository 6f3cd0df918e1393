"""A simulation of concurrency pools: ticks, runs, their targets and an operator; a fault can be injected at every call."""

import json
import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar

from tests.faults.simulated_aws import (
    VISIBILITY_MS,
    SimulatedDeadLetters,
    SimulatedQueue,
    SimulatedTarget,
    TargetFaults,
)
from tests.faults.simulation import PORTS, Simulation
from tests.faults.trace import Trace, TracedRuns
from tests.support.engine import JOBS, NAMESPACE, RUN_IDS
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
from treadle.definitions.status import TickStatus
from treadle.engine.assembly import Assembly
from treadle.engine.identity import leased_tick_id
from treadle.engine.invocation_batch import InvocationBatch
from treadle.engine.launch.launcher import TAKEOVER_MARGIN_MS
from treadle.engine.messages import LaunchRequest, PublishRequest, TickRequest, dispatch_request
from treadle.engine.pools.pool_checks import CHECKED_MS
from treadle.engine.record.run_state import MESSAGE_LOST_MS
from treadle.engine.registry.registry_cache import MAX_AGE_MS
from treadle.engine.registry.registry_sync import CLOSED_MS
from treadle.entrypoints.dispatcher import DispatcherParts, dispatch_message
from treadle.entrypoints.handler import process_queue
from treadle.entrypoints.publisher import PublisherParts, publish_message, publish_stream
from treadle.model.pools import BEYOND, MINUTE_MS, Overlap, StartSlot, Waiter, is_of_starts, pool_of_job
from treadle.model.registry import PoolEntry
from treadle.model.runs import RUN_REPLACED, RUN_SKIPPED, Claim, PendingStart, Run, pool_changes
from treadle.model.targets import Execution, JobSettings, Start, StartContract
from treadle.model.ticks import PlannedRun, Tick, TickKind
from treadle.operate.runs import RunOperations
from treadle.ports.targets import Target
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.pools import DeclaredPools, Pool
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import SequentialIds, VirtualClock
from treadle.testing.targets import NAMED

SECONDS = 60
PAUSE_SECONDS = 1_200
RECONCILE_MS = 60_000
INDEX_LAG_MS = 10_000
"""By how much the simulated indexes lag; those of DynamoDB Local do not."""

NO_FAULTS = TargetFaults()
SENSOR = "watch"
JOB_NAMES = ("load", "clean")
SETTINGS = {name: replace(next(iter(JOBS.values())), job=name) for name in JOB_NAMES}

REPAIR_MS = max(MESSAGE_LOST_MS, CHECKED_MS, SECONDS * 1000 + TAKEOVER_MARGIN_MS) + 2 * RECONCILE_MS
"""The time in which a lost message is sent again, a lost end is found, or the claim of a dead launch expires: until
then, RECONCILE looks once, and once more if the index lags."""

REDELIVERY_MS = VISIBILITY_MS + RECONCILE_MS
"""The time in which what a killed function was processing is processed again."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A run that a tick requests."""

    key: str
    job: str = "load"
    tags: Mapping[str, str] = field(default_factory=dict)


def requested(keys: str, job: str = "load", **tags: str) -> tuple[Requested, ...]:
    """Return a request for each of the keys, which are separated by spaces."""
    named = {name.replace("__", "/"): value for name, value in tags.items()}
    return tuple(Requested(key, job, named) for key in keys.split())


@dataclass(frozen=True, slots=True)
class PoolScenario:
    """What sensors request, and what an operator does.

    Attributes:
        pools: the declared pools.
        ticks: the requests of each tick, by the minute.
        commands: the operator's commands in order, each with the minute and its arguments.
        target_faults: failures of the target, by run key.
        contract: the start contract of the target.
        loses: the message of the queues that are lost, by their kind: the first of each run or pool.
        unsure: jobs whose start is never answered, by run key; they run for two hours.
    """

    pools: tuple[Pool, ...]
    ticks: tuple[tuple[int, tuple[Requested, ...]], ...]
    commands: tuple[tuple[int, tuple[Any, ...]], ...] = ()
    target_faults: TargetFaults = NO_FAULTS
    contract: StartContract = NAMED
    loses: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()


@dataclass(slots=True)
class Interval:
    """The time in which an execution was under way, as its target knows it.

    Attributes:
        launch_id: the attempt.
        started_at: its beginning.
        ended_at: its end; None while it is under way.
        is_redriven: True if an operator redrove it at the target.
    """

    launch_id: str
    started_at: int
    ended_at: int | None = None
    is_redriven: bool = False


@dataclass(slots=True)
class LossyQueue(SimulatedQueue):
    """A queue that loses the first message of each run or pool, of some kinds.

    Attributes:
        loses: the kinds.
    """

    loses: frozenset[str] = frozenset()
    _lost: set[str] = field(default_factory=set)

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Add the messages that are not lost."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        kept = [(body, delay) for body, delay in zip(bodies, delays, strict=True) if not self._loses(body)]
        SimulatedQueue.send(self, [body for body, _ in kept], delay_seconds=[delay for _, delay in kept])

    def _loses(self, body: Mapping[str, object]) -> bool:
        if body.get("treadle") not in self.loses:
            return False
        name = json.dumps(body, sort_keys=True, default=str)
        if name in self._lost:
            return False
        self._lost.add(name)
        return True


@dataclass(slots=True)
class PoolTarget(SimulatedTarget):
    """A target that remembers when each execution was under way.

    Attributes:
        intervals: in the order of starts.
        unsure: jobs whose start is never answered, by run key.
        on_start: called after each start.
    """

    intervals: list[Interval] = field(default_factory=list)
    unsure: frozenset[str] = frozenset()
    on_start: Any = None

    def start(self, start: Start) -> Execution:
        """Start a job, as often as the contract promises."""
        execution = SimulatedTarget.start(self, start)
        if str(json.loads(start.payload)["run_key"]) in self.unsure:
            msg = "The connection broke."
            raise LaunchUncertainError(msg)
        return execution

    def _begun(self, execution: Execution, key: str) -> None:
        self.intervals.append(Interval(execution.launch_id or "", self.clock.now()))
        if key in self.unsure:
            self.ends.append(
                (self.clock.now() + 120 * MINUTE_MS, next(self._count), execution.external_id, key)
            )
            self.ends.sort()
        else:
            SimulatedTarget._begun(self, execution, key)
        self.on_start(self.intervals[-1])

    def end_due(self) -> None:
        """End the jobs that have run for long enough."""
        SimulatedTarget.end_due(self)
        self._note_ends()

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        """Cancel a job, and report its end."""
        SimulatedTarget.cancel(self, external_id, role, reason)
        self.ends = sorted(end for end in self.ends if end[2] != external_id)
        self._note_ends()

    def _note_ends(self) -> None:
        for each in self.intervals:
            executions = [self.inner.executions[name] for name in self.inner.begun.get(each.launch_id, ())]
            if each.ended_at is None and all(execution.status.is_finished for execution in executions):
                each.ended_at = self.clock.now()

    def redrive(self, external_id: str, key: str) -> None:
        """Let an execution that has ended go on, as an operator does at Step Functions, and report it."""
        redriven = replace(self.inner.executions[external_id], status=Status.STARTED, ended_at=None, retry=1)
        self.inner.executions[external_id] = redriven
        self.intervals.append(Interval(redriven.launch_id or "", self.clock.now(), is_redriven=True))
        self._begun_again(redriven, key)

    def _begun_again(self, execution: Execution, key: str) -> None:
        end = (self.clock.now() + 10 * MINUTE_MS, next(self._count), execution.external_id, key)
        self.ends.append(end)
        self.ends.sort()
        self._report(execution, "RUNNING", key, 0)

    def _report(
        self, execution: Execution, status: str, key: str, delay: int, machine: str | None = None
    ) -> None:
        sent = len(self.events.messages)
        SimulatedTarget._report(self, execution, status, key, delay, machine)
        redriven = (each for each in self.intervals if each.is_redriven)
        at = next((each.started_at for each in redriven if each.launch_id == execution.launch_id), None)
        for message in self.events.messages[sent:] if at is not None else []:
            body = json.loads(message.body)
            body["detail"] |= {"redriveCount": 1, "redriveDate": at}
            message.body = json.dumps(body)


class _Declaration(DeclaredPools):
    """The pools of one deployment, which do not change."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        super().__init__(pools)
        self.pools = pools

    @cached_property
    def entries(self) -> dict[str, PoolEntry]:
        return super().entries


@dataclass(slots=True)
class PoolSimulation(Simulation):
    """A simulation of an engine with pools.

    Attributes:
        scenario: what is requested, and what the operator does.
        faults: injects the faults.
        problems: what went wrong on the way.
        longest_idle: the longest time that a slot was free while a run could have started, by pool.
        newest: when the newest run was requested that was granted a slot, by the pool whose latest run waits.
        has_lag: whether indexes lag.
    """

    ports: ClassVar[Mapping[str, str]] = {"runs": PORTS["runs"], "pools": "PoolStore"}

    scenario: PoolScenario
    faults: Faults = field(default_factory=Faults)
    clock: VirtualClock = field(default_factory=VirtualClock)
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    trace: Trace = field(default_factory=Trace)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    stream: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    longest_idle: dict[str, int] = field(default_factory=dict)
    limits: list[tuple[int, str, int]] = field(default_factory=list)
    pools: list[tuple[int, _Declaration]] = field(default_factory=list)
    writes: list[tuple[int, Run]] = field(default_factory=list)
    granted: dict[str, int] = field(default_factory=dict)
    starts: dict[str, list[StartSlot]] = field(default_factory=dict)
    last_turns: dict[str, str] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    dispatches: SimulatedQueue = field(init=False)
    launches: SimulatedQueue = field(init=False)
    events: SimulatedQueue = field(init=False)
    publishes: SimulatedQueue = field(init=False)
    jobs_run: PoolTarget = field(init=False)
    began_at: int = field(init=False)
    next_look: int = field(init=False)
    commands: list[tuple[int, tuple[Any, ...]]] = field(init=False)
    ticks: list[tuple[int, tuple[Requested, ...]]] = field(init=False)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    _idle_since: dict[tuple[str, str], int] = field(default_factory=dict)
    _lagging: dict[str, Run] = field(default_factory=dict)
    _writes_of: dict[str, list[int]] = field(default_factory=dict)
    _seen: int = 0
    _steps: int = 0

    def __post_init__(self) -> None:
        random.seed(0)  # The delay of a throttled message is random.
        self.began_at = self.clock.now()
        # Not in the moments in which runs end, so that it grants no slot before the message about it is there.
        self.next_look = self.began_at + RECONCILE_MS // 2
        for name in ("dispatches", "launches", "events", "publishes"):
            setattr(self, name, LossyQueue(self.clock, self.dead_letters.kept, loses=self.scenario.loses))
        scenario = self.scenario
        self.jobs_run = PoolTarget(
            self.clock, scenario.contract, scenario.target_faults, self.events, unsure=scenario.unsure
        )
        self.jobs_run.on_start = self._started
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_SECONDS * 1000)
        self.commands = [
            (self.began_at + minute * MINUTE_MS, command) for minute, command in scenario.commands
        ]
        self.ticks = [(self.began_at + minute * MINUTE_MS, requests) for minute, requests in scenario.ticks]
        self._declare({pool.name: pool for pool in scenario.pools})

    # Pools.

    def _declare(self, pools: dict[str, Pool], *, closed: frozenset[str] = frozenset()) -> None:
        """Declare exactly these pools, as a deployment does."""
        now, declared = self.clock.now(), _Declaration(pools)
        states = {
            state.name: replace(state, closed_until=now + CLOSED_MS if state.name in closed else None)
            for state in declared.states
        }
        before = self.pools[-1][1].states if self.pools else []
        self.stores.pools.declare(states.values(), {state.name for state in before} - states.keys())
        self.pools.append((now, declared))
        self._note_limits()

    def _note_limits(self) -> None:
        for name, state in self.stores.pools.states().items():
            self.limits.append((self.clock.now(), name, state.limit_of(name)))

    def limit_since(self, name: str, since: int) -> int:
        """Return the highest limit of a pool since a time."""
        of_pool = [(at, limit) for at, each, limit in self.limits if each == name]
        before = [limit for at, limit in of_pool if at <= since][-1:]
        return max([*before, *(limit for at, limit in of_pool if at > since)])

    def of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the pools of a run as a component sees them, whose copy of the registry is as old as it may be."""
        seen = [pools for at, pools in self.pools if at <= self.clock.now() - MAX_AGE_MS]
        return (seen[-1] if seen else self.pools[0][1]).of(job, tags)

    def turns(self, keys: Collection[str], tags: Mapping[str, str]) -> Mapping[str, str]:
        """Return the turns of a run in its pools, as declared now."""
        return self.pools[-1][1].turns(keys, tags)

    def pools_of(self, launch_id: str) -> tuple[str, ...]:
        """Return the pools that an attempt's run is in, as declared now."""
        run = self.stores.tables.runs[launch_id.rpartition("-")[0]]
        return self.pools[-1][1].of(run.job, run.tags)

    def key_of(self, launch_id: str) -> str | None:
        """Return the run key of an attempt."""
        return self.stores.tables.runs[launch_id.rpartition("-")[0]].run_key

    def under_way(self, pool: str, *, redriven: bool = True) -> list[Interval]:
        """Return the executions of a pool that are under way, as the target knows them."""
        return [
            each
            for each in self.jobs_run.intervals
            if each.ended_at is None
            and (redriven or not each.is_redriven)
            and pool in self.pools_of(each.launch_id)
        ]

    # The ports.

    def _stores(self) -> Any:
        return ReplacedStores(self.stores, runs=_WatchedRuns(self))

    @property
    def engine(self) -> Assembly:
        """The assembly of the engine's components, with faults at the stores."""
        return Assembly(self._faulted(), self.clock, self._tokens, NAMESPACE, self)

    def _target(self) -> dict[str, Target]:
        target: Target = self.jobs_run
        lost, throttled = LaunchUncertainError, LaunchDelayedError
        return {"step_functions": faulty(target, "Target", self.faults, lost=lost, throttled=throttled)}

    @property
    def settings(self) -> Mapping[str, JobSettings]:
        """The settings of the jobs."""
        return SETTINGS

    # The operator.

    def _operate(self, name: str, *args: Any) -> None:
        runs = RunOperations(
            self.engine.stores.runs,
            self.stores.sensors,
            self._queue(self.launches),
            self.settings,
            self._target(),
            RUN_IDS,
            self.clock,
        )
        if name == "limit":
            [pool, limit] = args
            self.engine.stores.pools.set_override(pool, limit, "ann", self.clock.now())
        elif name == "declare":
            [pools, closed] = args
            self._declare({pool.name: pool for pool in pools}, closed=frozenset(closed))
        elif name == "redrive":
            [execution] = self.jobs_run.inner.begun[f"{run_id(args[0])}-1"]
            self.jobs_run.redrive(execution, args[0])
        else:
            getattr(runs, name)(run_id(args[0]), "ann")

    def _command(self, command: tuple[Any, ...]) -> None:
        """Give a command; if it does not succeed, again a minute later."""
        is_done = False
        with suppress(StoreError):
            try:
                is_done = self.faults.run("COMMAND", lambda: self._operate(*command))
            except CommandRefusedError:
                is_done = True  # The run has ended meanwhile.
        self._note_limits()  # Also if the process was killed after it had changed one.
        if not is_done:
            self.commands.append((self.clock.now() + MINUTE_MS, command))
            self.commands.sort(key=lambda each: each[0])

    def _commit(self, at: int, requests: tuple[Requested, ...]) -> None:
        """Commit a tick, and send it to DISPATCH."""
        tick_id = leased_tick_id(at, len(self.ticks) + 1)
        planned = tuple(PlannedRun(run_id(r.key), r.key, r.job, "{}", r.tags) for r in requests)
        tick = Tick(SENSOR, tick_id, TickKind.LEASED, TickStatus.SUCCESS, at, at, at, requests=planned)
        self.stores.tables.ticks[SENSOR, tick_id] = tick
        self.dispatches.send([TickRequest(SENSOR, tick_id).to_json()])

    # The engine.

    def _dispatch(self, event: dict[str, Any]) -> Any:
        engine, launches, inbox = (
            self.engine,
            self._queue(self.launches),
            self._inbox("dispatch", self.dispatches),
        )
        dispatcher = engine.dispatcher(launches, FixedGrants({SENSOR: frozenset(JOB_NAMES)}), InMemoryBus())
        parts = DispatcherParts(
            dispatcher,
            engine.backfiller(launches, self.settings),
            engine.granter(launches),
            lambda _: Tick("", "", TickKind.LEASED, TickStatus.SUCCESS, 0, 0, 0),
            InMemoryBus(),
            inbox,
        )
        handle = partial(dispatch_message, parts, self.clock.now() + SECONDS * 1000)
        return process_queue(event, handle, inbox, dispatch_request, kept_in_tables=True)

    def _launch(self, event: dict[str, Any]) -> Any:
        inbox = self._inbox("launch", self.launches)
        launcher = self.engine.launcher(inbox.queue, self.settings, self._target())

        batch = InvocationBatch(partial(launcher.launch_many, seconds=SECONDS))
        return process_queue(
            event, batch.result, inbox, LaunchRequest.from_json, batch.begin, kept_in_tables=True
        )

    def _record(self, event: dict[str, Any]) -> Any:
        recorder = self.engine.recorder(self.settings, self._target())

        batch = InvocationBatch(recorder.record_many)
        inbox = self._inbox("record", self.events)
        return process_queue(event, batch.result, inbox, parse_status_change, batch.begin)

    def _publisher(self) -> PublisherParts:
        engine, inbox = self.engine, self._inbox("publish", self.publishes)
        stores, publisher = engine.stores, engine.publisher(InMemoryBus())
        dispatches = self._queue(self.dispatches)
        return PublisherParts(publisher, self._read, inbox, dispatches, stores.pools, self._tokens)

    def _read(self, image: dict[str, Any]) -> Run:
        """Return the run of an image in the stream."""
        return self.writes[int(image["at"]["N"])][1]

    def _publish_again(self, event: dict[str, Any]) -> Any:
        parts = self._publisher()
        handle = partial(publish_message, parts)
        return process_queue(event, handle, parts.inbox, PublishRequest.from_json)

    def _reconcile(self) -> None:
        engine, launches = self.engine, self._queue(self.launches)
        grants = FixedGrants({SENSOR: frozenset(JOB_NAMES)})
        dispatcher = engine.dispatcher(launches, grants, InMemoryBus())
        dispatches = self._queue(self.dispatches)
        engine.reconciler(
            dispatcher, launches, self.settings, self._target(), dispatches=dispatches
        ).reconcile(SECONDS)

    # Time.

    @property
    def is_busy(self) -> bool:
        """Whether a run is not finished, or there is a note of a queue."""
        tables = self.stores.tables
        runs = any(run.next_at is not None or run.waiting for run in tables.runs.values())
        pending = any(tick.is_to_be_dispatched for tick in tables.ticks.values())
        closed = any(pool.closed_until for pool in tables.pools.values())
        return runs or pending or bool(tables.queues) or closed

    def _next_times(self) -> Iterator[int]:
        queues = (self.dispatches, self.launches, self.events, self.publishes)
        yield from (queue.next_at for queue in queues if queue.next_at is not None)
        yield from (at for at, _ in self.stream[:1])
        yield from (end[0] for end in self.jobs_run.ends[:1])
        yield from (at for at, _ in self.commands[:1])
        yield from (at for at, _ in self.ticks[:1])
        if self.is_busy:
            yield self.next_look

    def _run_due(self) -> None:
        self.jobs_run.end_due()
        while self.ticks and self.ticks[0][0] <= self.clock.now():
            self._commit(*self.ticks.pop(0))
        while self.commands and self.commands[0][0] <= self.clock.now():
            self._command(self.commands.pop(0)[1])
        before = -1
        while before != len(self.writes):
            before = len(self.writes)
            self._receive("DISPATCH", self.dispatches, self._dispatch)
            self._receive("LAUNCH", self.launches, self._launch)
            self._receive("RECORD", self.events, self._record)
            self._receive("PUBLISH", self.publishes, self._publish_again)
            self._deliver_stream()
            self._receive("DISPATCH", self.dispatches, self._dispatch)
        if self.is_busy and self.next_look <= self.clock.now():
            self.next_look = self.clock.now() + RECONCILE_MS
            with suppress(TreadleError):
                self.faults.run("RECONCILE", self._reconcile)
        self._look_for_idle_slots()
        discard_metrics()

    def _deliver_stream(self) -> None:
        while self.stream and self.stream[0][0] <= self.clock.now():
            batch, self.stream = self.stream[:4], self.stream[4:]
            answers: list[dict[str, Any]] = []
            records = [record for _, record in batch]
            is_done = self.faults.run(
                "PUBLISH",
                lambda: answers.append(publish_stream(self._publisher(), records)),  # noqa: B023
            )
            if not is_done or answers[0]["batchItemFailures"]:
                again = self.clock.now() + MINUTE_MS
                self.stream = [(again, record) for record in records] + [
                    (max(at, again), record) for at, record in self.stream
                ]

    # What is written.

    def note(self, run: Run) -> None:
        """Note a write of a run."""
        self._writes_of.setdefault(run.run_id, []).append(len(self.writes))
        self.writes.append((self.clock.now(), run))

    def wrote(self, before: Run | None, after: Run) -> None:
        """Check a write of a run, and let the stream deliver it."""
        self.note(after)
        images = {"NewImage": _image(after, len(self.writes) - 1)}
        if before is not None:
            known = (at for at in reversed(self._writes_of[before.run_id]) if self.writes[at][1] == before)
            images["OldImage"] = _image(before, next(known))
        record = {"eventID": str(len(self.writes)), "dynamodb": {"Keys": {}, **images}}
        self.stream.append((max([self.clock.now(), *(at for at, _ in self.stream)]), record))
        if after.waiting is not None and after.status is not Status.QUEUED:
            self.problems.append(f"I13: {after.run_key} waits although it is {after.status}")
        changed = pool_changes(before, after)
        for start, launch_id in changed.starts:
            self.starts.setdefault(launch_id, []).append(start)
            self._check_starts(start)
        took = changed.starts or any(slot.number != BEYOND for slot, _ in changed.taken)
        if took and before is not None:
            self.granted[after.launch_id] = self.clock.now()
            self._check_order(before, after)

    def _check_starts(self, start: StartSlot) -> None:
        """Check that a pool of starts per minute has granted no more in the 60 seconds up to this grant."""
        others = [each for of in self.starts.values() for each in of if each.pool == start.pool]
        granted = [each for each in others if start.at - MINUTE_MS < each.at <= start.at]
        name = start.pool.partition("=")[0]
        # A limit is read at most a few seconds before a grant, except by a process that was paused in between.
        was_paused = any(fault == "paused" for _, fault in self.faults.injected)
        since = start.at - (PAUSE_SECONDS * 1000 if was_paused else MINUTE_MS)
        limit = self.limit_since(name, since)
        if len(granted) > limit:
            self.problems.append(
                f"starts: {len(granted)} of {start.pool} were granted in a minute, of {limit}"
            )

    def _check_order(self, before: Run, after: Run) -> None:
        """Check that a granted run was the first of those that could start (I13), or the newest that was granted.

        The first is that by priority, turn and age.
        """
        place, pool = before.place, pool_of_job(after.job)
        if place is None:
            return
        if pool in before.pools and self._overlap(pool).keeps_latest:
            if place.age < self.newest.get(pool, ""):
                self.problems.append(f"{after.run_key} was granted after a newer run")
            self.newest[pool] = place.age
            return
        own = Waiter(before.run_id, place.order)
        last, self.last_turns[place.pool] = self.last_turns.get(place.pool, ""), own.turn

        def rank(waiter: Waiter) -> tuple[object, ...]:
            return -waiter.priority, waiter.turn <= last, waiter.turn, waiter.order

        for other in self.stores.tables.runs.values():
            if other.place is None or other.place.pool != place.pool:
                continue  # Order holds within a queue.
            is_first = rank(Waiter(other.run_id, other.place.order)) < rank(own)
            if is_first and all(self._has_room(pool, after.launch_id) for pool in other.pools):
                self.problems.append(f"I13: {after.run_key} was granted before {other.run_key}")

    def _overlap(self, pool: str) -> Overlap:
        state = self.stores.pools.state(pool)
        return Overlap.QUEUE if state is None else state.overlap

    def _has_room(self, pool: str, without: str = "") -> bool:
        """Return whether a pool has a free slot, not counting what one attempt holds."""
        state = self.stores.pools.state(pool.partition("=")[0])
        now = self.clock.now()
        held = [
            each
            for each in self.stores.pools.holders(pool)
            if each.launch_id != without and each.is_held(now)
        ]
        return state is not None and state.closed_until is None and len(held) < state.limit_of(pool)

    def _started(self, begun: Interval) -> None:
        """Check a start that Treadle requested, by the target's own history (I11)."""
        run = self.stores.tables.runs[begun.launch_id.rpartition("-")[0]]
        beyond = {slot.pool for slot in run.slots if slot.number == BEYOND and slot.attempt == run.attempt}
        # What was granted is started, although the limit may have been lowered since the granter looked.
        since = self.granted.get(begun.launch_id, self.clock.now()) - MINUTE_MS
        since -= PAUSE_SECONDS * 1000 if any(fault == "paused" for _, fault in self.faults.injected) else 0
        pools = self.pools_of(begun.launch_id)
        of_starts = {each.pool for each in self.starts.get(begun.launch_id, ())}
        if len(self.pools) == 1 and of_starts != {pool for pool in pools if is_of_starts(pool)}:
            self.problems.append(f"starts: {run.run_key} was started without a grant of {pools}")
        for pool in pools:
            if is_of_starts(pool):
                continue
            # A start that was on its way when the pool came into being.
            if pool in beyond or (len(self.pools) > 1 and self.clock.now() < self.pools[-1][0] + CLOSED_MS):
                continue
            others = [
                each for each in self.under_way(pool) if not (each.is_redriven and each.started_at > since)
            ]
            name = pool.partition("=")[0]
            limit = self.limit_since(name, since) if name == pool else self._value_limit(pool)
            if len(others) > limit:
                names = [f"{each.launch_id[-8:]}" for each in others]
                self.problems.append(f"I11: {len(others)} runs of {pool} are under way, of {limit}: {names}")

    def _value_limit(self, pool: str) -> int:
        state = self.stores.pools.state(pool.partition("=")[0])
        return 10**6 if state is None else state.limit_of(pool)

    def _look_for_idle_slots(self) -> None:
        """Note how long slots are unused, by the target's history, although runs that could start wait (I12, I13).

        The time that a slot is free, and the time that each attempt holds one before its start, have bounds of their own.
        """
        idle: set[tuple[str, str]] = set()
        waiting = [run for run in self.stores.tables.runs.values() if run.waiting]
        unused = {pool: self._unused(pool) for pool in {pool for run in waiting for pool in run.pools}}
        for run in waiting:
            if run.waiting and all(unused[pool] for pool in run.pools):
                idle |= {(run.waiting.pool, holder) for pool in run.pools for holder in unused[pool]}
        self._idle_since = {slot: self._idle_since.get(slot, self.clock.now()) for slot in idle}
        for (pool, _), since in self._idle_since.items():
            self.longest_idle[pool] = max(self.longest_idle.get(pool, 0), self.clock.now() - since)

    def _unused(self, pool: str) -> set[str]:
        """Return the attempts that hold a slot and are not under way, or "" for a free slot; nothing if all are used."""
        state = self.stores.pools.state(pool.partition("=")[0])
        if state is None or state.closed_until is not None:
            return {""} if state is None else set()
        if is_of_starts(pool):
            return {""} if self._has_room(pool) else set()
        runs, holders = self.stores.tables.runs, self.stores.pools.holders(pool)
        in_doubt = {
            each.launch_id
            for each in holders
            if runs[each.run_id].status.is_finished or each.launch_id != runs[each.run_id].launch_id
        }
        used = in_doubt | {each.launch_id for each in self.under_way(pool)}
        if len(used) >= state.limit_of(pool):
            return set()
        held = {each.launch_id for each in holders}
        return held - used | ({""} if len(held | used) < state.limit_of(pool) else set())

    def digest(self) -> tuple[object, ...]:
        """Return the state of all runs and pools, whichever runs they are and whatever time it is."""
        runs = sorted(
            f"{run.job} {run.status} {run.attempt} {run.waiting and run.waiting.pool} {run.claim is None} {len(run.slots)}"
            for run in self.stores.tables.runs.values()
        )
        pools = [str(state) for state in self.stores.pools.states().values()]
        return (*runs, *pools)

    # What indexes show.

    def lagging(self) -> dict[str, Run]:
        """Return the records as a lagging index shows them."""
        while self._seen < len(self.writes) and self.writes[self._seen][0] <= self.clock.now() - INDEX_LAG_MS:
            run = self.writes[self._seen][1]
            self._lagging[run.run_id] = run
            self._seen += 1
        return self._lagging


def run_id(key: str) -> str:
    """Return the id of a key's run."""
    return RUN_IDS.keyed(SENSOR, key)


def _image(run: Run, number: int) -> dict[str, Any]:
    """Return what PUBLISH reads of an image, and the number of the write that has the run."""
    named = {name: {"S": "?"} for name in ("slots", "waiting") if getattr(run, name)}
    return {"reached": {"S": json.dumps(run.reached)}, "at": {"N": str(number)}, **named}


class _WatchedRuns(TracedRuns):
    """A `RunStore` that reports each write to the simulation, and whose indexes lag."""

    def __init__(self, simulation: PoolSimulation) -> None:
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
            self._simulation.wrote(known, self._simulation.stores.tables.runs[run.run_id])
        return current

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        run = super().claim(run_id, job, attempt, claim, pending_start)
        if run is not None and run.claim == claim:
            self._simulation.note(run)
        return run

    def due(self, now: int, limit: int) -> list[str]:
        shown = self._simulation.lagging().values()
        found = sorted(
            (run.next_at, run.run_id) for run in shown if run.next_at is not None and run.next_at <= now
        )
        return [name for _, name in found[:limit]]

    def in_progress(self, limit: int, after: str | None = None) -> tuple[list[str], str | None]:
        shown = self._simulation.lagging().values()
        found = sorted(run.run_id for run in shown if run.next_at is not None and run.run_id > (after or ""))
        return found[:limit], found[limit - 1] if len(found) > limit else None


def violations(simulation: PoolSimulation) -> list[str]:
    """Return what an engine with pools must never do, and did."""
    return [
        *simulation.problems,
        *_of_end(simulation),
        *_of_items(simulation),
        *_of_idle_slots(simulation),
        *_of_overlaps(simulation),
    ]


def _of_end(simulation: PoolSimulation) -> Iterator[str]:
    requests = [each for _, requests in simulation.scenario.ticks for each in requests]
    runs = simulation.stores.tables.runs
    for request in requests:
        run = runs.get(run_id(request.key))
        if run is None or not run.status.is_finished or run.next_at is not None:
            yield f"I2: {request.key} never ends: {run}"
    for launch_id, executions in simulation.jobs_run.inner.begun.items():
        if len(executions) > 1:
            yield f"I1: {launch_id} was started {len(executions)} times"
    if simulation.dead_letters.kept:
        yield f"I10: there are dead letters: {simulation.dead_letters.kept}"


def _of_items(simulation: PoolSimulation) -> Iterator[str]:
    """Check that no slot and no place in a queue is left whose run does not hold it or wait there."""
    tables = simulation.stores.tables
    held = {
        (pool, each.number, each.launch_id)
        for pool, of in tables.slots.items()
        for each in of
        if not is_of_starts(pool)
    }
    for pool, of in tables.slots.items():
        most = max(limit for _, name, limit in simulation.limits if name == pool.partition("=")[0])
        if is_of_starts(pool) and len(of) > most:
            yield f"I12: {len(of)} slots of {pool} are left, of {most}"
    named = {
        (slot.pool, slot.number, f"{run.run_id}-{slot.attempt}")
        for run in tables.runs.values()
        for slot in run.slots
    }
    if held != named:
        yield f"I12: slots {sorted(held - named)} are held, but {sorted(named - held)} are recorded"
    if held:
        yield f"I12: slots are held at the end: {sorted(held)}"
    left = {pool: of for pool, of in tables.waiters.items() if of}
    if left or tables.queues:
        yield f"I12: queues are left: {left}, noted {tables.queues}"


def _of_idle_slots(simulation: PoolSimulation) -> Iterator[str]:
    kinds = {str(fault) for _, fault in simulation.faults.injected}
    bound = REPAIR_MS + len(simulation.faults.injected) * REDELIVERY_MS
    bound += PAUSE_SECONDS * 1000 * ("paused" in kinds)
    for pool, longest in simulation.longest_idle.items():
        if longest > bound:
            yield f"I13: a slot of {pool} was free for {longest / 1000:g} s although a run waited"


def _of_overlaps(simulation: PoolSimulation) -> Iterator[str]:
    """Check who gave way to whom: nothing is lost, the last run that was requested succeeds, and no key is free again."""
    runs = simulation.stores.tables.runs
    for name, pool in simulation.pools[-1][1].pools.items():
        if pool.overlap == Overlap.QUEUE:
            continue
        found = [run for run in runs.values() if pool_of_job(run.job) == name]
        for run in found:
            error = run.failure.error if run.failure is not None else ""
            if error in {RUN_SKIPPED, RUN_REPLACED}:
                yield from _of_run_that_gave_way(simulation, run, Overlap(pool.overlap))
            elif (
                run.status is not Status.SUCCESS
                and run.run_key not in simulation.scenario.target_faults.failing
            ):
                yield f"{run.run_key} is {run.status} without a run that it gave way to: {run.failure}"
        last = max(found, key=lambda run: _requested_at(simulation, run))
        if pool.overlap != Overlap.SKIP and last.status is not Status.SUCCESS:
            yield f"{last.run_key} was requested last, and is {last.status}: {last.failure}"


def _of_run_that_gave_way(simulation: PoolSimulation, run: Run, overlap: Overlap) -> Iterator[str]:
    [other] = [
        each
        for each in simulation.stores.tables.runs.values()
        if each.run_id in _cause(run)[: -len(run.run_id)]
    ]
    begun = {each.launch_id for each in simulation.jobs_run.intervals}
    if run.attempts_allowed > run.attempt:
        yield f"{run.run_key} gave way, and would be started by another request"
    if overlap is Overlap.SKIP and f"{other.run_id}-1" not in begun:
        yield f"{run.run_key} was skipped for {other.run_key}, which was never started"
    if overlap.keeps_latest and _requested_at(simulation, other) <= _requested_at(simulation, run):
        yield f"{run.run_key} was replaced by {other.run_key}, which is older"
    if overlap is not Overlap.CANCEL and run.launch_id in begun:
        yield f"{run.run_key} gave way although it had started"


def _cause(run: Run) -> str:
    return run.failure.cause if run.failure is not None else ""


def _requested_at(simulation: PoolSimulation, run: Run) -> tuple[int, int]:
    """Return the minute of a run's last request, by a tick or an operator, and its position in the tick."""
    places = [
        (minute, position)
        for minute, requests in simulation.scenario.ticks
        for position, each in enumerate(requests)
        if each.key == run.run_key
    ]
    reruns = [
        (minute, 0) for minute, command in simulation.scenario.commands if command == ("rerun", run.run_key)
    ]
    return max([*places, *reruns])
