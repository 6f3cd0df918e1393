"""One sensor over several buckets, prefixes and suffixes: each object once, and none in the way of the others."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import JOB
from tests.support.objects import BUCKET, InMemoryLister, object_of
from tests.unit.test_s3_sweep import ALL, Sweeper
from treadle import FileCount, RunRequest, S3Object, s3_sensor
from treadle.adapters.notifications import silence, without_versioning
from treadle.definitions.errors import BucketError, DagsterInvalidDefinitionError, SettingsError
from treadle.definitions.objects import ObjectIdentity, each_of
from treadle.engine.outcomes import Decision
from treadle.integrations.s3 import S3Selection, S3SensorDefinition
from treadle.integrations.s3.inspection import SelectedObjects
from treadle.integrations.s3.lister import Page
from treadle.integrations.s3.patterns import KeyPattern
from treadle.integrations.s3.sweep import FULL_ROUND_MS, MAX_SECONDS
from treadle.testing import TreadleInstance
from treadle.testing.objects import InMemoryObjects
from treadle.testing.system import VirtualClock

TWO = replace(ALL, bucket=("a-b", "a"))


# ---- Which objects are watched


def test_each_combination_of_bucket_prefix_and_suffix_is_watched() -> None:
    selection = S3Selection(("a", "b"), ("in/", "out/"), (".csv", ".gz"))
    watched = [
        object_of(f"{prefix}x{suffix}", bucket=bucket)
        for bucket in ("a", "b")
        for prefix in ("in/", "out/")
        for suffix in (".csv", ".gz")
    ]

    assert all(map(selection.selects, watched))
    for other in (
        object_of("in/x.csv", bucket="c"),
        object_of("on/x.csv", bucket="a"),
        object_of("in/x", bucket="a"),
    ):
        assert not selection.selects(other)
    assert selection.summary == "s3://{a,b}/{in/,out/}*{.csv,.gz}"


def test_list_of_one_is_the_same_as_the_one() -> None:
    @s3_sensor([BUCKET], prefix=["in/", "in/"], suffix=(".csv",), job_name=JOB)
    def watch() -> RunRequest:
        return RunRequest()

    assert watch.selection == S3Selection(BUCKET, "in/", ".csv")
    assert watch.selection.fingerprint == [BUCKET, "in/", ".csv", "etag"]


@pytest.mark.parametrize("value", [[], ["a", 5], {"a"}])
def test_what_is_no_list_of_texts_is_refused(value: Any) -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match=r"^prefix must be a string or a list of strings, not "
    ):
        s3_sensor(BUCKET, prefix=value, job_name=JOB)


def test_eleventh_bucket_is_refused() -> None:
    names = [f"bucket-{number}" for number in range(11)]

    with pytest.raises(
        DagsterInvalidDefinitionError, match="there are 11 buckets, and one sensor watches 10 at most"
    ):
        s3_sensor(names, job_name=JOB)
    with pytest.raises(SettingsError, match="there are 11 buckets"):
        S3Selection().configured({"TREADLE_S3_BUCKET": json.dumps(names)})


def test_deployment_gives_several_as_a_json_list() -> None:
    settings = {
        "TREADLE_S3_BUCKET": '["a", "b"]',
        "TREADLE_S3_PREFIX": '["in/","out/"]',
        "TREADLE_S3_SUFFIX": '[".csv"]',
    }

    assert S3Selection("x").configured(settings) == S3Selection(("a", "b"), ("in/", "out/"), ".csv")
    with pytest.raises(SettingsError, match="no bucket is given"):
        S3Selection().configured({"TREADLE_S3_BUCKET": '["a", ""]'})


@pytest.mark.parametrize("text", ["", "in/", "[", "[]", "[1]", '[5, "a"]', "{}"])
def test_setting_that_is_no_list_of_texts_is_one_text(text: str) -> None:
    assert each_of(text) == (text,)


def test_selection_of_several_is_the_same_after_it_was_described() -> None:
    selection = S3Selection(("a", "b"), ("in/", "out/"), (".csv", ".gz"))

    assert S3Selection.of_description(json.loads(json.dumps(selection.described()))) == selection


def test_only_the_shortest_of_overlapping_prefixes_is_listed() -> None:
    assert S3Selection(BUCKET, ("in/b", "in/", "out/", "in/a")).listed_prefixes == ("in/", "out/")
    assert S3Selection(BUCKET, ("in/", "")).listed_prefixes == ("",)
    pattern = KeyPattern("in/2026/{n}")
    assert S3Selection(BUCKET, ("in/", "in/2026/a"), pattern=pattern).listed_prefixes == ("in/2026/",)


# ---- Listing


PARTS = st.sampled_from(["a", "a/", "a/b", "b/", "ab", ""])
OBJECTS = st.sets(
    st.tuples(st.sampled_from(["a-b", "a", "c"]), st.text("ab/", min_size=1, max_size=4)), max_size=30
)


@given(
    OBJECTS,
    st.lists(st.sampled_from(["a", "a-b"]), min_size=1, max_size=2, unique=True),
    st.lists(PARTS, min_size=1, max_size=3, unique=True),
    st.integers(1, 4),
)
def test_round_of_slices_of_one_page_finds_each_watched_object_once(
    stored: set[tuple[str, str]], buckets: list[str], prefixes: list[str], page_size: int
) -> None:
    lister = InMemoryLister(
        [object_of(key, bucket=bucket) for bucket, key in stored], page_size, seconds_per_page=MAX_SECONDS + 1
    )
    selection = replace(ALL, bucket=tuple(buckets), prefix=tuple(prefixes))
    sweeper, seen, positions = Sweeper(lister, selection), list[tuple[str, str]](), [""]

    while True:
        found = sweeper.slice()
        seen += [(each.bucket, each.key) for each in found.objects]
        if found.is_complete:
            break
        positions.append(found.cursor.position)

    watched = {(b, k) for b, k in stored if b in buckets and k.startswith(tuple(prefixes))}
    assert sorted(seen) == sorted(watched)
    assert positions == sorted(set(positions))


def deployed(**options: Any) -> TreadleInstance:
    @s3_sensor(job_name=JOB, minimum_interval_seconds=30, **{"start_from": "beginning", **options})
    def watch(_context: object, stored: S3Object) -> RunRequest:
        return RunRequest(tags={"bucket": stored.bucket})

    return TreadleInstance([watch])


def test_events_and_sweeps_of_each_bucket_start_one_run_of_each_object() -> None:
    instance = deployed(bucket=["a-b", "a"])
    for bucket in ("a-b", "a", "other"):
        instance.put_object(bucket, "k", b"1")
        instance.objects.put(bucket, "lost", b"1")

    for _ in range(2):
        instance.tick("watch")

    assert sorted(str(run.run_key).partition("#")[0] for run in instance.runs()) == [
        "s3://a-b/k",
        "s3://a-b/lost",
        "s3://a/k",
        "s3://a/lost",
    ]


def test_function_that_fails_for_an_object_of_one_bucket_does_not_stop_the_next() -> None:
    @s3_sensor(["a", "b"], start_from="beginning", job_name=JOB)
    def watch(_context: object, stored: S3Object) -> RunRequest:
        if stored.bucket == "a":
            raise ValueError
        return RunRequest()

    instance = TreadleInstance([watch])
    for bucket in ("a", "b"):
        instance.objects.put(bucket, "k", b"1")

    tick = instance.tick("watch").tick

    assert tick is not None
    assert [each.run_key for each in tick.rejected] == ["s3://a/k#c4ca4238a0b923820dcc509a6f75849b"]
    assert [run.run_key for run in instance.runs()] == ["s3://b/k#c4ca4238a0b923820dcc509a6f75849b"]


@dataclass(slots=True)
class PartlyDenied(InMemoryLister):
    """A lister that may not list some buckets."""

    denied: tuple[str, ...] = ()

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """Refuse denied buckets."""
        for bucket in selection.buckets:
            if bucket in self.denied:
                raise BucketError(f"Bucket {bucket} cannot be listed: denied. Grant it.")
        yield from InMemoryLister.pages(self, selection, after)


def test_bucket_that_cannot_be_listed_does_not_keep_the_others_from_being_listed() -> None:
    lister = PartlyDenied()
    sweeper = Sweeper(lister, TWO)
    complete = sweeper.slice().cursor.complete_round
    lister.clock.advance(60)
    now = lister.clock.now()
    lister.objects = [object_of("k", bucket="a", modified=now), object_of("k", bucket="a-b", modified=now)]
    lister.denied = ("a-b",)

    denied = sweeper.slice()
    lister.denied = ()
    lister.clock.advance(60)
    listed = sweeper.slice()

    assert [each.bucket for each in denied.objects] == ["a"]
    assert denied.notes == ("Bucket a-b cannot be listed: denied. Grant it.",)
    assert (denied.is_complete, denied.cursor.unlisted) == (True, ("a-b",))
    assert (denied.cursor.complete_round, denied.age_seconds) == (complete, 60)
    assert {each.bucket for each in listed.objects} == {"a", "a-b"}
    assert (listed.notes, listed.cursor.unlisted) == ((), ())
    assert listed.cursor.complete_round == listed.cursor.round_started


def test_tick_of_a_bucket_that_cannot_be_listed_has_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    lister = PartlyDenied(denied=("a",))
    definition = S3SensorDefinition(
        "watch", evaluation_fn=RunRequest, selection=TWO, lister=lister, job_name=JOB
    )
    instance = TreadleInstance([definition])
    instance._parts["watch"].definition.lister = lister  # type: ignore[attr-defined]

    outcome = instance.tick("watch").outcome

    assert outcome.decision is Decision.SKIPPED
    assert outcome.reason.startswith("Bucket a cannot be listed: denied. Grant it.\n")


def test_round_after_one_that_could_not_list_a_bucket_reaches_as_far_back() -> None:
    """An object that was stored while its bucket could not be listed for weeks is found."""
    lister = PartlyDenied(denied=())
    sweeper = Sweeper(lister, TWO)
    sweeper.slice()
    stored = object_of("k", bucket="a", modified=lister.clock.now())
    lister.objects, lister.denied = [stored], ("a",)
    for _ in range(30):
        lister.clock.advance(FULL_ROUND_MS / 1000)
        sweeper.slice()
    lister.denied = ()
    lister.clock.advance(60)

    assert sweeper.slice().objects == (stored,)


@pytest.mark.parametrize("denied", [("a", "a-b"), ("a-b", "a")])
def test_tick_fails_if_no_bucket_can_be_listed(denied: tuple[str, ...]) -> None:
    with pytest.raises(
        BucketError, match=r"Bucket a-b cannot be listed: denied\. Grant it\. Bucket a cannot be listed"
    ):
        Sweeper(PartlyDenied(denied=denied), TWO).slice()


# ---- What a sweep remembers


def test_objects_of_the_same_key_in_two_buckets_settle_by_themselves() -> None:
    """Uploads in parts with the same times, whose appearance only the sweep's memory shows."""
    clock = VirtualClock()
    begun = clock.now() - 3_600_000
    lister = InMemoryLister([object_of("k", bucket="a", etag="e-2", modified=begun)], clock=clock)
    sweeper = Sweeper(lister, replace(TWO, settle_seconds=300))
    assert sweeper.keys() == []
    clock.advance(290)
    lister.objects = [*lister.objects, object_of("k", bucket="a-b", etag="e-2", modified=begun)]
    assert sweeper.keys() == []
    clock.advance(20)

    assert [each.bucket for each in sweeper.slice().objects] == ["a"]


def test_each_silent_and_each_unversioned_bucket_is_named() -> None:
    instance = deployed(bucket=["a", "b"], identity=ObjectIdentity.VERSION)
    instance.objects.sends_events = False

    reason = instance.tick("watch").outcome.reason

    for bucket in ("a", "b"):
        assert silence(bucket) in reason
        assert without_versioning(bucket) in reason


# ---- Groups


def test_group_is_counted_over_all_prefixes() -> None:
    instance = deployed(bucket=BUCKET, prefix=["d/a", "d/b"], complete_when=FileCount(2))
    for key in ("d/a1", "d/c1", "d/b1"):
        instance.objects.put(BUCKET, key, b"1")
    instance.tick("watch")

    assert [run.run_key for run in instance.runs()] == [f"s3://{BUCKET}/d/#2 files"]


def test_group_is_not_counted_over_several_buckets() -> None:
    instance = deployed(bucket=["a", "b"], complete_when=FileCount(2))
    for bucket in ("a", "b"):
        instance.put_object(bucket, "d/1", b"1")
    instance.tick("watch")
    assert instance.runs() == ()

    instance.put_object("b", "d/2", b"1")

    assert [run.run_key for run in instance.runs()] == ["s3://b/d/#2 files"]


# ---- Why


@pytest.mark.parametrize(
    ("bucket", "key", "is_passed"), [("a", "z", True), ("b", "k", True), ("b", "m", False)]
)
def test_inspection_knows_how_far_the_sweep_is_in_each_bucket(
    bucket: str, key: str, *, is_passed: bool
) -> None:
    selection = replace(ALL, bucket=("a", "b"))
    sweeper = Sweeper(InMemoryLister(seconds_per_page=0), selection)
    sweeper.slice()
    cursor = str(replace(sweeper.position(), position="1/l"))
    objects = InMemoryObjects(VirtualClock())
    objects.put(bucket, key)

    found = SelectedObjects(lambda _: selection, objects).inspect(
        "s", bucket, key, cursor, objects.clock.now()
    )

    assert found is not None
    assert (found.is_watched, found.is_passed, found.watched) == (True, is_passed, "s3://{a,b}/*")
    assert f"--bucket {bucket} " in found.remedy
