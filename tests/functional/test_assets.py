"""Sensors over assets as they are deployed: queued events, ticks that read DynamoDB, and what both cost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.functional.conftest import ON_BOTH, Deployment, LambdaContext, batch
from tests.support.dynamodb_meter import metered
from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    AssetSpec,
    EventLogEntry,
    JobDefinition,
    MultiAssetSensorEvaluationContext,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    TickStatus,
    asset_sensor,
    assets_updated,
    multi_asset_sensor,
)
from treadle.definitions.assets import AssetMaterialized
from treadle.engine.assets.asset_events import asset_event, materialized
from treadle.engine.publish.bus_events import asset_recorded, envelope
from treadle.model.ticks import Tick

ORDERS, CUSTOMERS = AssetKey(["shop", "orders"]), AssetKey("customers")
process_file = JobDefinition("process_file")


@asset_sensor(ORDERS, job=process_file)
def on_orders(context: SensorEvaluationContext, asset_event: EventLogEntry) -> RunRequest:
    """A run for each materialization; how many rows there were before is read."""
    newest = context.instance.get_latest_materialization_event(ORDERS)
    assert asset_event.asset_materialization is not None
    rows = asset_event.asset_materialization.metadata["rows"].value
    newest_rows = newest.asset_materialization.metadata["rows"].value
    return RunRequest(context.cursor, {"rows": rows, "newest": newest_rows})


@multi_asset_sensor([ORDERS, CUSTOMERS], job=process_file)
def when_both(context: MultiAssetSensorEvaluationContext) -> RunRequest | None:
    """A run when both are new."""
    if not all(context.latest_materialization_records_by_key().values()):
        return None
    context.advance_all_cursors()
    return RunRequest(context.cursor)


when_fresh = assets_updated("when_fresh", all_of=[ORDERS, CUSTOMERS], request_job=process_file)


def recorded(deployment: Deployment, key: AssetKey, *rows: int) -> list[dict[str, Any]]:
    """Return materializations as they are stored, and as the bus reports them."""
    materializations = [
        AssetMaterialized(
            AssetMaterialization(key, metadata={"rows": number}), f"{key}-{number}", 0, datetime.now(UTC)
        )
        for number in rows
    ]
    stored = deployment.stores.events.append([asset_event(each) for each in materializations])
    namespace = deployment.environment["TREADLE_NAMESPACE"]
    return [envelope(asset_recorded(materialized(each), namespace), namespace) for each in stored]


def deliver(deployment: Deployment, definition: SensorDefinition, events: Sequence[dict[str, Any]]) -> Any:
    """Hand events to the sensor's function, as its queue does."""
    deployment.handlers.setdefault(definition.name, deployment.evaluator(definition))
    return deployment.handlers[definition.name](batch(*events), LambdaContext())


def ticks(deployment: Deployment, definition: SensorDefinition) -> list[Tick]:
    return deployment.stores.ticks.latest(definition.name, 10)


def start(deployment: Deployment) -> None:
    """Deploy the sensor as the template does: without an interval."""
    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
    deployment.setenv(TREADLE_DEFAULT_STATUS="RUNNING")


@ON_BOTH
def test_each_queued_materialization_is_a_tick_however_often_it_comes(deployment: Deployment) -> None:
    start(deployment)
    events = recorded(deployment, ORDERS, 3, 4)

    for _ in range(2):
        assert deliver(deployment, on_orders, events) == {"batchItemFailures": []}

    configs = [request.run_config for tick in ticks(deployment, on_orders) for request in tick.requests]
    assert sorted(configs) == ['{"newest":4,"rows":3}', '{"newest":4,"rows":4}']


@ON_BOTH
def test_what_is_no_materialization_is_a_dead_letter_with_the_reason(deployment: Deployment) -> None:
    start(deployment)
    [event] = recorded(deployment, ORDERS, 3)
    del event["detail"]["storage_id"]

    assert deliver(deployment, on_orders, [event]) == {"batchItemFailures": []}

    [dead_letter] = deployment.messages("dead")
    assert "storage_id" in dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert ticks(deployment, on_orders) == []


@ON_BOTH
def test_a_batch_of_materializations_wakes_a_sensor_over_several_assets_once(deployment: Deployment) -> None:
    start(deployment)
    events = [*recorded(deployment, ORDERS, 1, 2), *recorded(deployment, CUSTOMERS, 1)]

    assert deliver(deployment, when_both, events) == {"batchItemFailures": []}

    [tick] = ticks(deployment, when_both)
    assert (tick.status, len(tick.requests)) == (TickStatus.SUCCESS, 1)
    state = deployment.stores.sensors.get("when_both")
    assert deployment.stores.sensors.cursor(state) == (
        "{\"AssetKey(['shop', 'orders'])\": [null, 2, {}], \"AssetKey(['customers'])\": [null, 1, {}]}"
    )


@ON_BOTH
def test_a_sensor_in_one_line_reads_what_woke_it(deployment: Deployment) -> None:
    start(deployment)
    deliver(deployment, when_fresh, recorded(deployment, ORDERS, 1))
    assert ticks(deployment, when_fresh) == []
    deployment.setenv()  # Started again, it continues from its cursor.
    deliver(deployment, when_fresh, recorded(deployment, CUSTOMERS, 1))

    tick, _skipped = ticks(deployment, when_fresh)
    assert [request.run_config for request in tick.requests] == [
        '{"upstream":{"customers":[1],"shop/orders":[1]}}'
    ]


def test_newest_of_several_assets_cost_two_requests(deployment: Deployment) -> None:
    for key in (ORDERS, CUSTOMERS):
        recorded(deployment, key, 1, 2, 3)

    with metered() as meter:
        found = deployment.fresh_stores().events.newest(["shop/orders", "customers", "nothing"])

    assert {key: event.storage_id for key, event in found.items()} == {"shop/orders": 3, "customers": 3}
    assert [call.operation for call in meter.calls] == ["BatchGetItem", "BatchGetItem"]


@ON_BOTH
def test_sensor_over_selections_requests_assets_of_the_job_that_makes_them(deployment: Deployment) -> None:
    @multi_asset_sensor(AssetSelection.groups("shop"), request_assets=AssetSelection.assets("report"))
    def when_shop_is_new(context: MultiAssetSensorEvaluationContext) -> list[RunRequest]:
        context.advance_all_cursors()
        return [RunRequest("all"), RunRequest("bad", asset_selection=[ORDERS])]

    load = JobDefinition("load", assets=[AssetSpec(ORDERS, group_name="shop")])
    report = JobDefinition("process_file", assets=[AssetSpec("report", deps=[ORDERS])])
    start(deployment)
    handler = deployment.evaluator(when_shop_is_new, jobs=[load, report])

    assert handler(batch(*recorded(deployment, ORDERS, 1)), LambdaContext()) == {"batchItemFailures": []}

    [tick] = ticks(deployment, when_shop_is_new)
    [request], [aside] = tick.requests, tick.rejected
    assert (request.job, request.tags) == ("process_file", {"treadle/asset_selection": '["report"]'})
    assert aside.reason.startswith(
        "RunRequest includes asset keys that are not part of sensor's asset_selection: shop/"
    )
