"""Parses AWS events into the engine's values."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import (
    AssetMaterialization,
    AssetMaterialized,
    AssetObservation,
    AssetObserved,
)
from treadle.definitions.bounds import unicode_text
from treadle.definitions.errors import InvalidReportError, UnknownEventError
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import DagsterRun, RunFailure
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import timestamp_of
from treadle.engine.publish.bus_events import ASSET_MATERIALIZED, RUN_STATUS_CHANGED, SOURCE
from treadle.model.records import integer, text, text_or_none, texts

if TYPE_CHECKING:
    from treadle.definitions.bus_event import EventBridgeEvent
    from treadle.definitions.queue_message import QueueMessage
    from treadle.definitions.stream_record import StreamRecord

Json = Mapping[str, Any]
T = TypeVar("T")


def parse_sensor_event(event: Json) -> SensorEvent:
    """Parse the event of an evaluator.

    Args:
        event: an EventBridge envelope.

    Raises:
        UnknownEventError: if no parser accepts it, or a field is missing.
    """
    parsers: Mapping[tuple[str, str], Callable[[Json], SensorEvent]] = {
        ("aws.s3", "Object Created"): _object_created,
        (SOURCE, RUN_STATUS_CHANGED): _run_status,
        (SOURCE, ASSET_MATERIALIZED): asset_materialization,
    }
    return parse(event, parsers)


def parse_any_event(event: Json) -> "EventBridgeEvent":
    """Parse an event whose sensor takes events of any source and detail-type.

    Args:
        event: an EventBridge envelope.

    Raises:
        UnknownEventError: if a field is missing or has another form.
    """
    return _parsed(event, _any_event)


def parse_message_record(record: Json) -> "QueueMessage":
    """Parse a message of a queue, as Lambda receives it; its body may be any text.

    Args:
        record: one of the records of SQS's event ("Using Lambda with Amazon SQS" in the Lambda developer guide).

    Raises:
        UnknownEventError: if a field is missing or has another form.
    """
    return _parsed(record, _message_record)


def parse_stream_record(record: Json) -> "StreamRecord":
    """Parse a record of a stream, as Lambda receives it.

    Args:
        record: one of the records of the event ("Using Lambda to process records from Amazon Kinesis Data Streams" and
            "Using AWS Lambda with Amazon DynamoDB" in the Lambda developer guide).

    Raises:
        UnknownEventError: if a field is missing or has another form.
    """
    # Imported here because most sensors take no records.
    from treadle.adapters.stream_records import stream_record

    return _parsed(record, stream_record)


def parse(event: Json, parsers: Mapping[tuple[str, str], Callable[[Json], T]]) -> T:
    """Apply the parser of the event's source and detail-type.

    Args:
        event: an EventBridge envelope.
        parsers: by source and detail-type.

    Raises:
        UnknownEventError: if there is no parser, or a field is missing or has another form.
        InvalidReportError: if a parser finds the content of a report invalid.
    """
    source, kind = _type_of(event)
    parser = parsers.get((source, kind))
    if parser is None:
        known = ", ".join(f"{a} / {b}" for a, b in parsers)
        msg = f"Unknown event type {source} / {kind}; known types: {known}."
        raise UnknownEventError(unicode_text(msg))
    return _parsed(event, parser)


def _parsed(event: Json, parser: Callable[[Json], T]) -> T:
    try:
        return parser(event)
    except (UnknownEventError, InvalidReportError):
        raise
    except Exception as error:
        # A parser reads values of any shape: the errors it may raise cannot be listed.
        error_text = f"{error!r:.300}".encode(errors="backslashreplace").decode()
        source, kind = _type_of(event)
        msg = f"An event of type {source} / {kind} has a missing or malformed field: {error_text}."
        raise UnknownEventError(unicode_text(msg)) from error


def _type_of(event: Json) -> tuple[str, str]:
    source = event.get("source") or event.get("eventSource")
    return f"{source!s:.100}", f"{event.get('detail-type') or event.get('eventName')!s:.100}"


def _message_record(record: Json) -> "QueueMessage":
    # Imported here because most sensors take no messages.
    from treadle.definitions.queue_message import QueueMessage

    attributes = record["attributes"]
    sent = datetime.fromtimestamp(integer(int(attributes["SentTimestamp"])) / 1000, UTC)
    given = record.get("messageAttributes", {}).items()
    return QueueMessage(
        text(record["messageId"]),
        text(record["body"]),
        text(record["eventSourceARN"]).rpartition(":")[2],
        sent,
        int(attributes.get("ApproximateReceiveCount", 1)),
        {name: each["stringValue"] for name, each in given if each.get("stringValue") is not None},
        text_or_none(attributes.get("MessageGroupId")),
        text_or_none(attributes.get("MessageDeduplicationId")),
    )


def _any_event(event: Json) -> "EventBridgeEvent":
    # Imported here because most sensors watch no such events.
    from treadle.definitions.bus_event import EventBridgeEvent

    detail, resources = event["detail"], event.get("resources", [])
    if not isinstance(detail, dict):
        msg = f"detail is {detail!r:.80}; it must be an object"
        raise TypeError(msg)
    names = ("source", "detail-type", "id", "account", "region")
    source, detail_type, event_id, account, region = (unicode_text(text(event[name])) for name in names)
    return EventBridgeEvent(
        source,
        detail_type,
        detail,
        event_id,
        time_of(event["time"]),
        account,
        region,
        tuple(text(each) for each in resources),
    )


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
    retry, number, will_retry = (
        integer(detail["retry"]),
        integer(detail["number"]),
        detail.get("will_retry") is True,
    )
    return RunStatusEvent(run, status, time, attempt, retry, number, will_retry)


def asset_materialization(event: Json) -> AssetMaterialized:
    """Parse the materialization of a bus event; raises as `asset_observation` does."""
    return AssetMaterialized(*_asset_event(event, AssetMaterialization))


def asset_observation(event: Json) -> AssetObserved:
    """Parse the observation of a bus event.

    Args:
        event: an EventBridge envelope.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if a field is missing or has another form.
        InvalidReportError: if the description of the asset is invalid.
    """
    return AssetObserved(*_asset_event(event, AssetObservation))


Kind = TypeVar("Kind", AssetMaterialization, AssetObservation)


def _asset_event(event: Json, kind: type[Kind]) -> tuple[Kind, str, int, datetime, str | None, int, str]:
    detail = event["detail"]
    _namespace(event)
    key = AssetKey.from_escaped_user_string(text(detail["asset_key"]))
    reported = kind.stored(
        key,
        detail["description"],
        detail["metadata"],
        detail["partition"],
        detail.get("metadata_types"),
        detail.get("tags"),
    )
    return (
        reported,
        text(detail["id"]),
        integer(detail["storage_id"]),
        time_of(detail["time"]),
        text_or_none(detail["run_id"]),
        integer(detail["depth"]),
        text(detail["origin"]),
    )


def time_of(value: object) -> datetime:
    """Parse a time that can be stored.

    Raises:
        TypeError, ValueError: if it is not such a time.
    """
    return timestamp_of(text(value))


def _namespace(event: Json) -> str:
    """Return the namespace of an event, after checking it against the event's account and Region."""
    location = text(event["detail"]["namespace"])
    if not location.startswith(f"{event['account']}/{event['region']}/"):
        msg = f"it names {location}, but comes from {event['account']}/{event['region']}"
        raise ValueError(msg)
    return location
