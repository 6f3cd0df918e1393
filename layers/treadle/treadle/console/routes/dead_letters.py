"""API operations on dead letters: list, redrive, and delete."""

from treadle.console.api import ApiRequest, Json, Operation, Schema
from treadle.console.schemas import KEY, MAYBE_TEXT, TEXT, limit, list_of, record
from treadle.operate.redrive import RedriveAction
from treadle.operate.views import dead_letter_json

MOST = 100
"""Maximum number of messages in one response; receiving more would take too long for a page."""

_DEAD_LETTER: Schema = record(
    {
        "message_id": TEXT,
        "project": MAYBE_TEXT,
        "origin": TEXT,
        "subject": TEXT,
        "reason": TEXT,
        "action": {"enum": [action.value for action in RedriveAction]},
        "error": MAYBE_TEXT,
    }
)


def dead_letters(request: ApiRequest) -> Json:
    """List dead letters."""
    found = request.parts.redriver.redrive(
        limit=request.query["limit"], origin=request.query.get("origin"), dry_run=True
    )
    return {"dead_letters": [dead_letter_json(each) for each in found]}


def redrive(request: ApiRequest) -> Json:
    """Redrive dead letters."""
    done = request.parts.redriver.redrive(limit=request.body["limit"], origin=request.body.get("origin"))
    return {"results": [dead_letter_json(each) for each in done]}


def delete_dead_letters(request: ApiRequest) -> Json:
    """Delete dead letters."""
    done = request.parts.redriver.delete(request.body["message_ids"])
    return {"results": [dead_letter_json(each) for each in done]}


_WHICH = {"origin": KEY, "limit": limit(MOST, MOST)}

OPERATIONS = (
    Operation(
        "GET",
        "/api/dead-letters",
        "The messages in the dead-letter queues of the engine and its projects, and what a redrive would do with each message.",
        dead_letters,
        record({"dead_letters": list_of(_DEAD_LETTER)}),
        query=_WHICH,
    ),
    Operation(
        "POST",
        "/api/dead-letters/redrive",
        "Send dead letters to their original destinations again.",
        redrive,
        record({"results": list_of(_DEAD_LETTER)}),
        body=record(_WHICH, required=()),
    ),
    Operation(
        "POST",
        "/api/dead-letters/delete",
        "Delete dead letters for good, by their ids; those that are gone have no result.",
        delete_dead_letters,
        record({"results": list_of(_DEAD_LETTER)}),
        body=record({"message_ids": {**list_of(KEY), "minItems": 1, "maxItems": MOST}}),
    ),
)
