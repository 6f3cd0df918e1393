"""Handles the records of a table's stream, of which none may block those after it."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import is_passing
from treadle.entrypoints.handler import send_record_to_dlq

Record = Mapping[str, Any]
T = TypeVar("T")

TRIES = 3


def is_queue_batch(event: Mapping[str, Any]) -> bool:
    """Return whether an event is a batch of SQS, and not of a stream."""
    return any(record.get("eventSource") == "aws:sqs" for record in event["Records"])


def process_stream(
    records: Iterable[Record],
    handle: Callable[[Record], object],
    dead_letter: Callable[[Record], object],
    inbox: Inbox,
) -> dict[str, Any]:
    """Handle each record; one that cannot be handled goes to the dead-letter queue, with the reason.

    Args:
        records: the stream's batch.
        handle: takes a record.
        dead_letter: returns the JSON that represents a record as a dead letter.
        inbox: the component's queues.

    Returns:
        The partial batch response. It redelivers a record, and those after it, only if its dead letter could
        not be sent.
    """
    for record in records:
        try:
            handle(record)
        except Exception as error:  # noqa: BLE001 - whatever it is, those behind it must go on
            body = json.dumps(dead_letter(record), default=str)
            failures = send_record_to_dlq(record, body, error, inbox)
            if failures:
                return {"batchItemFailures": failures}
    return {"batchItemFailures": []}


def with_tries(function: Callable[[], T], *, final: type[Exception] | tuple[()] = ()) -> T:
    """Call a function, up to three times while its errors are transient; return its result.

    Args:
        function: is safe to repeat.
        final: the transient errors that are raised all the same.
    """
    attempt = 1
    while True:
        try:
            return function()
        except Exception as error:
            if attempt == TRIES or not is_passing(error) or isinstance(error, final):
                raise
        attempt += 1
