"""Dagster's names around the instance: in tests, and as sensors read it."""

from typing import Any

import pytest

import treadle
from treadle import (
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterRunStatus,
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    build_sensor_context,
    instance_for_test,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)
from treadle.definitions.errors import InvalidReportError, InvalidResultError
from treadle.testing import TreadleInstance

load = JobDefinition("load")


def test_ephemeral_instance_is_an_in_memory_deployment() -> None:
    instance = DagsterInstance.ephemeral()
    instance.report_runless_asset_event(AssetMaterialization("a"))

    assert isinstance(instance, TreadleInstance)
    assert isinstance(build_sensor_context(instance).instance, DagsterInstance)
    assert not isinstance("instance", DagsterInstance)
    with instance_for_test() as another:
        assert another.get_latest_materialization_event(AssetKey("a")) is None


def test_instance_of_a_tick_is_a_dagster_instance() -> None:
    @sensor(job=load)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        return RunRequest(str(isinstance(context.instance, DagsterInstance)))

    assert [run.run_key for run in TreadleInstance([watch]).tick("watch").runs] == ["True"]


def test_asset_records_have_the_last_materialization_of_each_asset_that_has_one() -> None:
    instance, key = TreadleInstance([]), AssetKey("a")
    for partition in ("first", "last"):
        instance.report_runless_asset_event(AssetMaterialization(key, partition=partition), run_id="r-1")

    [record] = instance.get_asset_records([key, AssetKey("never")])

    entry = record.asset_entry
    assert (entry.asset_key, entry.last_materialization_storage_id, entry.last_run_id) == (key, 2, "r-1")
    assert entry.last_materialization is not None
    assert entry.last_materialization.partition_key == "last"
    with pytest.raises(DagsterInvariantViolationError, match="never listed"):
        instance.get_asset_records(None)  # type: ignore[arg-type]


def test_runs_are_counted_by_a_filter_and_found_by_their_id() -> None:
    @sensor(job=load)
    def watch() -> list[RunRequest]:
        return [RunRequest(str(number)) for number in range(3)]

    instance = TreadleInstance([watch])
    first, *_ = instance.tick("watch").runs

    assert (instance.has_run(first.run_id), instance.has_run("no")) == (True, False)
    assert instance.get_runs_count(RunsFilter(job_name="load")) == 3
    assert instance.get_runs_count(RunsFilter(job_name="load"), limit=2) == 2
    assert instance.get_runs_count(RunsFilter(job_name="load", statuses=[DagsterRunStatus.FAILURE])) == 0


def test_former_names_of_event_types_and_arguments_mean_the_same() -> None:
    failing = run_failure_sensor("failing", job_selection=[load])(lambda context: None)
    everywhere = run_status_sensor(DagsterRunStatus.SUCCESS, "all", monitor_all_repositories=True)(
        lambda context: None
    )

    assert DagsterEventType["PIPELINE_SUCCESS"] is DagsterEventType.RUN_SUCCESS
    assert (failing.monitored_jobs, everywhere.monitors_everything) == ((load,), True)
    with pytest.raises(
        DagsterInvalidDefinitionError, match="Cannot specify both monitored_jobs and job_selection"
    ):
        run_failure_sensor(monitored_jobs=[load], job_selection=[load])


def test_result_of_a_run_has_the_newer_names_of_its_events() -> None:
    @sensor(job=load)
    def watch() -> RunRequest:
        return RunRequest("a")

    instance = TreadleInstance([watch])
    [run] = instance.tick("watch").runs
    done = instance.finish_run(run)

    assert done.get_run_success_event() == done.get_job_success_event()
    with pytest.raises(ValueError, match="has no event of FAILURE"):
        done.get_run_failure_event()


def test_only_events_of_assets_are_recorded() -> None:
    other: Any = object()

    with pytest.raises(
        InvalidReportError,
        match=r"Only materializations and observations are recorded, not <object .*AssetObservation",
    ):
        TreadleInstance([]).report_runless_asset_event(other)
    with pytest.raises(
        InvalidResultError, match="asset_events must be a list of AssetMaterialization and AssetObs"
    ):
        SensorResult(asset_events=[other])
    with pytest.raises(AttributeError, match=r"'AssetCheckResult'. docs/guide/coming-from-dagster.md lists"):
        _ = treadle.AssetCheckResult  # type: ignore[attr-defined]


def test_each_sensor_of_an_instance_is_running() -> None:
    @sensor(job=JobDefinition("load"), default_status=DefaultSensorStatus.STOPPED)
    def stopped() -> RunRequest:
        return RunRequest()

    assert len(TreadleInstance([stopped]).tick("stopped").runs) == 1
