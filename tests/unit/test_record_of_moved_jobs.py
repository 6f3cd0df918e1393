"""RECORD when a job has moved: a run changes with events of its own target, and with no others."""

from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, EngineHarness
from tests.support.launching import NOON, RUN_ID
from tests.support.moved_jobs import ANYTHING, DENIED, MOVED, NEW_ARN, keep_reconciling, started, target_of
from treadle.definitions.errors import (
    LaunchDeniedError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.outcomes import Decision
from treadle.engine.record.external_runs import OBSERVED_TAG
from treadle.engine.record.recorder import REPORT, StatusChange
from treadle.model.runs import Failure, PendingStart
from treadle.model.targets import Execution, JobSettings
from treadle.testing.targets import InMemoryTarget


def moved(*former: str) -> dict[str, JobSettings]:
    """Return the job at another address, with those that its entry names as former ones."""
    return {JOB: replace(MOVED[JOB], former=former)}


def test_events_of_a_run_at_a_former_address_are_recorded(harness: EngineHarness) -> None:
    started(harness)
    harness.jobs = MOVED

    harness.recorder().record(harness.change(harness.only_run(), Status.SUCCESS))

    assert harness.only_run().status is Status.SUCCESS


def test_an_execution_at_the_new_address_does_not_end_a_run_at_the_former_one(harness: EngineHarness) -> None:
    started(harness)
    harness.jobs = MOVED
    run = harness.only_run()
    change = harness.change(run, Status.SUCCESS, target=NEW_ARN, external_id=f"{NEW_ARN}:{run.launch_id}")

    outcome = harness.recorder().record(change)

    assert outcome.decision is Decision.FOREIGN
    assert harness.only_run() == run


def test_a_name_of_another_kind_of_target_is_not_the_runs_address(harness: EngineHarness) -> None:
    started(harness)
    pending_start = PendingStart("t", NOON, "load", "glue")
    harness.tables.runs[RUN_ID] = run = replace(harness.only_run(), pending_start=pending_start, target=None)
    definition = "arn:aws:batch:us-east-1:123456789012:job-definition/load:3"
    change = harness.change(run, Status.SUCCESS, kind="batch", target=definition, external_id="b")

    assert harness.recorder().record(change).decision is Decision.FOREIGN


def test_a_failure_whose_reason_is_denied_since_the_job_has_moved_is_recorded_and_no_dead_letter(
    harness: EngineHarness,
) -> None:
    started(harness).walls[ARN] = DENIED
    harness.jobs = MOVED

    outcome = harness.recorder().record(harness.change(harness.only_run(), Status.FAILURE))

    run = harness.only_run()
    assert outcome.decision is Decision.RECORDED
    assert run.failure is not None
    assert (run.status, run.failure.error, run.failure.assumed) == (
        Status.FAILURE,
        "UnknownFailureError",
        False,
    )


def test_a_failure_whose_reason_is_denied_at_the_jobs_own_address_is_requested_again(
    harness: EngineHarness,
) -> None:
    started(harness).walls[ARN] = DENIED

    with pytest.raises(LaunchDeniedError):
        harness.recorder().record(harness.change(harness.only_run(), Status.FAILURE))

    assert harness.only_run().status is Status.FAILURE


@pytest.mark.parametrize(("former", "decision"), [([ARN], Decision.RECORDED), ([], Decision.FOREIGN)])
def test_an_event_without_launch_id_is_searched_at_former_addresses_only(
    harness: EngineHarness, former: list[str], decision: Decision
) -> None:
    started(harness)
    harness.jobs = moved(*former)
    change = harness.change(harness.only_run(), Status.SUCCESS, name=None)

    assert harness.recorder().record(change).decision is decision


@pytest.mark.parametrize(("former", "decision"), [("load", Decision.RECORDED), ("clean", Decision.FOREIGN)])
def test_a_former_address_may_be_a_bare_name_of_the_jobs_own_kind(
    harness: EngineHarness, former: str, decision: Decision
) -> None:
    """As Glue's may be: an event of it has no launch id."""
    arn = "arn:aws:glue:us-east-1:123456789012:job/load"
    started(harness)
    pending_start = PendingStart("t", NOON, "load", "glue")
    harness.tables.runs[RUN_ID] = run = replace(
        harness.only_run(), pending_start=pending_start, target="load"
    )
    target = InMemoryTarget(harness.clock)
    target.executions["jr_1"] = Execution("jr_1", arn, Status.SUCCESS, NOON, launch_id=run.launch_id)
    jobs = {JOB: JobSettings(JOB, "glue", "load_2", "P", former=(former,))}
    recorder = harness.engine.recorder(jobs, {"glue": target})
    change = StatusChange("glue", None, "jr_1", arn, Status.SUCCESS, NOON + 5)

    assert recorder.record(change).decision is decision


def test_a_former_address_that_is_registered_a_moment_later_is_looked_up_past_the_cache(
    harness: EngineHarness,
) -> None:
    started(harness)
    jobs = dict(MOVED)

    def jobs_changed() -> bool:
        jobs.update(moved(ARN))
        return True

    recorder = harness.engine.recorder(jobs, harness.targets, jobs_changed=jobs_changed)

    outcome = recorder.record(harness.change(harness.only_run(), Status.SUCCESS, name=None))

    assert outcome.decision is Decision.RECORDED


@pytest.mark.parametrize(("former", "decision"), [([ARN], Decision.RECORDED), ([], Decision.FOREIGN)])
def test_the_late_end_of_an_attempt_at_a_former_address_is_kept_beside_the_next_one(
    harness: EngineHarness, former: list[str], decision: Decision
) -> None:
    started(harness)
    first = harness.only_run()
    harness.recorder().record(harness.change(first, Status.FAILURE, failure=Failure("E", "c")))
    harness.jobs = moved(*former)
    ended = harness.only_run()
    harness.tables.runs[RUN_ID] = replace(
        ended, attempt=2, pending_start=PendingStart("t", NOON, NEW_ARN), target=NEW_ARN
    )

    outcome = harness.recorder().record(harness.change(first, Status.SUCCESS))

    assert outcome.decision is decision
    assert ("SUCCESS" in harness.only_run().reached["1/0"]) is (decision is Decision.RECORDED)


def test_an_execution_of_others_that_was_recorded_before_the_move_gets_its_end(
    harness: EngineHarness,
) -> None:
    harness.observed = frozenset({JOB})
    target = target_of(harness)
    external_id = f"{ARN}:nightly"
    target.executions[external_id] = Execution(external_id, ARN, Status.STARTED, NOON, launch_id="nightly")
    change = StatusChange("step_functions", "nightly", external_id, ARN, Status.STARTED, NOON)
    harness.recorder().record(change)
    assert OBSERVED_TAG in harness.only_run().tags
    harness.jobs = moved(ARN)
    other = replace(change, name="weekly", external_id=f"{ARN}:weekly")

    assert harness.recorder().record(other).decision is Decision.FOREIGN
    assert harness.recorder().record(replace(change, status=Status.SUCCESS)).decision is Decision.RECORDED
    assert harness.only_run().status is Status.SUCCESS


def test_whoever_has_checked_may_report_of_a_run_that_ended_as_unknown(harness: EngineHarness) -> None:
    started(harness).walls[ARN] = DENIED
    report = StatusChange(REPORT, f"{RUN_ID}-1", "", "", Status.SUCCESS, NOON + 5)
    assert harness.recorder().record(report).decision is Decision.FOREIGN
    keep_reconciling(harness)

    outcome = harness.recorder().record(report)

    assert (outcome.decision, harness.only_run().status) == (Decision.RECORDED, Status.SUCCESS)
    assert harness.recorder().record(replace(report, status=Status.FAILURE)).decision is Decision.FOREIGN


def test_nobody_reports_of_a_run_of_others_on_a_target_that_is_queried_though_its_job_changed_its_kind(
    harness: EngineHarness,
) -> None:
    started(harness)
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), pending_start=None)
    function = "arn:aws:lambda:us-east-1:123456789012:function:f"
    jobs = {JOB: JobSettings(JOB, "lambda", function, "P")}
    targets = {"step_functions": harness.target, "lambda": InMemoryTarget(harness.clock, ANYTHING)}
    report = StatusChange(REPORT, f"{RUN_ID}-1", "", "", Status.SUCCESS, NOON + 5)

    assert harness.engine.recorder(jobs, targets).record(report).decision is Decision.FOREIGN
