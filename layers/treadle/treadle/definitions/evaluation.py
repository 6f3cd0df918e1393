"""Calls a sensor's function and normalizes what it returns or yields.

The accepted forms and the errors for misuse are Dagster's.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from treadle.definitions.bounds import shown
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvariantViolationError, InvalidResultError
from treadle.definitions.results import (
    MAX_REQUESTS,
    RunRequest,
    SensorExecutionData,
    SensorResult,
    SkipReason,
    for_job,
)

if TYPE_CHECKING:
    from treadle.definitions.asset_targets import AssetTargets

EMPTY_RESULT = "Sensor function returned an empty result"

type_of_result = RunRequest | SkipReason | SensorResult
# One list type each, as a list of requests is not a list of results to a type checker; not Sequence, as
# a tuple is refused at evaluation.
SensorReturnType = (
    type_of_result
    | list[RunRequest]
    | list[SkipReason]
    | list[SensorResult]
    | list[RunRequest | SkipReason]
    | list[type_of_result]
    | Iterator[type_of_result | None]
    | None
)


def flatten(result: Any, sensor_name: str, also: type | None = None) -> list[Any]:
    """Return all values that a function returned or yielded, without None; run a generator to its end.

    Args:
        result: the function's value: a single value, a list, or a generator that may also return a value.
        sensor_name: for the error's message.
        also: an additional type that this kind of sensor may return.

    Raises:
        InvalidResultError: for a value of any other type, or None among others.
    """
    if inspect.isgenerator(result):
        return _flatten_generator(result, sensor_name, also)
    values = result if isinstance(result, list) else [result]
    given = [_checked(value, sensor_name, also) for value in values if value is not None]
    if given and len(given) < len(values):
        raise _none_beside_others(sensor_name)
    return given


def _flatten_generator(generator: Any, sensor_name: str, also: type | None) -> list[Any]:
    values: list[Any] = []
    yielded_none = False
    try:
        while len(values) <= MAX_REQUESTS:
            try:
                value = next(generator)
            except StopIteration as stop:
                values += flatten(stop.value, sensor_name, also)
                break
            if value is None:
                yielded_none = True
            else:
                values.append(_checked(value, sensor_name, also))
        else:
            msg = (
                f"Sensor {sensor_name} yielded more results than the limit of {MAX_REQUESTS} in one tick. Yield "
                "fewer and continue from the cursor at the next tick."
            )
            raise InvalidResultError(msg)
    finally:
        generator.close()  # Close it now: afterwards the resources are closed.
    if yielded_none and values:
        raise _none_beside_others(sensor_name)
    return values


def _none_beside_others(sensor_name: str) -> InvalidResultError:
    msg = f"Sensor {sensor_name} returned None together with other results. Leave None out."
    return InvalidResultError(msg)


def _checked(value: Any, sensor_name: str, also: type | None = None) -> Any:
    if isinstance(value, RunRequest | SkipReason | SensorResult) or (also and isinstance(value, also)):
        return value
    msg = (
        f"Error in sensor {sensor_name}: Sensor unexpectedly returned output {shown(value)} "
        f"of type {type(value)}. Should only return SkipReason or RunRequest objects."
    )
    raise InvalidResultError(msg)


def requests_runs(value: Any) -> bool:
    """Return whether a value that a function returned requests a run."""
    return isinstance(value, RunRequest) or (isinstance(value, SensorResult) and bool(value.run_requests))


def combine(
    values: Sequence[type_of_result],
    context: SensorEvaluationContext,
    job_names: Sequence[str] | None,
    asset_targets: "AssetTargets | None" = None,
) -> SensorExecutionData:
    """Combine the evaluation's values into one result, with each request's job name filled in.

    Args:
        values: from `flatten`.
        context: the evaluation's context, for its name and cursor.
        job_names: the sensor's targets; None if they are not known, which leaves the requests unchanged.
        asset_targets: the assets that it selects instead, with their jobs.

    Raises:
        InvalidResultError: for a mix that contradicts itself, or a request without a valid target.
        DagsterInvariantViolationError: if the cursor was set in two ways.
    """
    results = [value for value in values if isinstance(value, SensorResult)]
    if results and len(values) > 1:
        msg = (
            f"Error in sensor {context.sensor_name}: When a SensorResult is returned from a sensor, it must be the "
            "only object returned."
        )
        raise InvalidResultError(msg)
    asset_events = tuple(results[0].asset_events or ()) if results else ()
    partitions = tuple(results[0].dynamic_partitions_requests or ()) if results else ()
    if results:
        values = _unwrapped(results[0], context)
    check_mix(values)
    requests = [value for value in values if isinstance(value, RunRequest)]
    if asset_targets is not None:
        requests = [asset_targets.targeted(request) for request in requests]
    skips = [value for value in values if isinstance(value, SkipReason)]
    resolved = tuple(
        request if job_names is None else with_job_name(request, context.sensor_name, job_names)
        for request in requests
    )
    skip_message = None
    if not resolved:
        counted = {"asset events": len(asset_events), "requests of dynamic partitions": len(partitions)}
        nothing = ", ".join(f"{number} {what}" for what, number in counted.items() if number) or EMPTY_RESULT
        skip_message = skips[0].skip_message if skips else nothing
    return SensorExecutionData(
        resolved,
        skip_message,
        context.cursor,
        dynamic_partitions_requests=partitions,
        asset_events=asset_events,
    )


def check_mix(values: Sequence[type_of_result]) -> None:
    """Check that values do not contradict each other.

    Raises:
        InvalidResultError: if there are both run requests and a skip reason, or several skip reasons.
    """
    skips = sum(isinstance(value, SkipReason) for value in values)
    if skips and any(isinstance(value, RunRequest) for value in values):
        msg = (
            "Expected a single SkipReason or one or more RunRequests: received both RunRequest and SkipReason"
        )
        raise InvalidResultError(msg)
    if skips > 1:
        msg = "Expected a single SkipReason: received multiple SkipReasons"
        raise InvalidResultError(msg)


def _unwrapped(result: SensorResult, context: SensorEvaluationContext) -> list[type_of_result]:
    if result.cursor:
        if context.cursor_updated:
            msg = "SensorResult.cursor cannot be set if context.update_cursor() was called."
            raise DagsterInvariantViolationError(msg)
        context.update_cursor(result.cursor)
    values: list[type_of_result] = [
        _checked(request, context.sensor_name) for request in result.run_requests or ()
    ]
    if isinstance(result.skip_reason, SkipReason):
        values.append(result.skip_reason)
    return values


def with_job_name(request: RunRequest, sensor_name: str, job_names: Sequence[str]) -> RunRequest:
    """Return the request with its target's name filled in.

    Args:
        request: as the sensor's function made it.
        sensor_name: for the error's message.
        job_names: the sensor's targets.

    Raises:
        InvalidResultError: if the target is missing, ambiguous or not one of the sensor's.
    """
    if not job_names:
        msg = (
            f"Error in sensor {sensor_name}: Sensor evaluation function returned a RunRequest for a sensor "
            "lacking a specified target (job_name, job, or jobs). Targets can be specified by providing "
            "job, jobs, or job_name to the @sensor decorator."
        )
        raise InvalidResultError(msg)
    expected = f"Expected one of: {list(job_names)}"
    if request.job_name is None:
        if len(job_names) > 1:
            msg = (
                f"Error in sensor {sensor_name}: Sensor returned a RunRequest that did not specify "
                f"job_name for the requested run. {expected}"
            )
            raise InvalidResultError(msg)
        return for_job(request, job_names[0])
    if request.job_name not in job_names:
        msg = (
            f"Error in sensor {sensor_name}: Sensor returned a RunRequest with job_name "
            f"{request.job_name}. {expected}"
        )
        raise InvalidResultError(msg)
    return request
