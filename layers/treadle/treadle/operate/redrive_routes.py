"""Determines the origin and the destination of a dead letter from its body and attributes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from treadle.definitions.errors import UnknownEventError
from treadle.engine.messages import PublishRequest, TickRequest
from treadle.engine.parsing import parse_message
from treadle.engine.reconcile.reconciler import ORIGIN as RECONCILE
from treadle.model.messages import DeadLetter
from treadle.model.records import reason_of
from treadle.ports.system import Queue

Json = Mapping[str, Any]

UNKNOWN = "unknown"

_PERIODIC = {"tick", "reconcile"}
"""Payloads of periodic schedules; the next one comes within a minute, so a late one has no value."""

_DEADLINE = "deadline"
"""Payload of a one-time schedule; nothing replaces it, so a late one keeps its value."""


_LAMBDAS = {"RequestID", "ErrorCode"}
"""What Lambda writes beside an event that a function failed three times, in a queue that its DeadLetterQueue names.

The body is the event itself, and nothing says whose it was ("Adding a dead-letter queue", Lambda Developer Guide).
"""

_REGISTRY = "aws.ssm"
"""Source of the events that notify RECONCILE of registry changes."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A queue to which dead letters can be redriven.

    Attributes:
        origin: the component that consumes its messages, as dead letters name it.
        arn: the queue's ARN; "" for a function that evaluates each message at once.
        queue: the queue, or what invokes that function.
        function: the name of the component's function; None if unknown.
    """

    origin: str
    arn: str
    queue: Queue
    function: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """How a dead letter is to be handled.

    Attributes:
        origin: the component that it came from, or "schedule", "stream" or "unknown".
        reason: why it is handled this way.
        destination: where to redrive it; None if nowhere.
        body: the message to send there.
        is_discardable: True if deleting it loses nothing.
    """

    origin: str
    reason: str
    destination: Destination | None = None
    body: Json = field(default_factory=dict)
    is_discardable: bool = False


def route_of(dead_letter: DeadLetter, destinations: Sequence[Destination]) -> Route:
    """Return how to handle a dead letter.

    Args:
        dead_letter: as received.
        destinations: the queues of the deployment.
    """
    try:
        return _route_of(dead_letter, destinations)
    except Exception as error:  # noqa: BLE001 - an unreadable dead letter must not affect the others
        return Route(_origin(dead_letter), f"It cannot be read: {reason_of(error)}.")


def _route_of(dead_letter: DeadLetter, destinations: Sequence[Destination]) -> Route:
    body, problem = _parsed(dead_letter.body)
    for known in _WAYS:
        route = known(dead_letter, body, destinations)
        if route is None:
            continue
        if problem and route.destination is None and not route.is_discardable:
            return replace(route, reason=f"It cannot be read: {problem}")
        return route
    if problem:
        return Route(UNKNOWN, f"It cannot be read: {problem}")
    return Route(UNKNOWN, "It has no attribute that names its origin.")


def _origin(dead_letter: DeadLetter) -> str:
    return dead_letter.attributes.get("origin") or UNKNOWN


def is_about(dead_letter: DeadLetter, about: str) -> bool:
    """Return whether a dead letter is about a run, a tick, an object's key or an event's id."""
    subject = subject_of(dead_letter)
    return about in {subject, *subject.split(), _parsed(dead_letter.body)[0].get("id")}


def subject_of(dead_letter: DeadLetter) -> str:
    """Return the key of a dead letter's subject, such as a run id or a tick id; "" if it names none."""
    body, _ = _parsed(dead_letter.body)
    keys, detail = body.get("keys"), body.get("detail")
    named = {**body, **(keys if isinstance(keys, dict) else {})}
    if isinstance(detail, dict):
        stored = detail.get("object")
        asset = detail.get("asset_key", "")
        key = stored.get("key", "") if isinstance(stored, dict) else ""
        named_by = "/".join(map(str, asset)) if isinstance(asset, list) else asset
        return str(detail.get("name") or key or named_by or body.get("id", ""))
    if "eventSourceARN" in body:
        return str(body.get("eventID") or "")
    parts = [
        named.get(name)
        for name in ("sensor", "tick_id", "slice", "backfill", "run_id", "attempt", "nominal_time")
    ]
    return " ".join(str(word) for word in parts if word is not None)


def _parsed(text: str) -> tuple[Json, str]:
    """Return a dead letter's JSON, or an empty one and why it cannot be read."""
    try:
        return parse_message(text), ""
    except UnknownEventError as error:
        return {}, str(error)


def _buried(dead_letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """Route a message that a component gave up, with its name in an attribute."""
    origin = dead_letter.attributes.get("origin")
    if origin is None:
        return None
    if origin == RECONCILE:
        if body.get("treadle") != "dispatch":
            reason = (
                "RECONCILE checks the record once a day. Repair the record, then delete this dead letter."
            )
            return Route(origin, reason)
        origin = "dispatch"
    found = next((each for each in destinations if each.origin == origin), None)
    if found is None:
        return Route(origin, f"This stack has no queue for messages of {origin}.")
    if origin == "dispatch" and "keys" in body:
        keys = body["keys"] if isinstance(body["keys"], dict) else {}
        sensor, tick_id = keys.get("sensor"), keys.get("tick_id")
        if not (isinstance(sensor, str) and isinstance(tick_id, str)):
            return Route(origin, "It does not name a tick.")
        return _to(found, TickRequest(sensor, tick_id).to_json())
    if origin == "publish" and "keys" in body:
        keys = body["keys"] if isinstance(body["keys"], dict) else {}
        run_id = keys.get("run_id", {}).get("S") if isinstance(keys.get("run_id"), dict) else None
        if not isinstance(run_id, str):
            return Route(origin, "It does not name a run.")
        return _to(found, PublishRequest(run_id).to_json())
    return _to(found, body)


def _changed_entry(dead_letter: DeadLetter, body: Json, destinations: Sequence[Destination]) -> Route | None:
    """Route a registry event that could not be delivered, or that Lambda gave up after delivery."""
    payload = body.get("requestPayload") if "requestContext" in body else body
    if any(each.arn == dead_letter.attributes.get("TARGET_ARN") for each in destinations):
        return None  # Of a sensor that watches such events.
    is_events = "RULE_ARN" in dead_letter.attributes or payload is not body
    if not (is_events and isinstance(payload, dict) and payload.get("source") == _REGISTRY):
        return None
    reason = "RECONCILE lists all entries of the registry every 10 minutes, so it finds the change without this event."
    return Route(RECONCILE, reason, is_discardable=True)


def _undelivered_event(
    dead_letter: DeadLetter, body: Json, destinations: Sequence[Destination]
) -> Route | None:
    """Route an event that an EventBridge rule could not deliver."""
    if "RULE_ARN" not in dead_letter.attributes:
        return None
    return _to_queue(dead_letter.attributes.get("TARGET_ARN"), body, destinations)


def _given_up_by_sqs(
    dead_letter: DeadLetter, body: Json, destinations: Sequence[Destination]
) -> Route | None:
    """Route a message that a function never processed, so that SQS moved it here."""
    return None if dead_letter.source is None else _to_queue(dead_letter.source, body, destinations)


def _lost_stream_records(
    dead_letter: DeadLetter, body: Json, destinations: Sequence[Destination]
) -> Route | None:
    del dead_letter
    lost = body.get("KinesisBatchInfo") or body.get("DDBStreamBatchInfo")
    if not isinstance(lost, dict):
        return None
    context = body.get("requestContext")
    sensor = _function_of(str(context.get("functionArn")) if isinstance(context, dict) else "", destinations)
    if sensor is not None and sensor.origin.startswith("sensor "):
        reason = (
            f"Lambda discarded {lost.get('batchSize')} records of {lost.get('streamArn')}, shard {lost.get('shardId')}, from "
            f"{lost.get('startSequenceNumber')} to {lost.get('endSequenceNumber')}, without having them evaluated: they "
            "were about to expire. Let their producer put them again, then delete this dead letter."
        )
        return Route(sensor.origin, reason)
    if isinstance(context, dict) and "-PublishFunction-" in str(context.get("functionArn")):
        reason = (
            "It gives only the position of records in the runs' stream. The status changes of those runs were not"
            " published: send them to a sensor with treadle sensor replay, then delete this dead letter."
        )
        return Route("stream", reason)
    reason = (
        "It gives only the position of records in the stream. Their ticks are still pending, and RECONCILE "
        "dispatches them."
    )
    return Route("stream", reason, is_discardable=True)


def _missed_schedule(
    dead_letter: DeadLetter, body: Json, destinations: Sequence[Destination]
) -> Route | None:
    """Route a schedule's payload that was not delivered, or that Lambda gave up after delivery."""
    payload = body["requestPayload"] if "requestContext" in body and "requestPayload" in body else body
    says = payload.get("treadle") if isinstance(payload, dict) else None
    is_lambdas = dead_letter.attributes.keys() >= _LAMBDAS
    is_schedules = "SCHEDULE_ARN" in dead_letter.attributes or payload is not body or is_lambdas
    if says == _DEADLINE and is_lambdas:
        return _to_sensor(payload, dead_letter, destinations)
    if says == _DEADLINE and is_schedules:
        context = body.get("requestContext")
        given_up = context.get("functionArn") if isinstance(context, dict) else None
        return _to_function(str(given_up or dead_letter.attributes.get("TARGET_ARN")), payload, destinations)
    if says not in _PERIODIC or not is_schedules:
        return None
    return Route(
        "schedule", "It is obsolete: the schedule has invoked the function again since.", is_discardable=True
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
        return Route(UNKNOWN, f"{arn} is not a queue of this stack's components.")
    return _to(found, body)


def _to_function(arn: str, body: Json, destinations: Sequence[Destination]) -> Route:
    """Route to the queue of the component whose function an ARN names, with or without a version."""
    found = _function_of(arn, destinations)
    if found is None:
        return Route("schedule", f"{arn} is not a function of this stack that receives deadlines.")
    return _to(found, body)


def _function_of(arn: str, destinations: Sequence[Destination]) -> Destination | None:
    """Return the destination whose function an ARN names, with or without a version."""
    named = arn.partition(":function:")[2].partition(":")[0]
    return next((each for each in destinations if named and each.function == named), None)


def _to_sensor(body: Json, dead_letter: DeadLetter, destinations: Sequence[Destination]) -> Route:
    """To the queue of the sensor that a deadline names, as its schedule's Input has it."""
    name = body.get("sensor")
    found = next((each for each in destinations if each.origin == f"sensor {name}"), None)
    if found is not None:
        return _to(found, body)
    failed = f"Lambda gave it up after three attempts: {dead_letter.attributes.get('ErrorMessage') or 'no reason given'}."
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
            destination.origin,
            f"It is not a JSON object, and {destination.origin} accepts only JSON objects.",
        )
    place = "queue" if destination.arn else "function"
    reason = f"To the {place} of {destination.origin}."
    is_sensors = destination.origin.startswith("sensor ")
    return Route(destination.origin, reason, destination, body if is_sensors else _without_secrets(body))


def _without_secrets(body: Json) -> Json:
    """Return a Step Functions event without input and output, as its rule would: they stay out of queues."""
    detail = body.get("detail")
    if body.get("source") != "aws.states" or not isinstance(detail, dict):
        return body
    kept = {name: value for name, value in detail.items() if not name.startswith(("input", "output"))}
    return {**body, "detail": kept}
