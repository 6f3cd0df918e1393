"""Reports in any order, any number of times, give the run state of the ordered sequence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.definitions.runs import StepFailure
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.run_state import (
    LAUNCH_DUE_MS,
    OVERDUE_MS,
    UNKNOWN_FAILURE,
    Report,
    fold,
    with_early_check,
)
from treadle.model.runs import Claim, Failure, LaunchBackoff, PendingStart, Run, Unanswered

CREATED = 1_000_000
MINUTE = 60_000
ENDS = [Status.SUCCESS, Status.FAILURE, Status.CANCELED]


def queued(attempt: int = 1) -> Run:
    """Return a run whose attempt was just dispatched."""
    return Run(
        "run",
        "job",
        "watch",
        "key",
        "tick",
        "{}",
        {},
        CREATED,
        attempt=attempt,
        granted=attempt,
        reached={f"{n}/0": {"QUEUED": CREATED} for n in range(1, attempt + 1)},
        next_at=CREATED + LAUNCH_DUE_MS,
    )


def folded(*reports: Report, run: Run | None = None) -> Run:
    """Return the record after all the reports."""
    record = run or queued()
    for report in reports:
        record = fold(record, report)
    return record


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """Return some reports of one attempt and its redrives, in order."""
    reports: list[Report] = []
    time = CREATED
    reported_from_the_start = draw(st.booleans())
    if draw(st.booleans()):
        assumed = Failure("Assumed", "by Treadle", assumed=True)
        reports.append(Report(1, Status.FAILURE, CREATED + draw(st.integers(0, 500)), failure=assumed))
    for retry in range(draw(st.integers(1, 3))):
        begun = time + draw(st.integers(1, 100))
        path = [Status.QUEUED, Status.STARTING, Status.STARTED, Status.CANCELING, draw(st.sampled_from(ENDS))]
        time = begun
        for status in path:
            if not draw(st.booleans()):
                continue
            time += draw(st.integers(0, 100))
            failed = status in {Status.FAILURE, Status.CANCELED}
            is_explained = draw(st.booleans())
            knows_start = status.rank >= Status.STARTED.rank and reported_from_the_start
            reports.append(
                Report(
                    1,
                    status,
                    time,
                    retry=retry,
                    started_at=begun if knows_start else None,
                    external_id="execution",
                    target="arn",
                    failure=Failure("Reported", f"{status} {retry}") if failed and is_explained else None,
                )
            )
    return reports


@given(histories(), st.data())
def test_any_order_and_repetition_gives_the_record_of_the_ordered_sequence(
    history: list[Report], data: st.DataObject
) -> None:
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=5) if history else st.just([]))
    shuffled = data.draw(st.permutations(repeated))

    assert folded(*shuffled) == folded(*history)


@given(histories(), st.data())
def test_status_only_moves_forward(history: list[Report], data: st.DataObject) -> None:
    run = queued()

    for report in data.draw(st.permutations(history)):
        before, run = run, fold(run, report)

        places = [max(record.reached) for record in (before, run)]
        reported = [s for s in run.reached[places[1]] if not s.endswith("?")]
        assert places[0] <= places[1]
        if places[0] == places[1] and not any(f"{s}?" in run.reached[places[1]] for s in ENDS):
            assert before.status.rank <= run.status.rank
        assert run.status.value in {*reported, "FAILURE"}


@given(histories())
def test_second_report_of_the_same_changes_nothing(history: list[Report]) -> None:
    run = folded(*history)

    for report in history:
        assert fold(run, report) == run


def test_success_implies_that_it_started() -> None:
    run = folded(Report(1, Status.SUCCESS, CREATED + 9))

    assert run.reached == {
        "1/0": {"QUEUED": CREATED, "STARTING": CREATED + 9, "STARTED": CREATED + 9, "SUCCESS": CREATED + 9}
    }
    assert (run.status, run.started_at, run.ended_at) == (Status.SUCCESS, CREATED + 9, CREATED + 9)


@pytest.mark.parametrize("end", [Status.FAILURE, Status.CANCELED])
def test_failure_does_not_imply_that_it_started(end: Status) -> None:
    run = folded(Report(1, end, CREATED + 9))

    assert set(run.reached["1/0"]) == {"QUEUED", end.value}
    assert (run.status, run.started_at, run.ended_at) == (end, None, CREATED + 9)


@pytest.mark.parametrize("status", [Status.STARTED, Status.FAILURE])
def test_claim_and_its_token_end_with_the_launch(status: Status) -> None:
    start = PendingStart("t", CREATED, "arn:machine", "step_functions", role="arn:role")
    claimed = replace(queued(), claim=Claim("t", CREATED + 1), pending_start=start)

    run = fold(claimed, Report(1, status, CREATED + 5))

    assert (run.claim, run.pending_start) == (None, replace(start, token=""))


def test_reported_start_implies_starting_whatever_the_status() -> None:
    run = folded(Report(1, Status.FAILURE, CREATED + 9, started_at=CREATED + 5))

    assert run.reached["1/0"] == {
        "QUEUED": CREATED,
        "STARTING": CREATED + 5,
        "STARTED": CREATED + 5,
        "FAILURE": CREATED + 9,
    }
    assert run.started_at == CREATED + 5


def test_reported_start_is_the_time_of_the_start_whenever_the_report_was_made() -> None:
    run = folded(Report(1, Status.STARTED, CREATED + 9, started_at=CREATED + 12))

    assert run.started_at == CREATED + 12


def test_each_status_keeps_the_earliest_time_reported_for_it() -> None:
    run = folded(Report(1, Status.STARTED, CREATED + 9), Report(1, Status.STARTED, CREATED + 5))

    assert run.started_at == CREATED + 5


def test_redrive_counts_more_than_the_end_before_it() -> None:
    run = folded(
        Report(1, Status.FAILURE, CREATED + 5, failure=Failure("Reported", "first")),
        Report(1, Status.STARTED, CREATED + 9, retry=1),
    )

    assert (run.status, run.failure, run.ended_at) == (Status.STARTED, None, None)
    assert (run.started_at, run.next_at) == (CREATED + 9, CREATED + 9 + OVERDUE_MS)


def test_tenth_redrive_counts_more_than_the_ninth() -> None:
    run = folded(
        Report(1, Status.STARTED, CREATED + 9, retry=10), Report(1, Status.FAILURE, CREATED, retry=9)
    )

    assert run.status is Status.STARTED


def test_report_of_an_earlier_attempt_is_kept_and_moves_nothing() -> None:
    run = queued(attempt=2)

    late = fold(
        run,
        Report(1, Status.SUCCESS, CREATED + 5, external_id="old", target="old", failure=None),
    )

    assert late == replace(run, reached={**run.reached, "1/0": late.reached["1/0"]}, updated_at=CREATED + 5)
    assert late.reached["1/0"]["SUCCESS"] == CREATED + 5


def test_report_of_the_present_attempt_names_the_execution() -> None:
    run = folded(
        Report(1, Status.STARTED, CREATED, external_id="e", target="t"), Report(1, Status.SUCCESS, CREATED)
    )

    assert (run.external_id, run.target) == ("e", "t")


def test_started_run_is_checked_again_after_an_hour_and_a_finished_one_never() -> None:
    started = folded(Report(1, Status.STARTED, CREATED + 5))
    finished = fold(started, Report(1, Status.SUCCESS, CREATED + 9))

    assert (started.next_at, finished.next_at) == (CREATED + 5 + OVERDUE_MS, None)


def test_run_is_checked_a_quarter_of_an_hour_after_it_was_queued_and_an_hour_after_it_started() -> None:
    starting = folded(Report(1, Status.STARTING, CREATED + 5))
    started = fold(starting, Report(1, Status.STARTED, CREATED + 9))

    assert starting.next_at == CREATED + 15 * MINUTE
    assert started.next_at == CREATED + 9 + 60 * MINUTE


@pytest.mark.parametrize(
    ("status", "account", "minutes"),
    [
        (Status.STARTED, "210987654321", 5),
        (Status.STARTED, "123456789012", 60),
        (Status.STARTING, "210987654321", 15),
    ],
)
@pytest.mark.parametrize("is_pending", [True, False])
def test_only_a_run_that_started_in_another_account_is_checked_within_five_minutes(
    status: Status, account: str, minutes: int, *, is_pending: bool
) -> None:
    arn = f"arn:aws:glue:us-east-1:{account}:job/load"
    pending = PendingStart("t", CREATED, arn) if is_pending else None
    run = replace(
        folded(Report(1, status, CREATED)), target="load" if pending else arn, pending_start=pending
    )

    assert with_early_check(run, "123456789012/us-east-1/x", CREATED).next_at == CREATED + minutes * MINUTE
    late = replace(run, next_at=None)
    assert with_early_check(late, "123456789012/us-east-1/x", CREATED) == late


@pytest.mark.parametrize(
    ("status", "is_delayed", "is_unanswered"),
    [(Status.QUEUED, True, True), (Status.STARTED, False, True), (Status.SUCCESS, False, False)],
)
def test_wait_for_the_start_ends_with_it_and_the_target_owes_no_answer_after_the_end(
    status: Status, *, is_delayed: bool, is_unanswered: bool
) -> None:
    delayed, unanswered = LaunchBackoff("busy", CREATED, CREATED), Unanswered("denied", CREATED, CREATED)
    run = replace(queued(), delayed=delayed, unanswered=unanswered)

    run = fold(run, Report(1, status, CREATED + 5))

    assert run.delayed == (delayed if is_delayed else None)
    assert run.unanswered == (unanswered if is_unanswered else None)


def test_nothing_happened_long_after_it_was_observed() -> None:
    day, within = 24 * 60 * MINUTE, 5 * MINUTE
    reports = [
        Report(1, Status.SUCCESS, CREATED + day, started_at=CREATED + 1, observed_at=CREATED + 9),
        Report(1, Status.SUCCESS, CREATED + 8, started_at=CREATED + day, observed_at=CREATED + 9),
        Report(1, Status.FAILURE, CREATED + day, observed_at=CREATED + 9),
        Report(1, Status.SUCCESS, CREATED + within, started_at=CREATED + 1, observed_at=CREATED),
        Report(1, Status.SUCCESS, CREATED + day, started_at=CREATED + day),
    ]

    assert [(run.started_at, run.ended_at) for run in map(folded, reports)] == [
        (CREATED + 1, CREATED + 9),
        (CREATED + 9, CREATED + 8),
        (None, CREATED + 9),
        (CREATED + 1, CREATED + within),
        (CREATED + day, CREATED + day),
    ]


def test_late_report_of_an_earlier_retry_names_an_execution_that_has_no_name_yet() -> None:
    run = folded(
        Report(1, Status.STARTED, CREATED, retry=1), Report(1, Status.FAILURE, CREATED, external_id="e")
    )

    assert (run.status, run.external_id) == (Status.STARTED, "e")


def test_retries_are_the_present_attempts_own() -> None:
    run = replace(queued(attempt=2), reached={"1/3": {"QUEUED": CREATED}})

    assert run.target_retry == 0
    assert fold(run, Report(2, Status.STARTED, CREATED, retry=1)).target_retry == 1


def test_check_that_was_put_off_stays_put_off_while_nothing_new_is_reported() -> None:
    report = Report(1, Status.STARTED, CREATED + 5)
    run = replace(folded(report), next_at=CREATED + 5 * OVERDUE_MS)

    assert fold(run, report) == run


REASONS = st.one_of(
    st.none(),
    st.builds(
        Failure,
        st.sampled_from(["Reported", UNKNOWN_FAILURE]),
        st.sampled_from(["", "short", "longer", "text"]),
        assumed=st.booleans(),
        steps=st.sampled_from([(), (StepFailure("s", "E", "c"),), (StepFailure("t", "E", "c"),)]),
    ),
)


@st.composite
def disputed_ends(draw: st.DrawFn) -> list[Report]:
    """Ends of one attempt and its redrive that contradict each other, with any reasons."""
    ends = st.builds(
        Report,
        st.just(1),
        st.sampled_from([Status.STARTED, *ENDS]),
        st.integers(CREATED, CREATED + 9),
        retry=st.integers(0, 1),
        failure=REASONS,
        observed_at=st.just(CREATED),
    )
    named = [
        replace(each, external_id=f"execution {each.retry}", target="arn")
        for each in draw(st.lists(ends, min_size=1, max_size=6))
    ]
    # Only an end has a reason.
    return [each if each.status in ENDS[1:] else replace(each, failure=None) for each in named]


@given(disputed_ends(), st.data())
def test_ends_that_contradict_each_other_fold_alike_in_any_order(
    ends: list[Report], data: st.DataObject
) -> None:
    """I7."""
    repeated = ends + data.draw(st.lists(st.sampled_from(ends), max_size=3))

    assert folded(*data.draw(st.permutations(repeated))) == folded(*ends)


def test_reason_of_one_end_is_not_kept_for_another_that_outranks_it() -> None:
    canceled = Report(1, Status.CANCELED, CREATED + 5, failure=Failure("Canceled", "by an operator"))
    failed = Report(1, Status.FAILURE, CREATED + 5, failure=Failure("Failed", "1"))

    assert folded(canceled, failed).failure == folded(failed, canceled).failure == Failure("Failed", "1")


def test_what_treadle_assumed_is_not_the_reason_of_an_end_that_was_reported() -> None:
    assumed = Report(1, Status.FAILURE, CREATED, failure=Failure("Lost", "by Treadle", assumed=True))
    reported = Report(1, Status.FAILURE, CREATED + 5)

    assert folded(assumed, reported).failure is folded(reported, assumed).failure is None


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        (Failure("E", "reported"), Failure("E", "a long assumption", assumed=True)),
        (Failure("E", "reported"), Failure(UNKNOWN_FAILURE, "nothing is known any more")),
        (Failure("E", "c", steps=(StepFailure("s", "E", "c"),)), Failure("E", "without steps")),
        (Failure("E", "longer"), Failure("F", "short")),
    ],
)
def test_of_two_reasons_for_one_end_the_better_is_kept_in_either_order(kept: Failure, other: Failure) -> None:
    one, two = (Report(1, Status.FAILURE, CREATED, failure=failure) for failure in (kept, other))

    assert folded(one, two).failure == folded(two, one).failure == kept


def test_name_of_the_targets_last_retry_stays_whatever_comes_late() -> None:
    late = Report(1, Status.FAILURE, CREATED, external_id="first", target="arn")
    retry = Report(1, Status.STARTED, CREATED, retry=1, external_id="second", target="arn")

    assert folded(late, retry).external_id == folded(retry, late).external_id == "second"
