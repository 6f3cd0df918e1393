"""Each ported asset sensor in the in-memory deployment, and called directly as Dagster's testing examples do."""

import json
from typing import Any

import pytest

from tests.functional.ported import asset_sensors as ported
from treadle import (
    AssetMaterialization,
    RunRequest,
    SensorDefinition,
    SkipReason,
    build_multi_asset_sensor_context,
    build_sensor_context,
)
from treadle.testing import TreadleInstance


def deployed(sensor: SensorDefinition, *assets: str, **metadata: Any) -> TreadleInstance:
    """Return the sensor, after a materialization of each asset."""
    instance = TreadleInstance([sensor])
    for asset in assets:
        instance.report_runless_asset_event(AssetMaterialization(asset, metadata=metadata))
    return instance


def test_each_update_starts_its_run() -> None:
    instance = deployed(ported.each_update, *["daily_sales"] * 3, "another")

    assert [run.job for run in instance.runs()] == ["weekly_report"] * 3
    (request,) = ported.each_update(build_sensor_context(instance=instance))
    assert request == RunRequest()


def test_update_starts_a_run_if_its_metadata_says_so() -> None:
    instance = deployed(ported.updates_with_a_region, "daily_sales", region="north")
    instance.report_runless_asset_event(AssetMaterialization("daily_sales"))

    skipped, started = instance.ticks("updates_with_a_region")
    assert skipped.reason == "The materialization names no region."
    assert [request.run_key for request in started.requests] == ["1"]
    assert any("Starting the report" in line for line in started.log)


def test_metadata_reaches_the_config() -> None:
    instance = deployed(ported.reports_of_the_region, *["daily_sales"] * 2, region="north")

    configs = [json.loads(run.run_config) for run in instance.runs()]
    assert configs == [{"ops": {"weekly_report": {"config": {"region": "north"}}}}] * 2


def test_several_assets_start_one_run_when_all_are_updated() -> None:
    instance = deployed(ported.both_updated, "sales", "sales", "returns", "returns", "sales")

    assert [run.job for run in instance.runs()] == ["totals", "totals"]


@pytest.mark.parametrize("cursor", [None, "1"])
def test_direct_call_reads_the_newest_materialization(cursor: str | None) -> None:
    instance = deployed(ported.reports_of_the_region, "daily_sales", region="north")
    (answer,) = ported.reports_of_the_region(build_sensor_context(instance=instance, cursor=cursor))

    if cursor:
        assert isinstance(answer, SkipReason)
    else:
        assert answer.plain_config["ops"]["weekly_report"]["config"] == {"region": "north"}


def test_direct_call_over_several_assets_moves_the_cursor() -> None:
    instance = deployed(ported.both_updated, "sales")
    context = build_multi_asset_sensor_context(
        monitored_assets=ported.both_updated.monitored_assets, instance=instance
    )
    assert ported.both_updated(context) is None
    instance.report_runless_asset_event(AssetMaterialization("returns"))
    later = build_multi_asset_sensor_context(
        monitored_assets=ported.both_updated.monitored_assets, instance=instance, cursor=context.cursor
    )

    assert ported.both_updated(later) == RunRequest(run_config={})
    assert json.loads(later.cursor or "") == {
        "AssetKey(['sales'])": [None, 1, {}],
        "AssetKey(['returns'])": [None, 1, {}],
    }
