"""Values of assets, and the forms in which they are stored and published."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.adapters.events import parse_sensor_event
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import MAX_METADATA, AssetMaterialization, AssetMaterialized
from treadle.definitions.errors import DagsterInvalidMetadata, InvalidReportError, UnknownEventError
from treadle.definitions.metadata import (
    BoolMetadataValue,
    DagsterAssetMetadataValue,
    FloatMetadataValue,
    IntMetadataValue,
    JsonMetadataValue,
    MetadataValue,
    NullMetadataValue,
    PathMetadataValue,
    TextMetadataValue,
)
from treadle.definitions.partitions.multi import MultiPartitionKey
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.assets.asset_events import asset_event, materialized
from treadle.engine.publish.bus_events import asset_recorded, envelope
from treadle.model.messages import BusEvent

HERE = "123456789012/eu-west-1/treadle"
PARTS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)


def recorded(storage_id: int = 7) -> AssetMaterialized:
    made = AssetMaterialization(["daily", "sales"], "of a day", {"rows": MetadataValue.int(3)}, "2026-11-25")
    time = datetime(2026, 11, 25, 12, 0, 0, 250_000, UTC)
    return AssetMaterialized(made, "e-1", storage_id, time, "run-1", 2, HERE)


@given(st.lists(PARTS, min_size=1, max_size=5).filter(lambda parts: not parts[0].startswith("#")))
def test_a_key_survives_being_written_as_one_text(parts: list[str]) -> None:
    key = AssetKey(parts)

    assert AssetKey.from_escaped_user_string(key.to_escaped_user_string()) == key
    assert (key.path, key.parts) == (parts, tuple(parts))


@pytest.mark.parametrize("path", ["", [], ["a", ""], "#ended/load", "é" * 513, [1]])
def test_a_key_that_cannot_be_kept_is_refused(path: object) -> None:
    with pytest.raises(InvalidReportError, match="key"):
        AssetKey(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a\\", "a\\b", "a\\\\\\"])
def test_backslash_that_escapes_nothing_is_no_key(text: str) -> None:
    with pytest.raises(InvalidReportError, match="Write a backslash twice"):
        AssetKey.from_escaped_user_string(text)


def test_key_has_the_helpers_of_dagster() -> None:
    key = AssetKey(["a", "b-c.d/e"])

    assert key.to_user_string() == "a/b-c.d/e"
    assert AssetKey.from_user_string("a/b") == AssetKey(["a", "b"])
    assert key.to_string() == '["a", "b-c.d/e"]'
    assert AssetKey(["a", "b-c.d"]).to_python_identifier("x") == "a__b_c_d__x"
    assert (key.has_prefix(["a"]), key.has_prefix(["b"]), key.has_prefix(["a", "b", "c"])) == (
        True,
        False,
        False,
    )
    assert AssetKey("c").with_prefix("b").with_prefix(["x", "a"]) == AssetKey(["x", "a", "b", "c"])
    assert (
        AssetKey.from_coercible("a")
        == AssetKey.from_coercible(["a"])
        == AssetKey.from_coercible(AssetKey("a"))
    )


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


TYPED: list[tuple[MetadataValue, str, object]] = [
    (MetadataValue.text("a"), "text", "a"),
    (MetadataValue.url("https://a"), "url", "https://a"),
    (MetadataValue.path(Path("/a/b")), "path", "/a/b"),
    (MetadataValue.notebook("a.ipynb"), "path", "a.ipynb"),
    (MetadataValue.md("# a"), "md_str", "# a"),
    (MetadataValue.json({"a": [1]}), "data", {"a": [1]}),
    (MetadataValue.int(3), "value", 3),
    (MetadataValue.int(None), "value", None),
    (MetadataValue.float(3.0), "value", 3.0),
    (MetadataValue.bool(False), "value", False),
    (MetadataValue.timestamp(datetime(2026, 11, 29, tzinfo=UTC)), "value", 1795910400.0),
    (MetadataValue.dagster_run("r-1"), "run_id", "r-1"),
    (MetadataValue.asset(AssetKey(["a", "b/c"])), "asset_key", AssetKey(["a", "b/c"])),
    (MetadataValue.null(), "value", None),
]


@pytest.mark.parametrize(("value", "accessor", "expected"), TYPED)
def test_metadata_value_has_dagsters_accessor_also_after_storage(
    value: MetadataValue, accessor: str, expected: object
) -> None:
    made = AssetMaterialization("a", metadata={"it": value})
    event = replace(recorded(), reported=made)

    for again in (
        made,
        materialized(asset_event(event)).materialization,
        parsed(asset_recorded(event, HERE)).materialization,
    ):
        assert again.metadata["it"] == value
        assert getattr(again.metadata["it"], accessor) == again.metadata["it"].value == expected


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("a", TextMetadataValue),
        (1, IntMetadataValue),
        (1.0, FloatMetadataValue),
        (True, BoolMetadataValue),
        ([1], JsonMetadataValue),
        ({"a": 1}, JsonMetadataValue),
        (Path("a"), PathMetadataValue),
        (AssetKey("a"), DagsterAssetMetadataValue),
        (None, NullMetadataValue),
    ],
)
def test_plain_metadata_has_the_type_that_dagster_gives_it(given: object, kind: type) -> None:
    assert type(AssetMaterialization("a", metadata={"it": given}).metadata["it"]) is kind


class Unreadable:
    """An object whose repr fails."""

    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MetadataValue.text(3), 'Param "text" is not a str. Got 3'),  # type: ignore[arg-type]
        (lambda: MetadataValue.float(3), 'Param "value" is not a float'),
        (lambda: MetadataValue.bool(1), 'Param "value" is not a bool'),  # type: ignore[arg-type]
        (lambda: MetadataValue.int(Unreadable()), 'Param "value" is not a int'),  # type: ignore[arg-type]
        (lambda: MetadataValue.timestamp(datetime(2026, 1, 1)), "must have timezones"),  # noqa: DTZ001
        (lambda: MetadataValue.asset("a"), "is not a AssetKey"),  # type: ignore[arg-type]
        (lambda: AssetMaterialization("a", metadata={"x": (1,)}), 'metadata value for "x" to a known type'),
    ],
)
def test_metadata_of_another_type_is_refused_in_dagsters_words(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(DagsterInvalidMetadata, match=message):
        make()


def test_tags_of_a_materialization_are_stored_and_published() -> None:
    made = AssetMaterialization("a", tags={"v": "1", "dagster/data_version": "any text at all"})
    event = replace(recorded(), reported=made)

    assert AssetMaterialization("a").tags is None
    assert materialized(asset_event(event)).materialization.tags == made.tags
    assert parsed(asset_recorded(event, HERE)).materialization.tags == made.tags


@pytest.mark.parametrize("tags", [{"a": 1}, {"a b": "1"}, {"a": "x" * 64}, {1: "a"}, {"a": "b c"}])
def test_tag_that_dagster_refuses_is_refused(tags: dict[str, str]) -> None:
    with pytest.raises(InvalidReportError, match="tags of asset a"):
        AssetMaterialization("a", tags=tags)


def test_tags_of_dimensions_make_a_key_of_several_dimensions() -> None:
    made = AssetMaterialization("a", tags={"dagster/partition/x": "1", "dagster/partition/y": "2"})

    assert isinstance(made.partition, MultiPartitionKey)
    assert made.partition.keys_by_dimension == {"x": "1", "y": "2"}


def test_materialization_of_a_file_has_its_path() -> None:
    made = AssetMaterialization.file("/a/b", asset_key=["x", "y"])

    assert (made.label, made.metadata["path"]) == ("x y", PathMetadataValue("/a/b"))
    assert made.with_metadata({"n": 1}).metadata == {"n": IntMetadataValue(1)}


def test_metadata_of_a_definition_has_types() -> None:
    watch = SensorDefinition("watch", evaluation_fn=lambda: None, metadata={"a": 1})

    assert watch.metadata == {"a": IntMetadataValue(1)}
    assert watch.with_attributes(metadata={"b": [2]}).metadata == {"b": JsonMetadataValue([2])}


def parsed(event: BusEvent) -> AssetMaterialized:
    read = parse_sensor_event(json.loads(json.dumps(envelope(event, HERE))))
    assert isinstance(read, AssetMaterialized)
    return read


def test_what_is_kept_and_what_is_reported_are_the_same_materialization() -> None:
    assert materialized(asset_event(recorded())) == recorded()
    assert parse_sensor_event(envelope(asset_recorded(recorded(), HERE), HERE)) == recorded()


def test_an_event_of_another_account_than_it_says_is_none() -> None:
    event = envelope(asset_recorded(recorded(), HERE), "999999999999/eu-west-1/treadle")

    with pytest.raises(UnknownEventError, match="comes from 999999999999"):
        parse_sensor_event(event)
