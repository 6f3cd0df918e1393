"""Sensors over several assets: woken by each materialization, with a cursor for each asset in Dagster's form."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    JobDefinition,
    MultiAssetSensorDefinition,
    MultiAssetSensorEvaluationContext,
    ResourceParam,
    RunRequest,
    SensorResult,
    SensorType,
    SkipReason,
    TickStatus,
    build_multi_asset_sensor_context,
    build_sensor_context,
    multi_asset_sensor,
)
from treadle.definitions.asset_cursors import MAX_UNCONSUMED
from treadle.definitions.assets import AssetMaterialized
from treadle.engine.assets.asset_events import asset_event
from treadle.testing.instance import TreadleInstance

Context = MultiAssetSensorEvaluationContext
ORDERS, CUSTOMERS, OTHER = (AssetKey(name) for name in ("orders", "customers", "other"))
BOTH = [ORDERS, CUSTOMERS]
report = JobDefinition("report")


@multi_asset_sensor(monitored_assets=BOTH, job=report)
def when_both(context: Context) -> RunRequest | None:
    """As Dagster's documentation has it."""
    asset_events = context.latest_materialization_records_by_key()
    if all(asset_events.values()):
        context.advance_all_cursors()
        return RunRequest(run_key=context.cursor, run_config={})
    return None


def make(instance: TreadleInstance, key: AssetKey, *partitions: str | None) -> None:
    """Report one materialization, or one of each partition."""
    for partition in partitions or (None,):
        instance.report_runless_asset_event(AssetMaterialization(key, partition=partition))


def seen(instance: TreadleInstance, cursor: str | None = None, **more: Any) -> Context:
    return build_multi_asset_sensor_context(monitored_assets=BOTH, instance=instance, cursor=cursor, **more)


def numbers(records: Any) -> list[int]:
    return [record.storage_id for record in (records.values() if isinstance(records, dict) else records)]


@pytest.fixture
def instance() -> TreadleInstance:
    """No sensors, and nothing recorded yet."""
    return TreadleInstance([])


class TestAll:
    def test_starts_once_when_both_are_new_and_again_when_both_are_new_again(self) -> None:
        instance = TreadleInstance([when_both])
        make(instance, ORDERS)
        make(instance, ORDERS)
        assert instance.runs() == ()
        make(instance, CUSTOMERS)
        assert len(instance.runs()) == 1
        make(instance, CUSTOMERS)
        assert len(instance.runs()) == 1
        make(instance, ORDERS)

        assert len(instance.runs()) == 2
        assert json.loads(instance.cursor("when_both") or "") == {
            "AssetKey(['orders'])": [None, 3, {}],
            "AssetKey(['customers'])": [None, 2, {}],
        }

    def test_is_not_woken_by_other_assets(self) -> None:
        instance = TreadleInstance([when_both])
        make(instance, OTHER)

        assert instance.state("when_both").last_scheduled_for is None

    def test_what_came_while_it_was_stopped_is_found_by_its_next_tick(self) -> None:
        instance = TreadleInstance([when_both])
        instance.stop_sensor("when_both")
        for key in BOTH:
            make(instance, key)
        instance.start_sensor("when_both")

        assert len(instance.tick("when_both").runs) == 1

    def test_any_of_them_is_any_instead_of_all(self) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def when_any(context: Context) -> Iterator[RunRequest]:
            for key, record in context.latest_materialization_records_by_key().items():
                if record:
                    yield RunRequest(f"{key.to_user_string()}-{record.storage_id}")
                    context.advance_cursor({key: record})

        instance = TreadleInstance([when_any])
        for key in (ORDERS, CUSTOMERS, ORDERS):
            make(instance, key)

        assert [run.run_key for run in instance.runs()] == ["orders-1", "customers-1", "orders-2"]


class TestRules:
    def test_run_without_moving_the_cursor_fails(self) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def careless(context: Context) -> RunRequest:
            assert context.latest_materialization_records_by_key()
            return RunRequest("1")

        [tick] = evaluated(careless)
        assert tick.status is TickStatus.FAILURE
        assert "but the cursor was not updated" in tick.error.message

    def test_skip_reason_without_moving_the_cursor_is_none(self) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def patient(context: Context) -> SkipReason:
            return SkipReason(f"waits at {context.cursor}")

        instance = TreadleInstance([patient])
        make(instance, ORDERS)

        skips = instance.state("patient").skips
        assert skips is not None
        assert skips.reason == "waits at None"
        assert instance.cursor("patient") is None

    def test_result_may_be_returned_and_only_returned(self) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def returns(context: Context) -> SensorResult:
            context.advance_all_cursors()
            return SensorResult([RunRequest("1")])

        @multi_asset_sensor(BOTH, job=report)
        def yields(context: Context) -> Iterator[SensorResult]:
            context.advance_all_cursors()
            yield SensorResult([RunRequest("1")])

        assert [tick.status for tick in evaluated(returns)] == [TickStatus.SUCCESS]
        assert "Cannot yield a SensorResult" in evaluated(yields)[0].error.message

    @pytest.mark.parametrize("way", ["result", "context"])
    def test_cursor_cannot_be_set(self, way: str) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def sets_cursor(context: Context) -> SensorResult:
            context.advance_all_cursors()
            if way == "context":
                context.update_cursor("{}")
            return SensorResult([RunRequest("1")], cursor="{}")

        assert "Cannot set cursor in a multi_asset_sensor" in evaluated(sets_cursor)[0].error.message

    def test_nothing_that_comes_during_the_tick_is_passed_over(self) -> None:
        instance = TreadleInstance([])
        make(instance, ORDERS)
        make(instance, CUSTOMERS)
        context = seen(instance)
        context.begin_call()

        first = context.latest_materialization_records_by_key()
        make(instance, ORDERS, "late")
        context.advance_all_cursors()
        assert context.materialization_records_for_key(ORDERS) == [first[ORDERS]]
        context.update_cursor_after_evaluation()
        context.end_call()

        assert numbers(context.materialization_records_for_key(ORDERS)) == [2]

    def test_runs_carry_the_greatest_depth_that_was_checked(self) -> None:
        instance = TreadleInstance([when_both])
        for depth, key in enumerate(BOTH, 3):
            made = AssetMaterialized(AssetMaterialization(key), "e1", 1, datetime.now(UTC), depth=depth)
            instance._tables.events[key.to_user_string()] = [asset_event(made)]

        [run] = instance.tick("when_both").runs

        assert run.tags["treadle/depth"] == "5"

    def test_resources_are_given_by_name(self) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def with_resource(context: Context, prefix: ResourceParam[str]) -> RunRequest:
            context.advance_all_cursors()
            return RunRequest(prefix)

        instance = TreadleInstance([with_resource], resources={"prefix": "daily"})
        make(instance, ORDERS)

        assert [run.run_key for run in instance.runs()] == ["daily"]
        direct = with_resource(seen(instance), prefix="other")
        assert direct == RunRequest("other")


class TestRecordsForKey:
    def test_fires_only_once_there_are_so_many(self) -> None:
        @multi_asset_sensor([ORDERS], job=report)
        def by_twos(context: Context) -> RunRequest | None:
            records = context.materialization_records_for_key(ORDERS, limit=2)
            if len(records) < 2:
                return None
            context.advance_cursor({ORDERS: records[-1]})
            return RunRequest("-".join(map(str, numbers(records))))

        instance = TreadleInstance([by_twos])
        for _ in range(5):
            make(instance, ORDERS)

        assert [run.run_key for run in instance.runs()] == ["1-2", "3-4"]

    def test_gives_all_behind_the_cursor_in_order(self, instance: TreadleInstance) -> None:
        for _ in range(4):
            make(instance, ORDERS)
        context = seen(instance, json.dumps({str(ORDERS): [None, 1, {}]}))

        assert numbers(context.materialization_records_for_key(ORDERS)) == [2, 3, 4]
        assert numbers(context.materialization_records_for_key(ORDERS, limit=1)) == [2]

    def test_of_an_asset_that_is_not_monitored_is_refused(self, instance: TreadleInstance) -> None:
        for query in (
            lambda: seen(instance).materialization_records_for_key(OTHER),
            lambda: seen(instance).latest_materialization_records_by_key([OTHER]),
            lambda: seen(instance).get_trailing_unconsumed_events(OTHER),
            lambda: seen(instance).get_cursor_partition(OTHER),
            lambda: seen(instance).advance_cursor({OTHER: None}),
        ):
            with pytest.raises(DagsterInvalidInvocationError, match="not monitored"):
                query()


class TestCursor:
    def test_of_an_asset_sensor_is_taken_over(self, instance: TreadleInstance) -> None:
        for _ in range(5):
            make(instance, ORDERS)
        context = build_multi_asset_sensor_context(monitored_assets=[ORDERS], instance=instance, cursor="3")

        assert numbers(context.materialization_records_for_key(ORDERS)) == [4, 5]
        context.advance_cursor({ORDERS: context.materialization_records_for_key(ORDERS)[0]})
        context.update_cursor_after_evaluation()
        assert context.cursor == "{\"AssetKey(['orders'])\": [null, 4, {}]}"

    def test_of_one_number_says_nothing_of_several_assets(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS)

        assert numbers(seen(instance, "3").materialization_records_for_key(ORDERS)) == [1]

    @pytest.mark.parametrize("cursor", ["no json", "[1]", "{\"AssetKey(['orders'])\": [1]}"])
    def test_of_another_kind_says_so(self, instance: TreadleInstance, cursor: str) -> None:
        with pytest.raises(DagsterInvariantViolationError, match="not a cursor of a multi_asset_sensor"):
            seen(instance, cursor)

    def test_of_one_asset_leaves_the_others(self, instance: TreadleInstance) -> None:
        for key in BOTH:
            make(instance, key, "a")
        context = seen(instance)
        context.advance_cursor({ORDERS: context.latest_materialization_records_by_key()[ORDERS]})
        context.update_cursor_after_evaluation()
        again = seen(instance, context.cursor)
        again.advance_cursor(
            {CUSTOMERS: again.latest_materialization_records_by_key()[CUSTOMERS], ORDERS: None}
        )
        again.update_cursor_after_evaluation()

        assert json.loads(context.cursor or "") == {
            str(ORDERS): ["a", 1, {}],
            str(CUSTOMERS): [None, None, {}],
        }
        assert json.loads(again.cursor or "") == {str(ORDERS): ["a", 1, {}], str(CUSTOMERS): ["a", 1, {}]}

    def test_starts_behind_all_that_there_is_if_requested(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a", "b")
        context = seen(instance, cursor_from_latest_materializations=True)
        assert context.latest_materialization_records_by_key() == {ORDERS: None, CUSTOMERS: None}
        assert context.get_cursor_partition(ORDERS) == "b"
        assert not context.cursor_updated
        make(instance, ORDERS)

        again = seen(instance, context.cursor)
        assert numbers(again.materialization_records_for_key(ORDERS)) == [3]

    def test_cannot_start_there_with_another_cursor_or_without_an_instance(
        self, instance: TreadleInstance
    ) -> None:
        with pytest.raises(DagsterInvalidInvocationError, match="Cannot provide both cursor"):
            seen(instance, "{}", cursor_from_latest_materializations=True)
        with pytest.raises(DagsterInvalidInvocationError, match="without a Dagster instance"):
            build_multi_asset_sensor_context(monitored_assets=BOTH, cursor_from_latest_materializations=True)

    def test_moves_with_a_direct_call(self, instance: TreadleInstance) -> None:
        @multi_asset_sensor(BOTH, job=report)
        def direct(context: Context) -> Iterator[RunRequest]:
            context.advance_all_cursors()
            yield RunRequest("1")

        make(instance, ORDERS)
        context = seen(instance)

        assert list(direct(context)) == [RunRequest("1")]
        assert json.loads(context.cursor or "")[str(ORDERS)] == [None, 1, {}]


class TestPartitions:
    def test_only_the_newest_of_each_is_given_in_the_order_of_recording(
        self, instance: TreadleInstance
    ) -> None:
        make(instance, ORDERS, "a", "b", None, "c", "a")

        found = seen(instance).latest_materialization_records_by_partition(ORDERS)

        assert {partition: record.storage_id for partition, record in found.items()} == {
            "b": 2,
            "c": 4,
            "a": 5,
        }
        assert list(found) == ["b", "c", "a"]

    def test_left_behind_are_kept_in_the_cursor_and_given_again_until_consumed(
        self, instance: TreadleInstance
    ) -> None:
        make(instance, ORDERS, "a", "b", "c", "a")
        cursor = advanced(instance, None, 3)
        assert cursor[str(ORDERS)] == ["c", 3, {"a": 1, "b": 2}]

        context = seen(instance, json.dumps(cursor))
        assert numbers(context.get_trailing_unconsumed_events(ORDERS)) == [1, 2]
        assert numbers(context.latest_materialization_records_by_partition(ORDERS)) == [2, 4]

        cursor = advanced(instance, cursor, 2)
        assert cursor[str(ORDERS)] == ["c", 3, {"a": 1}]

    def test_two_of_those_left_are_consumed_together(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a", "b", "c")
        cursor = advanced(instance, None, 3)

        assert advanced(instance, cursor, 1, 2)[str(ORDERS)] == ["c", 3, {}]

    def test_consumed_with_each_are_those_before_it(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a", "b", "a", "b")

        assert advanced(instance, None, 3)[str(ORDERS)] == ["a", 3, {"b": 2}]
        assert advanced(instance, None, 4)[str(ORDERS)] == ["b", 4, {"a": 3}]
        assert advanced(instance, None, 1, 4)[str(ORDERS)] == ["b", 4, {"a": 3}]

    def test_all_cursors_advanced_leave_none(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a", "b", "c")
        cursor = advanced(instance, None, 3)
        context = seen(instance, json.dumps(cursor))
        context.advance_all_cursors()
        context.update_cursor_after_evaluation()

        assert json.loads(context.cursor or "")[str(ORDERS)] == ["c", 3, {}]
        assert context.get_trailing_unconsumed_events(ORDERS) == []

    @pytest.mark.many
    def test_more_than_there_is_room_for_are_refused(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, *(f"p{number}" for number in range(MAX_UNCONSUMED + 2)))

        assert len(advanced(instance, None, MAX_UNCONSUMED + 1)[str(ORDERS)][2]) == MAX_UNCONSUMED
        with pytest.raises(DagsterInvariantViolationError, match="maximum number of trailing unconsumed"):
            advanced(instance, None, MAX_UNCONSUMED + 2)

    def test_only_those_behind_the_cursors_are_given_if_requested(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "day-2", "day-3")
        cursor = json.dumps(advanced(instance, None, 1))
        make(instance, ORDERS, "day-1", "day-2")

        def found(*, after: bool) -> list[str]:
            return list(seen(instance, cursor).latest_materialization_records_by_partition(ORDERS, after))

        assert found(after=True) == ["day-3"]
        assert found(after=False) == ["day-3", "day-1", "day-2"]

    def test_all_given_ones_are_materialized_or_not(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a", "b", None)
        context = seen(instance, cursor_from_latest_materializations=True)

        assert context.all_partitions_materialized(ORDERS, ["a", "b"])
        assert not context.all_partitions_materialized(ORDERS, ["a", "c"])
        with pytest.raises(
            DagsterInvariantViolationError,
            match="pass the partitions to check to all_partitions_materialized",
        ):
            context.all_partitions_materialized(ORDERS)
        with pytest.raises(DagsterInvalidInvocationError, match="at least one partition"):
            context.all_partitions_materialized(ORDERS, [])

    def test_are_grouped_over_the_assets(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a", "b")
        make(instance, CUSTOMERS, "b", "b", "c")

        found = seen(instance).latest_materialization_records_by_partition_and_asset()

        assert {
            partition: {key: record.storage_id for key, record in by_asset.items()}
            for partition, by_asset in found.items()
        } == {"a": {ORDERS: 1}, "b": {ORDERS: 2, CUSTOMERS: 2}, "c": {CUSTOMERS: 3}}
        assert seen(instance).get_trailing_unconsumed_events(ORDERS) == []

    def test_requested_once_each_are_the_runs_own(self) -> None:
        @multi_asset_sensor([ORDERS], job=report)
        def hourly(context: Context) -> Iterator[RunRequest]:
            for partition, record in context.latest_materialization_records_by_partition(ORDERS).items():
                yield RunRequest(f"{partition}-{record.storage_id}", partition_key=partition)
                context.advance_cursor({ORDERS: record})

        instance = TreadleInstance([hourly])
        make(instance, ORDERS, "2026-11-22-18", "2026-11-22-19")
        assert instance.tick("hourly").tick is None

        assert [run.tags["dagster/partition"] for run in instance.runs()] == [
            "2026-11-22-18",
            "2026-11-22-19",
        ]

    def test_cursors_partition_needs_the_asset_if_there_are_several(self, instance: TreadleInstance) -> None:
        make(instance, ORDERS, "a")
        cursor = json.dumps(advanced(instance, None, 1))
        alone = build_multi_asset_sensor_context(monitored_assets=[ORDERS], cursor=cursor)

        assert alone.get_cursor_partition(None) == "a"
        with pytest.raises(DagsterInvalidInvocationError, match="must be provided when multiple"):
            seen(instance, cursor).get_cursor_partition(None)


class TestDefinition:
    def test_is_of_dagsters_type(self) -> None:
        assert when_both.sensor_type is SensorType.MULTI_ASSET
        assert when_both.monitored_assets == tuple(BOTH)
        assert when_both.is_woken

    @pytest.mark.parametrize("assets", [[], ["orders"], "orders", ORDERS, AssetSelection.assets()])
    def test_needs_asset_keys(self, assets: Any) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="one or more AssetKeys"):
            MultiAssetSensorDefinition("wrong", assets, None, lambda: None)


def evaluated(definition: MultiAssetSensorDefinition) -> list[Any]:
    """Return the ticks of a sensor after a materialization."""
    instance = TreadleInstance([definition])
    make(instance, ORDERS)
    return instance.ticks(definition.name)


def advanced(instance: TreadleInstance, cursor: dict[str, Any] | None, *consumed: int) -> dict[str, Any]:
    """Return the cursor after those materializations of the first asset were consumed."""
    context = seen(instance, json.dumps(cursor) if cursor else None)
    by_number = {
        record.storage_id: record
        for record in [
            *context.get_trailing_unconsumed_events(ORDERS),
            *context.materialization_records_for_key(ORDERS),
        ]
    }
    for number in consumed:
        context.advance_cursor({ORDERS: by_number[number]})
    context.update_cursor_after_evaluation()
    moved: dict[str, Any] = json.loads(context.cursor or "")
    return moved


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{\"AssetKey(['orders'])\": [null, 1e400, {}]}", "[1]", "Infinity"]
)
def test_cursor_of_another_form_is_refused_with_what_to_do(text: str) -> None:
    instance = TreadleInstance([when_both])
    instance.set_cursor("when_both", text)

    outcome = instance.tick("when_both").outcome

    assert "is not a cursor of a multi_asset_sensor" in outcome.reason
    assert "Set it again, or clear it." in outcome.reason


def test_built_context_sees_what_is_new_at_each_call(instance: TreadleInstance) -> None:
    context = seen(instance)
    make(instance, ORDERS)

    assert when_both(context) is None
    make(instance, CUSTOMERS)
    assert isinstance(when_both(context), RunRequest)
    assert when_both(context) is None


def test_built_context_sees_what_is_new_at_each_read_outside_of_a_call(instance: TreadleInstance) -> None:
    context = seen(instance)

    assert context.latest_materialization_records_by_key() == {ORDERS: None, CUSTOMERS: None}
    make(instance, ORDERS, "a")
    assert list(context.latest_materialization_records_by_partition(ORDERS)) == ["a"]
    make(instance, ORDERS, "b")
    assert list(context.latest_materialization_records_by_partition(ORDERS)) == ["a", "b"]


def test_what_a_failed_call_marked_is_forgotten(instance: TreadleInstance) -> None:
    @multi_asset_sensor(monitored_assets=BOTH, job=report)
    def failing(context: Context) -> RunRequest:
        context.advance_all_cursors()
        raise KeyError

    context = seen(instance)
    make(instance, ORDERS)

    with pytest.raises(KeyError):
        failing(context)
    assert when_both(context) is None
    assert context.cursor is None


def test_evaluate_tick_moves_the_cursor_of_its_context(instance: TreadleInstance) -> None:
    plain = build_sensor_context(instance)
    for context in (seen(instance), plain):
        make(instance, ORDERS)
        make(instance, CUSTOMERS)

        data = when_both.evaluate_tick(context)

        assert context.cursor == data.cursor is not None
        assert when_both.evaluate_tick(context).run_requests == []


def test_cursor_of_a_result_is_refused_also_if_nothing_was_advanced(instance: TreadleInstance) -> None:
    @multi_asset_sensor(monitored_assets=BOTH, job=report)
    def setting() -> SensorResult:
        return SensorResult([RunRequest()], cursor="5")

    with pytest.raises(DagsterInvariantViolationError, match="Cannot set cursor in a multi_asset_sensor"):
        setting.evaluate_tick(seen(instance))
