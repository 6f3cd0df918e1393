"""Takes messages of a queue that belongs to somebody else: each is done, or failed, and nothing else is done with it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import SensorEvaluationError, StoreError, TreadleError
from treadle.definitions.sensors import SensorEvent
from treadle.engine.outcomes import Decision, Outcome
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import count, logger, receives_of

STOPPED_SECONDS = 900
"""How long a message of a stopped sensor is hidden; each receive counts in the queue's redrive policy."""

_Record = Mapping[str, Any]


def consume(
    records: Sequence[_Record],
    parse: Callable[[_Record], SensorEvent],
    begin: Callable[[Sequence[SensorEvent]], object],
    handle: Callable[[SensorEvent], Outcome],
    inbox: Inbox,
) -> dict[str, Any]:
    """Evaluate each message of a batch; those that failed return to their queue, whose redrive policy limits how often.

    Once a message of a FIFO group has failed, the later ones of the group fail without being evaluated ("Reporting
    batch item failures for Lambda functions with an Amazon SQS trigger" in the Lambda developer guide).

    Args:
        records: SQS's batch.
        parse: converts a record to the message.
        begin: takes the messages that may be evaluated together, before any is handled, and raises nothing: those in no
            FIFO group that are delivered for the first time.
        handle: evaluates a message.
        inbox: the queue.

    Returns:
        SQS's partial batch response.
    """
    parsed = {str(each["messageId"]): _parsed(each, parse) for each in records}
    first = [parsed[str(each["messageId"])] for each in records if _is_independent(each)]
    begin([each for each in first if not isinstance(each, TreadleError)])
    failed: list[str] = []
    broken: set[str] = set()
    for record in records:
        name, group = str(record["messageId"]), record["attributes"].get("MessageGroupId")
        if group in broken:
            failed.append(name)
            logger().warning(
                f"Message {name} is not evaluated, because an earlier one of its group has failed."
            )
        elif not _is_done(record, parsed[name], handle, inbox):
            failed.append(name)
            if group is not None:
                broken.add(group)
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}


def _is_independent(record: _Record) -> bool:
    """Return whether a message may be evaluated with others, whatever becomes of these, or of it."""
    return receives_of(record) == 1 and "MessageGroupId" not in record["attributes"]


def _parsed(record: _Record, parse: Callable[[_Record], SensorEvent]) -> "SensorEvent | TreadleError":
    try:
        return parse(record)
    except TreadleError as error:
        return error


def _is_done(
    record: _Record,
    message: "SensorEvent | TreadleError",
    handle: Callable[[SensorEvent], Outcome],
    inbox: Inbox,
) -> bool:
    """Return whether a message's tick is committed, now or before."""
    try:
        if _handled(message, handle).decision is not Decision.STOPPED:
            return True
        # The mapping is still being disabled, or was enabled by hand.
        _hide(record, inbox)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this message
        # A failed evaluation has been reported.
        is_known = isinstance(error, TreadleError)
        if not isinstance(error, SensorEvaluationError):
            logger().warning(f"A message returns to its queue: {error}", exc_info=not is_known)
        count(metric_names.MESSAGES_RETRIED, dimension=("sensor", inbox.origin.removeprefix("sensor ")))
    return False


def _handled(message: "SensorEvent | TreadleError", handle: Callable[[SensorEvent], Outcome]) -> Outcome:
    if isinstance(message, TreadleError):
        raise message
    return handle(message)


def _hide(record: _Record, inbox: Inbox) -> None:
    try:
        inbox.queue.postpone(str(record.get("receiptHandle") or ""), STOPPED_SECONDS)
    except StoreError as failure:
        logger().warning(str(failure))
