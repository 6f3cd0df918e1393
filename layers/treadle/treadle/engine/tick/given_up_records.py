"""The dead letter of a stream's record: the record itself, or where it is stored if it is too large for a message."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from treadle.ports.system import BlobStore

Json = Mapping[str, Any]

LARGEST_LETTER = 800_000
"""Characters. A message of SQS has at most 1 MiB; a record of Kinesis may have ten times as much."""

_STORED = "stored"


def letter_of(record: Json, sensor: str, blobs: BlobStore) -> str:
    """Return the dead letter of a record, after storing the record if it is large.

    Args:
        record: as it was received.
        sensor: the sensor's name.
        blobs: stores what the sensor may store.

    Raises:
        StoreError: if it could not be stored.
    """
    body = json.dumps(record)
    if len(body) <= LARGEST_LETTER:
        return body
    key = f"ticks/{sensor}/record-{hashlib.sha256(body.encode()).hexdigest()}.json"
    blobs.put(key, body.encode())
    named = {name: record[name] for name in ("eventID", "eventSource", "eventSourceARN") if name in record}
    return json.dumps({**named, _STORED: key})


def record_of(letter: Json, blobs: BlobStore) -> Json:
    """Return the record of a dead letter.

    Args:
        letter: the parsed dead letter.
        blobs: stores large records.

    Raises:
        StoreError: if the record was stored and cannot be read.
    """
    key = letter.get(_STORED)
    if not isinstance(key, str):
        return letter
    record: Json = json.loads(blobs.get(key))
    return record
