"""Parses what RECORD receives about assets: reports, and events from other engines."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from treadle.adapters.events import Json, asset_materialization, asset_observation, parse, time_of
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialization, AssetObservation, RecordedEvent, ReportedEvent
from treadle.definitions.canonical import canonical_json
from treadle.engine.assets.asset_recorder import AssetReport, RemoteAssetEvent
from treadle.engine.publish.bus_events import (
    ASSET_MATERIALIZATION_REPORT,
    ASSET_MATERIALIZED,
    ASSET_OBSERVATION_REPORT,
    ASSET_OBSERVED,
    REPORT_SOURCE,
    SOURCE,
    VERSION,
)

Reported = AssetReport | RemoteAssetEvent


def is_about_an_asset(event: Json) -> bool:
    """Return whether an event's detail-type belongs to this module.

    Args:
        event: an EventBridge envelope.
    """
    return str(event.get("detail-type")) in {kind for _, kind in _PARSERS}


def parse_asset_event(event: Json) -> Reported:
    """Parse an event about an asset.

    Args:
        event: an EventBridge envelope.

    Raises:
        UnknownEventError: if no parser accepts it, or a field is missing.
        InvalidReportError: if its content is invalid.
    """
    return parse(event, _PARSERS)


def _report(kind: type[ReportedEvent], event: Json) -> AssetReport:
    detail = _detail(event)
    reported = kind.stored(
        _key(detail["asset_key"]),
        detail.get("description"),
        _metadata(detail.get("metadata")),
        detail.get("partition"),
        detail.get("metadata_types"),
        detail.get("tags"),
    )
    time = time_of(detail.get("time") or event["time"])
    return AssetReport(reported, detail.get("event_id") or event["id"], time, detail.get("run_id"))


def _foreign(parsed: Callable[[Json], RecordedEvent], event: Json) -> RemoteAssetEvent:
    detail = _detail(event)
    return RemoteAssetEvent(parsed(event), detail["namespace"])


def _detail(event: Json) -> Json:
    """Return the event's detail, if its version is known and it can be stored."""
    detail: Mapping[str, Any] = event["detail"]
    if detail["version"] != VERSION:
        msg = f"version {detail['version']!r} is not {VERSION}"
        raise ValueError(msg)
    canonical_json(detail).encode()  # A lone surrogate is valid JSON, but cannot be stored.
    return detail


def _key(value: object) -> AssetKey:
    return AssetKey(value) if isinstance(value, list) else AssetKey.from_escaped_user_string(_text(value))


def _metadata(value: object) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        msg = f"metadata is a {type(value).__name__}; it must be an object"
        raise ValueError(msg)
    return value or {}


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r} must be a string"
        raise TypeError(msg)
    return value


_PARSERS: Mapping[tuple[str, str], Callable[[Json], Reported]] = {
    (REPORT_SOURCE, ASSET_MATERIALIZATION_REPORT): partial(_report, AssetMaterialization),
    (REPORT_SOURCE, ASSET_OBSERVATION_REPORT): partial(_report, AssetObservation),
    (SOURCE, ASSET_MATERIALIZED): partial(_foreign, asset_materialization),
    (SOURCE, ASSET_OBSERVED): partial(_foreign, asset_observation),
}
