"""The engine's steps as Lambda handlers."""

import contextlib
import functools
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from treadle.adapters.asset_reports import is_about_an_asset, parse_asset_event
from treadle.adapters.dynamodb.ticks import is_underway
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
from treadle.engine.hops import hops_of
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.reconcile import Reconciled
from treadle.engine.slices import SliceRequest, TickRequest
from treadle.engine.telling import sensor_paused
from treadle.entrypoints.handler import (
    Handler,
    bury,
    instrumented,
    logger,
    metrics,
    parse_body,
    process_queue,
    remaining_seconds,
    report,
)
from treadle.ports.ticks import Tick

DISPATCH_TRIES = 3
LAUNCH_WORKERS = 5
"""LAUNCH waits for DynamoDB and for targets most of its time, so it starts so many runs of a batch at a time."""

MAX_NAME = 512
"""No sensor's name and no tick id is longer, in characters."""


def dispatcher() -> Handler:
    """The handler of DISPATCH: inserts of the ticks table's stream, and the queue of slices and of whole ticks.

    It never fails a record of the stream, which would hold up those behind it: after its own tries, key
    and reason go to the dead-letter queue.
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
            outcome = found.dispatcher.dispatch_slice(request)
            report(outcome, step="dispatch", sensor=request.sensor, tick_id=request.tick_id)

        return process_queue(event, context, handle, found.inbox)

    return instrumented(handler)


def _dispatch_stream(parts: DispatcherParts, records: list[dict[str, Any]]) -> dict[str, Any]:
    for record in records:
        try:
            _with_tries(lambda image=record["dynamodb"]["NewImage"]: _dispatch_one(parts, image))
        except StoreThrottledError as error:
            # Still pending: RECONCILE comes to it.
            keys = record["dynamodb"].get("Keys", {})
            subject = keys.get("tick_id", {}).get("S", "")
            report(Outcome(Decision.DELAYED, str(error), subject), step="dispatch", tick_id=subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, those behind it must go on
            keys = record.get("dynamodb", {}).get("Keys", {})
            # Whoever reads the letter needs to know which tick it was: without keys, all there is.
            named = {"treadle": "dispatch", "keys": {name: value.get("S") for name, value in keys.items()}}
            bury(
                json.dumps(named if keys else record, default=str),
                error,
                parts.inbox.dead_letters,
                parts.inbox.origin,
            )
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
        return  # The stream also tells of each slice that is noted.
    _dispatch_tick(parts, parts.read(_decoded(image)))


def _dispatch_tick(parts: DispatcherParts, tick: Tick) -> None:
    if tick.paused is not None:
        parts.bus.publish([sensor_paused(tick)])
        return
    report(parts.dispatcher.dispatch(tick), step="dispatch", sensor=tick.sensor, tick_id=tick.tick_id)


def _decoded(image: Mapping[str, Any]) -> dict[str, Any]:
    """A stream's image with its binary values decoded, as the client gives them."""
    import base64

    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in image.items()
    }


def parse_dispatch(body: Mapping[str, Any]) -> SliceRequest | TickRequest:
    """The slice of a tick that a message names, or the whole tick if it names no slice.

    Raises:
        UnknownEventError: if it names neither.
    """
    names = [body.get("sensor"), body.get("tick_id")]
    numbers = [body[name] for name in ("slice", "of") if name in body]
    if (
        body.get("treadle") != "dispatch"
        or not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME for name in names)
        or not all(type(number) is int and 0 <= number <= DEFAULT_CAP for number in numbers)
        or len(numbers) == 1
    ):
        form = "{treadle: dispatch, sensor, tick_id}, with slice and of for one slice of the tick"
        msg = f"The dispatch queue takes {form}, and got keys {sorted(body)}."
        raise UnknownEventError(msg)
    sensor, tick_id = map(str, names)
    if not numbers:
        return TickRequest(sensor, tick_id)
    return SliceRequest(sensor, tick_id, *map(int, numbers))


def launcher() -> Handler:
    """The handler of LAUNCH: the launch queue."""
    parts = functools.cache(lambda: launcher_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        launch, inbox = parts()

        def start(request: LaunchRequest) -> Outcome:
            return launch.launch(request, remaining_seconds(context))

        with ThreadPoolExecutor(LAUNCH_WORKERS, "launch") as pool:
            begun = {request: pool.submit(start, request) for request in _launches(event["Records"])}

            def handle(body: Mapping[str, Any]) -> None:
                request = parse_launch(body)
                # A message that is there twice is launched twice, one after the other.
                outcome = begun.pop(request).result() if request in begun else start(request)
                report(outcome, step="launch", run_id=request.run_id)

            return process_queue(event, context, handle, inbox)

    return instrumented(handler)


def _launches(records: Iterable[Mapping[str, Any]]) -> list[LaunchRequest]:
    """What messages ask for, each once; what is no launch message is met once more, and buried then."""
    found: dict[LaunchRequest, None] = {}
    for record in records:
        with contextlib.suppress(UnknownEventError):
            found[parse_launch(parse_body(record["body"]))] = None
    return list(found)


def parse_launch(body: Mapping[str, Any]) -> LaunchRequest:
    """The attempt that a launch message names.

    Raises:
        UnknownEventError: if it is no launch message.
    """
    run_id, attempt, job = body.get("run_id"), body.get("attempt"), body.get("job")
    is_launch = body.get("treadle") == "launch" and isinstance(attempt, int)
    if not (is_launch and isinstance(run_id, str) and isinstance(job, str)):
        msg = (
            f"The launch queue takes {{treadle: launch, run_id, attempt, job}}, and got keys {sorted(body)}."
        )
        raise UnknownEventError(msg)
    return LaunchRequest(run_id, int(str(attempt)), job, hops_of(body))


RECONCILE_MARGIN_SECONDS = 10.0
"""Kept of RECONCILE's time limit, for what it has begun."""


def reconciler() -> Handler:
    """The handler of RECONCILE: a schedule, whatever its event says."""
    parts = functools.cache(lambda: reconciler_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        del event
        found = parts().reconcile(remaining_seconds(context) - RECONCILE_MARGIN_SECONDS)
        for what in ("dispatched", "relaunched", "described", "observed", "failed"):
            if getattr(found, what):
                metrics().add_metric(f"reconcile.{what}", MetricUnit.Count, getattr(found, what))
        if found.held:
            metrics().add_metric("dispatch.HELD", MetricUnit.Count, found.held)
        if found.refused:
            metrics().add_metric("refused", MetricUnit.Count, found.refused)
        level = logger().info if found != Reconciled() else logger().debug
        level(str(found), extra={"step": "reconcile", **asdict(found)})
        return asdict(found)

    return instrumented(handler)


def recorder() -> Handler:
    """The handler of RECORD: state-change events of targets, and what is told of assets."""
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
