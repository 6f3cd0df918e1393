"""Sensor definitions and the `@sensor` decorator."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, Unpack

from treadle.definitions.bounds import shown
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    InvalidReportError,
    UnknownEventError,
)
from treadle.definitions.evaluation import SensorReturnType, combine, flatten, requests_runs, type_of_result
from treadle.definitions.invocation import Signature
from treadle.definitions.jobs import NAME, JobDefinition
from treadle.definitions.options import PollingOptions, check_options
from treadle.definitions.results import MAX_REQUESTS, SensorExecutionData
from treadle.definitions.retries import retry_policy_of
from treadle.definitions.status import DefaultSensorStatus, SensorType

# A sensor loads only the modules it uses.
if TYPE_CHECKING:
    from treadle.definitions.asset_selection import AssetSelection, CoercibleToAssetSelection
    from treadle.definitions.asset_targets import AssetTargets
    from treadle.definitions.assets import AssetMaterialized
    from treadle.definitions.bus_event import EventBridgeEvent
    from treadle.definitions.hours import Hours
    from treadle.definitions.item_batches import Batch
    from treadle.definitions.metadata import MetadataValue
    from treadle.definitions.objects import ObjectCreated
    from treadle.definitions.queue_message import QueueMessage
    from treadle.definitions.run_events import RunStatusEvent
    from treadle.definitions.stream_record import StreamRecord
    from treadle.definitions.timed import DeadlineReached
    from treadle.definitions.webhook_request import WebhookRequest
    from treadle.definitions.webhook_verification import WebhookVerification

SensorEvent: TypeAlias = (
    "ObjectCreated | RunStatusEvent | AssetMaterialized | DeadlineReached | EventBridgeEvent | QueueMessage "
    "| WebhookRequest | StreamRecord"
)
SensorFunction = Callable[..., SensorReturnType]

DEFAULT_CAP = MAX_REQUESTS
"""Maximum number of run requests in one tick; with more it fails with a message that states the limit."""

MAX_RETRIES = 10_000

SET_ASIDE, FAIL = ON_INVALID = ("set_aside", "fail")
"""How a request that can never run may be treated."""

_OWNER = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|team:.+")


class SensorDefinition:
    """A named evaluation function and the jobs it may request.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: called at each tick, with the context if it takes an argument, and with the
            resources that its parameters are annotated for.
        job_name: the only target, by name.
        minimum_interval_seconds: seconds between ticks; None and 0 mean each scheduled minute.
            The deployment's value takes precedence.
        description: shown to operators; the function's docstring by default.
        job: the only target.
        jobs: the targets, when there are several.
        default_status: whether the sensor is evaluated before an operator has started it.
            The deployment's value takes precedence.
        asset_selection: assets instead of jobs. The jobs that make them are among those given to `evaluator` or
            `TreadleInstance`; a request without `asset_selection` is for all of these assets.
        required_resource_keys: resources that the function takes from `context.resources`.
        tags: of the sensor; they are not put on runs.
        metadata: shown to operators.
        target: a job, as `job`; or assets, as `asset_selection`.
        owners: e-mail addresses, or teams as `team:name`.
        retries_per_key: how often a later tick that requests the same run key again may start its run
            again, as long as it has failed or was canceled each time. By default a key starts only one run.
        on_invalid: how to treat a request that can never run, because its run config does not match the job's
            schema, it is too large, or an earlier one of the same tick has its run key: "set_aside" records
            it as rejected with the reason and starts the others; "fail" fails the tick, which then commits
            nothing, not even its cursor.
        active: the hours in which its schedule evaluates it; None for at all times. Only for a sensor that nothing but
            its schedule evaluates. The deployment must state the same hours.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """

    sensor_type: ClassVar[SensorType] = SensorType.STANDARD
    kind: ClassVar[str] = "schedule"
    takes_events: ClassVar[bool] = False
    takes_any_event: ClassVar[bool] = False
    consumes_queue: ClassVar[bool] = False
    consumes_stream: ClassVar[bool] = False
    events_return: ClassVar[bool] = False
    """Whether an event may come again long after it was evaluated: by a replay, or in a stream that is read again."""
    max_attempts: int = 0
    """How often a record of a stream is evaluated before it is given up."""
    values_taken: ClassVar[int] = 1
    _also_returned: ClassVar[type | None] = None
    """A type that the function may return beside those that any sensor may."""
    is_woken: ClassVar[bool] = False
    grace: timedelta = timedelta(0)
    verification: "WebhookVerification | None" = None
    batch: "Batch | None" = None
    """When items form a batch; None if each is evaluated by itself."""
    asset_targets: "AssetTargets | None" = None
    """What the sensor selects of the assets of the jobs in its deployment; None if it names its jobs."""

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: SensorFunction | None = None,
        job_name: str | None = None,
        minimum_interval_seconds: int | None = None,
        description: str | None = None,
        job: JobDefinition | None = None,
        jobs: Sequence[JobDefinition] | None = None,
        default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
        asset_selection: "CoercibleToAssetSelection | None" = None,
        required_resource_keys: set[str] | None = None,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        target: "JobDefinition | CoercibleToAssetSelection | None" = None,
        owners: Sequence[str] | None = None,
        retries_per_key: int = 0,
        on_invalid: str = SET_ASIDE,
        active: "Hours | None" = None,
    ) -> None:
        if evaluation_fn is None:
            msg = "Must provide evaluation_fn to SensorDefinition."
            raise DagsterInvalidDefinitionError(msg)
        self.name = name or str(getattr(evaluation_fn, "__name__", ""))
        self._signature = Signature.of(evaluation_fn)
        problems = _problems(
            self.name, self._signature, minimum_interval_seconds, required_resource_keys, owners
        )
        problems += _problems_of_values(job_name, job, jobs, default_status, tags, metadata)
        targets = {"job": job, "jobs": jobs, "job_name": job_name, "target": target}
        given = [what for what, value in targets.items() if value]
        given += ["asset_selection"] if asset_selection is not None else []
        if len(given) > 1:
            problems.append(
                "Attempted to provide more than one of 'job', 'jobs', 'job_name', 'target', 'asset_selection' "
                f"({', '.join(given)})"
            )
        target_job = target if isinstance(target, JobDefinition) else None
        self.asset_selection = _selection("asset_selection", asset_selection, problems)
        self.selects = self.asset_selection or (
            None if target_job else _selection("target", target or None, problems)
        )
        problems += _problems_of_requests(retries_per_key, on_invalid)
        if active is not None:
            problems += _problems_of_hours(active, is_polled=not (self.takes_events or self.is_woken))
        if problems:
            msg = f"Sensor {self.name!r} cannot work: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)
        self._function = evaluation_fn
        self.description = description or self._signature.documentation
        self.minimum_interval_seconds = minimum_interval_seconds or None
        self.default_status = DefaultSensorStatus(default_status)
        self.required_resource_keys = frozenset(required_resource_keys or self._signature.resources)
        self.tags = dict(tags or {})
        self.metadata = _metadata(metadata)
        self.owners = list(owners or ())
        self.retries_per_key = retries_per_key
        self.on_invalid = on_invalid
        self.active = active
        job = job or target_job
        self.jobs = (JobDefinition(job_name),) if job_name else (job,) if job else tuple(jobs or ())

    @property
    def has_jobs(self) -> bool:
        """Whether the sensor may request any job."""
        return bool(self.jobs)

    @property
    def job(self) -> JobDefinition:
        """The only target.

        Raises:
            DagsterInvalidDefinitionError: if there is none, or more than one.
        """
        if not self.jobs:
            msg = "No job was provided to SensorDefinition."
            raise DagsterInvalidDefinitionError(msg)
        if len(self.jobs) > 1:
            msg = "Job property not available when SensorDefinition has multiple jobs."
            raise DagsterInvalidDefinitionError(msg)
        return self.jobs[0]

    @property
    def job_name(self) -> str:
        """The only target's name.

        Raises:
            DagsterInvalidDefinitionError: if there is no target, or more than one.
        """
        return self.job.name

    @property
    def job_names(self) -> tuple[str, ...]:
        """The names of the jobs that the sensor may request."""
        return tuple(job.name for job in self.jobs)

    def job_named(self, job_name: str) -> JobDefinition:
        """Return the target of that name."""
        return next(job for job in self.jobs if job.name == job_name)

    def with_updated_job(self, new_job: JobDefinition) -> Self:
        """Return the same sensor with another target."""
        return self.with_updated_jobs([new_job])

    def with_updated_jobs(self, new_jobs: Sequence[JobDefinition]) -> Self:
        """Return the same sensor with other targets."""
        if self.asset_selection is not None:
            msg = f"Sensor {self.name!r} has an asset_selection, which already chooses its jobs. Make it without one."
            raise DagsterInvalidDefinitionError(msg)
        changed = copy(self)
        changed.jobs, changed.asset_targets, changed.selects = tuple(new_jobs), None, None
        return changed

    def with_deployed_jobs(self, jobs: "Sequence[JobDefinition] | None") -> Self:
        """Return the sensor as deployed beside jobs: what it selects of their assets, it requests of them.

        Args:
            jobs: with the assets that each makes; None for none.

        Raises:
            DagsterInvalidDefinitionError: if no job, or more than one, makes an asset that the sensor selects.
        """
        if self.selects is None:
            return self
        # Imported here, as most sensors select no assets.
        from treadle.definitions.asset_targets import targets_of

        changed = copy(self)
        changed.asset_targets = targets_of(self.name, self.selects, jobs or ())
        changed.jobs = changed.asset_targets.jobs
        return changed

    def _combined(
        self, values: "Sequence[type_of_result]", context: SensorEvaluationContext
    ) -> SensorExecutionData:
        deployed = self._deployed_for(context)
        if (
            deployed.selects is None
            or deployed.asset_targets is not None
            or not any(map(requests_runs, values))
        ):
            return combine(values, context, deployed.job_names, deployed.asset_targets)
        data = combine(values, context, None)
        # A run of a target needs nothing of its job but the name, which Dagster leaves out as well.
        if self.asset_selection is None and not any(
            each.job_name or each.partition_key for each in data.run_requests
        ):
            return data
        msg = (
            f"Sensor {self.name} selects assets, and the jobs that make them are not known. Give them to "
            "build_sensor_context or TreadleInstance, as jobs=[JobDefinition(..., assets=[...])]."
        )
        raise DagsterInvariantViolationError(msg)

    def _deployed_for(self, context: SensorEvaluationContext) -> Self:
        """Return the sensor with the jobs of a test's context, if it selects assets and has none."""
        if self.selects is None or self.asset_targets is not None or not context.deployed_jobs:
            return self
        return self.with_deployed_jobs(context.deployed_jobs)

    def with_attributes(
        self, jobs: Sequence[JobDefinition] | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the same sensor with other targets or metadata; None leaves them unchanged."""
        changed = copy(self) if jobs is None else self.with_updated_jobs(jobs)
        if metadata is not None:
            changed.metadata = _metadata(metadata)
        return changed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a test does.

        Args:
            args: the context, if the function takes one.
            kwargs: the context by its name, and resources by theirs; those that are not given come from
                the context.

        Raises:
            DagsterInvalidInvocationError: if an argument is missing, unknown, or positional where only a name
                is allowed.
            DagsterInvalidDefinitionError: if a resource is neither given nor in the context.
        """
        given = self._signature.bind(self.values_taken, args, kwargs)
        context = next((v for v in (*args, *given.values()) if isinstance(v, SensorEvaluationContext)), None)
        scope = context or SensorEvaluationContext(self.name)
        self._make_required(scope, given)
        values = [given[name] for name in self._signature.values if name in given]
        resources = {key: given[key] for key in self._signature.resources if key in given}
        return self._signature.call(
            values, scope.given_resources(resources) if resources else scope.parameter_resource
        )

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Evaluate the sensor as a test does: the result of a tick, with the requests as their runs will have them.

        Each request has its job's name and the tags of its sensor and its partition.

        Args:
            context: passed to the function, which may change its cursor.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterInvariantViolationError: if the cursor was set in two ways.
            DagsterUnknownPartitionError: if the job of a request does not have its partition. A tick rejects the
                request in that case, unless the keys are stored, and starts the others.
        """
        return self._evaluated_batch(context) or self._resolved(self.evaluate(context), context)

    def _resolved(self, data: SensorExecutionData, context: SensorEvaluationContext) -> SensorExecutionData:
        # Imported here, as only tests use it.
        from treadle.definitions.resolution import resolved

        return resolved(data, self.name, self._deployed_for(context).jobs, context)

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Run the function to its end and return its result in normalized form, as a tick does.

        Args:
            context: passed to the function, which may change its cursor.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterInvariantViolationError: if the cursor was set in two ways.
        """
        return self._combined(flatten(self._called(context), self.name), context)

    def _called(self, *values: Any) -> Any:
        context: SensorEvaluationContext = values[0]
        self._make_required(context)
        return self._signature.call(values, context.parameter_resource)

    def _make_required(self, context: SensorEvaluationContext, given: Collection[str] = ()) -> None:
        """Make the resources that the function takes from `context.resources`; parameters make their own."""
        required = sorted(self.required_resource_keys.difference(given))
        for key in required:
            context.require_resource(key, self.name)
        for key in required:
            if key not in self._signature.resources:
                context.parameter_resource(key)

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate one event.

        Args:
            context: passed to the function; it has no cursor.
            event: the event.

        Raises:
            UnknownEventError: if the sensor does not accept such an event.
        """
        msg = (
            f"Sensor {self.name} does not evaluate events, but received {event.summary} for "
            f"{context.sensor_name}."
        )
        raise UnknownEventError(msg)

    def _waiting(
        self, batch: "Batch", summary: str, identity: object, item: Any, size: int
    ) -> SensorExecutionData:
        """Let an event wait for a batch.

        Args:
            batch: the sensor's batches.
            summary: the event in one line.
            identity: what identifies it.
            item: the event as the function will get it.
            size: what it adds to the limit in bytes.

        Raises:
            InvalidResultError: if its identity, or its value of `Batch.by`, is no text, or too long.
        """
        # Imported here, as most sensors have no batches.
        from treadle.definitions.item_batches import item_facts

        facts = item_facts(self.name, batch, identity, item, size)
        return SensorExecutionData((), f"{summary}: waits for a batch.", items=(facts,))

    def _evaluated_batch(self, context: SensorEvaluationContext) -> SensorExecutionData | None:
        """Evaluate the batch of a context that a test has built for one; None for another context."""
        if self.batch is None:
            return None
        # Imported here, as most sensors have no batches.
        from treadle.definitions.batch_contexts import BatchSensorContext

        if not isinstance(context, BatchSensorContext):
            return None
        return self._resolved(self.evaluate_batch(context, context.items, context.by, "batch"), context)

    def evaluate_batch(
        self, context: SensorEvaluationContext, items: Sequence[Any], by: str, run_key: str
    ) -> SensorExecutionData:
        """Evaluate a batch.

        Args:
            context: passed to the function; it has no cursor.
            items: the batch's items.
            by: the value of `Batch.by` that they share.
            run_key: of a request that has none.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
        """
        # Imported here, as most sensors have no batches.
        from treadle.definitions.batch_contexts import BatchSensorContext
        from treadle.definitions.run_keys import with_run_key

        seen = BatchSensorContext.extending(context.without_cursor(), items=tuple(items), by=by)
        values = flatten(self._called(*self._values_for_batch(seen)), self.name, also=self._also_returned)
        values = with_run_key(values, lambda: run_key, self.name, f"a batch of {len(items)} items")
        return replace(self._result_of_batch(values, seen, run_key), cursor=None)

    def _result_of_batch(
        self, values: Sequence[Any], context: SensorEvaluationContext, run_key: str
    ) -> SensorExecutionData:
        """Return the result of what the function returned for the batch with a run key."""
        del run_key
        return combine(values, context, self.job_names)

    def _values_for_batch(self, context: Any) -> tuple[Any, ...]:
        """Return what the function is called with for a batch."""
        return (context,)

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties from code and deployment, as plain JSON, for operators."""
        return {
            "name": self.name,
            "type": self.sensor_type.value,
            "description": self.description,
            "jobs": list(self.job_names),
            "retried_jobs": [job.name for job in self.jobs if _is_retried(job)],
        }

    def is_woken_by(self, event: SensorEvent) -> bool:
        """Return whether an event triggers a tick of the sensor."""
        del event
        return False

    def configured(self, settings: Mapping[str, str]) -> Self:
        """Return the definition with its own selectors taken from the deployment's settings.

        Args:
            settings: the function's environment.

        Raises:
            SettingsError: with all problems at once.
        """
        del settings
        return self


def _is_retried(job: JobDefinition) -> bool:
    """Return whether a retry policy starts failed runs of a job again."""
    return retry_policy_of(job.run_tags or {}) is not None


def _metadata(given: Mapping[str, Any] | None) -> "dict[str, MetadataValue]":
    if not given:
        return {}
    # Imported here, as most sensors have none.
    from treadle.definitions.metadata import normalized_metadata

    return normalized_metadata(given)


def _problems(
    name: str,
    signature: Signature,
    interval: object,
    required_resource_keys: object,
    owners: Sequence[str] | None,
) -> list[str]:
    problems = []
    if NAME.fullmatch(name) is None:
        problems.append(f"{name!r} cannot name a sensor: use 1 to 80 letters, digits and underscores")
    if not isinstance(interval, int | None) or isinstance(interval, bool):
        problems.append(f"minimum_interval_seconds must be a whole number, not {shown(interval)}")
    elif interval is not None and interval < 0:
        problems.append("minimum_interval_seconds must not be negative")
    if isinstance(required_resource_keys, str):
        problems.append(f"required_resource_keys must be a set of names, not {shown(required_resource_keys)}")
    if inspect.iscoroutinefunction(signature.function) or inspect.isasyncgenfunction(signature.function):
        problems.append("its function is async: make it a plain one that calls asyncio.run")
    if required_resource_keys and signature.resources:
        problems.append(
            "Cannot specify resource requirements in both @sensor decorator and as arguments to the "
            "decorated function"
        )
    problems += [
        f"Invalid owner {owner!r} for sensor {name!r}. "
        + (
            "Team name cannot be empty after 'team:' prefix"
            if owner == "team:"
            else "Owner must be an email address or a team name prefixed with 'team:'"
        )
        for owner in owners or ()
        if _OWNER.fullmatch(owner) is None
    ]
    return problems


def _problems_of_values(
    job_name: object, job: object, jobs: object, default_status: object, tags: object, metadata: object
) -> Iterator[str]:
    if job_name and not (isinstance(job_name, str) and NAME.fullmatch(job_name)):
        yield f"{shown(job_name)} cannot name a job: use 1 to 80 letters, digits and underscores"
    if job is not None and not isinstance(job, JobDefinition):
        yield f"job must be a JobDefinition, not {shown(job)}"
    several = () if jobs is None else jobs
    if not isinstance(several, Collection) or not all(isinstance(each, JobDefinition) for each in several):
        yield f"jobs must be a list of JobDefinitions, not {shown(jobs)}"
    if default_status not in list(DefaultSensorStatus):
        yield f"default_status must be a DefaultSensorStatus, not {shown(default_status)}"
    for name, value in (("tags", tags), ("metadata", metadata)):
        if value is not None and not isinstance(value, Mapping):
            yield f"{name} must be a mapping, not {shown(value)}"


def _selection(what: str, given: object, problems: list[str]) -> "AssetSelection | None":
    if given is None:
        return None
    # Imported here, as most sensors select no assets.
    from treadle.definitions.asset_selection import selection_of

    try:
        return selection_of(given)
    except (DagsterInvalidDefinitionError, InvalidReportError) as error:
        problems.append(
            f"{what} is no {'job and no ' if what == 'target' else ''}selection of assets: {error}"
        )
        return None


def _problems_of_requests(retries_per_key: object, on_invalid: object) -> Iterator[str]:
    if not isinstance(retries_per_key, int) or isinstance(retries_per_key, bool):
        yield f"retries_per_key must be a whole number, not {shown(retries_per_key)}"
    elif retries_per_key < 0:
        yield "retries_per_key must not be negative"
    elif retries_per_key > MAX_RETRIES:
        yield f"retries_per_key must be {MAX_RETRIES} at most, not {shown(retries_per_key)}"
    if on_invalid not in ON_INVALID:
        yield f"on_invalid must be one of {', '.join(map(repr, ON_INVALID))}, not {shown(on_invalid)}"


def _problems_of_hours(active: object, *, is_polled: bool) -> Iterator[str]:
    # Imported here, as most sensors have none.
    from treadle.definitions.hours import Hours

    if not isinstance(active, Hours):
        yield f"active must be Hours, such as Hours('06:00-20:00 MON-FRI', zone='Europe/Berlin'), not {shown(active)}"
    elif not is_polled:
        yield "active is only for sensors that nothing but a schedule evaluates, and events evaluate this one"


def sensor(
    job_name: str | None = None, *, name: str | None = None, **options: Unpack[PollingOptions]
) -> Callable[[SensorFunction], SensorDefinition]:
    """Make a sensor of a function; see `SensorDefinition` for the arguments.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid, with all problems at once.
    """
    check_options(sensor, options)
    return lambda function: SensorDefinition(name, evaluation_fn=function, job_name=job_name, **options)
