"""Limits of sensors that start each other's jobs: chain depth, and runs per hour."""

from dataclasses import replace

from tests.support.dispatching import NOON, committed, counts, launched
from tests.support.engine import EngineHarness
from treadle.definitions.runs import DEPTH_TAG
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.dispatch.rate_limit import SHARE
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, Reconciled
from treadle.model.ticks import DispatchCounts, Tick

HOUR = 3_600_000


def dispatcher(harness: EngineHarness, **limits: int) -> Dispatcher:
    return harness.dispatcher(limits=Limits(**limits))


def stored(harness: EngineHarness, tick: Tick) -> Tick:
    return harness.tables.ticks[tick.sensor, tick.tick_id]


def keys_with_runs(harness: EngineHarness) -> list[str]:
    return sorted(run.run_key or "" for run in harness.tables.runs.values())


def test_a_run_records_its_chain_depth(harness: EngineHarness) -> None:
    dispatcher(harness).dispatch(replace(committed(harness, "k"), depth=3))

    assert harness.only_run().tags[DEPTH_TAG] == "4"


def test_beyond_the_depth_nothing_is_started_and_the_tick_says_so(harness: EngineHarness) -> None:
    tick = replace(committed(harness, "k"), depth=5)

    outcome = dispatcher(harness, depth=5).dispatch(tick)

    assert outcome.decision is Decision.SUCCESS
    assert (harness.tables.runs, harness.launches.messages) == ({}, [])
    assert counts(harness, tick) == DispatchCounts(refused=1)
    [refusal] = stored(harness, tick).refusals
    assert "5 runs in a row led to this tick" in refusal
    assert "TREADLE_MAX_DEPTH" in refusal
    dispatcher(harness, depth=6).dispatch(tick)
    assert len(harness.tables.runs) == 1


def test_what_is_beyond_the_hours_limit_waits_for_the_next_hour_and_is_not_lost(
    harness: EngineHarness,
) -> None:
    tick = committed(harness, *"abcde")

    outcome = dispatcher(harness, runs_per_hour=3).dispatch(tick)

    assert outcome.decision is Decision.HELD
    assert "2 of 5 requests wait for the next hour" in outcome.reason
    assert (len(harness.tables.runs), len(launched(harness))) == (3, 3)
    assert (stored(harness, tick).dispatched, stored(harness, tick).held) == (None, outcome.reason)
    harness.clock.time = NOON + HOUR + DISPATCH_LATE_MS + 1
    harness.reconciler(limits=Limits(runs_per_hour=3)).reconcile(50)
    assert (keys_with_runs(harness), set(launched(harness))) == (list("abcde"), set(harness.tables.runs))
    assert (stored(harness, tick).dispatched, stored(harness, tick).held) == (DispatchCounts(started=5), None)


def test_a_held_tick_does_not_come_before_its_hour(harness: EngineHarness) -> None:
    committed(harness, *"abcde")
    limits = Limits(runs_per_hour=3)
    harness.clock.time = NOON + DISPATCH_LATE_MS + 1

    assert harness.reconciler(limits=limits).reconcile(50) == Reconciled(held=2)
    assert len(harness.tables.runs) == 3
    assert harness.ticks.pending(NOON + HOUR, 5) == []
    assert len(harness.ticks.pending(NOON + HOUR + 1, 5)) == 1


def test_the_limit_is_each_sensors_own_and_holds_for_all_processes(harness: EngineHarness) -> None:
    first, second = committed(harness, *"abc", number=1), committed(harness, *"de", number=2)

    assert dispatcher(harness, runs_per_hour=4).dispatch(first).decision is Decision.SUCCESS
    assert dispatcher(harness, runs_per_hour=4).dispatch(second).decision is Decision.HELD
    assert len(harness.tables.runs) == 4
    assert harness.ticks.admit("another", NOON, 4, 4) == 4


def test_redelivery_takes_no_more_than_one_share_of_the_hour(harness: EngineHarness) -> None:
    tick = committed(harness, *"abc")
    one = dispatcher(harness, runs_per_hour=300)

    for _ in range(200):
        one.dispatch(tick)

    assert harness.tables.admitted == {("watch", NOON - NOON % HOUR): 3 + 300 // SHARE}


def test_taken_keys_are_no_runs_and_pass_when_the_hour_is_full(harness: EngineHarness) -> None:
    dispatcher(harness, runs_per_hour=2).dispatch(committed(harness, *"ab", number=1))
    again = committed(harness, *"ab", number=2)

    assert dispatcher(harness, runs_per_hour=2).dispatch(again).decision is Decision.SUCCESS
    assert counts(harness, again) == DispatchCounts(existing=2)


def test_chunks_beyond_the_limit_wait_too(harness: EngineHarness) -> None:
    tick = committed(harness, *(f"k{index}" for index in range(CHUNK_SIZE + 100)))
    limits = Limits(runs_per_hour=400)
    deliver(harness, limits, tick)
    assert len(harness.tables.runs) == 400
    for _ in range(3):
        harness.clock.time = harness.clock.time - harness.clock.time % HOUR + HOUR + DISPATCH_LATE_MS + 1
        harness.reconciler(limits=limits).reconcile(50)
        deliver(harness, limits)

    assert len(harness.tables.runs) == CHUNK_SIZE + 100
    assert stored(harness, tick).dispatched == DispatchCounts(started=CHUNK_SIZE + 100)


def deliver(harness: EngineHarness, limits: Limits, tick: Tick | None = None) -> None:
    """Let DISPATCH process the tick, and the chunks that it has sent to itself."""
    one = harness.dispatcher(limits=limits)
    if tick is not None:
        one.dispatch(tick)
    for body in harness.chunks.drain():
        one.dispatch_chunk(harness.chunk_request(body))
