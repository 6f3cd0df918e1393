"""A worker: the process in which one sensor's function runs, as in Lambda, with an environment of its own."""

import importlib
import json
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from treadle.adapters.events import parse_sensor_event, parse_stream_record
from treadle.adapters.stream_records import sequence_number
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.definitions.errors import UnknownEventError
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.sensors import SensorDefinition
from treadle.dev.calls import Caller
from treadle.dev.loading import find_modules, sensor_handler
from treadle.dev.messages import STORES, Failed, Invoke, Load, Loaded, Response
from treadle.engine.assembly import Assembly, Stores
from treadle.entrypoints.evaluator import Infrastructure, SensorHandler
from treadle.integrations.alerts import channels
from treadle.integrations.alerts.formatting import default_subject
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.ports.deliveries import SecretStore
from treadle.ports.system import BlobStore
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.bus import NAMESPACE
from treadle.testing.deliveries import InMemorySecrets
from treadle.testing.instance import receives

_PACKAGES = f"{Path(importlib.__file__).parent}{os.sep}", "<frozen importlib"


@dataclass(slots=True)
class _Context:
    """What Lambda passes with an event."""

    function_name: str
    ends_at: float
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:local:000000000000:function:dev"
    aws_request_id: str = field(default_factory=lambda: RandomTokens().new())

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the timeout."""
        return max(0, int((self.ends_at - time.monotonic()) * 1000))


LOCAL_SECRET = "treadle-dev"  # noqa: S105 - of a function without endpoint
"""The secret of each webhook sensor."""


class _Local(Infrastructure):
    """The stores, queues and buckets of `treadle dev`.

    Args:
        caller: calls them.
        deployed_at: when `treadle dev` began.
    """

    def __init__(self, caller: Caller, deployed_at: int) -> None:
        self._caller = caller
        self._deployed_at = deployed_at

    def configured(self, definition: SensorDefinition, environment: Mapping[str, str]) -> SensorDefinition:
        definition = definition.configured(environment)
        if isinstance(definition, S3SensorDefinition):
            lister = self._caller.proxy("objects")
            definition = definition.with_lister(lister, SystemClock().now, lambda: self._deployed_at)
        return definition

    def inbox(self, origin: str, settings: Settings, *, is_needed: bool) -> Inbox:
        del settings, is_needed
        return Inbox(origin, self._caller.proxy("queue"), self._caller.proxy("dead_letters"))

    def secrets(self) -> SecretStore:
        return InMemorySecrets({os.environ["TREADLE_WEBHOOK_SECRET"]: (LOCAL_SECRET,)})

    def blobs(self, settings: Settings) -> BlobStore:
        del settings
        return InMemoryBlobStore()

    def assembly(self, settings: Settings) -> Assembly:
        settings.check()
        stores = SimpleNamespace(**{name: self._caller.proxy(name) for name in STORES})
        return Assembly(cast("Stores", stores), SystemClock(), RandomTokens(), NAMESPACE)


def serve(connection: Connection) -> None:
    """Load the function that the first message names, and execute invocations until the connection is closed."""
    load = cast("Load", connection.recv())
    os.environ.clear()
    os.environ.update(load.environment)
    os.chdir(load.folder)
    find_modules(load.folder, load.shared)
    channels.deliver = _show_alert
    try:
        handler = sensor_handler().on(_Local(Caller(connection), load.deployed_at))
        definition = handler.parts().sensor.definition
        connection.send(_described(handler))
    except BaseException as error:  # noqa: BLE001 - whatever the author's module raises
        connection.send(_failed(error))
        return
    with suppress(EOFError):
        while True:
            invocation = cast("Invoke", connection.recv())
            connection.send(_response(handler, definition, invocation))


def _described(handler: SensorHandler) -> Loaded:
    parts = handler.parts().sensor
    definition, settings = parts.definition, parts.settings
    is_s3 = isinstance(definition, S3SensorDefinition)
    return Loaded(
        definition.name,
        definition.kind,
        definition.description or "",
        tuple(definition.job_names),
        settings.default_status.value,
        settings.interval // 1000 or None,
        definition.takes_events or definition.is_woken or is_s3,
        definition.selection.buckets if isinstance(definition, S3SensorDefinition) else (),
        str(definition.active or ""),
    )


def _response(handler: SensorHandler, definition: SensorDefinition, invocation: Invoke) -> Response | Failed:
    event = dict(invocation.event)
    if "Records" in event and definition.consumes_stream:
        return _stream_response(handler, definition, event["Records"], invocation.seconds)
    if "Records" in event:
        event["Records"] = [each for each in event["Records"] if _passes(definition, each["body"])]
        if not event["Records"]:
            return Response({"batchItemFailures": []})
    try:
        context = _Context(definition.name, time.monotonic() + invocation.seconds)
        return Response(handler(event, context))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result of this invocation
        return _failed(error)


def _stream_response(
    handler: SensorHandler,
    definition: SensorDefinition,
    messages: Sequence[Mapping[str, Any]],
    seconds: float,
) -> Response | Failed:
    """Deliver the records that messages have, as a stream does; those from the first unfinished one on return."""
    kept = []
    for each in messages:
        body = json.loads(each["body"])
        with suppress(UnknownEventError):
            if receives(definition, parse_stream_record(body)):
                kept.append((each["messageId"], body))
    if not kept:
        return Response({"batchItemFailures": []})
    try:
        answer = handler(
            {"Records": [body for _, body in kept]}, _Context(definition.name, time.monotonic() + seconds)
        )
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result of this invocation
        return _failed(error)
    failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
    first = next((n for n, (_, body) in enumerate(kept) if sequence_number(body) in failed), len(kept))
    return Response({"batchItemFailures": [{"itemIdentifier": name} for name, _ in kept[first:]]})


def _passes(definition: SensorDefinition, body: str) -> bool:
    """Return whether the sensor's rule would send it this message."""
    message = json.loads(body)
    if "treadle" in message:
        return True
    if "eventSourceARN" in message:
        return False  # A record of a stream, which `_stream_response` delivers.
    try:
        return receives(definition, parse_sensor_event(message))
    except UnknownEventError:
        return True  # The handler reports it.


def _failed(error: BaseException) -> Failed:
    frames = traceback.extract_tb(error.__traceback__)
    ours = next(
        (
            number
            for number, frame in enumerate(frames)
            if frame.filename != __file__ and not frame.filename.startswith(_PACKAGES)
        ),
        len(frames),
    )
    text = "".join(traceback.format_list(frames[ours:]))
    [*lines] = traceback.format_exception_only(error)
    return Failed(lines[-1].strip(), text + "".join(lines[:-1]))


def _show_alert(channel: channels.Channel, context: RunFailureSensorContext) -> str:
    """Print an alert instead of sending it."""
    alert = {
        "alert": default_subject(context),
        "channel": channel.name,
        "run_id": context.dagster_run.run_id,
        "reason": context.failure_event.message,
    }
    print(json.dumps(alert), flush=True)  # noqa: T201 - a line of the function's log
    return f"Alert for {channel.name} shown, not sent: {default_subject(context)}."
