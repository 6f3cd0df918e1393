"""Sensors as Dagster's documentation and real projects write them: `treadle port` changes the file, and it runs."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from treadle import (
    AssetMaterialization,
    DagsterRun,
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    sensor,
)
from treadle.cli.port_file import port
from treadle.cli.port_rules import Level
from treadle.definitions.run_events import RunStatusEvent
from treadle.testing import TreadleInstance

Check = Callable[[ModuleType, Path], None]
CHECKS: dict[str, tuple[str, Check]] = {}


def shape(source: str) -> Callable[[Check], Check]:
    """Register the file of a shape of sensors with the function that runs them."""

    def register(check: Check) -> Check:
        CHECKS[check.__name__] = (source, check)
        return check

    return register


def keys(instance: TreadleInstance) -> list[str | None]:
    return [run.run_key for run in instance.runs()]


def deployment(*sensors: SensorDefinition, jobs: tuple[str, ...] = (), **options: Any) -> TreadleInstance:
    """Return a deployment in which `upstream` requests a run of each job."""

    @sensor(jobs=[JobDefinition(job) for job in jobs or ("upstream_job",)])
    def upstream() -> list[RunRequest]:
        return [RunRequest(job_name=job) for job in jobs or ("upstream_job",)]

    return TreadleInstance([*sensors, upstream], **options)


@shape("""\
import json
import os

import dagster as dg

from dagster_shop.defs import jobs
from dagster_shop.defs.jobs import refresh_job

FOLDER = "requests"


@dg.sensor(job=refresh_job)
def changed_requests(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    before = json.loads(context.cursor) if context.cursor else {}
    now, requests = {}, []
    for name in sorted(os.listdir(FOLDER)):
        now[name] = os.path.getmtime(os.path.join(FOLDER, name))
        if before.get(name) != now[name]:
            config = {"ops": {"refresh": {"config": {"file": name}}}}
            requests.append(dg.RunRequest(run_key=f"{name}_{now[name]}", run_config=config))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(now))


@dg.sensor(name="any_file", target=jobs.other_job, minimum_interval_seconds=5)
def new_files():
    if not os.listdir(FOLDER):
        yield dg.SkipReason("no file")
    for name in os.listdir(FOLDER):
        yield dg.RunRequest(run_key=name)
""")
def jobs_of_the_projects_own_package(module: ModuleType, folder: Path) -> None:
    (folder / "requests").mkdir()
    instance = TreadleInstance([module.changed_requests, module.new_files])
    assert instance.tick("any_file").outcome.reason == "no file"
    (folder / "requests" / "a.json").write_text("{}")

    first = instance.tick("changed_requests").runs
    assert [run.job for run in first] == ["refresh_job"]
    assert not instance.tick("changed_requests").runs
    os.utime(folder / "requests" / "a.json", (1, 1))
    assert [run.run_key for run in instance.tick("changed_requests").runs] == ["a.json_1.0"]
    assert [run.job for run in instance.tick("any_file").runs] == ["other_job"]


@shape("""\
import dagster as dg

report_job = None


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, request_job=report_job)
def report_success(context: dg.RunStatusSensorContext):
    if context.dagster_run.job_name == report_job.name:
        return dg.SkipReason("its own run")
    return dg.RunRequest(run_key=None, run_config={"ops": {"report": {"config": {"status": "good"}}}})


@dg.run_failure_sensor(request_job=report_job)
def report_failure(context: dg.RunFailureSensorContext):
    return dg.RunRequest(run_key=None, tags={"error": context.failure_event.message})
""")
def placeholder_of_a_job(module: ModuleType, folder: Path) -> None:
    instance = deployment(module.report_success, module.report_failure, jobs=("good", "bad"))
    good, bad = instance.tick("upstream").runs
    instance.finish_run(good)
    instance.finish_run(bad, DagsterRunStatus.FAILURE)

    reports = [run for run in instance.runs() if run.job == "report_job"]
    assert sorted(run.sensor for run in reports) == ["report_failure", "report_success"]
    instance.finish_run(next(run for run in reports if run.sensor == "report_success"))
    assert [tick.status.value for tick in instance.ticks("report_success")].count("SKIPPED") == 1


@shape("""\
import json

from dagster import AssetKey, DagsterEventType, EventRecordsFilter, RunRequest, SensorDefinition, job, op, sensor


@op
def step(): ...


@job
def digest():
    step()


def make_both_updated(target) -> SensorDefinition:
    @sensor(name=f"{target.name}_when_both_are_updated", job=target)
    def both_updated(context):
        cursors = json.loads(context.cursor) if context.cursor else {}
        found = {}
        for name in ("posts", "users"):
            filter_of_one = EventRecordsFilter(
                event_type=DagsterEventType.ASSET_MATERIALIZATION,
                asset_key=AssetKey(["core", name]),
                after_cursor=cursors.get(name),
            )
            found[name] = context.instance.get_event_records(filter_of_one, ascending=False, limit=1)
        if not all(found.values()):
            return
        yield RunRequest(run_key=None)
        context.update_cursor(json.dumps({name: records[0].storage_id for name, records in found.items()}))

    return both_updated


digest_sensor = make_both_updated(digest)
""")
def factory_that_reads_events_of_two_assets(module: ModuleType, folder: Path) -> None:
    instance = TreadleInstance([module.digest_sensor])
    name = "digest_when_both_are_updated"
    instance.report_runless_asset_event(AssetMaterialization(["core", "posts"]))
    assert not instance.tick(name).runs
    instance.report_runless_asset_event(AssetMaterialization(["core", "users"]))

    assert [run.job for run in instance.tick(name).runs] == ["digest"]
    assert not instance.tick(name).runs


@shape("""\
import json
from datetime import datetime, timedelta

import dagster as dg


@dg.asset
def source(context: dg.AssetExecutionContext) -> None: ...


first_job = dg.define_asset_job(name="first_job", selection="source")


@dg.sensor(job_name="last_job")
def both_within_a_day(context: dg.SensorEvaluationContext):
    ends = []
    for name in ("first_job", "second_job"):
        wanted = dg.RunsFilter(job_name=name, statuses=[dg.DagsterRunStatus.SUCCESS])
        ends += context.instance.get_run_records(
            filters=wanted, limit=1, order_by="update_timestamp", ascending=False
        )
    if len(ends) < 2:
        return dg.SkipReason("not both")
    times = [record.end_time for record in ends]
    before = json.loads(context.cursor) if context.cursor else [0, 0]
    limit = (datetime.now() - timedelta(days=1)).timestamp()
    if all(time > max(limit, last) for time, last in zip(times, before)):
        context.update_cursor(json.dumps(times))
        return dg.RunRequest(run_key=None, run_config={})
    return dg.SkipReason("not both within a day")
""")
def comparison_of_the_ends_of_runs(module: ModuleType, folder: Path) -> None:
    jobs = ("first_job", "second_job")
    instance = deployment(module.both_within_a_day, jobs=jobs, start=datetime.now(UTC))
    assert instance.tick("both_within_a_day").outcome.reason == "not both"
    for run in instance.tick("upstream").runs:
        instance.finish_run(run)

    assert [run.job for run in instance.tick("both_within_a_day").runs] == ["last_job"]
    assert instance.tick("both_within_a_day").outcome.reason == "not both within a day"


@shape("""\
import dagster as dg

seen = []


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=[dg.CodeLocationSelector(location_name="shop")]
)
def location_sensor():
    seen.append("location")


@dg.run_failure_sensor(
    monitored_jobs=[dg.JobSelector(location_name="shop", repository_name="main", job_name="load")]
)
def job_sensor():
    seen.append("job")


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, monitor_all_repositories=True)
def every_sensor():
    seen.append("every")
""")
def selectors_of_other_locations(module: ModuleType, folder: Path) -> None:
    instance = deployment(module.location_sensor, module.job_sensor, module.every_sensor)
    for status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE):
        run_id = f"5b1f0a52-0000-5000-8000-00000000000{len(module.seen)}"
        run = DagsterRun(run_id, "load", status, location="210987654321/eu-west-1/shop")
        instance.send(RunStatusEvent(run, status, datetime(2026, 11, 25, 6, tzinfo=UTC), number=1))

    assert sorted(module.seen) == ["every", "job", "location"]


PARTITIONED = """\
from dagster import (
    AssetKey,
    AssetSelection,
    DailyPartitionsDefinition,
    asset,
    define_asset_job,
    multi_asset_sensor,
)

daily = DailyPartitionsDefinition(start_date="2024-08-01")


@asset(partitions_def=daily)
def left(): ...


@asset(partitions_def=daily)
def right(): ...


joined_job = define_asset_job("joined_job", AssetSelection.keys("joined"), partitions_def=daily)


@multi_asset_sensor(asset_keys=[AssetKey("left"), AssetKey("right")], job=joined_job)
def both_of_a_day(context):
    requests = []
    for partition, records in context.latest_materialization_records_by_partition_and_asset().items():
        if CONDITION:
            requests.append(joined_job.run_request_for_partition(partition))
            for key, record in records.items():
                context.advance_cursor({key: record})
    return requests
"""


def report(instance: TreadleInstance, *events: tuple[str, str]) -> list[str | None]:
    """Report materializations of partitions, and return the partitions of the runs."""
    for asset, partition in events:
        instance.report_runless_asset_event(AssetMaterialization(asset, partition=partition))
    return [run.tags.get("dagster/partition") for run in instance.runs()]


@shape(PARTITIONED.replace("CONDITION", "set(records) == set(context.asset_keys)"))
def both_partitions_are_new(module: ModuleType, folder: Path) -> None:
    instance = TreadleInstance([module.both_of_a_day])

    assert report(instance, ("left", "2024-08-02"), ("right", "2024-08-01")) == []
    assert report(instance, ("left", "2024-08-01")) == ["2024-08-01"]
    assert report(instance, ("left", "2024-08-01")) == ["2024-08-01"]


@shape(
    PARTITIONED.replace(
        "CONDITION",
        "all(context.all_partitions_materialized(key, [partition]) for key in context.asset_keys)",
    )
)
def one_partition_is_new_and_both_are_there(module: ModuleType, folder: Path) -> None:
    instance = TreadleInstance([module.both_of_a_day])

    assert report(instance, ("left", "2024-08-02"), ("right", "2024-08-01")) == []
    assert report(instance, ("left", "2024-08-01")) == ["2024-08-01"]
    assert report(instance, ("left", "2024-08-01")) == ["2024-08-01", "2024-08-01"]


@shape("""\
from dagster import (
    AssetKey,
    DailyPartitionsDefinition,
    WeeklyPartitionsDefinition,
    asset,
    define_asset_job,
    multi_asset_sensor,
)

daily = DailyPartitionsDefinition(start_date="2024-08-01")
weekly = WeeklyPartitionsDefinition(start_date="2024-08-01")


@asset(partitions_def=daily)
def day(): ...


@asset(partitions_def=weekly, deps=[day])
def week(): ...


week_job = define_asset_job("week_job", selection=["week"], partitions_def=weekly)


@multi_asset_sensor(asset_keys=[AssetKey("day")], job=week_job)
def whole_weeks(context):
    requests = {}
    for partition, record in context.latest_materialization_records_by_partition(AssetKey("day")).items():
        weeks = context.get_downstream_partition_keys(
            partition, from_asset_key=AssetKey("day"), to_asset_key=AssetKey("week")
        )
        for each in weeks:
            days = context.get_downstream_partition_keys(
                each, from_asset_key=AssetKey("week"), to_asset_key=AssetKey("day")
            )
            if context.all_partitions_materialized(AssetKey("day"), days):
                requests[each] = week_job.run_request_for_partition(each)
                context.advance_cursor({AssetKey("day"): record})
    return list(requests.values())
""")
def days_of_a_week(module: ModuleType, folder: Path) -> None:
    instance = TreadleInstance([module.whole_weeks])

    assert report(instance, *(("day", f"2024-08-{day:02}") for day in range(4, 10))) == []
    assert report(instance, ("day", "2024-08-10")) == ["2024-08-04"]


@shape("""\
import dagster as dg


class ReportConfig(dg.Config):
    region: str


@dg.asset
def sales(context: dg.AssetExecutionContext):
    yield dg.MaterializeResult(metadata={"region": "north"})


report_job = dg.define_asset_job("report_job", selection=["report"])


@dg.asset_sensor(asset_key=dg.AssetKey("sales"), job=report_job)
def on_sales(context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry):
    materialization: dg.AssetMaterialization = asset_event.dagster_event.event_specific_data.materialization
    if "region" not in materialization.metadata:
        return dg.SkipReason("no region")
    config = ReportConfig(region=materialization.metadata["region"].value)
    context.log.info("a report is due")
    return dg.RunRequest(run_key=context.cursor, run_config=dg.RunConfig(ops={"report": config}))


@dg.multi_asset_sensor(monitored_assets=[dg.AssetKey("sales"), dg.AssetKey("stock")], job=report_job)
def on_both(context):
    records = context.latest_materialization_records_by_key()
    missing = [key.to_user_string() for key, record in records.items() if not record]
    if missing:
        return dg.SkipReason(f"not yet: {missing}")
    context.advance_all_cursors()
    return dg.RunRequest(run_config={"region": records[dg.AssetKey("sales")].asset_materialization.metadata["region"].value})
""")
def metadata_of_a_materialization(module: ModuleType, folder: Path) -> None:
    instance = TreadleInstance([module.on_sales, module.on_both])
    instance.report_runless_asset_event(AssetMaterialization("sales"))
    [bare] = instance.ticks("on_sales")
    assert bare.status.value == "SKIPPED"
    instance.report_runless_asset_event(AssetMaterialization("sales", metadata={"region": "north"}))

    [run] = instance.runs()
    assert json.loads(run.run_config) == {"ops": {"report": {"config": {"region": "north"}}}}
    instance.report_runless_asset_event(AssetMaterialization("stock"))
    assert {"region": "north"} in [json.loads(each.run_config) for each in instance.runs()]


@shape("""\
from dagster import RunRequest, SkipReason, job, op, repository, resource, sensor


@op
def step(): ...


@job
def load():
    step()


@resource
def credentials(_):
    return "user"


@resource(required_resource_keys={"credentials"})
def database(context):
    return [f"{context.resources.credentials}-{number}" for number in range(2)]


@sensor(job=load, required_resource_keys={"database"})
def rows(context):
    for row in context.resources.database:
        yield RunRequest(run_key=row)


@sensor(job=load)
def logs_only(context):
    context.log.info("looked")
    return SkipReason("nothing to do")


@repository
def shop():
    return [load, rows, logs_only]
""")
def repository_with_resources(module: ModuleType, folder: Path) -> None:
    resources = {"credentials": module.credentials, "database": module.database}
    instance = TreadleInstance([module.rows, module.logs_only], resources=resources)
    instance.tick("rows")

    assert keys(instance) == ["user-0", "user-1"]
    assert instance.tick("logs_only").outcome.reason == "nothing to do"


@pytest.mark.parametrize("name", CHECKS)
def test_sensors_of_this_shape_port_and_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, check = CHECKS[name]
    path = tmp_path / "sensors.py"
    path.write_text(source)

    report = port(path)

    assert report is not None
    assert [str(each) for each in report.findings if each.level in {Level.HAND, Level.IMPOSSIBLE}] == []
    module = ModuleType("app")
    exec(report.changed, module.__dict__)
    monkeypatch.chdir(tmp_path)
    check(module, tmp_path)
