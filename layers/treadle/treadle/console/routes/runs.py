"""API operations on runs: list, show, rerun, cancel, and release a run key."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler.exceptions import BadRequestError

from treadle.adapters.targets.links import ConsoleLink, console_links
from treadle.console.api import NAMES, ApiRequest, Json, Operation, Schema
from treadle.console.routes.errors import not_found
from treadle.console.routes.params import TIME_SCHEMA, parsed_time
from treadle.console.schemas import KEY, MAYBE_TEXT, TEXT, limit, list_of, record
from treadle.console.type_schemas import shape, with_properties
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.record.pool_slots import slots_in_doubt
from treadle.model.runs import Claim, PendingStart, Run
from treadle.operate.explain import Subject
from treadle.operate.explanation import Explanation, describe_wait
from treadle.operate.runs import DEFAULT_LIMIT, RunEdit
from treadle.operate.views import plain_json, run_json

MOST = 200

_IF_ATTEMPT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": 1_000_000,
    "description": "Do nothing if another attempt has followed this one.",
}
_EDIT: Schema = record({"is_new": {"type": "boolean"}, "reason": TEXT})
_REFUSED = {HTTPStatus.CONFLICT: "The current status does not allow it; nothing was changed."}


_SEARCHED_SINCE: Schema = {
    "type": ["integer", "null"],
    "description": "Of runs of all jobs: older ones were not searched; null if none was left out so.",
}

_LEFT_OUT = {
    "run_config",
    "tags",
    "allowances",
    "edits",
    "cancellations",
    "reached",
    "reactions",
    "claim",
    "pending_start",
}
"""Fields that a list of runs omits: with them, it might exceed Lambda's response limit."""


def runs(request: ApiRequest) -> Json:
    """Return a page of runs."""
    query = request.query
    sensor, job = query.get("sensor"), query.get("job")
    if sensor and job:
        raise BadRequestError("Runs can be listed for a sensor or for a job: give one of them.")
    if query.get("before") and not (sensor or job):
        raise BadRequestError(
            "The newest runs of all jobs are one page: give a sensor or a job for older ones."
        )
    statuses = frozenset(map(DagsterRunStatus, query.get("status", ()))) or None
    since, until = query.get("since"), query.get("until")
    page = request.parts.runs.page(
        sensor=sensor,
        job=job,
        statuses=statuses,
        since=parsed_time(request, since) if since else None,
        until=parsed_time(request, until) if until else None,
        text=query.get("find"),
        before=query.get("before"),
        limit=query["limit"],
    )
    return {
        "runs": [outline(run) for run in page.runs],
        "next": page.next,
        "searched_since": page.searched_since,
    }


def run(request: ApiRequest) -> Json:
    """Return a run in full."""
    with not_found():
        found = request.parts.runs.get(request.path["run_id"])
    waits = describe_wait(found, request.parts.pools.waits(found)) or None
    in_doubt = sorted({slot.pool for slot in slots_in_doubt(found)})
    explanation = _explanation(request, found)
    links = plain_json(console_links(found.external_id))
    more = {"explanation": explanation, "waits": waits, "pools_in_doubt": in_doubt, "links": links}
    return {**run_json(found), **more}


def _explanation(request: ApiRequest, run: Run) -> Json | None:
    """Explain how a run came about; None if its sensor is no longer deployed, or did not request it."""
    try:
        result: Json = plain_json(request.parts.why.explain(run.sensor, Subject(run_id=run.run_id)))
    except CommandRefusedError:
        return None
    return result


def outline(run: Run) -> Json:
    """Return a run as shown in lists."""
    return {name: value for name, value in run_json(run).items() if name not in _LEFT_OUT}


def rerun(request: ApiRequest) -> Json:
    """Start another attempt of a run that has ended."""
    if_attempt = request.body.get("if_attempt")
    return _edit(request.parts.runs.rerun(request.path["run_id"], request.caller.name, if_attempt=if_attempt))


def cancel(request: ApiRequest) -> Json:
    """Cancel a run."""
    return _edit(request.parts.runs.cancel(request.path["run_id"], request.caller.name))


def release(request: ApiRequest) -> Json:
    """Allow the next request for a run key to start its run again."""
    sensor, key = request.path["sensor"], request.body["run_key"]
    if_attempt = request.body.get("if_attempt")
    return _edit(request.parts.runs.release(sensor, key, request.caller.name, if_attempt=if_attempt))


def _edit(edit: RunEdit) -> Json:
    return {"is_new": edit.is_new, "reason": edit.reason}


_ALSO: dict[str, Schema] = {"launch_id": TEXT, "attempts_allowed": {"type": "integer"}}
OUTLINE = with_properties(shape(Run, without=_LEFT_OUT), **_ALSO)
_FULL = with_properties(
    shape(Run),
    claim={"anyOf": [shape(Claim, without={"token"}), {"type": "null"}]},
    pending_start={"anyOf": [shape(PendingStart, without={"token"}), {"type": "null"}]},
    explanation={"anyOf": [shape(Explanation), {"type": "null"}]},
    waits={**MAYBE_TEXT, "description": "What it waits for, if it waits for a pool."},
    pools_in_doubt={**list_of(TEXT), "description": "Pools of which it holds slots in doubt."},
    links={**list_of(shape(ConsoleLink)), "description": "Its execution and its log in the AWS console."},
    **_ALSO,
)

OPERATIONS = (
    Operation(
        "GET",
        "/api/runs",
        "Runs of a sensor or of a job, or the newest of all jobs.",
        runs,
        record({"runs": list_of(OUTLINE), "next": MAYBE_TEXT, "searched_since": _SEARCHED_SINCE}),
        query={
            "sensor": NAMES["sensor"],
            "job": NAMES["sensor"],
            "status": list_of({"enum": [status.value for status in DagsterRunStatus]}),
            "since": {
                **TIME_SCHEMA,
                "description": f"Only runs created since then. {TIME_SCHEMA['description']}",
            },
            "until": {**TIME_SCHEMA, "description": "Only runs created before then."},
            "find": {
                **KEY,
                "description": "Only runs with it in id, run key, job, sensor, partition or error.",
            },
            "before": {"type": "string", "pattern": "^[0-9]{1,15}/[0-9a-f-]{36}$"},
            "limit": limit(DEFAULT_LIMIT, MOST),
        },
    ),
    Operation(
        "GET",
        "/api/runs/<run_id>",
        "A run's record, and the explanation of its status.",
        run,
        _FULL,
        refusals={HTTPStatus.NOT_FOUND: "There is no such run."},
    ),
    Operation(
        "POST",
        "/api/runs/<run_id>/rerun",
        "Start a run that has ended again, immediately.",
        rerun,
        _EDIT,
        body=record({"if_attempt": _IF_ATTEMPT}, required=()),
        refusals=_REFUSED,
    ),
    Operation(
        "POST",
        "/api/runs/<run_id>/cancel",
        "Cancel a run: immediately if it waits for its launch, otherwise through its target.",
        cancel,
        _EDIT,
        body=record({"if_attempt": _IF_ATTEMPT}, required=()),
        refusals=_REFUSED,
    ),
    Operation(
        "POST",
        "/api/sensors/<sensor>/release",
        "Let the next request for a run key start its run again.",
        release,
        _EDIT,
        body=record({"run_key": KEY, "if_attempt": _IF_ATTEMPT}, required=("run_key",)),
        refusals=_REFUSED,
    ),
)
