"""RECONCILE when a job has moved: its runs end where they were started, or visibly as unknown."""

from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, EngineHarness
from tests.support.launching import NOON, RUN_ID
from tests.support.moved_jobs import DENIED, GONE, HOUR, MOVED, MovableTarget, keep_reconciling, started
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.reconcile.reconciler import RETRY_MS, Reconciled
from treadle.engine.record.run_state import LAUNCH_DUE_MS, OVERDUE_MS
from treadle.engine.record.unreachable_runs import DENIED_ENDS_MS, SILENT_ENDS_MS
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings
from treadle.operate.explanation import describe_run


def test_a_run_whose_target_denies_is_visible_at_once_and_queried_again_soon(harness: EngineHarness) -> None:
    started(harness).walls[ARN] = DENIED
    harness.jobs = MOVED
    harness.clock.time = NOON + OVERDUE_MS

    assert harness.reconciler().reconcile(50) == Reconciled(failed=1)

    run = harness.only_run()
    assert run.unanswered is not None
    assert (run.status, run.unanswered.since, run.unanswered.at) == (
        Status.STARTED,
        harness.clock.now(),
        harness.clock.now(),
    )
    assert run.next_at == harness.clock.now() + RETRY_MS
    assert "Queries of its target have failed since" in describe_run(run, harness.clock.now())
    assert "states:StartExecution" in describe_run(run, harness.clock.now())


def test_a_run_whose_target_denies_for_a_day_ends_as_unknown(harness: EngineHarness) -> None:
    started(harness).walls[ARN] = DENIED
    harness.jobs = MOVED

    passes = keep_reconciling(harness)

    run = harness.only_run()
    assert run.failure is not None
    assert (run.status, run.failure.error, run.failure.assumed) == (
        Status.FAILURE,
        "OutcomeUnknownError",
        True,
    )
    assert run.ended_at == NOON + OVERDUE_MS + DENIED_ENDS_MS
    assert (run.unanswered, run.next_at, run.replaceable_request_digest) == (None, None, None)
    for message in (
        f"{ARN}:{RUN_ID}-1",
        "not authorized",
        "former ARN in its registry entry (`former`)",
        "rerun",
    ):
        assert message in run.failure.cause
    assert [each.failed for each in passes[:-1]] == [0] + [1] * (len(passes) - 2)
    assert passes[-1] == Reconciled(described=1)
    assert len(passes) < 40, "it is queried ever less often"


def test_a_run_whose_target_is_out_of_order_is_given_a_week(harness: EngineHarness) -> None:
    started(harness).walls[ARN] = LaunchDelayedError("internal error")

    keep_reconciling(harness)

    assert harness.only_run().ended_at == NOON + OVERDUE_MS + SILENT_ENDS_MS


def test_permission_that_is_given_back_in_time_brings_the_real_end(harness: EngineHarness) -> None:
    target = started(harness)
    target.walls[ARN] = DENIED
    harness.jobs = MOVED
    harness.clock.time = NOON + OVERDUE_MS
    harness.reconciler().reconcile(50)
    target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)

    del target.walls[ARN]
    keep_reconciling(harness)

    run = harness.only_run()
    assert (run.status, run.failure, run.unanswered) == (Status.SUCCESS, None, None)
    assert harness.clock.now() == NOON + OVERDUE_MS + RETRY_MS


def test_an_answer_ends_the_time_that_a_denial_lasts(harness: EngineHarness) -> None:
    target = started(harness)
    target.walls[ARN] = DENIED
    keep_reconciling(harness, 20 * HOUR)
    del target.walls[ARN]
    keep_reconciling(harness, 2 * HOUR)
    assert harness.only_run().unanswered is None
    target.walls[ARN] = DENIED
    again = harness.only_run().next_at or 0

    keep_reconciling(harness)

    assert harness.only_run().ended_at == again + DENIED_ENDS_MS


def test_the_real_end_supersedes_the_unknown_one(harness: EngineHarness) -> None:
    started(harness).walls[ARN] = DENIED
    harness.jobs = MOVED
    keep_reconciling(harness)

    harness.recorder().record(harness.change(harness.only_run(), Status.SUCCESS))

    assert (harness.only_run().status, harness.only_run().failure) == (Status.SUCCESS, None)


def test_an_execution_that_is_gone_with_its_state_machine_ends_at_once(harness: EngineHarness) -> None:
    target = started(harness)
    target.executions.clear()
    harness.jobs = MOVED
    harness.clock.time = NOON + OVERDUE_MS

    assert harness.reconciler().reconcile(50) == Reconciled(described=1)

    failure = harness.only_run().failure
    assert failure is not None
    assert (failure.error, failure.assumed) == ("OutcomeUnknownError", True)


@pytest.mark.parametrize("wall", [DENIED, None], ids=["denied", "gone"])
def test_a_redriven_run_ends_as_unknown_too(harness: EngineHarness, wall: LaunchError | None) -> None:
    target = started(harness)
    run = harness.only_run()
    harness.recorder().record(harness.change(run, Status.FAILURE, failure=Failure("E", "c")))
    harness.recorder().record(harness.change(run, Status.STARTED, retry=1))
    assert harness.only_run().status is Status.STARTED
    target.executions.clear()
    if wall is not None:
        target.walls[ARN] = wall
    harness.jobs = {}

    keep_reconciling(harness)

    assert harness.only_run().status is Status.FAILURE
    assert harness.only_run().next_at is None


def test_a_run_of_which_nobody_knows_the_target_ends_as_unknown(harness: EngineHarness) -> None:
    started(harness)
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), pending_start=None, target="process-file")
    harness.jobs = {}

    passes = keep_reconciling(harness)

    failure = harness.only_run().failure
    assert passes[:2] == [Reconciled(), Reconciled(failed=1)]
    assert failure is not None
    assert failure.error == "OutcomeUnknownError"
    assert "The type of target on which" in failure.cause


def test_a_run_of_another_kind_than_its_job_is_now_is_queried_where_it_runs(harness: EngineHarness) -> None:
    target = started(harness)
    target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), pending_start=None)
    harness.jobs = {JOB: JobSettings(JOB, "glue", "load", "LoadGlueJobName")}

    keep_reconciling(harness)

    assert harness.only_run().status is Status.SUCCESS


def test_a_rerun_that_comes_between_is_left_alone_by_the_old_attempts_answer(harness: EngineHarness) -> None:
    target = started(harness)

    class RerunMeanwhile(MovableTarget):
        def describe(self, external_id: str, role: str = "") -> Execution:
            run = harness.only_run()
            second = {"2/0": {"QUEUED": harness.clock.now()}}
            again = replace(
                run,
                status=Status.QUEUED,
                attempt=2,
                reached={**run.reached, **second},
                next_at=harness.clock.now() + 1,
                revision=run.revision + 1,
            )
            harness.tables.runs[RUN_ID] = again
            raise GONE

    harness.target = RerunMeanwhile(harness)
    harness.target.executions = target.executions
    harness.clock.time = NOON + OVERDUE_MS
    harness.reconciler().reconcile(50)

    run = harness.only_run()
    assert (run.status, run.attempt) == (Status.QUEUED, 2)
    assert run.next_at == harness.clock.now() + LAUNCH_DUE_MS
