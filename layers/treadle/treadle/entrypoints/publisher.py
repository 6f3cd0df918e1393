"""PUBLISH as a Lambda handler: the runs table's stream, and the queue of events to publish later."""

import functools
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.clients import client
from treadle.adapters.queues import SqsQueue
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.definitions.errors import StoreError, StoreThrottledError, UnreadableRecordError, is_passing
from treadle.engine.lazy import lazy
from treadle.engine.messages import GrantRequest, PublishRequest
from treadle.engine.publish.bus_events import RunStatusChange
from treadle.engine.publish.publisher import Publisher, backfill_requests, changed_pools, statuses_reached
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import (
    THROTTLED_SECONDS,
    Handler,
    count,
    instrumented,
    logger,
    process_queue,
)
from treadle.entrypoints.streams import Record, is_queue_batch, process_stream, with_tries
from treadle.model.runs import Reached, Run
from treadle.ports.pools import PoolStore
from treadle.ports.system import IdGenerator, Queue


@dataclass(frozen=True, slots=True)
class PublisherParts:
    """The objects that PUBLISH needs.

    Attributes:
        publisher: publishes status changes of runs.
        read: decodes a run from an image in the runs table's stream.
        inbox: the queue of events to publish later.
        dispatches: DISPATCH's queue, where ends of a backfill's runs and changes of pools are reported.
        pools: stores the notes of queues.
        tokens: generates their tokens.
    """

    publisher: Publisher
    read: Callable[[dict[str, dict[str, Any]]], Run]
    inbox: Inbox
    dispatches: Queue
    pools: PoolStore
    tokens: IdGenerator


def publisher_parts(environment: Mapping[str, str]) -> PublisherParts:
    """Create PUBLISH's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    inbox = Inbox.of("publish", settings, "TREADLE_PUBLISH_QUEUE_URL")
    bus = EventBridgeBus(settings.text("TREADLE_BUS_NAME"))
    dispatches = SqsQueue(settings.text("TREADLE_DISPATCH_QUEUE_URL"))
    engine = assembly(settings)
    only_ends = settings.choice("TREADLE_RUN_EVENTS", ("all", "ends")) == "ends"
    stores, publisher = engine.stores, engine.publisher(bus, only_ends=only_ends)
    pools = lazy(lambda: stores.pools)
    return PublisherParts(publisher, stores.runs.read, inbox, dispatches, pools, engine.ids)


def publisher() -> Handler:
    """Return the handler of PUBLISH, for the runs table's stream and its own queue.

    It never fails a stream record, which would block those after it: what could not be published is sent to
    its own queue, or else to the dead-letter queue with the reason.
    """
    parts = functools.cache(lambda: publisher_parts(os.environ))

    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        found = parts()
        if not is_queue_batch(event):
            return publish_stream(found, event["Records"])
        handle = functools.partial(publish_message, found)
        return process_queue(event, handle, found.inbox, PublishRequest.from_json)

    return instrumented(handler, parts, functools.partial(client, "events"))


def publish_message(parts: PublisherParts, request: PublishRequest) -> None:
    """Publish statuses of a run again."""
    run, published = parts.publisher.publish_again(request.run_id, request.event_ids)
    _report_pools(parts, run.pools, [run.waiting.pool] if run.waiting else ())
    extra = {"step": "publish", "run_id": request.run_id}
    logger().info(f"Published {published} statuses again", extra=extra)


def publish_stream(parts: PublisherParts, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Publish the status changes of a batch of stream records."""
    readable: list[Record] = []
    changes: list[RunStatusChange] = []

    def read(record: Record) -> None:
        changes.extend(_changes(parts, record))
        readable.append(record)

    def unreadable(record: Record) -> object:
        return {"treadle": "publish", "keys": record.get("dynamodb", {}).get("Keys", {})}

    answer = process_stream(records, read, unreadable, parts.inbox)
    # First, as runs wait for it, and for events only sensors do.
    granted = _grant_slots(parts, readable)
    published = 0
    try:
        published = with_tries(lambda: parts.publisher.publish(changes), final=StoreThrottledError)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is of one of them
        logger().warning(f"Will be published one by one: {error}", extra={"step": "publish"})

        # One by one, so that a run that cannot be published blocks no other.
        def publish(record: Record) -> None:
            nonlocal published
            published += _publish_or_defer(parts, _changes(parts, record))

        def unpublished(record: Record) -> object:
            return _request(_changes(parts, record)).to_json()

        failed = process_stream(readable, publish, unpublished, parts.inbox)
        answer = failed if failed["batchItemFailures"] else answer
    if published:
        count(metric_names.STATUSES_PUBLISHED, published)
    _advance_backfills(parts, changes)
    return granted if granted["batchItemFailures"] else answer


def _grant_slots(parts: PublisherParts, records: list[Record]) -> dict[str, Any]:
    """Let DISPATCH grant the slots of pools that runs have returned or wait for."""
    found = [(record, _changed_pools(parts, record)) for record in records]
    concerned = [(record, changed) for record, changed in found if any(changed)]
    if not concerned:
        return {"batchItemFailures": []}
    freed, joined = ([key for _, changed in concerned for key in changed[place]] for place in (0, 1))
    try:
        with_tries(lambda: _report_pools(parts, freed, joined))
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing else shows that a new queue exists
        logger().warning(f"Pools will be reported one by one: {error}", extra={"step": "publish"})

        def report(record: Record) -> None:
            with_tries(lambda: _report_pools(parts, *_changed_pools(parts, record)))

        def unreported(record: Record) -> object:
            return PublishRequest(parts.read(record["dynamodb"]["NewImage"]).run_id).to_json()

        return process_stream([record for record, _ in concerned], report, unreported, parts.inbox)
    return {"batchItemFailures": []}


def _report_pools(parts: PublisherParts, freed: Collection[str], joined: Collection[str]) -> None:
    """Note the queues that runs have joined, and let DISPATCH grant slots of these pools.

    The notes come first: RECONCILE looks at noted queues each minute, whatever becomes of the messages.
    """
    for key in dict.fromkeys(joined):
        parts.pools.note_queue(key, parts.tokens.new())
    parts.dispatches.send([GrantRequest(key).to_json() for key in dict.fromkeys((*freed, *joined))])


def _changed_pools(parts: PublisherParts, record: Record) -> tuple[list[str], list[str]]:
    """Return the pools whose slots a change of a run returned, and whose queue it joined, by the images of the run."""
    new, old = (record["dynamodb"].get(name) or {} for name in ("NewImage", "OldImage"))
    if all(name not in image for image in (new, old) for name in ("slots", "waiting")) or not new:
        return [], []
    try:
        before = parts.read(old) if old else None
    except UnreadableRecordError:
        before = None  # Its queue is noted again.
    return changed_pools(before, parts.read(new))


def _advance_backfills(parts: PublisherParts, changes: list[RunStatusChange]) -> None:
    """Let DISPATCH start the next runs of backfills whose runs have ended; RECONCILE does if this fails."""
    requests = backfill_requests(changes)
    try:
        parts.dispatches.send([each.to_json() for each in requests])
    except StoreError as error:
        logger().warning(f"Ends of backfills' runs are left to RECONCILE: {error}", extra={"step": "publish"})


def _changes(parts: PublisherParts, record: Record) -> list[RunStatusChange]:
    change = record["dynamodb"]
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


def _request(changes: list[RunStatusChange]) -> PublishRequest:
    return PublishRequest(changes[0].run.run_id, tuple(each.event_id for each in changes))


def _publish_or_defer(parts: PublisherParts, changes: list[RunStatusChange]) -> int:
    """Publish the changes of one record; return how many.

    If they cannot be published for now, they are sent to PUBLISH's own queue.
    """
    if not changes:
        return 0
    try:
        return parts.publisher.publish(changes)
    except Exception as error:
        if is_passing(error) and _is_deferred(parts, _request(changes), error):
            return 0
        raise


def _is_deferred(parts: PublisherParts, request: PublishRequest, error: Exception) -> bool:
    """Send a request to PUBLISH's own queue; return whether that succeeded."""
    extra = {"step": "publish", "run_id": request.run_id}
    logger().warning(f"Will be published later: {error}", extra=extra)
    try:
        parts.inbox.queue.send([request.to_json()], delay_seconds=THROTTLED_SECONDS[0])
    except StoreError:
        return False
    return True
