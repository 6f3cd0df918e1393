"""The content of an item that waits, as JSON: an event as it was when it was accepted."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from treadle.definitions.bus_event import EventBridgeEvent
from treadle.definitions.objects import S3Group, S3Object
from treadle.definitions.queue_message import QueueMessage
from treadle.definitions.webhook_request import WebhookRequest
from treadle.model.records import reader

_KINDS: Mapping[str, type[Any]] = {
    "object": S3Object,
    "event": EventBridgeEvent,
    "message": QueueMessage,
    "request": WebhookRequest,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

_READ: Mapping[str, Callable[[Any], Any]] = {
    "time": datetime.fromisoformat,
    "last_modified": datetime.fromisoformat,
    "resources": tuple,
    "times": lambda times: {name: datetime.fromisoformat(time) for name, time in times.items()},
    "group": lambda group: (
        None if group is None else S3Group(**{**group, "missing": tuple(group["missing"])})
    ),
}


def packed(value: Any) -> str:
    """Return an item as JSON."""
    if type(value) in _NAMES:
        name, found = (
            _NAMES[type(value)],
            {each.name: _written(getattr(value, each.name)) for each in fields(value)},
        )
    else:
        # Imported here, as most sensors with batches have other items.
        from treadle.engine.tick.recorded_items import written

        name, found = written(value)
    return json.dumps([name, found], separators=(",", ":"))


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _written(each) if isinstance(each, datetime) else each for name, each in value.items()}
    return asdict(value) if isinstance(value, S3Group) else value


def _unpacked(content: str) -> Any:
    name, found = json.loads(content)
    if name not in _KINDS:
        # Imported here, as most sensors with batches have other items.
        from treadle.engine.tick.recorded_items import READ

        return READ[name](found)
    kind = _KINDS[name]
    if kind is WebhookRequest:
        found["body"] = b64decode(found["body"])
    return kind(**{each: _READ.get(each, _same)(value) for each, value in found.items()})


def _same(value: Any) -> Any:
    return value


unpacked = reader(_unpacked, lambda _: "an item of a batch")
"""Parse the JSON of an item; raise UnreadableRecordError if it is not one."""
