"""What all handlers share: structured logs, metrics, tracing, and queue processing."""

import functools
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.preparation import prepare
from treadle.definitions.errors import (
    InvalidReportError,
    LaunchRejectedError,
    StoreError,
    StoreRejectedError,
    StoreThrottledError,
    TreadleError,
    UnknownEventError,
    UnreadableRecordError,
)
from treadle.engine.message_hops import MOST_HOPS, hops_of, one_hop_on
from treadle.engine.outcomes import Decision, Outcome
from treadle.entrypoints import metric_names
from treadle.model.records import reason_of
from treadle.ports.system import DeadLetters, Queue

Json = Mapping[str, Any]
T = TypeVar("T")
Handler = Callable[[dict[str, Any], Any], Any]

MAX_RECEIVES = 5
"""A failure at this delivery or a later one goes to the dead-letter queue, with the reason.

The queues' redrive policies allow no fewer, or SQS would move the message there without it.
"""

RETRY_SECONDS = (30, 120, 480, 1_800)
"""The approximate redelivery delays of a message after its first, second, third and fourth failure."""

THROTTLED_SECONDS = (15, 60)
"""The range of random delays of a message that met a throttled store; it doubles each time."""

MAX_DELAY_SECONDS = 900
"""SQS's maximum delay of a message."""

LAST_TRIES = 8
LAST_PAUSE_SECONDS = (0.05, 0.25)
"""The tries, and the pauses between them, of a message at its last hop, before it counts as failed."""

SEND_TRIES = 4
"""How often sending a message again is tried, if the queue is throttled as well."""

NAMESPACE = "Treadle"
"""The namespace of all metrics."""

PERMANENT = (
    UnknownEventError,
    InvalidReportError,
    LaunchRejectedError,
    StoreRejectedError,
    UnreadableRecordError,
)
"""Errors that a message meets at each delivery."""

_QUIET = {Decision.NOT_DUE, Decision.STOPPED}


@functools.cache
def logger() -> Logger:
    """Return the process's logger; the library's own loggers are its children."""
    return Logger(service="treadle", serialize_stacktrace=False)


@functools.cache
def metrics() -> Metrics:
    """Return the process's metrics, logged in CloudWatch's embedded format; `service` is the engine."""
    return Metrics(namespace=NAMESPACE)


_problems: dict[tuple[str, str], EphemeralMetrics] = {}
"""This invocation's problems, by the name and the value of their second dimension."""


def flush_metrics() -> None:
    """Log this invocation's metrics: a line for the engine, and one for each second dimension."""
    written: list[Metrics | EphemeralMetrics] = [metrics(), *_problems.values()]
    for each in written:
        if each.metric_set:
            each.flush_metrics()
    _problems.clear()


def instrumented(function: Handler, *parts: Callable[[], object]) -> Handler:
    """Wrap a handler to add the request's id to log lines, flush metrics at its end, and trace it if that is enabled.

    What each event uses is made before the first one (`prepare`).

    No other fact of the invocation is added, as each line is paid for: the name of the log stream has the function's,
    and Lambda's own lines have its memory and whether it was a cold start.

    Args:
        function: takes Lambda's event and context.
        parts: each returns objects or a client that each event uses, and keeps them.
    """
    prepare(*parts)
    traced = function
    if os.environ.get("POWERTOOLS_TRACE_DISABLED", "true").lower() != "true":
        # Imported here because X-Ray's library slows down each cold start.
        from aws_lambda_powertools import Tracer

        traced = Tracer(service="treadle").capture_lambda_handler(function)

    @functools.wraps(function)
    def handler(event: dict[str, Any], context: Any) -> Any:
        # Without the keys of the invocation before.
        logger().structure_logs(function_request_id=context.aws_request_id)
        try:
            return traced(event, context)
        finally:
            flush_metrics()

    return handler


def report(outcome: Outcome, *, step: str, **keys: str) -> dict[str, Any]:
    """Log and count a decision; return the response to a direct invocation.

    Args:
        outcome: the decision.
        step: the component, such as "tick" or "launch".
        keys: additional fields of the log lines.
    """
    facts = {"decision": outcome.decision.value, "subject": outcome.subject, "count": outcome.count}
    is_quiet = outcome.decision in _QUIET or outcome.is_repeated
    level = logger().debug if is_quiet else logger().info
    if outcome.decision is Decision.FAILURE:
        level = logger().error
    level(outcome.reason, extra={**facts, **keys, "trigger": outcome.trigger, "step": step})
    subject = next(((name, keys[name]) for name in ("sensor", "job") if name in keys), None)
    decided = metric_names.of_decision(step, outcome.decision)
    if decided is not None:
        count(decided, dimension=subject)
    for name, number in (
        (metric_names.TICKS_FAILED, outcome.recorded_failures),
        (metric_names.REJECTED_REQUESTS, outcome.rejected),
        (metric_names.HELD_REQUESTS, outcome.held),
        (metric_names.LOOPS_DETECTED, outcome.loops),
        (metric_names.REFUSED_REQUESTS, outcome.refused),
    ):
        if number:
            count(name, number, subject)
    if outcome.latency is not None:
        metrics().add_metric(metric_names.LAUNCH_LATENCY, MetricUnit.Milliseconds, max(0, outcome.latency))
    if outcome.paused:
        logger().error(outcome.paused, extra=keys)
        count(metric_names.SENSORS_PAUSED, dimension=subject)
    return {**facts, "reason": outcome.reason}


def count(name: str, number: int = 1, dimension: tuple[str, str] | None = None) -> None:
    """Increment a metric; one that needs an operator is also counted as ACTION_NEEDED.

    Args:
        name: one of `metric_names`.
        number: the increment.
        dimension: `sensor`, `job` or `component`, and its value; `metric_names.PROBLEMS` are also written with
            it.
    """
    written = _metrics_of(dimension) if dimension and name in metric_names.PROBLEMS else metrics()
    written.add_metric(name, MetricUnit.Count, number)
    if name in metric_names.FOR_A_PERSON:
        written.add_metric(metric_names.ACTION_NEEDED, MetricUnit.Count, number)


def _metrics_of(dimension: tuple[str, str]) -> EphemeralMetrics:
    """Return the metrics that are written both for the engine and with this dimension, in one line."""
    if dimension not in _problems:
        _problems[dimension] = EphemeralMetrics(namespace=NAMESPACE, default_dimensions=_engine())
        _problems[dimension].add_dimensions(**dict([dimension]))
    return _problems[dimension]


def _engine() -> dict[str, str]:
    """Return the dimension of all metrics: the engine, if its name is known."""
    return {"service": str(metrics().service)} if metrics().service else {}


def put_metric_of(dimension: tuple[str, str], name: str, value: float, unit: str) -> None:
    """Write a metric of a sensor or a pool, such as the age of a sensor's events.

    Args:
        dimension: `sensor` or `pool`, and its name.
        name: the metric's name.
        value: the value.
        unit: CloudWatch's name of the unit, such as "Seconds".
    """
    # Imported here because most invocations do not need it.
    from aws_lambda_powertools.metrics import single_metric

    with single_metric(
        name=name,
        unit=MetricUnit(unit),
        value=value,
        namespace=NAMESPACE,
        default_dimensions={**_engine(), **dict([dimension])},
    ):
        pass


def remaining_seconds(context: Any) -> float:
    """Return the seconds until Lambda stops this invocation."""
    return float(context.get_remaining_time_in_millis()) / 1000


def process_queue(
    event: Json,
    handle: Callable[[T], object],
    inbox: Inbox,
    parse: Callable[[Json], T] = lambda body: body,  # type: ignore[assignment,return-value] # for Json
    begin: Callable[[Sequence[T]], object] = lambda _: None,
    *,
    kept_in_tables: bool = False,
) -> dict[str, Any]:
    """Handle each message of a batch; those that failed, and only those, are redelivered.

    A message that can never be handled, or has failed for the last time, goes to the dead-letter queue with
    the reason. One that only met a throttled store is sent again instead, up to the maximum number of hops,
    which takes more than an hour; after that, it is left to the tables or tried several times in place.

    Each message is parsed once, by itself and before any is handled. Whatever a parser raises concerns that
    message alone: it would raise the same at the next delivery, so the message becomes a dead letter at once.

    Args:
        event: SQS's batch.
        handle: takes a parsed message.
        inbox: the batch's queue.
        parse: converts a message's JSON to what the handler takes; unchanged by default.
        begin: takes the parsed messages that are delivered for the first time, before any message is handled, and
            raises nothing. One that is delivered again may be what stopped the process: it is not to take others with it.
        kept_in_tables: True if RECONCILE finds the work of a message without it: a message that met a
            throttled store at its last hop is then acknowledged.

    Returns:
        SQS's partial batch response.
    """
    parsed = {str(record["messageId"]): _parsed(record, parse) for record in event["Records"]}
    begin([each.value for each in parsed.values() if isinstance(each, _Parsed) and each.is_first])

    def handle_record(record: Json) -> None:
        message = parsed[record["messageId"]]
        try:
            _handled(handle, message, is_kept=kept_in_tables)
        except Exception as error:
            if isinstance(error, StoreThrottledError):
                count(metric_names.MESSAGES_THROTTLED, dimension=_dimension_of(inbox.origin))
                body = parse_body(record["body"])
                if hops_of(body) < MOST_HOPS:
                    logger().warning(f"Sent again, to be handled later: {error}")
                    _requeue(body, inbox.queue)
                    return
                if kept_in_tables:
                    logger().warning(
                        f"Left to RECONCILE, because the message has reached its hop limit: {error}"
                    )
                    return
            receives = receives_of(record)
            if not isinstance(error, PERMANENT) and receives < MAX_RECEIVES:
                _postpone(str(record.get("receiptHandle") or ""), receives, error, inbox)
                raise
            send_to_dlq(record["body"], error, inbox.dead_letters, inbox.origin)

    failures = []
    for record in event["Records"]:
        try:
            handle_record(record)
        except Exception:  # noqa: BLE001 - logged by then; SQS delivers the message again
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def receives_of(record: Json) -> int:
    """Return how often SQS has delivered a message, this delivery included."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount") or 1)


@dataclass(frozen=True, slots=True)
class _Parsed(Generic[T]):
    """A parsed message, its number of hops, and whether it was not delivered before."""

    value: T
    hops: int
    is_first: bool


def _parsed(record: Mapping[str, Any], parse: Callable[[Json], T]) -> _Parsed[T] | TreadleError:
    """Parse a message; return the error if that fails."""
    try:
        body = parse_body(record["body"])
        return _Parsed(parse(body), hops_of(body), receives_of(record) == 1)
    except TreadleError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this message
        msg = f"The message cannot be read: {reason_of(error)}."
        unread = UnknownEventError(msg)
        unread.__cause__ = error
        return unread


def _handled(handle: Callable[[T], object], message: _Parsed[T] | TreadleError, *, is_kept: bool) -> None:
    """Handle a message; at its last hop, retry if a store is throttled, unless the tables keep its work.

    Repeating the same calls is safe.
    """
    if not isinstance(message, _Parsed):
        raise message
    for left in reversed(range(LAST_TRIES if message.hops == MOST_HOPS and not is_kept else 1)):
        try:
            handle(message.value)
        except StoreThrottledError:
            if not left:
                raise
            time.sleep(random.uniform(*LAST_PAUSE_SECONDS))  # noqa: S311 - jitter is no secret
        else:
            return


def _postpone(handle: str, receives: int, error: Exception, inbox: Inbox) -> None:
    """Defer the redelivery of a message, longer each time; the batch response requests the redelivery."""
    wait = int(RETRY_SECONDS[receives - 1] * random.uniform(0.75, 1.25))  # noqa: S311 - jitter is no secret
    logger().warning(
        f"Will be redelivered in {wait} s: {error}", exc_info=not isinstance(error, TreadleError)
    )
    count(metric_names.MESSAGES_RETRIED, dimension=_dimension_of(inbox.origin))
    try:
        inbox.queue.postpone(handle, wait)
    except StoreError as failure:
        logger().warning(str(failure))


def _dimension_of(origin: str) -> tuple[str, str]:
    """Return the dimension of an origin of messages: the sensor, or the component of the engine."""
    sensor = origin.removeprefix("sensor ")
    return ("component", origin) if sensor == origin else ("sensor", sensor)


def _requeue(body: Json, queue: Queue) -> None:
    wait = random.randint(*THROTTLED_SECONDS) << hops_of(body)  # noqa: S311 - jitter is no secret
    for attempt in range(1, SEND_TRIES + 1):
        try:
            queue.send([one_hop_on(body)], delay_seconds=min(wait, MAX_DELAY_SECONDS))
        except StoreThrottledError:
            # Left to the queue, the message would be a dead letter after its fifth receive.
            if attempt == SEND_TRIES:
                raise
        else:
            return


def send_to_dlq(body: str, error: Exception, dead_letters: DeadLetters, origin: str) -> None:
    """Send what cannot be handled to the dead-letter queue, with the reason.

    Args:
        body: as received.
        error: why it cannot be handled.
        dead_letters: the queue.
        origin: the component.

    Raises:
        StoreError: if it could not be sent.
    """
    reason = f"{type(error).__name__}: {error}"
    logger().error(f"Sent to the dead-letter queue: {reason}", exc_info=not isinstance(error, TreadleError))
    count(metric_names.DEAD_LETTERS, dimension=_dimension_of(origin))
    try:
        dead_letters.send(body, origin=origin, reason=reason)
    except StoreError as unkept:
        # Logged here because what a message raises is not logged again.
        logger().error(str(unkept))
        raise


def send_record_to_dlq(
    record: Mapping[str, Any], body: str, error: Exception, inbox: Inbox
) -> list[dict[str, str]]:
    """Send a stream record, or what represents it, to the dead-letter queue.

    Args:
        record: the stream record.
        body: the message to send.
        error: why it cannot be handled.
        inbox: the component's queues.

    Returns:
        Nothing; or, if it could not be sent, the `batchItemFailures` that make the stream continue with this
        very record, so that none before it is handled, or sent, a second time.

    Raises:
        StoreError: if it could not be sent, and has no sequence number in the stream.
    """
    try:
        send_to_dlq(body, error, inbox.dead_letters, inbox.origin)
    except StoreError:
        number = record.get("dynamodb", {}).get("SequenceNumber")
        if number is None:
            raise
        return [{"itemIdentifier": str(number)}]
    return []


def parse_body(body: str) -> Json:
    """Parse a message's JSON object.

    Raises:
        UnknownEventError: if it is not one.
    """
    # Imported here because scheduled ticks have no messages.
    from treadle.engine.parsing import parse_message

    return parse_message(body)
