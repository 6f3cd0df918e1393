"""Partition mappings: a partition of one asset maps to the partitions of another as in Dagster."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    AllPartitionMapping,
    DagsterInvalidDefinitionError,
    DailyPartitionsDefinition,
    DimensionPartitionMapping,
    HourlyPartitionsDefinition,
    IdentityPartitionMapping,
    LastPartitionMapping,
    MultiPartitionMapping,
    MultiPartitionsDefinition,
    MultiToSingleDimensionPartitionMapping,
    PartitionMapping,
    PartitionsDefinition,
    SpecificPartitionsPartitionMapping,
    StaticPartitionMapping,
    StaticPartitionsDefinition,
    TimeWindowPartitionMapping,
    TimeWindowPartitionsDefinition,
    WeeklyPartitionsDefinition,
    partition_loading_context,
)
from treadle.definitions.partitions.multi_mappings import inferred_mapping

NOW = datetime(2026, 11, 23, tzinfo=UTC)  # A Monday.
BERLIN = "Europe/Berlin"

HOURS, DAYS = HourlyPartitionsDefinition("2026-11-20-00:00"), DailyPartitionsDefinition("2026-11-01")
WEEKS, LATE_DAYS = WeeklyPartitionsDefinition("2026-11-01"), DailyPartitionsDefinition("2026-11-15")
DAYS_WITHOUT_ONE = DailyPartitionsDefinition("2026-11-01", exclusions=[datetime(2026, 11, 21)])  # noqa: DTZ001 - in UTC
EVERY_OTHER_DAY = TimeWindowPartitionsDefinition("2026-11-01", "%Y-%m-%d", cron_schedule="0 0 */2 * *")
HALF_DAYS = TimeWindowPartitionsDefinition("2026-11-01-00:00", "%Y-%m-%d-%H:%M", cron_schedule="0 */12 * * *")
REGIONS, NUMBERS = StaticPartitionsDefinition(["eu", "us"]), StaticPartitionsDefinition(["1", "2"])
BY_REGION = MultiPartitionsDefinition({"day": DAYS, "region": REGIONS})
BERLIN_HOURS = HourlyPartitionsDefinition("2026-10-24-00:00", timezone=BERLIN)
BERLIN_DAYS = DailyPartitionsDefinition("2026-10-20", timezone=BERLIN)
TABLE = StaticPartitionMapping({"eu": ["2", "1"], "us": "2"})


def mapped(
    key: str,
    upstream: PartitionsDefinition,
    downstream: PartitionsDefinition,
    mapping: PartitionMapping | None = None,
) -> list[str]:
    with partition_loading_context(NOW):
        mapping = mapping or inferred_mapping(upstream, downstream)
        mapping.validate_partition_mapping(upstream, downstream)
        return list(mapping.downstream_keys(key, upstream, downstream))


@pytest.mark.parametrize(
    ("key", "upstream", "downstream", "expected"),
    [
        ("2026-11-21-05:00", HOURS, DAYS, ["2026-11-21"]),
        ("2026-11-10", DAYS, WEEKS, ["2026-11-08"]),
        ("2026-11-22", DAYS, WEEKS, []),  # Its week is not over.
        ("2026-11-15", WEEKS, DAYS, [f"2026-11-{day}" for day in range(15, 22)]),
        ("2026-11-10-12:00", HALF_DAYS, EVERY_OTHER_DAY, ["2026-11-09"]),
        ("2026-11-09", EVERY_OTHER_DAY, HALF_DAYS, [f"2026-11-{d}" for d in ("09-00:00", "09-12:00", "10-00:00", "10-12:00")]),
        ("2026-11-10", DAYS, LATE_DAYS, []),
        ("2026-11-14", DAYS, LATE_DAYS, []),
        ("2026-11-16", DAYS, LATE_DAYS, ["2026-11-16"]),
        ("2026-11-16", LATE_DAYS, DAYS, ["2026-11-16"]),
        ("2026-12-10", DAYS, DAYS, []),
        ("2026-11-21", DAYS, DAYS_WITHOUT_ONE, []),
        ("2026-11-22", DAYS, DAYS_WITHOUT_ONE, ["2026-11-22"]),
        ("2026-10-25-02:00+0100", BERLIN_HOURS, BERLIN_DAYS, ["2026-10-25"]),
        ("2026-11-21", DAYS, BY_REGION, ["2026-11-21|eu", "2026-11-21|us"]),
        ("2026-11-21|eu", BY_REGION, DAYS, ["2026-11-21"]),
        ("2026-11-21|eu", BY_REGION, REGIONS, ["eu"]),
        ("2026-11-20|eu", BY_REGION, WEEKS, ["2026-11-15"]),
        ("2026-11-21|eu", BY_REGION, BY_REGION, ["2026-11-21|eu"]),
        ("eu", REGIONS, REGIONS, ["eu"]),
        ("mars", REGIONS, REGIONS, ["mars"]),
        ("eu", REGIONS, StaticPartitionsDefinition(["us", "x", "eu"]), ["eu"]),
        ("eu", REGIONS, StaticPartitionsDefinition(["us", "x"]), []),
    ],
)  # fmt: skip
def test_assets_that_declare_no_mapping_get_the_one_for_their_partitions(
    key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition, expected: list[str]
) -> None:
    assert mapped(key, upstream, downstream) == expected


def test_day_has_as_many_hours_as_its_clocks_show() -> None:
    keys = mapped("2026-10-25", BERLIN_DAYS, BERLIN_HOURS)

    assert (len(keys), keys[0], keys[-1]) == (25, "2026-10-25-00:00", "2026-10-25-23:00")


def test_key_of_one_dimension_maps_to_all_keys_that_contain_it() -> None:
    late_by_region = MultiPartitionsDefinition({"day": LATE_DAYS, "region": REGIONS})

    assert mapped("eu", REGIONS, late_by_region) == [f"2026-11-{day}|eu" for day in range(15, 23)]


@pytest.mark.parametrize(
    ("start_offset", "end_offset", "key", "upstream", "downstream", "expected"),
    [
        (-1, 0, "2026-11-10", DAYS, DAYS, ["2026-11-10", "2026-11-11"]),
        (-1, -1, "2026-11-10", DAYS, DAYS, ["2026-11-11"]),
        (0, 1, "2026-11-10", DAYS, DAYS, ["2026-11-09", "2026-11-10"]),
        (-2, 0, "2026-11-21", DAYS, DAYS, ["2026-11-21", "2026-11-22"]),
        (-1, 0, "2026-11-22", DAYS, DAYS, ["2026-11-22"]),
        (-1, -1, "2026-11-22", DAYS, DAYS, []),
        (0, 1, "2026-11-01", DAYS, DAYS, ["2026-11-01"]),
        (-1, 0, "2026-11-14", DAYS, LATE_DAYS, ["2026-11-15"]),
        (-1, 0, "2026-11-10", DAYS, WEEKS, ["2026-11-08", "2026-11-15"]),
        (-1, 0, "2026-11-08", WEEKS, WEEKS, ["2026-11-08", "2026-11-15"]),
        (0, 1, "2026-11-08", WEEKS, WEEKS, ["2026-11-01", "2026-11-08"]),
        (-1, 0, "2026-11-21-05:00", HOURS, DAYS, ["2026-11-21", "2026-11-22"]),
        (-1, 0, "2026-11-21-05:00", HOURS, HOURS, ["2026-11-21-05:00", "2026-11-21-06:00"]),
        (-1, 0, "2026-10-25-02:00", BERLIN_HOURS, BERLIN_HOURS, ["2026-10-25-02:00", "2026-10-25-02:00+0100"]),
        (-1, 0, "2026-10-25", BERLIN_DAYS, BERLIN_DAYS, ["2026-10-25", "2026-10-26"]),
    ],
)  # fmt: skip
def test_offsets_move_what_a_downstream_window_uses(
    start_offset: int,
    end_offset: int,
    key: str,
    upstream: PartitionsDefinition,
    downstream: PartitionsDefinition,
    expected: list[str],
) -> None:
    assert mapped(key, upstream, downstream, TimeWindowPartitionMapping(start_offset, end_offset)) == expected


def test_day_whose_midnight_does_not_exist_is_one_day_after_the_last() -> None:
    days = DailyPartitionsDefinition("2018-11-01", timezone="America/Sao_Paulo", end_date="2018-11-10")

    assert mapped("2018-11-03", days, days, TimeWindowPartitionMapping(-1, -1)) == ["2018-11-04"]
    assert mapped("2018-11-04", days, days, TimeWindowPartitionMapping(-1, -1)) == ["2018-11-05"]


@pytest.mark.parametrize(
    ("mapping", "key", "upstream", "downstream", "expected"),
    [
        (AllPartitionMapping(), "eu", REGIONS, NUMBERS, ["1", "2"]),
        (AllPartitionMapping(), "2026-12-24", DAYS, NUMBERS, []),
        (LastPartitionMapping(), "us", REGIONS, NUMBERS, ["1", "2"]),
        (LastPartitionMapping(), "eu", REGIONS, NUMBERS, []),
        (LastPartitionMapping(), "2026-11-22", DAYS, NUMBERS, ["1", "2"]),
        (LastPartitionMapping(), "2026-11-21", DAYS, NUMBERS, []),
        (SpecificPartitionsPartitionMapping(["us"]), "us", REGIONS, NUMBERS, ["1", "2"]),
        (SpecificPartitionsPartitionMapping(["us"]), "eu", REGIONS, NUMBERS, []),
        (TABLE, "eu", REGIONS, NUMBERS, ["1", "2"]),
        (TABLE, "us", REGIONS, NUMBERS, ["2"]),
        (StaticPartitionMapping({"us": "2"}), "eu", REGIONS, NUMBERS, []),
    ],
)
def test_mappings_of_single_keys(
    mapping: PartitionMapping,
    key: str,
    upstream: PartitionsDefinition,
    downstream: PartitionsDefinition,
    expected: list[str],
) -> None:
    assert mapped(key, upstream, downstream, mapping) == expected


def test_dimensions_that_are_not_named_belong_together() -> None:
    weekly = MultiPartitionsDefinition({"week": WEEKS, "number": NUMBERS})
    weeks = DimensionPartitionMapping("week", TimeWindowPartitionMapping())
    both = {"day": weeks, "region": DimensionPartitionMapping("number", TABLE)}

    assert mapped("2026-11-10|us", BY_REGION, weekly, MultiPartitionMapping(both)) == ["2|2026-11-08"]
    assert mapped("2026-11-10|us", BY_REGION, weekly, MultiPartitionMapping({"day": weeks})) == [
        "1|2026-11-08",
        "2|2026-11-08",
    ]


def test_named_dimension_is_the_one_that_is_mapped() -> None:
    routes = MultiPartitionsDefinition({"from": REGIONS, "to": REGIONS})

    assert mapped("eu", REGIONS, routes, MultiToSingleDimensionPartitionMapping("to")) == ["eu|eu", "us|eu"]


def test_key_that_is_no_time_raises() -> None:
    with pytest.raises(ValueError, match="does not match format"):
        mapped("x", DAYS, DAYS)


@pytest.mark.parametrize(
    ("mapping", "upstream", "downstream", "message"),
    [
        (None, REGIONS, DAYS, "must match, or a different partition mapping must be provided"),
        (None, DAYS, BERLIN_DAYS, "Timezones UTC and Europe/Berlin don't match"),
        (TimeWindowPartitionMapping(), REGIONS, DAYS, "Upstream partitions definition must be a TimeWindow"),
        (TimeWindowPartitionMapping(), DAYS, REGIONS, "Downstream partitions definition must be a TimeWindow"),
        (TABLE, DAYS, NUMBERS, "Upstream partitions definition must be a StaticPartitionsDefinition"),
        (TABLE, REGIONS, DAYS, "Downstream partitions definition must be a StaticPartitionsDefinition"),
        (TABLE, NUMBERS, NUMBERS, r"mapping source partitions not in the upstream .*\['eu', 'us'\]"),
        (TABLE, REGIONS, REGIONS, r"mapping target partitions not in the downstream .*\['1', '2'\]"),
        (MultiToSingleDimensionPartitionMapping(), DAYS, DAYS, "Instead received 0 multi-partitioned assets"),
        (MultiToSingleDimensionPartitionMapping(), BY_REGION, NUMBERS, "can only be used when"),
        (MultiToSingleDimensionPartitionMapping("x"), BY_REGION, DAYS, "dimension name x not found"),
        (MultiToSingleDimensionPartitionMapping("region"), BY_REGION, DAYS, "can only be used when"),
        (MultiPartitionMapping({}), DAYS, BY_REGION, "must be multi-partitioned"),
        (
            MultiPartitionMapping({"week": DimensionPartitionMapping("day", AllPartitionMapping())}),
            BY_REGION,
            BY_REGION,
            "has an upstream dimension name that is not in the upstream partitions def.*'week'.*day, region",
        ),
        (
            MultiPartitionMapping({name: DimensionPartitionMapping("day", AllPartitionMapping()) for name in ("day", "region")}),
            BY_REGION,
            BY_REGION,
            "has a downstream dimension name that is not in the downstream partitions def, or is there twice: 'day'",
        ),
        (
            MultiPartitionMapping({"region": DimensionPartitionMapping("day", TimeWindowPartitionMapping())}),
            BY_REGION,
            BY_REGION,
            "Upstream partitions definition must be a TimeWindow",
        ),
    ],
)  # fmt: skip
def test_partitions_that_cannot_be_mapped_are_refused(
    mapping: PartitionMapping | None,
    upstream: PartitionsDefinition,
    downstream: PartitionsDefinition,
    message: str,
) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        mapped("eu", upstream, downstream, mapping)


def test_two_dimensions_with_the_same_partitions_need_a_name() -> None:
    routes = MultiPartitionsDefinition({"from": REGIONS, "to": REGIONS})

    with pytest.raises(DagsterInvalidDefinitionError, match="partition dimension name must be specified"):
        mapped("eu", REGIONS, routes, MultiToSingleDimensionPartitionMapping())


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (TimeWindowPartitionMapping, ["1"], "start_offset of a TimeWindowPartitionMapping must be of type int, not '1'"),
        (TimeWindowPartitionMapping, [0, True], "end_offset .* must be of type int, not True"),
        (TimeWindowPartitionMapping, [0, 0, 1], "allow_nonexistent_upstream_partitions .* must be of type bool"),
        (StaticPartitionMapping, [["eu"]], r"must be a dict of keys and lists of keys, not \['eu'\]"),
        (StaticPartitionMapping, [{"eu": 1}], "must be a dict of keys and lists of keys"),
        (StaticPartitionMapping, [{"eu": ["x", 1]}], r"must be a dict of keys and lists of keys, not .*\['x', 1\]"),
        (SpecificPartitionsPartitionMapping, ["eu"], "must be a list of keys, not 'eu'"),
        (SpecificPartitionsPartitionMapping, [["eu", 1]], r"must be a list of keys, not \['eu', 1\]"),
        (SpecificPartitionsPartitionMapping, [None], "must be a list of keys, not None"),
        (MultiPartitionMapping, [{"day": AllPartitionMapping()}], "must be a dict of dimension names and Dimension"),
        (DimensionPartitionMapping, ["day", "all"], "partition_mapping .* must be a PartitionMapping, not 'all'"),
        (DimensionPartitionMapping, [1, AllPartitionMapping()], "dimension_name .* must be a str, not 1"),
    ],
)  # fmt: skip
def test_wrong_argument_is_refused(kind: Any, arguments: list[Any], message: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        kind(*arguments)


@pytest.mark.parametrize(
    "make",
    [
        TimeWindowPartitionMapping,
        MultiToSingleDimensionPartitionMapping,
        lambda: DimensionPartitionMapping("week", LastPartitionMapping()),
    ],
)
def test_equal_mappings_have_the_same_hash(make: Callable[[], object]) -> None:
    assert {make(), make()} == {make()}


def test_mappings_with_the_same_arguments_are_equal_and_describe_themselves() -> None:
    days = MultiPartitionMapping({"day": DimensionPartitionMapping("week", TimeWindowPartitionMapping())})

    assert TimeWindowPartitionMapping(-1) == TimeWindowPartitionMapping(-1, 0, False)
    assert {IdentityPartitionMapping(), IdentityPartitionMapping()} == {IdentityPartitionMapping()}
    assert days.description == (
        "Upstream dimension 'day' mapped to downstream dimension 'week' using TimeWindowPartitionMapping."
    )
    assert TimeWindowPartitionMapping(-1).description.endswith(
        "offsetted by -1 and 0 partitions respectively."
    )
    assert "depends on all partitions" in AllPartitionMapping().description
    assert "depends on the last partition" in LastPartitionMapping().description
    assert "['us']" in SpecificPartitionsPartitionMapping(["us"]).description
    assert "share the same partitions" in IdentityPartitionMapping().description
    assert "{'eu': ['2', '1'], 'us': '2'}" in TABLE.description
    assert "dimension" in MultiToSingleDimensionPartitionMapping().description
