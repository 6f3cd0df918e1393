"""`get_objects` and `get_s3_keys`: Dagster's helpers, over a client that pages."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import DagsterInvariantViolationError, get_objects, get_s3_keys


def at(second: int) -> datetime:
    return datetime(2026, 11, 22, 18, 0, second, tzinfo=UTC)


class Bucket:
    """An S3 client over objects that are given by key and second, two to a page."""

    def __init__(self, **objects: int) -> None:
        self.objects = objects
        self.asked: list[dict[str, str]] = []

    def get_paginator(self, operation: str) -> "Bucket":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **options: str) -> Iterator[dict[str, Any]]:
        self.asked.append(options)
        found = sorted(key for key in self.objects if key.startswith(options["Prefix"]))
        for start in range(0, len(found), 2):
            yield {
                "Contents": [
                    {"Key": k, "LastModified": at(self.objects[k])} for k in found[start : start + 2]
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
    assert bucket.asked == [{"Bucket": "b", "Prefix": ""}]


def test_prefix_is_handed_on() -> None:
    bucket = Bucket(xa=1, ya=1)

    assert get_s3_keys("b", "y", s3_session=bucket) == ["ya"]


@pytest.mark.parametrize(("since", "expected"), [("a", ["b", "c"]), ("b", ["c"]), ("c", [])])
def test_since_key_gives_what_comes_after_it_in_the_order(since: str, expected: list[str]) -> None:
    assert get_s3_keys("b", since_key=since, s3_session=Bucket(a=1, b=1, c=2)) == expected


def test_since_key_that_is_gone_is_refused_by_name() -> None:
    with pytest.raises(DagsterInvariantViolationError, match="s3://b/gone is gone"):
        get_s3_keys("b", since_key="gone", s3_session=Bucket(a=1))


def test_since_key_that_was_written_again_hides_what_is_older_than_that() -> None:
    """As Dagster's does; `s3_sensor` has no such gap."""
    assert get_s3_keys("b", since_key="a", s3_session=Bucket(a=9, b=2)) == []


def test_since_last_modified_is_later_and_not_equal() -> None:
    bucket = Bucket(a=1, b=2, c=3)

    assert keys(get_objects("b", since_last_modified=at(2), client=bucket)) == ["c"]


def test_since_key_wins_over_since_last_modified() -> None:
    bucket = Bucket(a=1, b=2, c=3)

    assert keys(get_objects("b", since_key="a", since_last_modified=at(3), client=bucket)) == ["b", "c"]
