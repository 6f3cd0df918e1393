"""The engine's EventBridge bus."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.definitions.errors import StoreError, StoreRejectedError
from treadle.engine.publish.bus_events import SOURCE
from treadle.model.messages import BusEvent

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

_BATCH = 10
_MAX_BYTES = 250_000
"""Maximum bytes of one request; EventBridge's limit was 256 KB when this was chosen, and is higher now."""

_TRIES = 4

_REJECTED = (
    "ValidationException",
    "RequestEntityTooLarge",
    "InvalidArgument",
    "MalformedDetail",
    "RequestSizeExceeded",
)
"""Errors of a request or an entry that no retry fixes (PutEvents in EventBridge's API reference)."""


class EventBridgeBus:
    """A `Bus` on EventBridge.

    Args:
        name: the bus's name or ARN.
        source: the `Source` of its events.
    """

    def __init__(self, name: str, source: str = SOURCE) -> None:
        self._name = name
        self._source = source

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Put events, up to ten per request; after a partial failure, only the failed ones are retried.

        An event that EventBridge rejects does not block the others.
        """
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
        rejected: list[str] = []
        for entry in entries:
            if batch and (len(batch) == _BATCH or sum(map(_size, (*batch, entry))) > _MAX_BYTES):
                rejected += self._put(batch)
                batch = []
            batch.append(entry)
        if batch:
            rejected += self._put(batch)
        if rejected:
            msg = (
                f"The bus {self._name} rejected {len(rejected)} of {len(entries)} events, which cannot "
                f"be retried: {rejected[0]}"
            )
            raise StoreRejectedError(msg)

    def _put(self, entries: "list[PutEventsRequestEntryTypeDef]") -> list[str]:
        """Put entries, retrying each until it is accepted; return the errors of those that are rejected."""
        error_text, rejected = "", list[str]()
        for _ in range(_TRIES):
            try:
                answer = client("events").put_events(Entries=entries)
            except (ClientError, BotoCoreError) as error:
                if not _is_rejected(code_of(error), error):
                    msg = f"{len(entries)} events could not be sent to bus {self._name}: {error}"
                    raise StoreError(msg) from error
                if len(entries) == 1:
                    return [*rejected, str(error)]
                # One invalid entry rejects the whole request.
                return [*rejected, *(why for entry in entries for why in self._put([entry]))]
            results = zip(entries, answer["Entries"], strict=True)
            refused = [(entry, result) for entry, result in results if result.get("ErrorCode")]
            lasting = [result for _, result in refused if _is_rejected(result["ErrorCode"])]
            rejected += [each.get("ErrorMessage") or each["ErrorCode"] for each in lasting]
            again = [each for each in refused if not _is_rejected(each[1]["ErrorCode"])]
            if not again:
                return rejected
            entries = [entry for entry, _ in again]
            error_text = again[0][1].get("ErrorMessage") or again[0][1].get("ErrorCode", "")
        msg = f"The bus {self._name} refused {len(entries)} events {_TRIES} times: {error_text}"
        raise StoreError(msg)


def _is_rejected(code: str, error: Exception | None = None) -> bool:
    return code.endswith(_REJECTED) or isinstance(error, ParamValidationError)


def _size(entry: "PutEventsRequestEntryTypeDef") -> int:
    # ASCII only, as JSON is serialized here.
    return sum(len(str(value)) for value in entry.values())
