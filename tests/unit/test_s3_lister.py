"""The lister's pages on S3 as moto plays it, two entries to a page."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.support.objects import BUCKET
from treadle.adapters import clients
from treadle.definitions.errors import BucketError
from treadle.definitions.objects import ObjectIdentity
from treadle.integrations.s3.groups import FileCount
from treadle.integrations.s3.lister import Page, S3Lister
from treadle.integrations.s3.listings import pages
from treadle.integrations.s3.patterns import KeyPattern
from treadle.integrations.s3.selection import S3Selection
from treadle.integrations.s3.settling import check_group

KEYS = S3Selection(BUCKET, "in/")
VERSIONS = S3Selection(BUCKET, "in/", identity=ObjectIdentity.VERSION)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket with versioning, listed two entries at a time."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    clients.forget()
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield
    clients.forget()


def put(*keys: str) -> None:
    for key in keys:
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")


def listed(selection: S3Selection, after: str = "") -> list[Page]:
    return list(S3Lister().pages(selection, after))


def shown(pages: list[Page]) -> list[tuple[list[str], str]]:
    return [([stored.key for stored in page.objects], page.position) for page in pages]


def test_member_of_a_directory_lies_directly_in_it_and_under_the_prefix() -> None:
    put("in/d/a", "in/d/b", "in/d/c", "in/d/e/f", "in/da", "in/d/")

    def members(prefix: str) -> list[str]:
        return [stored.key for stored in S3Lister().members(S3Selection(BUCKET, prefix), "in/d/")]

    assert members("in/") == ["in/d/", "in/d/a", "in/d/b", "in/d/c"]
    assert members("in/d/b") == ["in/d/b"]


def test_object_is_found_by_its_whole_key_only() -> None:
    put("in/ab", "in/a/b", "in/b")

    assert S3Lister().find(BUCKET, "in/a") is None
    assert S3Lister().find(BUCKET, "in/c") is None
    found = S3Lister().find(BUCKET, "in/ab")
    assert (found and found.key, found and found.etag) == ("in/ab", "9dd4e461268c8034f5c8564e155c67a6")


def test_several_buckets_and_prefixes_are_one_listing_that_continues_at_any_of_its_places() -> None:
    boto3.client("s3").create_bucket(Bucket="another")
    for bucket in (BUCKET, "another", "another"):
        for key in ("in/a", "in/b", "in/c", "on/a", "out/a", "out/b"):
            boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    selection = S3Selection((BUCKET, "another"), ("out/", "in/"))

    found = [part.page for part in pages(selection, S3Lister(), "")]

    keys = ["in/a", "in/b", "in/c", "out/a", "out/b"]
    everything = [(bucket, key) for bucket in (BUCKET, "another") for key in keys]
    assert [(stored.bucket, stored.key) for page in found for stored in page.objects] == everything
    for number, page in enumerate(found[:-1], start=1):
        rest = [part.page.objects for part in pages(selection, S3Lister(), page.position)]
        assert rest == [each.objects for each in found[number:]]


def test_bucket_that_is_missing_is_passed_over_if_there_are_others() -> None:
    put("in/a")

    missing, listed_too = pages(S3Selection(("missing", BUCKET)), S3Lister(), "")

    assert missing.failure.startswith("Bucket missing cannot be listed: ")
    assert (missing.bucket, missing.page.objects) == ("missing", ())
    assert [stored.key for stored in listed_too.page.objects] == ["in/a"]
    with pytest.raises(BucketError, match="Bucket missing cannot be listed"):
        list(pages(S3Selection("missing"), S3Lister(), ""))


def test_listing_for_a_pattern_is_limited_to_how_it_begins() -> None:
    put("in/2025/a", "in/2026/a", "in/2026/b", "in/x")
    selection = S3Selection(BUCKET, "in/", pattern=KeyPattern("in/2026/{name}"))

    found = [stored.key for page in listed(selection) for stored in page.objects]

    assert found == ["in/2026/a", "in/2026/b"]


def test_group_by_names_is_listed_by_what_its_keys_begin_with() -> None:
    put("in/20261121/a", "in/20261122/eu/a", "in/20261122/us/a", "in/20261122/us/b", "in/20261123/a")
    counts = FileCount(4, by="day")
    selection = S3Selection(BUCKET, pattern=KeyPattern("in/{day:%Y%m%d}/{region}/{n}"), complete_when=counts)

    group = check_group(BUCKET, "in/20261122/", selection, S3Lister())

    assert (group.count, group.lacks(counts)) == (3, "holds 3 of 4 files")


LONG_KEY = "in/" + "ü" * 510 + "x"
AWKWARD = ["in/a b", "in/a+b", "in/a%20b", "in/ü/日本", "in/a&b=c?d#e", "in/a//b", "in/'\"<>", LONG_KEY]


@pytest.mark.parametrize("key", AWKWARD)
def test_awkward_key_is_itself_in_pages_in_its_directory_and_by_itself(key: str) -> None:
    put(key)
    directory = key[: key.rindex("/") + 1]

    by_page = [stored for page in listed(KEYS) for stored in page.objects]
    by_version = [stored.key for page in listed(VERSIONS) for stored in page.objects]
    by_directory = list(S3Lister().members(KEYS, directory))

    assert [stored.key for stored in by_page] == by_version == [key]
    assert by_directory == by_page == [S3Lister().find(BUCKET, key)]


def test_listing_continues_after_an_awkward_key() -> None:
    put(*AWKWARD)

    for page in listed(KEYS):
        if page.position:
            rest = [stored.key for later in listed(KEYS, page.position) for stored in later.objects]
            assert rest == [key for key in sorted(AWKWARD) if key > page.position]


REFUSALS = {
    "AccessDenied": "Grant this function's role s3:ListBucket on arn:aws:s3:::watched for the sensor's prefix; "
    "for a bucket of another account, its bucket policy must grant that, too.",
    "KMS.DisabledException": "Grant this function's role kms:Decrypt on the key that S3 names",
    "PermanentRedirect": "It lies in another Region",
    "NoSuchBucket": "There is no bucket of that name",
}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("way", ["pages", "members", "find"])
def test_refusal_of_s3_is_reported_with_what_to_grant(code: str, way: str) -> None:
    def refuse(**_: object) -> tuple[AWSResponse, dict[str, Any]]:
        answer = AWSResponse("https://s3", 403, HTTPHeaders(), None)
        return answer, {"Error": {"Code": code, "Message": "S3's own message"}}

    events: Any = clients.client("s3").meta.events
    events.register("before-call.s3.ListObjectsV2", refuse)
    lister = S3Lister()
    ways: dict[str, Callable[[], object]] = {
        "pages": lambda: listed(KEYS),
        "members": lambda: list(lister.members(KEYS, "in/")),
        "find": lambda: lister.find(BUCKET, "in/a"),
    }

    with pytest.raises(BucketError) as refused:
        ways[way]()

    assert f"Bucket {BUCKET} cannot be listed:" in str(refused.value)
    assert "S3's own message" in str(refused.value)
    assert REFUSALS[code] in str(refused.value)


def test_versions_need_a_permission_of_their_own() -> None:
    def refuse(**_: object) -> tuple[AWSResponse, dict[str, Any]]:
        answer = AWSResponse("https://s3", 403, HTTPHeaders(), None)
        return answer, {"Error": {"Code": "AccessDenied", "Message": "no"}}

    events: Any = clients.client("s3").meta.events
    events.register("before-call.s3.ListObjectVersions", refuse)

    with pytest.raises(BucketError, match="s3:ListBucketVersions on arn"):
        listed(VERSIONS)


def test_passing_failure_of_s3_stays_what_it_is() -> None:
    def refuse(**_: object) -> tuple[AWSResponse, dict[str, Any]]:
        return AWSResponse("https://s3", 503, HTTPHeaders(), None), {"Error": {"Code": "SlowDown"}}

    events: Any = clients.client("s3").meta.events
    events.register("before-call.s3.ListObjectsV2", refuse)

    with pytest.raises(ClientError, match="SlowDown"):
        listed(KEYS)


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
def test_listing_that_continues_from_any_page_sees_all_other_versions(counts: tuple[int, ...]) -> None:
    put(*[f"in/{key}" for key, count in zip("abc", counts, strict=True) for _ in range(count)])
    everything = {stored for page in listed(VERSIONS) for stored in page.objects}
    seen: set[object] = set()

    for page in listed(VERSIONS):
        seen |= set(page.objects)
        rest = {stored for later in listed(VERSIONS, page.position) for stored in later.objects}

        assert not page.position or seen | rest == everything
    assert len(everything) == sum(counts)


def test_position_moves_on_over_keys_of_which_only_markers_of_deletion_are_left() -> None:
    keys = [f"in/{n}" for n in range(6)]
    put("in/", *keys)
    s3 = boto3.client("s3")
    for key in keys:
        version = s3.head_object(Bucket=BUCKET, Key=key)["VersionId"]
        s3.delete_object(Bucket=BUCKET, Key=key)
        s3.delete_object(Bucket=BUCKET, Key=key, VersionId=version)
    put("in/z")

    pages = listed(VERSIONS)

    positions = [page.position for page in pages[:-1]]
    assert len(set(positions)) == len(positions) > 2
    for position in positions:
        assert [stored.key for page in listed(VERSIONS, position) for stored in page.objects][-1:] == ["in/z"]
