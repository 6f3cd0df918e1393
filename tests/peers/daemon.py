"""Dagster's instance and daemon, played over a `TreadleInstance`.

Each sensor has a queue of events, as when it is deployed. An evaluation delivers one tick to each polling sensor, and
to each event sensor what is in its queue; events for a stopped sensor are lost. Dagster also has a tick of an event
sensor for which there was no event: here it is a skipped one.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import yaml

import treadle as tr
from tests.peers import clock
from tests.peers.definitions import ExecuteInProcessResult, Job, Repository, asset_jobs
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.logs import LOGGER
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import StepFailure
from treadle.engine.assembly import Assembly
from treadle.engine.assets.asset_events import materialized
from treadle.engine.instance.views import dagster_run
from treadle.engine.outcomes import Outcome
from treadle.engine.record.external_runs import observed_run
from treadle.engine.record.run_state import Report, fold
from treadle.engine.tick.evaluation import Budget, EvaluationResult, Evaluator
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.engine.tick.scheduled_ticks import outcome as outcome_of
from treadle.model.runs import Failure, Run
from treadle.model.targets import Execution
from treadle.testing import bus, instance

if TYPE_CHECKING:
    from treadle.definitions.sensors import SensorEvent
    from treadle.model.ticks import Tick

LOCATION = "test_location"
ENGINE = f"000000000000/memory/{LOCATION}"
"""The engine's namespace is what Dagster calls a code location."""

METADATA = "dagster_meta"
INTERVAL_SECONDS = 30
"""Dagster's default interval, which the block of a sensor may set."""


class Text(str):
    """The error of a tick."""

    __slots__ = ()

    @property
    def message(self) -> str:
        """The text itself."""
        return str(self)


@dataclass(slots=True)
class PeerTick:
    """One evaluation of a sensor, in the form of Dagster's tick."""

    instigator_name: str
    timestamp: float
    tick_id: int
    outcomes: list[Outcome] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    origin_run_ids: list[str] = field(default_factory=list)
    logged: list[logging.LogRecord] = field(default_factory=list)
    cursor: str | None = None
    consecutive_failure_count: int = 0
    instigator_type: str = "SENSOR"

    @property
    def tick_data(self) -> "PeerTick":
        """The data of the tick: itself."""
        return self

    @property
    def instigator_origin_id(self) -> str:
        """The sensor."""
        return self.instigator_name

    @property
    def log_key(self) -> list[str]:
        """The key of its log."""
        return ["the_repo", self.instigator_name, str(self.tick_id)]

    @property
    def status(self) -> tr.TickStatus:
        """FAILURE if an evaluation failed, or else SUCCESS if one did something."""
        decided = {each.decision.value for each in self.outcomes}
        return next(
            (each for each in (tr.TickStatus.FAILURE, tr.TickStatus.SUCCESS) if each in decided), SKIPPED
        )

    @property
    def skip_reason(self) -> str:
        """Why nothing was requested."""
        return (
            self.outcomes[-1].reason if self.outcomes else "No new materialization events, and none of runs."
        )

    @property
    def error(self) -> Text | None:
        """Why it failed, after the words in which Dagster wraps an error."""
        words = (
            f"Error occurred during the execution of evaluation_fn for sensor {self.instigator_name}, or Error in "
            "config for job"
        )
        return next((Text(f"{words}: {each.error.message}") for each in self.records if each.error), None)

    @property
    def failure_count(self) -> int:
        """Whether it failed."""
        return int(self.status is tr.TickStatus.FAILURE)

    @property
    def run_ids(self) -> list[str]:
        """The runs that it started."""
        return [each.run_id for each in self.runs]

    @property
    def run_keys(self) -> list[str]:
        """The run keys that it requested."""
        existing = [key for each in self.records for key in each.existing_keys]
        return [each.run_key for each in self.runs if each.run_key] + existing

    @property
    def dynamic_partitions_request_results(self) -> list[Any]:
        """What it requested of dynamic partitions."""
        return [result for each in self.records for result in each.dynamic_partitions_request_results]

    @property
    def run_requests(self) -> list[Any]:
        """What it requested."""
        return [request for each in self.records for request in each.requests]


SKIPPED = tr.TickStatus.SKIPPED

TAKING = (tr.AssetSensorDefinition, tr.RunStatusSensorDefinition)
"""The sensors that evaluate events."""


class PeerInstance(instance.TreadleInstance):
    """A `TreadleInstance` with the calls of Dagster's instance that the tests use.

    Args:
        runs_jobs: False if started runs stay as they are, as with a mocked launcher.

    Attributes:
        fail_invalid: the sensors whose ticks an invalid request fails, as in Dagster: an option that the guide names.
    """

    fail_invalid: Sequence[str] = ()

    def __init__(self, *, runs_jobs: bool = True) -> None:
        self._runs_jobs = runs_jobs
        self._repositories: Sequence[Repository] = ()
        self.compute_log_manager = mock.Mock()
        self.location = LOCATION
        self.wipe()

    def wipe(self) -> None:
        """Begin again with the same sensors."""
        sensors = {
            name: each for repository in self._repositories for name, each in repository.sensors.items()
        }
        resources = {key: value for each in self._repositories for key, value in each.resources.items()}
        assets = {key: each for repository in self._repositories for key, each in repository.assets.items()}
        self._jobs = {
            job.name: job for each in self._repositories for job in each.members if isinstance(job, Job)
        }
        super().__init__(
            list(sensors.values()),
            jobs=asset_jobs([*assets.values()]),
            start=clock.now(),
            default_status=tr.DefaultSensorStatus.STOPPED,
        )
        engine = Assembly(self._stores, self.clock, self._tokens, ENGINE)
        for name, parts in self._parts.items():
            definition = copy(parts.definition)
            definition.jobs = tuple(self._jobs.get(each.name, each) for each in definition.jobs)
            definition.on_invalid = "fail" if name in self.fail_invalid else definition.on_invalid
            seconds = definition.minimum_interval_seconds or INTERVAL_SECONDS
            settings = TickSettings(seconds * 1000, definition.default_status)
            self._parts[name] = engine.sensor(definition, settings, resources=resources)
            self._keep_results(self._parts[name].evaluator)
        self._ids = count(1)
        self._evaluated_ticks: list[Tick] = []
        self._locations: dict[str, str] = {}
        self._added: set[str] = set()
        self._queues: dict[str, list[SensorEvent]] = {}
        self._ticks: dict[str, list[PeerTick]] = {}

    def wipe_all_schedules(self) -> None:
        """Do nothing: `wipe` has done it."""

    def deploy(self, repositories: Sequence[Repository]) -> None:
        """Deploy the sensors of repositories, and begin again."""
        self._repositories = [*self._repositories, *repositories]
        self.wipe()

    def _keep_results(self, evaluator: Evaluator) -> None:
        """Keep the results of evaluations, as Treadle has no record of a single skipped tick."""
        evaluate = evaluator.evaluate

        def kept(*args: Any, **options: Any) -> Callable[[], EvaluationResult]:
            plan = evaluate(*args, **options)

            def planned() -> EvaluationResult:
                result = plan()
                self._evaluated_ticks.append(result.tick)
                return result

            return planned

        evaluator.evaluate = kept  # type: ignore[method-assign]

    def _deliver_events(self) -> None:
        """Keep the events until the next evaluation."""

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add keys; the tests do it before they freeze a time in the past."""
        self.clock.time = 0
        stored: Any = super()
        stored.add_dynamic_partitions(partitions_def_name, partition_keys)

    def _set_clock(self) -> None:
        self.clock.time = int(clock.now().timestamp() * 1000)

    # Sensors and ticks

    def _queue_events(self) -> None:
        """Put what happened into the queues of the sensors that run."""
        self._set_clock()
        for event in map(self._located, self._bus.fresh()):
            for name, parts in self._parts.items():
                definition = parts.definition
                takes = isinstance(definition, TAKING) and definition.monitors(event)
                if takes and self._is_running(name):
                    self._queues.setdefault(name, []).append(event)

    def _located(self, event: bus.BusRecord) -> bus.BusRecord:
        """Return the event with the code location of its run, if that is another one."""
        if not isinstance(event, RunStatusEvent) or event.run.run_id not in self._locations:
            return event
        return replace(event, run=replace(event.run, location=self._locations[event.run.run_id]))

    def _is_running(self, name: str) -> bool:
        return self.state(name).is_running(self._parts[name].settings.default_status)

    def evaluate(self, sensors: Sequence[str]) -> None:
        """Evaluate each of the sensors that runs once."""
        self._queue_events()
        before = set(self._tables.runs)
        for name in filter(self._is_running, sensors):
            self._evaluate_sensor(name)
        for run_id in self._tables.runs.keys() - before if self._runs_jobs else ():
            self.execute(run_id, raise_on_error=False)

    def _evaluate_sensor(self, name: str) -> None:
        parts = self._parts[name]
        tick = PeerTick(name, clock.now().timestamp(), next(self._ids))
        events = self._queues.pop(name, [])
        with _captured(tick.logged):
            if not parts.definition.takes_events:
                outcome = parts.scheduled.tick(self.clock.now(), Budget())
                if outcome.decision.value not in set(tr.TickStatus):
                    return  # It was not due.
                self._add(tick, outcome)
            for event in events:
                self.clock.advance(0.001)
                try:
                    outcome = self._evaluated(parts, event)
                except SensorEvaluationError:
                    outcome = outcome_of(self._evaluated_ticks[-1])
                self._add(tick, outcome)
                if isinstance(event, RunStatusEvent) and outcome.decision.value != SKIPPED:
                    tick.origin_run_ids.append(event.run.run_id)
        tick.cursor = self.cursor(name)
        tick.consecutive_failure_count = self.state(name).failure_streak
        self._ticks.setdefault(name, []).insert(0, tick)

    def _add(self, tick: PeerTick, outcome: Outcome) -> None:
        before = set(self._tables.runs)
        self._apply(tick.instigator_name, outcome)
        tick.outcomes.append(outcome)
        tick.records += self._evaluated_ticks
        self._evaluated_ticks = []
        tick.runs += [run for run_id, run in self._tables.runs.items() if run_id not in before]

    def get_ticks(self, _origin_id: str, selector_id: str) -> list[PeerTick]:
        """Return a sensor's ticks, newest first."""
        return list(self._ticks.get(selector_id, ()))

    def start_sensor(self, sensor: Any) -> Any:
        """Start a sensor; give one that never ticked the newest materialization, which the guide says to replay."""
        self._queue_events()
        definition = self._parts[sensor.name].definition
        if isinstance(definition, tr.AssetSensorDefinition) and sensor.name not in self._ticks:
            newest = self._tables.events.get(definition.asset_key.to_user_string(), [])[-1:]
            self._queues[sensor.name] = [replace(materialized(each), location=ENGINE) for each in newest]
        return super().start_sensor(sensor.name)

    def stop_sensor(self, _origin_id: str, selector_id: str = "", _sensor: Any = None) -> Any:
        """Stop a sensor."""
        self._queue_events()
        return super().stop_sensor(selector_id)

    def reset_sensor(self, sensor: Any) -> Any:
        """Return a sensor to its default status."""
        self._queue_events()
        return super().reset_sensor(sensor.name)

    def add_instigator_state(self, state: "InstigatorState") -> None:
        """Start the sensor, which is what the tests do with it."""
        assert state.status is tr.InstigatorStatus.RUNNING
        self.start_sensor(state.origin)
        self._added.add(state.origin.name)

    def get_instigator_state(self, _origin_id: str, selector_id: str) -> Any:
        """Return a sensor's state."""
        state, ticks = self.state(selector_id), self._ticks.get(selector_id, [])
        data = SimpleNamespace(
            sensor_type=self._parts[selector_id].definition.sensor_type,
            cursor=self.cursor(selector_id),
            last_tick_timestamp=ticks[0].timestamp if ticks else None,
        )
        started = selector_id in self._tables.sensors
        has_data = ticks or selector_id not in self._added
        return (
            SimpleNamespace(status=state.status, instigator_data=data if has_data else None)
            if started
            else None
        )

    def all_instigator_state(self) -> list[Any]:
        """Return the states of the sensors that have one."""
        return [self.get_instigator_state(name, name) for name in self._tables.sensors]

    # Runs

    def get_runs_count(self, *_: Any) -> int:
        """Return the number of runs."""
        return len(self._tables.runs)

    def get_runs(self, *_: Any, limit: int | None = None, **__: Any) -> list[Any]:
        """Return the runs, newest first."""
        return [dagster_run(run, ENGINE) for run in reversed(self._tables.runs.values())][:limit]

    def create_run_for_job(
        self,
        job: Job,
        *,
        remote_job_origin: Any = None,
        job_code_origin: Any = None,
        tags: Mapping[str, str] | None = None,
        run_config: Mapping[str, Any] | None = None,
    ) -> Any:
        """Record a run that Treadle did not start."""
        del job_code_origin
        self._set_clock()
        run_id, now = f"run-{next(self._ids)}", self.clock.now()
        self._jobs[job.name] = job
        execution = Execution(run_id, job.name, tr.DagsterRunStatus.STARTED, now)
        run = observed_run(run_id, job.name, execution, now)
        run = replace(
            run,
            tags={**run.tags, **(tags or {})},
            run_config=canonical_json(run_config or {}),
            partition_key=(tags or {}).get("dagster/partition"),
        )
        self._tables.runs[run_id] = run
        if remote_job_origin is not None and remote_job_origin.location not in {LOCATION, self.location}:
            self._locations[run_id] = remote_job_origin.location
        return dagster_run(run, ENGINE)

    def submit_run(self, run_id: str, _workspace: Any) -> None:
        """Run a job, unless it would only wait."""
        if self._tables.runs[run_id].job != "hanging_job":
            self.execute(run_id, raise_on_error=False)

    def execute(self, run_id: str, *, raise_on_error: bool) -> ExecuteInProcessResult:
        """Run the code of a run's job, and report how it ended."""
        run = self._tables.runs[run_id]
        try:
            self._jobs[run.job].run(self, run_id, run.partition_key)
        except Exception as error:
            if raise_on_error:
                raise
            return self._end(run_id, error)
        return self._end(run_id)

    def report_run_failed(self, run: Any) -> None:
        """End a run as failed."""
        self._end(run.run_id, Exception("womp womp"))

    def _end(self, run_id: str, error: Exception | None = None) -> ExecuteInProcessResult:
        self._set_clock()
        status, failure = tr.DagsterRunStatus.SUCCESS, None
        if error is not None:
            name = type(error).__name__
            status = tr.DagsterRunStatus.FAILURE
            failure = Failure(name, str(error), steps=(StepFailure("step", name, str(error)),))
        run, now = self._tables.runs[run_id], self.clock.now()
        ended = fold(run, Report(run.attempt, status, now, started_at=now, failure=failure, observed_at=now))
        self._tables.runs[run_id] = ended
        return ExecuteInProcessResult(ended, dagster_run(ended, ENGINE))


@contextmanager
def _captured(records: list[logging.LogRecord]) -> Iterator[None]:
    """Keep what sensors log in the block."""
    handler = logging.Handler()
    vars(handler)["emit"] = records.append
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def instance_for_test(overrides: Mapping[str, Any] | None = None, **_: Any) -> Iterator[PeerInstance]:
    """Yield an instance; its launcher starts jobs unless it is a mocked one."""
    launcher = (overrides or {}).get("run_launcher", {}).get("class")
    made = PeerInstance(runs_jobs=launcher is None)
    if launcher == "ExplodingRunLauncher":
        made.target.refusal = import_module("treadle.definitions.errors").LaunchRejectedError("refused")
    yield made


class _InstanceType(type):
    def __instancecheck__(cls, value: object) -> bool:
        """Return whether Treadle's `DagsterInstance` describes it."""
        return isinstance(value, tr.DagsterInstance)


class DagsterInstance(metaclass=_InstanceType):
    """The type `DagsterInstance`, with the methods that tests replace."""

    ephemeral = PeerInstance

    def get_ticks(self) -> None:
        """Stand for the method of that name."""

    def get_tick_termination_check_interval(self) -> None:
        """Stand for the method of that name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sensor or a job is defined."""

    name: str
    location: str

    def get_id(self) -> str:
        """Return the id."""
        return self.name


@dataclass(frozen=True, slots=True)
class Remote:
    """A sensor or a job of a workspace."""

    name: str
    repository_name: str
    location: str

    @property
    def selector_id(self) -> str:
        """The name."""
        return self.name

    @property
    def handle(self) -> "Remote":
        """What has the repository's name."""
        return self

    def get_remote_origin(self) -> Origin:
        """Return where it is defined."""
        return Origin(self.name, self.location)

    get_python_origin = get_remote_origin

    def get_remote_origin_id(self) -> str:
        """Return the id of where it is defined."""
        return self.name


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """A repository of a workspace."""

    repository: Repository
    location: str

    def get_sensor(self, name: str) -> Remote:
        """Return a sensor; raise why it is missing if its definition failed."""
        return self._remote(name)

    def get_full_job(self, name: str) -> Remote:
        """Return a job."""
        return self._remote(name)

    def _remote(self, name: str) -> Remote:
        self.repository.named(name)
        return Remote(name, self.repository.name, self.location)


@dataclass(frozen=True, slots=True)
class ModuleTarget:
    """A module with definitions."""

    module_name: str
    attribute: str | None = None
    working_directory: str | None = None
    location_name: str | None = None

    def load(self) -> dict[str, dict[str, Repository]]:
        """Return the repositories by location and name."""
        module = import_module(self.module_name)
        named = {name: each for name, each in vars(module).items() if isinstance(each, Repository)}
        kept = {each.name: each for name, each in named.items() if self.attribute in {None, name}}
        return {self.location_name or self.module_name: kept}


@dataclass(frozen=True, slots=True)
class WorkspaceFileTarget:
    """Files that list modules with definitions."""

    paths: Sequence[str]

    def load(self) -> dict[str, dict[str, Repository]]:
        """Return the repositories by location and name."""
        listed = [each for path in self.paths for each in yaml.safe_load(Path(path).read_text())["load_from"]]
        locations: dict[str, dict[str, Repository]] = {}
        for each in listed:
            locations |= ModuleTarget(each["python_module"]).load()
        return locations


class Workspace:
    """The definitions that are deployed to an instance."""

    def __init__(self, workspace_load_target: Any, instance: PeerInstance) -> None:
        self.instance = instance
        self._locations = workspace_load_target.load()
        repositories = [each for location in self._locations.values() for each in location.values()]
        self._sensors = [name for each in repositories for name in each.sensors]
        instance.deploy(repositories)
        instance.location = next(
            (name for name, each in self._locations.items() if any(x.sensors for x in each.values())),
            LOCATION,
        )

    def evaluate_sensors(self) -> None:
        """Evaluate the sensors once."""
        self.instance.evaluate(self._sensors)

    def create_request_context(self) -> "Workspace":
        """Return itself."""
        return self

    def get_code_location_entries(self) -> dict[str, Any]:
        """Return the code locations by name."""
        return {
            name: SimpleNamespace(code_location=_Location(name, repositories))
            for name, repositories in self._locations.items()
        }

    def copy_for_test_instance(self, instance: PeerInstance) -> "Workspace":
        """Deploy the same definitions to another instance."""
        return Workspace(SimpleNamespace(load=lambda: self._locations), instance)


@dataclass(frozen=True, slots=True)
class _Location:
    name: str
    repositories: Mapping[str, Repository]

    def get_repositories(self) -> dict[str, RemoteRepository]:
        """Return the repositories by name."""
        return {name: RemoteRepository(each, self.name) for name, each in self.repositories.items()}

    def get_repository(self, name: str) -> RemoteRepository:
        """Return a repository."""
        return self.get_repositories()[name]


@contextmanager
def create_test_daemon_workspace_context(
    workspace_load_target: Any, instance: PeerInstance
) -> Iterator[Workspace]:
    """Yield a workspace."""
    yield Workspace(workspace_load_target, instance)


def load_remote_repo(workspace: Workspace, name: str) -> RemoteRepository:
    """Return a repository of a workspace."""
    [location] = workspace.get_code_location_entries().values()
    return location.code_location.get_repository(name)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class InstigatorState:
    """A sensor's state, as the tests make it."""

    origin: Any
    instigator_type: str
    status: tr.InstigatorStatus


def execute_sensor_iteration(workspace: Workspace, *_: Any, **__: Any) -> list[None]:
    """Evaluate the sensors once."""
    workspace.evaluate_sensors()
    return []


def execute_sensor_iteration_loop(
    workspace: Workspace, *_: Any, shutdown_event: Any, until: float
) -> Iterator[None]:
    """Evaluate the sensors every five seconds."""
    while (left := until - clock.now().timestamp()) > 0:
        workspace.evaluate_sensors()
        yield
        shutdown_event.wait(min(left, 5))


def get_instigation_log_records(instance: PeerInstance, log_key: Sequence[str]) -> list[dict[str, Any]]:
    """Return what a tick logged."""
    _, sensor, tick_id = log_key
    [tick] = [each for each in instance.get_ticks(sensor, sensor) if str(each.tick_id) == tick_id]
    formatter = logging.Formatter()
    return [
        {
            METADATA: {"orig_message": each.getMessage()},
            "exc_info": formatter.formatException(each.exc_info) if each.exc_info else None,
        }
        for each in tick.logged
    ]


def use_location() -> None:
    """Give the engines of all instances the namespace that is the tests' code location."""
    for module in (bus, instance):
        vars(module)["NAMESPACE"] = ENGINE


def _request_result(
    name: str,
    added_partitions: Sequence[str] | None,
    deleted_partitions: Sequence[str] | None,
    skipped_partitions: Sequence[str],
) -> Any:
    """Make the result of a request of dynamic partitions; Dagster's has lists."""
    added = None if added_partitions is None else tuple(added_partitions)
    deleted = None if deleted_partitions is None else tuple(deleted_partitions)
    made: Any = import_module("treadle.model.ticks").DynamicPartitionsRequestResult
    return made(name, added, deleted, tuple(skipped_partitions))


SCAFFOLD: dict[str, Any] = {
    "DynamicPartitionsRequestResult": _request_result,
    "DagsterInstance": DagsterInstance,
    "InstigatorState": InstigatorState,
    "InstigatorType": SimpleNamespace(SENSOR="SENSOR"),
    "LOG_RECORD_METADATA_ATTR": METADATA,
    "ModuleTarget": ModuleTarget,
    "SINGLETON_REPOSITORY_NAME": "__repository__",
    "WorkspaceFileTarget": WorkspaceFileTarget,
    "create_test_daemon_workspace_context": create_test_daemon_workspace_context,
    "execute_sensor_iteration": execute_sensor_iteration,
    "execute_sensor_iteration_loop": execute_sensor_iteration_loop,
    "get_default_daemon_logger": logging.getLogger,
    "get_instigation_log_records": get_instigation_log_records,
    "instance_for_test": instance_for_test,
    "load_remote_repo": load_remote_repo,
    "wait_for_futures": lambda *_, **__: None,
}
