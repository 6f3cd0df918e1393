"""Where a dead letter came from, and where it goes again; decided from what was written beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from treadle.definitions.errors import UnknownEventError
from treadle.engine.chunks import tick_message
from treadle.engine.parsing import parse_message
from treadle.engine.publish import publish_message
from treadle.engine.reconcile import ORIGIN as RECONCILE
from treadle.ports.records import reason_of
from treadle.ports.system import DeadLetter, Queue

Json = Mapping[str, Any]

UNKNOWN = "unknown"

_PERIODIC = {"tick", "reconcile"}
"""What schedules say; the next one comes within a minute, so a late one is worth nothing."""

_DEADLINE = "deadline"
"""What schedules say as well; no other comes in its place, so a late one is worth as much."""


_LAMBDAS = {"RequestID", "ErrorCode"}
"""What Lambda writes beside an event that a function failed three times, in a queue that its DeadLetterQueue names.

The body is the event itself, and nothing says whose it was ("Adding a dead-letter queue", Lambda Developer Guide).
"""

_REGISTRY = "aws.ssm"
"""Whose events tell RECONCILE of changes in the registry."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A queue to which letters can go again.

    Attributes:
        origin: the step that takes its messages, as dead letters name it.
        arn: the queue's.
        queue: takes them.
        function: the name of the step's function; None if it is not known.
    """

    origin: str
    arn: str
    queue: Queue
    function: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What is to become of a letter.

    Attributes:
        origin: where it came from: a step, "schedule", "stream" or "unknown".
        reason: why this is to become of it, in words.
        destination: where it goes again; None if it goes nowhere.
        body: what goes there.
        is_discardable: True if nothing is lost by deleting it.
    """

    origin: str
    reason: str
    destination: Destination | None = None
    body: Json = field(default_factory=dict)
    is_discardable: bool = False


def route_of(letter: DeadLetter, destinations: Sequence[Destination]) -> Route:
    """What is to become of a letter.

    Args:
        letter: as it was received.
        destinations: the queues of the deployment.
    """
    try:
        return _route_of(letter, destinations)
    except Exception as error:  # noqa: BLE001 - whatever is in a letter, the others have their routes
        return Route(_origin(letter), f"It cannot be read: {reason_of(error)}.")


def _route_of(letter: DeadLetter, destinations: Sequence[Destination]) -> Route:
    body, trouble = _parsed(letter.body)
    for known in _WAYS:
        route = known(letter, body, destinations)
        if route is None:
            continue
        if trouble and route.destination is None and not route.is_discardable:
            return replace(route, reason=f"It cannot be read: {trouble}")
        return route
    if trouble:
        return Route(UNKNOWN, f"It cannot be read: {trouble}")
    return Route(UNKNOWN, "Nothing beside it says where it came from.")


def _origin(letter: DeadLetter) -> str:
    return letter.attributes.get("origin") or UNKNOWN


def subject_of(letter: DeadLetter) -> str:
    """The key of what a letter is about, such as a run's or a tick's id; empty if it names none."""
    body, _ = _parsed(letter.body)
    keys, detail = body.get("keys"), body.get("detail")
    named = {**body, **(keys if isinstance(keys, dict) else {})}
    if isinstance(detail, dict):
        stored = detail.get("object")
        asset = detail.get("asset_key", "")
        key = stored.get("key", "") if isinstance(stored, dict) else ""
        return str(
            detail.get("name") or key or ("/".join(map(str, asset)) if isinstance(asset, list) else asset)
        )
    words = [named.get(name) for name in ("sensor", "tick_id", "slice", "run_id", "attempt", "nominal_time")]
    return " ".join(str(word) for word in words if word is not None)


def _parsed(text: str) -> tuple[Json, str]:
    """A letter's JSON, or none and why it cannot be read."""
    try:
        return parse_message(text), ""
    except UnknownEventError as error:
        return {}, str(error)


def _buried(letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """A step gave it up, and wrote its name beside it."""
    origin = letter.attributes.get("origin")
    if origin is None:
        return None
    if origin == RECONCILE:
        if body.get("treadle") != "dispatch":
            reason = "RECONCILE looks at the record once a day. Repair it, and delete the letter then."
            return Route(origin, reason)
        origin = "dispatch"
    found = next((each for each in destinations if each.origin == origin), None)
    if found is None:
        return Route(origin, f"No queue of this stack takes messages of {origin}.")
    if origin == "dispatch" and "keys" in body:
        keys = body["keys"] if isinstance(body["keys"], dict) else {}
        sensor, tick_id = keys.get("sensor"), keys.get("tick_id")
        if not (isinstance(sensor, str) and isinstance(tick_id, str)):
            return Route(origin, "It names no tick.")
        return _to(found, tick_message(sensor, tick_id))
    if origin == "publish" and "keys" in body:
        keys = body["keys"] if isinstance(body["keys"], dict) else {}
        run_id = keys.get("run_id", {}).get("S") if isinstance(keys.get("run_id"), dict) else None
        if not isinstance(run_id, str):
            return Route(origin, "It names no run.")
        return _to(found, publish_message(run_id))
    return _to(found, body)


def _changed_entry(letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """That an entry of the registry has changed could not be delivered, or Lambda gave it up after that."""
    del destinations
    payload = body.get("requestPayload") if "requestContext" in body else body
    is_events = "RULE_ARN" in letter.attributes or payload is not body
    if not (is_events and isinstance(payload, dict) and payload.get("source") == _REGISTRY):
        return None
    reason = "RECONCILE lists all entries of the registry every 10 minutes, and finds the change by itself."
    return Route(RECONCILE, reason, is_discardable=True)


def _undelivered_event(letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """An EventBridge rule could not deliver it."""
    if "RULE_ARN" not in letter.attributes:
        return None
    return _to_queue(letter.attributes.get("TARGET_ARN"), body, destinations)


def _given_up_by_sqs(letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """A function never answered, and SQS moved it here."""
    return None if letter.source is None else _to_queue(letter.source, body, destinations)


def _lost_stream_records(letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    del letter, destinations
    if "DDBStreamBatchInfo" not in body:
        return None
    context = body.get("requestContext")
    if isinstance(context, dict) and "-PublishFunction-" in str(context.get("functionArn")):
        reason = (
            "It only tells where in the runs' stream they were, and what has become of those runs was not told:"
            " treadle sensor replay tells a sensor of a range of time once more. Delete the letter then."
        )
        return Route("stream", reason)
    reason = (
        "It only tells where in the stream they were; the ticks are pending still, and RECONCILE takes them."
    )
    return Route("stream", reason, is_discardable=True)


def _missed_schedule(letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """A schedule could not deliver it, or Lambda gave it up after that."""
    payload = body["requestPayload"] if "requestContext" in body and "requestPayload" in body else body
    says = payload.get("treadle") if isinstance(payload, dict) else None
    is_lambdas = letter.attributes.keys() >= _LAMBDAS
    is_schedules = "SCHEDULE_ARN" in letter.attributes or payload is not body or is_lambdas
    if says == _DEADLINE and is_lambdas:
        return _to_sensor(payload, letter, destinations)
    if says == _DEADLINE and is_schedules:
        context = body.get("requestContext")
        given_up = context.get("functionArn") if isinstance(context, dict) else None
        return _to_function(str(given_up or letter.attributes.get("TARGET_ARN")), payload, destinations)
    if says not in _PERIODIC or not is_schedules:
        return None
    return Route(
        "schedule", "It comes too late to be of use, and the next one came by itself.", is_discardable=True
    )


_WAYS: Sequence[Callable[[DeadLetter, Json, Sequence[Destination]], Route | None]] = (
    _buried,
    _missed_schedule,
    _changed_entry,
    _undelivered_event,
    _lost_stream_records,
    _given_up_by_sqs,
)


def _to_queue(arn: str | None, body: Json, destinations: Sequence[Destination]) -> Route:
    found = next((each for each in destinations if each.arn == arn), None)
    if found is None:
        return Route(UNKNOWN, f"{arn} is no queue from which a step of this stack takes messages.")
    return _to(found, body)


def _to_function(arn: str, body: Json, destinations: Sequence[Destination]) -> Route:
    """To the queue of the step whose function an ARN names, with or without a version."""
    named = arn.partition(":function:")[2].partition(":")[0]
    found = next((each for each in destinations if named and each.function == named), None)
    if found is None:
        return Route("schedule", f"{arn} is no function of this stack that takes deadlines.")
    return _to(found, body)


def _to_sensor(body: Json, letter: DeadLetter, destinations: Sequence[Destination]) -> Route:
    """To the queue of the sensor that a deadline names, as its schedule's Input has it."""
    name = body.get("sensor")
    found = next((each for each in destinations if each.origin == f"sensor {name}"), None)
    if found is not None:
        return _to(found, body)
    failed = f"Lambda gave it up after three attempts: {letter.attributes.get('ErrorMessage') or 'no reason given'}."
    if name is None:
        reason = (
            f'{failed} It names no sensor. Invoke its sensor\'s function with it, and add "sensor" to the Input of '
            "the sensor's schedule."
        )
    else:
        reason = f"{failed} No sensor {name} with a queue is registered. Deploy its project."
    return Route("schedule", reason)


def _to(destination: Destination, body: Json) -> Route:
    if not body:
        return Route(
            destination.origin, f"It is no JSON object, and {destination.origin} takes nothing else."
        )
    reason = f"To the queue of {destination.origin}."
    return Route(destination.origin, reason, destination, _without_secrets(body))


def _without_secrets(body: Json) -> Json:
    """An execution's event as its rule would have cut it: input and output stay out of queues."""
    detail = body.get("detail")
    if body.get("source") != "aws.states" or not isinstance(detail, dict):
        return body
    kept = {name: value for name, value in detail.items() if not name.startswith(("input", "output"))}
    return {**body, "detail": kept}
