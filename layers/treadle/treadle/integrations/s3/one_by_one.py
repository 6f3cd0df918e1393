"""Evaluates the objects of a slice one after the other, so that a failure is limited to its object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from treadle.definitions.bounds import byte_size
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import InvalidResultError, SensorEvaluationError, SensorTimeoutError
from treadle.definitions.objects import S3Object
from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import DEFAULT_CAP
from treadle.definitions.values import json_text
from treadle.engine.tick.user_code import evaluate, shown_error
from treadle.integrations.s3.sweep import Slice

MOST_REQUESTS = DEFAULT_CAP
MOST_BYTES = 10_000_000
"""A tick ends before an object with which its requests would exceed this; the next one continues there."""

_RESERVE = 0.1
"""Fraction of the time left after listing that is reserved to end the tick."""

_MAX_REASON = 1_000


@dataclass(slots=True)
class EvaluatedObjects:
    """The function's results for a slice's objects.

    Attributes:
        found: the slice, as far as its objects were evaluated.
        requests: the run requests.
        failed: the run key and the reason of each object at which it failed.
    """

    found: Slice
    requests: list[RunRequest] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def evaluate_objects(
    context: SensorEvaluationContext,
    found: Slice,
    requests_for: Callable[[S3Object], Sequence[RunRequest]],
    run_key: Callable[[S3Object], str],
    place: Callable[[S3Object], str],
) -> EvaluatedObjects:
    """Evaluate a slice's objects in the order of their places, until the tick's time or size is used up.

    The round continues at the next tick with the first object that was not evaluated. An object that takes
    the whole time is rejected, and the round continues after it.

    Args:
        context: has the time left.
        found: the slice.
        requests_for: calls the function with an object.
        run_key: returns an object's run key.
        place: returns where an object is in the listing.

    Raises:
        SensorEvaluationError: if a resource of the function could not be made, as all objects need it.
    """
    evaluated, size = EvaluatedObjects(found), 0
    objects = sorted(found.objects, key=place)
    places = [place(stored) for stored in objects]
    ends = monotonic() + context.remaining_seconds * (1 - _RESERVE)
    for at, stored in enumerate(objects):
        left, last = ends - monotonic(), _place_before(places, at)
        if left <= 0 and last is not None:
            evaluated.found = found.up_to(last)
            break
        try:
            made, added = evaluate(context.sensor_name, partial(_made, requests_for, stored), left)
        except SensorEvaluationError as error:
            if context.is_resource_failure(error):
                raise error.__cause__ or error  # noqa: B904 - as if it had not been caught
            is_late = isinstance(error, SensorTimeoutError)
            if is_late and last is not None:
                evaluated.found = found.up_to(last)
                break
            # The stack as text, as the error's own code may make logging it fail.
            context.log.error("s3://%s/%s could not be evaluated: %s", stored.bucket, stored.key, error.stack)  # noqa: TRY400
            evaluated.failed.append((run_key(stored), _reason(stored, error, left)))
            if is_late:
                evaluated.found = found.up_to(places[at])
                break
            continue
        if evaluated.requests and (
            len(evaluated.requests) + len(made) > MOST_REQUESTS or size + added > MOST_BYTES
        ):
            evaluated.found = found.up_to(found.began_after if last is None else last)
            break
        evaluated.requests += made
        size += added
    return evaluated


def _place_before(places: Sequence[str], at: int) -> str | None:
    """Return the place before an object's own, from which a round reaches it again; None if it is the first."""
    return next((places[i] for i in range(at - 1, -1, -1) if places[i] != places[at]), None)


def _made(
    requests_for: Callable[[S3Object], Sequence[RunRequest]], stored: S3Object
) -> tuple[Sequence[RunRequest], int]:
    """Return the function's requests, and their size."""
    made = requests_for(stored)
    size = sum(map(_size, made))
    if len(made) > MOST_REQUESTS or size > MOST_BYTES:
        msg = (
            f"It requested {len(made)} runs with {size} bytes for one object, and {MOST_REQUESTS} runs with "
            f"{MOST_BYTES} bytes are the most. Ask for fewer."
        )
        raise InvalidResultError(msg)
    return made, size


def _size(request: RunRequest) -> int:
    return byte_size(json_text([request.plain_config, dict(request.tags), request.run_key], "run_config"))


def _reason(stored: S3Object, error: SensorEvaluationError, seconds: float) -> str:
    if isinstance(error, SensorTimeoutError):
        text = (
            f"the function was stopped after {seconds:.1f} s, before it had returned. Do less for one object, or "
            "raise the Timeout of the sensor's function."
        )
    else:
        cause = error.__cause__
        text = shown_error(cause) if cause is not None else str(error)
    return f"s3://{stored.bucket}/{stored.key}: {text}"[:_MAX_REASON]
