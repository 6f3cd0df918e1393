"""From events as AWS sends them to the values that the engine knows; parsed once, here."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from treadle.definitions.assets import AssetKey, AssetMaterialization, AssetMaterialized
from treadle.definitions.bounds import unicode_text
from treadle.definitions.errors import InvalidReportError, UnknownEventError
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import DagsterRun, RunFailure
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.bus_events import ASSET_MATERIALIZED, RUN_STATUS_CHANGED, SOURCE
from treadle.engine.identity import timestamp_of
from treadle.ports.records import integer, text, text_or_none, texts

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
        UnknownEventError: if there is none for it, or a field is missing or has another form.
        InvalidReportError: if a parser says that what is reported does not fit.
    """
    source, kind = f"{event.get('source')!s:.100}", f"{event.get('detail-type')!s:.100}"
    parser = parsers.get((source, kind))
    if parser is None:
        known = ", ".join(f"{a} / {b}" for a, b in parsers)
        msg = f"Unknown event type {source} / {kind}; known types: {known}."
        raise UnknownEventError(unicode_text(msg))
    try:
        return parser(event)
    except (UnknownEventError, InvalidReportError):
        raise
    except Exception as error:
        # A parser looks into values of any shape: what it raises then is no list that anybody could keep.
        words = f"{error!r:.300}".encode(errors="backslashreplace").decode()
        msg = f"An event of type {source} / {kind} has a missing or malformed field: {words}."
        raise UnknownEventError(msg) from error


def _object_created(event: Json) -> ObjectCreated:
    detail = event["detail"]
    stored = detail["object"]
    time = time_of(event["time"])
    found = S3Object(
        bucket=text(detail["bucket"]["name"]),
        key=text(stored["key"]),
        etag=text(stored["etag"]).strip('"'),
        version=text(stored.get("version-id") or "null"),
        size=integer(stored["size"]),
        last_modified=time,
    )
    return ObjectCreated(found, time, text(stored.get("sequencer", "")))


def _run_status(event: Json) -> RunStatusEvent:
    detail = event["detail"]
    location = _namespace(event)
    failure = detail.get("failure")
    status = DagsterRunStatus(detail["status"])
    attempt = integer(detail["attempt"], 1)
    run = DagsterRun(
        text(detail["run_id"]),
        text(detail["job"]),
        status,
        texts(detail["tags"]),
        {},
        text_or_none(detail.get("run_key")),
        text_or_none(detail.get("sensor")),
        attempt,
        text_or_none(detail.get("external_id")),
        RunFailure(text(failure["error"]), text(failure["cause"])) if failure else None,
        location,
    )
    time = time_of(detail["time"])
    return RunStatusEvent(run, status, time, attempt, integer(detail["retry"]), integer(detail["number"]))


def asset_materialization(event: Json) -> AssetMaterialized:
    """The materialization that an event of the bus tells of.

    Args:
        event: an EventBridge envelope.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if a field is missing or has another form.
        InvalidReportError: if what it says of the asset does not fit.
    """
    detail = event["detail"]
    _namespace(event)
    key = AssetKey.from_user_string(text(detail["asset_key"]))
    made = AssetMaterialization(key, detail["description"], detail["metadata"], detail["partition"])
    return AssetMaterialized(
        made,
        text(detail["id"]),
        integer(detail["storage_id"]),
        time_of(detail["time"]),
        text_or_none(detail["run_id"]),
        integer(detail["depth"]),
        text(detail["origin"]),
    )


def time_of(value: object) -> datetime:
    """A time that can be kept.

    Raises:
        TypeError, ValueError: if it is none.
    """
    return timestamp_of(text(value))


def _namespace(event: Json) -> str:
    """Which stack an event is of, as far as its account and Region bear that out."""
    location = text(event["detail"]["namespace"])
    if not location.startswith(f"{event['account']}/{event['region']}/"):
        msg = f"it names {location}, but comes from {event['account']}/{event['region']}"
        raise ValueError(msg)
    return location
