"""RECONCILE when a job has moved: its runs end where they were started, or visibly as unknown."""

from dataclasses import replace

import pytest

from tests.support.house import ARN, JOB, House
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


def test_a_run_whose_target_denies_is_visible_at_once_and_queried_again_soon(house: House) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED
    house.clock.time = NOON + OVERDUE_MS

    assert house.reconciler().reconcile(50) == Reconciled(failed=1)

    run = house.only_run()
    assert run.unanswered is not None
    assert (run.status, run.unanswered.since, run.unanswered.at) == (
        Status.STARTED,
        house.clock.now(),
        house.clock.now(),
    )
    assert run.next_at == house.clock.now() + RETRY_MS
    assert "Queries of its target have failed since" in describe_run(run, house.clock.now())
    assert "states:StartExecution" in describe_run(run, house.clock.now())


def test_a_run_whose_target_denies_for_a_day_ends_as_unknown(house: House) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED

    passes = keep_reconciling(house)

    run = house.only_run()
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
    assert [each.failed for each in passes[:-1]] == [1] * (len(passes) - 1)
    assert passes[-1] == Reconciled(described=1)
    assert len(passes) < 40, "it is queried ever less often"


def test_a_run_whose_target_is_out_of_order_is_given_a_week(house: House) -> None:
    started(house).walls[ARN] = LaunchDelayedError("internal error")

    keep_reconciling(house)

    assert house.only_run().ended_at == NOON + OVERDUE_MS + SILENT_ENDS_MS


def test_permission_that_is_given_back_in_time_brings_the_real_end(house: House) -> None:
    target = started(house)
    target.walls[ARN] = DENIED
    house.jobs = MOVED
    house.clock.time = NOON + OVERDUE_MS
    house.reconciler().reconcile(50)
    target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)

    del target.walls[ARN]
    keep_reconciling(house)

    run = house.only_run()
    assert (run.status, run.failure, run.unanswered) == (Status.SUCCESS, None, None)
    assert house.clock.now() == NOON + OVERDUE_MS + RETRY_MS


def test_an_answer_ends_the_time_that_a_denial_lasts(house: House) -> None:
    target = started(house)
    target.walls[ARN] = DENIED
    keep_reconciling(house, 20 * HOUR)
    del target.walls[ARN]
    keep_reconciling(house, 2 * HOUR)
    assert house.only_run().unanswered is None
    target.walls[ARN] = DENIED
    again = house.only_run().next_at or 0

    keep_reconciling(house)

    assert house.only_run().ended_at == again + DENIED_ENDS_MS


def test_the_real_end_supersedes_the_unknown_one(house: House) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED
    keep_reconciling(house)

    house.recorder().record(house.change(house.only_run(), Status.SUCCESS))

    assert (house.only_run().status, house.only_run().failure) == (Status.SUCCESS, None)


def test_an_execution_that_is_gone_with_its_state_machine_ends_at_once(house: House) -> None:
    target = started(house)
    target.executions.clear()
    house.jobs = MOVED
    house.clock.time = NOON + OVERDUE_MS

    assert house.reconciler().reconcile(50) == Reconciled(described=1)

    failure = house.only_run().failure
    assert failure is not None
    assert (failure.error, failure.assumed) == ("OutcomeUnknownError", True)


@pytest.mark.parametrize("wall", [DENIED, None], ids=["denied", "gone"])
def test_a_redriven_run_ends_as_unknown_too(house: House, wall: LaunchError | None) -> None:
    target = started(house)
    run = house.only_run()
    house.recorder().record(house.change(run, Status.FAILURE, failure=Failure("E", "c")))
    house.recorder().record(house.change(run, Status.STARTED, retry=1))
    assert house.only_run().status is Status.STARTED
    target.executions.clear()
    if wall is not None:
        target.walls[ARN] = wall
    house.jobs = {}

    keep_reconciling(house)

    assert house.only_run().status is Status.FAILURE
    assert house.only_run().next_at is None


def test_a_run_of_which_nobody_knows_the_target_ends_as_unknown(house: House) -> None:
    started(house)
    house.tables.runs[RUN_ID] = replace(house.only_run(), pending_start=None, target="process-file")
    house.jobs = {}

    passes = keep_reconciling(house)

    failure = house.only_run().failure
    assert passes[0] == Reconciled(failed=1)
    assert failure is not None
    assert failure.error == "OutcomeUnknownError"
    assert "The type of target on which" in failure.cause


def test_a_run_of_another_kind_than_its_job_is_now_is_queried_where_it_runs(house: House) -> None:
    target = started(house)
    target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    house.tables.runs[RUN_ID] = replace(house.only_run(), pending_start=None)
    house.jobs = {JOB: JobSettings(JOB, "glue", "load", "LoadGlueJobName")}

    keep_reconciling(house)

    assert house.only_run().status is Status.SUCCESS


def test_a_rerun_that_comes_between_is_left_alone_by_the_old_attempts_answer(house: House) -> None:
    target = started(house)

    class RerunMeanwhile(MovableTarget):
        def describe(self, external_id: str, role: str = "") -> Execution:
            run = house.only_run()
            second = {"2/0": {"QUEUED": house.clock.now()}}
            again = replace(
                run,
                status=Status.QUEUED,
                attempt=2,
                reached={**run.reached, **second},
                next_at=house.clock.now() + 1,
                revision=run.revision + 1,
            )
            house.tables.runs[RUN_ID] = again
            raise GONE

    house.target = RerunMeanwhile(house)
    house.target.executions = target.executions
    house.clock.time = NOON + OVERDUE_MS
    house.reconciler().reconcile(50)

    run = house.only_run()
    assert (run.status, run.attempt) == (Status.QUEUED, 2)
    assert run.next_at == house.clock.now() + LAUNCH_DUE_MS
