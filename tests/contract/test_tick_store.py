"""What every `TickStore` guarantees: a finished tick is never written again."""

import random
from dataclasses import replace

import pytest

from tests.contract.conftest import Stores
from treadle.definitions.assets import AssetMaterialization, AssetObservation
from treadle.definitions.status import TickStatus
from treadle.model.loops import NEVER_HELD, LoopHold
from treadle.model.ticks import (
    ChunkProgress,
    DispatchCounts,
    Drop,
    DynamicPartitionsRequestResult,
    ErrorInfo,
    PlannedRun,
    RejectedRequest,
    Tick,
    TickKind,
    TickTrouble,
)

FULL = Tick(
    sensor="files",
    tick_id="2026-11-22T12:00:00.000Z-abc",
    kind=TickKind.EVENT,
    status=TickStatus.SUCCESS,
    time=1,
    started_at=2,
    ended_at=3,
    reason="because",
    requests=(
        PlannedRun("r1", "k1", "job", '{"key":"ü %2B"}', {"a": "b"}, "2026-11", 3),
        PlannedRun("r2", None, "job", "{}", {}),
    ),
    existing_keys=("old",),
    rejected=(RejectedRequest("big", "too large"),),
    trigger="Object Created s3://b/k",
    owner="first",
    depth=2,
    asset_events=(
        AssetMaterialization(["a", "b/c"], "text", {"rows": 3, "of": {"ü": [1.5, None]}}, "p"),
        AssetObservation(["a", "b/c"], "text", {"rows": 3}, "p", {"dagster/data_version": "7"}),
        AssetObservation("d"),
        AssetMaterialization("d"),
    ),
    dynamic_partitions_request_results=(
        DynamicPartitionsRequestResult("fruits", ("äpfel", "b|c"), None, ("pear",)),
        DynamicPartitionsRequestResult("fruits", None, ("kiwi",)),
    ),
)
FAILED = replace(
    FULL,
    status=TickStatus.FAILURE,
    requests=(),
    existing_keys=(),
    rejected=(),
    asset_events=(),
    dynamic_partitions_request_results=(),
    error=ErrorInfo("ValueError", "no", "stack"),
)


def large(seed: int = 1) -> Tick:
    """Return a tick whose requests do not fit into one item, however they are compressed."""
    noise = random.Random(seed)
    requests = tuple(
        PlannedRun(f"r{index}", f"k{index}", "job", f'"{noise.randbytes(400).hex()}"', {})
        for index in range(1_000)
    )
    return replace(FULL, requests=requests)


def test_a_record_comes_back_as_it_was_put(stores: Stores) -> None:
    assert stores.ticks.put(FULL)

    assert stores.ticks.get("files", FULL.tick_id) == FULL


def test_a_finished_tick_is_not_written_again(stores: Stores) -> None:
    stores.ticks.put(FULL)

    assert not stores.ticks.put(replace(FULL, owner="second", reason="other"))
    assert stores.ticks.get("files", FULL.tick_id) == FULL


def test_putting_the_same_evaluation_again_is_no_refusal(stores: Stores) -> None:
    stores.ticks.put(FULL)

    assert stores.ticks.put(FULL)


def test_a_failure_gives_way_to_a_later_evaluation(stores: Stores) -> None:
    stores.ticks.put(FAILED)
    assert stores.ticks.get("files", FULL.tick_id) == FAILED

    assert stores.ticks.put(replace(FULL, attempts=2, owner="second"))

    known = stores.ticks.attempts("files", {FULL.tick_id, "unknown"})
    assert known == {FULL.tick_id: (TickStatus.SUCCESS, 2)}


def test_a_failure_that_was_no_attempt_counts_none(stores: Stores) -> None:
    assert stores.ticks.put(replace(FAILED, attempts=1))
    assert stores.ticks.put(replace(FAILED, attempts=0, owner="second"))

    assert stores.ticks.attempts("files", {FAILED.tick_id}) == {FAILED.tick_id: (TickStatus.FAILURE, 0)}
    found = stores.ticks.get("files", FAILED.tick_id)
    assert found is not None
    assert found.attempts == 0


def test_dispatch_is_noted_on_the_record(stores: Stores) -> None:
    stores.ticks.put(FULL)

    stores.ticks.mark_dispatched(FULL, DispatchCounts(1, 1, 0), ["not granted"])

    found = stores.ticks.get("files", FULL.tick_id)
    assert found is not None
    assert (found.dispatched, found.refusals) == (DispatchCounts(1, 1, 0), ("not granted",))


def test_tick_is_dispatched_once_that_is_noted_or_its_record_has_expired(stores: Stores) -> None:
    stores.ticks.put(FULL)
    before = stores.ticks.is_dispatched("files", FULL.tick_id)

    stores.ticks.mark_dispatched(FULL, DispatchCounts(0, 0, 0), [])

    after = [stores.ticks.is_dispatched("files", tick_id) for tick_id in (FULL.tick_id, "unknown")]
    assert (before, after) == (False, [True, True])


def test_partitions_of_a_tick_are_changed_once_it_is_dispatched_or_held_or_has_expired(
    stores: Stores,
) -> None:
    stores.ticks.put(FULL)
    held = replace(FULL, tick_id="2026-11-22T12:01:00.000Z-abc")
    stores.ticks.put(held)
    ids = (FULL.tick_id, held.tick_id, "unknown")
    before = [stores.ticks.has_changed_partitions("files", tick_id) for tick_id in ids]

    # RECONCILE postpones a tick that it could not dispatch, too.
    stores.ticks.postpone("files", FULL.tick_id, 5, "no answer")
    postponed = stores.ticks.has_changed_partitions("files", FULL.tick_id)
    stores.ticks.mark_dispatched(FULL, DispatchCounts(), [])
    stores.ticks.postpone("files", held.tick_id, 5, "no grant", held=1)

    after = [stores.ticks.has_changed_partitions("files", tick_id) for tick_id in ids]
    assert (before, postponed, after) == ([False, False, True], False, [True, True, True])


def test_several_ticks_are_put_as_each_alone(stores: Stores) -> None:
    done, failed, new, large = (
        replace(FULL, tick_id=f"2026-11-22T12:0{number}:00.000Z-abc") for number in range(4)
    )
    failure = replace(failed, status=TickStatus.FAILURE, requests=(), error=ErrorInfo("E", "e", "s"))
    other = replace(done, owner="another delivery")
    # Its requests are in an object.
    large = replace(
        large, requests=tuple(replace(FULL.requests[0], run_id=f"{number}") for number in range(3_000))
    )
    assert stores.ticks.put(done)
    assert stores.ticks.put(failure)

    assert stores.ticks.put_many([done, failed, new, large]) == [True] * 4
    assert stores.ticks.put_many([other, new, large]) == [False, True, True]
    assert stores.ticks.put_many([replace(new, owner="another delivery")]) == [False]

    assert [stores.ticks.get("files", tick.tick_id) for tick in (done, failed, new, large)] == [
        done, failed, new, large
    ]  # fmt: skip
    assert {tick_id for _, tick_id in stores.ticks.pending(10**15, 10)} == {
        tick.tick_id for tick in (done, failed, new, large)
    }


def test_dispatches_of_several_ticks_are_noted_as_of_each_alone(stores: Stores) -> None:
    ticks = [replace(FULL, tick_id=f"2026-11-22T12:0{number}:00.000Z-abc") for number in range(5)]
    alone, gone, *together = ticks
    for tick in (alone, *together):
        assert stores.ticks.put(tick)
    stores.ticks.mark_dispatched(alone, DispatchCounts(2), [])
    # RECONCILE has postponed one meanwhile.
    stores.ticks.postpone("files", together[0].tick_id, 5, "no answer")

    results = stores.ticks.mark_many_dispatched([(tick, DispatchCounts(2)) for tick in (*together, gone)])

    assert results == [None] * 4
    assert stores.ticks.get("files", gone.tick_id) is None
    done = stores.ticks.get("files", alone.tick_id)
    assert done is not None
    assert [stores.ticks.get("files", tick.tick_id) for tick in together] == [
        replace(done, tick_id=tick.tick_id) for tick in together
    ]
    assert list(stores.ticks.pending(10**15, 10)) == []


def test_dispatch_of_an_expired_record_does_not_bring_it_back(stores: Stores) -> None:
    stores.ticks.mark_dispatched(FULL, DispatchCounts(1, 0, 0), [])

    assert stores.ticks.get("files", FULL.tick_id) is None


def test_the_latest_records_come_newest_first(stores: Stores) -> None:
    for minute in (1, 3, 2):
        stores.ticks.put(replace(FULL, tick_id=f"2026-11-22T12:0{minute}"))
    stores.ticks.put(replace(FULL, sensor="other"))

    found = stores.ticks.latest("files", 2)

    assert [tick.tick_id[-1] for tick in found] == ["3", "2"]


def test_requests_too_large_for_a_record_come_back_as_they_were_put(stores: Stores) -> None:
    assert stores.ticks.put(large())

    assert stores.ticks.get("files", FULL.tick_id) == large()
    assert stores.ticks.latest("files", 1) == [large()]


def test_a_second_evaluation_with_large_requests_does_not_touch_those_of_the_first(stores: Stores) -> None:
    stores.ticks.put(large())

    assert not stores.ticks.put(replace(large(seed=2), owner="second"))

    assert stores.ticks.get("files", FULL.tick_id) == large()


def test_chunks_are_noted_one_after_the_other(stores: Stores) -> None:
    stores.ticks.put(FULL)

    first = stores.ticks.mark_chunk_done(FULL, 1, 2, DispatchCounts(5, 1, 2), ["b", "a"])
    second = stores.ticks.mark_chunk_done(FULL, 0, 2, DispatchCounts(4, 0, 1), ["b", "c"])

    assert first == ChunkProgress(2, frozenset({1}), DispatchCounts(5, 1, 2), ("a", "b"))
    assert second == ChunkProgress(2, frozenset({0, 1}), DispatchCounts(9, 1, 3), ("a", "b", "c"))
    found = stores.ticks.get("files", FULL.tick_id)
    assert found == replace(FULL, slicing=second)
    assert (first.is_complete, second.is_complete) == (False, True)


@pytest.mark.parametrize(("index", "of"), [(1, 3), (0, 2)], ids=["noted before", "of another number"])
def test_a_chunk_noted_before_or_of_another_number_changes_nothing(
    stores: Stores, index: int, of: int
) -> None:
    stores.ticks.put(FULL)
    noted = stores.ticks.mark_chunk_done(FULL, 1, 3, DispatchCounts(5, 0, 0), [])

    again = stores.ticks.mark_chunk_done(FULL, index, of, DispatchCounts(5, 0, 1), ["refused"])

    assert again == noted == ChunkProgress(3, frozenset({1}), DispatchCounts(5, 0, 0))
    found = stores.ticks.get("files", FULL.tick_id)
    assert found is not None
    assert found.slicing == noted


def test_a_chunk_of_an_expired_record_does_not_bring_it_back(stores: Stores) -> None:
    assert stores.ticks.mark_chunk_done(FULL, 0, 2, DispatchCounts(1, 0, 0), ["refused"]) is None

    assert stores.ticks.get("files", FULL.tick_id) is None


def test_the_end_of_dispatch_keeps_what_the_chunks_noted(stores: Stores) -> None:
    stores.ticks.put(FULL)
    slicing = stores.ticks.mark_chunk_done(FULL, 0, 1, DispatchCounts(1, 1, 1), ["refused"])
    assert slicing is not None

    stores.ticks.mark_dispatched(FULL, slicing.counts, slicing.refusals)

    found = stores.ticks.get("files", FULL.tick_id)
    assert found == replace(FULL, slicing=slicing, dispatched=slicing.counts, refusals=("refused",))


def test_ticks_are_pending_until_they_are_dispatched_the_oldest_first(stores: Stores) -> None:
    for number in range(12):
        stores.ticks.put(replace(FULL, tick_id=f"t{number:02}", ended_at=10 + number))
    stores.ticks.put(replace(FAILED, tick_id="nothing to dispatch"))
    stores.ticks.mark_dispatched(replace(FULL, tick_id="t01"), DispatchCounts(1), ())

    assert stores.ticks.pending(14, 100) == [("files", f"t{number:02}") for number in (0, 2, 3)]
    assert stores.ticks.pending(100, 2) == [("files", "t00"), ("files", "t02")]


def test_a_postponed_tick_says_why_it_waits_until_it_is_dispatched(stores: Stores) -> None:
    stores.ticks.put(FULL)

    stores.ticks.postpone("files", FULL.tick_id, 50, "because")

    assert stores.ticks.pending(50, 10) == []
    assert stores.ticks.pending(51, 10) == [("files", FULL.tick_id)]
    waiting = stores.ticks.get("files", FULL.tick_id)
    assert waiting == replace(FULL, held="because")
    stores.ticks.mark_dispatched(FULL, DispatchCounts(2), ())
    done = stores.ticks.get("files", FULL.tick_id)
    assert done == replace(FULL, dispatched=DispatchCounts(2))


def test_what_is_not_pending_cannot_be_postponed(stores: Stores) -> None:
    stores.ticks.put(FULL)
    stores.ticks.mark_dispatched(FULL, DispatchCounts(2), ())

    stores.ticks.postpone("files", FULL.tick_id, 50, "because")
    stores.ticks.postpone("files", "unknown", 50, "because")

    assert stores.ticks.pending(100, 10) == []
    assert stores.ticks.get("files", "unknown") is None


def test_tick_with_held_requests_says_how_many_until_it_is_dispatched(stores: Stores) -> None:
    stores.ticks.put(FULL)

    assert stores.ticks.postpone("files", FULL.tick_id, 50, "not granted", held=3)
    assert stores.ticks.postpone("files", FULL.tick_id, 60, "handed on")

    waiting = stores.ticks.get("files", FULL.tick_id)
    assert waiting == replace(FULL, held="handed on", held_requests=3)
    assert waiting.trouble is TickTrouble.HELD
    stores.ticks.mark_dispatched(FULL, DispatchCounts(2), ())
    assert not stores.ticks.postpone("files", FULL.tick_id, 70, "too late", held=1)
    assert stores.ticks.get("files", FULL.tick_id) == replace(FULL, dispatched=DispatchCounts(2))


def test_drop_is_noted_once_and_the_tick_is_due_then(stores: Stores) -> None:
    drop = Drop(40, "ann", "a typo")
    stores.ticks.put(FULL)
    stores.ticks.postpone("files", FULL.tick_id, 1_000, "not granted", held=3)

    assert stores.ticks.drop("files", FULL.tick_id, drop, 30, "dropped")
    assert stores.ticks.drop("files", FULL.tick_id, drop, 30, "dropped")
    assert not stores.ticks.drop("files", FULL.tick_id, replace(drop, by="bob"), 30, "dropped by bob")

    assert stores.ticks.pending(31, 10) == [("files", FULL.tick_id)]
    waiting = stores.ticks.get("files", FULL.tick_id)
    assert waiting == replace(FULL, held="dropped", held_requests=3, dropped=drop)
    stores.ticks.mark_dispatched(FULL, DispatchCounts(refused=3), ("a typo",))
    done = stores.ticks.get("files", FULL.tick_id)
    assert done == replace(FULL, dispatched=DispatchCounts(refused=3), refusals=("a typo",), dropped=drop)
    assert done.trouble is TickTrouble.REFUSED
    [listed] = stores.ticks.page("files", limit=10).ticks
    assert listed.is_dropped


@pytest.mark.parametrize("state", ["unknown", "about to be dispatched", "handed on in chunks", "dispatched"])
def test_what_does_not_wait_is_not_dropped(stores: Stores, state: str) -> None:
    if state != "unknown":
        stores.ticks.put(FULL)
    if state == "handed on in chunks":
        stores.ticks.postpone("files", FULL.tick_id, 50, "3 of 3 chunks sent to the dispatch queue")
    if state == "dispatched":
        stores.ticks.postpone("files", FULL.tick_id, 50, "not granted", held=3)
        stores.ticks.mark_dispatched(FULL, DispatchCounts(2), ())
    before = stores.ticks.get("files", FULL.tick_id)

    assert not stores.ticks.drop("files", FULL.tick_id, Drop(40, "ann", "a typo"), 30, "dropped")

    assert stores.ticks.get("files", FULL.tick_id) == before


def test_runs_are_admitted_up_to_the_limit_of_each_sensor_and_hour(stores: Stores) -> None:
    hour = 3_600_000

    assert [stores.ticks.admit("files", hour, 4, 10) for _ in range(4)] == [4, 4, 2, 0]
    assert stores.ticks.admit("files", hour, 4, 3) == 0
    assert stores.ticks.admit("others", hour, 4, 10) == 4
    assert stores.ticks.admit("files", 2 * hour, 40, 10) == 10
    assert stores.ticks.latest("files", 10) == []


def test_sensor_is_held_as_a_loop_once_and_released_once(stores: Stores) -> None:
    ticks = stores.ticks
    assert (ticks.loop_hold("files"), ticks.loop_holds(["files"])) == (NEVER_HELD, {})

    assert ticks.hold_loop("files", 10, "a loop", 0)
    assert ticks.hold_loop("files", 10, "a loop", 0)
    assert not ticks.hold_loop("files", 20, "another look", 0)
    assert ticks.loop_hold("files") == LoopHold(10, "a loop")

    assert ticks.release_loop("files", 30, "ann")
    assert ticks.release_loop("files", 30, "ann")
    assert not ticks.release_loop("files", 40, "bob")
    assert ticks.loop_hold("files") == LoopHold(released_at=30, released_by="ann")
    assert ticks.latest("files", 10) == []


def test_sensor_is_not_held_by_evidence_from_before_its_release(stores: Stores) -> None:
    ticks = stores.ticks
    ticks.hold_loop("files", 10, "a loop", 0)
    ticks.release_loop("files", 30, "ann")

    assert not ticks.hold_loop("files", 35, "judged before the release", 0)
    assert ticks.loop_hold("files").held_at is None
    assert ticks.hold_loop("files", 40, "a loop again", 30)

    again = LoopHold(40, "a loop again", 30, "ann")
    assert ticks.loop_holds(["files", "others"]) == {"files": again}


def test_sensor_that_is_not_held_is_not_released(stores: Stores) -> None:
    assert not stores.ticks.release_loop("files", 30, "ann")

    assert stores.ticks.loop_hold("files") == NEVER_HELD


def test_records_of_a_range_are_complete_and_in_order(stores: Stores) -> None:
    ids = [f"2026-11-22T12:0{minute}:00.000Z-abc" for minute in range(4)]
    for tick_id in ids:
        stores.ticks.put(replace(FULL, tick_id=tick_id))
    stores.ticks.put(replace(FULL, sensor="other", tick_id=ids[1]))

    found = list(stores.ticks.between("files", "2026-11-22T12:01", ids[2]))
    newest = stores.ticks.between("files", "0", "2026-11-22T12:02", ascending=False)

    assert found == [replace(FULL, tick_id=tick_id) for tick_id in ids[1:3]]
    assert [each.tick_id for each in newest] == [ids[1], ids[0]]
    assert list(stores.ticks.between("files", "3", "4")) == []


def test_record_of_a_range_with_many_requests_is_complete(stores: Stores) -> None:
    tick = large()
    stores.ticks.put(tick)

    assert list(stores.ticks.between("files", "0", "9")) == [tick]
