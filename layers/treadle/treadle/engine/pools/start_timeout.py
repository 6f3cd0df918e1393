"""The end of a run that has waited too long for a slot of a concurrency pool."""

from treadle.definitions.max_runtime import START_TIMEOUT_TAG, start_timeout_ms
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Failure, Run

START_TIMEOUT_ERROR = "StartTimeoutError"
"""The name of the reason why such a run was canceled."""


def with_wait_ended(run: Run, now: int) -> Run:
    """Return the run canceled if it has waited for a slot as long as its tag allows; the same run otherwise.

    Args:
        run: the run.
        now: the current time.
    """
    timeout, wait = start_timeout_ms(run.tags), run.waiting
    if wait is None or timeout is None or now < wait.since + timeout:
        return run
    cause = (
        f"It waited for a slot of pool {wait.pool} for the {timeout / 1000:g} seconds that the tag "
        f"{START_TIMEOUT_TAG} allows."
    )
    failure = Failure(START_TIMEOUT_ERROR, cause, assumed=True)
    return fold(run, Report(run.attempt, Status.CANCELED, now, failure=failure))
