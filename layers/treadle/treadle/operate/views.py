"""Values as plain JSON, with the names of their fields: both `--json` and the console's API return these."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from treadle.model.assets import AssetEvent
from treadle.model.backfills import Backfill
from treadle.model.runs import Run
from treadle.model.sensors import RecordedEdit
from treadle.model.ticks import Tick, TickSummary
from treadle.operate.graph import Graph
from treadle.operate.overview import SensorView
from treadle.operate.pools import PoolDetails, PoolEdit, PoolView
from treadle.operate.redrive import RedriveResult
from treadle.operate.redrive_routes import subject_of

Json = dict[str, Any]


def plain_json(value: object) -> Any:
    """Convert to plain JSON: dataclasses to objects, enumerations to their values, sequences to lists.

    Args:
        value: consists of dataclasses, mappings, sequences, strings and numbers.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain_json(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain_json(each) for each in value)
    if isinstance(value, list | tuple):
        return [plain_json(each) for each in value]
    return value


def sensor_json(view: SensorView) -> Json:
    """Return a sensor of the overview as JSON."""
    return {**_object(view), "last_tick": outline_json(view.last_tick) if view.last_tick else None}


def outline_json(tick: TickSummary) -> Json:
    """Return a tick of a list as JSON."""
    return {**_object(tick), "trouble": tick.trouble.value if tick.trouble else None}


def tick_json(tick: Tick) -> Json:
    """Return a complete tick as JSON, without the token of its evaluation."""
    made = [
        {
            "kind": each.kind,
            "asset_key": each.asset_key.to_escaped_user_string(),
            "partition": each.partition,
            "description": each.description,
            "metadata": dict(each.plain_metadata),
        }
        for each in tick.asset_events
    ]
    return {
        **{field.name: plain_json(getattr(tick, field.name)) for field in _FULL},
        "is_pending": tick.is_to_be_dispatched,
        "trouble": tick.trouble.value if tick.trouble else None,
        "asset_events": made,
    }


_FULL = [field for field in fields(Tick) if field.name not in {"owner", "asset_events"}]


def run_json(run: Run) -> Json:
    """Return a run as JSON, without the tokens of its claims."""
    shown = {field.name: plain_json(getattr(run, field.name)) for field in fields(Run)}
    for name in ("claim", "pending_start"):
        if shown[name] is not None:
            shown[name] = {key: value for key, value in shown[name].items() if key != "token"}
    return {**shown, "launch_id": run.launch_id, "attempts_allowed": run.attempts_allowed}


def backfill_json(backfill: Backfill) -> Json:
    """Return a backfill as JSON, with the number of its partitions in each state in place of the states."""
    hidden = {"states", "attempts", "revision", "status"}
    shown = {field.name: plain_json(getattr(backfill, field.name)) for field in fields(Backfill)}
    return {
        **{name: value for name, value in shown.items() if name not in hidden},
        "status": backfill.shown_status.value,
        "total": backfill.total,
        "counts": {state.name: number for state, number in backfill.counts().items()},
    }


def pool_json(pool: PoolView) -> Json:
    """Return a pool as JSON, with its key."""
    return {**_object(pool), "key": pool.key, "is_paused": pool.is_paused}


def pool_details_json(found: PoolDetails) -> Json:
    """Return a pool with its runs as JSON."""
    return {
        "pool": pool_json(found.pool),
        "holders": plain_json(found.holders),
        "waiters": plain_json(found.waiters),
        "values": [pool_json(each) for each in found.values],
    }


def pool_edit_json(edit: PoolEdit) -> Json:
    """Return a changed limit as JSON."""
    return {"is_new": edit.is_new, "reason": edit.reason, "pool": pool_json(edit.pool)}


def edit_json(edit: RecordedEdit) -> Json:
    """Return an operator's edit as JSON."""
    return _object(edit)


def asset_event_json(event: AssetEvent) -> Json:
    """Return an asset event as JSON; `body` is itself JSON, as a string."""
    return _object(event)


def dead_letter_json(result: RedriveResult) -> Json:
    """Return a dead letter as JSON, with what was, or would be, done with it."""
    attributes = result.dead_letter.attributes
    return {
        "message_id": result.dead_letter.message_id,
        "project": result.dead_letter.project or None,
        "origin": result.origin,
        "subject": subject_of(result.dead_letter),
        "action": result.action.value,
        "reason": result.reason,
        "error": attributes.get("reason") or attributes.get("ERROR_CODE"),
    }


def graph_json(graph: Graph) -> Json:
    """Return a graph as JSON: nodes with ids, edges between ids, and sensors of which it is not known what they watch."""
    return {
        "nodes": [{"id": each.node_id, "kind": each.kind, "name": each.name} for each in graph.nodes],
        "edges": [{"from": each.source.node_id, "to": each.target.node_id} for each in graph.edges],
        "unknown": [{"sensor": sensor, "reason": reason} for sensor, reason in graph.unknown.items()],
    }


def _object(value: object) -> Json:
    shown: Json = plain_json(value)
    return shown
