"""DISPATCH as a Lambda handler: the ticks table's stream, and the queue of chunks, whole ticks and backfills."""

import functools
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.clients import client
from treadle.adapters.dynamodb.ticks import is_underway
from treadle.adapters.queues import SqsQueue
from treadle.bootstrap.engine import DeployedAssembly, assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.definitions.errors import StoreThrottledError
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.invocation_batch import InvocationBatch
from treadle.engine.lazy import lazy
from treadle.engine.messages import BackfillRequest, ChunkRequest, GrantRequest, TickRequest, dispatch_request
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.publish.bus_events import sensor_paused
from treadle.entrypoints.handler import (
    Handler,
    instrumented,
    logger,
    process_queue,
    remaining_seconds,
    report,
)
from treadle.entrypoints.streams import Record, is_queue_batch, process_stream, with_tries
from treadle.model.ticks import Tick
from treadle.ports.system import Bus, Queue

if TYPE_CHECKING:
    from treadle.engine.backfills.backfiller import Backfiller
    from treadle.engine.pools.granter import Granter

DISPATCH_WORKERS = 8
"""How many run records DISPATCH writes concurrently, as it mostly waits for DynamoDB."""

BACKFILL_MARGIN_SECONDS = 20.0
"""Reserved from DISPATCH's time limit, to finish the slice of a backfill that it has begun."""


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """The objects that DISPATCH needs.

    Attributes:
        dispatcher: dispatches ticks.
        backfiller: advances backfills; loaded on first use.
        granter: grants slots of pools; loaded on first use.
        read: decodes a tick from an image in the ticks table's stream.
        bus: the engine's bus.
        inbox: the queue of chunks and whole ticks.
    """

    dispatcher: Dispatcher
    backfiller: "Backfiller"
    granter: "Granter"
    read: Callable[[dict[str, dict[str, Any]]], Tick]
    bus: Bus
    inbox: Inbox


def create_dispatcher(settings: Settings) -> tuple[DeployedAssembly, Dispatcher, Queue, Bus]:
    """Create the dispatcher, and its engine, launch queue and bus, once all settings are valid."""
    blobs = S3BlobStore(settings.text("TREADLE_OUTCOMES_BUCKET"))
    bus = EventBridgeBus(settings.text("TREADLE_BUS_NAME"))
    launches = SqsQueue(settings.text("TREADLE_LAUNCH_QUEUE_URL"))
    chunks = SqsQueue(settings.text("TREADLE_DISPATCH_QUEUE_URL"))
    limits, workers = settings.limits(), DISPATCH_WORKERS
    engine = assembly(settings, blobs)
    made = engine.dispatcher(launches, engine.registry, bus, limits=limits, chunks=chunks, workers=workers)
    return engine, made, launches, bus


def dispatcher_parts(environment: Mapping[str, str]) -> DispatcherParts:
    """Create DISPATCH's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    inbox = Inbox.of("dispatch", settings, "TREADLE_DISPATCH_QUEUE_URL")
    engine, made, launches, bus = create_dispatcher(settings)
    backfiller = lazy(lambda: engine.backfiller(launches, engine.jobs(), workers=DISPATCH_WORKERS))
    return DispatcherParts(made, backfiller, engine.granter(launches), engine.stores.ticks.read, bus, inbox)


def dispatcher() -> Handler:
    """Return the handler of DISPATCH, for the ticks table's stream and the queue of chunks and whole ticks.

    It never fails a stream record, which would block those after it: after its own tries, key and reason go
    to the dead-letter queue.
    """
    parts = functools.cache(lambda: dispatcher_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        found = parts()
        if not is_queue_batch(event):
            return dispatch_stream(found, event["Records"])
        ends_at = int((time.time() + remaining_seconds(context) - BACKFILL_MARGIN_SECONDS) * 1000)
        handle = functools.partial(dispatch_message, found, ends_at)
        return process_queue(event, handle, found.inbox, dispatch_request, kept_in_tables=True)

    return instrumented(handler, parts, functools.partial(client, "sqs"))


def dispatch_message(
    parts: DispatcherParts, ends_at: int, request: TickRequest | BackfillRequest | GrantRequest
) -> None:
    """Dispatch a chunk of a tick, or a whole tick; or advance a backfill, or grant slots, until a time, in milliseconds."""
    if isinstance(request, GrantRequest):
        granted = parts.granter.grant(request.pool, ends_at)
        extra = {"step": "dispatch", "pool": request.pool}
        level = logger().info if granted else logger().debug
        level(f"Pool {request.pool}: slots granted to {granted} runs", extra=extra)
    elif isinstance(request, BackfillRequest):
        done = parts.backfiller.advance(request.name, ends_at, request.positions)
        extra = {"step": "dispatch", "backfill": request.name}
        logger().info(f"Backfill {request.name}: {done or 'there is none of this name'}", extra=extra)
    elif isinstance(request, ChunkRequest):
        outcome = parts.dispatcher.dispatch_chunk(request)
        report(outcome, step="dispatch", sensor=request.sensor, tick_id=request.tick_id)
    else:
        _dispatch_tick(parts, parts.dispatcher.committed(request.sensor, request.tick_id))


def dispatch_stream(parts: DispatcherParts, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Dispatch the ticks of a batch of stream records."""
    ticks = _dispatchable(parts, records)
    batch = InvocationBatch[int](
        lambda numbers: parts.dispatcher.dispatch_many([ticks[number] for number in numbers])
    )
    batch.begin(ticks)

    def dispatch(record: Record) -> None:
        tick = ticks.get(id(record))
        if tick is None:
            _dispatch_tick(parts, parts.read(_decoded(record["dynamodb"]["NewImage"])))
        else:
            report(batch.result(id(record)), step="dispatch", sensor=tick.sensor, tick_id=tick.tick_id)

    def handle(record: Record) -> None:
        if is_underway(record["dynamodb"]["NewImage"]):
            return  # The stream also has a record for each completed chunk.
        try:
            with_tries(lambda: dispatch(record))
        except StoreThrottledError as error:
            # Still pending: RECONCILE will dispatch it.
            subject = str(_keys(record).get("tick_id") or "")
            report(Outcome(Decision.DELAYED, str(error), subject), step="dispatch", tick_id=subject)

    def dead_letter(record: Record) -> object:
        # It must identify its tick: without keys, it is the whole record.
        keys = _keys(record)
        return {"treadle": "dispatch", "keys": keys} if keys else record

    return process_stream(records, handle, dead_letter, parts.inbox)


def _keys(record: Record) -> dict[str, Any]:
    return {name: value.get("S") for name, value in record.get("dynamodb", {}).get("Keys", {}).items()}


def _dispatchable(parts: DispatcherParts, records: list[dict[str, Any]]) -> dict[int, Tick]:
    """Return the ticks to dispatch together, by the `id` of their record."""
    found = {}
    for record in records:
        with suppress(Exception):  # One that cannot be read fails by itself, when it is handled.
            image = record["dynamodb"]["NewImage"]
            if not is_underway(image):
                tick = parts.read(_decoded(image))
                if tick.paused is None:
                    found[id(record)] = tick
    return found


def _dispatch_tick(parts: DispatcherParts, tick: Tick) -> None:
    if tick.paused is not None:
        parts.bus.publish([sensor_paused(tick)])
        return
    outcome = parts.dispatcher.dispatch(tick)
    report(outcome, step="dispatch", sensor=tick.sensor, tick_id=tick.tick_id)


def _decoded(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream's image with its binary values decoded, as the client returns them."""
    import base64

    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in image.items()
    }
