"""What can be asked of dead letters: which there are, and to send them again."""

from treadle.console.asking import Asked, Json, Operation, Schema
from treadle.console.schemas import KEY, TEXT, limit, list_of, record
from treadle.operate.dead_letters import Fate, Redriven
from treadle.operate.letters import subject_of_letter

MOST = 100
"""Letters in one answer; receiving more takes longer than a page waits for."""

_LETTER: Schema = record(
    {
        "letter_id": TEXT,
        "origin": TEXT,
        "subject": TEXT,
        "reason": TEXT,
        "fate": {"enum": [fate.value for fate in Fate]},
    }
)


def dead_letters(asked: Asked) -> Json:
    """Which there are."""
    found = asked.parts.redriver.redrive(
        limit=asked.query["limit"], origin=asked.query.get("origin"), dry_run=True
    )
    return {"letters": [_letter(each) for each in found]}


def redrive(asked: Asked) -> Json:
    """Send them again."""
    done = asked.parts.redriver.redrive(limit=asked.body["limit"], origin=asked.body.get("origin"))
    return {"results": [_letter(each) for each in done]}


def _letter(done: Redriven) -> Json:
    subject = subject_of_letter(done.letter) or done.letter.letter_id
    given_up = done.letter.attributes.get("reason") or done.letter.attributes.get("ERROR_CODE")
    reason = f"{done.reason} It was given up as {given_up}" if given_up else done.reason
    return {
        "letter_id": done.letter.letter_id,
        "origin": done.origin,
        "subject": subject,
        "reason": reason,
        "fate": done.fate.value,
    }


_WHICH = {"origin": KEY, "limit": limit(MOST, MOST)}

OPERATIONS = (
    Operation(
        "GET",
        "/api/dead-letters",
        "What lies in the dead-letter queue, and what would become of each letter if it were sent again.",
        dead_letters,
        record({"letters": list_of(_LETTER)}),
        query=_WHICH,
    ),
    Operation(
        "POST",
        "/api/dead-letters/redrive",
        "Send dead letters again, each to the step it was meant for.",
        redrive,
        record({"results": list_of(_LETTER)}),
        body=record(_WHICH, required=()),
    ),
)
