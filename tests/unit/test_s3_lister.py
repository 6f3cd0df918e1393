"""The lister's pages on S3 as moto plays it, two entries to a page."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from tests.support.objects import BUCKET
from treadle.adapters import clients
from treadle.definitions.objects import ObjectIdentity
from treadle.integrations.s3.lister import Page, S3Lister
from treadle.integrations.s3.selection import S3Selection

KEYS = S3Selection(BUCKET, "in/")
VERSIONS = S3Selection(BUCKET, "in/", identity=ObjectIdentity.VERSION)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket with versioning, listed two entries at a time."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    clients._client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield
    clients._client.cache_clear()


def put(*keys: str) -> None:
    for key in keys:
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")


def listed(selection: S3Selection, after: str = "") -> list[Page]:
    return list(S3Lister().pages(selection, after))


def shown(pages: list[Page]) -> list[tuple[list[str], str]]:
    return [([stored.key for stored in page.objects], page.position) for page in pages]


@pytest.mark.parametrize("selection", [KEYS, VERSIONS])
def test_empty_bucket_is_one_page_that_is_the_last(selection: S3Selection) -> None:
    assert listed(selection) == [Page((), "")]


def test_each_page_names_the_key_after_which_the_next_begins_and_the_last_none() -> None:
    put("in/a", "in/b", "in/c", "in/d", "in/e", "out/a")

    pages = shown(listed(KEYS))

    assert pages == [(["in/a", "in/b"], "in/b"), (["in/c", "in/d"], "in/d"), (["in/e"], "")]
    assert shown(listed(KEYS, "in/b")) == pages[1:]


def test_object_is_as_an_event_names_it() -> None:
    put("in/a b+ü.csv")

    (stored,) = listed(KEYS)[0].objects

    assert (stored.bucket, stored.key, stored.size) == (BUCKET, "in/a b+ü.csv", 1)
    assert stored.etag == "9dd4e461268c8034f5c8564e155c67a6"
    assert stored.version == "null"


def test_every_version_is_listed_and_markers_of_deletion_are_not() -> None:
    put("in/a", "in/a", "in/b")
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="in/b")

    found = [stored for page in listed(VERSIONS) for stored in page.objects]

    assert [stored.key for stored in found] == ["in/a", "in/a", "in/b"]
    assert len({stored.version for stored in found}) == 3


@pytest.mark.parametrize("first", ["in/a", "in/b"])
def test_more_versions_of_one_key_than_a_page_holds_end_no_round(first: str) -> None:
    """A page within them names no complete key, and is not the last one for that."""
    put(*["in/a"] * (5 if first == "in/a" else 1), *["in/b"] * 5, "in/c")

    pages = listed(VERSIONS)

    assert all(page.position for page in pages[:-1])
    assert pages[-1].position == ""
    assert pages[-1].objects[-1].key == "in/c"


@pytest.mark.parametrize("counts", [(1, 1, 1), (3, 1, 1), (1, 4, 1), (2, 2, 2), (5, 1, 3)])
def test_listing_that_goes_on_from_any_page_sees_all_other_versions(counts: tuple[int, ...]) -> None:
    put(*[f"in/{key}" for key, count in zip("abc", counts, strict=True) for _ in range(count)])
    everything = {stored for page in listed(VERSIONS) for stored in page.objects}
    seen: set[object] = set()

    for page in listed(VERSIONS):
        seen |= set(page.objects)
        rest = {stored for later in listed(VERSIONS, page.position) for stored in later.objects}

        assert not page.position or seen | rest == everything
    assert len(everything) == sum(counts)
