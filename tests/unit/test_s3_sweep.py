"""A sweep in several ticks lists every object once a round, and requests no key that is taken."""

import time
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.objects import BUCKET, TIME, InMemoryLister, object_of
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.objects import ObjectIdentity
from treadle.integrations.s3 import sweep as sweeping
from treadle.integrations.s3.selection import S3Selection, StartFrom
from treadle.integrations.s3.sweep import (
    CHUNK_SIZE,
    FULL_ROUND_MS,
    MAX_SECONDS,
    OVERLAP_MS,
    Slice,
    SweepCursor,
    read_cursor,
    sweep,
)

ALL = S3Selection(BUCKET, start_from=StartFrom.BEGINNING)
DAY = 86_400_000


class Sweeper:
    """A sensor's sweeps, one after the other, over one bucket."""

    def __init__(self, lister: InMemoryLister, selection: S3Selection = ALL) -> None:
        self.lister = lister
        self.selection = selection
        self.cursor: str | None = None
        self.claimed: set[str] = set()
        self.queried: list[set[str]] = []

    def _claimed(self, keys: Collection[str]) -> set[str]:
        self.queried.append(set(keys))
        return self.claimed & set(keys)

    def slice(self, remaining_seconds: float = float("inf")) -> Slice:
        """Return one tick."""
        context = SensorEvaluationContext(
            "watch",
            self.cursor,
            _remaining_seconds=lambda: remaining_seconds,
            _claimed_run_keys=self._claimed,
        )
        found = sweep(context, self.selection, self.lister, self.lister.clock.now)
        self.cursor = str(found.cursor)
        return found

    def keys(self, **options: Any) -> list[str]:
        """Return the keys that one tick finds new."""
        return [stored.key for stored in self.slice(**options).objects]

    def position(self) -> SweepCursor:
        """Return its cursor."""
        return read_cursor(self.cursor, self.selection, self.lister.clock.now())


def numbered(count: int, modified: int = TIME) -> list[Any]:
    return [object_of(f"in/{number:05d}", modified=modified) for number in range(count)]


def test_round_over_few_objects_is_one_slice_over_all_pages() -> None:
    lister = InMemoryLister(numbered(25))

    found = Sweeper(lister).slice()

    assert [stored.key for stored in found.objects] == [f"in/{number:05d}" for number in range(25)]
    assert (found.is_complete, found.listed, lister.pages_read) == (True, 25, 3)


def test_round_over_nothing_is_complete() -> None:
    found = Sweeper(InMemoryLister()).slice()

    assert (found.objects, found.listed, found.is_complete, found.cursor.position) == ((), 0, True, "")


@given(st.integers(0, 60), st.integers(1, 7), st.integers(0, 4))
def test_slices_resume_exactly_after_the_last_page(count: int, page_size: int, pages: int) -> None:
    """A page takes as long as it takes for so many of them to use up a slice's time."""
    lister = InMemoryLister(numbered(count), page_size, seconds_per_page=MAX_SECONDS / (pages + 1) + 0.1)
    sweeper = Sweeper(lister)
    seen: list[str] = []

    while True:
        found = sweeper.slice()
        seen += [stored.key for stored in found.objects]
        if found.is_complete:
            break
        assert found.cursor.position == seen[-1]

    assert seen == [stored.key for stored in numbered(count)]
    assert lister.pages_read == max(1, -(-count // page_size))


def test_slice_ends_with_the_page_that_fills_it() -> None:
    sweeper = Sweeper(InMemoryLister(numbered(CHUNK_SIZE + 200), page_size=300))

    first, second = sweeper.slice(), sweeper.slice()

    assert (len(first.objects), first.is_complete) == (1200, True)
    assert second.is_complete
    sweeper = Sweeper(InMemoryLister(numbered(CHUNK_SIZE + 500), page_size=300))
    assert [len(sweeper.slice().objects), len(sweeper.slice().objects)] == [1200, 300]


def test_objects_that_are_taken_do_not_fill_a_slice() -> None:
    sweeper = Sweeper(InMemoryLister(numbered(3 * CHUNK_SIZE), page_size=1000))
    sweeper.claimed = {stored.run_key(ObjectIdentity.ETAG) for stored in numbered(2 * CHUNK_SIZE)}

    found = sweeper.slice()

    assert (len(found.objects), found.is_complete, found.listed) == (CHUNK_SIZE, True, 3 * CHUNK_SIZE)


@pytest.mark.parametrize(("remaining", "pages"), [(8.0, 4), (4.0, 2), (float("inf"), 11), (100.0, 11)])
def test_slice_ends_at_its_time_or_with_a_reserve_before_the_deadline(remaining: float, pages: int) -> None:
    lister = InMemoryLister(numbered(200), page_size=10, seconds_per_page=1.9)

    found = Sweeper(lister).slice(remaining)

    assert (found.is_complete, lister.pages_read) == (False, pages)


def test_time_that_ends_with_the_last_page_still_completes_the_round() -> None:
    lister = InMemoryLister(numbered(10), page_size=10, seconds_per_page=60)

    assert Sweeper(lister).slice(10).is_complete


def test_keys_that_are_taken_are_left_out_and_requested_once_a_page() -> None:
    sweeper = Sweeper(InMemoryLister(numbered(15)))
    sweeper.claimed = {object_of("in/00003").run_key(ObjectIdentity.ETAG)}

    found = sweeper.keys()

    assert "in/00003" not in found
    assert len(found) == 14
    assert [len(keys) for keys in sweeper.queried] == [10, 5]


def test_page_with_nothing_watched_requests_no_keys() -> None:
    sweeper = Sweeper(
        InMemoryLister(numbered(15)), S3Selection(BUCKET, suffix=".csv", start_from=StartFrom.BEGINNING)
    )

    assert (sweeper.keys(), sweeper.queried) == ([], [])


def test_only_watched_objects_are_found() -> None:
    lister = InMemoryLister([object_of("in/a.csv"), object_of("in/a.txt"), object_of("out/a.csv")])

    assert Sweeper(lister, S3Selection(BUCKET, "in/", ".csv", start_from=StartFrom.BEGINNING)).keys() == [
        "in/a.csv"
    ]


def test_start_from_now_leaves_out_what_was_there_before_but_not_this_very_second() -> None:
    lister = InMemoryLister([object_of("old", modified=TIME - 1), object_of("new", modified=TIME)])
    lister.clock.advance(0.7)

    assert Sweeper(lister, S3Selection(BUCKET)).keys() == ["new"]


def test_start_from_now_stays_where_it_first_was() -> None:
    lister = InMemoryLister([object_of("old", modified=TIME - 1)])
    sweeper = Sweeper(lister, S3Selection(BUCKET))
    sweeper.slice()

    lister.clock.advance(3 * 86_400)
    lister.objects = [*lister.objects, object_of("new", modified=TIME + 5)]

    assert sweeper.keys() == ["new"]


def test_round_in_the_midst_keeps_its_own_floor_and_beginning() -> None:
    lister = InMemoryLister(numbered(30), seconds_per_page=60)
    sweeper = Sweeper(lister)

    sweeper.slice()
    lister.clock.advance(5)
    sweeper.slice()

    assert (sweeper.position().position, sweeper.position().round_started) == ("in/00019", TIME)


def test_after_a_complete_round_only_a_week_back_is_checked_until_the_next_day() -> None:
    now = TIME + 100 * DAY
    lister = InMemoryLister([])
    lister.clock.time = now
    sweeper = Sweeper(lister)
    sweeper.slice()

    lister.objects = [
        object_of("late upload", modified=now - OVERLAP_MS),
        object_of("too old", modified=now - OVERLAP_MS - 1_000),
    ]
    lister.clock.advance(60)

    assert sweeper.keys() == ["late upload"]
    assert (sweeper.position().complete_round, sweeper.position().full_round) == (now + 60_000, now)


@pytest.mark.parametrize(("after", "sees_all"), [(FULL_ROUND_MS - 1, False), (FULL_ROUND_MS, True)])
def test_once_a_day_a_round_checks_all_objects(after: int, sees_all: bool) -> None:
    now = TIME + 100 * DAY
    lister = InMemoryLister([])
    lister.clock.time = now
    sweeper = Sweeper(lister)
    sweeper.slice()
    lister.objects = [object_of("old", modified=TIME)]
    lister.clock.time = now + 1
    sweeper.slice()
    lister.clock.time = now + after

    assert sweeper.keys() == (["old"] if sees_all else [])
    assert sweeper.position().full_round == (now + after if sees_all else now)


def test_sensor_sweeps_by_the_wall_clock() -> None:
    assert abs(sweeping.system_now() - time.time() * 1000) < 60_000


def test_new_key_that_sorts_before_the_position_is_found_by_the_next_round() -> None:
    lister = InMemoryLister(numbered(30), seconds_per_page=60)
    sweeper = Sweeper(lister)
    first = sweeper.keys()
    lister.objects = [*lister.objects, object_of("in/00000a", modified=lister.clock.now())]
    sweeper.claimed = {stored.run_key(ObjectIdentity.ETAG) for stored in numbered(30)}

    rest = [sweeper.keys() for _ in range(2)]
    lister.seconds_per_page = 0

    assert (len(first), rest) == (10, [[], []])
    assert sweeper.keys() == ["in/00000a"]


def test_age_is_that_of_the_last_complete_round_or_of_the_first_until_it_is_complete() -> None:
    """So that the age of a first round that never ends is visible, too."""
    lister = InMemoryLister(numbered(30), seconds_per_page=60)
    sweeper = Sweeper(lister)

    ages = [sweeper.slice().age_seconds for _ in range(5)]

    assert ages == [60, 120, 180, 240, 300]
    assert sweeper.slice().age_seconds == 180


@pytest.mark.parametrize("dies_at", range(1, 7))
def test_sweep_whose_process_dies_at_any_page_continues_from_what_was_committed(dies_at: int) -> None:
    """Nothing of the slice that died became durable; all of it is listed again, and nothing is left out."""
    lister = InMemoryLister(numbered(60), seconds_per_page=MAX_SECONDS / 2)
    sweeper = Sweeper(lister)
    seen: list[str] = []
    is_complete = False
    deaths = 0

    while not is_complete:
        before, pages = sweeper.cursor, lister.pages_read
        found = sweeper.slice()
        if not deaths and pages < dies_at <= lister.pages_read:
            deaths, sweeper.cursor = 1, before
            continue
        seen += [stored.key for stored in found.objects]
        is_complete = found.is_complete

    assert deaths == 1
    assert seen == [stored.key for stored in numbered(60)]
