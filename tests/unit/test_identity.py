"""Identities: equal for the same thing, distinct for different ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.definitions.canonical import canonical_json
from treadle.engine.identity import (
    RunIds,
    event_tick_id,
    leased_tick_id,
    parse_launch_id,
    tick_time,
    timestamp,
    timestamp_of,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
sensors = st.from_regex(r"[A-Za-z0-9_]{1,5}", fullmatch=True)
claims = st.tuples(texts, sensors, texts)
moments = st.integers(0, 4_102_444_800_000)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)
IDS = RunIds.of("123456789012/us-east-1/treadle")


@given(moments, st.integers(0, 999_999_999), texts)
def test_tick_id_begins_with_its_time(moment: int, epoch: int, name: str) -> None:
    assert tick_time(leased_tick_id(moment, epoch)) == tick_time(event_tick_id(moment, [name])) == moment


@pytest.mark.parametrize("name", ["", "tick", "2026-11-22T18:00:05", "operator/ann"])
def test_what_is_no_tick_id_has_no_time(name: str) -> None:
    assert tick_time(name) is None


@given(claims, claims)
def test_run_ids_are_equal_exactly_for_the_same_namespace_sensor_and_key(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    ids = [RunIds.of(namespace).keyed(sensor, key) for namespace, sensor, key in (one, other)]

    assert (ids[0] == ids[1]) == (one == other)


@given(claims)
def test_run_id_differs_where_only_one_part_of_its_name_does(claim: tuple[str, str, str]) -> None:
    namespace, sensor, key = claim

    ids = {
        RunIds.of(namespace).keyed(sensor, key),
        RunIds.of(namespace + "x").keyed(sensor, key),
        RunIds.of(namespace).keyed(sensor + "x", key),
        RunIds.of(namespace).keyed(sensor, key + "x"),
    }

    assert len(ids) == 4


@given(sensors, texts, st.lists(st.integers(0, 10_000), unique=True, min_size=2, max_size=5))
def test_keyless_requests_of_a_tick_have_run_ids_of_their_own(
    sensor: str, tick_id: str, places: list[int]
) -> None:
    ids = {IDS.keyless(sensor, tick_id, place) for place in places}

    assert len(ids | {IDS.keyed(sensor, tick_id)}) == len(places) + 1


def test_run_id_stays_what_it_was_in_earlier_releases() -> None:
    """A changed derivation would start a run again for every key ever claimed."""
    assert IDS.keyed("watch", "s3://b/k#e") == "ce5c30b3-4f67-5ca8-8df8-4b17a59b1adf"
    assert (
        IDS.keyless("watch", "2026-11-22T18:00:00.000Z-000000001", 0)
        == "4f801c31-fec0-59dd-af80-741e522fc892"
    )


@given(texts, st.integers(1, 999_999_999))
def test_launch_id_names_run_and_attempt(key: str, attempt: int) -> None:
    run_id = IDS.keyed("watch", key)

    assert parse_launch_id(f"{run_id}-{attempt}") == (run_id, attempt)


@pytest.mark.parametrize(
    "change",
    [
        lambda run_id: run_id,
        lambda run_id: f"{run_id}-0",
        lambda run_id: f"{run_id}-01",
        lambda run_id: f"{run_id}-1234567890",
        lambda run_id: f"{run_id}-1\n",
        lambda run_id: f"x{run_id}-1",
        lambda run_id: f"{run_id.upper()}-1",
        lambda run_id: f"{run_id}--1",
        lambda _: "nightly-2026-11-22",
        lambda _: "",
    ],
)
def test_name_that_treadle_never_gave_is_no_launch_id(change: Any) -> None:
    assert parse_launch_id(change("abcdef01-2345-5678-9abc-def012345678")) is None


@given(st.dictionaries(texts, values), st.randoms(use_true_random=False))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)

    assert canonical_json(dict(items)) == canonical_json(value)


@given(values)
def test_canonical_json_says_what_the_value_says_and_stays(value: Any) -> None:
    text = canonical_json(value)

    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_has_no_blanks_and_keeps_characters() -> None:
    assert canonical_json({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


@given(moments, moments)
def test_timestamps_sort_by_time(one: int, other: int) -> None:
    assert (timestamp(one) < timestamp(other)) == (one < other)


def test_event_tick_id_stays_what_it_was_in_earlier_releases() -> None:
    """A changed derivation would evaluate a redelivered event again."""
    assert (
        event_tick_id(1_795_370_400_007, ["s3", "b", "k"])
        == "2026-11-22T18:00:00.007Z-f001b4f94394ef8982fd6747"
    )


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-22T18:00:00.007Z", 1_795_370_400_007),
        ("2026-11-22T18:00:00.007", 1_795_370_400_007),
        ("2026-11-22T19:00:00.007+01:00", 1_795_370_400_007),
    ],
)
def test_time_without_a_time_zone_is_utc(text: str, millis: int) -> None:
    assert round(timestamp_of(text).timestamp() * 1000) == millis


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "yesterday", ""])
def test_what_is_no_time_that_can_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a time|Invalid isoformat"):
        timestamp_of(text)


def test_timestamp_is_iso_8601_with_milliseconds() -> None:
    assert timestamp(1_795_370_400_007) == "2026-11-22T18:00:00.007Z"


@given(st.tuples(moments, st.integers(0, 999_999_999)), st.tuples(moments, st.integers(0, 999_999_999)))
def test_scheduled_tick_ids_sort_by_scheduled_time_then_epoch(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (leased_tick_id(*one) < leased_tick_id(*other)) == (one < other)


@given(moments, st.lists(texts, max_size=3), st.lists(texts, max_size=3))
def test_event_tick_ids_are_equal_exactly_for_the_same_identity(
    time: int, one: list[str], other: list[str]
) -> None:
    ids = event_tick_id(time, one), event_tick_id(time, other)

    assert (ids[0] == ids[1]) == (one == other)
    assert ids[0].startswith(f"{timestamp(time)}-")
