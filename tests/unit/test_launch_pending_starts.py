"""LAUNCH with a pending start: it is resolved before another, under each contract."""

import pytest

from tests.support.engine import ARN, JOB, EngineHarness
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


def killed_after_the_call(harness: EngineHarness, contract: StartContract, listing_lag: int = 0) -> None:
    """Let the target start the attempt without a record of it; the claim has expired."""
    queue_run(harness)
    harness.target = DyingTarget(harness.clock, contract, listing_lag)
    with pytest.raises(KeyboardInterrupt):
        launch(harness)
    claim = harness.only_run().claim
    assert claim is not None
    dying, harness.target = harness.target, InMemoryTarget(harness.clock, contract, listing_lag)
    harness.target.executions, harness.target.begun = dying.executions, dying.begun
    harness.clock.time = claim.expires_at + 1


def killed_before_the_call(harness: EngineHarness, contract: StartContract) -> None:
    """Let the holder of the claim die before the call."""
    killed_after_the_call(harness, contract)
    harness.target.executions.clear()
    harness.target.begun.clear()


def launched_by_its_messages(harness: EngineHarness) -> Outcome:
    """Return the outcome once no message is sent for a later start."""
    outcome = launch(harness)
    while harness.launches.messages:
        (message,) = harness.launches.messages
        harness.launches.drain()
        harness.clock.advance(message.delay_seconds)
        outcome = launch(harness)
    return outcome


@pytest.mark.parametrize("contract", [NAMED, TOKENED], ids=["name", "token"])
def test_a_target_with_a_token_is_queried_again_under_the_same_one(
    harness: EngineHarness, contract: StartContract
) -> None:
    killed_after_the_call(harness, contract)

    assert launch(harness).decision is Decision.LAUNCHED

    assert len(harness.target.executions) == 1
    assert (harness.only_run().status, harness.only_run().started_at) == (Status.STARTED, NOON)


def test_what_a_listing_shows_is_taken_for_the_start(harness: EngineHarness) -> None:
    killed_after_the_call(harness, LISTED)

    assert launch(harness).decision is Decision.LAUNCHED

    assert harness.target.starts == []
    assert harness.only_run().external_id == next(iter(harness.target.executions))


def test_a_listing_that_lags_is_checked_twice(harness: EngineHarness) -> None:
    killed_after_the_call(harness, LISTED, listing_lag=100_000)

    first = launch(harness)
    assert first.decision is Decision.DELAYED
    assert "it will be checked again" in first.reason
    harness.launches.drain()
    harness.clock.advance(UNSEEN_FOR_MS / 1000)
    assert launch(harness).decision is Decision.LAUNCHED

    assert (len(harness.target.executions), harness.target.starts) == (1, [])


def test_two_checks_that_show_nothing_a_minute_apart_allow_a_start(harness: EngineHarness) -> None:
    killed_before_the_call(harness, LISTED)

    assert launch(harness).decision is Decision.DELAYED
    harness.clock.advance(UNSEEN_FOR_MS / 1000 - 1)
    assert launch(harness).decision is Decision.DELAYED
    assert harness.target.starts == []
    harness.launches.drain()
    harness.clock.advance(1)
    assert launch(harness).decision is Decision.LAUNCHED

    assert len(harness.target.executions) == 1


def test_a_start_after_two_empty_checks_is_a_new_try_with_checks_of_its_own(harness: EngineHarness) -> None:
    killed_before_the_call(harness, LISTED)
    launch(harness)
    harness.clock.advance(UNSEEN_FOR_MS / 1000)
    harness.target = DyingTarget(harness.clock, LISTED)
    with pytest.raises(KeyboardInterrupt):
        launch(harness)
    run = harness.only_run()
    assert (run.unseen_at, run.pending_start and run.pending_start.at) == (None, harness.clock.now())
    dying, harness.target = harness.target, InMemoryTarget(harness.clock, LISTED, listing_lag=10 * HOUR)
    harness.target.executions, harness.target.begun = dying.executions, dying.begun
    harness.clock.advance(200)

    assert launch(harness).decision is Decision.DELAYED
    assert harness.target.starts == []


@pytest.mark.parametrize(
    ("contract", "window"), [(TOKENED, HOUR), (LISTED, 24 * HOUR)], ids=["token", "listing"]
)
def test_past_what_token_or_listing_covers_the_run_fails_and_nothing_is_started(
    harness: EngineHarness, contract: StartContract, window: int
) -> None:
    killed_after_the_call(harness, contract)
    harness.clock.time = NOON + window

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status, harness.target.starts) == (Decision.FAILURE, Status.FAILURE, [])
    assert run.failure is not None
    assert run.failure.error == "OutcomeUnknownError"
    assert f"{ARN} can no longer be queried for {run.launch_id}" in run.failure.cause
    assert run.replaceable_request_digest is None


def test_what_the_target_reports_later_supersedes_the_unknown_outcome(harness: EngineHarness) -> None:
    killed_after_the_call(harness, TOKENED)
    harness.clock.time = NOON + HOUR
    launch(harness)

    harness.recorder().record(harness.change(harness.only_run(), Status.SUCCESS))

    assert (harness.only_run().status, harness.only_run().failure) == (Status.SUCCESS, None)


def test_a_target_without_either_is_started_again(harness: EngineHarness) -> None:
    killed_after_the_call(harness, ANYTHING)

    assert launch(harness).decision is Decision.LAUNCHED

    assert len(harness.target.executions) == 2
    assert harness.only_run().next_at is None


def test_an_answer_that_says_nothing_is_a_pending_start_and_a_refusal_is_none(harness: EngineHarness) -> None:
    queue_run(harness)
    harness.target = InMemoryTarget(harness.clock, LISTED)
    harness.target.refusals = iter([LaunchDelayedError("busy"), LaunchUncertainError("no answer")])

    launch(harness)
    assert harness.only_run().pending_start is None
    launch(harness)
    assert harness.only_run().pending_start is not None
    harness.launches.drain()

    assert launched_by_its_messages(harness).decision is Decision.LAUNCHED
    assert len(harness.target.executions) == 1


def test_a_refusal_after_a_pending_start_does_not_resolve_it(harness: EngineHarness) -> None:
    killed_after_the_call(harness, TOKENED)
    pending_start = harness.only_run().pending_start
    harness.target.refusals = iter([LaunchDelayedError("busy")])

    launch(harness)

    assert harness.only_run().pending_start == pending_start


def test_a_pending_start_is_resolved_where_it_arose_whatever_is_deployed_by_then(
    harness: EngineHarness,
) -> None:
    killed_after_the_call(harness, NAMED)
    harness.jobs = {JOB: JobSettings(JOB, "step_functions", "arn:another", "ProcessFileStateMachineArn")}

    assert launch(harness).decision is Decision.LAUNCHED

    assert len(harness.target.executions) == 1
    assert harness.only_run().target == ARN


def test_an_event_of_what_was_tried_is_taken_in_although_another_target_is_deployed(
    harness: EngineHarness,
) -> None:
    killed_after_the_call(harness, NAMED)
    harness.jobs = {JOB: JobSettings(JOB, "step_functions", "arn:another", "ProcessFileStateMachineArn")}

    harness.recorder().record(harness.change(harness.only_run(), Status.SUCCESS))

    assert harness.only_run().status is Status.SUCCESS


def test_a_launch_that_has_run_out_of_time_does_not_start(harness: EngineHarness) -> None:
    queue_run(harness)

    class SlowTarget(InMemoryTarget):
        def resolve(self, start: Start) -> Execution | None:
            harness.clock.advance(31)
            return super().resolve(start)

    killed_before_the_call(harness, LISTED)
    launch(harness)
    harness.clock.advance(UNSEEN_FOR_MS / 1000)
    harness.target = SlowTarget(harness.clock, LISTED)

    assert launch(harness).decision is Decision.DELAYED
    assert harness.target.starts == []


def test_a_launch_that_died_before_its_job_was_configured_goes_to_what_is_configured_now(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    harness.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), PendingStart("dead", NOON, ""))
    harness.clock.advance(1)

    assert launch(harness).decision is Decision.LAUNCHED
    assert harness.only_run().target == ARN
