"""Sensor definitions and the `@sensor` decorator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError, UnknownEventError
from treadle.definitions.evaluation import call_with, combine, flatten
from treadle.definitions.jobs import JobDefinition, check_valid_name
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.status import DefaultSensorStatus

SensorEvent = ObjectCreated

DEFAULT_CAP = 10_000
"""Run requests in one tick; more are a FAILURE that names the cap."""


class SensorDefinition:
    """A named evaluation function and the jobs it may ask for.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: called at each tick, with the context if it takes an argument.
        job_name: the only target, by name.
        minimum_interval_seconds: seconds between ticks; None and 0 mean each scheduled minute.
            A deployment parameter wins.
        description: shown to operators; the function's docstring by default.
        job: the only target.
        jobs: the targets, when there are several.
        default_status: whether the sensor evaluates before anyone has started it.
            A deployment parameter wins.
        tags: the sensor's own; they are not put on runs.
        metadata: shown to operators.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """

    takes_events: bool = False
    has_leased_ticks: bool = True

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: Callable[..., Any] | None = None,
        job_name: str | None = None,
        minimum_interval_seconds: int | None = None,
        description: str | None = None,
        job: JobDefinition | None = None,
        jobs: Sequence[JobDefinition] | None = None,
        default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if evaluation_fn is None:
            msg = "Must provide evaluation_fn to SensorDefinition."
            raise DagsterInvalidDefinitionError(msg)
        self._function = evaluation_fn
        self.name = check_valid_name(name or evaluation_fn.__name__, "sensor")
        self.description = description or evaluation_fn.__doc__
        self.minimum_interval_seconds = minimum_interval_seconds or None
        self.default_status = DefaultSensorStatus(default_status)
        self.tags = dict(tags or {})
        self.metadata = dict(metadata or {})
        self.jobs = _targets(self.name, job_name, job, jobs)
        if minimum_interval_seconds is not None and minimum_interval_seconds < 0:
            msg = f"Sensor {self.name}: minimum_interval_seconds must not be negative."
            raise DagsterInvalidDefinitionError(msg)

    @property
    def job_names(self) -> tuple[str, ...]:
        """The names of the jobs that the sensor may ask for."""
        return tuple(job.name for job in self.jobs)

    def job_tags(self, job_name: str) -> Mapping[str, str]:
        """The tags that every run of the job bears."""
        return next(job.tags for job in self.jobs if job.name == job_name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a test does."""
        return self._function(*args, **kwargs)

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Run the function to its end and return what it asks for, in one shape.

        Args:
            context: what the function sees; its cursor is changed by the function.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterInvariantViolationError: if the cursor was set in two ways.
        """
        values = flatten(call_with(self._function, context), self.name)
        return combine(values, context, self.job_names)

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate one event.

        Args:
            context: what the function sees; it has no cursor.
            event: what happened.

        Raises:
            UnknownEventError: if the sensor takes no such event.
        """
        msg = f"Sensor {self.name} takes no events, and got {event.summary} for {context.sensor_name}."
        raise UnknownEventError(msg)

    def configured(self, settings: Mapping[str, str]) -> Self:
        """The definition with its own selectors taken from the deployment's settings.

        Args:
            settings: the function's environment.

        Raises:
            SettingsError: with all problems at once.
        """
        del settings
        return self


def _targets(
    name: str, job_name: str | None, job: JobDefinition | None, jobs: Sequence[JobDefinition] | None
) -> tuple[JobDefinition, ...]:
    given = [what for what, value in (("job", job), ("jobs", jobs), ("job_name", job_name)) if value]
    if len(given) > 1:
        msg = (
            f"Sensor {name}: Attempted to provide more than one of 'job', 'jobs', 'job_name' "
            f"({', '.join(given)} were given). Give one of them."
        )
        raise DagsterInvalidDefinitionError(msg)
    if job_name:
        return (JobDefinition(job_name),)
    if job:
        return (job,)
    return tuple(jobs or ())


def sensor(
    job_name: str | None = None,
    *,
    name: str | None = None,
    minimum_interval_seconds: int | None = None,
    description: str | None = None,
    job: JobDefinition | None = None,
    jobs: Sequence[JobDefinition] | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], SensorDefinition]:
    """Make a sensor of a function; see `SensorDefinition` for the arguments.

    Raises:
        DagsterInvalidDefinitionError: when the definition cannot work.
    """

    def decorate(function: Callable[..., Any]) -> SensorDefinition:
        return SensorDefinition(
            name,
            evaluation_fn=function,
            job_name=job_name,
            minimum_interval_seconds=minimum_interval_seconds,
            description=description,
            job=job,
            jobs=jobs,
            default_status=default_status,
            tags=tags,
            metadata=metadata,
        )

    return decorate
