"""How reports are applied to a run record; their order of arrival does not matter."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from treadle.definitions.clocks import bounded, is_ahead
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.arns import is_elsewhere
from treadle.engine.record.max_runtime import current_cancellation, runtime_ends_at
from treadle.engine.record.pool_slots import with_slots
from treadle.engine.record.retries import with_retry
from treadle.model.runs import Failure, PendingStart, Run

LAUNCH_DUE_MS = 900_000
"""A run that no launch has claimed within 15 minutes is checked."""

MESSAGE_LOST_MS = 120_000
"""A launch message that is this late is considered lost, and RECONCILE sends it again."""

OVERDUE_MS = 3_600_000
"""A started run is checked after an hour without events."""

ELSEWHERE_MS = 300_000
"""The same in another account, whose events may not come here: only there can be seen whether rules deliver them."""

ASSUMED = "?"
"""Marks a status that Treadle inferred and no target reported; a reported end outranks it."""

UNKNOWN_FAILURE = "UnknownFailureError"
"""The name of a failure whose reason the target no longer has."""

_STARTED = (Status.QUEUED, Status.STARTING, Status.STARTED)
_IMPLIED: Mapping[Status, tuple[Status, ...]] = {
    Status.STARTING: (Status.QUEUED,),
    Status.STARTED: (Status.QUEUED, Status.STARTING),
    Status.SUCCESS: _STARTED,
}


@dataclass(frozen=True, slots=True)
class Report:
    """A report about one attempt.

    Attributes:
        attempt: the attempt's number.
        status: the status.
        time: when it was reached.
        retry: the target's own count of retries or redrives.
        started_at: when the attempt started, where that is reported too; implies STARTED.
        external_id: the target's id of the execution.
        target: the address of what runs.
        failure: why it failed; its `assumed` says that Treadle inferred it.
        observed_at: when Treadle received it; None for at once.
    """

    attempt: int
    status: Status
    time: int
    retry: int = 0
    started_at: int | None = None
    external_id: str | None = None
    target: str | None = None
    failure: Failure | None = None
    observed_at: int | None = None

    @property
    def place(self) -> str:
        """The attempt and retry, as a key of `Run.reached`."""
        return f"{self.attempt}/{self.retry}"


def fold(run: Run, report: Report) -> Run:
    """Apply a report to a record; return an equal record if nothing is new.

    Statuses are only ever added, each with the earliest time reported. So the result does not depend on the
    order of the reports.

    Args:
        run: the record.
        report: of the current or another attempt.
    """
    report = _with_cancellation(run, _believed(report))
    reached = _add_statuses(run.reached, report)
    place = max(reached, key=_order)
    times = reached[place]
    status = _highest(times)
    observed_at = report.time if report.observed_at is None else report.observed_at
    attempt = _order(place)[0]
    # A late report of an earlier retry does not change the execution's id.
    latest = report.place == place or (report.attempt == attempt and run.external_id is None)
    folded = replace(
        run,
        reached=reached,
        updated_at=run.updated_at if reached == run.reached else max(run.updated_at, observed_at),
        status=status,
        delayed=run.delayed if status is Status.QUEUED else None,
        claim=run.claim if status is Status.QUEUED else None,
        pending_start=run.pending_start if status is Status.QUEUED else _without_token(run.pending_start),
        unanswered=None if status.is_finished else run.unanswered,
        attempt=attempt,
        started_at=times.get(Status.STARTED),
        ended_at=times.get(status, times.get(status + ASSUMED)) if status.is_finished else None,
        next_at=run.next_at if reached == run.reached else _next_check(status, times),
        external_id=(report.external_id if latest else None) or run.external_id,
        target=(report.target if latest else None) or run.target,
        failure=_failure(run, report, status, reached),
    )
    if reached != run.reached and status is Status.STARTED and (request := current_cancellation(folded)):
        # It was to end before it had started.
        folded = replace(folded, next_at=max(request.at, folded.started_at or 0))
    return with_slots(with_retry(folded))


def checked_first_at(run: Run, place: str) -> int | None:
    """Return when a started run is checked first if no event comes; None if it is not, or is to end.

    Args:
        run: the run.
        place: the own account and region, as `account/region`, and whatever follows.
    """
    started_at = run.started_at
    if run.status is not Status.STARTED or started_at is None or current_cancellation(run) is not None:
        return None
    return with_early_check(replace(run, next_at=started_at + OVERDUE_MS), place, started_at).next_at


def with_early_check(run: Run, place: str, now: int) -> Run:
    """Return the record, with its next check at its maximum runtime, or in minutes if it is in another account.

    Args:
        run: the record.
        place: the own account and region, as `account/region`, and whatever follows.
        now: the time.
    """
    address = (
        run.pending_start.target if run.pending_start is not None and run.pending_start.target else run.target
    )
    if run.next_at is None or run.status is not Status.STARTED:
        return run
    ends_at = runtime_ends_at(run)
    times = [run.next_at]
    if is_elsewhere(address, place):
        times.append(now + ELSEWHERE_MS)
    if ends_at is not None and current_cancellation(run) is None:
        times.append(ends_at)
    return replace(run, next_at=min(times))


def _with_cancellation(run: Run, report: Report) -> Report:
    """Return a reported CANCELED that Treadle caused with its reason, and as the failure that this may be."""
    if report.status is not Status.CANCELED:
        return report
    for each in run.cancellations:
        if each.place == report.place:
            return replace(report, status=each.status, failure=Failure(each.error, each.cause))
    return report


def _believed(report: Report) -> Report:
    """Return the report with plausible times: nothing happened long after it was observed."""
    now = report.observed_at
    if now is None or not any(is_ahead(time, now) for time in (report.time, report.started_at or 0)):
        return report
    started_at = None if report.started_at is None else bounded(report.started_at, now)
    return replace(report, time=bounded(report.time, now), started_at=started_at)


def _add_statuses(reached: Mapping[str, Mapping[str, int]], report: Report) -> dict[str, Mapping[str, int]]:
    begun = report.time if report.started_at is None else report.started_at
    implied = _IMPLIED.get(report.status, ()) if report.started_at is None else _STARTED
    times: dict[str, int] = {status.value: begun for status in implied}
    assumed = report.failure is not None and report.failure.assumed
    times.setdefault(report.status.value + ASSUMED * assumed, report.time)
    before = reached.get(report.place, {})
    added = {name: min(time, before.get(name, time)) for name, time in times.items()}
    return {**reached, report.place: {**before, **added}}


def _order(place: str) -> tuple[int, int]:
    attempt, retry = place.split("/")
    return int(attempt), int(retry)


def _highest(times: Mapping[str, int]) -> Status:
    reported = [Status(name) for name in times if not name.endswith(ASSUMED)]
    assumed = [Status(name.removesuffix(ASSUMED)) for name in times if name.endswith(ASSUMED)]
    if assumed and not any(status.is_finished for status in reported):
        reported += assumed
    return max(reported, key=lambda status: status.rank)


def _next_check(status: Status, times: Mapping[str, int]) -> int | None:
    if status.is_finished:
        return None
    started = times.get(Status.STARTED)
    return min(times.values()) + LAUNCH_DUE_MS if started is None else started + OVERDUE_MS


def _failure(
    run: Run, report: Report, status: Status, reached: Mapping[str, Mapping[str, int]]
) -> Failure | None:
    if status not in {Status.FAILURE, Status.CANCELED}:
        return None
    top = max(reached, key=_order)
    stands = run.status is status and max(run.reached, key=_order) == top
    is_reported = status in reached[top]
    known = [run.failure] if stands else []
    new = [report.failure] if report.place == top and report.status is status else []
    # An inferred reason counts only until the end is reported.
    reasons = [each for each in known + new if each is not None and not (each.assumed and is_reported)]
    return max(reasons, key=_weight, default=None)


def _weight(failure: Failure) -> tuple[object, ...]:
    """Return the sort key that selects between two reasons for one end: the more detailed one wins.

    The parts after the length only make the choice independent of the order.
    """
    return (
        failure.error != UNKNOWN_FAILURE,
        len(failure.steps),
        len(failure.cause),
        failure.cause,
        failure.error,
        [(step.step_key, step.error, step.cause) for step in failure.steps],
    )


def _without_token(pending_start: PendingStart | None) -> PendingStart | None:
    """Return how the current attempt was started; no later launch compares its token."""
    return None if pending_start is None else replace(pending_start, token="")
