"""Starts `process_large_file` for each summary of a file with more rows than the deployment's limit."""

import os

from treadle import (
    AssetKey,
    EventLogEntry,
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    SkipReason,
    asset_sensor,
    evaluator,
)

SUMMARIES = AssetKey("summaries")
process_large_file = JobDefinition("process_large_file")


@asset_sensor(SUMMARIES, job=process_large_file)
def large_files(context: SensorEvaluationContext, asset_event: EventLogEntry) -> RunRequest | SkipReason:
    """Start one run for each materialization; a second delivery is the same tick, and starts nothing."""
    made = asset_event.asset_materialization
    summary = made.plain_metadata if made else {}
    rows, most = int(summary.get("rows", 0)), int(os.environ["LARGE_FILES_ROWS"])
    if rows <= most:
        return SkipReason(f"It has {rows} rows, and {most} are not large yet.")
    context.log.info(asset_event.message)
    return RunRequest(run_config=summary, partition_key=asset_event.partition_key)


handler = evaluator(large_files)
