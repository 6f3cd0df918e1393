"""LAUNCH when a job has moved: a pending start is resolved with its target, any other goes to the new address."""

from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, JOBS, EngineHarness
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from tests.support.moved_jobs import (
    ANYTHING,
    DENIED,
    GONE,
    HOUR,
    LISTED,
    MOVED,
    NEW_ARN,
    TOKENED,
    keep_launching,
    leave_pending_start,
    target_of,
)
from treadle.definitions.errors import (
    LaunchError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.launcher import DENIED_FOR_MS
from treadle.engine.outcomes import Decision
from treadle.engine.record.unreachable_runs import DENIED_ENDS_MS
from treadle.model.runs import Claim, PendingStart
from treadle.model.targets import JobSettings, StartContract
from treadle.operate.explanation import describe_run
from treadle.testing.targets import NAMED


def test_a_pending_start_whose_address_denies_is_never_called_denied(harness: EngineHarness) -> None:
    leave_pending_start(harness).walls[ARN] = DENIED
    harness.jobs = MOVED

    run = keep_launching(harness, 20 * HOUR)

    assert run.status is Status.QUEUED
    assert run.delayed is not None
    assert "not authorized" in run.delayed.reason
    assert "may have reached its target" in describe_run(run, harness.clock.now())


def test_a_pending_start_whose_address_denies_for_a_day_is_unknown_and_keeps_its_key(
    harness: EngineHarness,
) -> None:
    target = leave_pending_start(harness)
    target.walls[ARN] = DENIED
    harness.jobs = MOVED
    denied_at = harness.clock.now()

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.status, run.failure.error, run.replaceable_request_digest) == (
        Status.FAILURE,
        "OutcomeUnknownError",
        None,
    )
    assert DENIED_ENDS_MS < harness.clock.now() - denied_at < DENIED_ENDS_MS + HOUR
    for message in (ARN, "not authorized", "former ARN in its registry entry (`former`)"):
        assert message in run.failure.cause
    assert len(target.executions) == 1


def test_a_pending_start_is_resolved_where_it_was_tried_once_permission_is_back(
    harness: EngineHarness,
) -> None:
    target = leave_pending_start(harness)
    target.walls[ARN] = DENIED
    harness.jobs = MOVED
    keep_launching(harness, HOUR)

    del target.walls[ARN]
    run = keep_launching(harness)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_denial_from_before_the_pending_start_does_not_count(harness: EngineHarness) -> None:
    leave_pending_start(harness).walls[ARN] = DENIED
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), denied_at=NOON - 2 * DENIED_ENDS_MS)

    assert launch(harness).decision is Decision.DELAYED
    assert harness.only_run().denied_at == harness.clock.now()


@pytest.mark.parametrize("contract", [NAMED, TOKENED, LISTED], ids=["name", "token", "listing"])
def test_a_pending_start_whose_target_is_gone_is_unknown_at_once(
    harness: EngineHarness, contract: StartContract
) -> None:
    target = leave_pending_start(harness, contract)
    target.walls[ARN] = GONE
    harness.jobs = MOVED

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest, len(target.executions)) == (
        "OutcomeUnknownError",
        None,
        1,
    )
    assert "StateMachineDoesNotExist" in run.failure.cause


@pytest.mark.parametrize("wall", [DENIED, GONE], ids=["denied", "gone"])
def test_a_start_that_certainly_reached_nobody_goes_to_the_new_address(
    harness: EngineHarness, wall: LaunchError
) -> None:
    """Two checks have shown nothing at the former address; then it refuses the start that they allow."""
    target = leave_pending_start(harness, LISTED)
    target.executions.clear()
    target.begun.clear()
    launch(harness)
    harness.launches.drain()
    harness.clock.advance(61)
    target.start_walls[ARN] = wall
    harness.jobs = MOVED
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), denied_at=NOON)

    run = keep_launching(harness)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)
    assert len(target.executions) == 1


def test_a_denied_start_goes_to_the_new_address_and_is_never_pending(harness: EngineHarness) -> None:
    queue_run(harness)
    target = target_of(harness)
    target.walls[ARN] = DENIED
    launch(harness)
    assert harness.only_run().pending_start is None
    harness.jobs = MOVED

    run = keep_launching(harness)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)


def test_a_denied_start_of_a_job_that_has_not_moved_is_denied_after_five_minutes(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    target_of(harness).walls[ARN] = DENIED

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.failure.error, run.pending_start) == ("LaunchDeniedError", None)
    assert DENIED_FOR_MS < harness.clock.now() - NOON < DENIED_FOR_MS + HOUR


@pytest.mark.parametrize("wall", [DENIED, GONE], ids=["denied", "gone"])
def test_a_pending_start_at_a_target_without_token_is_sent_to_the_new_address(
    harness: EngineHarness, wall: LaunchError
) -> None:
    """I2: at least once; whoever took the first one knows the launch id."""
    target = leave_pending_start(harness, ANYTHING)
    target.walls[ARN] = wall
    harness.jobs = MOVED

    run = keep_launching(harness)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)
    assert len(target.executions) == 2


def test_a_pending_start_without_token_that_is_refused_at_both_addresses_is_unknown(
    harness: EngineHarness,
) -> None:
    target = leave_pending_start(harness, ANYTHING)
    target.walls = {ARN: GONE, NEW_ARN: GONE}
    harness.jobs = MOVED

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest) == ("OutcomeUnknownError", None)


def test_a_pending_start_of_a_job_that_is_no_longer_there_is_resolved(harness: EngineHarness) -> None:
    target = leave_pending_start(harness)
    harness.jobs = {}

    run = keep_launching(harness)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_pending_start_on_a_kind_that_is_not_known_is_unknown(harness: EngineHarness) -> None:
    leave_pending_start(harness)
    run = harness.only_run()
    assert run.pending_start is not None
    harness.tables.runs[RUN_ID] = replace(run, pending_start=replace(run.pending_start, kind=""))
    harness.jobs = {}

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest) == ("OutcomeUnknownError", None)


def test_a_try_from_before_the_job_had_an_address_gives_way_to_the_first_real_one(
    harness: EngineHarness,
) -> None:
    """Else a second start would go wherever the job is by then, although the first may have come through."""
    queue_run(harness)
    target = target_of(harness)
    harness.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), PendingStart("dead", NOON, ""))
    harness.clock.advance(1)
    target.loses = True
    launch(harness)
    target.loses = False
    harness.launches.drain()
    harness.clock.advance(60)
    harness.jobs = MOVED

    run = keep_launching(harness)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)
    assert [each.settings.arn for each in target.starts] == [ARN, ARN]


def test_a_try_without_address_keeps_no_key(harness: EngineHarness) -> None:
    queue_run(harness)
    harness.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), PendingStart("dead", NOON, ""))
    harness.clock.advance(1)
    harness.jobs = {JOB: replace(JOBS[JOB], arn="")}

    launch(harness)

    run = harness.only_run()
    assert run.failure is not None
    assert (run.failure.error, run.pending_start) == ("JobNotConfiguredError", None)
    assert run.replaceable_request_digest is not None


def test_options_of_another_kind_do_not_come_along_to_the_former_address(harness: EngineHarness) -> None:
    target = leave_pending_start(harness)
    harness.jobs = {JOB: JobSettings(JOB, "batch", "arn:new", "NewArn", {"queue": "q"})}

    keep_launching(harness)

    assert [each.settings.options for each in target.starts] == [{}, {}]
