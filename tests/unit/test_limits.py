"""Limits of sensors that start each other's jobs: chain depth, and runs per hour."""

from dataclasses import replace

from tests.support.dispatching import NOON, committed, counts, launched
from tests.support.house import House
from treadle.definitions.runs import DEPTH_TAG
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.dispatch.rate_limit import SHARE
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, Reconciled
from treadle.model.ticks import DispatchCounts, Tick

HOUR = 3_600_000


def dispatcher(house: House, **limits: int) -> Dispatcher:
    return house.dispatcher(limits=Limits(**limits))


def stored(house: House, tick: Tick) -> Tick:
    return house.tables.ticks[tick.sensor, tick.tick_id]


def keys_with_runs(house: House) -> list[str]:
    return sorted(run.run_key or "" for run in house.tables.runs.values())


def test_a_run_records_its_chain_depth(house: House) -> None:
    dispatcher(house).dispatch(replace(committed(house, "k"), depth=3))

    assert house.only_run().tags[DEPTH_TAG] == "4"


def test_beyond_the_depth_nothing_is_started_and_the_tick_says_so(house: House) -> None:
    tick = replace(committed(house, "k"), depth=5)

    outcome = dispatcher(house, depth=5).dispatch(tick)

    assert outcome.decision is Decision.SUCCESS
    assert (house.tables.runs, house.launches.messages) == ({}, [])
    assert counts(house, tick) == DispatchCounts(refused=1)
    [refusal] = stored(house, tick).refusals
    assert "5 runs in a row led to this tick" in refusal
    assert "TREADLE_MAX_DEPTH" in refusal
    dispatcher(house, depth=6).dispatch(tick)
    assert len(house.tables.runs) == 1


def test_what_is_beyond_the_hours_limit_waits_for_the_next_hour_and_is_not_lost(house: House) -> None:
    tick = committed(house, *"abcde")

    outcome = dispatcher(house, runs_per_hour=3).dispatch(tick)

    assert outcome.decision is Decision.HELD
    assert "2 of 5 requests wait for the next hour" in outcome.reason
    assert (len(house.tables.runs), len(launched(house))) == (3, 3)
    assert (stored(house, tick).dispatched, stored(house, tick).held) == (None, outcome.reason)
    house.clock.time = NOON + HOUR + DISPATCH_LATE_MS + 1
    house.reconciler(limits=Limits(runs_per_hour=3)).reconcile(50)
    assert (keys_with_runs(house), set(launched(house))) == (list("abcde"), set(house.tables.runs))
    assert (stored(house, tick).dispatched, stored(house, tick).held) == (DispatchCounts(started=5), None)


def test_a_held_tick_does_not_come_before_its_hour(house: House) -> None:
    committed(house, *"abcde")
    limits = Limits(runs_per_hour=3)
    house.clock.time = NOON + DISPATCH_LATE_MS + 1

    assert house.reconciler(limits=limits).reconcile(50) == Reconciled(held=2)
    assert len(house.tables.runs) == 3
    assert house.ticks.pending(NOON + HOUR, 5) == []
    assert len(house.ticks.pending(NOON + HOUR + 1, 5)) == 1


def test_the_limit_is_each_sensors_own_and_holds_for_all_processes(house: House) -> None:
    first, second = committed(house, *"abc", number=1), committed(house, *"de", number=2)

    assert dispatcher(house, runs_per_hour=4).dispatch(first).decision is Decision.SUCCESS
    assert dispatcher(house, runs_per_hour=4).dispatch(second).decision is Decision.HELD
    assert len(house.tables.runs) == 4
    assert house.ticks.admit("another", NOON, 4, 4) == 4


def test_redelivery_takes_no_more_than_one_share_of_the_hour(house: House) -> None:
    tick = committed(house, *"abc")
    one = dispatcher(house, runs_per_hour=300)

    for _ in range(200):
        one.dispatch(tick)

    assert house.tables.admitted == {("watch", NOON - NOON % HOUR): 3 + 300 // SHARE}


def test_taken_keys_are_no_runs_and_pass_when_the_hour_is_full(house: House) -> None:
    dispatcher(house, runs_per_hour=2).dispatch(committed(house, *"ab", number=1))
    again = committed(house, *"ab", number=2)

    assert dispatcher(house, runs_per_hour=2).dispatch(again).decision is Decision.SUCCESS
    assert counts(house, again) == DispatchCounts(existing=2)


def test_chunks_beyond_the_limit_wait_too(house: House) -> None:
    tick = committed(house, *(f"k{index}" for index in range(CHUNK_SIZE + 100)))
    limits = Limits(runs_per_hour=400)
    deliver(house, limits, tick)
    assert len(house.tables.runs) == 400
    for _ in range(3):
        house.clock.time = house.clock.time - house.clock.time % HOUR + HOUR + DISPATCH_LATE_MS + 1
        house.reconciler(limits=limits).reconcile(50)
        deliver(house, limits)

    assert len(house.tables.runs) == CHUNK_SIZE + 100
    assert stored(house, tick).dispatched == DispatchCounts(started=CHUNK_SIZE + 100)


def deliver(house: House, limits: Limits, tick: Tick | None = None) -> None:
    """Let DISPATCH process the tick, and the chunks that it has sent to itself."""
    one = house.dispatcher(limits=limits)
    if tick is not None:
        one.dispatch(tick)
    for body in house.slices.drain():
        one.dispatch_chunk(house.slice_request(body))
