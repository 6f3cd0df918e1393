"""Deadline sensors: a function that is called if a job has not succeeded by its deadline."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Unpack

from treadle.definitions.clocks import MAX_SKEW_MS, duration_problem, within_problem
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.evaluation import EMPTY_RESULT, combine, flatten
from treadle.definitions.instance import DagsterInstance
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.options import SharedOptions, check_options
from treadle.definitions.results import SensorExecutionData, SkipReason
from treadle.definitions.runs import RunRecord, RunsFilter
from treadle.definitions.sensors import SensorDefinition, SensorEvent, SensorFunction
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus
from treadle.definitions.timed import DeadlineReached

MAX_GRACE = timedelta(minutes=15)
"""The maximum delay of an SQS message."""

_PAGE = 100
_TIMES_MORE = 10

_BEGUN_BEFORE = timedelta(days=1)
"""How much older than the window a run may be that succeeded in it and has been started again since."""

_ENDED = [status for status in DagsterRunStatus if status.is_finished]
_UNDER_WAY = [status for status in DagsterRunStatus if not status.is_finished]


@dataclass(slots=True, kw_only=True)
class DeadlineSensorContext(SensorEvaluationContext):
    """The context of a deadline sensor's function.

    Attributes:
        job_name: the job that has not succeeded.
        deadline: when it should have succeeded.
        since: the beginning of the window in which it should have succeeded.
        last_run: the job's last run that was requested in that window, if there is one.
        reason: the current state of the job, as text.
    """

    job_name: str
    deadline: datetime
    since: datetime
    last_run: RunRecord | None
    reason: str


class DeadlineSensorDefinition(SensorDefinition):
    """A sensor that is called when a job has missed its deadline; see `deadline_sensor`."""

    kind: ClassVar[str] = "deadline"
    takes_events: ClassVar[bool] = True

    def __init__(
        self,
        name: str | None,
        function: SensorFunction,
        *,
        watched: JobDefinition,
        within: timedelta,
        grace: timedelta,
        **options: Any,
    ) -> None:
        found = (
            within_problem(within),
            duration_problem("grace", grace, timedelta(0), MAX_GRACE, "0 to 15 minutes"),
        )
        problems = [problem for problem in found if problem]
        if problems:
            msg = f"Sensor {name or function.__name__!r} cannot work: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)
        super().__init__(name, evaluation_fn=function, **options)
        self.watched = watched
        self.within = within
        self.grace = grace

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties as plain JSON, with the job that it watches."""
        return {**super().described(), "watched_job": self.watched.name}

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Return an empty result: a deadline arrives as an event."""
        del context
        return SensorExecutionData((), f"Sensor {self.name} evaluates deadlines, not ticks.")

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Check whether the job has succeeded in time, and call the function if not."""
        if not isinstance(event, DeadlineReached):
            return super().evaluate_event(context, event)
        # In UTC: Python subtracts from a time in a zone by its wall clock, not by elapsed time.
        since = (event.time.astimezone(UTC) - self.within).astimezone(event.time.tzinfo)
        job = self.watched.name
        instance: DagsterInstance = context.instance
        met = self._success(instance, since, event.time)
        if met is not None:
            ended = datetime.fromtimestamp(met, event.time.tzinfo)
            reason = f"Job {job} succeeded at {ended:%H:%M:%S %Z}, before {event.time:%H:%M:%S %Z}."
            return combine([SkipReason(reason)], context, self.job_names)
        runs_filter = RunsFilter(job_name=job, created_after=since, created_before=event.time)
        last = next(iter(instance.get_run_records(runs_filter, limit=1)), None)
        shown = last or self._still_running(instance, since)
        seen = DeadlineSensorContext.extending(
            context,
            job_name=job,
            deadline=event.time,
            since=since,
            last_run=last,
            reason=_reason(job, event.time, shown),
        )
        data = combine(flatten(self._called(seen), self.name), context, self.job_names)
        if data.skip_message not in {None, EMPTY_RESULT}:
            return data
        acted_on = f"deadline/{event.time.isoformat()}"
        return replace(data, acted_on=acted_on, skip_message=None if data.run_requests else seen.reason)

    def _success(self, instance: DagsterInstance, since: datetime, until: datetime) -> float | None:
        """Return when an attempt succeeded in the window; its event may be late, but hardly early.

        Ended runs are read from the beginning of the window, so that later ones do not get in the way, and to
        the end if need be. A success counts, whatever the result of a later attempt of its run.
        """
        job, begin, end = self.watched.name, since.timestamp(), until.timestamp()
        observed_since = datetime.fromtimestamp(begin - MAX_SKEW_MS / 1000, UTC)
        ended = RunsFilter(job_name=job, statuses=_ENDED, updated_after=observed_since)
        again = RunsFilter(
            job_name=job, statuses=_UNDER_WAY, created_after=since - _BEGUN_BEFORE, created_before=until
        )
        for wanted, order in ((ended, "update_timestamp"), (again, "create_timestamp")):
            limit = _PAGE
            while True:
                found = instance.get_run_records(wanted, order_by=order, ascending=True, limit=limit)
                times = (time for each in found for time in each.success_times if begin < time <= end)
                met = next(times, None)
                if met is not None:
                    return met
                if len(found) < limit:
                    break
                limit *= _TIMES_MORE
        return None

    def _still_running(self, instance: DagsterInstance, since: datetime) -> RunRecord | None:
        """Return the job's last run if it was requested before the window and has not ended yet."""
        runs_filter = RunsFilter(job_name=self.watched.name, created_before=since + timedelta(milliseconds=1))
        last = next(iter(instance.get_run_records(runs_filter, limit=1)), None)
        return None if last is None or last.dagster_run.is_finished else last


def _reason(job: str, deadline: datetime, last: RunRecord | None) -> str:
    missed = f"Job {job} has not succeeded by {deadline:%Y-%m-%d %H:%M:%S %Z}"
    if last is None:
        return f"{missed}: no run was requested."
    run = last.dagster_run
    if run.failure is not None and run.is_failure_or_canceled:
        return f"{missed}: run {run.run_id} ended as {run.status}: {run.failure.error}: {run.failure.cause}"
    if run.is_success:
        return f"{missed}: run {run.run_id} succeeded too late."
    return f"{missed}: run {run.run_id} has status {run.status}."


def deadline_sensor(
    *,
    job: JobDefinition,
    within: timedelta,
    grace: timedelta = timedelta(minutes=5),
    name: str | None = None,
    description: str | None = None,
    request_job: JobDefinition | None = None,
    request_jobs: Sequence[JobDefinition] | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    **options: Unpack[SharedOptions],
) -> Callable[[SensorFunction], DeadlineSensorDefinition]:
    """Make a sensor of a function that is called if a job has not succeeded by its deadline.

    The deployment sets the deadlines: a cron expression and a time zone in the sensor's block of
    template.yaml. Each is evaluated once, after a grace period in which the late event of a success may still
    arrive. If the function raises, the tick fails, and the deadline is evaluated again. It is called with a
    `DeadlineSensorContext`, and may return what any sensor may return.

    Args:
        job: the job that must have succeeded.
        within: how long before the deadline its success counts, such as a day.
        grace: how long after the deadline it is evaluated, 15 minutes at most.
        name: the sensor's name; the function's own name by default.
        description: shown to operators; the function's docstring by default.
        request_job: the only job that the function may request.
        request_jobs: the jobs that it may request.
        default_status: whether it is evaluated before an operator has started it.
        options: `required_resource_keys`, `tags`, `metadata`, `owners` and `on_invalid` of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """
    check_options(deadline_sensor, options)

    def decorate(function: SensorFunction) -> DeadlineSensorDefinition:
        return DeadlineSensorDefinition(
            name,
            function,
            watched=job,
            within=within,
            grace=grace,
            description=description,
            job=request_job,
            jobs=request_jobs,
            default_status=default_status,
            **options,
        )

    return decorate
