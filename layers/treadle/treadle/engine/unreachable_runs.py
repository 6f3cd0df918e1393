"""A run whose target cannot be queried: since when, for how long that goes on, and how it ends."""

from treadle.definitions.errors import LaunchDeniedError, LaunchError
from treadle.engine.identity import timestamp
from treadle.ports.runs import Failure, Run, Unanswered

DENIED_ENDS_MS = 86_400_000
"""A target that has denied access to a run for a day ends it as unknown: by then no permission is on its way."""

SILENT_ENDS_MS = 7 * 86_400_000
"""A target that answers nothing else in place of a denial may be out of order, and is given a week."""

OUTCOME_UNKNOWN = "OutcomeUnknownError"
"""The name of the failure of a run of which nobody can say whether it has run, or how it ended."""

KEEP_FORMER = (
    "If the job has moved, keep its former address in its entry (`former`) and in its role's statements while runs are "
    "under way there."
)
"""What is to be done before a run ends like this."""

_REASON = 500
_CAUSE = 2_000


def noted(run: Run, error: LaunchError, now: int) -> Unanswered:
    """What the record says of a query that brought no answer; the time of the first one stays.

    Args:
        run: its record.
        error: why.
        now: the time.
    """
    since = now if run.unanswered is None else run.unanswered.since
    return Unanswered(str(error)[:_REASON], since, now)


def ends_at(unanswered: Unanswered, error: LaunchError) -> int:
    """When the run ends as unknown if its target goes on like this.

    Args:
        unanswered: since when.
        error: why the last query brought no answer.
    """
    is_denied = isinstance(error, LaunchDeniedError)
    return unanswered.since + (DENIED_ENDS_MS if is_denied else SILENT_ENDS_MS)


def unknown_end(run: Run, unanswered: Unanswered) -> Failure:
    """The end of a run whose target could not be queried for too long.

    Args:
        run: its record.
        unanswered: since when, and why.
    """
    where = run.external_id or run.target or f"The target of job {run.job!r}"
    words = (
        f"{where} could not be queried since {timestamp(unanswered.since)}, so it is unknown how the run ended: "
        f"{unanswered.reason.rstrip('.')}. Look there, and rerun the run if it has not succeeded, or report its "
        f"status. {KEEP_FORMER}"
    )
    return Failure(OUTCOME_UNKNOWN, words[:_CAUSE], assumed=True)


def is_unknown(run: Run) -> bool:
    """Whether a run has ended, and nobody could say how."""
    return run.failure is not None and run.failure.assumed and run.failure.error == OUTCOME_UNKNOWN
