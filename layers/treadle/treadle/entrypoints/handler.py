"""What all handlers share: structured logs, metrics, tracing, and the processing of queues."""

import functools
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from treadle.bootstrap.inbox import Inbox
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
from treadle.ports.records import reason_of
from treadle.ports.system import DeadLetters, Queue

Json = Mapping[str, Any]
T = TypeVar("T")
Handler = Callable[[dict[str, Any], Any], Any]

MAX_RECEIVES = 5
"""A failure at this delivery or a later one ends in the dead-letter queue, with the reason. The queues' redrive policies
allow no fewer, or SQS would take the message there without it."""

RETRY_SECONDS = (30, 120, 480, 1_800)
"""After its first, second, third and fourth failure a message comes again about so much later."""

THROTTLED_SECONDS = (15, 60)
"""How long a message that met a throttled store waits, by chance between these; twice as long each further time."""

MAX_DELAY_SECONDS = 900
"""As long as SQS can hold a message back."""

LAST_TRIES = 8
LAST_PAUSE_SECONDS = (0.05, 0.25)
"""A message that can be sent anew no more is tried so often, with pauses between these, before it counts as failed."""

SEND_TRIES = 4
"""A message is sent anew so often, if the queue is throttled as well."""

_PERMANENT = (
    UnknownEventError,
    InvalidReportError,
    LaunchRejectedError,
    StoreRejectedError,
    UnreadableRecordError,
)
_QUIET = {Decision.NOT_DUE, Decision.STOPPED}


@functools.cache
def logger() -> Logger:
    """The process's logger; the library's own loggers are its children."""
    return Logger(service="treadle", serialize_stacktrace=False)


@functools.cache
def metrics() -> Metrics:
    """The process's metrics, written to the log in CloudWatch's embedded format; `service` is the engine."""
    return Metrics(namespace="Treadle")


def instrumented(function: Handler) -> Handler:
    """The handler with context on each log line, metrics written at its end, and traced if that is on.

    Args:
        function: takes Lambda's event and context.
    """
    traced = function
    if os.environ.get("POWERTOOLS_TRACE_DISABLED", "true").lower() != "true":
        # Imported here, as X-Ray's library costs each cold start.
        from aws_lambda_powertools import Tracer

        traced = Tracer(service="treadle").capture_lambda_handler(function)

    def handler(event: dict[str, Any], context: Any) -> Any:
        try:
            return traced(event, context)
        finally:
            if metrics().metric_set:
                metrics().flush_metrics()

    wrapped: Handler = logger().inject_lambda_context(handler, clear_state=True)
    return wrapped


def report(outcome: Outcome, *, step: str, **keys: str) -> dict[str, Any]:
    """Log and count what was decided; the answer to whoever invoked directly.

    Args:
        outcome: what was decided.
        step: which step decided it, such as "tick" or "launch".
        keys: what else every line is to bear.
    """
    facts = {"decision": outcome.decision.value, "subject": outcome.subject, "count": outcome.count}
    level = logger().debug if outcome.decision in _QUIET else logger().info
    if outcome.decision is Decision.FAILURE:
        level = logger().error
    level(outcome.reason, extra={**facts, **keys, "trigger": outcome.trigger, "step": step})
    decided = metric_names.of_decision(step, outcome.decision)
    if decided is not None:
        count(decided)
    if outcome.recorded_failures:
        count(metric_names.TICKS_FAILED, outcome.recorded_failures)
    if outcome.set_aside:
        count(metric_names.REJECTED_REQUESTS, outcome.set_aside)
    if outcome.held:
        count(metric_names.HELD_REQUESTS, outcome.held)
    if outcome.refused:
        count(metric_names.REFUSED_REQUESTS, outcome.refused)
    if outcome.latency is not None:
        metrics().add_metric(metric_names.LAUNCH_LATENCY, MetricUnit.Milliseconds, max(0, outcome.latency))
    if outcome.paused:
        logger().error(outcome.paused, extra=keys)
        count(metric_names.SENSORS_PAUSED)
    return {**facts, "reason": outcome.reason}


def count(name: str, number: int = 1) -> None:
    """Count something; what waits for a person is counted as that, too.

    Args:
        name: the metric's, one of `metric_names`.
        number: how many.
    """
    metrics().add_metric(name, MetricUnit.Count, number)
    if name in metric_names.FOR_A_PERSON:
        metrics().add_metric(metric_names.ACTION_NEEDED, MetricUnit.Count, number)


def put_sensor_metrics(sensor: str, name: str, value: float, unit: str) -> None:
    """Write a metric that each sensor has for itself, such as how far it is behind its events.

    Args:
        sensor: its name.
        name: the metric's.
        value: what was measured.
        unit: as CloudWatch names it, such as "Seconds".
    """
    # Imported here, as most invocations need none of it.
    from aws_lambda_powertools.metrics import single_metric

    dimensions = {"sensor": sensor}
    if metrics().service:
        dimensions["service"] = str(metrics().service)
    with single_metric(
        name=name,
        unit=MetricUnit(unit),
        value=value,
        namespace="Treadle",
        default_dimensions=dimensions,
    ):
        pass


def remaining_seconds(context: Any) -> float:
    """Seconds until Lambda stops this invocation."""
    return float(context.get_remaining_time_in_millis()) / 1000


def process_queue(
    event: dict[str, Any],
    context: Any,
    handle: Callable[[T], object],
    inbox: Inbox,
    parse: Callable[[Json], T] = lambda body: body,  # type: ignore[assignment,return-value] # for Json
    begin: Callable[[Sequence[T]], object] = lambda _: None,
    *,
    kept_in_tables: bool = False,
) -> dict[str, Any]:
    """Handle each message of a batch; those that failed, and only those, are delivered again.

    A message that can never be handled, or has failed for the last time, goes to the dead-letter queue
    with the reason. One that only met a throttled store is sent anew instead, as often as a chain of messages may
    be long, which takes more than an hour; after that, it is left to the tables or tried several times in place.

    Each message is parsed once, by itself and before any is handled. Whatever a parser raises is about that
    message alone: it would raise the same at the next delivery, so the message is a dead letter at once.

    Args:
        event: SQS's batch.
        context: Lambda's.
        handle: takes a parsed message.
        inbox: where the batch came from.
        parse: makes of a message's JSON what the handler takes; by default nothing else.
        begin: takes all that could be parsed, before the first is handled, and raises nothing.
        kept_in_tables: True where RECONCILE finds what a message is about without it: one that has met a throttled
            store as often as a chain may be long is acknowledged then.

    Returns:
        SQS's partial batch response.
    """
    # Imported here, as ticks by schedule need none of it.
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    parsed = {str(record["messageId"]): _parsed(record, parse) for record in event["Records"]}
    begin([each.value for each in parsed.values() if isinstance(each, _Parsed)])

    def handle_record(record: SQSRecord) -> None:
        message = parsed[record.message_id]
        try:
            _handled(handle, message, is_kept=kept_in_tables)
        except Exception as error:
            if isinstance(error, StoreThrottledError):
                count(metric_names.MESSAGES_THROTTLED)
                body = parse_body(record.body)
                if hops_of(body) < MOST_HOPS:
                    logger().warning(f"Sent anew, to be handled later: {error}")
                    _requeue(body, inbox.queue)
                    return
                if kept_in_tables:
                    logger().warning(f"Left to RECONCILE, as a chain of messages must end: {error}")
                    return
            receives = int(record.attributes.approximate_receive_count or 1)
            if not isinstance(error, _PERMANENT) and receives < MAX_RECEIVES:
                _postpone(str(record.get("receiptHandle") or ""), receives, error, inbox)
                raise
            send_to_dlq(record.body, error, inbox.dead_letters, inbox.origin)

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    answer = process_partial_response(event, handle_record, processor, context)
    return dict(answer)


@dataclass(frozen=True, slots=True)
class _Parsed(Generic[T]):
    """What a message says, and how often it was sent on."""

    value: T
    hops: int


def _parsed(record: Mapping[str, Any], parse: Callable[[Json], T]) -> _Parsed[T] | TreadleError:
    """What a message says, or why that cannot be known."""
    try:
        body = parse_body(record["body"])
        return _Parsed(parse(body), hops_of(body))
    except TreadleError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this message
        msg = f"A message cannot be read: {reason_of(error)}."
        unread = UnknownEventError(msg)
        unread.__cause__ = error
        return unread


def _handled(handle: Callable[[T], object], message: _Parsed[T] | TreadleError, *, is_kept: bool) -> None:
    """Handle a message; at its last hop again if it meets a throttled store, unless the tables keep its work.

    The same calls are safe to send however often.
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
    """Let a message come again after a while, longer each time; that it does, the batch's answer says."""
    wait = int(RETRY_SECONDS[receives - 1] * random.uniform(0.75, 1.25))  # noqa: S311 - jitter is no secret
    logger().warning(
        f"Will be delivered again in {wait} s: {error}", exc_info=not isinstance(error, TreadleError)
    )
    count(metric_names.MESSAGES_RETRIED)
    try:
        inbox.queue.postpone(handle, wait)
    except StoreError as unheard:
        logger().warning(str(unheard))


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
        body: as it came.
        error: why it cannot be handled.
        dead_letters: takes it.
        origin: which step this is.

    Raises:
        StoreError: if it could not be kept.
    """
    reason = f"{type(error).__name__}: {error}"
    logger().error(f"To the dead-letter queue: {reason}", exc_info=not isinstance(error, TreadleError))
    count(metric_names.DEAD_LETTERS)
    try:
        dead_letters.send(body, origin=origin, reason=reason)
    except StoreError as unkept:
        # Said here, as the batch processor keeps what it catches to itself.
        logger().error(str(unkept))
        raise


def send_record_to_dlq(
    record: Mapping[str, Any], body: str, error: Exception, inbox: Inbox
) -> list[dict[str, str]]:
    """Send what stands for a record of a stream to the dead-letter queue.

    Args:
        record: as the stream brought it.
        body: what is kept of it.
        error: why it cannot be handled.
        inbox: takes it.

    Returns:
        Nothing; or, if the queue did not take it, the `batchItemFailures` by which the stream goes on with this
        very record, so that none before it is handled, or kept, a second time.

    Raises:
        StoreError: if it could not be kept, and has no place in the stream.
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
    """A message's JSON object.

    Raises:
        UnknownEventError: if it is none.
    """
    # Imported here, as ticks by schedule come without.
    from treadle.engine.parsing import parse_message

    return parse_message(body)
