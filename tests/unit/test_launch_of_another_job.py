"""A launch message that names another job than the run's can neither start that job nor hold up the run's own."""

import pytest

from tests.support.engine import JOB, EngineHarness
from tests.support.launching import RUN_ID, SECONDS, launch, queue_run
from treadle.definitions.errors import UnknownEventError
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.model.targets import JobSettings

OTHER = "arn:aws:states:us-east-1:123456789012:stateMachine:other"


def mistake(harness: EngineHarness) -> None:
    """Take up a message for the run that names another job."""
    harness.jobs = {
        **harness.jobs,
        "other": JobSettings("other", "step_functions", OTHER, "OtherStateMachineArn"),
    }
    with pytest.raises(UnknownEventError, match="names an unknown run"):
        harness.launcher().launch(LaunchRequest(RUN_ID, 1, "other"), SECONDS)


def test_the_run_is_left_as_it_was(harness: EngineHarness) -> None:
    before = queue_run(harness)

    mistake(harness)

    assert harness.only_run() == before


def test_the_runs_own_job_is_started_at_once_afterwards(harness: EngineHarness) -> None:
    queue_run(harness)
    mistake(harness)

    outcome = launch(harness)

    assert outcome.decision is Decision.LAUNCHED
    assert [start.settings.arn for start in harness.target.starts] == [harness.jobs[JOB].arn]


def test_a_claim_that_somebody_else_holds_is_left_alone(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    before = harness.only_run()

    mistake(harness)

    assert harness.only_run() == before
