"""Which objects a sensor watches, and what makes two sightings the same object."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.objects import BUCKET, object_of
from treadle.definitions.errors import DagsterInvalidDefinitionError, SettingsError
from treadle.definitions.objects import ObjectIdentity
from treadle.integrations.s3 import FileCount, Marker, s3_sensor
from treadle.integrations.s3.selection import S3Selection, StartFrom

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(keys, keys, keys)
def test_key_between_prefix_and_suffix_is_watched(prefix: str, middle: str, suffix: str) -> None:
    selection = S3Selection(BUCKET, prefix, suffix)

    assert selection.selects(object_of(prefix + middle + suffix))


@pytest.mark.parametrize(
    ("key", "bucket"),
    [
        ("in/a.txt", BUCKET),
        ("out/a.csv", BUCKET),
        ("in/a.csv", "other"),
        ("xin/a.csv", BUCKET),
        ("a.csv", BUCKET),
    ],
)
def test_object_outside_bucket_prefix_or_suffix_is_not_watched(key: str, bucket: str) -> None:
    assert not S3Selection(BUCKET, "in/", ".csv").selects(object_of(key, bucket=bucket))


def test_prefix_and_suffix_do_not_overlap() -> None:
    """As the wildcard in the event's rule sees it."""
    assert not S3Selection(BUCKET, "a.b", "b.c").selects(object_of("a.b.c"))
    assert S3Selection(BUCKET, "a.b", "b.c").selects(object_of("a.bb.c"))


def test_without_prefix_and_suffix_the_whole_bucket_is_watched() -> None:
    assert S3Selection(BUCKET).selects(object_of("anything"))


@pytest.mark.parametrize(
    ("identity", "run_key"),
    [
        (ObjectIdentity.KEY, f"s3://{BUCKET}/in/a b#ü.csv"),
        (ObjectIdentity.ETAG, f"s3://{BUCKET}/in/a b#ü.csv#e1"),
        (ObjectIdentity.VERSION, f"s3://{BUCKET}/in/a b#ü.csv#v1"),
    ],
)
def test_run_key_is_made_of_what_the_identity_names(identity: ObjectIdentity, run_key: str) -> None:
    assert object_of("in/a b#ü.csv", version="v1").run_key(identity) == run_key


@pytest.mark.parametrize("identity", ObjectIdentity)
def test_run_key_distinguishes_exactly_what_the_identity_does(identity: ObjectIdentity) -> None:
    stored = object_of("k", version="v1")
    again = {
        ObjectIdentity.KEY: object_of("l", version="v1"),
        ObjectIdentity.ETAG: object_of("k", etag="e2", version="v1"),
        ObjectIdentity.VERSION: object_of("k", version="v2"),
    }

    same = {other for other in ObjectIdentity if again[other].run_key(identity) == stored.run_key(identity)}

    assert same == set(ObjectIdentity) - {identity, ObjectIdentity.KEY}


def test_deployment_wins_over_code() -> None:
    settings = {
        "TREADLE_S3_BUCKET": "b",
        "TREADLE_S3_PREFIX": "",
        "TREADLE_S3_SUFFIX": ".gz",
        "TREADLE_S3_IDENTITY": "version",
        "TREADLE_S3_START_FROM": "beginning",
    }

    chosen = S3Selection(BUCKET, "in/", ".csv").configured(settings)

    assert chosen == S3Selection("b", "", ".gz", ObjectIdentity.VERSION, StartFrom.BEGINNING)


def test_what_the_deployment_leaves_out_stays() -> None:
    selection = S3Selection(BUCKET, "in/", ".csv", ObjectIdentity.KEY, StartFrom.BEGINNING)

    assert selection.configured({}) == selection


def test_all_problems_of_a_selection_are_reported_at_once() -> None:
    settings = {"TREADLE_S3_IDENTITY": "name", "TREADLE_S3_START_FROM": "yesterday"}

    with pytest.raises(SettingsError) as refused:
        S3Selection().configured(settings)

    assert "no bucket is given: set TREADLE_S3_BUCKET" in str(refused.value)
    assert "TREADLE_S3_IDENTITY is 'name': use key, etag or version" in str(refused.value)
    assert "TREADLE_S3_START_FROM is 'yesterday': use now or beginning" in str(refused.value)


def test_fingerprint_is_all_that_makes_a_cursor_useless_when_changed() -> None:
    selection = S3Selection(BUCKET, "in/", ".csv", ObjectIdentity.KEY)

    assert selection.fingerprint == [BUCKET, "in/", ".csv", "key"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"bucket": "s3://landing"}, "'s3://landing' is no bucket's name"),
        ({"bucket": "landing/in"}, "'landing/in' is no bucket's name"),
        ({"bucket": "arn:aws:s3:::landing"}, "is no bucket's name"),
        ({"prefix": "in/*"}, "prefix 'in/\\*' has an asterisk, which is no wildcard here"),
        ({"suffix": "*.csv"}, "suffix '\\*.csv' has an asterisk, which is no wildcard here"),
        ({"prefix": "s3://landing/in/"}, "begins with a bucket"),
    ],
)
def test_names_that_mean_no_object_are_refused_in_code_and_in_the_deployment(
    names: dict[str, str], message: str
) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        s3_sensor(job_name="load", **names)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=message):
        S3Selection("b").configured({f"TREADLE_S3_{name.upper()}": value for name, value in names.items()})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bucket": None}, "bucket must be a string or a list of strings, not None"),
        ({"prefix": 5}, "prefix must be a string or a list of strings, not 5"),
        ({"suffix": None}, "suffix must be a string or a list of strings, not None"),
        ({"identity": "etags"}, "identity is 'etags': use key, etag or version"),
        ({"identity": 5}, "identity is 5: use key, etag or version"),
        ({"settle_seconds": "300"}, "settle_seconds must be a whole number of seconds, not '300'"),
        ({"settle_seconds": 1.5}, "settle_seconds must be a whole number of seconds, not 1.5"),
        ({"settle_seconds": True}, "settle_seconds must be a whole number of seconds, not True"),
        ({"settle_seconds": 60, "identity": "version"}, "a version never changes"),
        (
            {"complete_when": "_SUCCESS"},
            "complete_when must be a Marker, a FileCount, a FileNames or None, not '_SUCCESS'",
        ),
        ({"complete_when": Marker("_SUCCESS"), "suffix": ".csv"}, "leave the suffix empty, not '.csv'"),
        ({"minimum_interval_seconds": "300"}, "minimum_interval_seconds must be a whole number, not '300'"),
        ({"minimum_interval_seconds": 1.5}, "minimum_interval_seconds must be a whole number, not 1.5"),
    ],
)
def test_settings_of_another_kind_or_that_contradict_are_refused_where_they_are_given(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        s3_sensor(job_name="load", **wrong)(lambda: None)

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "value"), [(FileCount, "3"), (FileCount, 2.5), (FileCount, True), (Marker, 5)]
)
def test_groups_are_of_whole_numbers_and_names(kind: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"^A (group|marker) is .*\."):
        kind(value)
