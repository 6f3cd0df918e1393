"""LAUNCH after a start that is refused: another try later, or a visible end."""

import pytest

from tests.support.engine import JOB, JOBS, RUN_IDS, EngineHarness
from tests.support.launching import MESSAGE, NOON, launch, queue_run, refuse, resent
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.launcher import DENIED_FOR_MS, MAX_DELAY_SECONDS, RETRY_SECONDS
from treadle.engine.outcomes import Decision
from treadle.engine.record.run_state import MESSAGE_LOST_MS
from treadle.model.runs import Failure, LaunchBackoff, Run
from treadle.model.targets import JobSettings
from treadle.operate.runs import RunOperations


@pytest.fixture
def queued(harness: EngineHarness) -> Run:
    """A run that DISPATCH has just recorded."""
    return queue_run(harness)


def test_job_that_is_not_configured_fails_the_run_and_names_what_gives_its_address(
    harness: EngineHarness, queued: Run
) -> None:
    harness.jobs = {JOB: JobSettings(JOB, "step_functions", "", "ProcessFileStateMachineArn")}
    expected = (
        "Job 'process_file' is not configured: ProcessFileStateMachineArn has no ARN. Add it and deploy."
    )
    harness.clock.advance(1)

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status) == (Decision.FAILURE, Status.FAILURE)
    assert run.failure == Failure("JobNotConfiguredError", outcome.reason, assumed=True)
    assert expected in outcome.reason
    assert (run.ended_at, run.next_at, harness.target.starts) == (NOON + 1_000, None, [])


def test_ce_1_job_that_is_not_registered_is_waited_for_as_long_as_for_a_permission(
    harness: EngineHarness, queued: Run
) -> None:
    """Its entry may be replaced just now, which is a deletion and a creation."""
    harness.jobs = {}
    harness.clock.advance(1)
    outcome = launch(harness)
    assert (outcome.decision, harness.only_run().status) == (Decision.DELAYED, Status.QUEUED)
    assert "Job 'process_file' is not configured: no project has registered it." in outcome.reason
    [(body, delay)] = resent(harness)
    assert (body, RETRY_SECONDS / 2 <= delay <= RETRY_SECONDS) == ({**MESSAGE, "hops": 1}, True)

    harness.clock.advance(DENIED_FOR_MS / 1000)
    assert launch(harness).decision is Decision.DELAYED
    harness.jobs = dict(JOBS)

    assert launch(harness).decision is Decision.LAUNCHED
    assert len(harness.target.starts) == 1


def test_job_that_stays_unregistered_fails_the_run_which_can_be_rerun(
    harness: EngineHarness, queued: Run
) -> None:
    harness.jobs = {}
    launch(harness)
    harness.clock.advance((DENIED_FOR_MS + 1) / 1000)

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status, run.pending_start) == (Decision.FAILURE, Status.FAILURE, None)
    assert run.failure == Failure("JobNotConfiguredError", outcome.reason, assumed=True)
    assert outcome.reason.endswith(f"Then: treadle run rerun {run.run_id}")
    harness.jobs = dict(JOBS)
    operations = RunOperations(
        harness.runs, harness.sensors, harness.launches, harness.jobs, {}, RUN_IDS, harness.clock
    )
    operations.rerun(run.run_id, "ann")
    assert launch(harness, attempt=2).decision is Decision.LAUNCHED
    assert [start.launch_id for start in harness.target.starts] == [f"{run.run_id}-2"]


def test_rejected_start_fails_the_run_with_the_targets_message(harness: EngineHarness, queued: Run) -> None:
    refuse(harness, LaunchRejectedError("the state machine is gone " + "x" * 5_000))

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status) == (Decision.FAILURE, Status.FAILURE)
    assert run.failure is not None
    assert (run.failure.error, run.failure.assumed) == ("LaunchRejectedError", True)
    assert run.failure.cause == ("the state machine is gone " + "x" * 5_000)[:2_000]
    assert resent(harness) == []


def test_message_after_a_final_failure_starts_nothing(harness: EngineHarness, queued: Run) -> None:
    refuse(harness, LaunchRejectedError("gone"))
    launch(harness)

    assert launch(harness).decision is Decision.DUPLICATE
    assert len(harness.target.starts) == 1


@pytest.mark.parametrize(
    ("error", "is_in_doubt"),
    [
        (LaunchDelayedError("throttled"), False),
        (LaunchDeniedError("no permission"), False),
        (LaunchUncertainError("no answer"), True),
    ],
)
def test_start_that_may_succeed_later_releases_its_claim_and_is_sent_again(
    harness: EngineHarness, queued: Run, error: LaunchError, is_in_doubt: bool
) -> None:
    refuse(harness, error)

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, outcome.reason) == (Decision.DELAYED, str(error))
    assert (run.status, run.claim, run.pending_start is not None) == (Status.QUEUED, None, is_in_doubt)
    [(message, delay)] = resent(harness)
    assert message == {**MESSAGE, "hops": 1}
    assert RETRY_SECONDS / 2 <= delay <= RETRY_SECONDS
    assert run.next_at == NOON + delay * 1000 + MESSAGE_LOST_MS
    assert run.delayed == LaunchBackoff(str(error), NOON, NOON + delay * 1000)


def test_start_that_has_succeeded_waits_for_nothing_any_more(harness: EngineHarness, queued: Run) -> None:
    refuse(harness, LaunchDelayedError("x" * 5_000))
    launch(harness)
    delayed = harness.only_run().delayed
    assert delayed is not None
    assert len(delayed.reason) == 500

    launch(harness)

    assert (harness.only_run().status, harness.only_run().delayed) == (Status.STARTED, None)


def test_throttled_start_waits_longer_the_longer_it_has_waited(harness: EngineHarness, queued: Run) -> None:
    harness.target.refusal = LaunchDelayedError("throttled")
    delays = []
    for _ in range(30):
        launch(harness)
        (message,) = harness.launches.messages
        harness.launches.drain()
        harness.clock.advance(message.delay_seconds)
        delays.append(message.delay_seconds)

    assert delays[0] <= RETRY_SECONDS
    assert max(delays) <= MAX_DELAY_SECONDS
    assert min(delays[-5:]) >= MAX_DELAY_SECONDS / 2
    assert len(set(delays[-5:])) > 1, "chance spreads them"


def test_delayed_start_succeeds_at_once_when_its_message_comes_again(
    harness: EngineHarness, queued: Run
) -> None:
    refuse(harness, LaunchDelayedError("throttled"))
    launch(harness)

    assert launch(harness).decision is Decision.LAUNCHED


@pytest.mark.parametrize(
    ("milliseconds", "decision"), [(DENIED_FOR_MS, Decision.DELAYED), (DENIED_FOR_MS + 1, Decision.FAILURE)]
)
def test_denied_start_is_tried_for_five_minutes_from_its_first_denial(
    harness: EngineHarness, queued: Run, milliseconds: int, decision: Decision
) -> None:
    refuse(harness, LaunchDelayedError("throttled"), *[LaunchDeniedError("no permission")] * 2)
    launch(harness)
    harness.clock.advance(2 * DENIED_FOR_MS / 1000)
    assert launch(harness).decision is Decision.DELAYED

    harness.clock.advance(milliseconds / 1000)
    outcome = launch(harness)

    failure = harness.only_run().failure
    assert outcome.decision is decision
    assert (failure.error if failure else None) == (
        "LaunchDeniedError" if decision is Decision.FAILURE else None
    )


def test_throttled_start_is_tried_without_end(harness: EngineHarness, queued: Run) -> None:
    refuse(harness, LaunchDelayedError("throttled"))
    harness.clock.advance(86_400)

    assert launch(harness).decision is Decision.DELAYED
