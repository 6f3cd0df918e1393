"""The whole engine over stores in memory, assembled as the composition root does with AWS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import DEFAULT_CAP, SensorDefinition
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus
from treadle.engine.assembly import Assembly, SensorParts, Stores
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.identity import RunIds
from treadle.engine.launch.launcher import Launcher
from treadle.engine.messages import ChunkRequest, TickRequest
from treadle.engine.reconcile.external_run_poller import ExternalRunPoller
from treadle.engine.reconcile.reconciler import Reconciler
from treadle.engine.record.recorder import Recorder, StatusChange
from treadle.engine.registry.registry_cache import NO_POOLS
from treadle.engine.tick.evaluation import Evaluator
from treadle.engine.tick.event_ticks import EventTicks
from treadle.engine.tick.planning import Planner
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner, TickSettings
from treadle.model.runs import Run
from treadle.model.sensors import SensorState
from treadle.model.targets import JobSettings
from treadle.model.ticks import Tick
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import IdGenerator
from treadle.ports.targets import Target
from treadle.ports.ticks import TickStore
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.tables import InMemoryTables
from treadle.testing.targets import InMemoryTarget

JOB = "process_file"
ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:process-file"
JOBS = {JOB: JobSettings(JOB, "step_functions", ARN, "ProcessFileStateMachineArn")}
NO_LIMITS = Limits()
RUNNING = DefaultSensorStatus.RUNNING
NAMESPACE = "123456789012/us-east-1/treadle"
RUN_IDS = RunIds.of(NAMESPACE)


def keyless() -> RunRequest:
    """Return a request without run key: a sensor's function."""
    return RunRequest()


def sensor_of(
    function: Callable[..., Any], *, name: str = "watch", job: str | None = JOB, **options: Any
) -> SensorDefinition:
    """Make a sensor of a function."""
    return SensorDefinition(name, evaluation_fn=function, job_name=job, **options)


def tagged_job(**tags: str) -> JobDefinition:
    """Return the usual job, with tags."""
    return JobDefinition(JOB, tags=tags)


@dataclass(slots=True)
class EngineHarness:
    """One deployment.

    Attributes:
        tables: the stored items.
        clock: moved by the test.
        tokens: ids of leases and claims.
        launches: the launch queue.
        chunks: the queue of DISPATCH.
        bus: receives the published events.
        target: where jobs run.
        jobs: what each job's name launches.
        workers: how many run records DISPATCH writes at a time.
        observed: the jobs whose executions are recorded whoever started them.
        project: whose sensors these are; "" if their functions are not given it.
    """

    tables: InMemoryTables = field(default_factory=InMemoryTables)
    clock: VirtualClock = field(default_factory=VirtualClock)
    tokens: IdGenerator = field(default_factory=SequentialIds)
    launches: InMemoryQueue = field(default_factory=InMemoryQueue)
    chunks: InMemoryQueue = field(default_factory=InMemoryQueue)
    bus: InMemoryBus = field(default_factory=InMemoryBus)
    jobs: Mapping[str, JobSettings] = field(default_factory=lambda: dict(JOBS))
    workers: int = 1
    observed: frozenset[str] = frozenset()
    project: str = ""
    target: InMemoryTarget = field(init=False)

    def __post_init__(self) -> None:
        self.target = InMemoryTarget(self.clock)

    @property
    def stores(self) -> Stores:
        """The stores; a subclass may give others."""
        return InMemoryStores(self.tables)

    @property
    def sensors(self) -> SensorStore:
        """The sensors' states."""
        return self.stores.sensors

    @property
    def ticks(self) -> TickStore:
        """The tick records."""
        return self.stores.ticks

    @property
    def runs(self) -> RunStore:
        """The run records."""
        return self.stores.runs

    @property
    def engine(self) -> Assembly:
        """The assembly of the engine's components."""
        return self.engine_with()

    def engine_with(self, **stores: Any) -> Assembly:
        """Return the assembly with other stores, such as some behind faults."""
        found = self.stores
        for name, store in stores.items():
            setattr(found, name, store)
        # The pools are fixed as the jobs are: a deployed engine reads the registry for both, once a minute.
        return Assembly(found, self.clock, self.tokens, NAMESPACE, NO_POOLS)

    @property
    def targets(self) -> dict[str, Target]:
        """The target, by its type."""
        return {"step_functions": self.target}

    @property
    def assets(self) -> AssetRecorder:
        """The recorder of reported assets."""
        return self.engine.asset_recorder(self.bus)

    def sensor(
        self,
        definition: SensorDefinition,
        *,
        interval: int = 0,
        status: DefaultSensorStatus = RUNNING,
        pause_after: int = 0,
        **options: Any,
    ) -> SensorParts:
        """Return the components that evaluate a sensor.

        Args:
            definition: the sensor.
            interval: in seconds.
            status: the default.
            pause_after: failures in a row after which the sensor is paused.
            options: such as its resources, by key, its queue, or the cap on requests in one tick.
        """
        settings = TickSettings(interval * 1000, status, pause_after, project=self.project)
        return self.engine.sensor(definition, settings, **options)

    def planner(self, definition: SensorDefinition, cap: int = DEFAULT_CAP) -> Planner:
        """Return the planner of a sensor's ticks."""
        return self.evaluator(definition, cap)._planner

    def evaluator(
        self, definition: SensorDefinition, cap: int = DEFAULT_CAP, resources: Mapping[str, Any] | None = None
    ) -> Evaluator:
        """Return the evaluator of a sensor's function."""
        return self.sensor(definition, cap=cap, resources=resources).evaluator

    def leased(self, definition: SensorDefinition, **options: Any) -> ScheduledTickRunner:
        """Return the runner of a sensor's scheduled ticks; options are those of `sensor`."""
        return self.sensor(definition, **options).scheduled

    def events(self, definition: SensorDefinition, **options: Any) -> EventTicks:
        """Return the evaluation of a sensor's events; options are those of `sensor`."""
        return self.sensor(definition, **options).events

    def dispatcher(self, *, limits: Limits = NO_LIMITS, **grants: str) -> Dispatcher:
        """Return the dispatcher; grants are job names by sensor, by default the usual job for "watch"."""
        allowed = FixedGrants({name: frozenset({job}) for name, job in (grants or {"watch": JOB}).items()})
        return self.engine.dispatcher(
            self.launches, allowed, self.bus, limits=limits, chunks=self.chunks, workers=self.workers
        )

    def launcher(self, *, workers: int = 1) -> Launcher:
        """Return the launcher."""
        return self.engine.launcher(self.launches, self.jobs, self.targets, workers=workers)

    def reconciler(self, *, limits: Limits = NO_LIMITS, **options: Any) -> Reconciler:
        """Return the reconciler; options are those of the assembly."""
        dispatcher, observed = self.dispatcher(limits=limits), self.observed or None
        given = {"jobs": self.jobs, "targets": self.targets, "observed": observed, **options}
        return self.engine.reconciler(dispatcher, self.launches, **given)

    def poller(self) -> ExternalRunPoller:
        """Return the poller of external runs."""
        return self.engine.poller(self.jobs, self.targets, self.observed)

    @staticmethod
    def chunk_request(body: Mapping[str, object]) -> ChunkRequest:
        """Parse a message of the dispatch queue, for a chunk."""
        request = TickRequest.from_json(body)
        assert isinstance(request, ChunkRequest)
        return request

    def recorder(self) -> Recorder:
        """Return the recorder of the target's reports."""
        return self.engine.recorder(self.jobs, self.targets, self.observed or None)

    def state(self, sensor: str = "watch") -> SensorState:
        """Return a sensor's stored state."""
        return self.sensors.get(sensor)

    def tick_records(self, sensor: str = "watch") -> list[Tick]:
        """Return a sensor's tick records, oldest first."""
        return self.ticks.latest(sensor, 1000)[::-1]

    def only_run(self) -> Run:
        """Return the only run."""
        (run,) = self.tables.runs.values()
        return run

    def change(self, run: Run, status: DagsterRunStatus, **fields: Any) -> StatusChange:
        """Return a target's report of a run's current attempt."""
        return StatusChange(
            **{
                "kind": "step_functions",
                "name": run.launch_id,
                "external_id": f"{ARN}:{run.launch_id}",
                "target": ARN,
                "status": status,
                "time": self.clock.now(),
                **fields,
            }
        )
