"""docs/guide/asset-sensors.md: every block runs, and every sensor does what the page says."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetSensorDefinition,
    MultiAssetSensorEvaluationContext,
    SensorEvaluationContext,
)
from treadle.definitions.asset_cursors import MAX_UNCONSUMED
from treadle.definitions.sensors import SensorDefinition
from treadle.testing.instance import TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "asset-sensors.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
ORDERS, CUSTOMERS = AssetKey(["shop", "orders"]), AssetKey("customers")


def run(title: str) -> ModuleType:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)
    return module


def make(instance: TreadleInstance, key: AssetKey, rows: int = 1, partition: str | None = None) -> None:
    event = AssetMaterialization(key, metadata={"rows": rows}, partition=partition)
    instance.report_runless_asset_event(event)


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, SensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_page_shows_each_kind() -> None:
    assert len(BLOCKS) == 7


def test_each_materialization_with_rows_is_reported() -> None:
    instance = TreadleInstance([run("React to each materialization").report_orders])
    for rows in (3, 0, 4):
        make(instance, ORDERS, rows, "mon")

    assert [(each.run_key, each.run_config) for each in instance.runs()] == [
        ("1", '{"rows":3}'),
        ("3", '{"rows":4}'),
    ]
    assert instance.runs()[0].partition_key == "mon"


def test_report_follows_both_assets() -> None:
    instance = TreadleInstance([run("Wait for several assets").report_when_fresh])
    make(instance, ORDERS)
    make(instance, ORDERS)
    make(instance, CUSTOMERS)

    assert [each.run_config for each in instance.runs()] == [
        '{"upstream":{"customers":[1],"shop/orders":[2]}}'
    ]


def test_report_by_day_follows_both_assets_of_that_day() -> None:
    instance = TreadleInstance([run("Match updates yourself").report_by_day])
    make(instance, ORDERS, partition="mon")
    make(instance, ORDERS, partition="tue")
    make(instance, CUSTOMERS, partition="tue")
    make(instance, CUSTOMERS, partition="mon")
    make(instance, ORDERS, partition="mon")

    assert [each.run_key for each in instance.runs()] == ["tue-2-1", "mon-1-2"]


def test_report_of_all_that_came_since_the_last() -> None:
    instance = TreadleInstance([run("Read recorded materializations").report_new_orders])
    for rows in (3, 4):
        make(instance, ORDERS, rows)
    instance.tick("report_new_orders")
    assert instance.tick("report_new_orders").outcome.reason == "No new orders."

    assert [each.run_config for each in instance.runs()] == ['{"rows":7}']


def test_methods_of_the_context_and_numbers_are_the_codes() -> None:
    for method in re.findall(r"^\| `(\w+)\(", TEXT, flags=re.MULTILINE):
        assert hasattr(MultiAssetSensorEvaluationContext, method)
    assert f"up to {MAX_UNCONSUMED:,} partitions of each asset" in TEXT


def test_message_on_the_cursor_is_true() -> None:
    [quoted] = re.findall(r"message: `(The cursor .*?)`", TEXT)

    def sets_cursor(context: SensorEvaluationContext) -> None:
        context.update_cursor("1")

    instance = TreadleInstance([AssetSensorDefinition("sets_cursor", ORDERS, None, sets_cursor)])
    make(instance, ORDERS)

    [tick] = instance.ticks("sets_cursor")
    assert tick.error is not None
    assert quoted in tick.error.message
