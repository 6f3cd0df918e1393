"""Treadle's own EventBridge bus."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.definitions.errors import StoreError
from treadle.engine.telling import SOURCE
from treadle.ports.system import BusEvent

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

_BATCH = 10
_MAX_BYTES = 250_000
"""What a request may have in all; EventBridge once took 256 KB, and takes more by now."""

_TRIES = 4


class EventBridgeBus:
    """A `Bus` on EventBridge.

    Args:
        name: the bus's name or ARN.
        source: who speaks.
    """

    def __init__(self, name: str, source: str = SOURCE) -> None:
        self._name = name
        self._source = source

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Put the events, up to ten in a request; of a request that fails in part, those that failed again."""
        entries: list[PutEventsRequestEntryTypeDef] = [
            {
                "EventBusName": self._name,
                "Source": self._source,
                "DetailType": event.kind,
                "Detail": json.dumps(event.detail),
            }
            for event in events
        ]
        batch: list[PutEventsRequestEntryTypeDef] = []
        for entry in entries:
            if batch and (len(batch) == _BATCH or sum(map(_size, (*batch, entry))) > _MAX_BYTES):
                self._put(batch)
                batch = []
            batch.append(entry)
        if batch:
            self._put(batch)

    def _put(self, entries: "list[PutEventsRequestEntryTypeDef]") -> None:
        words = ""
        for _ in range(_TRIES):
            try:
                answer = client("events").put_events(Entries=entries)
            except (ClientError, BotoCoreError) as error:
                msg = f"The bus {self._name} did not take {len(entries)} events: {error}"
                raise StoreError(msg) from error
            results = zip(entries, answer["Entries"], strict=True)
            refused = [(entry, result) for entry, result in results if result.get("ErrorCode")]
            if not refused:
                return
            entries = [entry for entry, _ in refused]
            words = refused[0][1].get("ErrorMessage") or refused[0][1].get("ErrorCode", "")
        msg = f"The bus {self._name} refused {len(entries)} events {_TRIES} times: {words}"
        raise StoreError(msg)


def _size(entry: "PutEventsRequestEntryTypeDef") -> int:
    # Of ASCII alone, as JSON is written here.
    return sum(len(str(value)) for value in entry.values())
