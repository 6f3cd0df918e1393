"""What can be asked of runs: another attempt, the end, another chance for a key."""

from http import HTTPStatus

from treadle.console.asking import Asked, Json, Operation, Schema
from treadle.console.schemas import KEY, TEXT, record
from treadle.operate.runs import RunEdit

_IF_ATTEMPT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": 1_000_000,
    "description": "Do nothing if another attempt has followed this one.",
}
_EDIT: Schema = record({"is_new": {"type": "boolean"}, "says": TEXT})
_REFUSED = {HTTPStatus.CONFLICT: "As things stand it cannot be done; nothing was changed."}


def rerun(asked: Asked) -> Json:
    """Start a run that has ended once more."""
    if_attempt = asked.body.get("if_attempt")
    return _edit(asked.parts.runs.rerun(asked.path["run_id"], asked.caller.name, if_attempt=if_attempt))


def cancel(asked: Asked) -> Json:
    """End a run."""
    return _edit(asked.parts.runs.cancel(asked.path["run_id"], asked.caller.name))


def release(asked: Asked) -> Json:
    """Let the next request for a run key start its run once more."""
    sensor, key = asked.path["sensor"], asked.body["run_key"]
    if_attempt = asked.body.get("if_attempt")
    return _edit(asked.parts.runs.release(sensor, key, asked.caller.name, if_attempt=if_attempt))


def _edit(edit: RunEdit) -> Json:
    return {"is_new": edit.is_new, "says": edit.reason}


OPERATIONS = (
    Operation(
        "POST",
        "/api/runs/<run_id>/rerun",
        "Start a run that has ended once more, at once.",
        rerun,
        _EDIT,
        body=record({"if_attempt": _IF_ATTEMPT}, required=()),
        refusals=_REFUSED,
    ),
    Operation(
        "POST",
        "/api/runs/<run_id>/cancel",
        "End a run: at once if it waits for its launch, else by asking its target.",
        cancel,
        _EDIT,
        refusals=_REFUSED,
    ),
    Operation(
        "POST",
        "/api/sensors/<sensor>/release",
        "Let the next request for a run key start its run once more.",
        release,
        _EDIT,
        body=record({"run_key": KEY, "if_attempt": _IF_ATTEMPT}, required=("run_key",)),
        refusals=_REFUSED,
    ),
)
