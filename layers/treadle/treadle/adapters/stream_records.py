"""Parses the records of streams, as Lambda receives them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from treadle.definitions.attribute_values import decoded_bytes, plain_attributes
from treadle.definitions.bounds import unicode_text
from treadle.definitions.stream_record import StreamRecord
from treadle.model.records import integer, text

Json = Mapping[str, Any]

_CHANGES = {"INSERT", "MODIFY", "REMOVE"}


def sequence_number(record: Json) -> str | None:
    """Return the number by which a batch response names a record; None if it has none."""
    for name, field in (("kinesis", "sequenceNumber"), ("dynamodb", "SequenceNumber")):
        part = record.get(name)
        found = part.get(field) if isinstance(part, Mapping) else None
        if isinstance(found, str) and found:
            return found
    return None


def stream_record(record: Json) -> StreamRecord:
    """Parse a record.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if a field is missing or has another form.
    """
    return _kinesis(record) if "kinesis" in record else _dynamodb(record)


def _kinesis(record: Json) -> StreamRecord:
    part = record["kinesis"]
    return StreamRecord(
        _filled(record["eventID"]),
        _arn(record),
        text(part["partitionKey"]),
        _filled(part["sequenceNumber"]),
        _time(part["approximateArrivalTimestamp"]),
        decoded_bytes(part["data"]),
    )


def _dynamodb(record: Json) -> StreamRecord:
    part, change = record["dynamodb"], text(record["eventName"])
    if change not in _CHANGES:
        msg = f"eventName is {change!r:.80}; it must be INSERT, MODIFY or REMOVE"
        raise ValueError(msg)
    return StreamRecord(
        _filled(record["eventID"]),
        _arn(record),
        json.dumps(part["Keys"], sort_keys=True, separators=(",", ":")),
        _filled(part["SequenceNumber"]),
        _time(part["ApproximateCreationDateTime"]),
        change=change,
        keys=plain_attributes(part["Keys"]),
        new=plain_attributes(part["NewImage"]) if part.get("NewImage") is not None else None,
        old=plain_attributes(part["OldImage"]) if part.get("OldImage") is not None else None,
    )


def _filled(value: object) -> str:
    """Return a text that is not empty and can be stored."""
    found = unicode_text(text(value))
    if not found:
        msg = "an id is empty"
        raise ValueError(msg)
    return found


def _arn(record: Json) -> str:
    arn = _filled(record["eventSourceARN"])
    if not arn.startswith("arn:") or "/" not in arn:
        msg = f"eventSourceARN is {arn!r:.80}; it must be the ARN of a stream"
        raise ValueError(msg)
    return arn


def _time(value: object) -> datetime:
    """Return the time of a record, which is in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"a time is {value!r:.40}; it must be a number"
        raise TypeError(msg)
    return datetime.fromtimestamp(integer(round(value * 1000)) / 1000, UTC)
