"""Run status sensors: a function that is called once for each status that a monitored run reaches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack, overload

from treadle.definitions.bounds import byte_size
from treadle.definitions.canonical import canonical_json
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.evaluation import EMPTY_RESULT, SensorReturnType, combine, flatten, requests_runs
from treadle.definitions.jobs import JobDefinition, names_in
from treadle.definitions.options import (
    FailureOptions,
    RetryOptions,
    UntargetedOptions,
    check_options,
    renamed,
)
from treadle.definitions.results import (
    DagsterRunReaction,
    RunRequest,
    SensorExecutionData,
    SensorResult,
    SkipReason,
)
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.run_status_contexts import RunFailureSensorContext, RunStatusSensorContext
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, SensorType

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch

EVERYWHERE = "*"
"""A deployment's value for "monitor every job of every engine"."""


@dataclass(frozen=True, slots=True)
class CodeLocationSelector:
    """All jobs of an engine.

    Attributes:
        location_name: the engine's namespace (its name, unless its parameter Namespace says otherwise), or
            `account/region/namespace`.
    """

    location_name: str

    def selects(self, location: str, job_name: str) -> bool:
        """Return whether a job is selected."""
        del job_name
        return self.location_name in {location, location.rpartition("/")[2]}


@dataclass(frozen=True, slots=True)
class RepositorySelector(CodeLocationSelector):
    """All jobs of an engine; an engine has no repositories, so their name is ignored.

    Attributes:
        repository_name: for compatibility with Dagster.
    """

    repository_name: str = "__repository__"


@dataclass(frozen=True, slots=True)
class JobSelector:
    """A job of an engine.

    Attributes:
        location_name: the engine, as in `CodeLocationSelector`.
        repository_name: for compatibility with Dagster, which has it before the job's name.
        job_name: the job's name.

    Raises:
        DagsterInvalidDefinitionError: if there is no job's name.
    """

    location_name: str
    repository_name: str | None = None
    job_name: str | None = None

    def __post_init__(self) -> None:
        if self.job_name is None:
            msg = (
                "JobSelector has no job_name. Give it by name: JobSelector(location_name=..., job_name=...)."
            )
            raise DagsterInvalidDefinitionError(msg)

    def selects(self, location: str, job_name: str) -> bool:
        """Return whether a job is selected."""
        return job_name == self.job_name and CodeLocationSelector(self.location_name).selects(location, "")


RunStatusFunction = Callable[
    ...,
    SensorReturnType
    | DagsterRunReaction
    | list[DagsterRunReaction]
    | Iterator[RunRequest | SkipReason | SensorResult | DagsterRunReaction | None],
]
Monitored = JobDefinition | JobSelector | RepositorySelector | CodeLocationSelector


class RunFailureOptions(UntargetedOptions, FailureOptions, total=False):
    """Options of `@run_failure_sensor` that are not its name."""

    monitored_jobs: Sequence[Monitored] | None
    monitor_all_code_locations: bool | None
    request_job: JobDefinition | None
    request_jobs: Sequence[JobDefinition] | None


class RunStatusSensorDefinition(SensorDefinition):
    """A sensor over the status of runs.

    Its function is called with a `RunStatusSensorContext` once for each status that a monitored run reaches.
    Returning nothing counts as a reaction, which is recorded on the tick and on the run. Run requests start
    runs; a skip reason says why there was nothing to do. If the function raises, the tick fails, and the
    event is evaluated again.

    Args:
        name: the sensor's name; the function's own name by default.
        run_status: the status to react to, or several.
        run_status_sensor_fn: the function.
        monitored_jobs: jobs of this engine, or selectors of other engines' jobs; None for every job of this
            engine.
        monitor_all_code_locations: True for every job of every engine whose events reach this one's bus.
        request_job: the only job that the function may request.
        request_jobs: the jobs that it may request.
        batch: when statuses form a batch.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    sensor_type: ClassVar[SensorType] = SensorType.RUN_STATUS
    kind: ClassVar[str] = "run_status"
    takes_events: ClassVar[bool] = True
    events_return: ClassVar[bool] = True
    _also_returned: ClassVar[type | None] = DagsterRunReaction
    _context_of: ClassVar[type[RunStatusSensorContext]] = RunStatusSensorContext

    def __init__(
        self,
        name: str | None = None,
        run_status: DagsterRunStatus | Iterable[DagsterRunStatus] = (),
        run_status_sensor_fn: RunStatusFunction | None = None,
        *,
        monitored_jobs: Sequence[Monitored] | None = None,
        monitor_all_code_locations: bool | None = None,
        request_job: JobDefinition | None = None,
        request_jobs: Sequence[JobDefinition] | None = None,
        batch: "Batch | None" = None,
        **options: Unpack[UntargetedOptions],
    ) -> None:
        check_options(RunStatusSensorDefinition.__init__, options)
        given = [run_status] if isinstance(run_status, str) else list(run_status)
        if not given:
            msg = f"Sensor {name!r} cannot work: run_status names no status to react to."
            raise DagsterInvalidDefinitionError(msg)
        if monitored_jobs and monitor_all_code_locations:
            msg = "Cannot specify both monitor_all_code_locations and monitored_jobs."
            raise DagsterInvalidDefinitionError(msg)
        function: Any = run_status_sensor_fn
        super().__init__(name, evaluation_fn=function, job=request_job, jobs=request_jobs, **options)
        self.statuses = frozenset(DagsterRunStatus(status) for status in given)
        self.monitored_jobs = tuple(monitored_jobs or ())
        self.monitors_everything = bool(monitor_all_code_locations)
        self.location = ""
        self.batch = batch

    def configured(self, settings: Mapping[str, str]) -> Self:
        """Return the definition with the monitored jobs of the deployment.

        Args:
            settings: the function's environment: `TREADLE_NAMESPACE`, and `TREADLE_MONITORED_JOBS`: names
                separated by commas, "*" for every job of every engine, empty or absent for those in the code.
        """
        changed = copy(self)
        changed.location = settings.get("TREADLE_NAMESPACE", "")
        names = names_in(settings.get("TREADLE_MONITORED_JOBS", ""))
        if names:
            changed.monitors_everything = EVERYWHERE in names
            changed.monitored_jobs = tuple(JobDefinition(name) for name in names if name != EVERYWHERE)
        return changed

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event has a monitored job and status."""
        if not isinstance(event, RunStatusEvent) or event.status not in self.statuses:
            return False
        if self.monitors_everything:
            return True
        is_own = event.run.location == self.location
        if not self.monitored_jobs:
            return is_own
        name = event.run.job_name
        return any(
            (is_own and job.name == name)
            if isinstance(job, JobDefinition)
            else job.selects(event.run.location, name)
            for job in self.monitored_jobs
        )

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Evaluate what happened since the context's cursor, or the batch of a context that was built for one, as a test does.

        Without a cursor, nothing is evaluated, and the cursor moves behind all that has happened. Otherwise the
        function is called for up to five status changes, until it returns a value.

        Args:
            context: its instance is a `TreadleInstance`; its cursor moves.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterInvariantViolationError: if the context has no instance.
            DagsterUnknownPartitionError: if the job of a request does not have its partition.
        """
        if self.batch is not None:
            return super().evaluate_tick(context)
        events: list[RunStatusEvent] = context.instance.run_status_events()
        if not (context.cursor or "").isdecimal():
            context.update_cursor(str(len(events)))
            text = f"Initiating {self.name}. Set cursor to {context.cursor}"
            return SensorExecutionData((), text, context.cursor)
        here = self if self.location else self.configured({"TREADLE_NAMESPACE": context.instance.namespace})
        seen = context.without_cursor()
        data, reactions = SensorExecutionData((), EMPTY_RESULT), list[DagsterRunReaction]()
        start = int(context.cursor or 0)
        for number, event in enumerate(events[start:], start + 1):
            if here.monitors(event):
                if len(reactions) == _MAX_REACTIONS:
                    break
                data = here.evaluate_event(seen, event)
                if not _is_silent(data):
                    context.update_cursor(str(number))
                    break
                reactions.append(DagsterRunReaction(event.run, None, event.status))
                data = SensorExecutionData()
            context.update_cursor(str(number))
        reactions += data.dagster_run_reactions
        return self._resolved(replace(data, cursor=context.cursor, dagster_run_reactions=reactions), context)

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Return an empty result: status changes arrive as events."""
        del context
        return SensorExecutionData((), f"Sensor {self.name} evaluates events, not ticks.")

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate a status change of a run, or let it wait for a batch."""
        if not isinstance(event, RunStatusEvent):
            return super().evaluate_event(context, event)
        if not self.monitors(event):
            text = ", ".join(sorted(self.statuses))
            reason = f"{event.summary}, of {event.run.location or 'this engine'}: not watched ({text})."
            return SensorExecutionData((), reason)
        if self.batch is not None:
            size = byte_size(canonical_json(dict(event.run.run_config)))
            return self._waiting(self.batch, event.summary, event.item_identity, event, size)
        seen = self._context_of.of(context, event.run, event.dagster_event)
        values = flatten(self._called(seen), self.name, also=self._also_returned)
        return self._acted(
            values, context, event.event_id, f"run status {event.status} of run {event.run.run_id}"
        )

    def _result_of_batch(
        self, values: Sequence[Any], context: SensorEvaluationContext, run_key: str
    ) -> SensorExecutionData:
        return self._acted(values, context, run_key, "a batch of run statuses")

    def _acted(
        self, values: Sequence[Any], context: SensorEvaluationContext, acted_on: str, what: str
    ) -> SensorExecutionData:
        """Return the result of what the function returned; nothing or a reaction means that it acted.

        Args:
            values: from `flatten`.
            context: of the evaluation.
            acted_on: what it acted on.
            what: the same, for operators.
        """
        for value in values:
            if isinstance(value, DagsterRunReaction) and value.error is not None:
                raise value.error
        results = [value for value in values if not isinstance(value, DagsterRunReaction)]
        data = combine(results, context, self.job_names)
        if results and not any(map(_does_something, results)):
            return data
        text = f'Sensor "{self.name}" acted on {what}.'
        reactions = [value for value in values if isinstance(value, DagsterRunReaction)]
        return replace(
            data,
            acted_on=acted_on,
            skip_message=None if data.run_requests else text,
            dagster_run_reactions=reactions,
        )


class RunFailureSensorDefinition(RunStatusSensorDefinition):
    """A sensor over failed runs; its function receives a `RunFailureSensorContext`.

    Args:
        each_attempt: True for also those failures after which the run's retry policy starts another attempt.
        arguments: those of `RunStatusSensorDefinition`.
        options: also those of it.
    """

    _context_of: ClassVar[type[RunStatusSensorContext]] = RunFailureSensorContext

    def __init__(self, *arguments: Any, each_attempt: bool = False, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.each_attempt = each_attempt

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event is a failure of a monitored job, and the last one of its run."""
        is_last = not (isinstance(event, RunStatusEvent) and event.will_retry)
        return (is_last or self.each_attempt) and super().monitors(event)

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate a failure, unless another attempt follows it."""
        if isinstance(event, RunStatusEvent) and event.will_retry and not self.each_attempt:
            reason = f"{event.summary}: not evaluated, as the run's retry policy starts another attempt."
            return SensorExecutionData((), reason)
        return super().evaluate_event(context, event)


_MAX_REACTIONS = 5
"""The maximum number of status changes that `evaluate_tick` evaluates, as in Dagster."""


def _is_silent(data: SensorExecutionData) -> bool:
    """Return whether the function was called and returned nothing."""
    returned = (
        data.run_requests
        or data.dagster_run_reactions
        or data.asset_events
        or data.dynamic_partitions_requests
    )
    return data.acted_on is not None and not returned


def _does_something(value: Any) -> bool:
    if isinstance(value, SensorResult) and (value.dynamic_partitions_requests or value.asset_events):
        return True
    return requests_runs(value)


def run_status_sensor(
    run_status: DagsterRunStatus | Iterable[DagsterRunStatus],
    name: str | None = None,
    minimum_interval_seconds: int | None = None,
    description: str | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    request_job: JobDefinition | None = None,
    request_jobs: Sequence[JobDefinition] | None = None,
    monitor_all_repositories: bool | None = None,
    *,
    batch: "Batch | None" = None,
    **options: Unpack[RetryOptions],
) -> Callable[[RunStatusFunction], RunStatusSensorDefinition]:
    """Make a sensor of a function that is called once for each status that a monitored run reaches.

    Args:
        run_status: the status to react to, or several.
        name: the sensor's name; the function's own name by default.
        minimum_interval_seconds: accepted for compatibility with Dagster: each event is evaluated when it
            arrives.
        description: shown to operators; the function's docstring by default.
        monitored_jobs: jobs of this engine, or selectors of other engines' jobs; None for every job of this
            engine.
        job_selection: the former name of `monitored_jobs`.
        monitor_all_code_locations: True for every job of every engine whose events reach this one's bus.
        default_status: whether it is evaluated before an operator has started it.
        request_job: the only job that it may request.
        request_jobs: the jobs that it may request.
        monitor_all_repositories: the former name of `monitor_all_code_locations`.
        batch: when statuses form a batch, for which the function is called once, with a `BatchSensorContext`; None to
            call it for each.
        options: `required_resource_keys`, `tags`, `metadata`, `owners`, `retries_per_key` and `on_invalid` of
            `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(run_status_sensor, options)

    jobs = renamed(monitored_jobs, job_selection, "monitored_jobs and job_selection")
    everywhere = renamed(
        monitor_all_code_locations,
        monitor_all_repositories,
        "monitor_all_code_locations and monitor_all_repositories",
    )

    def decorate(function: RunStatusFunction) -> RunStatusSensorDefinition:
        return RunStatusSensorDefinition(
            name,
            run_status,
            function,
            minimum_interval_seconds=minimum_interval_seconds,
            description=description,
            monitored_jobs=jobs,
            monitor_all_code_locations=everywhere,
            default_status=default_status,
            request_job=request_job,
            request_jobs=request_jobs,
            batch=batch,
            **options,
        )

    return decorate


@overload
def run_failure_sensor(name: RunStatusFunction) -> RunFailureSensorDefinition: ...


@overload
def run_failure_sensor(
    name: str | None = None,
    minimum_interval_seconds: int | None = None,
    description: str | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    request_job: JobDefinition | None = None,
    request_jobs: Sequence[JobDefinition] | None = None,
    monitor_all_repositories: bool | None = None,
    *,
    batch: "Batch | None" = None,
    **options: Unpack[FailureOptions],
) -> Callable[[RunStatusFunction], RunFailureSensorDefinition]: ...


def run_failure_sensor(
    name: str | RunStatusFunction | None = None,
    minimum_interval_seconds: int | None = None,
    description: str | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    request_job: JobDefinition | None = None,
    request_jobs: Sequence[JobDefinition] | None = None,
    monitor_all_repositories: bool | None = None,
    *,
    batch: "Batch | None" = None,
    **options: Unpack[FailureOptions],
) -> RunFailureSensorDefinition | Callable[[RunStatusFunction], RunFailureSensorDefinition]:
    """Make a sensor of a function that is called once for each monitored run that fails.

    It may be used bare, `@run_failure_sensor`, or called.

    Args:
        name: the sensor's name, or the function itself where it is used bare.
        minimum_interval_seconds: as in `@run_status_sensor`, like all that follow.
        description: shown to operators.
        monitored_jobs: jobs of this engine, or selectors of other engines' jobs.
        job_selection: the former name of `monitored_jobs`.
        monitor_all_code_locations: True for every job of every engine.
        default_status: whether it is evaluated before an operator has started it.
        request_job: the only job that it may request.
        request_jobs: the jobs that it may request.
        monitor_all_repositories: the former name of `monitor_all_code_locations`.
        batch: when failures form a batch, for which the function is called once, with a `BatchSensorContext`; None to
            call it for each.
        options: those of `@run_status_sensor`, and `each_attempt`: True to call it also for failures after which the
            run's retry policy starts another attempt.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(run_failure_sensor, options)

    jobs = renamed(monitored_jobs, job_selection, "monitored_jobs and job_selection")
    everywhere = renamed(
        monitor_all_code_locations,
        monitor_all_repositories,
        "monitor_all_code_locations and monitor_all_repositories",
    )

    def decorate(function: RunStatusFunction) -> RunFailureSensorDefinition:
        return RunFailureSensorDefinition(
            name if isinstance(name, str) else None,
            DagsterRunStatus.FAILURE,
            function,
            minimum_interval_seconds=minimum_interval_seconds,
            description=description,
            monitored_jobs=jobs,
            monitor_all_code_locations=everywhere,
            default_status=default_status,
            request_job=request_job,
            request_jobs=request_jobs,
            batch=batch,
            **options,
        )

    return decorate(name) if callable(name) else decorate
