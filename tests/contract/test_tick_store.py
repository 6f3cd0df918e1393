"""What every `TickStore` guarantees: a finished tick is never written again."""

from dataclasses import replace

from tests.contract.conftest import Stores
from treadle.definitions.status import TickStatus
from treadle.ports.ticks import DispatchCounts, ErrorInfo, PlannedRun, SetAside, Tick, TickKind

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
        PlannedRun("r1", "k1", "job", '{"key":"ü %2B"}', {"a": "b"}, "2026-11"),
        PlannedRun("r2", None, "job", "{}", {}),
    ),
    existing_keys=("old",),
    set_aside=(SetAside("big", "too large"),),
    trigger="Object Created s3://b/k",
    owner="first",
)
FAILED = replace(
    FULL,
    status=TickStatus.FAILURE,
    requests=(),
    existing_keys=(),
    set_aside=(),
    error=ErrorInfo("ValueError", "no", "stack"),
)


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


def test_dispatch_is_noted_on_the_record(stores: Stores) -> None:
    stores.ticks.put(FULL)

    stores.ticks.mark_dispatched(FULL, DispatchCounts(1, 1, 0), ["not granted"])

    found = stores.ticks.get("files", FULL.tick_id)
    assert found is not None
    assert (found.dispatched, found.refusals) == (DispatchCounts(1, 1, 0), ("not granted",))


def test_dispatch_of_an_expired_record_does_not_bring_it_back(stores: Stores) -> None:
    stores.ticks.mark_dispatched(FULL, DispatchCounts(1, 0, 0), [])

    assert stores.ticks.get("files", FULL.tick_id) is None


def test_the_latest_records_come_newest_first(stores: Stores) -> None:
    for minute in (1, 3, 2):
        stores.ticks.put(replace(FULL, tick_id=f"2026-11-22T12:0{minute}"))
    stores.ticks.put(replace(FULL, sensor="other"))

    found = stores.ticks.latest("files", 2)

    assert [tick.tick_id[-1] for tick in found] == ["3", "2"]
