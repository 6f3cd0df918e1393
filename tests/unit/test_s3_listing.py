"""`get_objects` and `get_s3_keys`: Dagster's helpers, without what they lose, over a client that pages."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.engine import JOB
from treadle import RunRequest, S3Object, SensorEvaluationContext, get_objects, get_s3_keys, s3_sensor, sensor
from treadle.testing import TreadleInstance


def at(second: float) -> datetime:
    return datetime(2026, 11, 22, 18, 0, tzinfo=UTC) + timedelta(seconds=second)


class Bucket:
    """An S3 client over objects that are given by key and second, two to a page."""

    def __init__(self, **objects: float) -> None:
        self.objects = objects
        self.etags: dict[str, str] = {}
        self.calls: list[dict[str, str]] = []

    def get_paginator(self, operation: str) -> "Bucket":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **options: str) -> Iterator[dict[str, Any]]:
        self.calls.append(options)
        found = sorted(key for key in self.objects if key.startswith(options["Prefix"]))
        for start in range(0, len(found), 2):
            yield {
                "Contents": [
                    {
                        "Key": k,
                        "LastModified": at(self.objects[k]),
                        "ETag": f'"{self.etags.get(k, "e1")}"',
                    }
                    for k in found[start : start + 2]
                ]
            }
        if not found:
            yield {}


def keys(objects: list[Any]) -> list[str]:
    return [stored["Key"] for stored in objects]


def test_empty_bucket_has_no_keys() -> None:
    assert get_s3_keys("b", s3_session=Bucket()) == []


def test_keys_of_all_pages_come_in_order_of_time_then_key() -> None:
    bucket = Bucket(a=3, b=1, c=1, d=2, e=9)

    assert get_s3_keys("b", s3_session=bucket) == ["b", "c", "d", "a", "e"]
    assert bucket.calls == [{"Bucket": "b", "Prefix": ""}]


def test_prefix_is_handed_on() -> None:
    bucket = Bucket(xa=1, ya=1)

    assert get_s3_keys("b", "y", s3_session=bucket) == ["ya"]


def test_since_key_gives_what_was_stored_after_it() -> None:
    """One object, two, and none after the last."""
    bucket = Bucket(first=1)
    assert get_s3_keys("b", s3_session=bucket) == ["first"]

    bucket.objects["second"] = 2

    assert get_s3_keys("b", s3_session=bucket) == ["first", "second"]
    assert get_s3_keys("b", since_key="first", s3_session=bucket) == ["second"]
    assert get_s3_keys("b", since_key="second", s3_session=bucket) == []


def test_since_key_alone_goes_by_the_order_of_time_and_key_as_dagsters() -> None:
    bucket = Bucket(a=1, b=1, c=1, d=0)

    assert get_s3_keys("b", since_key="b", s3_session=bucket) == ["c"]


def test_empty_since_key_is_none() -> None:
    assert get_s3_keys("b", since_key="", s3_session=Bucket(a=1)) == ["a"]


def test_key_shows_when_its_object_was_stored_and_its_etag() -> None:
    [key] = get_s3_keys("b", s3_session=Bucket(a=1))

    assert (key, key.last_modified, key.etag) == ("a", at(1), "e1")


def test_since_last_modified_gives_newer_objects_in_order_also_those_written_again() -> None:
    bucket = Bucket(a=1, b=2, c=3)
    assert keys(get_objects("b", since_last_modified=at(2), since_key="b", client=bucket)) == ["c"]

    bucket.objects["a"] = 4

    assert keys(get_objects("b", since_last_modified=at(2), since_key="b", client=bucket)) == ["c", "a"]


# ---- What Dagster's helpers lose, or stumble over


def test_only_what_is_requested_is_held_in_memory() -> None:
    """The first flaw: the whole listing in memory, at each tick."""

    class Large(Bucket):
        def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
            for page in range(200):
                yield {
                    "Contents": [
                        {"Key": f"{page:03}/{n:03}", "LastModified": at(0), "ETag": '"e"'} for n in range(500)
                    ]
                }

    tracemalloc.start()
    found = get_objects("b", since_last_modified=at(1), client=Large())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == []
    assert peak < 2_000_000


def test_since_key_that_is_gone_stops_nothing() -> None:
    """The second: an exception at every tick from then on."""
    bucket = Bucket(a=1, c=3)

    assert keys(get_objects("b", since_key="b", since_last_modified=at(2), client=bucket)) == ["c"]


def test_since_key_that_is_gone_and_whose_time_is_not_known_gives_everything_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert get_s3_keys("b", since_key="gone", s3_session=Bucket(a=1, b=2)) == ["a", "b"]
    assert "s3://b/gone, which since_key names, is gone" in caplog.text


def test_since_key_that_was_written_again_hides_nothing() -> None:
    """The third: all between its old time and its new one is lost."""
    bucket = Bucket(a=1, b=2)
    [*_, last] = get_s3_keys("b", s3_session=Bucket(a=1))
    bucket.objects["a"] = 9

    found = get_s3_keys("b", since_key=last, since_last_modified=last.last_modified, s3_session=bucket)

    assert found == ["b", "a"]


@pytest.mark.parametrize("late", ["a", "z"])
def test_object_that_was_stored_later_in_the_same_second_is_given(late: str) -> None:
    """The fourth: those with a smaller key, or all of them."""
    bucket = Bucket(m=5)
    [last] = get_s3_keys("b", s3_session=bucket)
    bucket.objects[late] = 5

    by_both = get_s3_keys("b", since_key=last, since_last_modified=last.last_modified, s3_session=bucket)
    by_time = get_objects("b", since_last_modified=at(5.7), client=bucket)

    assert by_both == [late]
    assert keys(by_time) == sorted(["m", late])


def test_upload_in_parts_that_appears_late_with_an_early_time_is_given() -> None:
    """The fifth: it appears below the cursor. It is given again for a week, under the same run key."""
    bucket = Bucket(seen=500_000, plain=100_000, late=100_000, older=-200_000)
    bucket.etags |= {"late": "abc-12", "older": "abc-12"}

    found = get_s3_keys("b", since_key="seen", since_last_modified=at(500_000), s3_session=bucket)

    assert found == ["late"]


def test_overwritten_object_can_be_distinguished_from_what_it_was() -> None:
    """The sixth: with the key as run key, its new content never runs. Its etag makes it another one."""
    bucket = Bucket(a=1)

    @sensor(job_name=JOB)
    def watch(context: SensorEvaluationContext) -> list[RunRequest]:
        return [RunRequest(f"{key}#{key.etag}") for key in get_s3_keys("b", s3_session=bucket)]

    instance = TreadleInstance([watch])
    instance.tick("watch")
    bucket.objects["a"], bucket.etags["a"] = 2, "e2"
    instance.tick("watch")
    instance.tick("watch")

    assert [run.run_key for run in instance.runs()] == ["a#e1", "a#e2"]


def test_s3_sensor_has_suffix_version_and_slices() -> None:
    """The seventh: no filter, no version, no end to what is given at once. `s3_sensor` has them all."""
    seen: list[S3Object] = []

    @s3_sensor("b", suffix=".csv", identity="version", start_from="beginning", job_name=JOB)
    def watch(_context: object, stored: S3Object) -> RunRequest:
        seen.append(stored)
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.objects.is_versioned = True
    for number in range(2_500):
        instance.objects.put("b", f"{number:04}.csv")
    instance.objects.put("b", "0000.csv")
    instance.objects.put("b", "0000.txt")

    counts = [len(instance.tick("watch").runs) for _ in range(3)]

    assert counts == [1_000, 1_000, 501]
    assert {stored.key[-4:] for stored in seen} == {".csv"}
    assert len({stored.version for stored in seen}) == 2_501


def test_sensor_that_keeps_key_and_time_loses_nothing_and_runs_each_once() -> None:
    """All of it together: late, tied, overwritten and deleted, tick by tick."""
    bucket = Bucket()

    @sensor(job_name=JOB)
    def watch(context: SensorEvaluationContext) -> list[RunRequest]:
        key, _, time = (context.cursor or "").rpartition("@")
        since = datetime.fromisoformat(time) if time else None
        found = get_s3_keys("b", since_key=key, since_last_modified=since, s3_session=bucket)
        if found:
            context.update_cursor(f"{found[-1]}@{found[-1].last_modified.isoformat()}")
        return [RunRequest(f"{each}#{each.etag}") for each in found]

    instance = TreadleInstance([watch])
    for change in (
        {"m": (5, "e1")},
        {"a": (5, "e1"), "z": (5, "e1")},
        {"late": (2, "e1-9"), "n": (6, "e1")},
        {"n": (9, "e2"), "o": (7, "e1")},
    ):
        for key, (second, etag) in change.items():
            bucket.objects[key], bucket.etags[key] = second, etag
        instance.tick("watch")
    del bucket.objects["n"]
    bucket.objects["p"] = 11
    instance.tick("watch")

    calls = sorted(str(run.run_key) for run in instance.runs())
    assert calls == ["a#e1", "late#e1-9", "m#e1", "n#e1", "n#e2", "o#e1", "p#e1", "z#e1"]


@pytest.mark.parametrize("since", [None, "k0000"])
def test_more_keys_than_a_page_holds_are_all_given(
    since: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3 as moto plays it, a hundred to a page."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "100")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="b" * 3)
        for number in range(250):
            client.put_object(Bucket="b" * 3, Key=f"k{number:04}", Body=b"x")

        found = get_s3_keys("b" * 3, since_key=since, s3_session=client)

    assert set(found) == {f"k{number:04}" for number in range(250)} - {since}


def test_time_before_all_objects_gives_all_of_them() -> None:
    bucket = Bucket(a=1, b=2)
    bucket.etags["b"] = "e1-2"

    keys = get_s3_keys("bucket", since_last_modified=datetime.min.replace(tzinfo=UTC), s3_session=bucket)

    assert keys == ["a", "b"]
