"""API operations of a sensor's own function: preview and tick."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from treadle.console.api import NAMES, ApiRequest, Json, Operation, Schema
from treadle.console.routes.errors import not_found
from treadle.console.routes.params import TIME_SCHEMA, parsed_time
from treadle.console.schemas import KEY, MAYBE_TEXT, TEXT, record
from treadle.console.type_schemas import shape
from treadle.definitions.contexts import MAX_CURSOR_BYTES
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.objects import each_of
from treadle.engine.outcomes import Decision
from treadle.engine.tick.preview import STORED
from treadle.engine.tick.schedule import deadline_message
from treadle.model.assets import AssetEvent
from treadle.model.deployment import DeployedSensor
from treadle.operate.invoke import event_of_asset, event_of_run
from treadle.operate.overview import deployed_sensor
from treadle.operate.views import plain_json

BUCKET, NAMESPACE = "TREADLE_S3_BUCKET", "TREADLE_NAMESPACE"
MOST_OBJECT_BYTES = 2**50


def preview(request: ApiRequest) -> Json:
    """Preview an evaluation."""
    deployed, body = _deployed(request), request.body
    event, namespace = body.get("event"), deployed.settings.get(NAMESPACE, "")
    if "object" in body:
        event = _created(deployed, body["object"], request.now)
    elif "run_id" in body:
        with not_found():
            run = request.parts.runs.get(body["run_id"])
        event = event_of_run(run, namespace)
    elif "asset_key" in body:
        event = event_of_asset(_newest(request, body["asset_key"]), namespace)
    elif "deadline" in body:
        event = deadline_message(parsed_time(request, body["deadline"]))
    previewed = request.parts.direct.preview(deployed.name, cursor=body.get("cursor", STORED), event=event)
    result: Json = plain_json(previewed)
    return result


def _newest(request: ApiRequest, asset_key: str) -> AssetEvent:
    """Return the newest event of an asset."""
    events = request.parts.assets.events(asset_key, limit=1).events
    if not events:
        raise NotFoundError(f"Asset {asset_key!r} has no events. Write its key as its parts, joined by '/'.")
    return events[0]


def tick_now(request: ApiRequest) -> Json:
    """Evaluate a sensor now."""
    result: Json = plain_json(request.parts.direct.tick(_deployed(request).name))
    return result


def _deployed(request: ApiRequest) -> DeployedSensor:
    with not_found():
        return deployed_sensor(request.parts.deployment, request.path["sensor"])


def _created(deployed: DeployedSensor, stored: Mapping[str, object], now: int) -> Mapping[str, object]:
    """Build the event of an object in a bucket of the sensor, as EventBridge delivers it."""
    buckets = each_of(deployed.settings.get(BUCKET, ""))
    facts = dict(stored)
    bucket = facts.pop("bucket", buckets[0])
    if not all(buckets):
        raise CommandRefusedError(
            f"Sensor {deployed.name} does not watch a bucket: preview an event or a cursor."
        )
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": datetime.fromtimestamp(now / 1000, UTC).isoformat(),
        "detail": {"bucket": {"name": bucket}, "object": facts},
    }


_OBJECT: Schema = record(
    {
        "key": KEY,
        "bucket": {**TEXT, "description": "One of the sensor's buckets; by default the first."},
        "etag": {"type": "string", "maxLength": 128, "default": "preview"},
        "size": {"type": "integer", "minimum": 0, "maximum": MOST_OBJECT_BYTES, "default": 0},
        "version-id": {"type": "string", "maxLength": 1024},
    },
    required=("key",),
)
_EVALUATED: Schema = {
    "type": "object",
    "description": "The record that it would leave.",
    "required": [
        "status",
        "reason",
        "error",
        "requests",
        "existing_keys",
        "rejected",
        "asset_events",
        "dynamic_partitions_request_results",
        "log",
    ],
}
_REFUSED = {
    HTTPStatus.NOT_FOUND: "The sensor, run or asset does not exist.",
    HTTPStatus.CONFLICT: "It evaluates only events, or does not watch a bucket; or its function failed or did not respond.",
}

OPERATIONS = (
    Operation(
        "POST",
        "/api/sensors/<sensor>/preview",
        "What an evaluation would do, with a cursor, or of an event, an object, a run, an asset or a deadline; nothing is committed or started.",
        preview,
        record({"tick": _EVALUATED, "cursor_before": MAYBE_TEXT, "cursor_after": MAYBE_TEXT}),
        body={
            **record(
                {
                    "cursor": {**MAYBE_TEXT, "maxLength": MAX_CURSOR_BYTES},
                    "event": {"type": "object", "description": "The event, as EventBridge delivers it."},
                    "object": _OBJECT,
                    "run_id": {**NAMES["run_id"], "description": "A run whose last status it receives."},
                    "asset_key": {**KEY, "description": "An asset whose newest event it receives."},
                    "deadline": TIME_SCHEMA,
                },
                required=(),
            ),
            # At most one of them; none for the stored cursor.
            "maxProperties": 1,
        },
        refusals=_REFUSED,
    ),
    Operation(
        "POST",
        "/api/sensors/<sensor>/tick",
        "Evaluate now, regardless of hours and interval; still one tick at a time.",
        tick_now,
        record({"decision": shape(Decision), "reason": TEXT, "tick_id": MAYBE_TEXT}),
        body=record({}),
        refusals=_REFUSED,
    ),
)
