"""Groups of objects: one run each, when a marker or enough files are there, by event and by sweep alike."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import JOB
from tests.support.objects import BUCKET, InMemoryLister, object_of
from treadle import DagsterInvalidDefinitionError, FileCount, Marker, RunRequest, S3Object, s3_sensor
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import SettingsError
from treadle.definitions.runs import from_millis
from treadle.engine.outcomes import Decision
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom
from treadle.integrations.s3.groups import directory_of
from treadle.integrations.s3.sweep import sweep
from treadle.testing import TreadleInstance


def sensor(complete_when: Marker | FileCount, **options: Any) -> S3SensorDefinition:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        complete_when=complete_when,
        minimum_interval_seconds=30,
        **{"start_from": "beginning", **options},
    )
    def watch(_context: object, stored: S3Object) -> RunRequest:
        return RunRequest(tags={"shown by": stored.key})

    return watch


def deployed(complete_when: Marker | FileCount, **options: Any) -> TreadleInstance:
    return TreadleInstance([sensor(complete_when, **options)])


def put(instance: TreadleInstance, *keys: str) -> list[Decision]:
    """Store objects and deliver their events; what came of each."""
    return [instance.put_object(BUCKET, key, b"x")["watch"].outcome.decision for key in keys]


def run_keys(instance: TreadleInstance) -> list[str | None]:
    return [run.run_key for run in instance.runs()]


ETAG = "9dd4e461268c8034f5c8564e155c67a6"


def test_group_gets_its_run_when_the_marker_comes_and_none_for_its_files() -> None:
    instance = deployed(Marker("_SUCCESS"))

    decisions = put(instance, "d/1/a", "d/1/b", "d/1/_SUCCESS", "d/2/a")

    assert [each is Decision.SUCCESS for each in decisions] == [False, False, True, False]
    assert run_keys(instance) == [f"s3://{BUCKET}/d/1/_SUCCESS#{ETAG}"]
    config = json.loads(instance.runs()[0].run_config)
    assert (config["group"], config["key"], config["etag"]) == ("d/1/", "d/1/_SUCCESS", ETAG)


def test_file_of_a_group_is_skipped_with_what_is_watched_instead() -> None:
    instance = deployed(Marker("_SUCCESS"), prefix="d/")

    put(instance, "d/1/a")

    [tick] = instance.ticks("watch")
    assert tick.reason == f"s3://{BUCKET}/d/1/a is not watched: s3://{BUCKET}/d/**/_SUCCESS is."


def test_name_that_only_ends_like_the_marker_is_none() -> None:
    assert put(deployed(Marker("_SUCCESS")), "d/not_SUCCESS") == [Decision.SKIPPED]


def test_group_at_the_root_of_the_bucket_has_a_marker_too() -> None:
    assert put(deployed(Marker("_SUCCESS")), "_SUCCESS") == [Decision.SUCCESS]


@pytest.mark.parametrize("complete_when", [Marker("c"), FileCount(3)])
def test_event_and_sweep_give_the_same_group_one_run(complete_when: Marker | FileCount) -> None:
    instance, other = deployed(complete_when), deployed(complete_when)
    put(instance, "d/a", "d/b", "d/c")
    for key in ("d/a", "d/b", "d/c"):
        other.objects.put(BUCKET, key, b"x")

    instance.tick("watch")
    other.tick("watch")

    assert len(instance.runs()) == 1
    assert run_keys(instance) == run_keys(other)
    assert instance.runs()[0].run_config == other.runs()[0].run_config


def test_group_counts_once_it_holds_enough_files_and_never_again() -> None:
    instance = deployed(FileCount(3))

    decisions = put(instance, "d/a", "d/b", "e/a", "d/c", "d/d", "d/a")

    assert run_keys(instance) == [f"s3://{BUCKET}/d/#3 files"]
    assert [each is Decision.SUCCESS for each in decisions].index(True) == 3
    assert json.loads(instance.runs()[0].run_config).keys() == {"bucket", "group", "event_time"}


def test_group_that_is_not_complete_says_how_many_files_it_holds() -> None:
    instance = deployed(FileCount(3))

    put(instance, "d/a", "d/b")

    assert {tick.reason for tick in instance.ticks("watch")} == {
        f"s3://{BUCKET}/d/ holds 1 of 3 files.",
        f"s3://{BUCKET}/d/ holds 2 of 3 files.",
    }


def test_only_watched_files_directly_in_the_directory_count() -> None:
    """Neither a console's "folder", nor what lies deeper, nor what the suffix leaves out."""
    instance = deployed(FileCount(2), suffix="")
    put(instance, "d/", "d/a", "d/sub/b")
    assert instance.runs() == ()

    filtered = deployed(FileCount(2), suffix=".csv", prefix="d/x")
    put(filtered, "d/xa.csv", "d/xb.txt", "d/yb.csv")
    assert filtered.runs() == ()

    put(filtered, "d/xc.csv")
    assert run_keys(filtered) == [f"s3://{BUCKET}/d/#2 files"]


def test_group_whose_events_were_lost_is_found_by_the_sweep() -> None:
    instance = deployed(FileCount(2))
    for key in ("d/a", "d/b", "e/a"):
        instance.objects.put(BUCKET, key)

    instance.tick("watch")

    assert run_keys(instance) == [f"s3://{BUCKET}/d/#2 files"]


def test_group_of_files_settles_by_its_newest_file() -> None:
    instance = deployed(FileCount(2), settle_seconds=60)
    put(instance, "d/a")
    instance.clock.advance(50)
    assert put(instance, "d/b") == [Decision.DELAYED]
    instance.clock.advance(30)
    assert put(instance, "d/c") == [Decision.DELAYED]
    instance.tick("watch")
    assert instance.runs() == ()

    instance.clock.advance(60)
    waiting, instance.undelivered = instance.undelivered, []
    decisions = [instance.send(event)["watch"].outcome.decision for event in waiting]

    assert decisions == [Decision.SKIPPED, Decision.SUCCESS]
    assert len(instance.runs()) == 1
    assert instance.tick("watch").runs == ()


def test_group_that_settled_unannounced_is_found_by_the_sweep() -> None:
    instance = deployed(FileCount(2), settle_seconds=60)
    instance.objects.put(BUCKET, "d/a")
    instance.clock.advance(100)
    instance.objects.put(BUCKET, "d/b")
    assert instance.tick("watch").runs == ()

    instance.clock.advance(60)

    assert len(instance.tick("watch").runs) == 1


def test_groups_that_were_complete_before_the_first_enable_are_left_alone() -> None:
    instance = deployed(FileCount(2), start_from="now")
    before = from_millis(instance.clock.now() - 1_000)
    for key in ("old/a", "old/b", "half/a"):
        instance.objects.put(BUCKET, key, modified=before)
    instance.clock.advance(60)
    instance.tick("watch")

    instance.objects.put(BUCKET, "half/b")

    instance.tick("watch")
    assert run_keys(instance) == [f"s3://{BUCKET}/half/#2 files"]


key_parts = st.lists(st.sampled_from(["a", "b", "c!", "0"]), min_size=1, max_size=3)


@given(
    st.lists(key_parts.map("/".join), unique=True, max_size=20),
    st.integers(1, 6),
    st.integers(1, 4),
    st.booleans(),
)
def test_sweep_finds_exactly_the_complete_groups_wherever_pages_and_slices_end(
    keys: list[str], page_size: int, needed: int, ends_each_page: bool
) -> None:
    lister = InMemoryLister(
        [object_of(key) for key in keys], page_size, seconds_per_page=60 if ends_each_page else 0
    )
    selection = S3Selection(BUCKET, start_from=StartFrom.BEGINNING, complete_when=FileCount(needed))
    cursor: str | None = None
    found: set[str] = set()

    while True:
        context = SensorEvaluationContext("watch", cursor)
        part = sweep(context, selection, lister, lister.clock.now)
        found |= {directory_of(stored.key) for stored in part.objects}
        cursor = str(part.cursor)
        if part.is_complete:
            break

    directories = [directory_of(key) for key in keys]
    assert found == {each for each in directories if directories.count(each) >= needed}


def test_only_groups_that_a_page_cuts_through_are_checked_again() -> None:
    """A thousand small groups cost no request each."""
    objects = [object_of(f"d/{group:03}/{number}") for group in range(100) for number in range(3)]
    lister = InMemoryLister(objects, page_size=100)
    selection = S3Selection(BUCKET, start_from=StartFrom.BEGINNING, complete_when=FileCount(3))

    found = sweep(SensorEvaluationContext("watch"), selection, lister, lister.clock.now)

    assert len(found.objects) == 100
    assert len(lister.listed_directories) <= 2 * lister.pages_read


def test_event_reads_no_further_than_needed() -> None:
    instance, seen = deployed(FileCount(2)), list[str]()
    for number in range(50):
        instance.objects.put(BUCKET, f"d/{number:02}")
    definition = sensor(FileCount(2)).with_lister(_Counting(instance.objects, seen), instance.clock.now)
    event = instance.objects.put(BUCKET, "d/99")

    definition.evaluate_event(SensorEvaluationContext("watch", _has_cursor=False), event)

    assert seen == ["d/00", "d/01"]


class _Counting:
    """A lister that notes what it gives."""

    def __init__(self, lister: Any, seen: list[str]) -> None:
        self.lister = lister
        self.seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lister, name)

    def members(self, selection: S3Selection, directory: str) -> Any:
        """Return the objects directly in a directory."""
        for stored in self.lister.members(selection, directory):
            self.seen.append(stored.key)
            yield stored


@pytest.mark.parametrize("name", ["", "a/b", "/"])
def test_marker_is_a_name_within_a_directory(name: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="name of an object within its directory"):
        Marker(name)


def test_no_file_completes_nothing() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="1 file or more"):
        FileCount(0)


def test_suffix_that_keeps_the_markers_events_away_is_refused() -> None:
    selection = S3Selection(BUCKET, complete_when=Marker("_SUCCESS"))

    with pytest.raises(SettingsError, match=r"leave the suffix empty, not '\.csv'"):
        selection.configured({"TREADLE_S3_SUFFIX": ".csv"})
    fitting = S3Selection(BUCKET, suffix=".json", complete_when=Marker("manifest.json"))
    assert fitting.configured({}) == fitting
