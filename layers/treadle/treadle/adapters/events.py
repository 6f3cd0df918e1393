"""From events as AWS sends them to the values that the engine knows; parsed once, here."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from treadle.definitions.assets import AssetKey, AssetMaterialization, AssetMaterialized
from treadle.definitions.errors import UnknownEventError
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import DagsterRun, RunFailure
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import moment_of
from treadle.engine.telling import ASSET_MATERIALIZED, RUN_STATUS_CHANGED, SOURCE

Json = Mapping[str, Any]
T = TypeVar("T")


def parse_sensor_event(event: Json) -> SensorEvent:
    """The event that an evaluator takes.

    Args:
        event: an EventBridge envelope.

    Raises:
        UnknownEventError: if no parser knows it, or a field is missing.
    """
    parsers: Mapping[tuple[str, str], Callable[[Json], SensorEvent]] = {
        ("aws.s3", "Object Created"): _object_created,
        (SOURCE, RUN_STATUS_CHANGED): _run_status,
        (SOURCE, ASSET_MATERIALIZED): asset_materialization,
    }
    return parse(event, parsers)


def parse(event: Json, parsers: Mapping[tuple[str, str], Callable[[Json], T]]) -> T:
    """What the parser of the event's source and kind makes of it.

    Args:
        event: an EventBridge envelope.
        parsers: by source and detail-type.

    Raises:
        UnknownEventError: if there is none for it, or a field is missing.
    """
    source, kind = str(event.get("source")), str(event.get("detail-type"))
    parser = parsers.get((source, kind))
    if parser is None:
        known = ", ".join(f"{a} / {b}" for a, b in parsers)
        msg = f"Nobody here knows events of {source} / {kind}; known are: {known}."
        raise UnknownEventError(msg)
    try:
        return parser(event)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"An event of {source} / {kind} lacks a field or has it in another form: {error!r}."
        raise UnknownEventError(msg) from error


def _object_created(event: Json) -> ObjectCreated:
    detail = event["detail"]
    stored = detail["object"]
    time = moment_of(event["time"])
    found = S3Object(
        bucket=str(detail["bucket"]["name"]),
        key=str(stored["key"]),
        etag=str(stored["etag"]).strip('"'),
        version=str(stored.get("version-id") or "null"),
        size=int(stored["size"]),
        last_modified=time,
    )
    return ObjectCreated(found, time, str(stored.get("sequencer", "")))


def _run_status(event: Json) -> RunStatusEvent:
    detail = event["detail"]
    location = _namespace(event)
    failure = detail.get("failure")
    status = DagsterRunStatus(detail["status"])
    run = DagsterRun(
        str(detail["run_id"]),
        str(detail["job"]),
        status,
        {str(name): str(value) for name, value in detail["tags"].items()},
        {},
        detail.get("run_key"),
        detail.get("sensor"),
        int(detail["attempt"]),
        detail.get("external_id"),
        RunFailure(str(failure["error"]), str(failure["cause"])) if failure else None,
        location,
    )
    time = moment_of(detail["time"])
    return RunStatusEvent(
        run, status, time, int(detail["attempt"]), int(detail["retry"]), int(detail["number"])
    )


def asset_materialization(event: Json) -> AssetMaterialized:
    """The materialization that an event of the bus tells of.

    Args:
        event: an EventBridge envelope.

    Raises:
        KeyError, TypeError, ValueError: if a field is missing or has another form.
        InvalidReportError: if what it says of the asset does not fit.
    """
    detail = event["detail"]
    _namespace(event)
    key = AssetKey.from_user_string(str(detail["asset_key"]))
    made = AssetMaterialization(key, detail["description"], detail["metadata"], detail["partition"])
    return AssetMaterialized(
        made,
        str(detail["id"]),
        int(detail["storage_id"]),
        moment_of(detail["time"]),
        detail["run_id"],
        int(detail["depth"]),
        str(detail["origin"]),
    )


def _namespace(event: Json) -> str:
    """Which stack an event is of, as far as its account and Region bear that out."""
    location = str(event["detail"]["namespace"])
    if not location.startswith(f"{event['account']}/{event['region']}/"):
        msg = f"it says that it is of {location}, and comes from {event['account']}/{event['region']}"
        raise ValueError(msg)
    return location
