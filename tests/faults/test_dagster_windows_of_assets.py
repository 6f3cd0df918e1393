"""The windows of Dagster's asset sensors, each closed here.

Numbers and names are those of docs/reference/dagster-windows.md.
"""

from treadle import (
    AssetKey,
    AssetMaterialization,
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    TickStatus,
    asset_sensor,
)
from treadle.testing.instance import TreadleInstance

ORDERS = AssetKey("orders")
report = JobDefinition("report")


def test_l9_each_of_many_materializations_starts_its_run() -> None:
    @asset_sensor(ORDERS, job=report)
    def on_orders(context: SensorEvaluationContext) -> RunRequest:
        return RunRequest(context.cursor)

    instance = TreadleInstance([on_orders])
    events = [
        instance.report_runless_asset_event(AssetMaterialization(ORDERS, partition=f"day-{number % 7}"))
        for number in range(30)
    ]
    for late in reversed(events):  # Each is delivered again, and late.
        instance.send(late)

    assert [run.run_key for run in instance.runs()] == [str(number) for number in range(1, 31)]


def test_l10_cursor_set_in_an_asset_sensor_fails_its_tick_instead_of_being_overwritten() -> None:
    @asset_sensor(ORDERS, job=report)
    def on_orders(context: SensorEvaluationContext) -> RunRequest:
        context.update_cursor("mine")
        return RunRequest("1")

    instance = TreadleInstance([on_orders])
    instance.report_runless_asset_event(AssetMaterialization(ORDERS))

    [tick] = instance.ticks("on_orders")
    assert tick.status is TickStatus.FAILURE
    assert tick.error is not None
    assert "the cursor was set to 'mine'" in tick.error.message
    assert instance.runs() == ()
