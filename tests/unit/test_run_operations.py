"""An operator's rerun and release: one more attempt each, recorded with who and when, whatever comes twice."""

from dataclasses import replace

import pytest

from tests.support.dispatching import NOON, change, committed, dispatch, launched
from tests.support.engine import JOB, RUN_IDS, EngineHarness
from treadle.definitions.errors import CommandRefusedError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.model.runs import KeyState, RetryGrant, Run, Unanswered
from treadle.model.targets import JobSettings, StartContract
from treadle.operate.runs import RunOperations
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import InMemoryQueue

ANN = "arn:aws:iam::123456789012:user/ann"


def operations(harness: EngineHarness, launches: InMemoryQueue | None = None) -> RunOperations:
    queue = harness.launches if launches is None else launches
    return RunOperations(
        harness.runs,
        harness.sensors,
        queue,
        harness.jobs,
        {"step_functions": harness.target},
        RUN_IDS,
        harness.clock,
    )


def ended_run(harness: EngineHarness, status: Status = Status.FAILURE, *, key: str | None = "k") -> Run:
    """Return a run that was launched and has ended as its target reported."""
    dispatch(harness, committed(harness, key))
    run = harness.only_run()
    launch_all(harness)
    harness.clock.advance(5)
    harness.recorder().record(harness.change(run, status))
    harness.clock.advance(5)
    return harness.only_run()


def launch_all(harness: EngineHarness) -> None:
    for body in harness.launches.drain():
        request = LaunchRequest.from_json(body)
        harness.launcher().launch(request, 30)


@pytest.mark.parametrize("status", [Status.FAILURE, Status.SUCCESS, Status.CANCELED])
def test_a_run_that_has_ended_is_queued_again_at_once(harness: EngineHarness, status: Status) -> None:
    before = ended_run(harness, status)

    edit = operations(harness).rerun(before.run_id, ANN)

    now = harness.clock.now()
    run = harness.only_run()
    assert (edit.is_new, edit.run) == (True, run)
    assert run == replace(
        before,
        status=Status.QUEUED,
        attempt=2,
        granted=2,
        allowances=(RetryGrant(2, ANN, now),),
        reached={**before.reached, "2/0": {"QUEUED": now}},
        claim=None,
        pending_start=None,
        external_id=None,
        target=None,
        started_at=None,
        ended_at=None,
        failure=None,
        updated_at=now,
        next_at=now + LAUNCH_DUE_MS,
        revision=before.revision + 1,
    )
    assert [message.body["attempt"] for message in harness.launches.messages] == [2]


def test_the_next_attempt_is_started_under_its_own_launch_id(harness: EngineHarness) -> None:
    run = ended_run(harness)

    operations(harness).rerun(run.run_id, ANN)
    launch_all(harness)

    assert [start.launch_id for start in harness.target.starts] == [f"{run.run_id}-1", f"{run.run_id}-2"]
    assert harness.only_run().status is Status.STARTED


def test_a_late_report_of_the_first_attempt_leaves_the_second_alone(harness: EngineHarness) -> None:
    run = ended_run(harness)
    operations(harness).rerun(run.run_id, ANN)

    harness.recorder().record(harness.change(run, Status.FAILURE))

    assert (harness.only_run().attempt, harness.only_run().status) == (2, Status.QUEUED)


def test_a_run_that_has_not_ended_is_not_rerun(harness: EngineHarness) -> None:
    dispatch(harness, committed(harness, "k"))
    before = harness.only_run()

    with pytest.raises(CommandRefusedError, match="has not ended: attempt 1 is QUEUED"):
        operations(harness).rerun(before.run_id, ANN)

    assert harness.only_run() == before


def test_an_unknown_run_is_refused(harness: EngineHarness) -> None:
    with pytest.raises(CommandRefusedError, match="Run nowhere does not exist"):
        operations(harness).rerun("nowhere", ANN)


def test_the_same_command_again_starts_no_third_attempt(harness: EngineHarness) -> None:
    """Also if the second attempt has ended meanwhile."""
    run = ended_run(harness)
    operations(harness).rerun(run.run_id, ANN, if_attempt=1)
    launch_all(harness)
    harness.recorder().record(harness.change(harness.only_run(), Status.FAILURE))
    harness.clock.advance(1)

    edit = operations(harness).rerun(run.run_id, ANN, if_attempt=1)

    assert not edit.is_new
    assert "attempt 2 (FAILURE) has already followed attempt 1" in edit.reason
    assert (harness.only_run().attempt, harness.launches.messages) == (2, [])


def test_an_attempt_that_never_was_is_refused(harness: EngineHarness) -> None:
    run = ended_run(harness)

    with pytest.raises(CommandRefusedError, match="has no attempt 2: its current attempt is 1"):
        operations(harness).rerun(run.run_id, ANN, if_attempt=2)


class LosesResponses(InMemoryRunStore):
    """Writes, and is called again by a client that got no response."""

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        super().replace(run, before)
        return super().replace(run, before)


def test_a_write_whose_answer_was_lost_is_one_attempt(harness: EngineHarness) -> None:
    run = ended_run(harness)
    runs = LosesResponses(harness.tables)
    losing = RunOperations(
        runs,
        harness.sensors,
        harness.launches,
        harness.jobs,
        {"step_functions": harness.target},
        RUN_IDS,
        harness.clock,
    )

    edit = losing.rerun(run.run_id, ANN)

    assert edit.is_new
    assert (harness.only_run().attempt, len(harness.only_run().allowances)) == (2, 1)


class Deaf(InMemoryQueue):
    """Takes nothing."""

    def send(self, bodies: object, *, delay_seconds: object = 0) -> None:
        raise StoreError("SQS did not answer")


def test_a_lost_launch_message_is_sent_by_the_same_command_or_by_reconcile(harness: EngineHarness) -> None:
    run = ended_run(harness)
    with pytest.raises(
        StoreError, match=r"Attempt 2 .* is recorded, but was not queued; RECONCILE will launch it"
    ):
        operations(harness, Deaf()).rerun(run.run_id, ANN, if_attempt=1)
    assert harness.runs.due(harness.clock.now() + LAUNCH_DUE_MS, 10) == [run.run_id]
    harness.clock.advance(1)

    operations(harness).rerun(run.run_id, ANN, if_attempt=1)

    assert launched(harness) == [run.run_id]
    assert harness.only_run().attempt == 2


def test_a_released_key_is_started_by_the_next_request_and_by_no_other(harness: EngineHarness) -> None:
    before = ended_run(harness, Status.SUCCESS)
    now = harness.clock.now()

    edit = operations(harness).release("watch", "k", ANN)

    assert edit.is_new
    assert harness.only_run() == replace(
        before, granted=2, allowances=(RetryGrant(2, ANN, now),), revision=before.revision + 1
    )
    assert launched(harness) == []
    for number in (2, 3):
        dispatch(harness, committed(harness, "k", number=number))
    assert (harness.only_run().attempt, launched(harness)) == (2, [before.run_id])


def test_a_released_key_passes_the_filter_of_the_evaluators(harness: EngineHarness) -> None:
    run = ended_run(harness)
    assert harness.runs.key_states({run.run_id: None}) == {run.run_id: KeyState.SETTLED}

    operations(harness).release("watch", "k", ANN)

    assert harness.runs.key_states({run.run_id: None}) == {run.run_id: KeyState.OPEN}


def test_a_key_is_released_once_until_its_request_has_come(harness: EngineHarness) -> None:
    ended_run(harness)
    operations(harness).release("watch", "k", ANN)
    harness.clock.advance(1)
    once = harness.only_run()

    edit = operations(harness).release("watch", "k", ANN)

    assert not edit.is_new
    assert "was already free" in edit.reason
    assert harness.only_run() == once


def test_a_key_whose_sensor_retries_by_itself_is_free_already(harness: EngineHarness) -> None:
    ended_run(harness)
    before = change(harness, "k", retries=2)

    assert not operations(harness).release("watch", "k", ANN).is_new
    assert harness.only_run() == before


def test_a_release_seen_at_an_earlier_attempt_changes_nothing(harness: EngineHarness) -> None:
    run = ended_run(harness)
    operations(harness).rerun(run.run_id, ANN)
    before = harness.only_run()
    harness.clock.advance(1)

    edit = operations(harness).release("watch", "k", ANN, if_attempt=1)

    assert not edit.is_new
    assert harness.only_run() == before


@pytest.mark.parametrize(("sensor", "key"), [("watch", "other"), ("other", "k")])
def test_a_key_that_was_never_requested_is_refused(harness: EngineHarness, sensor: str, key: str) -> None:
    ended_run(harness)

    with pytest.raises(CommandRefusedError, match="is free: no run has been recorded with it"):
        operations(harness).release(sensor, key, ANN)


def test_a_key_whose_run_is_under_way_is_not_released(harness: EngineHarness) -> None:
    dispatch(harness, committed(harness, "k"))

    with pytest.raises(CommandRefusedError, match="has not ended"):
        operations(harness).release("watch", "k", ANN)


def test_rerun_uses_up_a_release(harness: EngineHarness) -> None:
    """Both allow the second attempt; a request that comes after it finds the key taken."""
    run = ended_run(harness)
    operations(harness).release("watch", "k", ANN)
    operations(harness).rerun(run.run_id, "bob")
    launch_all(harness)
    harness.recorder().record(harness.change(harness.only_run(), Status.FAILURE))

    dispatch(harness, committed(harness, "k", number=2))

    run = harness.only_run()
    assert (run.attempt, run.attempts_allowed) == (2, 2)
    assert [each.by for each in run.allowances] == [ANN, "bob"]
    assert run.created_at == NOON


# ---- Queries


def started_run(harness: EngineHarness) -> Run:
    dispatch(harness, committed(harness, "k"))
    launch_all(harness)
    harness.clock.advance(5)
    return harness.only_run()


def test_a_run_whose_end_nobody_has_announced_is_ended_by_querying_its_target(harness: EngineHarness) -> None:
    run = started_run(harness)
    harness.target.finish(str(run.external_id), Status.SUCCESS)

    edit = operations(harness).refresh(run.run_id)

    assert edit.is_new
    assert edit.reason == f"Run {run.run_id} is SUCCESS, as its target reports."
    assert (harness.only_run().status, harness.only_run().next_at) == (Status.SUCCESS, None)


def test_a_run_that_continues_is_left_as_it_is(harness: EngineHarness) -> None:
    run = started_run(harness)

    edit = operations(harness).refresh(run.run_id)

    assert not edit.is_new
    assert "is still STARTED, as its target reports" in edit.reason
    assert harness.only_run() == run


def test_a_run_that_has_ended_is_not_queried(harness: EngineHarness) -> None:
    run = ended_run(harness, Status.FAILURE)

    edit = operations(harness).refresh(run.run_id)

    assert not edit.is_new
    assert "has already ended: FAILURE" in edit.reason


def test_a_run_that_its_target_knows_no_longer_has_an_unknown_outcome_until_it_is_reported(
    harness: EngineHarness,
) -> None:
    run = started_run(harness)
    harness.target.finish(str(run.external_id), Status.SUCCESS)
    harness.target.forgets_ended = True

    edit = operations(harness).refresh(run.run_id)
    harness.target.forgets_ended = False
    again = operations(harness).refresh(run.run_id)

    assert (edit.run.status, edit.run.failure and edit.run.failure.error) == (
        Status.FAILURE,
        "OutcomeUnknownError",
    )
    assert again.run.status is Status.SUCCESS


def test_a_run_that_waits_for_its_launch_cannot_be_queried(harness: EngineHarness) -> None:
    dispatch(harness, committed(harness, "k"))

    with pytest.raises(CommandRefusedError, match="its execution is not known yet"):
        operations(harness).refresh(harness.only_run().run_id)


def test_a_run_of_a_target_that_does_not_report_is_reported_by_others(harness: EngineHarness) -> None:
    run = started_run(harness)
    harness.target.contract = StartContract(describes=False)

    with pytest.raises(CommandRefusedError, match="has to report its end"):
        operations(harness).refresh(run.run_id)


def test_a_run_whose_job_is_gone_and_that_names_no_target_cannot_be_queried(harness: EngineHarness) -> None:
    run = started_run(harness)
    harness.tables.runs[run.run_id] = replace(run, pending_start=None, target=None)
    harness.jobs = {}

    with pytest.raises(CommandRefusedError, match="job process_file is not deployed"):
        operations(harness).refresh(run.run_id)


LAMBDA = JobSettings(JOB, "lambda", "arn:aws:lambda:us-east-1:123456789012:function:f", "P")


@pytest.mark.parametrize("jobs", [{}, {JOB: LAMBDA}], ids=["removed", "of another kind"])
def test_run_of_others_is_queried_and_canceled_where_it_runs(
    harness: EngineHarness, jobs: dict[str, JobSettings]
) -> None:
    """What was observed keeps no start of Treadle's: its target's address says of which kind it is."""
    run = started_run(harness)
    harness.tables.runs[run.run_id] = replace(run, pending_start=None)
    harness.jobs = jobs
    made = operations(harness)

    assert "is still STARTED" in made.refresh(run.run_id).reason
    assert str(run.external_id) in made.cancel(run.run_id, ANN).reason
    assert harness.only_run().status is Status.CANCELING
    assert [(each.by, each.action) for each in harness.only_run().edits] == [(ANN, "canceled attempt 1")]


def test_run_that_its_target_answers_about_again_is_no_longer_reported_to_be_unanswered(
    harness: EngineHarness,
) -> None:
    run = started_run(harness)
    denied = Unanswered("not authorized", NOON, NOON)
    harness.tables.runs[run.run_id] = replace(run, unanswered=denied)

    operations(harness).refresh(run.run_id)

    assert harness.only_run().unanswered is None
