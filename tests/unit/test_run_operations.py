"""An operator's rerun and release: one more attempt each, recorded with who and when, whatever comes twice."""

from dataclasses import replace

import pytest

from tests.support.dispatching import NOON, change, committed, dispatch, launched
from tests.support.house import JOB, RUN_IDS, House
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


def operations(house: House, launches: InMemoryQueue | None = None) -> RunOperations:
    queue = house.launches if launches is None else launches
    return RunOperations(
        house.runs, house.sensors, queue, house.jobs, {"step_functions": house.target}, RUN_IDS, house.clock
    )


def ended_run(house: House, status: Status = Status.FAILURE, *, key: str | None = "k") -> Run:
    """Return a run that was launched and has ended as its target reported."""
    dispatch(house, committed(house, key))
    run = house.only_run()
    launch_all(house)
    house.clock.advance(5)
    house.recorder().record(house.change(run, status))
    house.clock.advance(5)
    return house.only_run()


def launch_all(house: House) -> None:
    for body in house.launches.drain():
        request = LaunchRequest.from_json(body)
        house.launcher().launch(request, 30)


@pytest.mark.parametrize("status", [Status.FAILURE, Status.SUCCESS, Status.CANCELED])
def test_a_run_that_has_ended_is_queued_again_at_once(house: House, status: Status) -> None:
    before = ended_run(house, status)

    edit = operations(house).rerun(before.run_id, ANN)

    now = house.clock.now()
    run = house.only_run()
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
    assert [message.body["attempt"] for message in house.launches.messages] == [2]


def test_the_next_attempt_is_started_under_its_own_launch_id(house: House) -> None:
    run = ended_run(house)

    operations(house).rerun(run.run_id, ANN)
    launch_all(house)

    assert [start.launch_id for start in house.target.starts] == [f"{run.run_id}-1", f"{run.run_id}-2"]
    assert house.only_run().status is Status.STARTED


def test_a_late_report_of_the_first_attempt_leaves_the_second_alone(house: House) -> None:
    run = ended_run(house)
    operations(house).rerun(run.run_id, ANN)

    house.recorder().record(house.change(run, Status.FAILURE))

    assert (house.only_run().attempt, house.only_run().status) == (2, Status.QUEUED)


def test_a_run_that_has_not_ended_is_not_rerun(house: House) -> None:
    dispatch(house, committed(house, "k"))
    before = house.only_run()

    with pytest.raises(CommandRefusedError, match="has not ended: attempt 1 is QUEUED"):
        operations(house).rerun(before.run_id, ANN)

    assert house.only_run() == before


def test_an_unknown_run_is_refused(house: House) -> None:
    with pytest.raises(CommandRefusedError, match="Run nowhere does not exist"):
        operations(house).rerun("nowhere", ANN)


def test_the_same_command_again_starts_no_third_attempt(house: House) -> None:
    """Also if the second attempt has ended meanwhile."""
    run = ended_run(house)
    operations(house).rerun(run.run_id, ANN, if_attempt=1)
    launch_all(house)
    house.recorder().record(house.change(house.only_run(), Status.FAILURE))
    house.clock.advance(1)

    edit = operations(house).rerun(run.run_id, ANN, if_attempt=1)

    assert not edit.is_new
    assert "attempt 2 (FAILURE) has already followed attempt 1" in edit.reason
    assert (house.only_run().attempt, house.launches.messages) == (2, [])


def test_an_attempt_that_never_was_is_refused(house: House) -> None:
    run = ended_run(house)

    with pytest.raises(CommandRefusedError, match="has no attempt 2: its current attempt is 1"):
        operations(house).rerun(run.run_id, ANN, if_attempt=2)


class LosesResponses(InMemoryRunStore):
    """Writes, and is called again by a client that got no response."""

    def replace(self, run: Run) -> Run | None:
        super().replace(run)
        return super().replace(run)


def test_a_write_whose_answer_was_lost_is_one_attempt(house: House) -> None:
    run = ended_run(house)
    runs = LosesResponses(house.tables)
    losing = RunOperations(
        runs,
        house.sensors,
        house.launches,
        house.jobs,
        {"step_functions": house.target},
        RUN_IDS,
        house.clock,
    )

    edit = losing.rerun(run.run_id, ANN)

    assert edit.is_new
    assert (house.only_run().attempt, len(house.only_run().allowances)) == (2, 1)


class Deaf(InMemoryQueue):
    """Takes nothing."""

    def send(self, bodies: object, *, delay_seconds: object = 0) -> None:
        raise StoreError("SQS did not answer")


def test_a_lost_launch_message_is_sent_by_the_same_command_or_by_reconcile(house: House) -> None:
    run = ended_run(house)
    with pytest.raises(
        StoreError, match=r"Attempt 2 .* is recorded, but was not queued; RECONCILE will launch it"
    ):
        operations(house, Deaf()).rerun(run.run_id, ANN, if_attempt=1)
    assert house.runs.due(house.clock.now() + LAUNCH_DUE_MS, 10) == [run.run_id]
    house.clock.advance(1)

    operations(house).rerun(run.run_id, ANN, if_attempt=1)

    assert launched(house) == [run.run_id]
    assert house.only_run().attempt == 2


def test_a_released_key_is_started_by_the_next_request_and_by_no_other(house: House) -> None:
    before = ended_run(house, Status.SUCCESS)
    now = house.clock.now()

    edit = operations(house).release("watch", "k", ANN)

    assert edit.is_new
    assert house.only_run() == replace(
        before, granted=2, allowances=(RetryGrant(2, ANN, now),), revision=before.revision + 1
    )
    assert launched(house) == []
    for number in (2, 3):
        dispatch(house, committed(house, "k", number=number))
    assert (house.only_run().attempt, launched(house)) == (2, [before.run_id])


def test_a_released_key_passes_the_filter_of_the_evaluators(house: House) -> None:
    run = ended_run(house)
    assert house.runs.key_states({run.run_id: None}) == {run.run_id: KeyState.SETTLED}

    operations(house).release("watch", "k", ANN)

    assert house.runs.key_states({run.run_id: None}) == {run.run_id: KeyState.OPEN}


def test_a_key_is_released_once_until_its_request_has_come(house: House) -> None:
    ended_run(house)
    operations(house).release("watch", "k", ANN)
    house.clock.advance(1)
    once = house.only_run()

    edit = operations(house).release("watch", "k", ANN)

    assert not edit.is_new
    assert "was already free" in edit.reason
    assert house.only_run() == once


def test_a_key_whose_sensor_retries_by_itself_is_free_already(house: House) -> None:
    ended_run(house)
    before = change(house, "k", retries=2)

    assert not operations(house).release("watch", "k", ANN).is_new
    assert house.only_run() == before


def test_a_release_seen_at_an_earlier_attempt_changes_nothing(house: House) -> None:
    run = ended_run(house)
    operations(house).rerun(run.run_id, ANN)
    before = house.only_run()
    house.clock.advance(1)

    edit = operations(house).release("watch", "k", ANN, if_attempt=1)

    assert not edit.is_new
    assert house.only_run() == before


@pytest.mark.parametrize(("sensor", "key"), [("watch", "other"), ("other", "k")])
def test_a_key_that_was_never_requested_is_refused(house: House, sensor: str, key: str) -> None:
    ended_run(house)

    with pytest.raises(CommandRefusedError, match="is free: no run has been recorded with it"):
        operations(house).release(sensor, key, ANN)


def test_a_key_whose_run_is_under_way_is_not_released(house: House) -> None:
    dispatch(house, committed(house, "k"))

    with pytest.raises(CommandRefusedError, match="has not ended"):
        operations(house).release("watch", "k", ANN)


def test_rerun_uses_up_a_release(house: House) -> None:
    """Both allow the second attempt; a request that comes after it finds the key taken."""
    run = ended_run(house)
    operations(house).release("watch", "k", ANN)
    operations(house).rerun(run.run_id, "bob")
    launch_all(house)
    house.recorder().record(house.change(house.only_run(), Status.FAILURE))

    dispatch(house, committed(house, "k", number=2))

    run = house.only_run()
    assert (run.attempt, run.attempts_allowed) == (2, 2)
    assert [each.by for each in run.allowances] == [ANN, "bob"]
    assert run.created_at == NOON


# ---- Queries


def started_run(house: House) -> Run:
    dispatch(house, committed(house, "k"))
    launch_all(house)
    house.clock.advance(5)
    return house.only_run()


def test_a_run_whose_end_nobody_has_announced_is_ended_by_querying_its_target(house: House) -> None:
    run = started_run(house)
    house.target.finish(str(run.external_id), Status.SUCCESS)

    edit = operations(house).refresh(run.run_id)

    assert edit.is_new
    assert edit.reason == f"Run {run.run_id} is SUCCESS, as its target reports."
    assert (house.only_run().status, house.only_run().next_at) == (Status.SUCCESS, None)


def test_a_run_that_continues_is_left_as_it_is(house: House) -> None:
    run = started_run(house)

    edit = operations(house).refresh(run.run_id)

    assert not edit.is_new
    assert "is still STARTED, as its target reports" in edit.reason
    assert house.only_run() == run


def test_a_run_that_has_ended_is_not_queried(house: House) -> None:
    run = ended_run(house, Status.FAILURE)

    edit = operations(house).refresh(run.run_id)

    assert not edit.is_new
    assert "has already ended: FAILURE" in edit.reason


def test_a_run_that_its_target_knows_no_longer_has_an_unknown_outcome_until_it_is_reported(
    house: House,
) -> None:
    run = started_run(house)
    house.target.finish(str(run.external_id), Status.SUCCESS)
    house.target.forgets_ended = True

    edit = operations(house).refresh(run.run_id)
    house.target.forgets_ended = False
    again = operations(house).refresh(run.run_id)

    assert (edit.run.status, edit.run.failure and edit.run.failure.error) == (
        Status.FAILURE,
        "OutcomeUnknownError",
    )
    assert again.run.status is Status.SUCCESS


def test_a_run_that_waits_for_its_launch_cannot_be_queried(house: House) -> None:
    dispatch(house, committed(house, "k"))

    with pytest.raises(CommandRefusedError, match="its execution is not known yet"):
        operations(house).refresh(house.only_run().run_id)


def test_a_run_of_a_target_that_does_not_report_is_reported_by_others(house: House) -> None:
    run = started_run(house)
    house.target.contract = StartContract(describes=False)

    with pytest.raises(CommandRefusedError, match="has to report its end"):
        operations(house).refresh(run.run_id)


def test_a_run_whose_job_is_gone_and_that_names_no_target_cannot_be_queried(house: House) -> None:
    run = started_run(house)
    house.tables.runs[run.run_id] = replace(run, pending_start=None, target=None)
    house.jobs = {}

    with pytest.raises(CommandRefusedError, match="job process_file is not deployed"):
        operations(house).refresh(run.run_id)


LAMBDA = JobSettings(JOB, "lambda", "arn:aws:lambda:us-east-1:123456789012:function:f", "P")


@pytest.mark.parametrize("jobs", [{}, {JOB: LAMBDA}], ids=["removed", "of another kind"])
def test_run_of_others_is_queried_and_canceled_where_it_runs(
    house: House, jobs: dict[str, JobSettings]
) -> None:
    """What was observed keeps no start of Treadle's: its target's address says of which kind it is."""
    run = started_run(house)
    house.tables.runs[run.run_id] = replace(run, pending_start=None)
    house.jobs = jobs
    made = operations(house)

    assert "is still STARTED" in made.refresh(run.run_id).reason
    assert str(run.external_id) in made.cancel(run.run_id, ANN).reason
    assert house.only_run().status is Status.CANCELING


def test_run_that_its_target_answers_about_again_is_no_longer_reported_to_be_unanswered(house: House) -> None:
    run = started_run(house)
    denied = Unanswered("not authorized", NOON, NOON)
    house.tables.runs[run.run_id] = replace(run, unanswered=denied)

    operations(house).refresh(run.run_id)

    assert house.only_run().unanswered is None
