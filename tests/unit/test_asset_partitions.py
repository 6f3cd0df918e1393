"""Partitions of assets: a multi-asset sensor reads and maps them as Dagster does."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    AllPartitionMapping,
    AssetDep,
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    AssetSpec,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    HourlyPartitionsDefinition,
    JobDefinition,
    MultiAssetSensorEvaluationContext,
    MultiPartitionsDefinition,
    PartitionsDefinition,
    RunRequest,
    StaticPartitionsDefinition,
    TimeWindowPartitionMapping,
    WeeklyPartitionsDefinition,
    build_multi_asset_sensor_context,
    multi_asset_sensor,
)
from treadle.testing import TreadleInstance

Context = MultiAssetSensorEvaluationContext

JULY = AssetSpec("july_asset", partitions_def=DailyPartitionsDefinition("2022-07-01"))
JULY_2 = AssetSpec("july_asset_2", partitions_def=DailyPartitionsDefinition("2022-07-01"))
AUGUST = AssetSpec("august_asset", partitions_def=DailyPartitionsDefinition("2022-08-01"))
PLAIN = AssetSpec("plain_asset")


def make(instance: TreadleInstance, asset: AssetSpec | AssetKey, *partitions: str | None) -> None:
    key = asset.key if isinstance(asset, AssetSpec) else asset
    for partition in partitions:
        instance.report_runless_asset_event(AssetMaterialization(key, partition=partition))


def seen(instance: TreadleInstance, *assets: Any, cursor: str | None = None, **more: Any) -> Context:
    return build_multi_asset_sensor_context(monitored_assets=assets, instance=instance, cursor=cursor, **more)


@pytest.fixture
def instance() -> TreadleInstance:
    """No sensors, and nothing recorded yet."""
    return TreadleInstance([])


class TestHourlyToWeekly:
    """The sensor of Dagster's own tests: an hour of one asset makes the week of another."""

    hours = HourlyPartitionsDefinition("2022-08-01-00:00")
    weeks = WeeklyPartitionsDefinition("2020-01-01")
    hourly_asset = AssetSpec("hourly_asset", partitions_def=hours)
    weekly_asset = AssetSpec("weekly_asset", partitions_def=weeks)
    weekly_asset_job = JobDefinition("weekly_asset_job", assets=[weekly_asset])

    def sensor(self, *assets: Any) -> Any:
        hourly, weekly, job = self.hourly_asset, self.weekly_asset, self.weekly_asset_job

        @multi_asset_sensor(monitored_assets=assets, job=job)
        def hourly_to_weekly(context: Context) -> Iterator[RunRequest]:
            new = context.latest_materialization_records_by_partition(hourly.key)
            for partition, materialization in new.items():
                mapped_partitions = context.get_downstream_partition_keys(
                    partition, to_asset_key=weekly.key, from_asset_key=hourly.key
                )
                for mapped_partition in mapped_partitions:
                    yield job.run_request_for_partition(partition_key=mapped_partition, run_key=None)
                context.advance_cursor({hourly.key: materialization})

        return hourly_to_weekly

    def test_starts_a_run_of_the_week_at_a_tick(self) -> None:
        instance = TreadleInstance([self.sensor(self.hourly_asset)], start=datetime(2022, 9, 1, tzinfo=UTC))
        make(instance, self.hourly_asset, "2022-08-01-00:00")

        [run] = instance.runs()

        assert (run.partition_key, run.tags["dagster/partition"]) == ("2022-07-31", "2022-07-31")
        assert json.loads(instance.cursor("hourly_to_weekly") or "") == {
            "AssetKey(['hourly_asset'])": ["2022-08-01-00:00", 1, {}]
        }

    def test_job_of_the_deployment_declares_what_the_sensor_names_by_its_key(self) -> None:
        hourly_job = JobDefinition("hourly_asset_job", assets=[self.hourly_asset])
        instance = TreadleInstance(
            [self.sensor(self.hourly_asset.key)], jobs=[hourly_job], start=datetime(2022, 9, 1, tzinfo=UTC)
        )
        make(instance, self.hourly_asset, "2022-08-01-00:00")

        assert [run.partition_key for run in instance.runs()] == ["2022-07-31"]

    def test_direct_call_and_evaluation_know_what_the_sensor_declares(
        self, instance: TreadleInstance
    ) -> None:
        make(instance, self.hourly_asset, "2022-08-01-00:00")
        sensor = self.sensor(self.hourly_asset)

        [called] = sensor(seen(instance, self.hourly_asset.key))
        [evaluated] = sensor.evaluate_tick(seen(instance, self.hourly_asset.key)).run_requests

        assert (called.partition_key, evaluated.partition_key) == ("2022-07-31", "2022-07-31")

    def test_context_may_declare_what_the_sensor_does_not(self, instance: TreadleInstance) -> None:
        make(instance, self.hourly_asset, "2022-08-01-00:00")
        sensor = self.sensor(self.hourly_asset.key)

        [called] = sensor(seen(instance, self.hourly_asset))
        [evaluated] = sensor.evaluate_tick(seen(instance, self.hourly_asset)).run_requests

        assert (called.partition_key, evaluated.partition_key) == ("2022-07-31", "2022-07-31")


class TestDownstreamKeys:
    def test_of_another_start_are_those_that_exist(self, instance: TreadleInstance) -> None:
        context = seen(instance, JULY, AUGUST)

        assert context.get_downstream_partition_keys("2022-08-10", JULY.key, AUGUST.key) == ["2022-08-10"]
        assert context.get_downstream_partition_keys("2022-07-10", JULY.key, AUGUST.key) == []

    def test_are_mapped_as_the_dependency_declares(self, instance: TreadleInstance) -> None:
        shifted = AssetDep(JULY, partition_mapping=TimeWindowPartitionMapping(start_offset=-1, end_offset=-1))
        after = AssetSpec("day_after", deps=[shifted], partitions_def=JULY.partitions_def)
        context = seen(instance, JULY, jobs=[JobDefinition("make_day_after", assets=[after])])

        assert context.get_downstream_partition_keys("2022-08-10", JULY.key, after.key) == ["2022-08-11"]

    def test_of_stored_dynamic_partitions_come_from_the_instance(self) -> None:
        class Instance(TreadleInstance):
            def get_dynamic_partitions(self, partitions_def_name: str) -> list[str]:
                return [f"{partitions_def_name}-{number}" for number in (1, 2)]

        customers = AssetSpec("customers", partitions_def=DynamicPartitionsDefinition(name="customer"))
        mapping = AssetDep(JULY, partition_mapping=AllPartitionMapping())
        report = AssetSpec("report", deps=[mapping], partitions_def=customers.partitions_def)
        context = seen(Instance([]), JULY, report)

        assert context.get_downstream_partition_keys("2022-08-10", JULY.key, report.key) == [
            "customer-1",
            "customer-2",
        ]

    @pytest.mark.parametrize(
        ("upstream", "downstream", "message"),
        [
            (AssetKey("other"), JULY.key, r"\['other'\]\) are declared neither in the sensor nor in its target jobs"),
            (JULY.key, AssetKey("other"), r"\['other'\]\) are declared neither in the sensor"),
            (PLAIN.key, JULY.key, r"\['plain_asset'\]\) is not partitioned. Cannot get partition keys"),
            (JULY.key, PLAIN.key, r"\['plain_asset'\]\) is not partitioned. Cannot get partition keys"),
        ],
    )  # fmt: skip
    def test_of_an_asset_without_known_partitions_are_refused(
        self, instance: TreadleInstance, upstream: AssetKey, downstream: AssetKey, message: str
    ) -> None:
        with pytest.raises(DagsterInvalidInvocationError, match=message):
            seen(instance, JULY, PLAIN).get_downstream_partition_keys("2022-08-10", upstream, downstream)


class TestRecordsByPartition:
    def test_are_in_the_order_of_recording_each_with_its_newest(self, instance: TreadleInstance) -> None:
        ordering = ["2022-07-15", "2022-07-14", "2022-07-13", "2022-07-12", "2022-07-15"]
        make(instance, JULY, *ordering)

        found = seen(instance, JULY).latest_materialization_records_by_partition(JULY.key)

        assert list(found) == ordering[1:]

    def test_are_only_those_of_partitions_that_exist(self, instance: TreadleInstance) -> None:
        make(instance, JULY, "2022-06-30", "2022-07-10", "2999-01-01", "no day", None)

        selection = AssetSelection.assets(JULY) | AssetSelection.keys("plain_asset")
        for context in (
            seen(instance, JULY),
            build_multi_asset_sensor_context(monitored_assets=selection, instance=instance),
        ):
            assert list(context.latest_materialization_records_by_partition(JULY.key)) == ["2022-07-10"]

    @pytest.mark.parametrize(
        ("partitions_def", "recorded", "expected"),
        [
            (DailyPartitionsDefinition("2022-07-01"), ["2022-07-10", "2022-07-05", "2022-07-11"], ["2022-07-11"]),
            (DailyPartitionsDefinition("01/07/2022", fmt="%d/%m/%Y"), ["31/07/2022", "01/08/2022", "05/07/2022"], ["01/08/2022"]),
            (StaticPartitionsDefinition(["b", "z", "a"]), ["b", "a", "z", "b"], ["a", "z"]),
            (DynamicPartitionsDefinition(lambda _now: ["b", "z", "a"]), ["z", "a", "b"], ["a"]),
            (
                MultiPartitionsDefinition({"x": StaticPartitionsDefinition(["2", "1"]), "y": StaticPartitionsDefinition(["k"])}),
                ["2|k", "1|k"],
                ["1|k"],
            ),
        ],
    )  # fmt: skip
    def test_after_the_cursors_partition_are_later_ones_of_the_definition(
        self,
        instance: TreadleInstance,
        partitions_def: PartitionsDefinition,
        recorded: list[str],
        expected: list[str],
    ) -> None:
        asset = AssetSpec("asset", partitions_def=partitions_def)
        make(instance, asset, recorded[0])
        cursor = seen(instance, asset, cursor_from_latest_materializations=True).cursor
        make(instance, asset, *recorded[1:])

        found = seen(instance, asset, cursor=cursor).latest_materialization_records_by_partition(
            asset.key, after_cursor_partition=True
        )

        assert list(found) == expected

    def test_after_a_partition_that_is_gone_are_refused(self, instance: TreadleInstance) -> None:
        before, after = (
            AssetSpec("asset", partitions_def=StaticPartitionsDefinition(keys))
            for keys in (["a", "b"], ["b", "c"])
        )
        make(instance, before, "a")
        cursor = seen(instance, before, cursor_from_latest_materializations=True).cursor
        context = seen(instance, after, cursor=cursor)

        with pytest.raises(
            DagsterInvalidInvocationError, match="after 'a': no partition has this key; its keys are b"
        ):
            context.latest_materialization_records_by_partition(after.key, after_cursor_partition=True)
        assert context.latest_materialization_records_by_partition(after.key) == {}

    def test_of_an_asset_without_partitions_are_refused(self, instance: TreadleInstance) -> None:
        with pytest.raises(
            DagsterInvariantViolationError,
            match="Cannot get latest materialization by partition for assets with no partitions: asset plain_asset",
        ):
            seen(instance, PLAIN).latest_materialization_records_by_partition(PLAIN.key)

    def test_and_asset_need_the_same_partitions(self, instance: TreadleInstance) -> None:
        make(instance, JULY, "2022-08-04", "2022-08-05")
        make(instance, JULY_2, "2022-08-04")

        found = seen(instance, JULY, JULY_2).latest_materialization_records_by_partition_and_asset()

        assert {key: list(each) for key, each in found.items()} == {
            "2022-08-04": [JULY.key, JULY_2.key],
            "2022-08-05": [JULY.key],
        }
        for assets in ([JULY, AUGUST], [JULY.key, AUGUST], [JULY, PLAIN]):
            with pytest.raises(DagsterInvalidInvocationError, match="share the same partitions definition"):
                seen(instance, *assets).latest_materialization_records_by_partition_and_asset()


class TestAllPartitions:
    def test_are_those_of_the_definition_or_the_given_ones(self) -> None:
        days = DailyPartitionsDefinition("2022-07-10", end_date="2022-07-12")
        instance, asset = TreadleInstance([]), AssetSpec("asset", partitions_def=days)
        make(instance, asset, "2022-07-10")
        context = seen(instance, asset)

        assert context.all_partitions_materialized(asset.key) is False
        assert context.all_partitions_materialized(asset.key, ["2022-07-10"]) is True
        make(instance, asset, "2022-07-11")
        assert context.all_partitions_materialized(asset.key) is True

    def test_of_a_definition_that_has_none_yet_are_materialized(self, instance: TreadleInstance) -> None:
        future = AssetSpec("future", partitions_def=DailyPartitionsDefinition("2999-01-01"))

        assert seen(instance, future).all_partitions_materialized(future.key) is True

    def test_of_an_asset_without_partitions_or_of_another_asset_are_refused(
        self, instance: TreadleInstance
    ) -> None:
        context = seen(instance, PLAIN, jobs=[JobDefinition("make_july", assets=[JULY])])

        with pytest.raises(DagsterInvariantViolationError, match=r"plain_asset.*is not partitioned"):
            context.all_partitions_materialized(PLAIN.key)
        with pytest.raises(DagsterInvariantViolationError, match=r"july_asset.*not monitored"):
            context.all_partitions_materialized(JULY.key)


class TestDeclaration:
    def test_monitored_assets_are_keys_specs_or_a_selection(self, instance: TreadleInstance) -> None:
        make_both = JobDefinition("make_both", assets=[JULY, JULY_2])

        assert seen(instance, JULY, PLAIN.key, JULY).asset_keys == [JULY.key, PLAIN.key]
        selected = build_multi_asset_sensor_context(
            monitored_assets=AssetSelection.all(), instance=instance, jobs=[make_both]
        )
        assert selected.asset_keys == [JULY.key, JULY_2.key]

    def test_job_that_lists_a_key_declares_no_partitions(self, instance: TreadleInstance) -> None:
        make(instance, PLAIN, "a")
        context = seen(instance, PLAIN.key, jobs=[JobDefinition("make_plain", assets=["plain_asset"])])

        assert list(context.latest_materialization_records_by_partition(PLAIN.key)) == ["a"]

    def test_job_has_the_partitions_of_its_assets(self) -> None:
        job = JobDefinition("make_july", assets=[PLAIN, JULY])

        assert job.partitions_def == JULY.partitions_def
        assert job.run_request_for_partition("2022-07-10").partition_key == "2022-07-10"

    @pytest.mark.parametrize(
        "options", [{"assets": [JULY, AUGUST]}, {"assets": [JULY], "partitions_def": AUGUST.partitions_def}]
    )
    def test_job_whose_assets_have_different_partitions_is_refused(self, options: Any) -> None:
        with pytest.raises(
            DagsterInvalidDefinitionError, match="The assets of job make_all have different partitions"
        ):
            JobDefinition("make_all", **options)

    def test_two_declarations_of_an_asset_must_not_contradict_each_other(self) -> None:
        other = AssetSpec(JULY.key, partitions_def=AUGUST.partitions_def)
        job = JobDefinition("make_july", assets=[other])

        with pytest.raises(
            DagsterInvalidDefinitionError, match="july_asset has two values of partitions_def"
        ):
            multi_asset_sensor([JULY], job=job, name="s")(lambda _context: None)
        multi_asset_sensor([JULY.key, AssetSpec(JULY.key)], job=job, name="s")(lambda _context: None)

    def test_two_mappings_of_a_dependency_are_refused(self) -> None:
        first, second = (
            AssetSpec("next", deps=[AssetDep("a", partition_mapping=TimeWindowPartitionMapping(offset))])
            for offset in (0, -1)
        )

        with pytest.raises(DagsterInvalidDefinitionError, match="next has two values of partition_mapping"):
            multi_asset_sensor([first, second], name="s")(lambda _context: None)

    def test_dependency_whose_partitions_cannot_be_mapped_is_refused(self) -> None:
        region = AssetSpec("region", deps=[JULY], partitions_def=StaticPartitionsDefinition(["eu"]))

        with pytest.raises(
            DagsterInvalidDefinitionError,
            match="Invalid partition mapping from region to july_asset: Upstream and downstream partitions",
        ):
            multi_asset_sensor([JULY, region], name="s")(lambda _context: None)
        multi_asset_sensor([JULY, AssetSpec("total", deps=[JULY])], name="s")(lambda _context: None)

    def test_asset_depends_on_another_in_one_way(self) -> None:
        dep = AssetDep("a", partition_mapping=TimeWindowPartitionMapping(-1))

        assert AssetSpec("b", deps=[dep, dep]).deps == (dep,)
        with pytest.raises(
            DagsterInvariantViolationError, match=r"Cannot set a dependency on asset .* more than once"
        ):
            AssetSpec("b", deps=[dep, "a"])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"partitions_def": ["a"]}, r"partitions_def of asset a must be a PartitionsDefinition, not \['a'\]"),
            ({"partitions_def": DailyPartitionsDefinition("2022", fmt="%Y")}, "multiple time ranges that map to the same"),
            ({"deps": "b"}, "deps of asset a must be a list of assets, not 'b'"),
        ],
    )  # fmt: skip
    def test_wrong_value_is_refused(self, options: Any, message: str) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match=message):
            AssetSpec("a", **options)

    def test_wrong_mapping_is_refused(self) -> None:
        mapping: Any = "all"

        with pytest.raises(
            DagsterInvalidDefinitionError, match="dependency on asset a must be a PartitionMapping, not 'all'"
        ):
            AssetDep("a", partition_mapping=mapping)
