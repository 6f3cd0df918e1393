"""External runs: an execution that Treadle did not start gets one record, and is never started by it."""

from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, JOBS, RUN_IDS, EngineHarness
from tests.support.registry import copied
from treadle.definitions.errors import CommandRefusedError, LaunchDelayedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.instance.views import dagster_run
from treadle.engine.outcomes import Decision
from treadle.engine.record.recorder import Recorder, StatusChange
from treadle.engine.registry.registry_cache import ABSENT_MS, CachedRegistry, RegisteredJobs
from treadle.model.runs import Failure
from treadle.model.targets import Execution, StartContract
from treadle.operate.runs import RunOperations
from treadle.testing.registry import InMemoryRegistryStore
from treadle.testing.system import InMemoryQueue
from treadle.testing.targets import InMemoryTarget

NOON = 1_795_370_400_000
NIGHTLY = f"{ARN.replace('stateMachine', 'execution')}:nightly"
RUN_ID = RUN_IDS.observed("step_functions", NIGHTLY)
REPORTED = Failure("States.Timeout", "too slow")


class SilentTarget(InMemoryTarget):
    """A target that does not answer."""

    def describe(self, external_id: str, role: str = "") -> Execution:
        msg = f"throttled: {external_id}"
        raise LaunchDelayedError(msg)


def recorder(harness: EngineHarness, *jobs: str) -> Recorder:
    """RECORD, observing jobs."""
    return harness.engine.recorder(harness.jobs, harness.targets, frozenset(jobs or {JOB}))


def change(status: Status, name: str = "nightly", target: str = ARN) -> StatusChange:
    return StatusChange("step_functions", name, NIGHTLY, target, status, NOON + 9, NOON)


def assert_recorded(harness: EngineHarness, status: Status, failure: Failure | None = None) -> None:
    """Let the target know the execution."""
    ended = NOON + 9 if status.is_finished else None
    harness.target.executions[NIGHTLY] = Execution(
        NIGHTLY, ARN, status, NOON, ended, failure, launch_id="nightly"
    )


def test_execution_of_an_observed_job_gets_a_record_and_then_its_end(harness: EngineHarness) -> None:
    assert_recorded(harness, Status.STARTED)
    first = recorder(harness).record(change(Status.STARTED))
    begun = harness.only_run()
    assert_recorded(harness, Status.FAILURE, REPORTED)
    recorder(harness).record(change(Status.FAILURE))

    run = harness.only_run()
    assert (first.decision, first.subject) == (Decision.RECORDED, f"{RUN_ID}-1")
    assert (begun.status, begun.external_id, begun.target) == (Status.STARTED, NIGHTLY, ARN)
    assert (run.run_id, run.job, run.status, run.failure) == (RUN_ID, JOB, Status.FAILURE, REPORTED)
    assert (run.sensor, run.run_key, run.tick_id, run.run_config) == ("", None, "", "{}")
    assert (run.tags, run.attempt) == ({"treadle/observed": "true"}, 1)
    assert (run.created_at, run.started_at, run.ended_at) == (NOON, NOON, NOON + 9)
    assert dagster_run(run).sensor_name is None


def test_same_execution_is_recorded_once_whatever_comes_first(harness: EngineHarness) -> None:
    assert_recorded(harness, Status.SUCCESS)

    for status in (Status.SUCCESS, Status.STARTED, Status.SUCCESS):
        recorder(harness).record(change(status))

    assert harness.only_run().status is Status.SUCCESS


def test_known_execution_is_not_checked_again(harness: EngineHarness) -> None:
    assert_recorded(harness, Status.STARTED)
    recorder(harness).record(change(Status.STARTED))
    harness.target.executions.clear()

    assert recorder(harness).record(change(Status.SUCCESS)).decision is Decision.RECORDED
    assert harness.only_run().status is Status.SUCCESS


def test_record_is_never_a_launch_that_is_due(harness: EngineHarness) -> None:
    """A run that waits for its launch would be started by RECONCILE."""
    assert_recorded(harness, Status.STARTED)
    recorder(harness).record(change(Status.STARTED))
    harness.clock.advance(7_200)

    found = harness.reconciler().reconcile(60)

    assert (found.relaunched, found.described) == (0, 1)
    assert list(harness.launches.messages) == []


@pytest.mark.parametrize(
    ("event", "jobs"),
    [
        (change(Status.STARTED), ["another"]),
        (change(Status.STARTED, target=f"{ARN}-other"), [JOB]),
        (replace(change(Status.STARTED), kind="batch"), [JOB]),
    ],
    ids=["job is not observed", "nothing that a job launches", "another kind of target"],
)
def test_execution_of_anything_else_is_foreign(
    harness: EngineHarness, event: StatusChange, jobs: list[str]
) -> None:
    assert_recorded(harness, Status.STARTED)

    assert recorder(harness, *jobs).record(event).decision is Decision.FOREIGN
    assert harness.tables.runs == {}


def test_execution_that_the_target_does_not_know_is_foreign(harness: EngineHarness) -> None:
    outcome = recorder(harness).record(change(Status.STARTED))

    assert outcome.decision is Decision.FOREIGN
    assert "its target does not know" in outcome.reason
    assert harness.tables.runs == {}


def test_execution_that_the_target_says_is_of_something_else_is_foreign(harness: EngineHarness) -> None:
    assert_recorded(harness, Status.STARTED)
    harness.target.executions[NIGHTLY] = replace(harness.target.executions[NIGHTLY], target=f"{ARN}-other")

    assert recorder(harness).record(change(Status.STARTED)).decision is Decision.FOREIGN
    assert harness.tables.runs == {}


def test_event_is_kept_while_the_target_does_not_answer(harness: EngineHarness) -> None:
    harness.target = SilentTarget(harness.clock)

    with pytest.raises(LaunchDelayedError):
        recorder(harness).record(change(Status.STARTED))


def test_run_that_treadle_did_not_start_is_not_started_again(harness: EngineHarness) -> None:
    assert_recorded(harness, Status.FAILURE, REPORTED)
    recorder(harness).record(change(Status.FAILURE))
    targets = {"step_functions": harness.target}
    operations = RunOperations(
        harness.runs, harness.sensors, InMemoryQueue(), harness.jobs, targets, RUN_IDS, harness.clock
    )

    with pytest.raises(CommandRefusedError, match="Start it where it was started before"):
        operations.rerun(RUN_ID, "ops")


def test_observed_ids_are_apart_from_all_others() -> None:
    assert RUN_IDS.observed("a", "b") not in {RUN_IDS.keyed("a", "b"), RUN_IDS.observed("b", "a")}
    assert RUN_IDS.observed("a", "b") == RUN_IDS.observed("a", "b")


def test_ce_15_execution_of_a_job_that_was_just_registered_is_looked_up_past_the_cache(
    harness: EngineHarness,
) -> None:
    """RECORD finds jobs by their addresses; with a copy from before, the event would be of no job."""
    assert_recorded(harness, Status.STARTED)
    store = InMemoryRegistryStore(harness.tables)
    store.replace(copied("main", NOON, {}, ()))
    registry = CachedRegistry(store, harness.clock)
    jobs, changed = RegisteredJobs(registry), registry.jobs_changed
    running = harness.engine.recorder(jobs, harness.targets, frozenset({JOB}), changed)
    assert running.record(change(Status.STARTED)).decision is Decision.FOREIGN
    store.replace(replace(copied("main", NOON, {}, JOBS.values()), revision=1))
    harness.clock.advance(ABSENT_MS / 1000 + 1)

    assert running.record(change(Status.STARTED)).decision is Decision.RECORDED
    assert harness.only_run().job == JOB


def test_execution_whose_target_reports_nothing_is_not_recorded(harness: EngineHarness) -> None:
    """Whoever observes its job: nobody could say how it stands."""
    harness.target = InMemoryTarget(harness.clock, StartContract(describes=False))
    assert_recorded(harness, Status.STARTED)

    assert recorder(harness).record(change(Status.STARTED)).decision is Decision.FOREIGN
    assert harness.tables.runs == {}
