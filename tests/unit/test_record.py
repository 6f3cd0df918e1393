"""RECORD: applies the target's events of our executions, and of no others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.house import ARN, JOB, RUN_IDS, House
from treadle.definitions.errors import LaunchDelayedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.model.runs import Failure, Run
from treadle.model.targets import Execution
from treadle.testing.targets import InMemoryTarget

NOON = 1_795_370_400_000
RUN_ID = RUN_IDS.keyed("watch", "k")


class SilentTarget(InMemoryTarget):
    """A target that does not say how executions stand."""

    def describe(self, external_id: str, role: str = "") -> Execution:
        msg = f"throttled: {external_id}"
        raise LaunchDelayedError(msg)


def start(house: House) -> Run:
    """Return a run that LAUNCH has started."""
    house.tables.runs[RUN_ID] = Run(
        RUN_ID, JOB, "watch", "k", "tick", "{}", {}, NOON, reached={"1/0": {"QUEUED": NOON}}
    )
    house.launcher().launch(LaunchRequest(RUN_ID, 1, JOB), 30)
    return house.only_run()


def test_end_that_the_target_reports_is_the_runs_end(house: House) -> None:
    run = start(house)
    house.clock.advance(60)

    outcome = house.recorder().record(house.change(run, Status.SUCCESS))

    after = house.only_run()
    assert (outcome.decision, outcome.subject) == (Decision.RECORDED, f"{RUN_ID}-1")
    assert outcome.reason == "The run is at SUCCESS."
    assert (after.status, after.ended_at, after.next_at) == (Status.SUCCESS, NOON + 60_000, None)


def test_report_says_when_the_execution_started(house: House) -> None:
    run = start(house)

    house.recorder().record(house.change(run, Status.STARTED, started_at=NOON - 5))

    assert house.only_run().started_at == NOON - 5


def test_time_that_lies_far_ahead_is_taken_for_now_and_a_small_skew_is_not(house: House) -> None:
    run = start(house)
    far = NOON + 70 * 365 * 86_400_000
    ended = replace(house.change(run, Status.SUCCESS), time=far, started_at=far)

    house.recorder().record(ended)
    house.clock.advance(3_600)
    house.recorder().record(ended)

    after = house.only_run()
    assert (after.started_at, after.ended_at, after.updated_at) == (NOON, NOON, NOON)

    house.tables.runs.clear()
    run = start(house)
    house.recorder().record(replace(house.change(run, Status.SUCCESS), time=house.clock.now() + 60_000))
    assert house.only_run().ended_at == house.clock.now() + 60_000


def test_report_that_overtakes_the_launch_names_the_execution(house: House) -> None:
    queued = Run(RUN_ID, JOB, "watch", "k", "tick", "{}", {}, NOON, reached={"1/0": {"QUEUED": NOON}})
    house.tables.runs[RUN_ID] = queued

    house.recorder().record(house.change(queued, Status.STARTED))

    run = house.only_run()
    assert (run.status, run.external_id, run.target) == (Status.STARTED, f"{ARN}:{RUN_ID}-1", ARN)


@pytest.mark.parametrize("status", [Status.FAILURE, Status.CANCELED])
def test_failure_is_recorded_with_the_targets_own_cause(house: House, status: Status) -> None:
    run = start(house)
    failure = Failure("States.TaskFailed", "division by zero")
    house.target.finish(f"{ARN}:{RUN_ID}-1", status, failure)

    house.recorder().record(house.change(run, status))

    assert (house.only_run().status, house.only_run().failure) == (status, failure)


def test_targets_cause_supersedes_what_treadle_assumed(house: House) -> None:
    run = start(house)
    assumed = Failure("Assumed", "outcome unknown", assumed=True)
    house.tables.runs[RUN_ID] = replace(
        run, status=Status.FAILURE, failure=assumed, reached={"1/0": {"QUEUED": NOON, "FAILURE?": NOON}}
    )
    reported = Failure("States.Timeout", "too slow")
    house.target.finish(f"{ARN}:{RUN_ID}-1", Status.FAILURE, reported)

    house.recorder().record(house.change(run, Status.FAILURE))

    assert house.only_run().failure == reported


def test_success_is_recorded_without_querying_the_target(house: House) -> None:
    run = start(house)
    house.target.executions.clear()

    assert house.recorder().record(house.change(run, Status.SUCCESS)).decision is Decision.RECORDED


def test_failure_that_cannot_be_explained_yet_is_recorded_and_its_reason_comes_later(house: House) -> None:
    run = start(house)
    reported = Failure("States.Timeout", "too slow")
    silent, house.target = house.target, SilentTarget(house.clock)

    with pytest.raises(LaunchDelayedError, match="throttled"):
        house.recorder().record(house.change(run, Status.FAILURE))
    before = house.only_run()
    house.target = silent
    house.target.finish(f"{ARN}:{RUN_ID}-1", Status.FAILURE, reported)
    house.recorder().record(house.change(run, Status.FAILURE))

    assert (before.status, before.failure) == (Status.FAILURE, None)
    assert (house.only_run().status, house.only_run().failure) == (Status.FAILURE, reported)


def test_failure_that_the_target_knows_nothing_of_any_more_is_recorded_as_unknown(house: House) -> None:
    run = start(house)
    house.target.executions.clear()

    outcome = house.recorder().record(house.change(run, Status.FAILURE))

    failure = house.only_run().failure
    assert (outcome.decision, house.only_run().status) == (Decision.RECORDED, Status.FAILURE)
    assert failure is not None
    assert (failure.error, failure.assumed) == ("UnknownFailureError", False)


@pytest.mark.parametrize(
    "name",
    ["nightly", "", f"{RUN_ID}", f"{RUN_ID}-0", f"{RUN_ID}-1-2", f"{RUN_IDS.keyed('watch', 'other')}-1"],
)
def test_execution_whose_name_is_none_of_ours_is_foreign(house: House, name: str) -> None:
    run = start(house)

    outcome = house.recorder().record(house.change(run, Status.FAILURE, name=name))

    assert (outcome.decision, outcome.subject) == (Decision.FOREIGN, f"{ARN}:{RUN_ID}-1")
    assert house.only_run() == run


def test_attempt_beyond_the_runs_is_foreign(house: House) -> None:
    run = start(house)

    outcome = house.recorder().record(house.change(run, Status.SUCCESS, name=f"{RUN_ID}-2"))

    assert (outcome.decision, house.only_run()) == (Decision.FOREIGN, run)


@pytest.mark.parametrize("arn", [f"{ARN}-other", ARN.replace("123456789012", "999999999999"), ""])
def test_foreign_execution_that_took_the_name_changes_nothing(house: House, arn: str) -> None:
    run = start(house)

    outcome = house.recorder().record(house.change(run, Status.SUCCESS, target=arn))

    assert outcome.decision is Decision.FOREIGN
    assert f"is not the target of job {JOB!r}" in outcome.reason
    assert house.only_run() == run


def test_run_whose_job_was_given_another_target_since_is_still_recorded(house: House) -> None:
    run = start(house)
    house.jobs = {JOB: replace(house.jobs[JOB], arn=f"{ARN}-v2")}

    assert house.recorder().record(house.change(run, Status.SUCCESS)).decision is Decision.RECORDED
    assert house.only_run().status is Status.SUCCESS


def test_run_whose_job_is_configured_no_more_is_still_recorded(house: House) -> None:
    run = start(house)
    house.jobs = {}

    house.recorder().record(house.change(run, Status.SUCCESS))

    assert house.only_run().status is Status.SUCCESS


def test_late_report_of_an_earlier_attempt_moves_nothing(house: House) -> None:
    run = start(house)
    second = replace(
        run,
        attempt=2,
        granted=2,
        status=Status.QUEUED,
        external_id=None,
        reached={**run.reached, "2/0": {"QUEUED": NOON}},
    )
    house.tables.runs[RUN_ID] = second

    outcome = house.recorder().record(house.change(run, Status.SUCCESS, name=f"{RUN_ID}-1"))

    after = house.only_run()
    assert outcome.decision is Decision.RECORDED
    assert (after.attempt, after.status, after.external_id) == (2, Status.QUEUED, None)


@given(st.permutations([Status.STARTED, Status.CANCELING, Status.SUCCESS]), st.integers(1, 3))
def test_reports_in_any_order_and_number_end_at_the_same_record(order: list[Status], times: int) -> None:
    """I7."""
    expected, shuffled = House(), House()
    for house, reports in (
        (expected, [Status.STARTED, Status.CANCELING, Status.SUCCESS]),
        (shuffled, order * times),
    ):
        run = start(house)
        for status in reports:
            change = house.change(run, status, time=NOON + status.rank, started_at=NOON)
            house.recorder().record(change)

    assert shuffled.only_run() == replace(expected.only_run(), revision=shuffled.only_run().revision)
