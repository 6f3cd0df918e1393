"""Runs whose target cannot be queried: since when, how long that is tolerated, and how they end."""

from treadle.definitions.errors import LaunchDeniedError, LaunchError
from treadle.engine.identity import timestamp
from treadle.model.runs import Failure, Run, Unanswered

DENIED_ENDS_MS = 86_400_000
"""After a day of denied access a run ends as unknown: by then no permission is going to arrive."""

SILENT_ENDS_MS = 7 * 86_400_000
"""A target that fails in another way may be having an outage, and is given a week."""

OUTCOME_UNKNOWN = "OutcomeUnknownError"
"""The failure of a run if it is unknown whether it has run, or how it ended."""

KEEP_FORMER = (
    "If the job has moved, keep its former ARN in its registry entry (`former`) and in its role's "
    "statements while runs are in progress there."
)
"""The advice to prevent such an end."""

_REASON = 500
_CAUSE = 2_000


def noted(run: Run, error: LaunchError, now: int) -> Unanswered:
    """Return the record of a failed query; the time of the first one is kept.

    Args:
        run: the run's record.
        error: why it failed.
        now: the current time.
    """
    since = now if run.unanswered is None else run.unanswered.since
    return Unanswered(str(error)[:_REASON], since, now)


def ends_at(unanswered: Unanswered, error: LaunchError) -> int:
    """Return when the run ends as unknown if its target remains unreachable.

    Args:
        unanswered: since when.
        error: why the last query failed.
    """
    is_denied = isinstance(error, LaunchDeniedError)
    return unanswered.since + (DENIED_ENDS_MS if is_denied else SILENT_ENDS_MS)


def unknown_end(run: Run, unanswered: Unanswered) -> Failure:
    """Return the failure that ends a run whose target could not be queried for too long."""
    where = run.external_id or run.target or f"The target of job {run.job!r}"
    message = (
        f"{where} could not be queried since {timestamp(unanswered.since)}, so the result of the "
        f"run is unknown: {unanswered.reason.rstrip('.')}. Check the target, and rerun the run if "
        f"it has not succeeded, or report its status. {KEEP_FORMER}"
    )
    return Failure(OUTCOME_UNKNOWN, message[:_CAUSE], assumed=True)


def is_unknown(run: Run) -> bool:
    """Return whether a run has ended in an unknown way."""
    return run.failure is not None and run.failure.assumed and run.failure.error == OUTCOME_UNKNOWN
