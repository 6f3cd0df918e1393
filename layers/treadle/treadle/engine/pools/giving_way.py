"""How runs end that give way to another run of their job, as its overlap says."""

from dataclasses import replace

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.attempts import attempt_by_policy
from treadle.engine.record.external_runs import OBSERVED_TAG
from treadle.engine.record.max_runtime import current_cancellation, with_cancellation
from treadle.engine.record.run_state import Report, fold
from treadle.model.pools import Overlap
from treadle.model.runs import RUN_REPLACED, RUN_SKIPPED, Failure, Run


def skipped(run: Run, others: int, other: str, now: int) -> Run:
    """Return a waiting run canceled because its job has as many runs in progress as its limit.

    Args:
        run: the run.
        others: how many runs are in progress.
        other: the id of one of them.
        now: the current time.
    """
    which = (
        f"run {other} is in progress" if others == 1 else f"{others} runs are in progress, such as {other}"
    )
    cause = (
        f"{which[0].upper()}{which[1:]}, and the overlap of job {run.job} is {Overlap.SKIP}. To start this run too: "
        f"treadle run rerun {run.run_id}"
    )
    return _canceled(run, Failure(RUN_SKIPPED, cause, assumed=True), now)


def replaced(run: Run, newer: str, overlap: Overlap, now: int) -> Run:
    """Return a waiting run canceled because a newer one takes its place.

    Args:
        run: the run.
        newer: the id of the newer run.
        overlap: of their job.
        now: the current time.
    """
    return _canceled(run, Failure(RUN_REPLACED, _why_replaced(run, newer, overlap), assumed=True), now)


def ended_for(run: Run, newer: str, now: int) -> Run:
    """Return a run in progress that is to end because a newer one waits: canceled, or with the request to its target.

    The same run if nothing is to be done: it has ended, its end was requested before, or Treadle has not started it.

    Args:
        run: the run.
        newer: the id of the newer run.
        now: the current time.
    """
    if OBSERVED_TAG in run.tags:
        return run
    if run.retry_at is not None:
        # As the attempt that would follow: it is queued and canceled in one write, and never starts.
        run = attempt_by_policy(run, now)
    if run.status is Status.QUEUED and run.claim is None and run.pending_start is None:
        return replaced(run, newer, Overlap.CANCEL, now)
    if run.status.is_finished or is_ending(run):
        return run
    requested = with_cancellation(run, RUN_REPLACED, _why_replaced(run, newer, Overlap.CANCEL), now)
    # RECONCILE sends the request to the target: at once, or when the run has started.
    return requested if run.status is Status.QUEUED else replace(requested, next_at=now)


def is_ending(run: Run) -> bool:
    """Return whether a run in progress was requested to end, by Treadle or by somebody else."""
    return run.status is Status.CANCELING or current_cancellation(run) is not None


def _canceled(run: Run, failure: Failure, now: int) -> Run:
    return fold(run, Report(run.attempt, Status.CANCELED, now, failure=failure))


def _why_replaced(run: Run, newer: str, overlap: Overlap) -> str:
    return (
        f"Run {newer} was requested later, and the overlap of job {run.job} is {overlap}. To start this run again: "
        f"treadle run rerun {run.run_id}"
    )
