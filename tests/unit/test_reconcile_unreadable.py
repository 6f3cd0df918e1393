"""I10 in the engine: a record that cannot be read is set apart, with its key and the reason; all others continue."""

import json
from dataclasses import replace

import pytest

from tests.support.dispatching import change, committed, counts, dispatch, launched
from tests.support.engine import JOB, NO_LIMITS, RUN_IDS, EngineHarness, keyless, sensor_of
from tests.support.launching import NOON, RUN_ID, queue_run
from treadle.definitions.errors import StoreError, StoreRejectedError
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, UNREADABLE_MS, Reconciled, Reconciler
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.model.runs import Run
from treadle.ports.runs import RunStore
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryRunStore, InMemoryTickStore
from treadle.testing.system import InMemoryDeadLetters

NOTHING = Reconciled()


def dispatcher_over(harness: EngineHarness, runs: RunStore) -> Dispatcher:
    """Return a dispatcher all of whose components have this store of runs."""
    grants = FixedGrants({"watch": frozenset({JOB})})
    return harness.engine_with(runs=runs).dispatcher(
        harness.launches, grants, harness.bus, limits=NO_LIMITS, chunks=harness.chunks
    )


def reconciler(harness: EngineHarness) -> tuple[Reconciler, InMemoryDeadLetters]:
    dead_letters = InMemoryDeadLetters()
    made = harness.reconciler()
    made._dead_letters = dead_letters
    return made, dead_letters


def bodies(dead_letters: InMemoryDeadLetters) -> list[object]:
    return [json.loads(dead_letter.body) for dead_letter in dead_letters.messages.values()]


def test_a_tick_that_cannot_be_read_is_a_dead_letter_once_and_checked_once_a_day(
    harness: EngineHarness,
) -> None:
    bad, good = committed(harness, "a", number=1), committed(harness, "b", number=2)
    harness.tables.unreadable["watch", bad.tick_id] = "no zlib"
    harness.clock.time = bad.ended_at + DISPATCH_LATE_MS + 1
    made, dead_letters = reconciler(harness)

    passes = [made.reconcile(50) for _ in range(3)]
    harness.clock.advance((UNREADABLE_MS + DISPATCH_LATE_MS) / 1000 + 1)
    harness.tables.runs.clear()
    next_day = made.reconcile(50)

    assert passes == [Reconciled(dispatched=1, failed=1, unreadable=1), NOTHING, NOTHING]
    assert next_day == Reconciled(failed=1, unreadable=1)
    assert bodies(dead_letters) == [{"treadle": "dispatch", "sensor": "watch", "tick_id": bad.tick_id}]
    [dead_letter] = dead_letters.messages.values()
    assert dead_letter.attributes["origin"] == "reconcile"
    assert bad.tick_id in dead_letter.attributes["reason"]
    assert counts(harness, good) is not None


def test_a_run_that_cannot_be_read_is_a_dead_letter_once_and_checked_once_a_day(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    other = RUN_IDS.keyed("watch", "other")
    harness.tables.runs[other] = Run(
        other, "process_file", "watch", "other", "tick", "{}", {}, NOON,
        reached={"1/0": {"QUEUED": NOON}}, next_at=NOON + LAUNCH_DUE_MS,
    )  # fmt: skip
    harness.tables.unreadable[RUN_ID,] = "tags is a list"
    harness.clock.time = NOON + LAUNCH_DUE_MS + 1
    made, dead_letters = reconciler(harness)

    first, second = made.reconcile(50), made.reconcile(50)
    del harness.tables.unreadable[RUN_ID,]
    harness.clock.advance(UNREADABLE_MS / 1000 + 1)
    repaired = made.reconcile(50)

    assert (first, second) == (Reconciled(relaunched=1, failed=1, unreadable=1), NOTHING)
    assert (repaired.relaunched, repaired.unreadable) == (2, 0)
    assert bodies(dead_letters) == [{"treadle": "reconcile", "run_id": RUN_ID}]


def test_a_page_of_ticks_that_cannot_be_read_does_not_end_the_pass(harness: EngineHarness) -> None:
    """More of them than RECONCILE reads at once."""
    bad = [committed(harness, f"a{number}", number=number) for number in range(1, 131)]
    for tick in bad:
        harness.tables.unreadable["watch", tick.tick_id] = "no zlib"
    good = committed(harness, "good", number=200)
    harness.clock.time = good.ended_at + DISPATCH_LATE_MS + 1
    made, dead_letters = reconciler(harness)

    assert made.reconcile(50) == Reconciled(dispatched=1, failed=130, unreadable=130)
    assert len(dead_letters.messages) == 130


def test_a_request_whose_run_cannot_be_read_is_refused_and_the_others_get_theirs(
    harness: EngineHarness,
) -> None:
    dispatch(harness, committed(harness, "b", number=1))
    launched(harness)
    bad = change(harness, "b", tick_id="another")
    tick = committed(harness, "a", "b", "c", number=2)

    class Unreadable(InMemoryRunStore):
        def create(self, run: Run) -> Run | None:
            harness.tables.unreadable[bad.run_id,] = "reached is no JSON"
            return super().create(run)

    outcome = dispatcher_over(harness, Unreadable(harness.tables)).dispatch(tick)

    assert outcome.count == 2
    assert launched(harness) == [RUN_IDS.keyed("watch", key) for key in ("a", "c")]
    kept = harness.tables.ticks["watch", tick.tick_id]
    assert kept.dispatched is not None
    assert (kept.dispatched.started, kept.dispatched.refused) == (2, 1)
    assert "'b'" in kept.refusals[0]
    assert "reached is no JSON" in kept.refusals[0]


class Refusing(InMemoryRunStore):
    """Takes no run of one key."""

    error: Exception = StoreRejectedError("Item size has exceeded the maximum allowed size.")

    def create(self, run: Run) -> Run | None:
        if run.run_key == "b":
            raise self.error
        return super().create(run)


def test_a_request_whose_record_no_store_takes_is_refused_and_the_others_get_theirs(
    harness: EngineHarness,
) -> None:
    tick = committed(harness, "a", "b", "c")
    dispatcher_over(harness, Refusing(harness.tables)).dispatch(tick)

    assert len(launched(harness)) == 2
    refused = harness.tables.ticks["watch", tick.tick_id].refusals
    assert "Item size has exceeded" in refused[0]


def test_what_breaks_one_request_is_raised_once_the_others_are_launched(harness: EngineHarness) -> None:
    """It is no refusal, as nobody knows what it is: the tick stays pending, and is a dead letter."""
    tick = committed(harness, "a", "b", "c")
    runs = Refusing(harness.tables)
    runs.error = TypeError("what is this?")

    with pytest.raises(TypeError, match="what is this"):
        dispatcher_over(harness, runs).dispatch(tick)

    assert launched(harness) == [RUN_IDS.keyed("watch", key) for key in ("a", "c")]
    assert counts(harness, tick) is None


def test_events_wait_for_the_repair_of_their_sensor_s_state(harness: EngineHarness) -> None:
    """They are as good as before, so none of them is a dead letter at once."""
    harness.tables.unreadable["watch",] = "epoch is a string"

    with pytest.raises(StoreError, match="watch cannot be read") as caught:
        harness.events(sensor_of(keyless)).load_batch_state([])

    assert caught.value.retryable


def test_a_dead_letter_that_cannot_be_kept_holds_up_no_other_record(harness: EngineHarness) -> None:
    class Full(InMemoryDeadLetters):
        def send(self, body: str, *, origin: str, reason: str) -> None:
            raise StoreError("The queue did not answer.")

    bad, good = committed(harness, "a", number=1), committed(harness, "b", number=2)
    harness.tables.unreadable["watch", bad.tick_id] = "no zlib"
    harness.clock.time = bad.ended_at + DISPATCH_LATE_MS + 1
    made, _ = reconciler(harness)
    made._dead_letters = Full()

    assert made.reconcile(50) == Reconciled(dispatched=1, failed=1, unreadable=1)
    assert counts(harness, good) is not None


class FullTable(InMemoryRunStore):
    """Takes no change of the records that are as large as one may be."""

    def mark_unreadable(self, run_id: str, until: int, reason: str) -> bool:
        raise StoreRejectedError("Item size to update has exceeded the maximum allowed size")


def test_a_record_that_takes_no_change_holds_up_no_other(harness: EngineHarness) -> None:
    queue_run(harness)
    other = RUN_IDS.keyed("watch", "other")
    harness.tables.runs[other] = replace(harness.tables.runs[RUN_ID], run_id=other, run_key="other")
    harness.tables.unreadable[RUN_ID,] = "tags is a list"
    harness.clock.time = NOON + LAUNCH_DUE_MS + 1
    made, dead_letters = reconciler(harness)
    made._runs = FullTable(harness.tables)

    found = made.reconcile(50)

    assert found == Reconciled(relaunched=1, failed=1, unreadable=1)
    assert bodies(dead_letters) == [{"treadle": "reconcile", "run_id": RUN_ID}]


class FullTicks(InMemoryTickStore):
    """Takes no change of the records that are as large as one may be."""

    def postpone(
        self, sensor: str, tick_id: str, until: int, reason: str, *, held: int | None = None
    ) -> bool:
        raise StoreRejectedError("Item size to update has exceeded the maximum allowed size")

    def mark_unreadable(self, sensor: str, tick_id: str, until: int, reason: str) -> bool:
        if len(reason) > 1:
            raise StoreRejectedError("Item size to update has exceeded the maximum allowed size")
        return super().mark_unreadable(sensor, tick_id, until, reason)


class NoRuns(InMemoryRunStore):
    """Fails at one run in a way that is of that run alone."""

    def create(self, run: Run) -> Run | None:
        if run.run_key == "broken":
            raise ValueError("no such thing")
        return super().create(run)


def test_a_tick_that_takes_no_note_of_its_failure_holds_up_no_other(harness: EngineHarness) -> None:
    unreadable, _, good = (committed(harness, key, number=n) for n, key in enumerate(("a", "broken", "b"), 1))
    harness.tables.unreadable["watch", unreadable.tick_id] = "no zlib"
    harness.clock.time = good.ended_at + DISPATCH_LATE_MS + 1
    made, dead_letters = reconciler(harness)
    made._ticks = made._dispatcher._ticks = FullTicks(harness.tables)
    made._dispatcher._runs = NoRuns(harness.tables)

    first, second = made.reconcile(50), made.reconcile(50)

    assert first == Reconciled(dispatched=1, failed=2, unreadable=1)
    assert second == Reconciled(failed=1)
    assert len(bodies(dead_letters)) == 1
    assert counts(harness, good) is not None


def test_a_run_that_takes_no_note_of_a_reaction_holds_up_no_request_of_the_tick(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    tick = replace(committed(harness, "a", "b"), acted_on=f"{RUN_ID}/1/0/SUCCESS")

    class Full(InMemoryRunStore):
        def replace(self, run: Run, before: Run | None = None) -> Run | None:
            raise StoreRejectedError("Item size has exceeded the maximum allowed size")

    assert dispatcher_over(harness, Full(harness.tables)).dispatch(tick).count == 2
    assert launched(harness) == [RUN_IDS.keyed("watch", key) for key in ("a", "b")]
