"""DISPATCH dispatches the ticks of a batch together: each as it would be dispatched alone, in fewer requests."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.support.dispatching import change, committed, counts, launched
from tests.support.engine import JOB, NO_LIMITS, RUN_IDS, EngineHarness
from treadle.definitions.errors import StoreThrottledError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
from treadle.engine.dispatch.loop_guard import EVERY
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.registry.registry_cache import NO_POOLS, Pools
from treadle.model.registry import SensorEntry
from treadle.model.ticks import DispatchCounts, Drop, Tick, TickKind
from treadle.testing.faults import Fault, Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.pools import DeclaredPools, Pool

GRANTS = FixedGrants({"watch": frozenset({JOB})})
WATCHED = FixedGrants({"watch": frozenset({JOB})}, {"watch": SensorEntry("watch", "shop", "", "s3")})
ONE = DispatchCounts(1)


def ticks_of(harness: EngineHarness, *keys: str) -> list[Tick]:
    """Return a committed tick for each key."""
    return [committed(harness, key, number=number) for number, key in enumerate(keys, 1)]


def dispatcher_of(
    harness: EngineHarness,
    faults: Faults,
    *,
    grants: FixedGrants = GRANTS,
    limits: Limits = NO_LIMITS,
    pools: Pools = NO_POOLS,
) -> Dispatcher:
    """Return a dispatcher whose calls are counted."""
    stores = harness.stores
    runs, ticks = faulty(stores.runs, "RunStore", faults), faulty(stores.ticks, "TickStore", faults)
    engine = replace(harness.engine_with(runs=runs, ticks=ticks), fixed_pools=pools)
    launches = faulty(harness.launches, "Queue", faults)
    return engine.dispatcher(launches, grants, harness.bus, limits=limits, chunks=harness.chunks)


def dispatched(dispatcher: Dispatcher, ticks: Sequence[Tick], faults: Faults) -> list[Outcome | Exception]:
    """Dispatch ticks together; return nothing if the process is killed."""
    results: list[Outcome | Exception] = []
    faults.run("DISPATCH", lambda: results.extend(dispatcher.dispatch_many(ticks)))
    return results


def decisions(results: Sequence[Outcome | Exception]) -> list[object]:
    return [each.decision if isinstance(each, Outcome) else type(each) for each in results]


def called(faults: Faults) -> list[tuple[str, int]]:
    return [(call.method, call.size) for call in faults.calls]


def test_plain_ticks_share_their_requests(harness: EngineHarness) -> None:
    ticks, faults = ticks_of(harness, *"abcd"), Faults()

    results = dispatched(dispatcher_of(harness, faults), ticks, faults)

    assert called(faults) == [("create_many", 4), ("send", 4), ("mark_many_dispatched", 4)]
    assert [(each.subject, each.count, each.reason) for each in results if isinstance(each, Outcome)] == [
        (tick.tick_id, 1, str(ONE)) for tick in ticks
    ]
    assert launched(harness) == [RUN_IDS.keyed("watch", key) for key in "abcd"]
    assert [counts(harness, tick) for tick in ticks] == [ONE] * 4


def test_ticks_leave_what_each_of_them_leaves_alone(harness: EngineHarness) -> None:
    ticks = ticks_of(harness, *"abc")
    harness.dispatcher().dispatch_many(ticks)
    together = dict(harness.tables.runs), dict(harness.tables.ticks), launched(harness)

    harness.tables.runs.clear()
    ticks_of(harness, *"abc")
    results = [harness.dispatcher().dispatch(tick) for tick in ticks]

    assert (dict(harness.tables.runs), dict(harness.tables.ticks), launched(harness)) == together
    assert decisions(results) == [Decision.SUCCESS] * 3


def test_requests_of_one_key_in_several_ticks_start_one_run(harness: EngineHarness) -> None:
    ticks, faults = ticks_of(harness, *"aba"), Faults()

    results = dispatched(dispatcher_of(harness, faults), ticks, faults)

    assert decisions(results) == [Decision.SUCCESS] * 3
    assert [counts(harness, tick) for tick in ticks] == [ONE, ONE, DispatchCounts(0, 1)]
    assert Counter(launched(harness)) == {RUN_IDS.keyed("watch", key): 1 for key in "ab"}


def test_second_delivery_starts_nothing(harness: EngineHarness) -> None:
    ticks, faults = ticks_of(harness, *"abc"), Faults()
    dispatcher = dispatcher_of(harness, faults)
    dispatched(dispatcher, ticks, faults)
    for key in "abc":
        change(harness, key, status=Status.SUCCESS)
    launched(harness)

    results = dispatched(dispatcher, ticks, faults)

    assert decisions(results) == [Decision.SUCCESS] * 3
    assert launched(harness) == []
    assert [counts(harness, tick) for tick in ticks] == [ONE] * 3


def test_request_for_a_run_that_may_start_again_gets_its_next_attempt(harness: EngineHarness) -> None:
    first, faults = committed(harness, "a", number=1), Faults()
    dispatcher = dispatcher_of(harness, faults)
    dispatched(dispatcher, [first], faults)
    change(harness, "a", status=Status.FAILURE, retries=1, granted=2)
    launched(harness)
    ticks = [committed(harness, "a", number=2), committed(harness, "b", number=3)]

    dispatched(dispatcher, ticks, faults)

    attempts = {run.run_key: run.attempt for run in harness.tables.runs.values()}
    assert attempts == {"a": 2, "b": 1}
    assert [counts(harness, tick) for tick in ticks] == [ONE, ONE]
    assert len(launched(harness)) == 2


def _has_failed(tick: Tick) -> Tick:
    return replace(tick, status=TickStatus.FAILURE)


def _is_held(tick: Tick) -> Tick:
    return replace(tick, held="no grant", held_requests=1)


def _is_dropped(tick: Tick) -> Tick:
    return replace(tick, dropped=Drop(tick.ended_at, "me", "not wanted"))


def _is_not_granted(tick: Tick) -> Tick:
    return replace(tick, requests=(replace(tick.requests[0], job="another"),))


def _is_too_deep(tick: Tick) -> Tick:
    return replace(tick, depth=NO_LIMITS.depth)


def _is_large(tick: Tick) -> Tick:
    [request] = tick.requests
    many = (
        replace(request, run_key=f"k{each}", run_id=RUN_IDS.keyed("watch", f"k{each}")) for each in range(26)
    )
    return replace(tick, requests=tuple(many))


@pytest.mark.parametrize(
    "unusual", [_has_failed, _is_held, _is_dropped, _is_not_granted, _is_too_deep, _is_large]
)
def test_unusual_tick_is_dispatched_as_alone_beside_the_others(
    harness: EngineHarness, unusual: Callable[[Tick], Tick]
) -> None:
    first, second, third = ticks_of(harness, *"abc")
    second = unusual(second)
    harness.tables.ticks[second.sensor, second.tick_id] = second
    alone = EngineHarness()
    alone.tables.ticks[second.sensor, second.tick_id] = second
    expected = dispatcher_of(alone, Faults()).dispatch(second)

    results = dispatched(dispatcher_of(harness, faults := Faults()), [first, second, third], faults)

    assert results[1] == expected
    assert (
        (harness.tables.ticks[second.sensor, second.tick_id])
        == alone.tables.ticks[second.sensor, second.tick_id]
    )
    assert [counts(harness, tick) for tick in (first, third)] == [ONE] * 2
    assert called(faults)[0] == ("create_many", 2)


def test_ticks_with_a_run_in_a_pool_are_dispatched_alone(harness: EngineHarness) -> None:
    faults = Faults()
    pools = DeclaredPools({"one": Pool("one", 1, jobs=[JOB])})

    dispatched(dispatcher_of(harness, faults, pools=pools), ticks_of(harness, *"ab"), faults)

    assert "create_many" not in {call.method for call in faults.calls}
    assert all(run.waiting for run in harness.tables.runs.values())


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_hourly_limit_is_kept_exactly(harness: EngineHarness, limit: int) -> None:
    ticks, faults = ticks_of(harness, *"aabcd"), Faults()

    results = dispatched(dispatcher_of(harness, faults, limits=Limits(runs_per_hour=limit)), ticks, faults)

    assert len(harness.tables.runs) == min(4, limit)
    held = [tick for tick in ticks if counts(harness, tick) is None]
    assert len(held) == max(0, 4 - limit)
    assert decisions(results).count(Decision.HELD) == len(held)


def test_no_more_runs_are_created_between_two_checks_for_a_loop(harness: EngineHarness) -> None:
    """The first tick of a process, and the one after so many runs, are checked by themselves."""
    keys = [str(number) for number in range(3 * EVERY)]
    ticks = [replace(tick, kind=TickKind.EVENT) for tick in ticks_of(harness, *keys)]
    faults = Faults()
    dispatcher = dispatcher_of(harness, faults, grants=WATCHED)

    results = dispatched(dispatcher, ticks, faults)

    assert decisions(results) == [Decision.SUCCESS] * len(keys)
    writes = [(name, size) for name, size in called(faults) if name in {"create", "create_many", "loop_hold"}]
    checked = [("loop_hold", 1), ("create", 1), ("create_many", EVERY - 1)]
    assert writes == checked * 3


def test_fault_at_any_call_and_a_second_delivery_leave_each_run_once(harness: EngineHarness) -> None:
    """Two of the ticks have one key, and one has a run already."""

    def world(plan: dict[int, Fault]) -> tuple[EngineHarness, Faults, list[Tick]]:
        made = EngineHarness()
        before = committed(made, "c", number=1)
        made.dispatcher().dispatch(before)
        made.launches.drain()
        ticks = [committed(made, key, number=number) for number, key in enumerate("abbcd", 2)]
        return made, Faults(plan), ticks

    made, faults, ticks = world({})
    dispatched(dispatcher_of(made, faults), ticks, faults)
    calls = len(faults.calls)
    assert calls > 5

    for number in range(1, calls + 1):
        for fault in Fault:
            made, faults, ticks = world({number: fault})
            first = dispatched(dispatcher_of(made, faults), ticks, faults)
            assert faults.injected
            again = [tick for tick, each in zip(ticks, first, strict=False) if isinstance(each, Exception)]
            dispatched(dispatcher_of(made, faults), again if first else ticks, faults)
            runs = Counter(run.run_key for run in made.tables.runs.values())
            assert runs == dict.fromkeys("abcd", 1), (number, fault)
            assert {message.body["run_id"] for message in made.launches.messages} == {
                RUN_IDS.keyed("watch", key) for key in "abd"
            }, (number, fault)
            assert all(counts(made, tick) for tick in ticks), (number, fault)


def test_error_of_the_store_is_the_error_of_each_tick(harness: EngineHarness) -> None:
    ticks, faults = ticks_of(harness, *"ab"), Faults(throttles=lambda: True)

    results = dispatched(dispatcher_of(harness, faults), ticks, faults)

    assert decisions(results) == [StoreThrottledError] * 2
