"""The next attempt of a failed run by its retry policy: whether and when, from the record alone."""

from dataclasses import replace

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.runs import MAX_RETRIES_TAG
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Run


def with_retry(run: Run) -> Run:
    """Return the record of a run with the time of the next attempt, if its retry policy starts one.

    The time depends only on the record, so that the order of reports does not matter.

    Args:
        run: the record after a report.
    """
    at = _retry_at(run)
    if not run.status.is_finished:
        return run if run.retry_at is None else replace(run, retry_at=None)
    return run if run.retry_at == at and run.next_at == at else replace(run, retry_at=at, next_at=at)


def _retry_at(run: Run) -> int | None:
    if MAX_RETRIES_TAG not in run.tags:
        return None
    # Imported here, as most runs have no retry policy.
    from treadle.definitions.retries import retry_policy_of

    # What Treadle only inferred may not have ended, or never started: another attempt could run beside it.
    reported = run.reached.get(f"{run.attempt}/{run.target_retry}", {})
    if run.status is not Status.FAILURE or Status.FAILURE not in reported or run.ended_at is None:
        return None
    try:
        policy = retry_policy_of(run.tags)
    except DagsterInvalidDefinitionError:
        return None  # Recorded before tags were checked.
    error = run.failure.error if run.failure else ""
    if policy is None or run.policy_retries >= policy.max_retries or not policy.retries(error):
        return None
    return run.ended_at + int(policy.calculate_delay(run.policy_retries + 1, run.launch_id) * 1000)
