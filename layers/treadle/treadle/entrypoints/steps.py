"""The engine's components as Lambda handlers."""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from treadle.adapters.asset_reports import is_about_an_asset, parse_asset_event
from treadle.adapters.dynamodb.ticks import is_underway
from treadle.adapters.parameters import changed_entry
from treadle.adapters.status_events import parse_status_change
from treadle.bootstrap.steps import (
    DispatcherParts,
    RecorderParts,
    dispatcher_parts,
    launcher_parts,
    reconciler_parts,
    recorder_parts,
)
from treadle.definitions.errors import StoreThrottledError, UnknownEventError
from treadle.definitions.sensors import DEFAULT_CAP
from treadle.engine.dispatch.chunks import ChunkRequest, TickRequest
from treadle.engine.message_hops import hops_of
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.publish.bus_events import sensor_paused
from treadle.engine.reconcile.reconciler import Reconciled
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import (
    Handler,
    count,
    instrumented,
    logger,
    process_queue,
    put_sensor_metrics,
    remaining_seconds,
    report,
    send_record_to_dlq,
)
from treadle.model.ticks import Tick
from treadle.ports.deployment import COMMANDS

if TYPE_CHECKING:
    from treadle.operate.commands import Commands

DISPATCH_TRIES = 3
LAUNCH_WORKERS = 5
"""How many runs of a batch LAUNCH starts concurrently, as it mostly waits for DynamoDB and for targets."""

MAX_ATTEMPT = 10**9
"""The limit of a launch id's digits."""

MAX_NAME = 512
"""The maximum length of sensor names and tick ids, in characters."""


def dispatcher() -> Handler:
    """Return the handler of DISPATCH, for the ticks table's stream and the queue of chunks and whole ticks.

    It never fails a stream record, which would block those after it: after its own tries, key and reason go
    to the dead-letter queue.
    """
    parts = functools.cache(lambda: dispatcher_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        found, records = parts(), event["Records"]
        if not any(record.get("eventSource") == "aws:sqs" for record in records):
            return _dispatch_stream(found, records)

        def handle(body: Mapping[str, Any]) -> None:
            request = parse_dispatch(body)
            if isinstance(request, TickRequest):
                _dispatch_tick(found, found.dispatcher.committed(request.sensor, request.tick_id))
                return
            outcome = found.dispatcher.dispatch_chunk(request)
            report(outcome, step="dispatch", sensor=request.sensor, tick_id=request.tick_id)

        return process_queue(event, context, handle, found.inbox, kept_in_tables=True)

    return instrumented(handler)


def _dispatch_stream(parts: DispatcherParts, records: list[dict[str, Any]]) -> dict[str, Any]:
    for record in records:
        try:
            _with_tries(lambda image=record["dynamodb"]["NewImage"]: _dispatch_one(parts, image))
        except StoreThrottledError as error:
            # Still pending: RECONCILE will dispatch it.
            keys = record["dynamodb"].get("Keys", {})
            subject = str(keys.get("tick_id", {}).get("S", ""))
            report(Outcome(Decision.DELAYED, str(error), subject), step="dispatch", tick_id=subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, those behind it must go on
            keys = record.get("dynamodb", {}).get("Keys", {})
            # The dead letter must identify its tick: without keys, it has the whole record.
            named = {"treadle": "dispatch", "keys": {name: value.get("S") for name, value in keys.items()}}
            text = json.dumps(named if keys else record, default=str)
            failures = send_record_to_dlq(record, text, error, parts.inbox)
            if failures:
                return {"batchItemFailures": failures}
    return {"batchItemFailures": []}


def _with_tries(function: Any) -> None:
    for attempt in range(1, DISPATCH_TRIES + 1):
        try:
            function()
        except Exception as error:
            if attempt == DISPATCH_TRIES or not getattr(error, "retryable", False):
                raise
        else:
            return


def _dispatch_one(parts: DispatcherParts, image: dict[str, Any]) -> None:
    if is_underway(image):
        return  # The stream also has a record for each completed chunk.
    _dispatch_tick(parts, parts.read(_decoded(image)))


def _dispatch_tick(parts: DispatcherParts, tick: Tick) -> None:
    if tick.paused is not None:
        parts.bus.publish([sensor_paused(tick)])
        return
    report(parts.dispatcher.dispatch(tick), step="dispatch", sensor=tick.sensor, tick_id=tick.tick_id)


def _decoded(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream's image with its binary values decoded, as the client returns them."""
    import base64

    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in image.items()
    }


def parse_dispatch(body: Mapping[str, Any]) -> ChunkRequest | TickRequest:
    """Parse a message into a chunk of a tick, or the whole tick if it names no chunk.

    Raises:
        UnknownEventError: if it is malformed.
    """
    names = [body.get("sensor"), body.get("tick_id")]
    numbers = [body[name] for name in ("slice", "of") if name in body]
    if (
        body.get("treadle") != "dispatch"
        or not all(map(_is_name, names))
        or not all(type(number) is int and 0 <= number <= DEFAULT_CAP for number in numbers)
        or len(numbers) == 1
    ):
        form = "{treadle: dispatch, sensor, tick_id}, with slice and of for one chunk of the tick"
        msg = f"The dispatch queue accepts {form}, but received {_shown(body)}."
        raise UnknownEventError(msg)
    sensor, tick_id = map(str, names)
    if not numbers:
        return TickRequest(sensor, tick_id)
    return ChunkRequest(sensor, tick_id, *map(int, numbers))


def launcher() -> Handler:
    """Return the handler of LAUNCH, for the launch queue."""
    parts = functools.cache(lambda: launcher_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        launch, inbox = parts()

        def start(request: LaunchRequest) -> Outcome:
            return launch.launch(request, remaining_seconds(context))

        with ThreadPoolExecutor(LAUNCH_WORKERS, "launch") as pool:
            begun: dict[LaunchRequest, Future[Outcome]] = {}

            def begin(requests: Sequence[LaunchRequest]) -> None:
                begun.update({each: pool.submit(start, each) for each in dict.fromkeys(requests)})

            def handle(request: LaunchRequest) -> None:
                # A duplicate message is launched again, after the first one.
                outcome = begun.pop(request).result() if request in begun else start(request)
                report(outcome, step="launch", run_id=request.run_id, job=request.job)

            return process_queue(event, context, handle, inbox, parse_launch, begin, kept_in_tables=True)

    return instrumented(handler)


def parse_launch(body: Mapping[str, Any]) -> LaunchRequest:
    """Parse a launch message.

    Raises:
        UnknownEventError: if it is malformed.
    """
    run_id, attempt, job = body.get("run_id"), body.get("attempt"), body.get("job")
    # True is an int in Python.
    is_number = type(attempt) is int and 0 < attempt <= MAX_ATTEMPT
    is_launch = body.get("treadle") == "launch" and is_number
    if not (is_launch and _is_name(run_id) and _is_name(job)):
        msg = (
            "The launch queue accepts {treadle: launch, run_id, attempt, job}, but received "
            f"{_shown(body)}: run_id and job must be strings of 1 to {MAX_NAME} characters, and "
            "attempt a whole number from 1."
        )
        raise UnknownEventError(msg)
    return LaunchRequest(str(run_id), int(str(attempt)), str(job), hops_of(body))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME


def _shown(body: Mapping[str, Any]) -> str:
    """Return the fields of a message that identify it, truncated."""
    return ", ".join(f"{name}={body[name]!r:.40}" for name in sorted(body))[:300] or "an empty object"


RECONCILE_MARGIN_SECONDS = 10.0
"""Reserved from RECONCILE's time limit, to finish what it has begun."""

_RECONCILED: Mapping[str, str] = {
    "dispatched": metric_names.TICKS_RECOVERED,
    "relaunched": metric_names.LAUNCHES_RESENT,
    "described": metric_names.RUNS_POLLED,
    "observed": metric_names.RUNS_OBSERVED,
    "failed": metric_names.RECONCILE_FAILURES,
    "unreadable": metric_names.UNREADABLE_RECORDS,
    "registered": metric_names.ENTRIES_REGISTERED,
    "invalid": metric_names.INVALID_ENTRIES,
    "held": metric_names.HELD_REQUESTS,
    "refused": metric_names.REFUSED_REQUESTS,
}


def reconciler() -> Handler:
    """Return the handler of RECONCILE.

    It handles changes of the registry and operators' commands; any other event is its schedule.
    """
    parts = functools.cache(lambda: reconciler_parts(os.environ))
    commands = functools.cache(_commands)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if event.get("treadle") in COMMANDS:
            return commands().answer(event)
        made, seconds = parts(), remaining_seconds(context) - RECONCILE_MARGIN_SECONDS
        entry = changed_entry(event, made.engine)
        if entry is None:
            found = made.reconciler.reconcile(seconds)
        else:
            path, is_deleted = entry
            found = made.reconciler.register(path, seconds, is_deleted=is_deleted)
        for what, name in _RECONCILED.items():
            if number := getattr(found, what):
                count(name, number)
        if found.late:
            count(metric_names.SENSORS_LATE, len(found.late))
            for sensor in found.late:
                put_sensor_metrics(sensor, metric_names.SENSOR_LATE, 1, "Count")
        level = logger().info if found != Reconciled() else logger().debug
        level(str(found), extra={"step": "reconcile", **asdict(found)})
        return asdict(found)

    return instrumented(handler)


def _commands() -> "Commands":
    # Imported here because hardly any pass needs them.
    from treadle.bootstrap.commands import command_parts

    return command_parts(os.environ)


def recorder() -> Handler:
    """Return the handler of RECORD, for status events of targets, and reports and events of assets."""
    parts = functools.cache(lambda: recorder_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        found = parts()

        return process_queue(event, context, functools.partial(_record, found), found.inbox)

    return instrumented(handler)


def _record(parts: RecorderParts, body: Mapping[str, Any]) -> None:
    if is_about_an_asset(body):
        report(parts.assets.record(parse_asset_event(body)), step="record")
        return
    change = parse_status_change(body)
    report(parts.runs.record(change), step="record", execution=change.external_id)
