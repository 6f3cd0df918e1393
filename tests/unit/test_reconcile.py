"""RECONCILE: what a step has lost is found by its index and put back on its way; what is not late is left alone."""

from dataclasses import replace

import pytest

from tests.support.dispatching import committed
from tests.support.house import ARN, JOB, House
from tests.support.launching import MESSAGE, NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import LaunchDelayedError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.reconcile import reconciler as reconcile
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, RETRY_MS, Reconciled
from treadle.engine.record.run_state import LAUNCH_DUE_MS, OVERDUE_MS
from treadle.model.runs import Claim, Failure
from treadle.model.targets import Execution, StartContract
from treadle.model.ticks import Tick
from treadle.testing.stores import InMemoryTickStore
from treadle.testing.targets import InMemoryTarget

NOTHING = Reconciled()


def pass_over(house: House, seconds: float = 50) -> Reconciled:
    """Run one pass."""
    return house.reconciler().reconcile(seconds)


def test_a_healthy_engine_is_left_as_it_is(house: House) -> None:
    queue_run(house)
    committed(house, "k")
    before = (dict(house.tables.runs), dict(house.tables.ticks))

    assert pass_over(house) == NOTHING
    assert (house.tables.runs, house.tables.ticks, house.launches.messages) == (*before, [])


def test_a_tick_that_its_stream_lost_is_dispatched(house: House) -> None:
    tick = committed(house, "k")
    house.clock.time = tick.ended_at + DISPATCH_LATE_MS + 1

    assert pass_over(house) == Reconciled(dispatched=1)

    assert house.only_run().tick_id == tick.tick_id
    assert [body["run_id"] for body in house.launches.drain()] == [house.only_run().run_id]
    assert pass_over(house) == NOTHING


def test_chunks_that_were_lost_are_handed_on_again_once_in_a_while(house: House) -> None:
    tick = committed(house, *(f"k{index}" for index in range(CHUNK_SIZE + 1)))
    house.clock.time = tick.ended_at + DISPATCH_LATE_MS + 1

    pass_over(house)
    assert len(house.slices.drain()) == 2
    assert pass_over(house) == NOTHING
    house.clock.advance(900 + DISPATCH_LATE_MS / 1000 + 1)
    pass_over(house)
    assert len(house.slices.drain()) == 2


def test_one_tick_that_cannot_be_read_does_not_hold_up_those_behind_it(house: House) -> None:
    """I10: it comes again later, and says why."""
    bad, good = committed(house, "a", number=1), committed(house, "b", number=2)

    class UnreadableStore(InMemoryTickStore):
        def get(self, sensor: str, tick_id: str) -> Tick | None:
            if tick_id == bad.tick_id:
                msg = "the blob is gone"
                raise StoreError(msg)
            return super().get(sensor, tick_id)

    house.clock.time = bad.ended_at + DISPATCH_LATE_MS + 1
    reconciler = house.reconciler()
    reconciler._ticks = UnreadableStore(house.tables)

    first, second = reconciler.reconcile(50), reconciler.reconcile(50)

    assert (first.dispatched, first.failed, second) == (1, 1, NOTHING)
    assert house.tables.ticks["watch", good.tick_id].dispatched is not None
    assert house.tables.pending_since["watch", bad.tick_id] == house.clock.now() + RETRY_MS


def test_a_run_whose_launch_message_was_lost_is_launched(house: House) -> None:
    queue_run(house)
    house.clock.time = NOON + LAUNCH_DUE_MS

    assert pass_over(house) == Reconciled(relaunched=1)

    assert [message.body for message in house.launches.messages] == [MESSAGE]
    assert house.only_run().next_at == NOON + 2 * LAUNCH_DUE_MS
    assert pass_over(house) == NOTHING


def test_a_run_whose_launch_died_is_launched_once_the_claim_is_over(house: House) -> None:
    run = queue_run(house)
    due = NOON + LAUNCH_DUE_MS
    house.tables.runs[RUN_ID] = replace(run, claim=Claim("other", due + 5_000))
    house.clock.time = due

    assert pass_over(house) == NOTHING
    assert (house.launches.messages, house.only_run().next_at) == ([], due + 5_001)
    house.clock.time = due + 5_001
    assert pass_over(house) == Reconciled(relaunched=1)


def test_a_run_that_ended_unseen_gets_its_end(house: House) -> None:
    queue_run(house)
    launch(house)
    failure = Failure("States.TaskFailed", "no such file")
    house.clock.advance(10)
    house.target.finish(f"{ARN}:{RUN_ID}-1", Status.FAILURE, failure)
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(described=1)

    run = house.only_run()
    assert (run.status, run.failure, run.ended_at, run.next_at) == (
        Status.FAILURE,
        failure,
        NOON + 10_000,
        None,
    )


def test_a_run_that_continues_is_queried_again_an_hour_later(house: House) -> None:
    queue_run(house)
    launch(house)
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(described=1)
    assert (house.only_run().status, house.only_run().next_at) == (Status.STARTED, NOON + 2 * OVERDUE_MS)


def test_a_target_that_does_not_answer_is_queried_again_later(house: House) -> None:
    class SilentTarget(InMemoryTarget):
        def describe(self, external_id: str, role: str = "") -> Execution:
            msg = f"throttled: {external_id}"
            raise LaunchDelayedError(msg)

    house.target = SilentTarget(house.clock)
    queue_run(house)
    launch(house)
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(failed=1)
    assert (house.only_run().status, house.only_run().next_at) == (
        Status.STARTED,
        house.clock.now() + RETRY_MS,
    )


def test_a_run_that_its_target_has_forgotten_ends_as_unknown(house: House) -> None:
    house.target = InMemoryTarget(house.clock, forgets_ended=True)
    queue_run(house)
    launch(house)
    house.target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(described=1)
    run = house.only_run()
    assert (run.status, run.failure and run.failure.error) == (Status.FAILURE, "OutcomeUnknownError")
    house.recorder().record(house.change(run, Status.SUCCESS))
    assert house.only_run().status is Status.SUCCESS


def test_a_run_is_queried_where_it_was_started_though_its_job_is_no_longer_configured(
    house: House,
) -> None:
    queue_run(house)
    launch(house)
    house.target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    house.jobs = {}
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(described=1)
    assert house.only_run().status is Status.SUCCESS


def test_a_run_that_cannot_be_queried_is_left_for_later(house: House) -> None:
    queue_run(house)
    launch(house)
    house.tables.runs[RUN_ID] = replace(house.only_run(), pending_start=None, target="process-file")
    house.jobs = {}
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(failed=1)
    assert (house.only_run().status, house.only_run().next_at) == (
        Status.STARTED,
        NOON + OVERDUE_MS + RETRY_MS,
    )


def test_a_pass_that_runs_out_of_time_continues_with_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)

    class SlowTarget(InMemoryTarget):
        def describe(self, external_id: str, role: str = "") -> Execution:
            house.clock.advance(10)
            return super().describe(external_id, role)

    house.target = SlowTarget(house.clock)
    run = queue_run(house)
    launch(house)
    started = house.only_run()
    for number in range(5):
        house.tables.runs[f"r{number}"] = replace(started, run_id=f"r{number}")
    del house.tables.runs[RUN_ID]
    assert run.job == JOB
    house.clock.time = NOON + OVERDUE_MS

    first, second, third = (pass_over(house, 25) for _ in range(3))

    assert (first.described, first.is_complete) == (3, False)
    assert (second.described, second.is_complete) == (2, True)
    assert third == NOTHING


def test_a_run_that_cannot_be_queried_is_checked_ever_less_often(house: House) -> None:
    queue_run(house)
    launch(house)
    house.tables.runs[RUN_ID] = replace(house.only_run(), pending_start=None, target="process-file")
    house.jobs = {}
    waits = []

    for _ in range(6):
        due = house.only_run().next_at or 0
        house.clock.time = due
        pass_over(house)
        waits.append(((house.only_run().next_at or 0) - due) // 60_000)

    assert waits == [15, 15, 30, 60, 60, 60]


def test_a_run_whose_target_reports_nothing_is_checked_no_more(house: House) -> None:
    queue_run(house)
    launch(house)
    house.target.contract = StartContract(describes=False)
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == NOTHING
    assert (house.only_run().status, house.only_run().next_at) == (Status.STARTED, None)


def test_a_run_keeps_its_address_as_it_was_launched_however_its_target_spells_it(house: House) -> None:
    queue_run(house)
    launch(house)
    external_id = f"{ARN}:{RUN_ID}-1"
    reported = replace(house.target.executions[external_id], target=f"{ARN}:7")
    house.target.executions[external_id] = reported
    house.clock.time = NOON + OVERDUE_MS

    assert pass_over(house) == Reconciled(described=1)
    assert house.only_run().target == ARN
