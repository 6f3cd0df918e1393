"""Materializations and observations in stored form: events under the key of each."""

import json

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import (
    ASSET_OBSERVATION,
    AssetMaterialization,
    AssetMaterialized,
    AssetObservation,
    AssetObserved,
    RecordedEvent,
    recorded_as,
)
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import UnreadableRecordError
from treadle.definitions.runs import from_millis
from treadle.model.assets import AssetEvent, asset_of, check_readable, observed_key
from treadle.model.records import integer, reader, text, text_or_none


def asset_event(event: RecordedEvent) -> AssetEvent:
    """Return an event in stored form."""
    reported, key = event.reported, event.asset_key.to_escaped_user_string()
    body = {
        "description": reported.description,
        "metadata": reported.plain_metadata,
        "partition": reported.partition,
        "run_id": event.run_id,
        "depth": event.depth,
        "location": event.location,
        **reported.optional_fields,
    }
    return AssetEvent(
        observed_key(key) if isinstance(event, AssetObserved) else key,
        event.event_id,
        reported.kind,
        int(event.time.timestamp() * 1000),
        canonical_json(body),
        event.storage_id,
    )


def recorded(kept: AssetEvent) -> RecordedEvent:
    """Return the materialization or observation that an event stores.

    Raises:
        UnreadableRecordError: if it stores none.
    """
    return _read(kept)


def materialized(kept: AssetEvent) -> AssetMaterialized:
    """Return the materialization that an event stores.

    Raises:
        UnreadableRecordError: if it stores none.
    """
    event = _read(kept)
    if not isinstance(event, AssetMaterialized):
        raise UnreadableRecordError(_name(kept), "it is an observation, and not a materialization")
    return event


def _recorded(kept: AssetEvent) -> RecordedEvent:
    check_readable(kept)
    body = json.loads(kept.body)
    kind = AssetObservation if kept.kind == ASSET_OBSERVATION else AssetMaterialization
    reported = kind.stored(
        AssetKey.from_escaped_user_string(asset_of(kept.asset_key)),
        body["description"],
        body["metadata"],
        body["partition"],
        body.get("metadata_types"),
        body.get("tags"),
    )
    return recorded_as(reported)(
        reported,
        kept.event_id,
        kept.storage_id,
        from_millis(kept.time),
        text_or_none(body["run_id"]),
        integer(body["depth"]),
        text(body["location"]),
    )


def _name(kept: AssetEvent) -> str:
    return f"event {kept.storage_id} of asset {kept.asset_key}"


_read = reader(_recorded, _name)
