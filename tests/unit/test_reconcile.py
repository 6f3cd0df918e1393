"""RECONCILE: what a step has lost is found by its index and put back on its way; what is not late is left alone."""

from dataclasses import replace

import pytest

from tests.support.dispatching import committed
from tests.support.engine import ARN, JOB, NO_LIMITS, RUN_IDS, EngineHarness
from tests.support.launching import MESSAGE, NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import LaunchDelayedError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.reconcile import reconciler as reconcile
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, RETRY_MS, Reconciled
from treadle.engine.record.run_state import LAUNCH_DUE_MS, OVERDUE_MS
from treadle.model.backfills import BackfillPartition
from treadle.model.runs import Claim, Failure, Unanswered
from treadle.model.targets import Execution, StartContract
from treadle.model.ticks import Tick
from treadle.operate.backfills import BackfillOperations
from treadle.operate.runs import RunOperations
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryTickStore
from treadle.testing.targets import InMemoryTarget

NOTHING = Reconciled()


def pass_over(harness: EngineHarness, seconds: float = 50) -> Reconciled:
    """Run one pass."""
    return harness.reconciler().reconcile(seconds)


def pass_at_launch_check(harness: EngineHarness) -> None:
    """Run the pass that finds a run which LAUNCH has started; it queries nothing."""
    harness.clock.time = NOON + LAUNCH_DUE_MS
    assert pass_over(harness) == NOTHING


def test_a_healthy_engine_is_left_as_it_is(harness: EngineHarness) -> None:
    queue_run(harness)
    committed(harness, "k")
    before = (dict(harness.tables.runs), dict(harness.tables.ticks))

    assert pass_over(harness) == NOTHING
    assert (harness.tables.runs, harness.tables.ticks, harness.launches.messages) == (*before, [])


def test_a_tick_that_its_stream_lost_is_dispatched(harness: EngineHarness) -> None:
    tick = committed(harness, "k")
    harness.clock.time = tick.ended_at + DISPATCH_LATE_MS + 1

    assert pass_over(harness) == Reconciled(dispatched=1)

    assert harness.only_run().tick_id == tick.tick_id
    assert [body["run_id"] for body in harness.launches.drain()] == [harness.only_run().run_id]
    assert pass_over(harness) == NOTHING


def test_chunks_that_were_lost_are_handed_on_again_once_in_a_while(harness: EngineHarness) -> None:
    tick = committed(harness, *(f"k{index}" for index in range(CHUNK_SIZE + 1)))
    harness.clock.time = tick.ended_at + DISPATCH_LATE_MS + 1

    pass_over(harness)
    assert len(harness.chunks.drain()) == 2
    assert pass_over(harness) == NOTHING
    harness.clock.advance(900 + DISPATCH_LATE_MS / 1000 + 1)
    pass_over(harness)
    assert len(harness.chunks.drain()) == 2


def test_one_tick_that_cannot_be_read_does_not_hold_up_those_behind_it(harness: EngineHarness) -> None:
    """I10: it comes again later, and says why."""
    bad, good = committed(harness, "a", number=1), committed(harness, "b", number=2)

    class UnreadableStore(InMemoryTickStore):
        def get(self, sensor: str, tick_id: str) -> Tick | None:
            if tick_id == bad.tick_id:
                msg = "the blob is gone"
                raise StoreError(msg)
            return super().get(sensor, tick_id)

    harness.clock.time = bad.ended_at + DISPATCH_LATE_MS + 1
    reconciler = harness.reconciler()
    reconciler._ticks = UnreadableStore(harness.tables)

    first, second = reconciler.reconcile(50), reconciler.reconcile(50)

    assert (first.dispatched, first.failed, second) == (1, 1, NOTHING)
    assert harness.tables.ticks["watch", good.tick_id].dispatched is not None
    assert harness.tables.pending_since["watch", bad.tick_id] == harness.clock.now() + RETRY_MS


def test_a_run_whose_launch_message_was_lost_is_launched(harness: EngineHarness) -> None:
    queue_run(harness)
    harness.clock.time = NOON + LAUNCH_DUE_MS

    assert pass_over(harness) == Reconciled(relaunched=1)

    assert [message.body for message in harness.launches.messages] == [MESSAGE]
    assert harness.only_run().next_at == NOON + 2 * LAUNCH_DUE_MS
    assert pass_over(harness) == NOTHING


def test_a_run_whose_launch_died_is_launched_once_the_claim_is_over(harness: EngineHarness) -> None:
    run = queue_run(harness)
    due = NOON + LAUNCH_DUE_MS
    harness.tables.runs[RUN_ID] = replace(run, claim=Claim("other", due + 5_000))
    harness.clock.time = due

    assert pass_over(harness) == NOTHING
    assert (harness.launches.messages, harness.only_run().next_at) == ([], due + 5_001)
    harness.clock.time = due + 5_001
    assert pass_over(harness) == Reconciled(relaunched=1)


def test_a_started_run_keeps_the_check_of_its_launch(harness: EngineHarness) -> None:
    """A run that ends before has never moved in the index of runs to check; another one is queried after an hour."""
    queue_run(harness)
    harness.clock.advance(60)
    launch(harness)
    assert harness.only_run().next_at == NOON + LAUNCH_DUE_MS

    pass_at_launch_check(harness)

    assert harness.only_run().next_at == NOON + 60_000 + OVERDUE_MS
    harness.clock.time = NOON + 60_000 + OVERDUE_MS
    assert pass_over(harness) == Reconciled(described=1)


def test_a_check_after_that_of_the_launch_is_not_put_off(harness: EngineHarness) -> None:
    """Such as one of a target that did not answer when a slot of its pool was needed."""
    queue_run(harness)
    launch(harness)
    unanswered = Unanswered("denied", NOON, NOON)
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), unanswered=unanswered)
    harness.clock.time = NOON + LAUNCH_DUE_MS

    assert pass_over(harness) == Reconciled(described=1)


def test_a_run_that_ended_unseen_gets_its_end(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    failure = Failure("States.TaskFailed", "no such file")
    harness.clock.advance(10)
    harness.target.finish(f"{ARN}:{RUN_ID}-1", Status.FAILURE, failure)
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(described=1)

    run = harness.only_run()
    assert (run.status, run.failure, run.ended_at, run.next_at) == (
        Status.FAILURE,
        failure,
        NOON + 10_000,
        None,
    )


def test_a_run_that_continues_is_queried_again_an_hour_later(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(described=1)
    assert (harness.only_run().status, harness.only_run().next_at) == (Status.STARTED, NOON + 2 * OVERDUE_MS)


def test_a_target_that_does_not_answer_is_queried_again_later(harness: EngineHarness) -> None:
    class SilentTarget(InMemoryTarget):
        def describe(self, external_id: str, role: str = "") -> Execution:
            msg = f"throttled: {external_id}"
            raise LaunchDelayedError(msg)

    harness.target = SilentTarget(harness.clock)
    queue_run(harness)
    launch(harness)
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(failed=1)
    assert (harness.only_run().status, harness.only_run().next_at) == (
        Status.STARTED,
        harness.clock.now() + RETRY_MS,
    )


def test_a_run_that_its_target_has_forgotten_ends_as_unknown(harness: EngineHarness) -> None:
    harness.target = InMemoryTarget(harness.clock, forgets_ended=True)
    queue_run(harness)
    launch(harness)
    harness.target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(described=1)
    run = harness.only_run()
    assert (run.status, run.failure and run.failure.error) == (Status.FAILURE, "OutcomeUnknownError")
    harness.recorder().record(harness.change(run, Status.SUCCESS))
    assert harness.only_run().status is Status.SUCCESS


def test_a_run_is_queried_where_it_was_started_though_its_job_is_no_longer_configured(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    launch(harness)
    harness.target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    harness.jobs = {}
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(described=1)
    assert harness.only_run().status is Status.SUCCESS


def test_a_run_that_cannot_be_queried_is_left_for_later(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), pending_start=None, target="process-file")
    harness.jobs = {}
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(failed=1)
    assert (harness.only_run().status, harness.only_run().next_at) == (
        Status.STARTED,
        NOON + OVERDUE_MS + RETRY_MS,
    )


def test_a_pass_that_runs_out_of_time_continues_with_the_next(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 2)

    class SlowTarget(InMemoryTarget):
        def describe(self, external_id: str, role: str = "") -> Execution:
            harness.clock.advance(10)
            return super().describe(external_id, role)

    harness.target = SlowTarget(harness.clock)
    run = queue_run(harness)
    launch(harness)
    started = harness.only_run()
    for number in range(5):
        harness.tables.runs[f"r{number}"] = replace(started, run_id=f"r{number}")
    del harness.tables.runs[RUN_ID]
    assert run.job == JOB
    harness.clock.time = NOON + OVERDUE_MS

    first, second, third = (pass_over(harness, 25) for _ in range(3))

    assert (first.described, first.is_complete) == (3, False)
    assert (second.described, second.is_complete) == (2, True)
    assert third == NOTHING


def test_a_run_that_cannot_be_queried_is_checked_ever_less_often(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), pending_start=None, target="process-file")
    harness.jobs = {}
    pass_at_launch_check(harness)
    waits = []

    for _ in range(6):
        due = harness.only_run().next_at or 0
        harness.clock.time = due
        pass_over(harness)
        waits.append(((harness.only_run().next_at or 0) - due) // 60_000)

    assert waits == [15, 15, 30, 60, 60, 60]


def test_a_run_whose_target_reports_nothing_is_checked_no_more(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    harness.target.contract = StartContract(describes=False)
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == NOTHING
    assert (harness.only_run().status, harness.only_run().next_at) == (Status.STARTED, None)


def test_a_run_keeps_its_address_as_it_was_launched_however_its_target_spells_it(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    launch(harness)
    external_id = f"{ARN}:{RUN_ID}-1"
    reported = replace(harness.target.executions[external_id], target=f"{ARN}:7")
    harness.target.executions[external_id] = reported
    harness.clock.time = NOON + OVERDUE_MS

    assert pass_over(harness) == Reconciled(described=1)
    assert harness.only_run().target == ARN


def test_what_is_overdue_gets_its_time_beside_many_held_ticks_backfills_and_pools(
    harness: EngineHarness,
) -> None:
    stores = harness.stores
    late = committed(harness, "k")
    harness.clock.time = late.ended_at + DISPATCH_LATE_MS + 1
    for number in range(2, 502):
        tick = committed(harness, f"h{number}", number=number, job="not_granted", at=harness.clock.time)
        harness.dispatcher().dispatch(tick)
        stores.pools.note_queue(f"pool{number}", "t")
    runs = RunOperations(
        stores.runs, stores.sensors, harness.launches, harness.jobs, {}, RUN_IDS, harness.clock
    )
    backfills = BackfillOperations(
        stores.backfills, harness.chunks, harness.jobs, runs, RUN_IDS, harness.clock
    )
    backfills.start(JOB, [BackfillPartition(f"p{number}") for number in range(10_000)], "ann")
    harness.clock.time = next(iter(harness.tables.backfills.values())).next_at or 0

    def takes_time() -> bool:
        harness.clock.advance(0.05)
        return False

    slow = Faults(throttles=takes_time)
    names = ("ticks", "runs", "backfills", "pools")
    engine = harness.engine_with(**{name: faulty(getattr(stores, name), name, slow) for name in names})
    dispatcher = engine.dispatcher(
        harness.launches, FixedGrants({"watch": frozenset({JOB})}), harness.bus, limits=NO_LIMITS
    )
    made = engine.reconciler(dispatcher, harness.launches, harness.jobs, harness.targets)
    passed: list[Reconciled] = []
    slow.run("RECONCILE", lambda: passed.append(made.reconcile(50)))

    assert harness.tables.ticks[late.sensor, late.tick_id].dispatched is not None
    assert not passed[0].is_complete
    assert 0 < passed[0].backfilled < 10_000
    assert 0 < len(stores.pools.queues()) < 500
