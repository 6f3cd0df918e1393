"""The four sensors of Dagster's guide to asset sensors, in our own code.

Written as for Dagster: only the imports and the job definitions would be others there, and an op's config
would be a `Config` where it is a dataclass here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from treadle import (
    AssetKey,
    AssetMaterialization,
    JobDefinition,
    MultiAssetSensorEvaluationContext,
    RunConfig,
    RunRequest,
    SensorEvaluationContext,
    SkipReason,
    asset_sensor,
    multi_asset_sensor,
)

weekly_report = JobDefinition("weekly_report")
totals = JobDefinition("totals")


@dataclass
class ReportOptions:
    """What the op of `weekly_report` takes."""

    region: str


@asset_sensor(asset_key=AssetKey("daily_sales"), job_name="weekly_report")
def each_update() -> RunRequest:
    """A job when an asset is materialized."""
    return RunRequest()


@asset_sensor(asset_key=AssetKey("daily_sales"), job=weekly_report)
def updates_with_a_region(
    context: SensorEvaluationContext, asset_event: Any
) -> Iterator[RunRequest | SkipReason]:
    """Only materializations whose metadata has something."""
    materialization: AssetMaterialization = asset_event.dagster_event.event_specific_data.materialization
    if "region" in materialization.metadata:
        context.log.info("Starting the report of its region")
        yield RunRequest(run_key=context.cursor)
    else:
        yield SkipReason("The materialization names no region.")


@asset_sensor(asset_key=AssetKey("daily_sales"), job=weekly_report)
def reports_of_the_region(context: SensorEvaluationContext, asset_event: Any) -> Iterator[RunRequest]:
    """The metadata reaches the run's config."""
    materialization: AssetMaterialization = asset_event.dagster_event.event_specific_data.materialization
    if "region" in materialization.metadata:
        region = materialization.metadata["region"].value
        yield RunRequest(
            run_key=context.cursor,
            run_config=RunConfig(ops={"weekly_report": ReportOptions(region=region)}),
        )


@multi_asset_sensor(monitored_assets=[AssetKey("sales"), AssetKey("returns")], job=totals)
def both_updated(context: MultiAssetSensorEvaluationContext) -> RunRequest | None:
    """A job when each of several assets has been materialized since the last."""
    asset_events = context.latest_materialization_records_by_key()
    if all(asset_events.values()):
        context.advance_all_cursors()
        return RunRequest(run_key=context.cursor, run_config={})
    return None
