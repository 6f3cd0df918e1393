"""Requests to end executions, in the records of their runs; and when a run exceeds its maximum runtime."""

from dataclasses import replace

from treadle.definitions.max_runtime import max_runtime_ms
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import timestamp
from treadle.model.runs import Cancellation, Run

MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceededError"
"""The failure of a run that was canceled because it exceeded its maximum runtime."""

CANCEL_AGAIN_MS = 60_000
"""A target that has not ended a run a minute after the request receives it again, and then ever less often."""

LEAST_OFTEN_MS = 3_600_000

KEPT_CANCELLATIONS = 10


def runtime_ends_at(run: Run) -> int | None:
    """Return when the current execution exceeds its run's maximum runtime; None if it cannot.

    An execution that somebody else cancels has no end: if it had one, it would end as a failure, and be retried.

    Args:
        run: the run.
    """
    if run.status.is_finished or run.started_at is None:
        return None
    if run.status is DagsterRunStatus.CANCELING and current_cancellation(run) is None:
        return None
    limit = max_runtime_ms(run.tags)
    return None if limit is None else run.started_at + limit


def exceeds_max_runtime(run: Run, now: int) -> bool:
    """Return whether the current execution has run for too long.

    Args:
        run: the run.
        now: the time.
    """
    ends_at = runtime_ends_at(run)
    return ends_at is not None and now >= ends_at


def current_cancellation(run: Run) -> Cancellation | None:
    """Return the request to end the current execution; None if there is none."""
    current = (run.attempt, run.target_retry)
    return next((each for each in run.cancellations if (each.attempt, each.retry) == current), None)


def cancellation_requested(run: Run, now: int) -> Run:
    """Return the run with the request to end its current execution, if that exceeds the maximum runtime.

    Args:
        run: the run.
        now: the time.
    """
    ends_at = runtime_ends_at(run)
    if ends_at is None or now < ends_at or current_cancellation(run) is not None:
        return run
    limit = (ends_at - (run.started_at or 0)) / 1000
    cause = (
        f"The run exceeded its maximum runtime of {limit:g} seconds, which was over at {timestamp(ends_at)}."
    )
    # Until the target has answered, nobody knows whether it received the request.
    return replace(with_cancellation(run, MAX_RUNTIME_EXCEEDED, cause, now), next_at=now + CANCEL_AGAIN_MS)


def with_cancellation(run: Run, error: str, cause: str, now: int) -> Run:
    """Return the run with a request to end its current execution.

    Args:
        run: the run.
        error: the name of the failure with which it then ends.
        cause: its message.
        now: the time.
    """
    request = Cancellation(run.attempt, run.target_retry, error, cause, now)
    return replace(run, cancellations=(*run.cancellations, request)[-KEPT_CANCELLATIONS:])


def cancellation_answered(run: Run, refused: str, now: int) -> Run:
    """Return the run with its target's response to the request, and the time of the next one.

    Args:
        run: the run.
        refused: the target's error; "" if it accepted the request.
        now: the time.
    """
    request = current_cancellation(run)
    if request is None or run.status.is_finished:
        return run
    answered = replace(request, refused=refused)
    others = (each for each in run.cancellations if each != request)
    wait = min(max(now - request.at, CANCEL_AGAIN_MS), LEAST_OFTEN_MS)
    return replace(run, cancellations=(*others, answered), next_at=now + wait)
