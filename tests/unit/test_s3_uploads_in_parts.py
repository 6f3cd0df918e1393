"""Uploads in parts: S3 gives the time at which one was begun, and what counts is when its object appears."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.engine import JOB
from tests.support.objects import BUCKET, TIME, InMemoryLister, object_of
from treadle import FileCount, RunRequest, s3_sensor
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.objects import S3Object
from treadle.definitions.runs import from_millis
from treadle.engine.outcomes import Decision
from treadle.integrations.s3 import S3Selection
from treadle.integrations.s3 import sweep_memory as remembering
from treadle.integrations.s3.sweep import FULL_ROUND_MS, OVERLAP_MS, Slice, SweepCursor, read_cursor, sweep
from treadle.testing import TreadleInstance

NOW = S3Selection(BUCKET)
DAY = 86_400_000
INTERVAL = 300
SETTLE = 600


def part(key: str, begun: int, etag: str = "e") -> S3Object:
    """Return an object whose upload in parts was begun then."""
    return object_of(key, modified=begun, etag=f"{etag}-3")


class Sweeps:
    """A sensor's sweeps over one bucket; what they find gets its run."""

    def __init__(self, lister: InMemoryLister, selection: S3Selection = NOW) -> None:
        self.lister = lister
        self.selection = selection
        self.cursor: str | None = None
        self.taken: set[str] = set()

    def slice(self) -> Slice:
        """Return one tick."""
        context = SensorEvaluationContext(
            "watch", self.cursor, _claimed_run_keys=lambda keys: self.taken & set(keys)
        )
        found = sweep(context, self.selection, self.lister, self.lister.clock.now)
        self.cursor = str(found.cursor)
        self.taken |= {self.selection.run_key(stored) for stored in found.objects}
        return found

    def round(self) -> list[str]:
        """Return the keys that the ticks of a whole round find."""
        keys: list[str] = []
        while True:
            found = self.slice()
            keys += [stored.key for stored in found.objects]
            if found.is_complete:
                return keys

    def position(self) -> SweepCursor:
        """Return their cursors."""
        return read_cursor(self.cursor, self.selection, self.lister.clock.now())

    def store(self, *objects: S3Object) -> None:
        """Objects appear."""
        self.lister.objects = [*self.lister.objects, *objects]


# ---- What was begun before the first sweep


@pytest.mark.parametrize("days", [0.01, 1, 6.9])
def test_upload_that_ends_after_the_first_sweep_counts_whenever_it_was_begun(days: float) -> None:
    sweeps = Sweeps(InMemoryLister())
    sweeps.round()
    sweeps.lister.clock.advance(60)

    sweeps.store(part("big", int(TIME - days * DAY)))

    assert sweeps.round() == ["big"]
    assert sweeps.round() == []


def test_upload_that_had_ended_before_the_first_sweep_does_not_count() -> None:
    sweeps = Sweeps(InMemoryLister([part("big", TIME - 60_000), part("old", TIME - 8 * DAY)]))

    rounds = []
    for _ in range(20):
        rounds.append(sweeps.round())
        sweeps.lister.clock.advance(DAY / 1000)

    assert rounds == [[]] * 20


def test_upload_over_one_that_was_there_counts_with_its_own_content() -> None:
    sweeps = Sweeps(InMemoryLister([part("big", TIME - 60_000, "old")]))
    sweeps.round()

    sweeps.lister.objects = [part("big", TIME - 30_000, "new")]

    assert sweeps.round() == ["big"]


def test_large_object_of_one_request_may_appear_a_little_late_too() -> None:
    sweeps = Sweeps(InMemoryLister([object_of("there", modified=TIME - 1_000)]))
    sweeps.round()

    sweeps.store(object_of("late", modified=TIME - 120_000), object_of("old", modified=TIME - 2 * 3_600_000))

    assert sweeps.round() == ["late"]


@pytest.mark.parametrize("dies", [False, True])
def test_first_round_of_many_slices_remembers_all_that_it_meets(dies: bool) -> None:
    """What appears behind its position meanwhile is found by the next round; a slice that dies is done again."""
    there = [part(f"{number:02}", TIME - 60_000) for number in range(30)]
    sweeps = Sweeps(InMemoryLister(there, seconds_per_page=60))
    sweeps.slice()
    sweeps.store(part("00a", TIME - 30_000))
    if dies:
        before = sweeps.cursor
        sweeps.slice()
        sweeps.cursor = before
    assert sweeps.round() == []

    sweeps.lister.seconds_per_page = 0

    assert sweeps.round() == ["00a"]


def test_what_was_there_is_forgotten_when_no_upload_can_have_been_begun_before() -> None:
    sweeps = Sweeps(InMemoryLister([part("big", TIME - 60_000)]))
    sweeps.round()
    assert sweeps.position().before

    sweeps.lister.clock.advance(2 * OVERLAP_MS / 1000)
    sweeps.round()

    assert sweeps.position().before is None
    assert len(sweeps.cursor or "") < 400


@given(st.lists(st.integers(1, 6 * DAY // 1000), max_size=40), st.integers(0, 30))
def test_what_cannot_be_remembered_gets_no_run_and_is_reported(ages: list[int], room: int) -> None:
    """Never a run for an object that was there, however many there were; those begun later still count."""
    there = [part(f"{number:02}", TIME - age * 1000) for number, age in enumerate(ages)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembering, "MOST_BEFORE", room)
        sweeps = Sweeps(InMemoryLister(there))
        found = sweeps.slice()
        while not found.is_complete:
            found = sweeps.slice()

        assert found.unremembered == max(0, len(ages) - room)
        sweeps.lister.clock.advance(1)
        sweeps.store(part("new", TIME), part("newest", TIME - 1_000))
        given_up = sorted(ages)[room:]
        is_seen = not given_up or min(given_up) > 1
        assert set(sweeps.round()) == ({"new", "newest"} if is_seen else {"new"})


def test_cursor_of_many_uploads_stays_within_bounds() -> None:
    there = [part(f"{number:05}", TIME - number * 1000) for number in range(5_000)]
    sweeps = Sweeps(InMemoryLister(there, page_size=1_000))

    sweeps.round()

    assert len(sweeps.cursor or "") < 25_000


# ---- Settling


def settling() -> TreadleInstance:
    @s3_sensor(BUCKET, job_name=JOB, settle_seconds=SETTLE, minimum_interval_seconds=INTERVAL, name="watch")
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.tick("watch")
    instance.clock.advance(3_600)
    return instance


def test_object_settles_from_when_a_sweep_first_saw_it() -> None:
    instance = settling()
    instance.objects.put(BUCKET, "a", parts=3, modified=from_millis(instance.clock.now() - 1_800_000))

    ran = [bool(instance.tick("watch").runs) for _ in range(4)]

    assert ran == [False, False, True, False]


def test_upload_that_replaces_another_settles_again() -> None:
    instance = settling()
    for body in (b"1", b"2"):
        begun = from_millis(instance.clock.now() - 1_800_000)
        instance.objects.put(BUCKET, "a", body, parts=3, modified=begun)
        assert [bool(instance.tick("watch").runs) for _ in range(2)] == [False, False]

    assert len(instance.tick("watch").runs) == 1


def test_event_says_when_the_object_appeared_and_its_run_is_the_only_one() -> None:
    instance = settling()
    begun = from_millis(instance.clock.now() - 1_800_000)
    event = instance.objects.put(BUCKET, "a", parts=3, modified=begun)
    assert instance.send(event)["watch"].outcome.decision is Decision.DELAYED
    instance.clock.advance(SETTLE)

    assert instance.send(event)["watch"].outcome.decision is Decision.SUCCESS
    assert [bool(instance.tick("watch").runs) for _ in range(5)] == [False] * 5


def test_more_objects_than_can_be_remembered_wait_for_a_later_round_and_none_is_lost() -> None:
    selection = S3Selection(BUCKET, settle_seconds=SETTLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembering, "MOST_WAITING", 3)
        sweeps = Sweeps(InMemoryLister(), selection)
        sweeps.round()
        sweeps.lister.clock.advance(60)
        sweeps.store(*(part(f"{number}", TIME - 60_000) for number in range(8)))
        assert sweeps.slice().unremembered == 5
        found = []
        for _ in range(12):
            sweeps.lister.clock.advance(INTERVAL)
            found += sweeps.round()

    assert sorted(found) == [f"{number}" for number in range(8)]


arrivals = st.fixed_dictionaries(
    {
        "at": st.integers(1, 10 * 86_400),
        "took": st.integers(0, 7 * 86_400 - 1),
        "in_parts": st.booleans(),
    }
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(arrivals, max_size=8),
    st.lists(st.sampled_from([60, INTERVAL, 3_600, 86_400, 3 * 86_400]), min_size=1, max_size=30),
    st.sampled_from([1, 60, 3_600, 86_400]),
    st.integers(1, 3),
)
def test_object_gets_its_one_run_and_never_before_it_has_been_there_for_long_enough(
    objects: list[dict[str, Any]], gaps: list[int], settle_seconds: int, page_size: int
) -> None:
    """However long its upload took, whenever rounds come, and wherever their floors lie."""
    lister = InMemoryLister(page_size=page_size)
    sweeps = Sweeps(lister, S3Selection(BUCKET, settle_seconds=settle_seconds))
    sweeps.round()
    appears = {f"{n}": each for n, each in enumerate(objects)}
    ran: dict[str, int] = {}

    def wait(seconds: int) -> None:
        before = lister.clock.now()
        lister.clock.advance(seconds)
        for key, each in appears.items():
            at = TIME + each["at"] * 1000
            if before < at <= lister.clock.now():
                begun = at - each["took"] * 1000
                sweeps.store(part(key, begun) if each["in_parts"] else object_of(key, modified=at))
        for key in sweeps.round():
            assert key not in ran, "one run"
            ran[key] = lister.clock.now()

    for gap in gaps:
        wait(gap)
    for _ in range(40):
        wait(DAY // 1000 // 2)

    assert set(ran) == set(appears)
    for key, each in appears.items():
        assert ran[key] >= TIME + each["at"] * 1000 + settle_seconds * 1000
    assert not sweeps.position().waiting


# ---- Groups


def groups(settle_seconds: int = SETTLE) -> TreadleInstance:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        settle_seconds=settle_seconds,
        complete_when=FileCount(2),
        minimum_interval_seconds=INTERVAL,
        name="watch",
    )
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.tick("watch")
    instance.clock.advance(3_600)
    return instance


def test_group_settles_from_when_a_sweep_first_saw_these_files() -> None:
    instance = groups()
    begun = from_millis(instance.clock.now() - 1_800_000)
    instance.objects.put(BUCKET, "d/a", modified=begun)
    instance.objects.put(BUCKET, "d/b", parts=3, modified=begun)

    assert [bool(instance.tick("watch").runs) for _ in range(2)] == [False, False]
    instance.objects.put(BUCKET, "d/c", parts=3, modified=begun)

    assert [bool(instance.tick("watch").runs) for _ in range(4)] == [False, False, True, False]


def test_event_of_one_file_leaves_a_group_to_the_sweep_whose_other_files_have_an_early_time() -> None:
    """The event says since when its own object is there, and nothing of the others."""
    instance = groups()
    begun = from_millis(instance.clock.now() - 1_800_000)
    event = instance.objects.put(BUCKET, "d/a")
    instance.objects.put(BUCKET, "d/b", parts=3, modified=begun)
    instance.clock.advance(SETTLE)

    outcome = instance.send(event)["watch"].outcome

    assert outcome.decision is Decision.SKIPPED
    assert "d/b, a file of the same group, was uploaded in parts" in outcome.reason
    assert [bool(instance.tick("watch").runs) for _ in range(3)] == [False, False, True]


def test_event_of_the_upload_itself_counts_for_its_group() -> None:
    instance = groups()
    begun = from_millis(instance.clock.now() - 1_800_000)
    instance.objects.put(BUCKET, "d/a")
    event = instance.objects.put(BUCKET, "d/b", parts=3, modified=begun)
    assert instance.send(event)["watch"].outcome.decision is Decision.DELAYED
    instance.clock.advance(SETTLE)

    assert instance.send(event)["watch"].outcome.decision is Decision.SUCCESS


def test_round_checks_what_waits_however_old() -> None:
    sweeps = Sweeps(InMemoryLister(), S3Selection(BUCKET, settle_seconds=SETTLE))
    sweeps.round()
    sweeps.lister.clock.advance(FULL_ROUND_MS / 1000)
    sweeps.store(part("a", sweeps.lister.clock.now() - OVERLAP_MS))
    sweeps.round()
    assert json.loads(sweeps.cursor or "")["waiting"]

    sweeps.lister.clock.advance(SETTLE)

    assert sweeps.round() == ["a"]


def test_group_of_uploads_in_parts_and_others_settles_once_and_not_one_after_the_other() -> None:
    @s3_sensor(
        BUCKET,
        name="watch",
        job_name=JOB,
        complete_when=FileCount(2),
        settle_seconds=600,
        minimum_interval_seconds=300,
    )
    def sensor() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([sensor])
    instance.tick("watch")
    instance.clock.advance(3_600)
    begun = from_millis(instance.clock.now() - 1_800_000)
    instance.objects.put(BUCKET, "d/a", parts=2, modified=begun)
    instance.objects.put(BUCKET, "d/b")
    appeared = instance.clock.now()

    while not instance.tick("watch").runs:
        assert instance.clock.now() < appeared + 600_000
    assert instance.clock.now() == appeared + 600_000
