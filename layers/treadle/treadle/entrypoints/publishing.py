"""PUBLISH as a Lambda handler: the runs table's stream, and the queue of events to publish later."""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from treadle.bootstrap.steps import PublisherParts, publisher_parts
from treadle.definitions.errors import (
    StoreError,
    StoreThrottledError,
    UnknownEventError,
    is_passing,
)
from treadle.engine.publish.bus_events import RunStatusChange
from treadle.engine.publish.publisher import statuses_reached
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import (
    THROTTLED_SECONDS,
    Handler,
    count,
    instrumented,
    logger,
    process_queue,
    send_record_to_dlq,
)
from treadle.model.runs import Reached

TRIES = 3
MAX_EVENTS = 200
"""The maximum number of status events in a message; no run has reached more at once."""


def publisher() -> Handler:
    """Return the handler of PUBLISH, for the runs table's stream and its own queue.

    It never fails a stream record, which would block those after it: what could not be published is sent to
    its own queue, or else to the dead-letter queue with the reason.
    """
    parts = functools.cache(lambda: publisher_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        found, records = parts(), event["Records"]
        if not any(record.get("eventSource") == "aws:sqs" for record in records):
            return _publish_stream(found, records)

        def handle(body: Mapping[str, Any]) -> None:
            run_id, event_ids = parse_publish(body)
            published = found.publisher.publish_again(run_id, event_ids)
            logger().info(
                f"Published {published} statuses again", extra={"step": "publish", "run_id": run_id}
            )

        return process_queue(event, context, handle, found.inbox)

    return instrumented(handler)


def parse_publish(body: Mapping[str, Any]) -> tuple[str, frozenset[str] | None]:
    """Parse a message of PUBLISH's queue into the run and the ids of its status events; None for all.

    Raises:
        UnknownEventError: if it is malformed.
    """
    run_id, event_ids = body.get("run_id"), body.get("events")
    if body.get("treadle") == "publish" and isinstance(run_id, str) and "events" not in body:
        return run_id, None
    if (
        body.get("treadle") != "publish"
        or not isinstance(run_id, str)
        or not isinstance(event_ids, list)
        or not 0 < len(event_ids) <= MAX_EVENTS
        or not all(isinstance(each, str) for each in event_ids)
    ):
        msg = (
            "The publish queue accepts {treadle: publish, run_id, events}, but received the keys "
            f"{sorted(body)}."
        )
        raise UnknownEventError(msg)
    return run_id, frozenset(event_ids)


def _publish_stream(parts: PublisherParts, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    changes: list[tuple[Mapping[str, Any], list[RunStatusChange]]] = []
    failures: list[dict[str, str]] = []
    for record in records:
        try:
            changes.append((record, _changes(parts, record["dynamodb"])))
        except Exception as error:  # noqa: BLE001 - whatever it is, those behind it must go on
            named = {"treadle": "publish", "keys": record.get("dynamodb", {}).get("Keys", {})}
            failures = send_record_to_dlq(record, json.dumps(named, default=str), error, parts.inbox)
            if failures:
                break
    all_changes = [each for _, of_record in changes for each in of_record]
    published = len(all_changes)
    try:
        _with_tries(parts, all_changes)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is of one of them
        logger().warning(f"Will be published one by one: {error}", extra={"step": "publish"})
        # One by one, so that a run that cannot be published blocks no other.
        published = 0
        for change, of_record in changes:
            unkept = _publish_or_defer(parts, change, of_record)
            if isinstance(unkept, list):
                failures = unkept
                break
            published += unkept
    if published:
        count(metric_names.STATUSES_PUBLISHED, published)
    return {"batchItemFailures": failures}


def _changes(parts: PublisherParts, change: Mapping[str, Any]) -> list[RunStatusChange]:
    image = change.get("NewImage") or {}
    if "reached" not in image:
        return []  # Deleted, or not a run.
    return statuses_reached(parts.read(image), _before(change.get("OldImage") or {}))


def _before(image: Mapping[str, Any]) -> Reached | None:
    """Return the statuses of the old image; None if it is unreadable, so that all are published again."""
    if "reached" not in image:
        return None
    try:
        return {place: dict(times) for place, times in json.loads(image["reached"]["S"]).items()}
    except Exception:  # noqa: BLE001 - whatever is in it
        logger().warning(
            "The earlier statuses of the record cannot be read: all statuses are published again",
            exc_info=True,
        )
        return None


def _with_tries(parts: PublisherParts, changes: Sequence[RunStatusChange]) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            parts.publisher.publish(changes)
        except StoreError as error:
            if attempt == TRIES or not error.retryable or isinstance(error, StoreThrottledError):
                raise
        else:
            return


def _is_deferred(parts: PublisherParts, body: Mapping[str, object], error: Exception) -> bool:
    """Send what could not be published for now to PUBLISH's own queue; return whether that succeeded."""
    logger().warning(f"Will be published later: {error}", extra={"step": "publish", "run_id": body["run_id"]})
    try:
        parts.inbox.queue.send([body], delay_seconds=THROTTLED_SECONDS[0])
    except StoreError:
        return False
    return True


def _publish_or_defer(
    parts: PublisherParts, record: Mapping[str, Any], changes: Sequence[RunStatusChange]
) -> int | list[dict[str, str]]:
    """Return how many were published, the others later; or the failure that redelivers the record."""
    if not changes:
        return 0
    run_id = changes[0].run.run_id
    body = {"treadle": "publish", "run_id": run_id, "events": [each.event_id for each in changes]}
    try:
        parts.publisher.publish(changes)
    except Exception as error:  # noqa: BLE001 - whatever it is, those behind it must go on
        if is_passing(error) and _is_deferred(parts, body, error):
            return 0
        return send_record_to_dlq(record, json.dumps(body), error, parts.inbox) or 0
    return len(changes)
