"""Groups by names and by directory: complete, overdue with what is missing, and complete again."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import JOB
from tests.support.objects import BUCKET, InMemoryLister, object_of
from tests.unit.test_s3_sweep import ALL, Sweeper
from treadle import DagsterInvalidDefinitionError, FileCount, FileNames, RunRequest, S3Object, s3_sensor
from treadle.integrations.s3 import S3Selection
from treadle.integrations.s3.inspection import SelectedObjects
from treadle.integrations.s3.patterns import KeyPattern
from treadle.integrations.s3.settling import check_group
from treadle.testing import TreadleInstance

DAYS = "in/{day:%Y%m%d}/{region}_{table}.csv"
TABLES = FileNames(["items", "orders", "prices"], by="day", once=False, longest_wait=timedelta(days=3))
OF_DAY = "in/{day:%Y%m%d}/{table}.csv"
HOUR = 3_600


def deployed(complete_when: FileCount | FileNames, **options: Any) -> TreadleInstance:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        complete_when=complete_when,
        **{"start_from": "beginning", "pattern": OF_DAY, **options},
    )
    def watch(_context: object, stored: S3Object) -> RunRequest:
        assert stored.group is not None
        return RunRequest(tags={"missing": ",".join(stored.group.missing), "files": str(stored.group.files)})

    return TreadleInstance([watch])


def put(
    instance: TreadleInstance, name: str, body: bytes = b"1", *, by_event: bool, day: str = "20261122"
) -> None:
    """Store a file of a day; without its event, two sweeps follow."""
    key = f"in/{day}/{name}.csv"
    if by_event:
        instance.put_object(BUCKET, key, body)
    else:
        instance.objects.put(BUCKET, key, body)
        for _ in range(2):
            instance.tick("watch")


def ends(instance: TreadleInstance) -> list[str]:
    """Return the end of each run key, without digests, with the missing names."""
    found = sorted(instance.runs(), key=lambda run: run.created_at)
    return [f"{str(run.run_key).partition('#')[2].partition('@')[0]}:{run.tags['missing']}" for run in found]


@pytest.mark.parametrize("by_event", [True, False])
def test_files_of_a_day_that_come_over_three_days(*, by_event: bool) -> None:
    """Out of order, one missing until after the longest wait, and one overwritten."""
    instance = deployed(TABLES)

    put(instance, "prices", by_event=by_event)
    instance.clock.advance(30 * HOUR)
    put(instance, "orders", by_event=by_event)
    put(instance, "other", by_event=by_event)
    instance.clock.advance(41 * HOUR)
    instance.tick("watch")
    assert ends(instance) == []

    instance.clock.advance(HOUR)
    for _ in range(2):
        instance.tick("watch")
    assert ends(instance) == ["incomplete:items"]

    instance.clock.advance(HOUR)
    put(instance, "items", by_event=by_event)
    assert ends(instance) == ["incomplete:items", "complete:"]

    instance.clock.advance(HOUR)
    put(instance, "orders", b"2", by_event=by_event)
    put(instance, "orders", b"2", by_event=by_event)
    for _ in range(2):
        instance.tick("watch")
    assert ends(instance) == ["incomplete:items", "complete:", "complete:"]
    first, *_, last = sorted(instance.runs(), key=lambda run: run.created_at)
    assert json.loads(first.run_config) | {"event_time": ""} == {
        "bucket": BUCKET,
        "group": "in/20261122/",
        "is_complete": False,
        "missing": ["items"],
        "names": {"day": "20261122"},
        "event_time": "",
    }
    assert last.tags["files"] == "3"
    assert json.loads(last.run_config)["is_complete"] is True


def test_group_that_is_complete_counts_once_by_default_and_is_never_incomplete_then() -> None:
    instance = deployed(replace(TABLES, once=True))
    for name in ("items", "orders", "prices"):
        put(instance, name, by_event=True)
    put(instance, "orders", b"2", by_event=True)
    instance.objects.delete(BUCKET, "in/20261122/items.csv")
    instance.clock.advance(100 * HOUR)
    for _ in range(2):
        instance.tick("watch")

    assert [run.run_key for run in instance.runs()] == [f"s3://{BUCKET}/in/20261122/#complete"]


def test_each_group_is_complete_by_itself_whatever_the_order_of_events() -> None:
    instance = deployed(replace(TABLES, longest_wait=None))
    for name in ("items", "orders", "prices"):
        for day in ("20261122", "20261123"):
            put(instance, name, by_event=name != "orders", day=day)
    for _ in range(2):
        instance.tick("watch")

    assert ends(instance) == ["complete:", "complete:"]
    assert len({run.run_key for run in instance.runs()}) == 2


def test_events_that_come_doubled_and_late_start_one_run_of_what_is_stored() -> None:
    instance = deployed(TABLES)
    events = [
        instance.objects.put(BUCKET, f"in/20261122/{name}.csv", b"1")
        for name in ("items", "orders", "prices")
    ]

    for event in (events[2], *events, events[0], *reversed(events)):
        instance.send(event)

    assert ends(instance) == ["complete:"]


def test_group_in_a_directory_may_expect_names() -> None:
    instance = deployed(FileNames(["a.csv", "b.csv"]), pattern="", prefix="in/")
    for key in ("in/1/a.csv", "in/1/c.csv", "in/2/b.csv", "in/1/b.csv"):
        instance.put_object(BUCKET, key, b"1")

    assert [run.run_key for run in instance.runs()] == [f"s3://{BUCKET}/in/1/#complete"]
    reasons = {tick.reason for tick in instance.ticks("watch")}
    assert f"s3://{BUCKET}/in/2/ lacks a.csv." in reasons
    assert (
        f"s3://{BUCKET}/in/1/c.csv is not watched: s3://{BUCKET}/in/* for files a.csv, b.csv is." in reasons
    )


def test_count_may_be_of_the_files_with_the_same_first_names() -> None:
    instance = deployed(FileCount(3, by=("day", "region")), pattern=DAYS)
    for name in ("eu_a", "us_a", "eu_b", "us_b", "eu_c"):
        put(instance, name, by_event=False)

    [run] = instance.runs()
    assert run.run_key == f"s3://{BUCKET}/in/20261122/eu_#3 files"
    assert json.loads(run.run_config)["names"] == {"day": "20261122", "region": "eu"}


@pytest.mark.parametrize(("once", "runs"), [(True, 1), (False, 3)])
def test_count_counts_again_for_more_and_for_other_files_only_on_request(*, once: bool, runs: int) -> None:
    instance = deployed(FileCount(2, once=once), pattern="")
    for name, body in (("a", b"1"), ("b", b"1"), ("b", b"1"), ("b", b"2"), ("c", b"1")):
        put(instance, name, body, by_event=True)
    instance.tick("watch")

    assert len(instance.runs()) == runs


def test_group_again_waits_until_it_has_settled() -> None:
    """Several files that are replaced one after the other are one change."""
    instance = deployed(FileCount(2, once=False), pattern="", settle_seconds=600)
    for body in (b"1", b"2"):
        for name in ("a", "b"):
            put(instance, name, body, by_event=False)
            instance.clock.advance(60)
        instance.clock.advance(600)
        instance.tick("watch")

    assert len(instance.runs()) == 2


def test_function_may_reject_an_incomplete_group_which_is_tried_again_until_it_is_complete() -> None:
    @s3_sensor(BUCKET, job_name=JOB, pattern=OF_DAY, complete_when=TABLES, start_from="beginning")
    def watch(_context: object, stored: S3Object) -> RunRequest:
        if stored.group and not stored.group.is_complete:
            raise ValueError(f"lacks {stored.group.missing}")
        return RunRequest()

    instance = TreadleInstance([watch])
    put(instance, "items", by_event=True)
    instance.clock.advance(73 * HOUR)
    tick = instance.tick("watch").tick
    assert tick is not None
    [(key, reason)] = [(each.run_key, each.reason) for each in tick.rejected]
    assert key == f"s3://{BUCKET}/in/20261122/#incomplete"
    assert "lacks ('orders', 'prices')" in reason

    for name in ("orders", "prices"):
        put(instance, name, by_event=True)

    assert len(instance.runs()) == 1


# ---- The sweep


NAMES = st.sets(
    st.tuples(st.sampled_from(["20261120", "20261121", "20261122"]), st.sampled_from("abcd")), max_size=12
)


@given(NAMES, st.integers(1, 5))
def test_sweep_of_any_pages_finds_each_complete_group_once(
    files: set[tuple[str, str]], page_size: int
) -> None:
    lister = InMemoryLister([object_of(f"in/{day}/{name}.csv") for day, name in files], page_size)
    counts = FileNames(["a", "b", "c"], by="day", once=False)
    sweeper = Sweeper(lister, replace(ALL, pattern=KeyPattern(OF_DAY), complete_when=counts))

    found = sweeper.slice()

    days = {day for day, _ in files}
    complete = {f"in/{day}/" for day in days if all((day, name) in files for name in "abc")}
    groups = [stored.group.prefix for stored in found.objects if stored.group]
    assert sorted(groups) == sorted(complete)
    assert len(found.objects) == len(groups)


def test_group_of_a_page_has_the_run_key_of_its_listing() -> None:
    """Whether a page or a listing of its own shows a group, it is the same set of etags."""
    files = [object_of(f"in/20261122/{name}.csv", etag=name) for name in "abcd"]
    selection = replace(ALL, pattern=KeyPattern(OF_DAY), complete_when=FileCount(2, by="day", once=False))
    around = [object_of("in/20261121/a.csv"), *files, object_of("in/20261123/a.csv")]

    keys = set()
    for page_size in (1, 2, 3, 10):
        [stored] = Sweeper(InMemoryLister(around, page_size), selection).slice().objects
        keys.add(selection.run_key(stored))

    listed = check_group(BUCKET, "in/20261122/", selection, InMemoryLister(around))
    assert selection.files
    assert keys == {f"s3://{BUCKET}/in/20261122/#{listed.shown(selection.files).key}"}


def test_groups_whose_prefix_begins_alike_are_different() -> None:
    selection = replace(
        ALL, pattern=KeyPattern("{region}{day:%Y%m%d}.csv"), complete_when=FileCount(2, by="region")
    )
    lister = InMemoryLister([object_of(f"{region}20261122.csv") for region in ("eu", "eu2", "euro")])

    assert selection.group_of("eu20261122.csv") == "eu"
    assert Sweeper(lister, selection).keys() == []
    assert check_group(BUCKET, "eu", selection, lister).count == 1


def test_group_that_counted_once_counts_again_after_its_definition_has_changed() -> None:
    """Under the key of a group that counts once there may be a run from before."""
    selection = replace(ALL, complete_when=FileCount(1, once=False))
    sweeper = Sweeper(InMemoryLister([object_of("in/a")]), selection)
    sweeper.claimed = {f"s3://{BUCKET}/in/#1 files"}

    assert sweeper.keys() == ["in/a"]


# ---- Definitions


def test_cursor_of_a_sensor_with_a_count_continues() -> None:
    assert S3Selection(BUCKET, complete_when=FileCount(3)).fingerprint[-1] == "3 files"
    wait = FileCount(3, longest_wait=timedelta(hours=1))
    assert S3Selection(BUCKET, complete_when=wait).fingerprint[-1] == "3 files"


def test_what_groups_are_and_when_they_count_is_in_the_fingerprint() -> None:
    different: list[FileCount | FileNames] = [
        FileCount(3),
        FileCount(3, once=False),
        FileCount(3, by="day"),
        FileNames(["a"]),
        FileNames(["a", "b"]),
        FileNames(["a"], by="day"),
    ]

    assert len({tuple(S3Selection(BUCKET, complete_when=each).fingerprint) for each in different}) == 6


@pytest.mark.parametrize(
    "complete_when", [TABLES, FileNames(["a"]), FileCount(2, by=("day",)), FileCount(2, once=False)]
)
def test_selection_by_groups_is_the_same_after_it_was_described(complete_when: FileCount | FileNames) -> None:
    selection = S3Selection(BUCKET, pattern=KeyPattern(OF_DAY), complete_when=complete_when)

    assert S3Selection.of_description(json.loads(json.dumps(selection.described()))) == selection


def test_function_of_an_earlier_release_describes_only_a_count() -> None:
    described = S3Selection(BUCKET, complete_when=FileCount(2)).described()
    del described["group"]

    assert S3Selection.of_description(described) == S3Selection(BUCKET, complete_when=FileCount(2))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"names": []}, "The files of a group have 1 to 1000 names without slashes, not []"),
        ({"names": ["a/b"]}, "names without slashes"),
        ({"names": 5}, "names of a group must be a list of strings, not 5"),
        ({"names": ["a"], "by": 5}, "by of a group must be a list of strings, not 5"),
        ({"names": ["a"], "once": 1}, "once of a group must be True or False, not 1"),
        (
            {"names": ["a"], "longest_wait": 60},
            "longest_wait of a group must be a timedelta of up to 31 days, not 60",
        ),
        ({"names": ["a"], "longest_wait": timedelta(0)}, "longest_wait of a group must be a timedelta"),
        ({"names": ["a"], "longest_wait": timedelta(days=32)}, "longest_wait of a group must be a timedelta"),
    ],
)
def test_group_that_cannot_work_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        FileNames(**options)

    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "complete_when", "problem"),
    [
        ("", FileCount(2, by="day"), "a group by names needs a pattern with names in braces"),
        (
            "{region}/{day}",
            FileCount(2, by="day"),
            "`by` must be the first of the names region, day, and not all of",
        ),
        ("{region}/{day}", FileCount(2, by=["region", "day"]), "and not all of them"),
        (
            "{day}/{region}/{table}",
            FileNames(["a"], by="day"),
            "and region, table remain: add the others to `by`",
        ),
    ],
)
def test_names_by_which_a_group_cannot_be_listed_are_refused(
    pattern: str, complete_when: FileCount | FileNames, problem: str
) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        s3_sensor(BUCKET, job_name=JOB, pattern=pattern, complete_when=complete_when)

    assert problem in str(refused.value)


# ---- Why


def test_inspection_of_a_file_knows_the_run_key_of_its_group() -> None:
    instance = deployed(TABLES)
    objects = instance.objects
    selection = replace(ALL, pattern=KeyPattern(OF_DAY), complete_when=TABLES)

    def seen(key: str) -> tuple[bool, str, str]:
        found = SelectedObjects(lambda _: selection, objects).inspect(
            "watch", BUCKET, key, None, instance.clock.now()
        )
        assert found is not None
        return found.is_watched, str(found.run_key).partition("#")[2].partition("@")[0], found.waits

    put(instance, "items", by_event=False)
    waits = f"s3://{BUCKET}/in/20261122/ lacks orders, prices."
    assert seen("in/20261122/items.csv") == (True, "complete", waits)
    assert not seen("in/20261122/other.csv")[0]
    instance.clock.advance(73 * HOUR)
    assert seen("in/20261122/items.csv")[1] == "incomplete"
    for name in ("orders", "prices"):
        put(instance, name, by_event=False)

    found = SelectedObjects(lambda _: selection, objects).inspect(
        "watch", BUCKET, "in/20261122/items.csv", None, instance.clock.now()
    )

    assert found is not None
    assert found.run_key in {run.run_key for run in instance.runs()}
