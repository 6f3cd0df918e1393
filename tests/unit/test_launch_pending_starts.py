"""LAUNCH with a pending start: it is resolved before another, under each contract."""

import pytest

from tests.support.house import ARN, JOB, House
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import LaunchDelayedError, LaunchUncertainError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.launcher import UNSEEN_FOR_MS
from treadle.engine.outcomes import Decision, Outcome
from treadle.model.runs import Claim, PendingStart
from treadle.model.targets import Execution, JobSettings, Start, StartContract
from treadle.testing.targets import NAMED, InMemoryTarget

HOUR = 3_600_000
LISTED = StartContract(listing_ms=24 * HOUR)
TOKENED = StartContract(token_ms=HOUR)
ANYTHING = StartContract(describes=False)


class DyingTarget(InMemoryTarget):
    """Starts, and the process that requested it dies before the response."""

    def start(self, start: Start) -> Execution:
        super().start(start)
        raise KeyboardInterrupt


def killed_after_the_call(house: House, contract: StartContract, listing_lag: int = 0) -> None:
    """Let the target start the attempt without a record of it; the claim has expired."""
    queue_run(house)
    house.target = DyingTarget(house.clock, contract, listing_lag)
    with pytest.raises(KeyboardInterrupt):
        launch(house)
    claim = house.only_run().claim
    assert claim is not None
    dying, house.target = house.target, InMemoryTarget(house.clock, contract, listing_lag)
    house.target.executions, house.target.begun = dying.executions, dying.begun
    house.clock.time = claim.expires_at + 1


def killed_before_the_call(house: House, contract: StartContract) -> None:
    """Let the holder of the claim die before the call."""
    killed_after_the_call(house, contract)
    house.target.executions.clear()
    house.target.begun.clear()


def launched_by_its_messages(house: House) -> Outcome:
    """Return the outcome once no message is sent for a later start."""
    outcome = launch(house)
    while house.launches.messages:
        (message,) = house.launches.messages
        house.launches.drain()
        house.clock.advance(message.delay_seconds)
        outcome = launch(house)
    return outcome


@pytest.mark.parametrize("contract", [NAMED, TOKENED], ids=["name", "token"])
def test_a_target_with_a_token_is_queried_again_under_the_same_one(
    house: House, contract: StartContract
) -> None:
    killed_after_the_call(house, contract)

    assert launch(house).decision is Decision.LAUNCHED

    assert len(house.target.executions) == 1
    assert (house.only_run().status, house.only_run().started_at) == (Status.STARTED, NOON)


def test_what_a_listing_shows_is_taken_for_the_start(house: House) -> None:
    killed_after_the_call(house, LISTED)

    assert launch(house).decision is Decision.LAUNCHED

    assert house.target.starts == []
    assert house.only_run().external_id == next(iter(house.target.executions))


def test_a_listing_that_lags_is_checked_twice(house: House) -> None:
    killed_after_the_call(house, LISTED, listing_lag=100_000)

    first = launch(house)
    assert first.decision is Decision.DELAYED
    assert "it will be checked again" in first.reason
    house.launches.drain()
    house.clock.advance(UNSEEN_FOR_MS / 1000)
    assert launch(house).decision is Decision.LAUNCHED

    assert (len(house.target.executions), house.target.starts) == (1, [])


def test_two_checks_that_show_nothing_a_minute_apart_allow_a_start(house: House) -> None:
    killed_before_the_call(house, LISTED)

    assert launch(house).decision is Decision.DELAYED
    house.clock.advance(UNSEEN_FOR_MS / 1000 - 1)
    assert launch(house).decision is Decision.DELAYED
    assert house.target.starts == []
    house.launches.drain()
    house.clock.advance(1)
    assert launch(house).decision is Decision.LAUNCHED

    assert len(house.target.executions) == 1


def test_a_start_after_two_empty_checks_is_a_new_try_with_checks_of_its_own(house: House) -> None:
    killed_before_the_call(house, LISTED)
    launch(house)
    house.clock.advance(UNSEEN_FOR_MS / 1000)
    house.target = DyingTarget(house.clock, LISTED)
    with pytest.raises(KeyboardInterrupt):
        launch(house)
    run = house.only_run()
    assert (run.unseen_at, run.pending_start and run.pending_start.at) == (None, house.clock.now())
    dying, house.target = house.target, InMemoryTarget(house.clock, LISTED, listing_lag=10 * HOUR)
    house.target.executions, house.target.begun = dying.executions, dying.begun
    house.clock.advance(200)

    assert launch(house).decision is Decision.DELAYED
    assert house.target.starts == []


@pytest.mark.parametrize(
    ("contract", "window"), [(TOKENED, HOUR), (LISTED, 24 * HOUR)], ids=["token", "listing"]
)
def test_past_what_token_or_listing_covers_the_run_fails_and_nothing_is_started(
    house: House, contract: StartContract, window: int
) -> None:
    killed_after_the_call(house, contract)
    house.clock.time = NOON + window

    outcome = launch(house)

    run = house.only_run()
    assert (outcome.decision, run.status, house.target.starts) == (Decision.FAILURE, Status.FAILURE, [])
    assert run.failure is not None
    assert run.failure.error == "OutcomeUnknownError"
    assert f"{ARN} can no longer be queried for {run.launch_id}" in run.failure.cause
    assert run.replaceable_request_digest is None


def test_what_the_target_reports_later_supersedes_the_unknown_outcome(house: House) -> None:
    killed_after_the_call(house, TOKENED)
    house.clock.time = NOON + HOUR
    launch(house)

    house.recorder().record(house.change(house.only_run(), Status.SUCCESS))

    assert (house.only_run().status, house.only_run().failure) == (Status.SUCCESS, None)


def test_a_target_without_either_is_started_again(house: House) -> None:
    killed_after_the_call(house, ANYTHING)

    assert launch(house).decision is Decision.LAUNCHED

    assert len(house.target.executions) == 2
    assert house.only_run().next_at is None


def test_an_answer_that_says_nothing_is_a_pending_start_and_a_refusal_is_none(house: House) -> None:
    queue_run(house)
    house.target = InMemoryTarget(house.clock, LISTED)
    house.target.refusals = iter([LaunchDelayedError("busy"), LaunchUncertainError("no answer")])

    launch(house)
    assert house.only_run().pending_start is None
    launch(house)
    assert house.only_run().pending_start is not None
    house.launches.drain()

    assert launched_by_its_messages(house).decision is Decision.LAUNCHED
    assert len(house.target.executions) == 1


def test_a_refusal_after_a_pending_start_does_not_resolve_it(house: House) -> None:
    killed_after_the_call(house, TOKENED)
    pending_start = house.only_run().pending_start
    house.target.refusals = iter([LaunchDelayedError("busy")])

    launch(house)

    assert house.only_run().pending_start == pending_start


def test_a_pending_start_is_resolved_where_it_arose_whatever_is_deployed_by_then(house: House) -> None:
    killed_after_the_call(house, NAMED)
    house.jobs = {JOB: JobSettings(JOB, "step_functions", "arn:another", "ProcessFileStateMachineArn")}

    assert launch(house).decision is Decision.LAUNCHED

    assert len(house.target.executions) == 1
    assert house.only_run().target == ARN


def test_an_event_of_what_was_tried_is_taken_in_although_another_target_is_deployed(house: House) -> None:
    killed_after_the_call(house, NAMED)
    house.jobs = {JOB: JobSettings(JOB, "step_functions", "arn:another", "ProcessFileStateMachineArn")}

    house.recorder().record(house.change(house.only_run(), Status.SUCCESS))

    assert house.only_run().status is Status.SUCCESS


def test_a_launch_that_has_run_out_of_time_does_not_start(house: House) -> None:
    queue_run(house)

    class SlowTarget(InMemoryTarget):
        def resolve(self, start: Start) -> Execution | None:
            house.clock.advance(31)
            return super().resolve(start)

    killed_before_the_call(house, LISTED)
    launch(house)
    house.clock.advance(UNSEEN_FOR_MS / 1000)
    house.target = SlowTarget(house.clock, LISTED)

    assert launch(house).decision is Decision.DELAYED
    assert house.target.starts == []


def test_a_launch_that_died_before_its_job_was_configured_goes_to_what_is_configured_now(
    house: House,
) -> None:
    queue_run(house)
    house.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), PendingStart("dead", NOON, ""))
    house.clock.advance(1)

    assert launch(house).decision is Decision.LAUNCHED
    assert house.only_run().target == ARN
