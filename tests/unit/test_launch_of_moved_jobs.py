"""LAUNCH when a job has moved: a pending start is resolved with its target, any other goes to the new address."""

from dataclasses import replace

import pytest

from tests.support.house import ARN, JOB, JOBS, House
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


def test_a_pending_start_whose_address_denies_is_never_called_denied(house: House) -> None:
    leave_pending_start(house).walls[ARN] = DENIED
    house.jobs = MOVED

    run = keep_launching(house, 20 * HOUR)

    assert run.status is Status.QUEUED
    assert run.delayed is not None
    assert "not authorized" in run.delayed.reason
    assert "may have reached its target" in describe_run(run, house.clock.now())


def test_a_pending_start_whose_address_denies_for_a_day_is_unknown_and_keeps_its_key(house: House) -> None:
    target = leave_pending_start(house)
    target.walls[ARN] = DENIED
    house.jobs = MOVED
    denied_at = house.clock.now()

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.status, run.failure.error, run.replaceable_request_digest) == (
        Status.FAILURE,
        "OutcomeUnknownError",
        None,
    )
    assert DENIED_ENDS_MS < house.clock.now() - denied_at < DENIED_ENDS_MS + HOUR
    for message in (ARN, "not authorized", "former ARN in its registry entry (`former`)"):
        assert message in run.failure.cause
    assert len(target.executions) == 1


def test_a_pending_start_is_resolved_where_it_was_tried_once_permission_is_back(house: House) -> None:
    target = leave_pending_start(house)
    target.walls[ARN] = DENIED
    house.jobs = MOVED
    keep_launching(house, HOUR)

    del target.walls[ARN]
    run = keep_launching(house)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_denial_from_before_the_pending_start_does_not_count(house: House) -> None:
    leave_pending_start(house).walls[ARN] = DENIED
    house.tables.runs[RUN_ID] = replace(house.only_run(), denied_at=NOON - 2 * DENIED_ENDS_MS)

    assert launch(house).decision is Decision.DELAYED
    assert house.only_run().denied_at == house.clock.now()


@pytest.mark.parametrize("contract", [NAMED, TOKENED, LISTED], ids=["name", "token", "listing"])
def test_a_pending_start_whose_target_is_gone_is_unknown_at_once(
    house: House, contract: StartContract
) -> None:
    target = leave_pending_start(house, contract)
    target.walls[ARN] = GONE
    house.jobs = MOVED

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest, len(target.executions)) == (
        "OutcomeUnknownError",
        None,
        1,
    )
    assert "StateMachineDoesNotExist" in run.failure.cause


@pytest.mark.parametrize("wall", [DENIED, GONE], ids=["denied", "gone"])
def test_a_start_that_certainly_reached_nobody_goes_to_the_new_address(
    house: House, wall: LaunchError
) -> None:
    """Two checks have shown nothing at the former address; then it refuses the start that they allow."""
    target = leave_pending_start(house, LISTED)
    target.executions.clear()
    target.begun.clear()
    launch(house)
    house.launches.drain()
    house.clock.advance(61)
    target.start_walls[ARN] = wall
    house.jobs = MOVED
    house.tables.runs[RUN_ID] = replace(house.only_run(), denied_at=NOON)

    run = keep_launching(house)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)
    assert len(target.executions) == 1


def test_a_denied_start_goes_to_the_new_address_and_is_never_pending(house: House) -> None:
    queue_run(house)
    target = target_of(house)
    target.walls[ARN] = DENIED
    launch(house)
    assert house.only_run().pending_start is None
    house.jobs = MOVED

    run = keep_launching(house)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)


def test_a_denied_start_of_a_job_that_has_not_moved_is_denied_after_five_minutes(house: House) -> None:
    queue_run(house)
    target_of(house).walls[ARN] = DENIED

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.pending_start) == ("LaunchDeniedError", None)
    assert DENIED_FOR_MS < house.clock.now() - NOON < DENIED_FOR_MS + HOUR


@pytest.mark.parametrize("wall", [DENIED, GONE], ids=["denied", "gone"])
def test_a_pending_start_at_a_target_without_token_is_sent_to_the_new_address(
    house: House, wall: LaunchError
) -> None:
    """I2: at least once; whoever took the first one knows the launch id."""
    target = leave_pending_start(house, ANYTHING)
    target.walls[ARN] = wall
    house.jobs = MOVED

    run = keep_launching(house)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)
    assert len(target.executions) == 2


def test_a_pending_start_without_token_that_is_refused_at_both_addresses_is_unknown(house: House) -> None:
    target = leave_pending_start(house, ANYTHING)
    target.walls = {ARN: GONE, NEW_ARN: GONE}
    house.jobs = MOVED

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest) == ("OutcomeUnknownError", None)


def test_a_pending_start_of_a_job_that_is_no_longer_there_is_resolved(house: House) -> None:
    target = leave_pending_start(house)
    house.jobs = {}

    run = keep_launching(house)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_pending_start_on_a_kind_that_is_not_known_is_unknown(house: House) -> None:
    leave_pending_start(house)
    run = house.only_run()
    assert run.pending_start is not None
    house.tables.runs[RUN_ID] = replace(run, pending_start=replace(run.pending_start, kind=""))
    house.jobs = {}

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest) == ("OutcomeUnknownError", None)


def test_a_try_from_before_the_job_had_an_address_gives_way_to_the_first_real_one(house: House) -> None:
    """Else a second start would go wherever the job is by then, although the first may have come through."""
    queue_run(house)
    target = target_of(house)
    house.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), PendingStart("dead", NOON, ""))
    house.clock.advance(1)
    target.loses = True
    launch(house)
    target.loses = False
    house.launches.drain()
    house.clock.advance(60)
    house.jobs = MOVED

    run = keep_launching(house)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)
    assert [each.settings.arn for each in target.starts] == [ARN, ARN]


def test_a_try_without_address_keeps_no_key(house: House) -> None:
    queue_run(house)
    house.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), PendingStart("dead", NOON, ""))
    house.clock.advance(1)
    house.jobs = {JOB: replace(JOBS[JOB], arn="")}

    launch(house)

    run = house.only_run()
    assert run.failure is not None
    assert (run.failure.error, run.pending_start) == ("JobNotConfiguredError", None)
    assert run.replaceable_request_digest is not None


def test_options_of_another_kind_do_not_come_along_to_the_former_address(house: House) -> None:
    target = leave_pending_start(house)
    house.jobs = {JOB: JobSettings(JOB, "batch", "arn:new", "NewArn", {"queue": "q"})}

    keep_launching(house)

    assert [each.settings.options for each in target.starts] == [{}, {}]
