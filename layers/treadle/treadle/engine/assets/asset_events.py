"""Materializations in stored form: an event under the asset's key."""

import json

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import ASSET_MATERIALIZATION, AssetMaterialization, AssetMaterialized
from treadle.definitions.canonical import canonical_json
from treadle.definitions.runs import from_millis
from treadle.model.assets import AssetEvent, check_readable
from treadle.model.records import integer, reader, text, text_or_none


def asset_event(event: AssetMaterialized) -> AssetEvent:
    """Return a materialization in stored form."""
    made = event.materialization
    body = {
        "description": made.description,
        "metadata": made.plain_metadata,
        "partition": made.partition,
        "run_id": event.run_id,
        "depth": event.depth,
        "location": event.location,
        **made.optional_fields,
    }
    return AssetEvent(
        made.asset_key.to_escaped_user_string(),
        event.event_id,
        ASSET_MATERIALIZATION,
        int(event.time.timestamp() * 1000),
        canonical_json(body),
        event.storage_id,
    )


def materialized(kept: AssetEvent) -> AssetMaterialized:
    """Return the materialization that an event stores.

    Raises:
        UnreadableRecordError: if it stores none.
    """
    return _read(kept)


def _materialized(kept: AssetEvent) -> AssetMaterialized:
    check_readable(kept)
    body = json.loads(kept.body)
    key = AssetKey.from_escaped_user_string(kept.asset_key)
    made = AssetMaterialization.stored(
        key,
        body["description"],
        body["metadata"],
        body["partition"],
        body.get("metadata_types"),
        body.get("tags"),
    )
    return AssetMaterialized(
        made,
        kept.event_id,
        kept.storage_id,
        from_millis(kept.time),
        text_or_none(body["run_id"]),
        integer(body["depth"]),
        text(body["location"]),
    )


_read = reader(_materialized, lambda kept: f"event {kept.storage_id} of asset {kept.asset_key}")
