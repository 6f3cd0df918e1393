"""A simulation of one deployment: a fault can be injected at every call of a port, and all messages are redelivered."""

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tests.faults.backends import Backend, in_memory
from tests.faults.scenario import EVENTS, GRANTED_LATE, SCHEDULED, WHOLE, Scenario, arrivals, scheduled
from tests.faults.simulated_aws import (
    SimulatedDeadLetters,
    SimulatedQueue,
    SimulatedTarget,
    StreamRecord,
    object_created,
)
from tests.faults.simulation import Simulation
from tests.faults.trace import Trace, TracedRuns, TracedSensors, TracedTicks
from tests.support.engine import JOB
from tests.support.engine import JOBS as CONFIGURED
from tests.support.metrics import discard_metrics
from tests.support.replaced_stores import ReplacedStores
from treadle.adapters.status_events import parse_status_change
from treadle.adapters.targets.registry import KINDS
from treadle.definitions.errors import LaunchDelayedError, LaunchUncertainError, StoreError, TreadleError
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.identity import timestamp
from treadle.engine.invocation_batch import InvocationBatch
from treadle.engine.messages import LaunchRequest, dispatch_request
from treadle.engine.reconcile.held_ticks import FAR
from treadle.engine.reconcile.reconciler import Reconciler
from treadle.engine.registry.registry_sync import RegistrySync
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.dispatcher import DispatcherParts, dispatch_message, dispatch_stream
from treadle.entrypoints.evaluator import EvaluatorParts, _evaluate_batch, _tick
from treadle.entrypoints.handler import process_queue
from treadle.model.registry import JOBS as JOB_ENTRIES
from treadle.model.registry import SENSORS
from treadle.model.sensors import Edit
from treadle.model.targets import JobSettings, StartContract
from treadle.model.ticks import Tick
from treadle.operate.drops import TickDrops
from treadle.ports.targets import Target
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.registry import InMemoryParameters, job_text, sensor_text
from treadle.testing.system import SequentialIds, VirtualClock
from treadle.testing.targets import NAMED

SECONDS = 60
"""Each component's time limit; a lease and a claim end a little after it."""

PAUSE_SECONDS = 1_200
"""The length of a pause: leases and claims have expired, and RECONCILE has run."""

RECONCILE_MS = 600_000
MINUTE_MS = 60_000
ENGINE = "treadle"
JOBS = {**CONFIGURED, GRANTED_LATE: replace(CONFIGURED[JOB], job=GRANTED_LATE)}
"""The settings of each job; the job that is granted late is configured from the beginning."""

GRANTED_AFTER_MS = 40 * MINUTE_MS
DROPPED_AFTER_MS = 100 * MINUTE_MS
STREAM_TRIES = 6

RUNNING = DefaultSensorStatus.RUNNING


class _Context:
    """Lambda's context of an invocation that has just begun."""

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


@dataclass(slots=True)
class EngineSimulation(Simulation):
    """A simulation of the engine and two sensors.

    Attributes:
        contract: of the target.
        scenario: the requests and the failures.
        faults: injects the faults.
        backend: the stores.
        reconciles: whether RECONCILE runs.
        seed: of the random delays.
        jobs: the settings of each job, as deployed.
        parameters: the registry's entries in Parameter Store.
        is_granted_late: whether the late deployment has granted its job.
    """

    contract: StartContract = NAMED
    scenario: Scenario = WHOLE
    faults: Faults = field(default_factory=Faults)
    backend: Backend = field(default_factory=in_memory)
    reconciles: bool = True
    seed: int = 0
    jobs: Mapping[str, JobSettings] = field(default_factory=lambda: JOBS)
    clock: VirtualClock = field(default_factory=VirtualClock)
    trace: Trace = field(default_factory=Trace)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    stream: list[StreamRecord] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)
    edits: int = 0
    parameters: InMemoryParameters = field(default_factory=InMemoryParameters)
    is_granted_late: bool = False
    own: SimulatedQueue = field(init=False)
    arriving: SimulatedQueue = field(init=False)
    launches: SimulatedQueue = field(init=False)
    chunks: SimulatedQueue = field(init=False)
    events: SimulatedQueue = field(init=False)
    jobs_run: SimulatedTarget = field(init=False)
    began_at: int = field(init=False)
    next_tick: int = field(init=False)
    next_look: int = field(init=False)
    _definitions: tuple[SensorDefinition, SensorDefinition] = field(init=False)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    _engines: dict[str, Assembly] = field(default_factory=dict)
    _failed: bool = False

    def __post_init__(self) -> None:
        random.seed(self.seed)  # The delay of a throttled message is random.
        self.began_at = self.next_tick = self.clock.now()
        self.next_look = self.began_at + RECONCILE_MS
        for name in ("own", "arriving", "launches", "chunks", "events"):
            setattr(self, name, SimulatedQueue(self.clock, self.dead_letters.kept))
        self.jobs_run = SimulatedTarget(self.clock, self.contract, self.scenario.target_faults, self.events)
        self.trace.on_tick = self._on_tick
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_SECONDS * 1000)
        self._definitions = (scheduled(self.scenario, self._on_evaluation), arrivals())
        granted = {SCHEDULED: [JOB], EVENTS: [JOB]}
        entries = {f"{SENSORS}/{name}": sensor_text("shop", *jobs) for name, jobs in granted.items()}
        jobs = {f"{JOB_ENTRIES}/{name}": job_text("shop", job) for name, job in self.jobs.items()}
        self.parameters.values |= entries | jobs
        self._sync(self.engine).list_if_due()
        self.arriving.send([object_created(key, self.clock.now()) for key in self.scenario.objects])
        if self.scenario.has_poison:
            keys = {"tick_id": {"S": "poison"}}
            self.stream.append(StreamRecord({"broken": {"S": ""}}, keys, self.clock.now()))
            for queue in (self.launches, self.chunks, self.events, self.arriving):
                queue.send([{"treadle": "poison"}])

    # The ports.

    def _stores(self) -> Any:
        stores: Any = self.backend.stores
        return ReplacedStores(
            stores,
            sensors=TracedSensors(stores.sensors, self.trace),
            ticks=TracedTicks(stores.ticks, self.trace),
            runs=TracedRuns(stores.runs, self.trace),
        )

    @property
    def targets(self) -> dict[str, Target]:
        """The target of each type, behind faults."""
        target: Target = self.jobs_run
        lost, throttled = LaunchUncertainError, LaunchDelayedError
        return {"step_functions": faulty(target, "Target", self.faults, lost=lost, throttled=throttled)}

    def _engine_of(self, step: str) -> Assembly:
        """Return the assembly that all processes of a component use, with its cached copy of the registry."""
        if step not in self._engines:
            self._engines[step] = self.engine
        return self._engines[step]

    def _sync(self, engine: Assembly) -> RegistrySync:
        source: Any = self.parameters
        return engine.registry_sync(faulty(source, "EntrySource", self.faults), ENGINE, set(KINDS))

    def _jobs(self, engine: Assembly) -> Mapping[str, JobSettings]:
        """Return the settings of each job, as a component reads them."""
        return engine.jobs()

    def _dispatcher(self, engine: Assembly) -> Dispatcher:
        launches, chunks = self._queue(self.launches), self._queue(self.chunks)
        limits = Limits(runs_per_hour=10_000)
        return engine.dispatcher(launches, engine.registry, InMemoryBus(), limits=limits, chunks=chunks)

    def _grant_late(self) -> None:
        """Deploy a grant, which Parameter Store announces at most once."""
        if not self.is_granted_late and self.clock.now() - self.began_at >= GRANTED_AFTER_MS:
            self.is_granted_late = True
            path = f"{SENSORS}/{SCHEDULED}"
            self.parameters.values[path] = sensor_text("shop", JOB, GRANTED_LATE)
            if self.reconciles:
                with suppress(TreadleError):
                    self.faults.run(
                        "REGISTER", lambda: self._reconciler().register(path, SECONDS, is_deleted=False)
                    )

    def _held_for_good(self) -> list[Tick]:
        """Return the held ticks whose remaining requests will never be granted."""
        found = [
            self.backend.stores.ticks.get(sensor, tick_id)
            for sensor, tick_id in self.backend.stores.ticks.pending(FAR, 1_000)
        ]
        return [tick for tick in found if tick and tick.held_requests and tick.dropped is None]

    def _drop(self) -> None:
        """Drop the ticks that are still held, as an operator does long after the late grant."""
        drops = TickDrops(self.engine.stores.ticks, self.clock)
        for tick in self._held_for_good():
            drop = partial(drops.drop, tick.sensor, tick.tick_id, "ann", "typo")
            with suppress(TreadleError):
                self.faults.run("DROP", drop)

    # Events.

    def _on_tick(self, tick: Tick) -> None:
        keys = {"sensor": {"S": tick.sensor}, "tick_id": {"S": tick.tick_id}}
        if tick.requests:
            self.stream.append(StreamRecord(self.backend.image(tick), keys, self.clock.now()))

    def _on_evaluation(self, at: int) -> None:
        self.evaluated.append(at)
        if at == self.scenario.failing_at and not self._failed:
            self._failed = True
            msg = "The first evaluation of this batch fails."
            raise ValueError(msg)
        if at == self.scenario.edited_at and not self.edits:
            self.edit(str(at + 1))

    def edit(self, cursor: str) -> None:
        """Set the cursor as an operator, until it succeeds."""
        sensors = self.engine.stores.sensors
        edit = Edit(self.clock.now(), "ann", sets_cursor=True, cursor=cursor)
        done = False
        while not done:
            with suppress(StoreError):
                done = self.faults.run("EDIT", lambda: sensors.edit(SCHEDULED, edit))
        self.edits += 1

    # The components.

    def _scheduled(self) -> EvaluatorParts:
        return self._evaluator(self._definitions[0], self.own, self.scenario.interval)

    def _tick(self, nominal: int) -> None:
        _tick(self._scheduled(), {"nominal_time": timestamp(nominal)}, Budget(SECONDS))

    def _slots(self, event: dict[str, Any]) -> Any:
        return _evaluate_batch(self._scheduled(), event, _Context())

    def _objects(self, event: dict[str, Any]) -> Any:
        parts = self._evaluator(self._definitions[1], self.arriving, self.scenario.interval)
        return _evaluate_batch(parts, event, _Context())

    def _dispatcher_parts(self) -> DispatcherParts:
        dispatcher = self._dispatcher(self._engine_of("DISPATCH"))
        inbox = self._inbox("dispatch", self.chunks)
        backfiller = self.engine.backfiller(self._queue(self.launches), ())
        granter = self.engine.granter(self._queue(self.launches))
        return DispatcherParts(dispatcher, backfiller, granter, self.backend.read, InMemoryBus(), inbox)

    def _dispatch(self, records: list[StreamRecord]) -> None:
        images = [{"dynamodb": {"NewImage": record.image, "Keys": record.keys}} for record in records]
        dispatch_stream(self._dispatcher_parts(), images)

    def _chunk(self, event: dict[str, Any]) -> Any:
        parts = self._dispatcher_parts()
        handle = partial(dispatch_message, parts, 0)
        return process_queue(event, handle, parts.inbox, dispatch_request, kept_in_tables=True)

    def _launch(self, event: dict[str, Any]) -> Any:
        engine, inbox = self._engine_of("LAUNCH"), self._inbox("launch", self.launches)
        launcher = engine.launcher(inbox.queue, self._jobs(engine), self.targets)

        batch = InvocationBatch(partial(launcher.launch_many, seconds=SECONDS))
        return process_queue(
            event, batch.result, inbox, LaunchRequest.from_json, batch.begin, kept_in_tables=True
        )

    def _record(self, event: dict[str, Any]) -> Any:
        engine = self._engine_of("RECORD")
        changed = engine.registry.jobs_changed
        recorder = engine.recorder(self._jobs(engine), self.targets, jobs_changed=changed)

        batch = InvocationBatch(recorder.record_many)
        inbox = self._inbox("record", self.events)
        return process_queue(event, batch.result, inbox, parse_status_change, batch.begin)

    def _reconciler(self) -> Reconciler:
        engine, launches = self.engine, self._queue(self.launches)
        return engine.reconciler(
            self._dispatcher(engine), launches, self._jobs(engine), self.targets, registry=self._sync(engine)
        )

    def _reconcile(self) -> None:
        self._reconciler().reconcile(SECONDS)

    # Time.

    def _next_times(self) -> Iterator[int]:
        """Yield the times of all future events."""
        queues = (self.own, self.arriving, self.launches, self.chunks, self.events)
        yield from (queue.next_at for queue in queues if queue.next_at is not None)
        yield from (record.next_at for record in self.stream)
        yield from (end[0] for end in self.jobs_run.ends[:1])
        if self.wants_ticks:
            yield self.next_tick
        if self.reconciles and self.backend.is_anything_left():
            yield self.next_look
        if not self.is_granted_late and self.backend.is_anything_left():
            yield max(self.began_at + GRANTED_AFTER_MS, self.clock.now())
        if self._held_for_good():
            yield max(self.began_at + DROPPED_AFTER_MS, self.clock.now() + MINUTE_MS)

    @property
    def wants_ticks(self) -> bool:
        """Whether the scheduled sensor has batches left."""
        return self.backend.stores.sensors.get(SCHEDULED).cursor != str(len(self.scenario.batches))

    def _run_due(self) -> None:
        self.jobs_run.end_due()
        if self.wants_ticks and self.next_tick <= self.clock.now():
            nominal, self.next_tick = self.next_tick, self.next_tick + MINUTE_MS
            with suppress(TreadleError):
                self.faults.run("TICK", lambda: self._tick(nominal))
        self._grant_late()
        self._receive("SLOT", self.own, self._slots)
        self._receive("EVENT", self.arriving, self._objects)
        self._deliver_stream()
        self._receive("CHUNK", self.chunks, self._chunk)
        self._receive("LAUNCH", self.launches, self._launch)
        self._receive("RECORD", self.events, self._record)
        if self.reconciles and self.backend.is_anything_left() and self.next_look <= self.clock.now():
            self.next_look = self.clock.now() + RECONCILE_MS
            with suppress(TreadleError):
                self.faults.run("RECONCILE", self._reconcile)
        if self.clock.now() - self.began_at >= DROPPED_AFTER_MS:
            self._drop()
        discard_metrics()

    def _deliver_stream(self) -> None:
        while batch := [record for record in self.stream if record.next_at <= self.clock.now()]:
            for record in batch:
                record.deliveries += 1
                record.next_at = self.clock.now() + MINUTE_MS
            is_done = False
            with suppress(StoreError):
                is_done = self.faults.run("DISPATCH", lambda: self._dispatch(batch))
            for record in batch:
                if record in self.stream and (is_done or record.deliveries >= STREAM_TRIES):
                    self.stream.remove(record)
                    if not is_done:
                        self.dead_letters.kept.append((str(record.keys), "dispatch: delivered too often"))
