"""Requests for a job without a grant are held: they start once it is granted, or are dropped."""

from dataclasses import replace

import pytest

from tests.support.dispatching import NOON, committed, counts, dispatch, launched
from tests.support.engine import JOB, NAMESPACE, NO_LIMITS, RUN_IDS, EngineHarness
from treadle.definitions.assets import AssetMaterialization
from treadle.definitions.errors import CommandRefusedError
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.dispatch.dispatcher import DEFAULT_DEPTH, HANDED_ON_MS, UNGRANTED_MS, Dispatcher, Limits
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile.held_ticks import AGAIN_MS
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, Reconciled, Reconciler
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.model.registry import SensorEntry
from treadle.model.ticks import DispatchCounts, Drop, PlannedRun, Tick, TickTrouble
from treadle.operate.drops import TickDrops
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.grants import FixedGrants

OTHER = "other_job"
MINUTE = 60_000
HOUR = 3_600_000
MOST_WAIT = 900_000
"""What is held is checked again within a quarter of an hour."""


def stored(harness: EngineHarness, tick: Tick) -> Tick:
    return harness.tables.ticks[tick.sensor, tick.tick_id]


def with_job(tick: Tick, index: int, job: str) -> Tick:
    """Return the tick with another job in one of its requests."""
    requests = list(tick.requests)
    requests[index] = replace(requests[index], job=job)
    return replace(tick, requests=tuple(requests))


def mixed(harness: EngineHarness) -> Tick:
    """Return a tick that requests a granted run and one that is not granted."""
    tick = with_job(committed(harness, "held", "granted"), 0, OTHER)
    harness.tables.ticks[tick.sensor, tick.tick_id] = tick
    return tick


def reconciler(harness: EngineHarness, *jobs: str, limits: Limits = NO_LIMITS) -> Reconciler:
    """Return RECONCILE of a deployment that grants these jobs."""
    made = harness.reconciler(limits=limits)
    made._dispatcher._grants = FixedGrants({"watch": frozenset(jobs)})
    return made


def drops(harness: EngineHarness) -> TickDrops:
    return TickDrops(harness.ticks, harness.clock)


def test_held_request_starts_nothing_and_the_tick_stays_pending_with_the_reason(
    harness: EngineHarness,
) -> None:
    tick = committed(harness, "k", job=OTHER)

    outcome = dispatch(harness, tick)

    held = stored(harness, tick)
    assert (harness.tables.runs, harness.launches.messages) == ({}, [])
    assert (outcome.decision, outcome.held, outcome.refused) == (Decision.HELD, 1, 0)
    assert (held.dispatched, held.held, held.held_requests) == (None, outcome.reason, 1)
    assert held.trouble is TickTrouble.HELD
    assert (
        "1 of 1 requests are held: sensor watch may not start job 'other_job' (run key 'k')" in outcome.reason
    )
    assert "Add it to the jobs of its registry entry in template.yaml and deploy" in outcome.reason
    assert f"treadle tick drop watch {tick.tick_id}" in outcome.reason


def test_granted_requests_of_the_same_tick_start_at_once_and_once(harness: EngineHarness) -> None:
    tick = mixed(harness)

    for _ in range(3):
        dispatch(harness, tick)

    assert [run.run_key for run in harness.tables.runs.values()] == ["granted"]
    assert counts(harness, tick) is None


def test_held_request_starts_once_it_is_granted_and_the_others_are_not_started_again(
    harness: EngineHarness,
) -> None:
    tick = mixed(harness)
    dispatch(harness, tick)
    launched(harness)
    harness.clock.advance(UNGRANTED_MS / 1000 + 180)
    old = reconciler(harness, JOB)

    assert old.reconcile(50) == Reconciled(held=1)
    reconciler(harness, JOB, OTHER).reconcile(50)

    assert sorted(run.run_key or "" for run in harness.tables.runs.values()) == ["granted", "held"]
    assert RUN_IDS.keyed("watch", "held") in launched(harness)
    assert (counts(harness, tick), stored(harness, tick).held, stored(harness, tick).held_requests) == (
        DispatchCounts(started=2),
        None,
        0,
    )
    assert stored(harness, tick).trouble is None


def test_grant_is_found_by_a_new_process_at_once_and_by_an_old_one_within_a_quarter_of_an_hour(
    harness: EngineHarness,
) -> None:
    tick = mixed(harness)
    dispatch(harness, tick)

    assert reconciler(harness, JOB, OTHER).reconcile(50).dispatched == 1
    assert counts(harness, tick) == DispatchCounts(started=2)

    later = with_job(committed(harness, "later", number=2), 0, OTHER)
    harness.tables.ticks[later.sensor, later.tick_id] = later
    running = reconciler(harness, JOB)
    running.reconcile(50)
    harness.clock.advance(AGAIN_MS / 1000)
    running.reconcile(50)
    dispatch(harness, later)
    running._dispatcher._grants = FixedGrants({"watch": frozenset({JOB, OTHER})})
    waited = 0
    while counts(harness, later) is None:
        assert waited < MOST_WAIT
        waited += MINUTE
        harness.clock.advance(60)
        running.reconcile(50)
    assert waited > UNGRANTED_MS / 2


def test_deployment_that_changes_dispatch_after_reconcile_is_met_by_a_second_check(
    harness: EngineHarness,
) -> None:
    """A DISPATCH that has not read the grant yet may receive RECONCILE's chunks."""
    tick = large(harness)
    deliver(harness, tick)
    new = reconciler(harness, JOB, OTHER)
    new.reconcile(50)
    for body in harness.chunks.drain():
        harness.dispatcher().dispatch_chunk(harness.chunk_request(body))
    harness.clock.advance(AGAIN_MS / 1000)

    new.reconcile(50)

    for body in harness.chunks.drain():
        dispatcher(harness, JOB, OTHER).dispatch_chunk(harness.chunk_request(body))
    assert counts(harness, tick) == DispatchCounts(started=len(tick.requests))


def test_key_that_a_run_has_already_needs_no_grant(harness: EngineHarness) -> None:
    dispatch(harness, committed(harness, "k"))
    again = committed(harness, "k", number=2, job=OTHER)

    outcome = dispatch(harness, again)

    assert (outcome.decision, counts(harness, again)) == (Decision.SUCCESS, DispatchCounts(existing=1))


def test_grant_that_is_taken_away_changes_nothing_of_what_was_started(harness: EngineHarness) -> None:
    tick = committed(harness, "k")
    dispatch(harness, tick)
    redelivered = replace(tick)

    outcome = harness.dispatcher(watch=OTHER).dispatch(redelivered)

    assert (outcome.decision, counts(harness, tick)) == (Decision.SUCCESS, DispatchCounts(started=1))


def test_a_wait_for_a_grant_is_not_put_off_by_a_full_hour(harness: EngineHarness) -> None:
    tick = with_job(committed(harness, *"abc"), 0, OTHER)
    harness.tables.ticks[tick.sensor, tick.tick_id] = tick

    outcome = harness.dispatcher(limits=Limits(runs_per_hour=1)).dispatch(tick)

    assert outcome.held == 2
    assert "may not start job 'other_job'" in outcome.reason
    assert "RunsPerHour" in outcome.reason
    assert harness.ticks.pending(NOON + UNGRANTED_MS + 1, 5) == [("watch", tick.tick_id)]


def test_requests_for_existing_runs_leave_room_for_others_of_their_batch(harness: EngineHarness) -> None:
    dispatch(harness, committed(harness, *"abc"))
    tick = committed(harness, *"abcdef", number=2)

    outcome = harness.dispatcher(limits=Limits(runs_per_hour=3)).dispatch(tick)

    assert (outcome.count, outcome.held) == (3, 0)
    assert counts(harness, tick) == DispatchCounts(started=3, existing=3)


# Drops.


def test_drop_refuses_what_was_not_started_with_the_operators_reason(harness: EngineHarness) -> None:
    tick = mixed(harness)
    dispatch(harness, tick)

    drops(harness).drop("watch", tick.tick_id, "ann", "a typo")

    waiting = stored(harness, tick)
    assert (waiting.dispatched, waiting.dropped) == (None, Drop(NOON, "ann", "a typo"))
    assert "Dropped by ann" in (waiting.held or "")
    found = reconciler(harness, JOB).reconcile(50)
    ended = stored(harness, tick)
    assert found == Reconciled(dispatched=1)
    assert counts(harness, tick) == DispatchCounts(started=1, refused=1)
    [refusal] = ended.refusals
    assert refusal == (
        "The request for job 'other_job' (run key 'held') was dropped by ann at 2026-11-22T18:00:00.000Z: a typo"
    )
    assert (ended.trouble, ended.dropped) == (TickTrouble.REFUSED, Drop(NOON, "ann", "a typo"))
    assert [run.run_key for run in harness.tables.runs.values()] == ["granted"]


def test_dropped_request_does_not_start_though_it_is_granted_meanwhile(harness: EngineHarness) -> None:
    tick = mixed(harness)
    dispatch(harness, tick)
    drops(harness).drop("watch", tick.tick_id, "ann", "a typo")

    reconciler(harness, JOB, OTHER).reconcile(50)

    assert counts(harness, tick) == DispatchCounts(started=1, refused=1)


def test_drop_ends_a_wait_for_the_next_hour_too(harness: EngineHarness) -> None:
    tick = committed(harness, *"abc")
    harness.dispatcher(limits=Limits(runs_per_hour=1)).dispatch(tick)
    drops(harness).drop("watch", tick.tick_id, "ann", "too many")

    reconciler(harness, JOB, limits=Limits(runs_per_hour=1)).reconcile(50)

    assert counts(harness, tick) == DispatchCounts(started=1, refused=2)


def test_dispatch_that_was_under_way_as_an_operator_dropped_counts_what_it_has_started(
    harness: EngineHarness,
) -> None:
    """I2: whoever writes last has seen every run that there is."""
    tick = with_job(committed(harness, *"abc"), 0, OTHER)
    harness.tables.ticks[tick.sensor, tick.tick_id] = tick
    dispatch(harness, replace(tick, requests=tick.requests[:1]))
    drops(harness).drop("watch", tick.tick_id, "ann", "a typo")
    reconciler(harness).reconcile(50)
    assert counts(harness, tick) == DispatchCounts(refused=3)

    dispatch(harness, tick)

    assert counts(harness, tick) == DispatchCounts(started=2, refused=1)


@pytest.mark.parametrize("state", ["unknown", "pending", "dispatched", "dropped"])
def test_what_does_not_wait_cannot_be_dropped(harness: EngineHarness, state: str) -> None:
    tick = mixed(harness)
    if state == "dropped":
        dispatch(harness, tick)
        drops(harness).drop("watch", tick.tick_id, "ann", "a typo")
        harness.clock.advance(1)
    if state == "dispatched":
        dispatcher(harness, JOB, OTHER).dispatch(tick)
    message = {
        "unknown": "has no tick gone",
        "pending": "has no held requests: it is about to be dispatched",
        "dispatched": "was dispatched",
        "dropped": "was already dropped by ann",
    }

    with pytest.raises(CommandRefusedError, match=message[state]):
        drops(harness).drop("watch", "gone" if state == "unknown" else tick.tick_id, "bob", "again")

    kept = stored(harness, tick).dropped
    assert kept == (Drop(NOON, "ann", "a typo") if state == "dropped" else None)


# Chunks.


def dispatcher(harness: EngineHarness, *jobs: str) -> Dispatcher:
    made = harness.dispatcher()
    made._grants = FixedGrants({"watch": frozenset(jobs)})
    return made


def large(harness: EngineHarness) -> Tick:
    """Return a tick in three chunks; the first and the last request a job that is not granted."""
    tick = committed(harness, *(f"k{index:04}" for index in range(2 * CHUNK_SIZE + 1)))
    tick = with_job(with_job(tick, 0, OTHER), 2 * CHUNK_SIZE, OTHER)
    harness.tables.ticks[tick.sensor, tick.tick_id] = tick
    return tick


def deliver(harness: EngineHarness, tick: Tick, *jobs: str, times: int = 1) -> None:
    """Hand the tick on and dispatch its chunks."""
    made = dispatcher(harness, *(jobs or (JOB,)))
    made.dispatch(stored(harness, tick))
    for body in harness.chunks.drain():
        for _ in range(times):
            made.dispatch_chunk(harness.chunk_request(body))


def test_chunk_with_a_held_request_starts_the_others_and_loses_and_doubles_nothing(
    harness: EngineHarness,
) -> None:
    tick = large(harness)

    deliver(harness, tick, times=2)

    assert len(harness.tables.runs) == 2 * CHUNK_SIZE - 1
    slicing = stored(harness, tick).slicing
    assert slicing is not None
    assert slicing.noted == {1}
    assert (counts(harness, tick), stored(harness, tick).trouble) == (None, TickTrouble.HELD)
    deliver(harness, tick, JOB, OTHER, times=2)
    assert sorted(harness.tables.runs) == sorted(request.run_id for request in tick.requests)
    assert counts(harness, tick) == DispatchCounts(started=2 * CHUNK_SIZE + 1)


def test_dropped_requests_of_chunks_are_refused_and_the_others_run(harness: EngineHarness) -> None:
    tick = large(harness)
    deliver(harness, tick)
    drops(harness).drop("watch", tick.tick_id, "ann", "a typo")

    reconciler(harness, JOB).reconcile(50)
    for body in harness.chunks.drain():
        harness.dispatcher().dispatch_chunk(harness.chunk_request(body))

    assert counts(harness, tick) == DispatchCounts(started=2 * CHUNK_SIZE - 1, refused=2)
    assert len(stored(harness, tick).refusals) == 2


def test_chunk_that_waits_for_the_next_hour_does_not_put_off_one_that_waits_for_a_grant(
    harness: EngineHarness,
) -> None:
    tick = large(harness)
    made = harness.dispatcher(limits=Limits(runs_per_hour=10))
    made.dispatch(tick)
    for body in harness.chunks.drain():
        made.dispatch_chunk(harness.chunk_request(body))

    assert harness.ticks.pending(NOON + UNGRANTED_MS + 1, 5) == [("watch", tick.tick_id)]


def test_chunks_that_are_under_way_are_not_handed_on_again_by_a_new_process(harness: EngineHarness) -> None:
    tick = committed(harness, *(f"k{index}" for index in range(CHUNK_SIZE + 1)))
    dispatch(harness, tick)
    harness.chunks.drain()

    assert reconciler(harness, JOB).reconcile(50) == Reconciled()
    assert harness.chunks.drain() == []
    assert harness.ticks.pending(NOON + HANDED_ON_MS + 1, 5) == [("watch", tick.tick_id)]


# Limits that are raised.


@pytest.mark.parametrize("limit", [0, 5])
def test_raised_limit_releases_what_waits_for_the_next_hour_at_once(
    harness: EngineHarness, limit: int
) -> None:
    tick = committed(harness, *"abcde")
    harness.dispatcher(limits=Limits(runs_per_hour=3)).dispatch(tick)
    harness.clock.advance(60)

    harness.reconciler(limits=Limits(runs_per_hour=limit)).reconcile(50)

    assert counts(harness, tick) == DispatchCounts(started=5)


def test_reason_reports_the_present_limit(harness: EngineHarness) -> None:
    tick = committed(harness, *"abcde")
    harness.dispatcher(limits=Limits(runs_per_hour=2)).dispatch(tick)

    harness.reconciler(limits=Limits(runs_per_hour=4)).reconcile(50)

    assert "the 4 runs that parameter RunsPerHour allows" in (stored(harness, tick).held or "")
    assert stored(harness, tick).held_requests == 1


def test_new_process_scans_all_that_waits_however_much_it_is(harness: EngineHarness) -> None:
    """Each that waits on is listed again, before those behind it."""
    harness.dispatcher(limits=Limits(runs_per_hour=1)).dispatch(committed(harness, "first", number=0))
    for number in range(1, 25):
        harness.dispatcher(limits=Limits(runs_per_hour=1)).dispatch(
            committed(harness, f"k{number}", number=number)
        )
    made = harness.reconciler(limits=Limits(runs_per_hour=20))
    made._held._page = 3

    found = made.reconcile(50)

    assert (found.dispatched, found.held, len(harness.tables.runs)) == (19, 5, 20)


def test_check_that_runs_out_of_time_continues_at_the_next_pass(harness: EngineHarness) -> None:
    for number in range(4):
        harness.dispatcher(limits=Limits(runs_per_hour=1)).dispatch(
            committed(harness, f"k{number}", number=number)
        )
    made = harness.reconciler()

    class Slow:
        """A clock that moves each time it is read."""

        def now(self) -> int:
            harness.clock.advance(1)
            return harness.clock.time

    made._held._clock = Slow()
    assert made._held.check(harness.clock.time + 3_000).is_complete is False
    assert 1 <= len(harness.tables.runs) < 4

    for _ in range(3):
        made._held.check(harness.clock.time + 3_000)

    assert len(harness.tables.runs) == 4


def test_tick_that_cannot_be_dispatched_does_not_hold_up_those_that_wait_behind_it(
    harness: EngineHarness,
) -> None:
    limits = Limits(runs_per_hour=1)
    ticks = [committed(harness, f"k{number}", number=number) for number in range(3)]
    for tick in ticks:
        harness.dispatcher(limits=limits).dispatch(tick)
    bad = PlannedRun("run", "bad", JOB, "{}", None)  # type: ignore[arg-type]
    spoiled = replace(stored(harness, ticks[1]), requests=(bad,))
    harness.tables.ticks["watch", ticks[1].tick_id] = spoiled

    found = harness.reconciler().reconcile(50)

    assert (found.dispatched, found.failed) == (1, 1)
    assert counts(harness, ticks[2]) == DispatchCounts(started=1)


def test_run_of_a_released_request_is_due_like_any_other(harness: EngineHarness) -> None:
    tick = committed(harness, "k", job=OTHER)
    dispatch(harness, tick)
    harness.clock.advance(HOUR / 1000)

    dispatcher(harness, OTHER).dispatch(stored(harness, tick))

    assert harness.only_run().next_at == NOON + HOUR + LAUNCH_DUE_MS
    assert DISPATCH_LATE_MS + UNGRANTED_MS < MOST_WAIT


def test_chunks_that_are_under_way_are_not_dropped(harness: EngineHarness) -> None:
    """Nothing of them is held: they start within seconds."""
    tick = committed(harness, *(f"k{index}" for index in range(CHUNK_SIZE + 1)))
    dispatch(harness, tick)

    with pytest.raises(CommandRefusedError, match="has no held requests: it is about to be dispatched"):
        drops(harness).drop("watch", tick.tick_id, "ann", "a typo")

    assert stored(harness, tick).dropped is None


# Asset events of ticks with requests that are held.


def with_asset(harness: EngineHarness, tick: Tick, key: str = "files") -> Tick:
    """Return the tick with a materialization."""
    tick = replace(tick, asset_events=(AssetMaterialization(key),))
    harness.tables.ticks[tick.sensor, tick.tick_id] = tick
    return tick


def test_asset_events_are_published_once_however_often_what_is_held_is_checked(
    harness: EngineHarness,
) -> None:
    tick = with_asset(harness, committed(harness, "k", job=OTHER))

    for _ in range(4):
        dispatch(harness, stored(harness, tick))

    assert len(harness.bus.events) == 1


class Refusing(AssetRecorder):
    """Records no asset event."""

    def record_tick(self, tick: Tick, *, again: bool = False) -> list[str]:
        del again
        return [f"Event {tick.tick_id} is not recorded: too long."]


def refusing(harness: EngineHarness, *jobs: str) -> Dispatcher:
    made = dispatcher(harness, *jobs)
    made._assets = Refusing(InMemoryEventStore(harness.tables), harness.bus, NAMESPACE, harness.runs)
    return made


def test_refused_asset_event_counts_when_what_was_held_has_started(harness: EngineHarness) -> None:
    tick = with_asset(harness, committed(harness, "k", job=OTHER))
    refusing(harness, JOB).dispatch(tick)

    outcome = refusing(harness, OTHER).dispatch(stored(harness, tick))

    assert (counts(harness, tick), outcome.refused) == (DispatchCounts(started=1, refused=1), 1)
    assert "is not recorded" in stored(harness, tick).refusals[0]


def test_refused_asset_event_of_a_large_tick_counts_and_is_noted(harness: EngineHarness) -> None:
    tick = with_asset(harness, committed(harness, *(f"k{index}" for index in range(CHUNK_SIZE + 1))))
    made = refusing(harness, JOB)
    made.dispatch(tick)

    outcomes = [made.dispatch_chunk(harness.chunk_request(body)) for body in harness.chunks.drain()]

    assert counts(harness, tick) == DispatchCounts(started=CHUNK_SIZE + 1, refused=1)
    assert "is not recorded" in stored(harness, tick).refusals[0]
    assert sum(outcome.refused for outcome in outcomes) == 1


def test_what_a_new_process_refuses_of_held_ticks_is_counted(harness: EngineHarness) -> None:
    """So that it shows in the metric of the alarm on refused requests."""
    tick = replace(committed(harness, "k", job=OTHER), depth=DEFAULT_DEPTH)
    harness.tables.ticks[tick.sensor, tick.tick_id] = tick
    dispatch(harness, tick)

    assert reconciler(harness, OTHER).reconcile(50) == Reconciled(dispatched=1, refused=1)


@pytest.mark.parametrize(
    ("of_engine", "of_sensor", "starts", "named"),
    [
        (1, 2, 2, "the 2 runs that runs_per_hour of its registry entry allows"),
        (1, 0, 3, None),
        (0, 1, 1, "the 1 runs that runs_per_hour of its registry entry allows"),
        (1, None, 1, "the 1 runs that parameter RunsPerHour allows"),
    ],
)
def test_hourly_limit_of_a_sensor_replaces_that_of_the_engine(
    harness: EngineHarness, of_engine: int, of_sensor: int | None, starts: int, named: str | None
) -> None:
    entry = SensorEntry("watch", "shop", "", "schedule", runs_per_hour=of_sensor)
    grants = FixedGrants({"watch": frozenset({JOB})}, {"watch": entry})
    limits = Limits(runs_per_hour=of_engine)

    outcome = harness.engine.dispatcher(harness.launches, grants, harness.bus, limits=limits).dispatch(
        committed(harness, "a", "b", "c")
    )

    assert len(harness.tables.runs) == starts
    assert (named in outcome.reason) if named else outcome.decision is Decision.SUCCESS
