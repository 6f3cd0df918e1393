"""API operations on ticks: list, show, and drop."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from treadle.console.api import NAMES, ApiRequest, Json, Operation, Schema
from treadle.console.routes.errors import not_found
from treadle.console.routes.runs import OUTLINE, outline
from treadle.console.schemas import MAYBE_TEXT, TEXT, limit, list_of, record
from treadle.console.type_schemas import shape, with_properties
from treadle.definitions.assets import ASSET_MATERIALIZATION, ASSET_OBSERVATION
from treadle.definitions.status import TickStatus
from treadle.model.ticks import DynamicPartitionsRequestResult, Tick, TickSummary, TickTrouble
from treadle.operate.drops import MAX_REASON
from treadle.operate.overview import deployed_sensor
from treadle.operate.ticks import DEFAULT_LIMIT
from treadle.operate.views import outline_json, tick_json

MOST = 1_000

RUNS = 100
"""Number of a tick's runs that are shown."""

REQUESTS_BYTES = 1_000_000
"""Maximum bytes of a tick's requests that are shown, because of Lambda's response limit."""


def ticks(request: ApiRequest) -> Json:
    """Return a page of ticks."""
    sensor, query = request.path["sensor"], request.query
    with not_found():
        deployed_sensor(request.parts.deployment, sensor)
    statuses = frozenset(map(_STATES.__getitem__, query.get("status", ()))) or None
    page = request.parts.ticks.page(
        sensor, before=query.get("before"), limit=query["limit"], statuses=statuses
    )
    return {"ticks": [outline_json(each) for each in page.ticks], "next": page.next}


def tick(request: ApiRequest) -> Json:
    """Return a tick in full."""
    with not_found():
        found = request.parts.ticks.get(request.path["sensor"], request.path["tick_id"])
    shown = tick_json(found)
    older, newer = request.parts.ticks.neighbors(found.sensor, found.tick_id)
    return {
        **shown,
        "older": older,
        "newer": newer,
        "requests": _bounded(shown["requests"]),
        "requests_count": len(found.requests),
        "dynamic_partitions_request_results": _bounded_keys(shown["dynamic_partitions_request_results"]),
        "runs": [outline(run) for run in request.parts.ticks.runs(found, RUNS)],
    }


def drop(request: ApiRequest) -> Json:
    """Drop the waiting requests of a tick."""
    sensor, tick_id = request.path["sensor"], request.path["tick_id"]
    with not_found():
        request.parts.ticks.get(sensor, tick_id)
    dropped = request.parts.drops.drop(sensor, tick_id, request.caller.name, request.body.get("reason", ""))
    return {"reason": dropped.held or ""}


def _bounded(requests: Sequence[Any]) -> list[Any]:
    """Return as many requests as fit."""
    return _fitting(requests, REQUESTS_BYTES)


def _fitting(values: Sequence[Any], room: int) -> list[Any]:
    kept, size = [], 0
    for value in values:
        size += len(json.dumps(value))
        if size > room:
            break
        kept.append(value)
    return kept


def _bounded_keys(results: Sequence[Any]) -> list[Any]:
    """Return what a tick requested of dynamic partitions, with as many keys as fit, and the numbers of all."""
    shown, room = [], REQUESTS_BYTES
    for result in results[:MOST]:
        kept = dict(result)
        for name in ("added_partitions", "deleted_partitions", "skipped_partitions"):
            if result[name] is not None:
                kept[name] = _fitting(result[name], room)
                room -= sum(len(json.dumps(key)) for key in kept[name])
        changed = result["added_partitions"] or result["deleted_partitions"] or ()
        counts = {"changed_count": len(changed), "skipped_count": len(result["skipped_partitions"])}
        shown.append({**kept, **counts})
    return shown


_STATES: Mapping[str, TickStatus | TickTrouble] = {
    state.value: state for states in (TickStatus, TickTrouble) for state in states
}
_TROUBLE: Schema = {"enum": [*(each.value for each in TickTrouble), None]}
OUTLINE_OF_TICK = with_properties(shape(TickSummary), trouble=_TROUBLE)

_ASSET_EVENT: Schema = record(
    {
        "kind": {"enum": [ASSET_MATERIALIZATION, ASSET_OBSERVATION]},
        "asset_key": {"type": "string"},
        "partition": MAYBE_TEXT,
        "description": MAYBE_TEXT,
        "metadata": {"type": "object"},
    }
)
_FULL = with_properties(
    shape(Tick, without={"owner", "asset_events"}),
    is_pending={"type": "boolean"},
    trouble=_TROUBLE,
    asset_events=list_of(_ASSET_EVENT),
    dynamic_partitions_request_results=list_of(
        with_properties(
            shape(DynamicPartitionsRequestResult),
            changed_count={
                "type": "integer",
                "description": "How many there are; the first that fit are listed.",
            },
            skipped_count={"type": "integer"},
        )
    ),
    requests_count={"type": "integer", "description": "How many there are; the first that fit are listed."},
    runs=list_of(OUTLINE),
    older={**MAYBE_TEXT, "description": "The id of the tick before it; null if there is none."},
    newer={**MAYBE_TEXT, "description": "The id of the tick after it; null if there is none."},
)

OPERATIONS = (
    Operation(
        "GET",
        "/api/sensors/<sensor>/ticks",
        "A sensor's ticks; skips in a row are one. A page may hold fewer than asked for, and have another behind it.",
        ticks,
        record({"ticks": list_of(OUTLINE_OF_TICK), "next": MAYBE_TEXT}),
        query={
            "before": NAMES["tick_id"],
            "limit": limit(DEFAULT_LIMIT, MOST),
            "status": list_of({"enum": list(_STATES)}),
        },
        refusals={HTTPStatus.NOT_FOUND: "There is no such sensor."},
    ),
    Operation(
        "GET",
        "/api/sensors/<sensor>/ticks/<tick_id>",
        "A tick with its requests, its log and its runs.",
        tick,
        _FULL,
        refusals={HTTPStatus.NOT_FOUND: "There is no such tick."},
    ),
    Operation(
        "POST",
        "/api/sensors/<sensor>/ticks/<tick_id>/drop",
        "Drop the held requests of a tick; runs that it has started continue.",
        drop,
        record({"reason": TEXT}),
        body=record({"reason": {"type": "string", "maxLength": MAX_REASON}}, required=()),
        refusals={
            HTTPStatus.NOT_FOUND: "There is no such tick.",
            HTTPStatus.CONFLICT: "The tick has no held requests.",
        },
    ),
)
