"""Sensors over one asset: each materialization is evaluated once, in Dagster's form."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetSensorDefinition,
    DagsterEventType,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    EventLogEntry,
    JobDefinition,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SensorType,
    SkipReason,
    TickStatus,
    asset_sensor,
    build_sensor_context,
)
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.objects import ObjectCreated
from treadle.engine.outcomes import Decision
from treadle.testing.instance import TreadleInstance

ORDERS = AssetKey(["shop", "orders"])
report = JobDefinition("report")


@asset_sensor(ORDERS, job=report)
def on_orders(context: SensorEvaluationContext, asset_event: EventLogEntry) -> RunRequest | SkipReason:
    """A run for each materialization with rows."""
    event = asset_event.get_dagster_event()
    made = event.event_specific_data.materialization
    assert made is not None
    rows = made.metadata["rows"].value
    if not rows:
        return SkipReason("It is empty.")
    return RunRequest(context.cursor, {"rows": rows}, partition_key=event.partition)


def made(rows: int = 1, partition: str | None = None) -> AssetMaterialization:
    return AssetMaterialization(ORDERS, metadata={"rows": rows}, partition=partition)


def keys(instance: TreadleInstance) -> list[str | None]:
    return [run.run_key for run in instance.runs()]


class TestEachMaterialization:
    def test_gives_one_run_under_its_storage_id_however_often_it_is_delivered(self) -> None:
        instance = TreadleInstance([on_orders])
        first = instance.report_runless_asset_event(made(3))
        instance.report_runless_asset_event(made(4))

        again = instance.send(first)

        assert again["on_orders"].outcome.decision is Decision.DUPLICATE
        assert keys(instance) == ["1", "2"]
        assert [run.run_config for run in instance.runs()] == ['{"rows":3}', '{"rows":4}']

    def test_reported_again_under_its_event_id_is_no_other(self) -> None:
        instance = TreadleInstance([on_orders])

        recorded = [instance.report_runless_asset_event(made(), event_id="load-7") for _ in range(2)]

        assert [each.storage_id for each in recorded] == [1, 1]
        assert keys(instance) == ["1"]

    def test_of_each_partition_is_evaluated_and_tags_its_run(self) -> None:
        instance = TreadleInstance([on_orders])
        for day in ("mon", "tue", "wed"):
            instance.report_runless_asset_event(made(partition=day))

        assert [run.tags["dagster/partition"] for run in instance.runs()] == ["mon", "tue", "wed"]

    def test_may_be_skipped_with_a_reason(self) -> None:
        instance = TreadleInstance([on_orders])
        instance.report_runless_asset_event(made(0))

        [tick] = instance.ticks("on_orders")
        assert (tick.status, tick.reason) == (TickStatus.SKIPPED, "It is empty.")
        assert tick.trigger == "Asset shop/orders: materialization 1"

    def test_of_another_asset_is_none_of_the_sensors(self) -> None:
        instance = TreadleInstance([on_orders])
        recorded = instance.report_runless_asset_event(AssetMaterialization("customers"))

        data = on_orders.evaluate_event(build_sensor_context(), recorded)

        assert instance.ticks("on_orders") == []
        assert data.skip_message == (
            "Asset customers: materialization 1: not watched, because the sensor watches shop/orders."
        )

    def test_that_failed_waits_and_is_evaluated_again(self) -> None:
        answers = iter([ConnectionError("no answer"), None])

        @asset_sensor(ORDERS, job=report)
        def flaky(context: SensorEvaluationContext) -> RunRequest:
            if error := next(answers):
                raise error
            return RunRequest(context.cursor)

        instance = TreadleInstance([flaky])
        recorded = instance.report_runless_asset_event(made())
        assert [tick.status for tick in instance.ticks("flaky")] == [TickStatus.FAILURE]
        assert instance.undelivered == [recorded]
        instance.send(instance.undelivered.pop())

        assert keys(instance) == ["1"]

    def test_of_another_stack_is_evaluated_like_the_stacks_own(self) -> None:
        instance = TreadleInstance([on_orders])
        recorded = replace(instance.report_runless_asset_event(made()), storage_id=2, event_id="there")

        instance.send(replace(recorded, location="210987654321/eu-west-1/other"))

        assert keys(instance) == ["1", "2"]

    def test_carries_the_depth_of_the_runs_behind_it(self) -> None:
        instance = TreadleInstance([on_orders])
        recorded = instance.report_runless_asset_event(made())
        deep = AssetMaterialized(recorded.materialization, "deep", 9, recorded.time, "run-1", depth=4)

        [run] = instance.send(deep)["on_orders"].runs

        assert run.tags["treadle/depth"] == "5"


class TestFunction:
    @pytest.mark.parametrize("result", [None, []])
    def test_that_returns_nothing_skips(self, result: Any) -> None:
        instance = TreadleInstance([AssetSensorDefinition("quiet", ORDERS, None, lambda: result)])
        instance.report_runless_asset_event(made())

        [tick] = instance.ticks("quiet")
        assert (tick.status, tick.reason) == (
            TickStatus.SKIPPED,
            "Sensor function returned an empty result",
        )

    def test_may_take_nothing_but_a_resource(self) -> None:
        @asset_sensor(ORDERS, job_name="report")
        def with_resource(prefix: ResourceParam[str]) -> RunRequest:
            return RunRequest(f"{prefix}-1")

        instance = TreadleInstance([with_resource], resources={"prefix": "daily"})
        instance.report_runless_asset_event(made())

        assert keys(instance) == ["daily-1"]

    def test_takes_resource_and_event_in_any_order(self) -> None:
        @asset_sensor(ORDERS, job=report)
        def mixed(
            context: SensorEvaluationContext, prefix: ResourceParam[str], asset_event: Any
        ) -> Iterator[RunRequest]:
            yield RunRequest(f"{prefix}-{asset_event.run_id}-{context.cursor}")

        instance = TreadleInstance([mixed], resources={"prefix": "daily"})
        instance.report_runless_asset_event(made(), run_id="run-7")

        assert keys(instance) == ["daily-run-7-1"]

    @pytest.mark.parametrize("way", ["result", "context"])
    def test_that_sets_the_cursor_fails(self, way: str) -> None:
        @asset_sensor(ORDERS, job=report)
        def sets_cursor(context: SensorEvaluationContext) -> SensorResult:
            if way == "context":
                context.update_cursor("7")
            return SensorResult([RunRequest("1")], cursor="7")

        instance = TreadleInstance([sets_cursor])
        instance.report_runless_asset_event(made())

        [tick] = instance.ticks("sets_cursor")
        assert tick.error is not None
        assert tick.error.type.endswith(DagsterInvariantViolationError.__name__)
        assert "The cursor is managed by the asset sensor" in tick.error.message
        assert instance.runs() == ()

    def test_may_return_a_result(self) -> None:
        @asset_sensor(ORDERS, job=report)
        def gives_result(context: SensorEvaluationContext) -> SensorResult:
            return SensorResult([RunRequest(context.cursor)])

        instance = TreadleInstance([gives_result])
        for _ in range(2):
            instance.report_runless_asset_event(made())

        assert keys(instance) == ["1", "2"]


class TestEventLogEntry:
    def test_has_dagsters_form(self) -> None:
        instance = TreadleInstance([on_orders])
        recorded = instance.report_runless_asset_event(made(3, "mon"), run_id="run-7")

        entry = EventLogEntry.of(recorded)
        event = entry.get_dagster_event()

        assert entry.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION
        assert event.event_specific_data.materialization == entry.asset_materialization == made(3, "mon")
        assert event.materialization == made(3, "mon")
        assert (event.asset_key, event.partition, event.is_step_materialization) == (ORDERS, "mon", True)
        assert (entry.asset_key, entry.partition_key, entry.run_id) == (ORDERS, "mon", "run-7")
        assert entry.timestamp == recorded.time.timestamp()
        assert entry.message == "Materialized value shop/orders."
        assert not event.is_failure

    def test_without_event_says_so(self) -> None:
        entry = EventLogEntry(None, 20, "a line", "run-1", 0.0)

        assert (entry.message, entry.asset_key, entry.dagster_event_type) == ("a line", None, None)
        with pytest.raises(DagsterInvalidDefinitionError, match="Not a dagster event"):
            entry.get_dagster_event()


class TestDirectCall:
    def test_takes_context_and_event(self) -> None:
        instance = TreadleInstance([])
        entry = EventLogEntry.of(instance.report_runless_asset_event(made(3)))

        request = on_orders(build_sensor_context(cursor="1"), entry)

        assert request == on_orders(build_sensor_context(cursor="1"), asset_event=entry)
        assert request == RunRequest("1", {"rows": 3})

    def test_with_a_context_alone_reads_the_newest_from_its_instance(self) -> None:
        instance = TreadleInstance([])
        (skipped,) = on_orders(context(instance))
        assert "No new materialization events found" in skipped.skip_message
        for rows in (3, 4):
            instance.report_runless_asset_event(made(rows))

        (request,) = on_orders(context(instance))
        assert request.run_config == {"rows": 4}
        (skipped,) = on_orders(context=context(instance, "2"))
        assert "No new materialization events found" in skipped.skip_message

    def test_moves_the_context_s_cursor_to_what_it_has_read(self) -> None:
        @asset_sensor(asset_key=ORDERS, job_name="load")
        def yielding(context: SensorEvaluationContext, _event: EventLogEntry) -> Iterator[RunRequest]:
            yield RunRequest(f"after {context.cursor}")

        instance = TreadleInstance([])
        instance.report_runless_asset_event(made(3))
        of_test = context(instance)

        assert [request.run_key for request in yielding(of_test)] == ["after None"]
        assert of_test.cursor == "1"
        assert [type(each) for each in yielding(of_test)] == [SkipReason]

    def test_looks_for_a_materialization_whatever_the_function_takes(self) -> None:
        @asset_sensor(asset_key=ORDERS, job_name="load")
        def nothing(prefix: ResourceParam[str]) -> RunRequest:
            return RunRequest(f"{prefix} fired")

        instance = TreadleInstance([])
        assert [type(each) for each in nothing(context(instance), prefix="p")] == [SkipReason]
        instance.report_runless_asset_event(made(3))

        assert [each.run_key for each in nothing(context(instance), prefix="p")] == ["p fired"]
        with pytest.raises(
            DagsterInvalidInvocationError, match="no context argument was provided when invoking"
        ):
            nothing(prefix="p")


class TestEvaluateTick:
    def test_evaluates_the_newest_materialization_and_moves_the_cursor(self) -> None:
        @asset_sensor(ORDERS, job=report)
        def watch(context: SensorEvaluationContext, event: EventLogEntry) -> RunRequest:
            assert event.asset_materialization is not None
            rows = event.asset_materialization.metadata["rows"].value
            return RunRequest(f"{rows} after {context.cursor}")

        instance = TreadleInstance([])
        of_test = context(instance)
        skipped = watch.evaluate_tick(of_test)
        for rows in (3, 4):
            instance.report_runless_asset_event(made(rows))
        data = watch.evaluate_tick(of_test)
        again = watch.evaluate_tick(of_test)

        assert "No new materialization events found" in (skipped.skip_message or "")
        [request] = data.run_requests
        assert (request.run_key, request.job_name) == ("4 after None", "report")
        assert request.tags == {"dagster/sensor_name": "watch"}
        assert (skipped.cursor, data.cursor, of_test.cursor) == (None, "2", "2")
        assert (again.run_requests, again.cursor) == ([], "2")
        assert "No new materialization events found" in (again.skip_message or "")

    @pytest.mark.parametrize("is_result", [True, False])
    def test_a_cursor_of_the_function_fails_and_none_moves(self, is_result: bool) -> None:
        @asset_sensor(ORDERS, job=report)
        def watch(context: SensorEvaluationContext) -> SensorResult:
            if not is_result:
                context.update_cursor("7")
            return SensorResult([RunRequest("a")], cursor="7")

        instance = TreadleInstance([])
        instance.report_runless_asset_event(made(3))
        of_test = context(instance)

        with pytest.raises(DagsterInvariantViolationError, match="The cursor is managed by the asset sensor"):
            watch.evaluate_tick(of_test)
        assert of_test.cursor is None


class TestDefinition:
    def test_is_of_dagsters_type_and_takes_events(self) -> None:
        assert (on_orders.sensor_type, on_orders.asset_key) == (SensorType.ASSET, ORDERS)
        assert on_orders.description == "A run for each materialization with rows."

    def test_needs_an_asset_key(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="must be an AssetKey"):
            AssetSensorDefinition("wrong", "shop/orders", None, lambda: None)  # type: ignore[arg-type]

    def test_tick_by_schedule_says_that_events_come_by_themselves(self) -> None:
        instance = TreadleInstance([on_orders])

        reason = instance.tick("on_orders").outcome.reason

        assert reason.startswith(
            "No new materialization events found for asset key AssetKey(['shop', 'orders'])"
        )

    def test_takes_no_other_events(self) -> None:
        instance = TreadleInstance([])
        created = instance.objects.put("bucket", "key", b"")
        assert isinstance(created, ObjectCreated)

        with pytest.raises(Exception, match="does not evaluate events"):
            on_orders.evaluate_event(build_sensor_context(), created)


def context(instance: TreadleInstance, cursor: str | None = None) -> SensorEvaluationContext:
    return build_sensor_context(instance=instance, cursor=cursor)
