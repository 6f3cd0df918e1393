"""What every store guarantees of pages: newest first, nothing twice, nothing left out, each read bounded."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.conftest import Stores
from tests.contract.test_run_queries import put, run
from tests.contract.test_tick_store import FAILED, FULL
from treadle.definitions.asset_key import MAX_KEY
from treadle.definitions.errors import StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.model.assets import AssetEvent, ended_runs_key, observed_key
from treadle.model.run_queries import parse_place
from treadle.model.runs import Failure
from treadle.model.ticks import DispatchCounts, RejectedRequest, Tick, TickPage, TickTrouble, outline


def pages(page: Callable[[str | None], Any], values: str) -> Iterator[list[Any]]:
    """Yield all pages, each from the end of the one before."""
    found = page(None)
    yield list(getattr(found, values))
    while found.next is not None:
        found = page(found.next)
        yield list(getattr(found, values))


def put_ticks(stores: Stores, statuses: list[TickStatus]) -> list[str]:
    """Return ticks of these statuses, one a minute; their ids, newest first."""
    names = [f"2026-11-22T12:{minute:02d}" for minute in range(len(statuses))]
    for name, status in zip(names, statuses, strict=True):
        stores.ticks.put(replace(FULL if status is TickStatus.SUCCESS else FAILED, tick_id=name))
    stores.ticks.put(replace(FULL, sensor="other"))
    return names[::-1]


def test_pages_of_ticks_hold_each_once_newest_first(stores: Stores) -> None:
    names = put_ticks(stores, [TickStatus.SUCCESS] * 7)

    found = list(pages(lambda before: stores.ticks.page("files", before=before, limit=3), "ticks"))

    assert [len(page) for page in found] == [3, 3, 1]
    assert [tick.tick_id for page in found for tick in page] == names


def test_the_last_page_that_is_just_full_has_none_behind_it(stores: Stores) -> None:
    put_ticks(stores, [TickStatus.SUCCESS] * 3)

    assert stores.ticks.page("files", limit=3).next is None
    assert stores.ticks.page("nobody", limit=3) == TickPage((), None)


def test_only_ticks_of_the_statuses_requested_are_on_a_page(stores: Stores) -> None:
    good, bad = TickStatus.SUCCESS, TickStatus.FAILURE
    names = put_ticks(stores, [bad, good, good, bad, good, bad])

    found = list(
        pages(lambda before: stores.ticks.page("files", before=before, limit=2, statuses={bad}), "ticks")
    )

    assert [tick.tick_id for page in found for tick in page] == [names[0], names[2], names[5]]


def test_page_of_rare_ticks_ends_where_enough_was_scanned(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("treadle.testing.stores", "treadle.adapters.dynamodb.ticks"):
        monkeypatch.setattr(f"{module}.MOST_READ", 4)
    names = put_ticks(stores, [TickStatus.FAILURE, *[TickStatus.SUCCESS] * 5])

    first = stores.ticks.page("files", limit=2, statuses={TickStatus.FAILURE})
    second = stores.ticks.page("files", limit=2, statuses={TickStatus.FAILURE}, before=first.next)

    assert (first.ticks, first.next) == ((), names[3])
    assert ([tick.tick_id for tick in second.ticks], second.next) == ([names[5]], None)


def test_the_tick_that_follows_one_is_known_by_its_id(stores: Stores) -> None:
    newest, middle, oldest = put_ticks(stores, [TickStatus.SUCCESS, TickStatus.FAILURE, TickStatus.SUCCESS])

    assert stores.ticks.next_id("files", oldest) == middle
    assert stores.ticks.next_id("files", middle) == newest
    assert stores.ticks.next_id("files", newest) is None
    assert stores.ticks.next_id("files", "2026-11-21") == oldest
    assert stores.ticks.next_id("nobody", oldest) is None


@pytest.mark.parametrize("tick", [FULL, FAILED, replace(FAILED, skips=3, last_time=9, paused="why")])
def test_tick_on_a_page_is_the_record_without_what_it_requested(stores: Stores, tick: Tick) -> None:
    stores.ticks.put(tick)

    [found] = stores.ticks.page("files", limit=1).ticks

    assert found == outline(tick)
    assert found.is_pending is tick.is_to_be_dispatched


def test_tick_on_a_page_shows_what_became_of_its_requests_or_why_they_wait(stores: Stores) -> None:
    stores.ticks.put(FULL)
    stores.ticks.postpone("files", FULL.tick_id, 99, "the fuse")
    [held] = stores.ticks.page("files", limit=1).ticks
    stores.ticks.mark_dispatched(FULL, DispatchCounts(1, 2, 3), [])
    [done] = stores.ticks.page("files", limit=1).ticks

    assert (held.held, held.is_pending, held.dispatched) == ("the fuse", True, None)
    assert (done.held, done.is_pending, done.dispatched) == (None, False, DispatchCounts(1, 2, 3))


def test_ticks_are_found_by_what_keeps_them_from_being_well(stores: Stores) -> None:
    well, held, refused, rejected = (replace(FULL, tick_id=name, rejected=()) for name in "abcd")
    for tick in (well, held, refused, replace(rejected, rejected=(RejectedRequest("k", "too large"),))):
        stores.ticks.put(tick)
    stores.ticks.postpone("files", "b", 99, "not granted", held=2)
    stores.ticks.mark_dispatched(refused, DispatchCounts(1, 0, 1), ["a loop"])

    found = {
        trouble: [tick.tick_id for tick in stores.ticks.page("files", limit=9, statuses={trouble}).ticks]
        for trouble in TickTrouble
    }

    assert found == {
        TickTrouble.HELD: ["b"],
        TickTrouble.REFUSED: ["c"],
        TickTrouble.REJECTED: ["d"],
    }
    evaluated = stores.ticks.page("files", limit=9, statuses={TickStatus.SUCCESS}).ticks
    assert [tick.tick_id for tick in evaluated] == ["d", "c", "b", "a"]
    assert {tick.tick_id: (tick.held_requests, tick.rejected) for tick in evaluated} == {
        "a": (0, 0),
        "b": (2, 0),
        "c": (0, 0),
        "d": (0, 1),
    }


@pytest.mark.parametrize("of", [{"sensor": "new_files"}, {"job": "load"}])
def test_pages_of_runs_hold_each_once_newest_first(stores: Stores, of: dict[str, Any]) -> None:
    """Also runs of one moment, as those of one tick are."""
    put(stores, *(run(n, created_at=1_000 * (n // 4)) for n in range(10)))
    put(stores, run(11, job="other", sensor="other"))

    found = list(pages(lambda before: stores.runs.page(**of, before=before, limit=3), "runs"))

    everything = [each for page in found for each in page]
    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert {each.run_id for each in everything} == {f"run-{n}" for n in range(10)}
    times = [each.created_at for each in everything]
    assert times == sorted(times, reverse=True)
    assert everything[0] in [run(n, created_at=2_000) for n in (8, 9)]


def test_only_runs_of_the_statuses_requested_are_on_a_page(stores: Stores) -> None:
    put(stores, *(run(n, Status.FAILURE if n % 3 == 0 else Status.SUCCESS) for n in range(9)))

    found = list(
        pages(
            lambda before: stores.runs.page(job="load", statuses={Status.FAILURE}, before=before, limit=2),
            "runs",
        )
    )

    assert [each.run_id for page in found for each in page] == ["run-6", "run-3", "run-0"]


def test_page_of_rare_runs_ends_where_enough_was_scanned(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("treadle.testing.stores", "treadle.adapters.dynamodb.runs"):
        monkeypatch.setattr(f"{module}.MOST_SCANNED", 4)
    put(stores, run(1, Status.FAILURE), *(run(n) for n in range(2, 7)))

    first = stores.runs.page(job="load", statuses={Status.FAILURE}, limit=2)
    second = stores.runs.page(job="load", statuses={Status.FAILURE}, limit=2, before=first.next)

    assert (first.runs, parse_place(str(first.next))) == ((), (3_000, "run-3"))
    assert (second.runs, second.next) == ((run(1, Status.FAILURE),), None)


@pytest.mark.parametrize("of", [{"sensor": "new_files"}, {"job": "load"}])
@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (2_000, 4_000, [3, 2]),
        (3_000, None, [5, 4, 3]),
        (None, 3_000, [2, 1]),
        (2_500, 2_501, []),
        (4_000, 4_000, []),
        (5_000, 2_000, []),
        (None, 0, []),
    ],
)
def test_runs_of_a_span_of_time_are_on_pages(
    stores: Stores, of: dict[str, Any], since: int | None, until: int | None, expected: list[int]
) -> None:
    put(stores, *(run(n) for n in range(1, 6)))

    found = pages(
        lambda before: stores.runs.page(**of, since=since, until=until, before=before, limit=2), "runs"
    )

    assert [each.run_id for page in found for each in page] == [f"run-{n}" for n in expected]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (3_000, None, []),
        (2_500, None, []),
        (2_000, None, []),
        (1_000, None, [1]),
        (None, 1_500, [1]),
        (None, 2_000, [1]),
    ],
)
def test_a_page_continues_although_the_times_have_changed(
    stores: Stores, since: int | None, until: int | None, expected: list[int]
) -> None:
    """As an age in an address is another time a minute later; DynamoDB refuses a start that is outside the bounds."""
    put(stores, *(run(n) for n in range(1, 4)))
    place = stores.runs.page(job="load", limit=2).next

    found = stores.runs.page(job="load", since=since, until=until, before=place, limit=2)

    assert parse_place(str(place)) == (2_000, "run-2")
    assert ([each.run_id for each in found.runs], found.next) == ([f"run-{n}" for n in expected], None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN-4", ["run-4"]),
        ("in/b", ["run-2"]),
        ("States.Time", ["run-3"]),
        ("ROW 7", ["run-3"]),
        ("2026-11", ["run-1"]),
        ("new_f", ["run-4", "run-3", "run-2", "run-1"]),
        ("loa", ["run-4", "run-3", "run-2", "run-1"]),
        ("nothing of them", []),
    ],
)
def test_runs_are_found_by_a_text_in_them(stores: Stores, text: str, expected: list[str]) -> None:
    put(
        stores,
        run(1, partition_key="2026-11-30"),
        run(2, run_key="in/b.csv"),
        run(3, Status.FAILURE, failure=Failure("States.Timeout", "row 7 is short")),
        run(4),
    )

    found = pages(lambda before: stores.runs.page(job="load", text=text, before=before, limit=2), "runs")

    assert [each.run_id for page in found for each in page] == expected


def test_a_search_for_a_rare_text_ends_where_enough_was_scanned(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("treadle.testing.stores", "treadle.adapters.dynamodb.runs"):
        monkeypatch.setattr(f"{module}.MOST_SCANNED", 2)
    put(stores, run(1, run_key="rare"), *(run(n) for n in range(2, 5)))

    found = list(
        pages(lambda before: stores.runs.page(job="load", text="rare", before=before, limit=9), "runs")
    )

    assert [[each.run_id for each in page] for page in found] == [[], ["run-1"]]


@pytest.mark.parametrize(
    "query", [{}, {"job": "load", "before": "yesterday"}, {"job": "load", "before": "1/"}]
)
def test_page_of_runs_that_nothing_leads_to_is_refused(stores: Stores, query: dict[str, str]) -> None:
    with pytest.raises(StoreError):
        stores.runs.page(limit=1, **query)  # type: ignore[arg-type]


def test_runs_of_a_sensor_are_counted_by_status_as_far_as_requested(stores: Stores) -> None:
    put(stores, run(1), run(2, Status.FAILURE), run(3), run(4, Status.STARTED), run(5, sensor="other"))

    assert stores.runs.counts("new_files", 1_000, 100) == {
        Status.FAILURE: 1,
        Status.SUCCESS: 1,
        Status.STARTED: 1,
    }
    assert stores.runs.counts("new_files", 0, 2) == {Status.STARTED: 1, Status.SUCCESS: 1}
    assert stores.runs.counts("nobody", 0, 2) == {}


def event(key: str, number: int = 1) -> AssetEvent:
    return AssetEvent(key, f"{key}-{number}", "ASSET_MATERIALIZATION", number, "{}")


def test_assets_are_found_by_their_keys_in_order_and_page_by_page(stores: Stores) -> None:
    for key in ("shop/orders", "a", "shop/items"):
        stores.events.append([event(key), event(key, 2)])

    assert stores.events.asset_keys("", 10) == ["a", "shop/items", "shop/orders"]
    assert stores.events.asset_keys("", 2) == ["a", "shop/items"]
    assert stores.events.asset_keys("shop/items", 2) == ["shop/orders"]


def test_observed_assets_are_listed_apart_from_materialized_ones(stores: Stores) -> None:
    longest = "a" * MAX_KEY
    for key in ("orders", observed_key("orders"), observed_key("prices"), observed_key(longest)):
        stores.events.append([AssetEvent(key, str(number), "any", number, "{}") for number in (1, 2)])

    assert stores.events.asset_keys("", 10) == ["orders"]
    assert stores.events.asset_keys("", 10, observed=True) == [longest, "orders", "prices"]
    assert stores.events.asset_keys("orders", 10, observed=True) == ["prices"]
    assert stores.events.asset_keys("", 2, observed=True) == [longest, "orders"]


def test_ended_runs_are_no_assets(stores: Stores) -> None:
    stores.events.append([event(ended_runs_key("load"))])

    assert stores.events.asset_keys("", 10) == []
    assert stores.events.asset_keys("", 10, observed=True) == []
