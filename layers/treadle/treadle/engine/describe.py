"""What a run's target says of it when it is asked."""

from treadle.definitions.errors import LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.run_state import Report, retry_of
from treadle.engine.unreachable_runs import OUTCOME_UNKNOWN
from treadle.ports.runs import Failure, Run
from treadle.ports.targets import Target


def described(run: Run, external_id: str, target: Target, role: str, now: int) -> Report:
    """How a run's execution stands; that its outcome is unknown, if its target knows it no longer.

    Args:
        run: of which one execution is asked for.
        external_id: how the target names it.
        target: asked once.
        role: with which.
        now: the time.

    Raises:
        LaunchError: if the target does not say; it may say so later.
    """
    try:
        execution = target.describe(external_id, role)
    except LaunchRejectedError as error:
        words = f"The run was started, and its target knows it no longer; how it ended is unknown: {error}"
        failure = Failure(OUTCOME_UNKNOWN, words, assumed=True)
        return Report(run.attempt, Status.FAILURE, now, retry=retry_of(run), failure=failure)
    return Report(
        run.attempt,
        execution.status,
        execution.ended_at or execution.started_at,
        retry=execution.retry,
        started_at=execution.started_at,
        external_id=execution.external_id,
        target=run.target or execution.target,  # As it was launched, however the target spells it.
        failure=execution.failure,
        observed_at=now,
    )
