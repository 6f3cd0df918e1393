"""The whole engine over stores in memory, assembled as the composition root does with AWS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import DEFAULT_CAP, SensorDefinition
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.dispatch.chunks import ChunkRequest
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.identity import RunIds
from treadle.engine.launch.launcher import Launcher
from treadle.engine.reconcile.external_run_poller import ExternalRunPoller
from treadle.engine.reconcile.reconciler import Reconciler
from treadle.engine.record.external_runs import ExternalRunRecorder
from treadle.engine.record.recorder import Recorder, StatusChange
from treadle.engine.tick.evaluation import Evaluator
from treadle.engine.tick.event_ticks import EventTicks
from treadle.engine.tick.planning import Planner
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner, TickSettings
from treadle.model.runs import Run
from treadle.model.sensors import SensorState
from treadle.model.targets import JobSettings
from treadle.model.ticks import Tick
from treadle.ports.system import IdGenerator
from treadle.testing.bus import InMemoryBus
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryRunStore, InMemorySensorStore, InMemoryTables, InMemoryTickStore
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
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
class House:
    """One deployment.

    Attributes:
        tables: the stored items.
        clock: moved by the test.
        tokens: ids of leases and claims.
        launches: the launch queue.
        slices: the dispatch queue.
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
    slices: InMemoryQueue = field(default_factory=InMemoryQueue)
    bus: InMemoryBus = field(default_factory=InMemoryBus)
    jobs: Mapping[str, JobSettings] = field(default_factory=lambda: dict(JOBS))
    workers: int = 1
    observed: frozenset[str] = frozenset()
    project: str = ""
    target: InMemoryTarget = field(init=False)

    def __post_init__(self) -> None:
        self.target = InMemoryTarget(self.clock)

    @property
    def sensors(self) -> InMemorySensorStore:
        """The sensors' states."""
        return InMemorySensorStore(self.tables)

    @property
    def ticks(self) -> InMemoryTickStore:
        """The tick records."""
        return InMemoryTickStore(self.tables)

    @property
    def runs(self) -> InMemoryRunStore:
        """The run records."""
        return InMemoryRunStore(self.tables)

    @property
    def assets(self) -> AssetRecorder:
        """The recorder of reported assets."""
        return AssetRecorder(InMemoryEventStore(self.tables), self.bus, NAMESPACE, self.runs, self.clock)

    def planner(self, definition: SensorDefinition, cap: int = DEFAULT_CAP) -> Planner:
        """Return the planner of a sensor's ticks."""
        return Planner(definition, RUN_IDS, self.runs, cap)

    def evaluator(
        self, definition: SensorDefinition, cap: int = DEFAULT_CAP, resources: Mapping[str, Any] | None = None
    ) -> Evaluator:
        """Return the evaluator of a sensor's function."""
        return Evaluator(self.planner(definition, cap), self.clock, resources)

    def leased(
        self,
        definition: SensorDefinition,
        *,
        interval: int = 0,
        status: DefaultSensorStatus = RUNNING,
        cap: int = DEFAULT_CAP,
        pause_after: int = 0,
        resources: Mapping[str, Any] | None = None,
    ) -> ScheduledTickRunner:
        """Return the runner of a sensor's scheduled ticks.

        Args:
            definition: the sensor.
            interval: in seconds.
            status: the default.
            cap: on requests in one tick.
            pause_after: failures in a row after which the sensor is paused.
            resources: by key, for the sensor.
        """
        return ScheduledTickRunner(
            self.evaluator(definition, cap, resources),
            self.sensors,
            self.ticks,
            self.clock,
            self.tokens,
            TickSettings(interval * 1000, status, pause_after, project=self.project),
        )

    def events(self, definition: SensorDefinition, *, status: DefaultSensorStatus = RUNNING) -> EventTicks:
        """Return the evaluation of a sensor's events."""
        return EventTicks(
            self.evaluator(definition),
            self.sensors,
            self.ticks,
            self.tokens,
            status,
            self.runs,
            NAMESPACE,
            self.project,
        )

    def dispatcher(self, *, limits: Limits = NO_LIMITS, **grants: str) -> Dispatcher:
        """Return the dispatcher; grants are job names by sensor, by default the usual job for "watch"."""
        allowed = FixedGrants({name: frozenset({job}) for name, job in (grants or {"watch": JOB}).items()})
        return Dispatcher(
            self.ticks,
            self.runs,
            self.launches,
            allowed,
            self.clock,
            self.assets,
            limits=limits,
            slices=self.slices,
            workers=self.workers,
        )

    def launcher(self) -> Launcher:
        """Return the launcher."""
        return Launcher(
            self.runs,
            self.launches,
            self.jobs,
            {"step_functions": self.target},
            self.clock,
            self.tokens,
            NAMESPACE,
        )

    def reconciler(self, *, limits: Limits = NO_LIMITS) -> Reconciler:
        """Return the reconciler."""
        return Reconciler(
            self.ticks,
            self.runs,
            self.launches,
            self.dispatcher(limits=limits),
            self.jobs,
            {"step_functions": self.target},
            self.clock,
            self.watcher() if self.observed else None,
            place=NAMESPACE,
        )

    def watcher(self) -> ExternalRunPoller:
        """Return the poller of external runs."""
        observer, targets = ExternalRunRecorder(self.observed, RUN_IDS), {"step_functions": self.target}
        return ExternalRunPoller(
            observer, self.runs, self.jobs, targets, self.recorder(), self.clock, NAMESPACE
        )

    @staticmethod
    def slice_request(body: Mapping[str, object]) -> ChunkRequest:
        """Parse a message of the dispatch queue."""
        numbers = (int(str(body[name])) for name in ("slice", "of"))
        return ChunkRequest(str(body["sensor"]), str(body["tick_id"]), *numbers)

    def recorder(self) -> Recorder:
        """Return the recorder of the target's reports."""
        observer = ExternalRunRecorder(self.observed, RUN_IDS) if self.observed else None
        targets = {"step_functions": self.target}
        return Recorder(self.runs, self.jobs, targets, self.clock, NAMESPACE, observer)

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
