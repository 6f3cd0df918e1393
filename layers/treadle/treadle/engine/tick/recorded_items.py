"""The content of run statuses, materializations and stream records that wait for a batch."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialization, AssetMaterialized
from treadle.definitions.attribute_values import plain_attributes, typed_attributes
from treadle.definitions.event_log import EventLogRecord
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import DagsterRun, RunFailure, StepFailure
from treadle.definitions.status import DagsterRunStatus
from treadle.definitions.stream_record import StreamRecord

Json = dict[str, Any]

_IMAGES = ("keys", "new", "old")


def written(value: Any) -> tuple[str, Json]:
    """Return the name of a value's kind, and its content as plain JSON."""
    if isinstance(value, RunStatusEvent):
        return "run_status", {**asdict(value), "time": value.time.isoformat()}
    if isinstance(value, StreamRecord):
        images = {name: _typed(getattr(value, name)) for name in _IMAGES}
        data = b64encode(value.data).decode()
        return "record", {**asdict(value), **images, "data": data, "time": value.time.isoformat()}
    made: AssetMaterialization = value.asset_materialization
    return "materialization", {
        "asset_key": made.asset_key.to_escaped_user_string(),
        "description": made.description,
        "metadata": made.plain_metadata,
        "partition": made.partition,
        **made.optional_fields,
        "storage_id": value.storage_id,
        "timestamp": value.timestamp,
        "run_id": value.run_id,
        "depth": value.depth,
    }


def _typed(image: Mapping[str, Any] | None) -> Json | None:
    return None if image is None else typed_attributes(image)


def _run_status(found: Json) -> RunStatusEvent:
    given, failure = found["run"], found["run"]["failure"]
    steps = tuple(StepFailure(**each) for each in failure["steps"]) if failure else ()
    failed = RunFailure(failure["error"], failure["cause"], steps) if failure else None
    run = DagsterRun(**{**given, "status": DagsterRunStatus(given["status"]), "failure": failed})
    status, time = DagsterRunStatus(found["status"]), datetime.fromisoformat(found["time"])
    return RunStatusEvent(**{**found, "run": run, "status": status, "time": time})


def _materialization(found: Json) -> EventLogRecord:
    made = AssetMaterialization.stored(
        AssetKey.from_escaped_user_string(found["asset_key"]),
        found["description"],
        found["metadata"],
        found["partition"],
        found.get("metadata_types"),
        found.get("tags"),
    )
    time = datetime.fromtimestamp(found["timestamp"], UTC)
    run_id, depth = found["run_id"] or None, found["depth"]
    return EventLogRecord.of(AssetMaterialized(made, "", found["storage_id"], time, run_id, depth))


def _record(found: Json) -> StreamRecord:
    images = {name: None if found[name] is None else plain_attributes(found[name]) for name in _IMAGES}
    data, time = b64decode(found["data"]), datetime.fromisoformat(found["time"])
    return StreamRecord(**{**found, **images, "data": data, "time": time})


READ: Mapping[str, Callable[[Json], Any]] = {
    "run_status": _run_status,
    "materialization": _materialization,
    "record": _record,
}
"""The parser of each kind."""
