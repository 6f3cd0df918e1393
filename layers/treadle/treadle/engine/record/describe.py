"""The query of a run's status from its target."""

from treadle.definitions.errors import LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.run_state import Report
from treadle.engine.record.unreachable_runs import OUTCOME_UNKNOWN
from treadle.model.runs import Failure, Run
from treadle.ports.system import Clock
from treadle.ports.targets import Target


def described(run: Run, external_id: str, target: Target, role: str, clock: Clock) -> Report:
    """Return the status of a run's execution as a report.

    If the target does not know the execution any more, the report is a failure with an unknown outcome.

    Args:
        run: the run.
        external_id: the target's id of the execution.
        target: queried once.
        role: the role to query it with.
        clock: gives the time of the answer, which may come late.

    Raises:
        LaunchError: if the target does not answer; a later query may succeed.
    """
    try:
        execution = target.describe(external_id, role)
    except LaunchRejectedError as error:
        message = f"The run was started, but its target no longer knows it, so its result is unknown: {error}"
        failure = Failure(OUTCOME_UNKNOWN, message, assumed=True)
        return Report(run.attempt, Status.FAILURE, clock.now(), retry=run.target_retry, failure=failure)
    return Report(
        run.attempt,
        execution.status,
        execution.ended_at or execution.started_at,
        retry=execution.retry,
        started_at=execution.started_at,
        external_id=execution.external_id,
        target=run.target or execution.target,  # As launched, not as the target spells it.
        failure=execution.failure,
        observed_at=clock.now(),
    )
