"""One deployment in which every call of a port may meet a fault, and everything lost is delivered again."""

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faults.backends import Backend, in_memory
from tests.faults.cloud import (
    SimulatedLetters,
    SimulatedQueue,
    SimulatedTarget,
    StreamRecord,
    object_created,
)
from tests.faults.flow import EVENTS, GRANTED_LATE, SCHEDULED, WHOLE, Flow, arrivals, scheduled
from tests.faults.living import Living
from tests.faults.witness import Witness, WitnessedRuns, WitnessedSensors, WitnessedTicks
from tests.support.house import JOB, RUN_IDS, House
from tests.support.house import JOBS as CONFIGURED
from treadle.adapters.status_events import parse_status_change
from treadle.adapters.targets.registry import KINDS
from treadle.bootstrap.evaluator import EvaluatorParts
from treadle.bootstrap.steps import DispatcherParts
from treadle.definitions.errors import LaunchDelayedError, LaunchUncertainError, StoreError, TreadleError
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.dispatch.chunks import ChunkRequest
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.identity import timestamp
from treadle.engine.launch.launcher import Launcher
from treadle.engine.reconcile.held_ticks import FAR
from treadle.engine.reconcile.reconciler import Reconciler
from treadle.engine.record.recorder import Recorder
from treadle.engine.registry.registry_cache import CachedRegistry, RegisteredJobs
from treadle.engine.registry.registry_sync import RegistrySync
from treadle.engine.tick.evaluation import Budget, Evaluator
from treadle.engine.tick.planning import Planner
from treadle.entrypoints import steps
from treadle.entrypoints.evaluator import _evaluate_batch, _tick
from treadle.entrypoints.handler import metrics, process_queue
from treadle.model.messages import BusEvent
from treadle.model.registry import JOBS as JOB_ENTRIES
from treadle.model.registry import SENSORS
from treadle.model.sensors import Edit
from treadle.model.targets import JobSettings, StartContract
from treadle.model.ticks import Tick
from treadle.operate.drops import TickDrops
from treadle.ports.registry import EntrySource, RegistryStore
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.targets import Target
from treadle.ports.ticks import TickStore
from treadle.testing.faults import Faults, faulty
from treadle.testing.registry import InMemoryParameters, job_text, sensor_text
from treadle.testing.system import SequentialIds, VirtualClock
from treadle.testing.targets import NAMED

SECONDS = 60
"""Each step's time limit; a lease and a claim end a little after it."""

PAUSE_SECONDS = 1_200
"""A paused process goes on after so long: leases and claims have run out, and RECONCILE has looked."""

RECONCILE_MS = 600_000
MINUTE_MS = 60_000
ENGINE = "treadle"
JOBS = {**CONFIGURED, GRANTED_LATE: replace(CONFIGURED[JOB], job=GRANTED_LATE)}
"""What each job's name launches; the one that is granted late is configured all the same."""

GRANTED_AFTER_MS = 40 * MINUTE_MS
DROPPED_AFTER_MS = 100 * MINUTE_MS
STREAM_TRIES = 6

RUNNING = DefaultSensorStatus.RUNNING


class _Context:
    """Lambda's, of an invocation that has just begun."""

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


class _NoBus:
    """Nothing is told in this world."""

    def publish(self, events: Any) -> None:
        """Take the events."""
        assert all(isinstance(event, BusEvent) for event in events)


@dataclass(slots=True)
class World(Living):
    """The flow, step by step.

    Attributes:
        contract: of the target.
        flow: what is asked for.
        faults: strike.
        backend: the stores.
        reconciles: False where nobody looks for what is lost.
        seed: of what is left to chance.
        jobs: what each job's name launches, as it is deployed.
        parameters: what is registered.
        is_granted_late: whether a deployment has granted by now what it grants late.
    """

    contract: StartContract = NAMED
    flow: Flow = WHOLE
    faults: Faults = field(default_factory=Faults)
    backend: Backend = field(default_factory=in_memory)
    reconciles: bool = True
    seed: int = 0
    jobs: Mapping[str, JobSettings] = field(default_factory=lambda: JOBS)
    clock: VirtualClock = field(default_factory=VirtualClock)
    witness: Witness = field(default_factory=Witness)
    letters: SimulatedLetters = field(default_factory=SimulatedLetters)
    stream: list[StreamRecord] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)
    edits: int = 0
    parameters: InMemoryParameters = field(default_factory=InMemoryParameters)
    is_granted_late: bool = False
    own: SimulatedQueue = field(init=False)
    arriving: SimulatedQueue = field(init=False)
    launches: SimulatedQueue = field(init=False)
    slices: SimulatedQueue = field(init=False)
    events: SimulatedQueue = field(init=False)
    jobs_run: SimulatedTarget = field(init=False)
    began_at: int = field(init=False)
    next_tick: int = field(init=False)
    next_look: int = field(init=False)
    _definitions: tuple[SensorDefinition, SensorDefinition] = field(init=False)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    _registries: dict[str, CachedRegistry] = field(default_factory=dict)
    _failed: bool = False

    def __post_init__(self) -> None:
        random.seed(self.seed)  # How long a throttled message waits is left to chance.
        self.began_at = self.next_tick = self.clock.now()
        self.next_look = self.began_at + RECONCILE_MS
        for name in ("own", "arriving", "launches", "slices", "events"):
            setattr(self, name, SimulatedQueue(self.clock, self.letters.kept))
        self.jobs_run = SimulatedTarget(self.clock, self.contract, self.flow.mishaps, self.events)
        self.witness.on_tick = self._on_tick
        self.faults.pause = lambda: self.live(self.clock.now() + PAUSE_SECONDS * 1000)
        self._definitions = (scheduled(self.flow, self._on_evaluation), arrivals())
        granted = {SCHEDULED: [JOB], EVENTS: [JOB]}
        entries = {f"{SENSORS}/{name}": sensor_text("shop", *jobs) for name, jobs in granted.items()}
        jobs = {f"{JOB_ENTRIES}/{name}": job_text("shop", job) for name, job in self.jobs.items()}
        self.parameters.values |= entries | jobs
        self._sync(CachedRegistry(self._registry_store(), self.clock)).list_if_due()
        self.arriving.send([object_created(key, self.clock.now()) for key in self.flow.objects])
        if self.flow.has_poison:
            keys = {"tick_id": {"S": "poison"}}
            self.stream.append(StreamRecord({"broken": {"S": ""}}, keys, self.clock.now()))
            for queue in (self.launches, self.slices, self.events, self.arriving):
                queue.send([{"treadle": "poison"}])

    # What the steps rest on.

    @property
    def sensors(self) -> SensorStore:
        """The sensors' states, behind faults."""
        witnessed: Any = WitnessedSensors(self.backend.sensors, self.witness)
        store: SensorStore = faulty(witnessed, "SensorStore", self.faults)
        return store

    @property
    def ticks(self) -> TickStore:
        """The tick records, behind faults."""
        witnessed: Any = WitnessedTicks(self.backend.ticks, self.witness)
        store: TickStore = faulty(witnessed, "TickStore", self.faults)
        return store

    @property
    def runs(self) -> RunStore:
        """The run records, behind faults."""
        witnessed: Any = WitnessedRuns(self.backend.runs, self.witness)
        store: RunStore = faulty(witnessed, "RunStore", self.faults)
        return store

    @property
    def target(self) -> Target:
        """Where jobs run, behind faults."""
        target: Target = self.jobs_run
        return faulty(target, "Target", self.faults, lost=LaunchUncertainError, throttled=LaunchDelayedError)

    def _evaluator(self, definition: SensorDefinition, queue: SimulatedQueue) -> EvaluatorParts:
        running = Evaluator(Planner(definition, RUN_IDS, self.runs), self.clock)
        return self._parts(running, (self.sensors, self.ticks, self.runs), queue, self.flow.interval)

    def _registry(self, step: str) -> CachedRegistry:
        """The registry, as a step's processes know it, one of which follows another."""
        if step not in self._registries:
            self._registries[step] = CachedRegistry(self._registry_store(), self.clock)
        return self._registries[step]

    def _registry_store(self) -> RegistryStore:
        return faulty(self.backend.registry, "RegistryStore", self.faults)

    def _sync(self, registry: CachedRegistry) -> RegistrySync:
        source: EntrySource = faulty(self.parameters, "EntrySource", self.faults)
        return RegistrySync(self._registry_store(), source, registry, ENGINE, set(KINDS), self.clock)

    def _jobs(self, registry: CachedRegistry) -> Mapping[str, JobSettings]:
        """What each job's name launches, as a step knows it."""
        return RegisteredJobs(registry)

    def _dispatcher(self, registry: CachedRegistry | None = None) -> Dispatcher:
        registry = registry or self._registry("DISPATCH")
        return Dispatcher(
            self.ticks,
            self.runs,
            self._queue(self.launches),
            registry,
            self.clock,
            House().assets,
            limits=Limits(runs_per_hour=10_000),
            slices=self._queue(self.slices),
        )

    def _grant_late(self) -> None:
        """A deployment grants something, and Parameter Store announces it, once at most."""
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
        """The ticks that wait for nothing that will be granted, once all the rest of them has come to a run."""
        found = [
            self.backend.ticks.get(sensor, tick_id)
            for sensor, tick_id in self.backend.ticks.pending(FAR, 1_000)
        ]
        return [tick for tick in found if tick and tick.held_requests and tick.dropped is None]

    def _drop(self) -> None:
        """An operator drops what is held still, long after the deployment that granted something."""
        for tick in self._held_for_good():
            with suppress(TreadleError):
                self.faults.run(
                    "DROP",
                    lambda: TickDrops(self.ticks, self.clock).drop(tick.sensor, tick.tick_id, "ann", "typo"),  # noqa: B023
                )

    # What happens by itself.

    def _on_tick(self, tick: Tick) -> None:
        keys = {"sensor": {"S": tick.sensor}, "tick_id": {"S": tick.tick_id}}
        if tick.requests:
            self.stream.append(StreamRecord(self.backend.image(tick), keys, self.clock.now()))

    def _on_evaluation(self, at: int) -> None:
        self.evaluated.append(at)
        if at == self.flow.failing_at and not self._failed:
            self._failed = True
            msg = "The first evaluation of this batch fails."
            raise ValueError(msg)
        if at == self.flow.edited_at and not self.edits:
            self.edit(str(at + 1))

    def edit(self, cursor: str) -> None:
        """An operator sets the cursor, as often as it takes."""
        sensors, edit = self.sensors, Edit(self.clock.now(), "ann", sets_cursor=True, cursor=cursor)
        done = False
        while not done:
            with suppress(StoreError):
                done = self.faults.run("EDIT", lambda: sensors.edit(SCHEDULED, edit))
        self.edits += 1

    # The steps.

    def _tick(self, nominal: int) -> None:
        parts = self._evaluator(self._definitions[0], self.own)
        _tick(parts, {"nominal_time": timestamp(nominal)}, Budget(SECONDS))

    def _slots(self, event: dict[str, Any]) -> Any:
        return _evaluate_batch(self._evaluator(self._definitions[0], self.own), event, _Context())

    def _objects(self, event: dict[str, Any]) -> Any:
        parts = self._evaluator(self._definitions[1], self.arriving)
        return _evaluate_batch(parts, event, _Context())

    def _dispatch(self, records: list[StreamRecord]) -> None:
        inbox = self._inbox("dispatch", self.slices)
        parts = DispatcherParts(self._dispatcher(), self.backend.read, _NoBus(), inbox)
        steps._dispatch_stream(
            parts, [{"dynamodb": {"NewImage": record.image, "Keys": record.keys}} for record in records]
        )

    def _slice(self, event: dict[str, Any]) -> Any:
        dispatcher = self._dispatcher()

        def handle(body: Any) -> None:
            request = steps.parse_dispatch(body)
            assert isinstance(request, ChunkRequest)
            dispatcher.dispatch_chunk(request)

        return process_queue(
            event, _Context(), handle, self._inbox("dispatch", self.slices), kept_in_tables=True
        )

    def _launch(self, event: dict[str, Any]) -> Any:
        targets, launches = {"step_functions": self.target}, self._queue(self.launches)
        jobs = self._jobs(self._registry("LAUNCH"))
        launcher = Launcher(self.runs, launches, jobs, targets, self.clock, self._tokens)

        def handle(body: Any) -> None:
            launcher.launch(steps.parse_launch(body), SECONDS)

        return process_queue(
            event, _Context(), handle, self._inbox("launch", self.launches), kept_in_tables=True
        )

    def _record(self, event: dict[str, Any]) -> Any:
        registry = self._registry("RECORD")
        jobs, targets = self._jobs(registry), {"step_functions": self.target}
        changed = registry.jobs_changed
        recorder = Recorder(self.runs, jobs, targets, self.clock, jobs_changed=changed)

        def handle(body: Any) -> None:
            recorder.record(parse_status_change(body))

        return process_queue(event, _Context(), handle, self._inbox("record", self.events))

    def _reconciler(self) -> Reconciler:
        registry = CachedRegistry(self._registry_store(), self.clock)
        return Reconciler(
            self.ticks,
            self.runs,
            self._queue(self.launches),
            self._dispatcher(registry),
            self._jobs(registry),
            {"step_functions": self.target},
            self.clock,
            registry=self._sync(registry),
        )

    def _reconcile(self) -> None:
        self._reconciler().reconcile(SECONDS)

    # Time.

    def _upcoming(self) -> Iterator[int]:
        """When something is to happen."""
        queues = (self.own, self.arriving, self.launches, self.slices, self.events)
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
        """Whether the scheduled sensor has something to do."""
        return self.backend.sensors.get(SCHEDULED).cursor != str(len(self.flow.batches))

    def _happen(self) -> None:
        self.jobs_run.end_due()
        if self.wants_ticks and self.next_tick <= self.clock.now():
            nominal, self.next_tick = self.next_tick, self.next_tick + MINUTE_MS
            with suppress(TreadleError):
                self.faults.run("TICK", lambda: self._tick(nominal))
        self._grant_late()
        self._receive("SLOT", self.own, self._slots)
        self._receive("EVENT", self.arriving, self._objects)
        self._deliver_stream()
        self._receive("CHUNK_SIZE", self.slices, self._slice)
        self._receive("LAUNCH", self.launches, self._launch)
        self._receive("RECORD", self.events, self._record)
        if self.reconciles and self.backend.is_anything_left() and self.next_look <= self.clock.now():
            self.next_look = self.clock.now() + RECONCILE_MS
            with suppress(TreadleError):
                self.faults.run("RECONCILE", self._reconcile)
        if self.clock.now() - self.began_at >= DROPPED_AFTER_MS:
            self._drop()
        metrics().clear_metrics()

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
                        self.letters.kept.append((str(record.keys), "dispatch: delivered too often"))
