"""Why a run failed: which of several reasons its record keeps."""

import pytest

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Failure, Run

CREATED = 1_000_000
ENDS = [Status.SUCCESS, Status.FAILURE, Status.CANCELED]


def folded(*reports: Report) -> Run:
    """Return a queued run's record after all the reports."""
    record = Run(
        "run", "job", "watch", "key", "tick", "{}", {}, CREATED, reached={"1/0": {"QUEUED": CREATED}}
    )
    for report in reports:
        record = fold(record, report)
    return record


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_late", [True, False])
def test_reported_end_outranks_an_assumed_one(end: Status, is_late: bool) -> None:
    reported = Failure("Reported", "by the target") if end is not Status.SUCCESS else None
    reports = [
        Report(1, Status.FAILURE, CREATED + 5, failure=Failure("Assumed", "by Treadle", assumed=True)),
        Report(1, end, CREATED + 9, failure=reported),
    ]

    run = folded(*(reports if is_late else reports[::-1]))

    assert (run.status, run.failure, run.ended_at) == (end, reported, CREATED + 9)


@pytest.mark.parametrize("is_late", [True, False])
def test_assumed_reason_goes_with_the_end_that_was_assumed(is_late: bool) -> None:
    reports = [
        Report(1, Status.FAILURE, CREATED + 5, failure=Failure("Assumed", "by Treadle", assumed=True)),
        Report(1, Status.CANCELED, CREATED + 9),
    ]

    run = folded(*(reports if is_late else reports[::-1]))

    assert (run.status, run.failure) == (Status.CANCELED, None)


@pytest.mark.parametrize("is_late", [True, False])
def test_reason_of_an_end_before_a_redrive_is_not_that_of_the_end_after_it(is_late: bool) -> None:
    reports = [
        Report(1, Status.FAILURE, CREATED + 5, failure=Failure("Reported", "first")),
        Report(1, Status.FAILURE, CREATED + 9, retry=1),
    ]

    run = folded(*(reports if is_late else reports[::-1]))

    assert (run.status, run.ended_at, run.failure) == (Status.FAILURE, CREATED + 9, None)


@pytest.mark.parametrize("assumed", [True, False])
def test_of_two_reasons_for_one_end_the_same_is_kept_whichever_comes_first(assumed: bool) -> None:
    """I7."""
    reports = [
        Report(1, Status.FAILURE, CREATED, failure=Failure("Error", message, assumed=assumed))
        for message in ("first", "second")
    ]

    assert folded(*reports).failure == folded(*reports[::-1]).failure == reports[1].failure


def test_success_has_no_reason_of_failure_whatever_was_reported_before() -> None:
    run = folded(
        Report(1, Status.FAILURE, CREATED + 5, failure=Failure("Reported", "text")),
        Report(1, Status.SUCCESS, CREATED + 9),
    )

    assert (run.status, run.failure) == (Status.SUCCESS, None)


def test_assumed_end_stands_until_the_target_reports_one() -> None:
    failure = Failure("Assumed", "by Treadle", assumed=True)

    run = folded(
        Report(1, Status.STARTED, CREATED + 3),
        Report(1, Status.FAILURE, CREATED + 5, failure=failure),
    )

    assert (run.status, run.failure, run.ended_at, run.next_at) == (
        Status.FAILURE,
        failure,
        CREATED + 5,
        None,
    )
