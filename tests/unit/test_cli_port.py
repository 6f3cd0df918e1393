"""`treadle port`: what it says of each line of a Dagster file, what it writes, and that the result runs."""

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import treadle
from tests.support.project import run
from tools.project import ROOT
from treadle import AssetMaterialization
from treadle.cli.port_file import Report, port
from treadle.cli.port_rules import CODE, DIFFERENT, NAMES, OPTIONS, SENSORS, WHICH, Level, options_of
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.testing import TreadleInstance

SIMPLE = '''\
"""Sensors of a folder."""

import os

import dagster as dg
import pandas as pd


class FileConfig(dg.Config):
    filename: str


@dg.op
def process_file(context: dg.OpExecutionContext, config: FileConfig):
    context.log.info(pd.read_csv(config.filename))


# The job for each file.
@dg.job(tags={"team": "data"}, executor_def=dg.in_process_executor)
def log_file_job():
    process_file()


FOLDER =    "in"  # as it was


@dg.sensor(target=log_file_job, minimum_interval_seconds=30)
def folder_sensor():
    for filename in ["a.csv", "b.csv"]:
        yield dg.RunRequest(
            run_key=filename,
            run_config=dg.RunConfig(ops={"process_file": FileConfig(filename=filename)}),
        )


defs = dg.Definitions(jobs=[log_file_job], sensors=[folder_sensor])
'''

SIMPLE_PORTED = '''\
"""Sensors of a folder."""

import os

import treadle as dg


class FileConfig(dg.Config):
    filename: str


# The job for each file.
log_file_job = dg.JobDefinition("log_file_job", tags={"team": "data"})


FOLDER =    "in"  # as it was


@dg.sensor(job=log_file_job, minimum_interval_seconds=30)
def folder_sensor():
    for filename in ["a.csv", "b.csv"]:
        yield dg.RunRequest(
            run_key=filename,
            run_config=dg.RunConfig(ops={"process_file": FileConfig(filename=filename)}),
        )


handler = dg.evaluator(folder_sensor)
'''

CURSOR = '''\
from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, job, op, sensor


@op
def step(): ...


@job
def number_job():
    step()


@sensor(job=number_job, default_status=DefaultSensorStatus.RUNNING)
def numbers(context: SensorEvaluationContext):
    last = int(context.cursor or 0)
    if last == 2:
        return SkipReason("That was the last one.")
    return SensorResult(run_requests=[RunRequest(run_key=str(last))], cursor=str(last + 1))
'''

RESOURCES = '''\
import dagster


class Api(dagster.ConfigurableResource):
    url: str

    def names(self):
        return [f"{self.url}/a"]


@dagster.job
def load(): ...


@dagster.sensor(job=load)
def watch(context: dagster.SensorEvaluationContext, api: Api):
    return [dagster.RunRequest(run_key=name) for name in api.names()]


defs = dagster.Definitions(
    sensors=[watch],
    resources={"api": Api(url="u"), "io_manager": dagster.FilesystemIOManager()},
)
'''

ASSET = '''\
from dagster import Definitions, asset, AssetKey, define_asset_job
from dagster import EventLogEntry, RunRequest, SensorEvaluationContext, asset_sensor


@asset(key_prefix="shop")
def orders():
    return 1


@asset(deps=[orders])
def report(): ...


report_job = define_asset_job(name="make_report", selection=[report])


@asset_sensor(asset_key=orders.key, job=report_job)
def on_orders(context: SensorEvaluationContext, asset_event: EventLogEntry):
    assert asset_event.dagster_event and asset_event.dagster_event.asset_key
    yield RunRequest(run_key=context.cursor, run_config={"path": list(asset_event.dagster_event.asset_key.path)})


defs = Definitions(assets=[orders, report], jobs=[report_job], sensors=[on_orders])
'''

MULTI_ASSET = '''\
import dagster as dg

both_job = dg.define_asset_job("both_job", selection="*")


@dg.multi_asset_sensor(monitored_assets=dg.AssetSelection.assets("a", dg.AssetKey(["b", "c"])), job=both_job)
def both(context: dg.MultiAssetSensorEvaluationContext):
    if all(context.latest_materialization_records_by_key().values()):
        context.advance_all_cursors()
        return dg.RunRequest()
'''

RUN_STATUS = '''\
from dagster import (
    DagsterRunStatus,
    RunRequest,
    RunStatusSensorContext,
    SkipReason,
    run_status_sensor,  # after each run
)
from my_project.jobs import first_job, report_job


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitor_all_repositories=False,
    job_selection=[first_job],
    request_job=report_job,
)
def report_success(context: RunStatusSensorContext):
    if context.dagster_run.job_name == report_job.name:
        return SkipReason("It is the report's own run.")
    return RunRequest(run_key=context.dagster_run.run_id)
'''

FAILURE = '''\
import dagster as dg

SENT = []


@dg.run_failure_sensor
def on_failure(context: dg.RunFailureSensorContext):
    SENT.append(f"{context.dagster_run.job_name}: {context.failure_event.message}")
'''

S3 = '''\
import dagster as dg
from dagster_aws.s3.sensor import get_s3_keys


@dg.sensor(job_name="load_object")
def objects(context):
    keys = get_s3_keys("bucket", since_key=context.cursor or None)
    if not keys:
        return dg.SkipReason("No new objects.")
    context.update_cursor(keys[-1])
    return [dg.RunRequest(run_key=key) for key in keys]
'''

SLACK = '''\
import os

from dagster_msteams import make_teams_on_run_failure_sensor
from dagster_slack import make_slack_on_run_failure_sensor
from dagster import make_email_on_run_failure_sensor

slack = make_slack_on_run_failure_sensor("#alerts", os.getenv("NO_TOKEN", "x"), dagit_base_url="https://ui")
teams = make_teams_on_run_failure_sensor(hook_url="https://teams.example.com/hook")
mail = make_email_on_run_failure_sensor("a@example.com", "secret", ["b@example.com"])
'''


class Case(NamedTuple):
    """A file, what is found in it, and what its port does."""

    source: str
    found: list[tuple[int, str]]
    works: list[int]
    check: Callable[[ModuleType], None]


def keys(instance: TreadleInstance, name: str) -> list[str | None]:
    return [run.run_key for run in instance.tick(name).runs]


def check_simple(module: ModuleType) -> None:
    runs = TreadleInstance([module.folder_sensor]).tick("folder_sensor").runs

    assert [run.run_key for run in runs] == ["a.csv", "b.csv"]
    assert runs[0].tags["team"] == "data"
    assert json.loads(runs[0].run_config) == {"ops": {"process_file": {"config": {"filename": "a.csv"}}}}


def check_cursor(module: ModuleType) -> None:
    instance = TreadleInstance([module.numbers])
    requested = []
    for _ in range(2):
        requested += keys(instance, "numbers")
        instance.clock.advance(60_000)

    assert requested == ["0", "1"]
    assert instance.tick("numbers").outcome.reason == "That was the last one."


def check_resources(module: ModuleType) -> None:
    assert keys(TreadleInstance([module.watch], resources={"api": module.Api(url="u")}), "watch") == ["u/a"]


def check_asset(module: ModuleType) -> None:
    instance = TreadleInstance([module.on_orders])
    instance.report_runless_asset_event(AssetMaterialization(["shop", "orders"]))

    [run] = instance.runs()
    assert (run.job, json.loads(run.run_config)) == ("make_report", {"path": ["shop", "orders"]})


def check_multi_asset(module: ModuleType) -> None:
    instance = TreadleInstance([module.both])
    instance.report_runless_asset_event(AssetMaterialization("a"))
    instance.report_runless_asset_event(AssetMaterialization(["b", "c"]))

    assert [run.job for run in instance.runs()] == ["both_job"]


def check_run_status(module: ModuleType) -> None:
    @treadle.sensor(job=module.first_job)
    def start() -> treadle.RunRequest:
        return treadle.RunRequest()

    instance = TreadleInstance([start, module.report_success])
    [run] = instance.tick("start").runs
    instance.finish_run(run)

    assert [each.run_key for each in instance.runs() if each.job == "report_job"] == [run.run_id]


def check_failure(module: ModuleType) -> None:
    @treadle.sensor(job=treadle.JobDefinition("load"))
    def start() -> treadle.RunRequest:
        return treadle.RunRequest()

    instance = TreadleInstance([start, module.on_failure])
    [run] = instance.tick("start").runs
    instance.finish_run(run, treadle.DagsterRunStatus.FAILURE)

    assert [text.partition(":")[0] for text in module.SENT] == ["load"]


def check_s3(module: ModuleType) -> None:
    module.get_s3_keys = lambda _bucket, since_key: [] if since_key else ["a", "b"]  # type: ignore[attr-defined]
    assert keys(TreadleInstance([module.objects]), "objects") == ["a", "b"]


def check_slack(module: ModuleType) -> None:
    assert all(isinstance(each, treadle.RunFailureSensorDefinition) for each in (module.slack, module.teams, module.mail))


CASES = {
    "simple": Case(SIMPLE, [], [], check_simple),
    "cursor": Case(CURSOR, [], [], check_cursor),
    "resources": Case(RESOURCES, [], [], check_resources),
    "asset": Case(ASSET, [], [], check_asset),
    "multi_asset": Case(MULTI_ASSET, [], [], check_multi_asset),
    "run_status": Case(RUN_STATUS, [], [], check_run_status),
    "failure": Case(FAILURE, [], [], check_failure),
    "s3": Case(S3, [], [], check_s3),
    "slack": Case(SLACK, [], [], check_slack),
}


def written(folder: Path, source: str | bytes) -> Path:
    path = folder / "sensors.py"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    return path


def ported(folder: Path, source: str | bytes) -> Report:
    report = port(written(folder, source))
    assert report
    return report


def loaded(code: bytes) -> ModuleType:
    module = ModuleType("app")
    exec(code, module.__dict__)
    return module


@pytest.mark.parametrize("name", CASES)
def test_debug(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    report = ported(tmp_path, case.source)
    print([(f.line, f.what) for f in report.findings if f.level is Level.CHANGE])
    print([f.line for f in report.findings if f.level is Level.WORKS])
    print([str(f) for f in report.findings if f.level not in (Level.CHANGE, Level.WORKS)])
    print(report.sensors)
    print(report.changed.decode())
    case.check(loaded(report.changed))
