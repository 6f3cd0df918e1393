"""The dead letter of a stream's record: the record itself, or where it is stored if it is too large for a message."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from treadle.definitions.errors import UnknownEventError
from treadle.ports.system import BlobStore

Json = Mapping[str, Any]

MAX_DEAD_LETTER = 800_000
"""Characters. A message of SQS has at most 1 MiB; a record of Kinesis may have ten times as much."""

_STORED = "stored"
_PARTS = {"kinesis", "dynamodb"}
_COMMANDS = {"treadle", "Records"}
"""What makes the function do something else than evaluate a record."""


def dead_letter_of(record: Json, sensor: str, blobs: BlobStore) -> str:
    """Return the dead letter of a record, after storing the record if it is large.

    Args:
        record: as it was received.
        sensor: the sensor's name.
        blobs: stores what the sensor may store.

    Raises:
        StoreError: if it could not be stored.
    """
    body = json.dumps(record)
    if len(body) <= MAX_DEAD_LETTER:
        return body
    key = f"{_folder(sensor)}{hashlib.sha256(body.encode()).hexdigest()}.json"
    blobs.put(key, body.encode())
    named = {name: record[name] for name in ("eventID", "eventSource", "eventSourceARN") if name in record}
    return json.dumps({**named, _STORED: key})


def record_of(dead_letter: Json, sensor: str, blobs: BlobStore) -> Json:
    """Return the record of a dead letter, which anything that may write to the queue can have sent.

    Args:
        dead_letter: the parsed dead letter.
        sensor: the sensor's name.
        blobs: stores large records.

    Raises:
        UnknownEventError: if it is no record, or stored where the sensor stores none.
        StoreError: if the record was stored and cannot be read.
    """
    key = dead_letter.get(_STORED)
    record: Any = dead_letter
    if isinstance(key, str) and key.startswith(_folder(sensor)):
        record = _parsed(blobs.get(key))
    if not isinstance(record, dict) or _PARTS.isdisjoint(record) or _COMMANDS & record.keys():
        msg = f"The dead letter of sensor {sensor} is no record of a stream, or does not name a stored one."
        raise UnknownEventError(msg)
    return record


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _folder(sensor: str) -> str:
    return f"ticks/{sensor}/record-"
