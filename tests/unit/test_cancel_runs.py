"""An operator's cancel: a run that waits never starts; one that runs is ended by its target."""

from dataclasses import replace

import pytest

from tests.support.dispatching import change, committed, dispatch
from tests.support.house import House
from tests.unit.test_run_operations import ANN, ended_run, launch_all, operations
from treadle.definitions.errors import CommandRefusedError, LaunchDelayedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.model.runs import Claim, PendingStart
from treadle.testing.targets import InMemoryTarget


def queued(house: House) -> str:
    dispatch(house, committed(house, "k"))
    return house.only_run().run_id


def test_a_run_that_waits_is_canceled_at_once_and_never_starts(house: House) -> None:
    run_id = queued(house)

    edit = operations(house).cancel(run_id, ANN)

    [message] = house.launches.drain()
    late = house.launcher().launch(
        LaunchRequest(run_id, int(str(message["attempt"])), house.only_run().job), 30
    )
    run = house.only_run()
    assert edit.is_new
    assert (run.status, run.ended_at, run.next_at) == (Status.CANCELED, house.clock.now(), None)
    assert run.failure is not None
    assert ANN in run.failure.cause
    assert (late.decision, house.target.starts) == (Decision.DUPLICATE, [])


def test_a_started_run_is_ended_by_its_target_and_canceled_once_that_says_so(house: House) -> None:
    run_id = queued(house)
    launch_all(house)

    operations(house).cancel(run_id, ANN)

    run = house.only_run()
    execution = house.target.describe(run.external_id or "")
    assert (run.status, execution.status) == (Status.CANCELING, Status.CANCELED)
    house.recorder().record(house.change(run, Status.CANCELED))
    assert house.only_run().status is Status.CANCELED


def test_a_run_that_ends_while_it_is_canceled_keeps_its_own_end(house: House) -> None:
    run_id = queued(house)
    launch_all(house)
    operations(house).cancel(run_id, ANN)

    house.recorder().record(house.change(house.only_run(), Status.SUCCESS))

    assert house.only_run().status is Status.SUCCESS


def test_cancel_again_is_no_failure(house: House) -> None:
    run_id = queued(house)
    operations(house).cancel(run_id, ANN)

    edit = operations(house).cancel(run_id, ANN)

    assert (edit.is_new, edit.run.status) == (False, Status.CANCELED)


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE])
def test_a_run_that_has_ended_is_not_canceled(house: House, status: Status) -> None:
    run = ended_run(house, status)

    with pytest.raises(CommandRefusedError, match=f"has already ended: {status}"):
        operations(house).cancel(run.run_id, ANN)

    assert house.only_run() == run


def test_a_run_that_is_just_being_started_is_not_canceled(house: House) -> None:
    run_id = queued(house)
    now = house.clock.now()
    before = change(house, "k", claim=Claim("t", now + 60_000), pending_start=PendingStart("t", now, "arn"))

    with pytest.raises(CommandRefusedError, match="is being started: cancel it in a minute"):
        operations(house).cancel(run_id, ANN)

    assert house.only_run() == before


def test_a_start_whose_answer_was_lost_is_found_and_ended(house: House) -> None:
    """LAUNCH died between the call and its record: the target knows the execution, the run does not."""
    run_id = queued(house)
    launch_all(house)
    before = change(
        house, "k", status=Status.QUEUED, external_id=None, target=None, reached={"1/0": {"QUEUED": 0}}
    )
    house.clock.advance(300)

    operations(house).cancel(run_id, ANN)

    run = house.only_run()
    assert before.claim is not None
    assert (run.status, run.external_id) == (Status.CANCELING, house.target.begun[run.launch_id][0])
    assert house.target.describe(run.external_id or "").status is Status.CANCELED


def test_a_pending_start_that_the_target_does_not_show_is_left_to_launch(house: House) -> None:
    run_id = queued(house)
    before = change(house, "k", pending_start=PendingStart("t", house.clock.now(), "arn:there"))

    with pytest.raises(CommandRefusedError, match="arn:there does not show it"):
        operations(house).cancel(run_id, ANN)

    assert house.only_run() == before


class Busy(InMemoryTarget):
    """Takes no request."""

    def cancel(self, external_id: str, role: str = "") -> None:
        raise LaunchDelayedError(f"{external_id}: throttled")


def test_a_target_that_does_not_take_the_request_leaves_the_run_as_it_is(house: House) -> None:
    run_id = queued(house)
    launch_all(house)
    before = house.only_run()

    house.target = Busy(house.clock)
    with pytest.raises(LaunchDelayedError):
        operations(house).cancel(run_id, ANN)

    assert house.only_run() == before


def test_a_run_is_canceled_where_it_was_started_though_its_job_is_not_deployed_any_more(house: House) -> None:
    run_id = queued(house)
    launch_all(house)
    house.jobs = {}

    operations(house).cancel(run_id, ANN)

    assert house.target.describe(house.only_run().external_id or "").status is Status.CANCELED


def test_a_run_of_which_nobody_knows_the_target_any_more_is_named_with_its_execution(house: House) -> None:
    run_id = queued(house)
    launch_all(house)
    external_id = house.only_run().external_id
    house.jobs = {}
    house.tables.runs[run_id] = replace(house.only_run(), pending_start=None, target=None)

    with pytest.raises(CommandRefusedError, match=f"cancel {external_id} by hand"):
        operations(house).cancel(run_id, ANN)
