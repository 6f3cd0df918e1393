"""API operations on backfills: list, show, pause, resume, cancel and retry."""

from collections.abc import Callable
from http import HTTPStatus

from treadle.console.api import ApiRequest, Json, Operation, Schema
from treadle.console.routes.errors import not_found
from treadle.console.routes.runs import OUTLINE, outline
from treadle.console.schemas import MAYBE_TEXT, TEXT, limit, list_of, record
from treadle.console.type_schemas import shape, with_properties
from treadle.model.backfills import MAX_PARTITIONS, Backfill, BackfillStatus, PartitionState
from treadle.operate.backfills import BackfillChange, BackfillRun
from treadle.operate.views import backfill_json, plain_json

MOST = 100
DEFAULT = 50

_LEFT_OUT = {"digest", "run_config", "tags", "edits", "next_at"}
"""Fields that the list omits: with them, it might exceed Lambda's response limit."""

_LIMIT: Schema = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_PARTITIONS,
    "description": "How many of its runs may be in progress at a time; 0 for no limit.",
}
_MISSING = {HTTPStatus.NOT_FOUND: "There is no such backfill."}
_REFUSED = {
    **_MISSING,
    HTTPStatus.CONFLICT: "The current status does not allow it; nothing was changed.",
}


def backfills(request: ApiRequest) -> Json:
    """Return a page of backfills."""
    found, token = request.parts.backfills.page(request.query.get("before"), request.query["limit"])
    listed = (backfill_json(each) for each in found)
    return {
        "backfills": [
            {name: value for name, value in each.items() if name not in _LEFT_OUT} for each in listed
        ],
        "next": token,
    }


def backfill(request: ApiRequest) -> Json:
    """Return a backfill in full."""
    with not_found():
        return backfill_json(request.parts.backfills.get(request.path["backfill"]))


def backfill_runs(request: ApiRequest) -> Json:
    """Return a page of a backfill's partitions, with their runs."""
    query = request.query
    states = [PartitionState[name] for name in query.get("state", ())] or list(PartitionState)
    with not_found():
        page = request.parts.backfills.run_page(
            request.path["backfill"], states, query.get("after"), query["limit"]
        )
    runs = [
        {**plain_json(each), "state": each.state.name, "run": outline(run) if run else None}
        for each, run in page.runs
    ]
    return {"runs": runs, "next": page.next}


def pause_backfill(request: ApiRequest) -> Json:
    """Pause a backfill."""
    return _changed(request, request.parts.backfills.pause)


def resume_backfill(request: ApiRequest) -> Json:
    """Resume a backfill."""
    most = request.body.get("limit")
    return _changed(request, lambda name, by: request.parts.backfills.resume(name, by, limit=most))


def cancel_backfill(request: ApiRequest) -> Json:
    """Cancel a backfill."""
    return _changed(request, request.parts.backfills.cancel)


def retry_backfill(request: ApiRequest) -> Json:
    """Retry the failed runs of a backfill."""
    return _changed(request, request.parts.backfills.retry)


def _changed(request: ApiRequest, change: Callable[[str, str], BackfillChange]) -> Json:
    name = request.path["backfill"]
    with not_found():
        request.parts.backfills.get(name)
    changed = change(name, request.caller.name)
    return {"is_new": changed.is_new, "reason": changed.reason}


def _change(action: str, summary: str, act: Callable[[ApiRequest], Json], body: Schema) -> Operation:
    answer = record({"is_new": {"type": "boolean"}, "reason": TEXT})
    path = f"/api/backfills/<backfill>/{action}"
    return Operation("POST", path, summary, act, answer, body=body, refusals=_REFUSED)


_COUNTS = record({state.name: {"type": "integer"} for state in PartitionState})
_HIDDEN = {"states", "attempts", "revision"}
_ALSO: dict[str, Schema] = {
    "status": {"enum": [status.value for status in BackfillStatus]},
    "total": {"type": "integer"},
    "counts": {**_COUNTS, "description": "How many of its partitions are in each state."},
}
_OUTLINE = with_properties(shape(Backfill, without=_HIDDEN | _LEFT_OUT), **_ALSO)
_FULL = with_properties(shape(Backfill, without=_HIDDEN), **_ALSO)
_STATE: Schema = {"enum": [state.name for state in PartitionState]}
_RUN = with_properties(shape(BackfillRun), state=_STATE, run={"anyOf": [OUTLINE, {"type": "null"}]})

OPERATIONS = (
    Operation(
        "GET",
        "/api/backfills",
        "Backfills, with the number of their partitions in each state.",
        backfills,
        record({"backfills": list_of(_OUTLINE), "next": MAYBE_TEXT}),
        query={
            "before": {"type": "string", "pattern": "^[0-9]{1,15}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$"},
            "limit": limit(DEFAULT, MOST),
        },
    ),
    Operation(
        "GET",
        "/api/backfills/<backfill>",
        "A backfill, with what operators did to it.",
        backfill,
        _FULL,
        refusals=_MISSING,
    ),
    Operation(
        "GET",
        "/api/backfills/<backfill>/runs",
        "A backfill's partitions in their order, with their runs; `run` is null if it was not created yet.",
        backfill_runs,
        record({"runs": list_of(_RUN), "next": {"type": ["integer", "null"]}}),
        query={
            "state": list_of(_STATE),
            "after": {"type": "integer", "minimum": 0, "maximum": MAX_PARTITIONS},
            "limit": limit(DEFAULT, MOST),
        },
        refusals=_MISSING,
    ),
    _change("pause", "Start no more runs until it is resumed.", pause_backfill, record({})),
    _change(
        "resume",
        "Let a backfill continue; with `limit` also change the limit of one that is not paused.",
        resume_backfill,
        record({"limit": _LIMIT}, required=()),
    ),
    _change(
        "cancel",
        "End a backfill; runs that wait for their launch are canceled, and those that have started continue.",
        cancel_backfill,
        record({}),
    ),
    _change(
        "retry",
        "Start each failed or canceled run again, under the backfill's limit.",
        retry_backfill,
        record({}),
    ),
)
