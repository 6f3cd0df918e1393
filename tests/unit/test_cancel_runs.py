"""An operator's cancel: a run that waits never starts; one that runs is ended by its target."""

from dataclasses import replace

import pytest

from tests.support.dispatching import change, committed, dispatch
from tests.support.engine import EngineHarness
from tests.unit.test_run_operations import ANN, ended_run, launch_all, operations
from treadle.definitions.errors import CommandRefusedError, LaunchDelayedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.model.runs import Claim, PendingStart
from treadle.testing.targets import InMemoryTarget


def queued(harness: EngineHarness) -> str:
    dispatch(harness, committed(harness, "k"))
    return harness.only_run().run_id


def test_a_run_that_waits_is_canceled_at_once_and_never_starts(harness: EngineHarness) -> None:
    run_id = queued(harness)

    edit = operations(harness).cancel(run_id, ANN)

    [message] = harness.launches.drain()
    late = harness.launcher().launch(
        LaunchRequest(run_id, int(str(message["attempt"])), harness.only_run().job), 30
    )
    run = harness.only_run()
    assert edit.is_new
    assert (run.status, run.ended_at, run.next_at) == (Status.CANCELED, harness.clock.now(), None)
    assert run.failure is not None
    assert ANN in run.failure.cause
    assert (late.decision, harness.target.starts) == (Decision.DUPLICATE, [])


def test_a_started_run_is_ended_by_its_target_and_canceled_once_that_says_so(harness: EngineHarness) -> None:
    run_id = queued(harness)
    launch_all(harness)

    operations(harness).cancel(run_id, ANN)

    run = harness.only_run()
    execution = harness.target.describe(run.external_id or "")
    assert (run.status, execution.status) == (Status.CANCELING, Status.CANCELED)
    harness.recorder().record(harness.change(run, Status.CANCELED))
    assert harness.only_run().status is Status.CANCELED


def test_a_run_that_ends_while_it_is_canceled_keeps_its_own_end(harness: EngineHarness) -> None:
    run_id = queued(harness)
    launch_all(harness)
    operations(harness).cancel(run_id, ANN)

    harness.recorder().record(harness.change(harness.only_run(), Status.SUCCESS))

    assert harness.only_run().status is Status.SUCCESS


def test_cancel_again_is_no_failure(harness: EngineHarness) -> None:
    run_id = queued(harness)
    operations(harness).cancel(run_id, ANN)

    edit = operations(harness).cancel(run_id, ANN)

    assert (edit.is_new, edit.run.status) == (False, Status.CANCELED)


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE])
def test_a_run_that_has_ended_is_not_canceled(harness: EngineHarness, status: Status) -> None:
    run = ended_run(harness, status)

    with pytest.raises(CommandRefusedError, match=f"has already ended: {status}"):
        operations(harness).cancel(run.run_id, ANN)

    assert harness.only_run() == run


def test_a_run_that_is_just_being_started_is_not_canceled(harness: EngineHarness) -> None:
    run_id = queued(harness)
    now = harness.clock.now()
    before = change(harness, "k", claim=Claim("t", now + 60_000), pending_start=PendingStart("t", now, "arn"))

    with pytest.raises(CommandRefusedError, match="is being started: cancel it in a minute"):
        operations(harness).cancel(run_id, ANN)

    assert harness.only_run() == before


def test_a_start_whose_answer_was_lost_is_found_and_ended(harness: EngineHarness) -> None:
    """LAUNCH died between the call and its record: the target knows the execution, the run does not."""
    run_id = queued(harness)
    launch_all(harness)
    before = change(
        harness, "k", status=Status.QUEUED, external_id=None, target=None, reached={"1/0": {"QUEUED": 0}}
    )
    harness.clock.advance(300)

    operations(harness).cancel(run_id, ANN)

    run = harness.only_run()
    assert before.pending_start is not None
    assert (run.status, run.external_id) == (Status.CANCELING, harness.target.begun[run.launch_id][0])
    assert harness.target.describe(run.external_id or "").status is Status.CANCELED


def test_a_pending_start_that_the_target_does_not_show_is_left_to_launch(harness: EngineHarness) -> None:
    run_id = queued(harness)
    before = change(harness, "k", pending_start=PendingStart("t", harness.clock.now(), "arn:there"))

    with pytest.raises(CommandRefusedError, match="arn:there does not show it"):
        operations(harness).cancel(run_id, ANN)

    assert harness.only_run() == before


class Busy(InMemoryTarget):
    """Takes no request."""

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        raise LaunchDelayedError(f"{external_id}: throttled")


def test_a_target_that_does_not_take_the_request_leaves_the_run_as_it_is(harness: EngineHarness) -> None:
    run_id = queued(harness)
    launch_all(harness)
    before = harness.only_run()

    harness.target = Busy(harness.clock)
    with pytest.raises(LaunchDelayedError):
        operations(harness).cancel(run_id, ANN)

    assert harness.only_run() == before


def test_a_run_is_canceled_where_it_was_started_though_its_job_is_not_deployed_any_more(
    harness: EngineHarness,
) -> None:
    run_id = queued(harness)
    launch_all(harness)
    harness.jobs = {}

    operations(harness).cancel(run_id, ANN)

    assert harness.target.describe(harness.only_run().external_id or "").status is Status.CANCELED


def test_a_run_of_which_nobody_knows_the_target_any_more_is_named_with_its_execution(
    harness: EngineHarness,
) -> None:
    run_id = queued(harness)
    launch_all(harness)
    external_id = harness.only_run().external_id
    harness.jobs = {}
    harness.tables.runs[run_id] = replace(harness.only_run(), pending_start=None, target=None)

    with pytest.raises(CommandRefusedError, match=f"cancel {external_id} by hand"):
        operations(harness).cancel(run_id, ANN)
