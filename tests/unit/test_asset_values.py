"""Values of assets, and the forms in which they are stored and published."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.adapters.events import parse_sensor_event
from treadle.definitions.assets import (
    MAX_METADATA,
    AssetKey,
    AssetMaterialization,
    AssetMaterialized,
    MetadataValue,
)
from treadle.definitions.errors import InvalidReportError, UnknownEventError
from treadle.engine.assets.asset_events import asset_event, materialized
from treadle.engine.publish.bus_events import asset_materialized, envelope

HERE = "123456789012/eu-west-1/treadle"
PARTS = st.text(
    st.characters(blacklist_characters="\\", blacklist_categories=["Cs"]), min_size=1, max_size=20
)


def recorded(storage_id: int = 7) -> AssetMaterialized:
    made = AssetMaterialization(["daily", "sales"], "of a day", {"rows": MetadataValue.int(3)}, "2026-11-25")
    time = datetime(2026, 11, 25, 12, 0, 0, 250_000, UTC)
    return AssetMaterialized(made, "e-1", storage_id, time, "run-1", 2, HERE)


@given(st.lists(PARTS, min_size=1, max_size=5).filter(lambda parts: not parts[0].startswith("#")))
def test_a_key_survives_being_written_as_one_text(parts: list[str]) -> None:
    key = AssetKey(parts)

    assert AssetKey.from_user_string(key.to_user_string()) == key
    assert key.path == tuple(parts)


@pytest.mark.parametrize("path", ["", [], ["a", ""], "#ended/load", "a\\", "é" * 513, [1]])
def test_a_key_that_cannot_be_kept_is_refused(path: object) -> None:
    with pytest.raises(InvalidReportError, match="key"):
        AssetKey(path)  # type: ignore[arg-type]


def test_a_key_is_shown_as_dagster_shows_it() -> None:
    assert str(AssetKey(["daily", "sales"])) == "AssetKey(['daily', 'sales'])"
    assert AssetKey("sales") == AssetKey(["sales"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metadata": {"when": datetime.now(UTC)}}, "plain JSON"),
        ({"metadata": {"text": "x" * MAX_METADATA}}, "Store large values elsewhere"),
        ({"metadata": {"text": "\ud800"}}, "plain JSON"),
        ({"partition": ""}, "partition"),
        ({"partition": 3}, "partition"),
        ({"description": 3}, "description"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidReportError, match=message):
        AssetMaterialization("sales", **fields)  # type: ignore[arg-type]


def test_what_is_kept_and_what_is_reported_are_the_same_materialization() -> None:
    assert materialized(asset_event(recorded())) == recorded()
    assert parse_sensor_event(envelope(asset_materialized(recorded(), HERE), HERE)) == recorded()


def test_an_event_of_another_account_than_it_says_is_none() -> None:
    event = envelope(asset_materialized(recorded(), HERE), "999999999999/eu-west-1/treadle")

    with pytest.raises(UnknownEventError, match="comes from 999999999999"):
        parse_sensor_event(event)
