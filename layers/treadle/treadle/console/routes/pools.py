"""API operations on concurrency pools: list, show, change the limit; and on runs: free slots, set the priority."""

from http import HTTPStatus

from treadle.console.api import ApiRequest, Json, Operation, Schema
from treadle.console.routes.errors import not_found
from treadle.console.schemas import TEXT, limit, list_of, record
from treadle.console.type_schemas import shape, with_properties
from treadle.model.pools import MAX_LIMIT, MAX_PRIORITY
from treadle.operate.pools import SHOWN, PoolHolder, PoolView, PoolWaiter
from treadle.operate.views import pool_details_json, pool_json

MOST = 200

_MISSING = {HTTPStatus.NOT_FOUND: "There is no such pool."}
_REFUSED = {HTTPStatus.CONFLICT: "The run's status does not allow it; nothing was changed."}
_EDIT: Schema = record({"is_new": {"type": "boolean"}, "reason": TEXT})


def pools(request: ApiRequest) -> Json:
    """Return all pools."""
    return {"pools": [pool_json(each) for each in request.parts.pools.all()]}


def pool(request: ApiRequest) -> Json:
    """Return a pool with its runs."""
    query = request.query
    with not_found():
        found = request.parts.pools.details(request.path["pool"], query.get("value"), limit=query["limit"])
    return pool_details_json(found)


def set_limit(request: ApiRequest) -> Json:
    """Set an operator's limit."""
    name, most = request.path["pool"], request.body["limit"]
    with not_found():
        edit = request.parts.pools.set_limit(name, most, request.caller.name)
    return {"is_new": edit.is_new, "reason": edit.reason}


def reset_limit(request: ApiRequest) -> Json:
    """Let the declared limit apply again."""
    with not_found():
        edit = request.parts.pools.reset_limit(request.path["pool"])
    return {"is_new": edit.is_new, "reason": edit.reason}


def free_slots(request: ApiRequest) -> Json:
    """Free the slots of attempts in doubt."""
    edit = request.parts.pools.free(request.path["run_id"], request.caller.name)
    return {"is_new": edit.is_new, "reason": edit.reason}


def set_priority(request: ApiRequest) -> Json:
    """Move a run in its queue."""
    run_id, priority = request.path["run_id"], request.body["priority"]
    edit = request.parts.pools.set_priority(run_id, priority, request.caller.name)
    return {"is_new": edit.is_new, "reason": edit.reason}


POOL = with_properties(shape(PoolView), key=TEXT, is_paused={"type": "boolean"})

OPERATIONS = (
    Operation(
        "GET",
        "/api/pools",
        "Concurrency pools by name, each followed by the values of its tag for which runs wait.",
        pools,
        record({"pools": list_of(POOL)}),
    ),
    Operation(
        "GET",
        "/api/pools/<pool>",
        "A pool, the runs that hold its slots, and the first of those that wait.",
        pool,
        record(
            {
                "pool": POOL,
                "holders": list_of(shape(PoolHolder)),
                "waiters": list_of(shape(PoolWaiter)),
                "values": list_of(POOL),
            }
        ),
        query={
            "value": {
                "type": "string",
                "maxLength": 256,
                "description": "A value of its tag, for a pool that has its limit for each value.",
            },
            "limit": limit(SHOWN, MOST),
        },
        refusals=_MISSING,
    ),
    Operation(
        "POST",
        "/api/pools/<pool>/limit",
        "Limit a pool instead of its declared limit, until it is reset; runs in progress continue.",
        set_limit,
        _EDIT,
        body=record({"limit": {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT}}),
        refusals=_MISSING,
    ),
    Operation(
        "POST",
        "/api/pools/<pool>/reset-limit",
        "Let the declared limit apply again.",
        reset_limit,
        _EDIT,
        body=record({}),
        refusals=_MISSING,
    ),
    Operation(
        "POST",
        "/api/runs/<run_id>/free-slots",
        "Free the slots of a run that may or may not have ended.",
        free_slots,
        _EDIT,
        body=record({}),
        refusals=_REFUSED,
    ),
    Operation(
        "POST",
        "/api/runs/<run_id>/priority",
        "Move a run in the queue of its pool.",
        set_priority,
        _EDIT,
        body=record({"priority": {"type": "integer", "minimum": -MAX_PRIORITY, "maximum": MAX_PRIORITY}}),
        refusals=_REFUSED,
    ),
)
