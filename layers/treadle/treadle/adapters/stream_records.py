"""Parses the records of streams, as Lambda receives them."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from treadle.definitions.bounds import unicode_text
from treadle.definitions.stream_record import StreamRecord
from treadle.model.records import integer, text

Json = Mapping[str, Any]

_CHANGES = {"INSERT", "MODIFY", "REMOVE"}

_MOST_DIGITS = 130
"""More than the magnitude of a number may have in DynamoDB ("Data types" in its developer guide)."""


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
        _bytes(part["data"]),
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
        keys=_item(part["Keys"]),
        new=_item(part["NewImage"]) if part.get("NewImage") is not None else None,
        old=_item(part["OldImage"]) if part.get("OldImage") is not None else None,
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


def _item(attributes: Json) -> dict[str, Any]:
    """Return an item's attributes as plain values ("AttributeValue" in the DynamoDB Streams API reference)."""
    return {text(name): _value(value) for name, value in attributes.items()}


def _value(value: Json) -> Any:
    [(kind, given)] = value.items()
    return _KINDS[kind](given)


def _number(value: object) -> int | float | Decimal:
    """Return a number of DynamoDB, which has up to 38 digits, without losing any."""
    exact = Decimal(text(value))
    if not exact.is_finite() or abs(exact.adjusted()) > _MOST_DIGITS:
        msg = f"a number is {value!r:.40}"
        raise ValueError(msg)
    if exact == exact.to_integral_value():
        return int(exact)
    return float(exact) if Decimal(repr(float(exact))) == exact else exact


def _bytes(value: object) -> bytes:
    try:
        return base64.b64decode(text(value), validate=True)
    except binascii.Error as error:
        msg = f"binary data is not in Base64: {error}"
        raise ValueError(msg) from error


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        msg = f"a truth value is {value!r:.40}"
        raise TypeError(msg)
    return value


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "S": text,
    "N": _number,
    "B": _bytes,
    "BOOL": _bool,
    "NULL": lambda _: None,
    "M": _item,
    "L": lambda values: [_value(each) for each in values],
    "SS": lambda values: {text(each) for each in values},
    "NS": lambda values: {_number(each) for each in values},
    "BS": lambda values: {_bytes(each) for each in values},
}
