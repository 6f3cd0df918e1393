"""Versions: of a bucket that makes none, and groups, whose files are counted by their keys however they are listed."""

from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.engine import JOB
from tests.support.objects import BUCKET, InMemoryLister, object_of
from treadle import FileCount, ObjectIdentity, RunRequest, s3_sensor
from treadle.adapters import clients
from treadle.adapters.notifications import without_versioning
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom
from treadle.integrations.s3.inspection import SelectedObjects
from treadle.integrations.s3.lister import S3Lister
from treadle.integrations.s3.sweep import FULL_ROUND_MS, Slice, SweepCursor, sweep
from treadle.testing import TreadleInstance

VERSIONS = S3Selection(BUCKET, identity=ObjectIdentity.VERSION, start_from=StartFrom.BEGINNING)


def sensor(**options: Any) -> S3SensorDefinition:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        identity="version",
        start_from="beginning",
        minimum_interval_seconds=60,
        name="watch",
        **options,
    )
    def watch() -> RunRequest:
        return RunRequest()

    return watch


def swept(lister: InMemoryLister, taken: set[str], cursor: str | None) -> Slice:
    context = SensorEvaluationContext("watch", cursor, _claimed_run_keys=lambda keys: taken & set(keys))
    return sweep(context, VERSIONS, lister, lister.clock.now)


@pytest.mark.parametrize("is_announced", [True, False])
def test_object_over_another_gets_a_run_in_a_bucket_without_versioning(is_announced: bool) -> None:
    instance = TreadleInstance([sensor()])
    for body in (b"1", b"2", b"2"):
        if is_announced:
            instance.put_object(BUCKET, "a", body)
        else:
            instance.objects.put(BUCKET, "a", body)
        instance.tick("watch")

    assert len({run.run_key for run in instance.runs()}) == len(instance.runs()) == 2


def test_versioning_that_is_suspended_leaves_the_versions_their_runs() -> None:
    instance = TreadleInstance([sensor()])
    instance.objects.is_versioned = True
    instance.put_object(BUCKET, "a", b"1")
    instance.put_object(BUCKET, "a", b"1")
    instance.objects.is_versioned = False
    for body in (b"1", b"2"):
        instance.objects.put(BUCKET, "a", body)
        instance.tick("watch")

    assert len(instance.runs()) == 4


def test_bucket_that_makes_no_versions_is_reported_in_each_ticks_reason_until_it_does() -> None:
    instance = TreadleInstance([sensor()])
    instance.objects.put(BUCKET, "a")
    instance.tick("watch")
    silent = instance.tick("watch").outcome
    instance.objects.is_versioned = True

    fixed = instance.tick("watch").outcome

    assert silent.reason.startswith(without_versioning(BUCKET))
    assert "versioning" in silent.reason
    assert ("BucketUnversioned", 1, "Count") in silent.measures
    assert "versioning" not in fixed.reason


@pytest.mark.parametrize("versioning", [True, None])
def test_bucket_that_makes_versions_or_may_not_be_queried_is_not_accused(versioning: bool | None) -> None:
    """Its objects may be older than its versioning."""
    lister = InMemoryLister([object_of("a")], versioning=versioning)

    assert not swept(lister, set(), None).cursor.is_unversioned


def test_versioning_is_requested_once_a_day_and_only_where_versions_are_watched() -> None:
    queried = list[str]()

    class S3Engine(InMemoryLister):
        def has_versioning(self, bucket: str) -> bool | None:
            queried.append(bucket)
            return True

    lister, cursor = S3Engine(), None
    for _ in range(5):
        cursor = str(swept(lister, set(), cursor).cursor)
        lister.clock.advance(60)
    sweep(SensorEvaluationContext("watch"), S3Selection(BUCKET), lister, lister.clock.now)
    assert len(queried) == 1

    lister.clock.advance(FULL_ROUND_MS / 1000)
    swept(lister, set(), cursor)

    assert len(queried) == 2


def test_object_that_has_its_run_under_the_key_of_an_earlier_release_gets_no_second_one() -> None:
    lister = InMemoryLister([object_of("a"), object_of("b")])
    old = SweepCursor(tuple(VERSIONS.fingerprint), 0, round_started=5, complete_round=5, full_round=5)
    taken = {f"s3://{BUCKET}/a#null"}
    lister.clock.advance(60)

    first = swept(lister, taken, str(old))
    lister.clock.advance(60)
    lister.objects = [object_of("a", modified=lister.clock.now(), etag="e2")]
    second = swept(lister, taken, str(first.cursor))

    assert [stored.key for stored in first.objects] == ["b"]
    assert [VERSIONS.run_key(stored) for stored in second.objects] == [f"s3://{BUCKET}/a#null-e2"]


# ---- One question, one listing


@pytest.mark.parametrize("identity", ObjectIdentity)
@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_group_holds_as_many_files_as_keys_whatever_their_versions(
    identity: ObjectIdentity, is_announced: bool, page_size: int
) -> None:
    @s3_sensor(
        BUCKET,
        job_name=JOB,
        identity=identity,
        complete_when=FileCount(2),
        minimum_interval_seconds=60,
        name="watch",
    )
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.objects.is_versioned, instance.objects.page_size = True, page_size
    counts = []
    for key in ("a", "d/a", "d/a", "d/a", "e/b", "d/b"):
        if is_announced:
            instance.put_object(BUCKET, key)
        else:
            instance.objects.put(BUCKET, key)
        instance.tick("watch")
        counts.append(len(instance.runs()))

    assert counts == [0, 0, 0, 0, 0, 1]


def test_file_that_was_deleted_counts_for_no_group() -> None:
    instance = TreadleInstance([sensor(complete_when=FileCount(2))])
    instance.objects.is_versioned = True
    instance.put_object(BUCKET, "d/a")
    instance.objects.delete(BUCKET, "d/a")
    instance.objects.put(BUCKET, "d/b")
    instance.tick("watch")

    assert instance.runs() == ()


@pytest.fixture
def on_s3() -> Any:
    """A bucket on moto, without versioning."""
    clients.forget()
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        yield s3
    clients.forget()


def test_s3_says_whether_a_bucket_makes_versions(on_s3: Any) -> None:
    answers = [S3Lister().has_versioning(BUCKET)]
    for status in ("Enabled", "Suspended"):
        on_s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
        answers.append(S3Lister().has_versioning(BUCKET))

    assert answers == [False, True, False]
    assert S3Lister().has_versioning("missing") is None


def test_group_is_listed_by_keys_on_s3_and_what_was_stored_last_is_the_newest_version(on_s3: Any) -> None:
    on_s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    stored = [on_s3.put_object(Bucket=BUCKET, Key="d/a", Body=body) for body in (b"1", b"2", b"3")]
    newest = stored[-1]["VersionId"]
    group = S3Selection(BUCKET, identity=ObjectIdentity.VERSION, complete_when=FileCount(2))

    [page] = S3Lister().pages(group, "")
    found = SelectedObjects(lambda _: VERSIONS, S3Lister()).inspect("watch", BUCKET, "d/a", None, 0)

    assert [each.key for each in page.objects] == ["d/a"]
    assert found is not None
    assert found.run_key == f"s3://{BUCKET}/d/a#{newest}"
