"""RECORD: applies the target's events of our executions, and of no others."""

from collections.abc import Collection
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.counting_runs import CountingRuns
from tests.support.engine import ARN, JOB, RUN_IDS, EngineHarness
from treadle.definitions.errors import LaunchDelayedError, StoreThrottledError, UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.record.recorder import Recorder
from treadle.model.runs import Failure, Reaction, Run
from treadle.model.targets import Execution
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.targets import InMemoryTarget

NOON = 1_795_370_400_000
RUN_ID = RUN_IDS.keyed("watch", "k")


class SilentTarget(InMemoryTarget):
    """A target that does not say how executions stand."""

    def describe(self, external_id: str, role: str = "") -> Execution:
        msg = f"throttled: {external_id}"
        raise LaunchDelayedError(msg)


def start(harness: EngineHarness) -> Run:
    """Return a run that LAUNCH has started."""
    harness.tables.runs[RUN_ID] = Run(
        RUN_ID, JOB, "watch", "k", "tick", "{}", {}, NOON, reached={"1/0": {"QUEUED": NOON}}
    )
    harness.launcher().launch(LaunchRequest(RUN_ID, 1, JOB), 30)
    return harness.only_run()


def test_end_that_the_target_reports_is_the_runs_end(harness: EngineHarness) -> None:
    run = start(harness)
    harness.clock.advance(60)

    outcome = harness.recorder().record(harness.change(run, Status.SUCCESS))

    after = harness.only_run()
    assert (outcome.decision, outcome.subject) == (Decision.RECORDED, f"{RUN_ID}-1")
    assert outcome.reason == "The run is at SUCCESS."
    assert (after.status, after.ended_at, after.next_at) == (Status.SUCCESS, NOON + 60_000, None)


def several(harness: EngineHarness) -> list[Run]:
    """Return runs that LAUNCH has started."""
    for key in "abc":
        run_id = RUN_IDS.keyed("watch", key)
        reached = {"1/0": {"QUEUED": NOON}}
        harness.tables.runs[run_id] = Run(run_id, JOB, "watch", key, "tick", "{}", {}, NOON, reached=reached)
        harness.launcher().launch(LaunchRequest(run_id, 1, JOB), 30)
    return list(harness.tables.runs.values())


def recorder_on(harness: EngineHarness, runs: InMemoryRunStore) -> Recorder:
    made = harness.recorder()
    made._runs = runs
    return made


def test_changes_of_a_batch_are_read_and_written_together(harness: EngineHarness) -> None:
    runs = several(harness)
    store = CountingRuns(harness.tables)
    changes = [harness.change(run, status) for run in runs for status in (Status.STARTED, Status.SUCCESS)]

    results = recorder_on(harness, store).record_many(changes)

    assert [each.reason for each in results if isinstance(each, Outcome)] == [
        f"The run is at {status}." for _ in runs for status in ("STARTED", "SUCCESS")
    ]
    assert [run.status for run in harness.tables.runs.values()] == [Status.SUCCESS] * 3
    assert store.called == ["get_many", "replace_many of 3"]


def test_change_of_a_run_that_others_change_meanwhile_is_applied_to_what_they_wrote(
    harness: EngineHarness,
) -> None:
    runs = several(harness)
    reaction = Reaction("watch", "event", "tick", NOON)

    def meanwhile() -> None:
        current = harness.tables.runs[runs[1].run_id]
        if not current.reactions:
            harness.runs.replace(replace(current, reactions=(reaction,)))

    store = CountingRuns(harness.tables, meanwhile)

    recorder_on(harness, store).record_many([harness.change(run, Status.SUCCESS) for run in runs])

    assert [run.status for run in harness.tables.runs.values()] == [Status.SUCCESS] * 3
    assert harness.tables.runs[runs[1].run_id].reactions == (reaction,)


def test_one_that_cannot_be_recorded_fails_no_other_of_its_batch(harness: EngineHarness) -> None:
    runs = several(harness)
    harness.tables.unreadable[runs[0].run_id,] = "reached is no JSON"
    foreign = replace(harness.change(runs[1], Status.SUCCESS), name="somebody-else")

    results = harness.recorder().record_many(
        [foreign, *(harness.change(run, Status.SUCCESS) for run in runs)]
    )

    assert [type(each) for each in results] == [Outcome, UnreadableRecordError, Outcome, Outcome]
    assert [run.status for run in harness.tables.runs.values()][1:] == [Status.SUCCESS] * 2


def test_report_that_cannot_be_applied_fails_no_other_of_its_batch(harness: EngineHarness) -> None:
    runs = several(harness)
    broken = replace(harness.change(runs[0], Status.SUCCESS), time=cast("int", "noon"))

    results = harness.recorder().record_many(
        [broken, *(harness.change(run, Status.SUCCESS) for run in runs[1:])]
    )

    assert [type(each) for each in results] == [TypeError, Outcome, Outcome]
    assert [run.status for run in harness.tables.runs.values()] == [Status.STARTED, *[Status.SUCCESS] * 2]


def test_store_that_does_not_answer_fails_each_change_of_the_batch(harness: EngineHarness) -> None:
    runs = several(harness)

    def down() -> None:
        raise StoreThrottledError("Too much.")

    for store in (CountingRuns(harness.tables, down), Down(harness.tables)):
        results = recorder_on(harness, store).record_many(
            [harness.change(run, Status.SUCCESS) for run in runs]
        )
        assert [type(each) for each in results] == [StoreThrottledError] * 3


class Down(InMemoryRunStore):
    """Reads nothing."""

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        raise StoreThrottledError("Too much.")


def test_report_says_when_the_execution_started(harness: EngineHarness) -> None:
    run = start(harness)

    harness.recorder().record(harness.change(run, Status.STARTED, started_at=NOON - 5))

    assert harness.only_run().started_at == NOON - 5


def test_time_that_lies_far_ahead_is_taken_for_now_and_a_small_skew_is_not(harness: EngineHarness) -> None:
    run = start(harness)
    far = NOON + 70 * 365 * 86_400_000
    ended = replace(harness.change(run, Status.SUCCESS), time=far, started_at=far)

    harness.recorder().record(ended)
    harness.clock.advance(3_600)
    harness.recorder().record(ended)

    after = harness.only_run()
    assert (after.started_at, after.ended_at, after.updated_at) == (NOON, NOON, NOON)

    harness.tables.runs.clear()
    run = start(harness)
    harness.recorder().record(replace(harness.change(run, Status.SUCCESS), time=harness.clock.now() + 60_000))
    assert harness.only_run().ended_at == harness.clock.now() + 60_000


def test_report_that_overtakes_the_launch_names_the_execution(harness: EngineHarness) -> None:
    queued = Run(RUN_ID, JOB, "watch", "k", "tick", "{}", {}, NOON, reached={"1/0": {"QUEUED": NOON}})
    harness.tables.runs[RUN_ID] = queued

    harness.recorder().record(harness.change(queued, Status.STARTED))

    run = harness.only_run()
    assert (run.status, run.external_id, run.target) == (Status.STARTED, f"{ARN}:{RUN_ID}-1", ARN)


@pytest.mark.parametrize("status", [Status.FAILURE, Status.CANCELED])
def test_failure_is_recorded_with_the_targets_own_cause(harness: EngineHarness, status: Status) -> None:
    run = start(harness)
    failure = Failure("States.TaskFailed", "division by zero")
    harness.target.finish(f"{ARN}:{RUN_ID}-1", status, failure)

    harness.recorder().record(harness.change(run, status))

    assert (harness.only_run().status, harness.only_run().failure) == (status, failure)


def test_targets_cause_supersedes_what_treadle_assumed(harness: EngineHarness) -> None:
    run = start(harness)
    assumed = Failure("Assumed", "outcome unknown", assumed=True)
    harness.tables.runs[RUN_ID] = replace(
        run, status=Status.FAILURE, failure=assumed, reached={"1/0": {"QUEUED": NOON, "FAILURE?": NOON}}
    )
    reported = Failure("States.Timeout", "too slow")
    harness.target.finish(f"{ARN}:{RUN_ID}-1", Status.FAILURE, reported)

    harness.recorder().record(harness.change(run, Status.FAILURE))

    assert harness.only_run().failure == reported


def test_success_is_recorded_without_querying_the_target(harness: EngineHarness) -> None:
    run = start(harness)
    harness.target.executions.clear()

    assert harness.recorder().record(harness.change(run, Status.SUCCESS)).decision is Decision.RECORDED


def test_failure_that_cannot_be_explained_yet_is_recorded_and_its_reason_comes_later(
    harness: EngineHarness,
) -> None:
    run = start(harness)
    reported = Failure("States.Timeout", "too slow")
    silent, harness.target = harness.target, SilentTarget(harness.clock)

    with pytest.raises(LaunchDelayedError, match="throttled"):
        harness.recorder().record(harness.change(run, Status.FAILURE))
    before = harness.only_run()
    harness.target = silent
    harness.target.finish(f"{ARN}:{RUN_ID}-1", Status.FAILURE, reported)
    harness.recorder().record(harness.change(run, Status.FAILURE))

    assert (before.status, before.failure) == (Status.FAILURE, None)
    assert (harness.only_run().status, harness.only_run().failure) == (Status.FAILURE, reported)


def test_failure_that_the_target_knows_nothing_of_any_more_is_recorded_as_unknown(
    harness: EngineHarness,
) -> None:
    run = start(harness)
    harness.target.executions.clear()

    outcome = harness.recorder().record(harness.change(run, Status.FAILURE))

    failure = harness.only_run().failure
    assert (outcome.decision, harness.only_run().status) == (Decision.RECORDED, Status.FAILURE)
    assert failure is not None
    assert (failure.error, failure.assumed) == ("UnknownFailureError", False)


@pytest.mark.parametrize(
    "name",
    ["nightly", "", f"{RUN_ID}", f"{RUN_ID}-0", f"{RUN_ID}-1-2", f"{RUN_IDS.keyed('watch', 'other')}-1"],
)
def test_execution_whose_name_is_none_of_ours_is_foreign(harness: EngineHarness, name: str) -> None:
    run = start(harness)

    outcome = harness.recorder().record(harness.change(run, Status.FAILURE, name=name))

    assert (outcome.decision, outcome.subject) == (Decision.FOREIGN, f"{ARN}:{RUN_ID}-1")
    assert harness.only_run() == run


def test_attempt_beyond_the_runs_is_foreign(harness: EngineHarness) -> None:
    run = start(harness)

    outcome = harness.recorder().record(harness.change(run, Status.SUCCESS, name=f"{RUN_ID}-2"))

    assert (outcome.decision, harness.only_run()) == (Decision.FOREIGN, run)


@pytest.mark.parametrize("arn", [f"{ARN}-other", ARN.replace("123456789012", "999999999999"), ""])
def test_foreign_execution_that_took_the_name_changes_nothing(harness: EngineHarness, arn: str) -> None:
    run = start(harness)

    outcome = harness.recorder().record(harness.change(run, Status.SUCCESS, target=arn))

    assert outcome.decision is Decision.FOREIGN
    assert f"is not the target of job {JOB!r}" in outcome.reason
    assert harness.only_run() == run


def test_run_whose_job_was_given_another_target_since_is_still_recorded(harness: EngineHarness) -> None:
    run = start(harness)
    harness.jobs = {JOB: replace(harness.jobs[JOB], arn=f"{ARN}-v2")}

    assert harness.recorder().record(harness.change(run, Status.SUCCESS)).decision is Decision.RECORDED
    assert harness.only_run().status is Status.SUCCESS


def test_run_whose_job_is_configured_no_more_is_still_recorded(harness: EngineHarness) -> None:
    run = start(harness)
    harness.jobs = {}

    harness.recorder().record(harness.change(run, Status.SUCCESS))

    assert harness.only_run().status is Status.SUCCESS


def test_late_report_of_an_earlier_attempt_moves_nothing(harness: EngineHarness) -> None:
    run = start(harness)
    second = replace(
        run,
        attempt=2,
        granted=2,
        status=Status.QUEUED,
        external_id=None,
        reached={**run.reached, "2/0": {"QUEUED": NOON}},
    )
    harness.tables.runs[RUN_ID] = second

    outcome = harness.recorder().record(harness.change(run, Status.SUCCESS, name=f"{RUN_ID}-1"))

    after = harness.only_run()
    assert outcome.decision is Decision.RECORDED
    assert (after.attempt, after.status, after.external_id) == (2, Status.QUEUED, None)


@given(st.permutations([Status.STARTED, Status.CANCELING, Status.SUCCESS]), st.integers(1, 3))
def test_reports_in_any_order_and_number_end_at_the_same_record(order: list[Status], times: int) -> None:
    """I7."""
    expected, shuffled = EngineHarness(), EngineHarness()
    for harness, reports in (
        (expected, [Status.STARTED, Status.CANCELING, Status.SUCCESS]),
        (shuffled, order * times),
    ):
        run = start(harness)
        for status in reports:
            change = harness.change(run, status, time=NOON + status.rank, started_at=NOON)
            harness.recorder().record(change)

    assert shuffled.only_run() == replace(expected.only_run(), revision=shuffled.only_run().revision)
