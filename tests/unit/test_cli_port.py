"""`treadle port`: what it says of each line of a Dagster file, what it writes, and that the result runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import treadle
from tests.support.project import run
from tools.project import ROOT
from tools.project_copy import copy_of_project
from treadle import AssetMaterialization
from treadle.cli.port_file import Report, port
from treadle.cli.port_rules import CODE, MEMBERS, NAMES, OPTIONS, SENSORS, Level, options_of
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.testing import TreadleInstance

GUIDE = ROOT / "docs" / "guide" / "coming-from-dagster.md"

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


@dg.sensor(job=log_file_job, minimum_interval_seconds=30)
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

CURSOR = """\
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
"""

RESOURCES = """\
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
"""

ASSET = """\
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
"""

MULTI_ASSET = """\
import dagster as dg

both_job = dg.define_asset_job("both_job", selection="*")


@dg.multi_asset_sensor(monitored_assets=dg.AssetSelection.assets("a", dg.AssetKey(["b", "c"])), job=both_job)
def both(context: dg.MultiAssetSensorEvaluationContext):
    if all(context.latest_materialization_records_by_key().values()):
        context.advance_all_cursors()
        return dg.RunRequest()
"""

RUN_STATUS = """\
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
"""

FAILURE = """\
import dagster as dg

SENT = []


@dg.run_failure_sensor
def on_failure(context: dg.RunFailureSensorContext):
    SENT.append(f"{context.dagster_run.job_name}: {context.failure_event.message}")
"""

S3 = """\
import dagster as dg
from dagster_aws.s3.sensor import get_s3_keys


@dg.sensor(job_name="load_object")
def objects(context):
    keys = get_s3_keys("bucket", since_key=context.cursor or None)
    if not keys:
        return dg.SkipReason("No new objects.")
    context.update_cursor(keys[-1])
    return [dg.RunRequest(run_key=key) for key in keys]
"""

SLACK = """\
import os

from dagster_msteams import make_teams_on_run_failure_sensor
from dagster_slack import make_slack_on_run_failure_sensor
from dagster import make_email_on_run_failure_sensor

slack = make_slack_on_run_failure_sensor("#alerts", os.getenv("NO_TOKEN", "x"), dagit_base_url="https://ui")
teams = make_teams_on_run_failure_sensor(hook_url="https://teams.example.com/hook")
mail = make_email_on_run_failure_sensor("a@example.com", "secret", ["b@example.com"])
"""


class Case(NamedTuple):
    """A file, what is found in it, and what its port does."""

    source: str
    found: list[tuple[int, str]]
    works: list[int]
    new: str
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
    assert all(
        isinstance(each, treadle.RunFailureSensorDefinition)
        for each in (module.slack, module.teams, module.mail)
    )


CASES = {
    "simple": Case(
        SIMPLE,
        [
            (5, "import dagster"),
            (6, "import of pandas as pd"),
            (13, "@op process_file"),
            (19, "@job log_file_job"),
            (36, "Definitions defs"),
            (36, "handler"),
        ],
        [9, 27, 30, 32],
        "folder_sensor --kind schedule --job log_file_job --interval 30",
        check_simple,
    ),
    "cursor": Case(
        CURSOR,
        [(1, "from dagster import"), (4, "@op step"), (8, "@job number_job"), (18, "handler")],
        [13, 14, 17],
        "numbers --kind schedule --job number_job",
        check_cursor,
    ),
    "resources": Case(
        RESOURCES,
        [(1, "import dagster"), (11, "@job load"), (20, "Definitions defs"), (23, "handler")],
        [4, 15, 16, 17],
        "watch --kind schedule --job load",
        check_resources,
    ),
    "asset": Case(
        ASSET,
        [
            (1, "from dagster import"),
            (2, "from dagster import"),
            (5, "@asset orders"),
            (10, "@asset report"),
            (14, "define_asset_job report_job"),
            (17, "orders.key"),
            (23, "Definitions defs"),
            (23, "handler"),
        ],
        [18, 20],
        "on_orders --kind asset --asset shop/orders --job make_report",
        check_asset,
    ),
    "multi_asset": Case(
        MULTI_ASSET,
        [
            (1, "import dagster"),
            (3, "define_asset_job both_job"),
            (6, "AssetSelection.assets"),
            (10, "handler"),
        ],
        [7],
        "both --kind multi-asset --asset a --asset b/c --job both_job",
        check_multi_asset,
    ),
    "run_status": Case(
        RUN_STATUS,
        [
            (1, "from dagster import"),
            (8, "import of first_job"),
            (8, "import of report_job"),
            (20, "handler"),
        ],
        [11, 12, 17, 19],
        "report_success --kind run-status --jobs first_job --job report_job",
        check_run_status,
    ),
    "failure": Case(
        FAILURE,
        [(1, "import dagster"), (8, "handler")],
        [6, 7],
        "on_failure --kind run-failure",
        check_failure,
    ),
    "s3": Case(
        S3,
        [(1, "import dagster"), (2, "from dagster_aws.s3.sensor import"), (11, "handler")],
        [5, 7, 9],
        "objects --kind schedule --job load_object",
        check_s3,
    ),
    "slack": Case(
        SLACK,
        [(3, "from dagster_msteams import"), (4, "from dagster_slack import"), (5, "from dagster import")],
        [7, 8, 9],
        "slack --kind run-failure",
        check_slack,
    ),
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


def found(report: Report, *levels: Level) -> list[tuple[int, str]]:
    return [(each.line, each.subject) for each in report.findings if each.level in levels]


@pytest.mark.parametrize("name", CASES)
def test_file_that_ports_wholly_runs(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = written(tmp_path, case.source)

    done = run("port", path, "--write")

    assert done.exit_code == 0, done.output
    assert f"Next: treadle new sensor {case.new}" in done.stdout
    case.check(loaded(path.read_bytes()))


@pytest.mark.parametrize("name", CASES)
def test_each_line_is_reported(name: str, tmp_path: Path) -> None:
    report = ported(tmp_path, CASES[name].source)

    assert found(report, Level.CHANGE) == CASES[name].found
    assert [line for line, _ in found(report, Level.WORKS)] == CASES[name].works
    assert not found(report, Level.HAND, Level.IMPOSSIBLE)


def test_lines_that_need_no_change_stay_as_they_are(tmp_path: Path) -> None:
    assert ported(tmp_path, SIMPLE).changed.decode() == SIMPLE_PORTED


def test_commands_that_come_next_write_the_sensors(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)

    for case in CASES.values():
        name, *options = case.new.split()
        done = run("new", "sensor", f"ported_{name}", *options, "--root", project)
        assert done.exit_code == 0, done.output


LEFT = """\
from dagster import AutomationCondition, Foo, RunRequest, SensorResult, asset, graph, job
from dagster import build_sensor_context, materialize, schedule, sensor
from dagster_dbt import DbtCliResource
from . import settings


@graph
def pipeline(): ...


first = pipeline.to_job(config={"a": 1}, hooks=set())


@asset
def thing(): ...


@sensor(job=first, frequency=1)
def watch(context):
    context.definitions
    context.frob()
    context.instance.wipe(settings.PART)
    requests = [RunRequest("a", {}, {}, "job", None, "p", stale_assets_only=True)]
    return SensorResult(run_requests=requests, automation_condition_evaluations=[])


@schedule(job=first, cron_schedule="@daily")
def daily(): ...


def test_watch(sensor):
    materialize([thing])
    first.execute_in_process()
    sensor(Foo, DbtCliResource, AutomationCondition, build_sensor_context(definitions=None, cursor="a"))
"""


def test_what_does_not_port_is_said_with_its_line_and_stays(tmp_path: Path) -> None:
    path = written(tmp_path, LEFT)
    report = ported(tmp_path, LEFT)

    done = run("port", path, "--write")

    assert found(report, Level.IMPOSSIBLE) == [
        (23, "stale_assets_only of RunRequest"),
        (24, "automation_condition_evaluations of SensorResult"),
        (27, "schedule"),
        (34, "AutomationCondition"),
    ]
    assert found(report, Level.HAND) == [
        (4, "import of settings"),
        (11, "config of to_job"),
        (18, "frequency of sensor"),
        (20, "context.definitions"),
        (21, "context.frob"),
        (22, "context.instance.wipe"),
        (23, "arguments of RunRequest"),
        (32, "materialize"),
        (32, "thing"),
        (33, "first.execute_in_process"),
        (34, "Foo"),
        (34, "DbtCliResource"),
    ]
    assert done.exit_code == 1
    assert f"{path}:27: schedule: cannot be expressed, as only sensors are evaluated. " in done.stdout
    assert f"{path}:34: Foo: not known: Treadle has no Foo. By hand: look for it in the guide" in done.stdout
    assert "12 change by hand, 4 cannot be expressed." in done.stdout
    after = path.read_text()
    assert "from dagster import AutomationCondition, Foo\n" in after
    assert "from dagster import materialize, schedule\n" in after
    assert "build_sensor_context(cursor=" in after
    assert "Set hooks where it runs." in done.stdout


def test_options_that_a_job_loses_are_reported_wherever_it_is_defined(tmp_path: Path) -> None:
    report = ported(
        tmp_path,
        "import dagster as dg\n"
        'load = dg.define_asset_job("load", "a", {"ops": {}}, "text", hooks=HOOKS)\n'
        '@dg.sensor(job=dg.define_asset_job("clean", config={"ops": {}}, hooks=HOOKS))\n'
        "def watch(): ...\n",
    )

    assert found(report, Level.HAND) == [(2, "config of define_asset_job"), (3, "config of define_asset_job")]
    assert [each.line for each in report.findings if "Set hooks where it runs" in each.advice] == [2, 3]
    assert b'load = dg.JobDefinition("load", description="text")\n' in report.changed


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("dg.DynamicPartitionsDefinition(name='a')", ("SensorResult", "dynamic_partitions_requests")),
        ("dg.SensorResult(dynamic_partitions_requests=[])", ("SensorResult", "dynamic_partitions_requests")),
        ("dg.RunRequest(asset_selection=[])", ("RunRequest", "asset_selection")),
    ],
)
def test_what_is_not_built_cannot_be_expressed_until_it_is(
    code: str, needs: tuple[str, str], tmp_path: Path
) -> None:
    is_built = needs[1] in (options_of(needs[0]) or ())

    report = ported(tmp_path, f"import dagster as dg\n\nx = {code}\n")

    assert bool(found(report, Level.IMPOSSIBLE)) is not is_built


def test_name_that_treadle_gets_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treadle, "__all__", [*treadle.__all__, "Foo"])
    monkeypatch.setattr(treadle, "Foo", lambda *, new: new, raising=False)

    report = ported(tmp_path, "import dagster as dg\n\nx = dg.Foo(new=1)\ny = dg.Foo(old=1)\n")

    assert found(report, Level.WORKS) == [(3, "Foo")]
    assert found(report, Level.HAND) == [(4, "old of Foo")]


def test_several_sensors_get_no_handler_and_say_what_becomes_of_resources(tmp_path: Path) -> None:
    source = RESOURCES + "\n\n@dagster.sensor(job=load)\ndef second(api: Api): ...\n"

    report = ported(tmp_path, source)

    assert b"evaluator" not in report.changed
    assert [each.variable for each in report.sensors] == ["watch", "second"]
    assert found(report, Level.HAND) == [(22, 'resources {"api": Api(url="u")} of Definitions')]


def test_everything_of_dagster_is_taken_from_treadle(tmp_path: Path) -> None:
    source = "from dagster import *\n\n\n@job\ndef load(): ...\n\n\n@sensor(target=load)\ndef watch(): ...\n"

    module = loaded(ported(tmp_path, source).changed)

    assert module.watch.job_name == "load"


@pytest.mark.parametrize(
    ("target", "becomes", "job"),
    [
        ("[my_asset]", 'job_name="watch_job"', "watch_job"),
        ("dg.AssetSelection.all()", 'job_name="watch_job"', "watch_job"),
        ('"load"', 'job_name="watch_job"', "watch_job"),
        ('["load", "a/b"]', 'job_name="watch_job"', "watch_job"),
        ("load", "target=load", "load"),
        ("[load, load]", "jobs=[load, load]", "load"),
        ('None, job_name="load"', 'target=None, job_name="load"', "load"),
    ],
)
def test_target_becomes_a_job(target: str, becomes: str, job: str, tmp_path: Path) -> None:
    source = f"""
import dagster as dg

@dg.asset
def my_asset(): ...

load = dg.define_asset_job("load")

@dg.sensor(target={target})
def watch(): ...
"""
    report = ported(tmp_path, source)

    assert f"@dg.sensor({becomes})" in report.changed.decode()
    assert report.sensors == [("watch", "schedule", f"--job {job}")]
    assert not found(report, Level.HAND, Level.IMPOSSIBLE)
    assert loaded(report.changed).watch.has_jobs


SELECTING = """
import dagster as dg

raw = dg.AssetSpec("raw", kinds={"s3"}, deps=["outside"])

@dg.asset(deps=[raw], group_name="shop")
def orders(): ...

@dg.asset(key_prefix="shop")
def report(orders): ...

derived = dg.AssetSpec("derived", deps=[orders, raw], group_name="x")
some = dg.define_asset_job("some", selection=[orders, "shop/report"])
all_of_them = dg.define_asset_job("all_of_them")
both = dg.define_asset_job("both", dg.AssetSelection.assets(orders) | dg.AssetSelection.keys("shop/report"))

@dg.sensor(job=some)
def of_a_job(context):
    return dg.RunRequest(asset_selection=[orders.key])

@dg.sensor({option})
def of_assets(context):
    return [dg.RunRequest("1", asset_selection=[dg.AssetKey("orders")]), dg.RunRequest("2")]
"""


@pytest.mark.parametrize(
    ("option", "keys"),
    [
        ("target=[orders, report]", {"orders", "shop/report"}),
        ("asset_selection=dg.AssetSelection.assets(orders, report)", {"orders", "shop/report"}),
        ('asset_selection=["orders", dg.AssetKey("x")]', {"orders", "x"}),
        ('target="*"', {"orders", "shop/report"}),
        ("asset_selection=dg.AssetSelection.all()", {"orders", "shop/report"}),
        ("target=[derived, orders.key]", {"orders", "derived"}),
    ],
)
def test_requests_that_select_assets_make_the_jobs_list_them(
    option: str, keys: set[str], tmp_path: Path
) -> None:
    report = ported(tmp_path, SELECTING.replace("{option}", option))

    assert not found(report, Level.HAND, Level.IMPOSSIBLE)
    assert (4, "kinds of AssetSpec") in found(report, Level.CHANGE)
    module = loaded(report.changed)
    listed = {
        job.name: {key.to_user_string() for key in job.asset_keys}
        for job in (module.some, module.all_of_them, module.both, module.of_assets.job)
    }
    every = {"orders", "shop/report"}
    assert listed == {"some": every, "all_of_them": every, "both": every, "of_assets_job": keys}
    assert [dep.asset_key.to_user_string() for dep in module.derived.deps] == ["orders", "raw"]
    instance = TreadleInstance([module.of_a_job, module.of_assets])
    runs = [run for name in ("of_a_job", "of_assets") for run in instance.tick(name).runs]
    assert [(run.job, run.tags.get("treadle/asset_selection")) for run in runs] == [
        ("some", '["orders"]'),
        ("of_assets_job", '["orders"]'),
        ("of_assets_job", None),
    ]


def test_request_assets_of_a_multi_asset_sensor_are_those_of_a_job(tmp_path: Path) -> None:
    source = """
import dagster as dg

@dg.multi_asset_sensor(
    monitored_assets=dg.AssetSelection.keys("shop/orders"), request_assets=dg.AssetSelection.assets("report")
)
def both(context):
    context.advance_all_cursors()
    return dg.RunRequest({selection})
"""

    plain = ported(tmp_path, source.replace("{selection}", ""))
    selecting = ported(tmp_path, source.replace("{selection}", 'asset_selection=[dg.AssetKey("report")]'))

    for report in (plain, selecting):
        assert not found(report, Level.HAND, Level.IMPOSSIBLE)
        assert report.sensors == [("both", "multi-asset", "--asset shop/orders --job both_job")]
        assert loaded(report.changed).both.monitored_assets == (treadle.AssetKey(["shop", "orders"]),)
    assert loaded(plain.changed).both.job.assets is None
    assert loaded(selecting.changed).both.job.asset_keys == {treadle.AssetKey("report")}


def test_sensor_without_a_target_gets_a_job_for_the_assets_that_it_requests(tmp_path: Path) -> None:
    source = """
import dagster as dg

@dg.asset(group_name="streaming")
def processed_claims(context: dg.AssetExecutionContext): ...

@dg.sensor(minimum_interval_seconds=120, name="streaming")
def freshness(context: dg.SensorEvaluationContext):
    return dg.SensorResult(run_requests=[dg.RunRequest(asset_selection=[processed_claims.key])])
"""

    report = ported(tmp_path, source)

    assert (7, "sensor freshness") in found(report, Level.CHANGE)
    assert report.sensors == [("freshness", "schedule", "--job freshness_job --interval 120")]
    [run] = TreadleInstance([loaded(report.changed).freshness]).tick("streaming").runs
    assert (run.job, run.tags["treadle/asset_selection"]) == ("freshness_job", '["processed_claims"]')


@pytest.mark.parametrize(
    "sensor",
    [
        "@dg.sensor()\ndef s(): ...",
        "@dg.sensor(name='s')\ndef s(): return dg.RunRequest(asset_selection=keys)",
    ],
)
def test_sensor_whose_assets_cannot_be_read_gets_no_job(sensor: str, tmp_path: Path) -> None:
    report = ported(tmp_path, f"import dagster as dg\nkeys = []\n{sensor}\n")

    assert b"job=" not in report.changed


def test_selection_that_cannot_be_read_is_left_to_its_author(tmp_path: Path) -> None:
    source = """
import dagster as dg

some = dg.define_asset_job("some", selection=dg.AssetSelection.groups("x"))

@dg.sensor(target=dg.AssetSelection.groups("x").upstream())
def watch(): return dg.RunRequest(asset_selection=[dg.AssetKey("a")])

@dg.multi_asset_sensor(monitored_assets=dg.AssetSelection.groups("x"), job=some)
def both(context): ...

plus = dg.define_asset_job("plus", selection="a+")
tagged = dg.AssetSelection.tag("a", "b")
checks = dg.AssetSelection.all_asset_checks()
"""

    report = ported(tmp_path, source)

    assert found(report, Level.HAND) == [
        (4, "selection of define_asset_job"),
        (6, "target of sensor"),
        (9, "AssetSelection"),
        (12, "selection of define_asset_job"),
    ]
    assert found(report, Level.IMPOSSIBLE) == [
        (13, "AssetSelection.tag"),
        (14, "AssetSelection.all_asset_checks"),
    ]


def test_option_under_a_former_name_is_renamed(tmp_path: Path) -> None:
    source = """
import dagster as dg

@dg.multi_asset_sensor(asset_keys=[dg.AssetKey("a")], job_name="load")
def both(context): ...
"""
    report = ported(tmp_path, source)

    assert found(report, Level.CHANGE)[1] == (4, "asset_keys of multi_asset_sensor")
    assert report.sensors == [("both", "multi-asset", "--asset a --job load")]
    assert list(loaded(report.changed).both.monitored_assets) == [treadle.AssetKey("a")]


def test_blocks_whose_imports_and_code_all_go_stay_blocks(tmp_path: Path) -> None:
    source = """
from typing import TYPE_CHECKING
import dagster as dg
if TYPE_CHECKING:
    import pandas
    from dagster import OpExecutionContext
if dg.DagsterRunStatus:
    @dg.op
    def one(context: OpExecutionContext) -> pandas.DataFrame: ...
    jobs = [dg.define_asset_job("load"), one]
"""

    report = ported(tmp_path, source)

    assert report.changed.decode().count("    pass") == 3
    assert '[dg.JobDefinition("load"), one]' in report.changed.decode()
    assert found(report, Level.HAND) == [(10, "one")]


def test_job_of_another_module_is_only_defined_if_it_has_a_name(tmp_path: Path) -> None:
    source = """
from dagster import sensor
from dagster_shop import build, jobs, other
@sensor(job=jobs.load)
def first(): ...
@sensor(jobs=[build("a"), other, build.all.jobs])
def second(): ...
"""

    report = ported(tmp_path, source)

    assert found(report, Level.HAND) == [(6, 'job build("a")'), (6, "job build.all.jobs")]
    assert b'other = JobDefinition("other")' in report.changed
    assert b'@sensor(job=JobDefinition("load"))' in report.changed
    assert b"from dagster_shop import build\n" in report.changed


def test_placeholder_of_a_job_becomes_one_where_a_sensor_takes_it(tmp_path: Path) -> None:
    source = """
import dagster as dg
mail = None
report = None
@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, request_job=report)
def first():
    later = None
@dg.run_failure_sensor(request_job=report)
def second(): ...
"""

    report = ported(tmp_path, source)

    assert found(report, Level.CHANGE)[1] == (4, "job report")
    assert b'mail = None\nreport = dg.JobDefinition("report")\n' in report.changed
    assert b"    later = None\n" in report.changed
    assert all("--job report" in each.options for each in report.sensors)


def test_what_is_code_or_of_another_library_is_known_where_it_is_only_named(tmp_path: Path) -> None:
    source = """
import dagster as dg
from dagster_snowflake import SnowflakeResource
@dg.sensor(job_name="load")
def watch(context, snowflake: SnowflakeResource) -> dg.Definitions: ...
"""

    report = ported(tmp_path, source)

    facts = {each.subject: each.fact for each in report.findings if each.level is Level.HAND}
    assert facts == {
        "SnowflakeResource": NAMES["*Resource"].fact,
        "Definitions": CODE["Definitions"].fact,
    }


@pytest.mark.parametrize(
    "source",
    [
        "#!/usr/bin/env python\nX = 1\nimport dagster_slack\n\n\ns = dagster_slack.make_slack_on_run_failure_sensor('#c', 't')\n",
        "X = 1\nif X:\n    from dagster import sensor\n\n\n@sensor(job_name='load')\ndef watch(): ...\n",
        "import dagster as dg\n\ndefs = dg.Definitions.merge(dg.Definitions(), dg.Definitions())\n",
    ],
)
def test_unusual_imports(source: str, tmp_path: Path) -> None:
    report = ported(tmp_path, source)

    assert not found(report, Level.HAND, Level.IMPOSSIBLE)
    assert (
        report.changed.startswith(source.partition("\n")[0].replace("dagster", "treadle").encode())
        or b"from treadle" in report.changed
    )
    assert ("handler" in vars(loaded(report.changed))) is bool(report.sensors)


def test_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, FAILURE)

    def refuse(_path: Path, _data: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    done = run("port", path, "--write")

    assert done.exit_code == 2
    assert f"{path}: cannot be written: Permission denied." in done.stderr


def test_name_is_taken_from_an_import_above(tmp_path: Path) -> None:
    source = "from dagster import job\n\n\n@job\ndef load(): ...\n\n\nimport dagster as dg\n\nx = dg.SkipReason()\n"

    loaded(ported(tmp_path, source).changed)


def test_encoding_and_line_ends_stay(tmp_path: Path) -> None:
    source = "# coding: latin-1\r\nimport dagster\r\n\r\nNAME = 'é'\r\nx = dagster.SkipReason(NAME)"

    report = ported(tmp_path, source.encode("latin-1"))

    assert report.changed == source.replace("dagster", "treadle").encode("latin-1")


def test_byte_order_mark_stays(tmp_path: Path) -> None:
    assert ported(tmp_path, b"\xef\xbb\xbfimport dagster\n").changed == b"\xef\xbb\xbfimport treadle\n"


def test_nothing_is_written_or_executed_without_write(tmp_path: Path) -> None:
    path = written(tmp_path, "import dagster\nraise SystemExit(3)\n")
    before = path.read_bytes()

    assert run("port", path).exit_code == 0
    assert path.read_bytes() == before


def test_json_has_each_finding(tmp_path: Path) -> None:
    done = run("port", written(tmp_path, LEFT), "--json")

    [file] = json.loads(done.stdout)
    assert done.exit_code == 1
    assert file["written"] is False
    assert file["sensors"] == [{"variable": "watch", "kind": "schedule", "options": "--job pipeline"}]
    assert {
        "line": 27,
        "level": "cannot be expressed",
        "subject": "schedule",
        "fact": "only sensors are evaluated",
        "advice": "Start the job by EventBridge Scheduler",
        "link": "docs/guide/coming-from-dagster.md#which-one-to-use",
    } in file["findings"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"import dagster\ndef f(:\n", "sensors.py:2: is not Python: invalid syntax. Correct it"),
        (b"import dagster\nprint 'a'\n", "sensors.py:2: is not Python: "),
        (b"\x00\x01\x02\xff\xfe", "sensors.py: is not Python: "),
        (b"\x89PNG\r\n\x1a\n\x00", "is not Python: "),
        (b"import dagster\n\x00", "is not Python: "),
        (b"# coding: klingon\nimport dagster\n", "is not Python: unknown encoding"),
        (b"import os\n", "sensors.py: imports nothing of Dagster. Give files that import dagster."),
        (b"", "sensors.py: imports nothing of Dagster."),
        (b"x = " + b"(" * 5000 + b")" * 5000, "is not Python: "),
    ],
)
def test_file_that_is_no_dagster_file_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", written(tmp_path, content)
    good.write_text(FAILURE)

    done = run("port", good, bad, "--write")

    assert done.exit_code == 2
    assert problem in done.stderr
    assert good.read_text() == FAILURE


@pytest.mark.parametrize(
    ("name", "problem"), [("none.py", "No such file or directory"), (".", "Is a directory")]
)
def test_what_cannot_be_read_is_refused(name: str, problem: str, tmp_path: Path) -> None:
    done = run("port", tmp_path / name)

    assert done.exit_code == 2
    assert f"{tmp_path / name}: cannot be read: {problem}." in done.stderr


def test_guide_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(source, name, printed)] = re.findall(
        r"^```py\n(.*?)^```$.*?^```console\n\$ treadle port (\S+)\n(.*?)^```$",
        GUIDE.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)

    assert run("port", name).stdout == printed


def test_tables_fit_the_guide_and_the_commands() -> None:
    guide = GUIDE.read_text()
    anchors = {
        re.sub(r"[^a-z ]", "", line.lower()).strip().replace(" ", "-")
        for line in guide.splitlines()
        if line.startswith("## ")
    }

    assert {rule.section for rule in (*NAMES.values(), *OPTIONS.values(), *MEMBERS.values())} <= anchors
    assert set(SENSORS.values()) <= set(SENSOR_KINDS)
    assert not set(CODE) & set(NAMES)


def test_tables_have_no_rule_for_what_exists() -> None:
    classes = [value for name in treadle.__all__ if isinstance(value := getattr(treadle, name), type)]

    assert not {*CODE, *NAMES} & set(treadle.__all__)
    assert not {name for name in MEMBERS for each in classes if hasattr(each, name)}
    assert not {name for name in OPTIONS for sensor in SENSORS if name in (options_of(sensor) or ())}
    assert not set(OPTIONS) & {*(options_of("RunRequest") or ()), *(options_of("SensorResult") or ())}


MAPPING = """
import dagster as dg

hours = dg.HourlyPartitionsDefinition("2022-08-01-00:00")

@dg.asset(partitions_def=hours)
def hourly_asset(): ...

@dg.asset
def plain(hourly_asset): ...

@dg.asset(
    partitions_def=dg.WeeklyPartitionsDefinition("2020-01-01"),
    deps=[plain, dg.AssetDep(hourly_asset, partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1))],
)
def weekly_asset(): ...

weekly_asset_job = dg.define_asset_job("weekly_asset_job", dg.AssetSelection.assets("weekly_asset"))

@dg.multi_asset_sensor(monitored_assets=[hourly_asset.key, plain.key], job=weekly_asset_job)
def hourly_to_weekly(context):
    new = context.latest_materialization_records_by_partition(hourly_asset.key)
    for partition, materialization in new.items():
        for week in context.get_downstream_partition_keys(
            partition, to_asset_key=weekly_asset.key, from_asset_key=hourly_asset.key
        ):
            yield weekly_asset_job.run_request_for_partition(partition_key=week, run_key=None)
        context.advance_cursor({hourly_asset.key: materialization})
"""


@pytest.mark.parametrize("option", ["monitored_assets=", ""])
def test_assets_whose_partitions_a_sensor_maps_become_specs(option: str, tmp_path: Path) -> None:
    report = ported(tmp_path, MAPPING.replace("monitored_assets=", option))

    assert not found(report, Level.HAND, Level.IMPOSSIBLE)
    assert "--asset hourly_asset --asset plain" in " ".join(each.options for each in report.sensors)
    module = loaded(report.changed)
    assert module.hourly_asset.partitions_def == module.hours
    [dep] = module.weekly_asset.deps
    assert (dep.asset_key, dep.partition_mapping.start_offset) == (module.hourly_asset.key, -1)
    instance = TreadleInstance([module.hourly_to_weekly])
    hour = AssetMaterialization("hourly_asset", partition="2022-08-01-00:00")
    instance.report_runless_asset_event(hour)
    assert [run.partition_key for run in instance.runs()] == ["2022-07-31", "2022-08-07"]


def test_mapping_of_an_input_is_changed_by_hand(tmp_path: Path) -> None:
    text = MAPPING.replace(
        "deps=[plain, dg.AssetDep(hourly_asset, ", 'ins={"hourly_asset": dg.AssetIn('
    ).replace("start_offset=-1))],", "start_offset=-1))},")

    assert (14, "ins of weekly_asset") in found(ported(tmp_path, text), Level.HAND)


@pytest.mark.parametrize(
    ("monitored", "mapped", "left"),
    [
        ("hourly_asset.key, plain.key", "hourly_asset.key", []),
        ("hourly_asset.key, plain.key", "key", []),
        ('hourly_asset.key, dg.AssetKey("elsewhere")', "hourly_asset.key", []),
        ('hourly_asset.key, dg.AssetKey("elsewhere")', "key", ['dg.AssetKey("elsewhere")']),
        ('dg.AssetKey("elsewhere")', 'dg.AssetKey("elsewhere")', ['dg.AssetKey("elsewhere")']),
        ("imported.key", "imported.key", ["imported.key"]),
        ("plain.key, imported.key", "imported.key", ["imported.key"]),
    ],
)
def test_sensor_that_maps_partitions_needs_those_of_assets_that_are_defined_elsewhere(
    monitored: str, mapped: str, left: list[str], tmp_path: Path
) -> None:
    source = MAPPING.replace("hourly_asset.key, plain.key", monitored)
    source = source.replace("from_asset_key=hourly_asset.key", f"from_asset_key={mapped}")

    report = ported(tmp_path, source)

    unknown = [each for each in report.findings if each.level is Level.HAND]
    assert [each.subject for each in unknown] == [f"partitions of {each}" for each in left]
    assert all(each.advice == "Name it by AssetSpec(key, partitions_def=...)" for each in unknown)


@pytest.mark.parametrize(
    ("decorator", "context"),
    [
        ("sensor(job_name='load')", "SensorEvaluationContext"),
        ("asset_sensor(asset_key=dg.AssetKey('a'), job_name='load')", "SensorEvaluationContext"),
        ("multi_asset_sensor(monitored_assets=[dg.AssetKey('a')])", "MultiAssetSensorEvaluationContext"),
        ("run_failure_sensor", "RunFailureSensorContext"),
    ],
)
def test_annotation_with_the_context_of_a_job_becomes_that_of_the_sensor(
    decorator: str, context: str, tmp_path: Path
) -> None:
    source = f"import dagster as dg\n\n\n@dg.{decorator}\ndef watch(context: dg.AssetExecutionContext): ...\n"

    report = ported(tmp_path, source)

    assert (5, "AssetExecutionContext") in found(report, Level.CHANGE)
    assert not found(report, Level.HAND, Level.IMPOSSIBLE)
    assert f"def watch(context: dg.{context}): ...\n" in report.changed.decode()
    assert loaded(report.changed).watch.name == "watch"


def test_context_whose_annotation_is_corrected_is_imported_and_its_uses_are_checked(tmp_path: Path) -> None:
    source = """\
from dagster import AssetExecutionContext, asset, sensor


@asset
def images(context: AssetExecutionContext): ...


@sensor(job_name="load")
def watch(context: AssetExecutionContext):
    return context.log_key
"""

    report = ported(tmp_path, source)

    assert found(report, Level.HAND) == [(10, "context.log_key")]
    assert b"AssetExecutionContext" not in report.changed
    assert loaded(report.changed).watch.name == "watch"


MAIN = """\
import dagster as dg


@dg.asset
def orders(): ...


@dg.sensor(job_name="load")
def watch():
    yield dg.SkipReason("nothing")


if __name__ == "__main__":
    {statement}
{otherwise}"""


@pytest.mark.parametrize("statement", ["dg.materialize([orders])", "load.execute_in_process()"])
def test_program_that_runs_jobs_is_removed(statement: str, tmp_path: Path) -> None:
    report = ported(tmp_path, MAIN.format(statement=statement, otherwise=""))

    assert (13, 'if __name__ == "__main__"') in found(report, Level.CHANGE)
    assert not found(report, Level.HAND, Level.IMPOSSIBLE)
    assert b"__main__" not in report.changed
    assert loaded(report.changed).handler


@pytest.mark.parametrize(
    ("statement", "otherwise", "levels"),
    [
        ("watch()", "", []),
        ("dg.materialize([orders])", "else:\n    watch()\n", [(14, "materialize"), (14, "orders")]),
    ],
)
def test_other_programs_stay(
    statement: str, otherwise: str, levels: list[tuple[int, str]], tmp_path: Path
) -> None:
    report = ported(tmp_path, MAIN.format(statement=statement, otherwise=otherwise))

    assert found(report, Level.HAND) == levels
    assert b"__main__" in report.changed


def test_what_comes_from_the_package_of_the_file_is_copied_by_hand(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    source = """\
import dagster as dg
import shop.times
import json
from shop import jobs
from shop.files import FOLDER, unused
from other.files import SUFFIX


@dg.sensor(job=jobs.load)
def watch():
    return json.loads(FOLDER + SUFFIX + shop.times.now())
"""

    report = ported(package, source)
    outside = ported(tmp_path, source)

    assert found(report, Level.HAND) == [(2, "import of shop"), (5, "import of FOLDER")]
    assert not found(outside, Level.HAND)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('f"of {orders.key}"', "f\"of {dg.AssetKey('orders')}\""),
        ("f'of {orders.key}'", "f'of {dg.AssetKey(\"orders\")}'"),
        ('"of " f"{orders.key}"', '"of " f"{dg.AssetKey(\'orders\')}"'),
        ('rf"""of {orders.key}"""', 'rf"""of {dg.AssetKey("orders")}"""'),
        ('f"{orders.key!r:>{dg.y}}"', "f\"{dg.AssetKey('orders')!r:>{dg.y}}\""),
    ],
)
def test_quotes_within_an_f_string_differ_from_its_own(before: str, after: str, tmp_path: Path) -> None:
    source = (
        f"import dagster as dg\n\n\n@dg.asset\ndef orders(): ...\n\n\ndef message():\n    return {before}\n"
    )

    report = ported(tmp_path, source)

    assert f"    return {after}\n" in report.changed.decode()


@pytest.mark.parametrize(
    ("decorator", "name", "command"),
    [
        (
            "sensor(job_name='load', minimum_interval_seconds=5)",
            "watch",
            "watch --kind schedule --job load --interval 15",
        ),
        (
            "sensor(job_name='load', minimum_interval_seconds=900_000)",
            "watch",
            "watch --kind schedule --job load --interval 86400",
        ),
        (
            "sensor(job_name='load', minimum_interval_seconds=60 * 5)",
            "watch",
            "watch --kind schedule --job load",
        ),
        ("sensor(target=jobs.load)", "watch", "watch --kind schedule --job load"),
        ("sensor(job=dg.define_asset_job('load'))", "watch", "watch --kind schedule --job load"),
        (
            "sensor(job=dg.define_asset_job(selection='*', name='load'))",
            "watch",
            "watch --kind schedule --job load",
        ),
        (
            "run_failure_sensor(monitored_jobs=[jobs.load, jobs.report])",
            "watch",
            "watch --kind run-failure --jobs load,report",
        ),
        ("sensor(job_name='load')", "sensor", "NAME --kind schedule --job load"),
        ("sensor(job_name='load')", "Watch", "NAME --kind schedule --job load"),
        ("asset_sensor(dg.AssetKey('a'))", "watch", "watch --kind asset --asset a"),
        (
            "asset_sensor(asset_key=dg.AssetKey(['shop', 'orders']), job_name='load')",
            "watch",
            "watch --kind asset --asset shop/orders --job load",
        ),
        (
            "multi_asset_sensor(monitored_assets=[dg.AssetKey('a')], job_name='load')",
            "watch",
            "watch --kind multi-asset --asset a --job load",
        ),
    ],
)
def test_command_that_comes_next_is_one_that_works(
    decorator: str, name: str, command: str, tmp_path: Path
) -> None:
    source = f"import dagster as dg\nfrom shop import jobs\n\n\n@dg.{decorator}\ndef {name}(context): ...\n"

    shown = run("port", written(tmp_path, source)).stdout

    assert f"Next: treadle new sensor {command}\n" in shown


def test_multi_asset_sensor_may_have_one_asset(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)

    done = run("new", "sensor", "one_asset", "--kind", "multi-asset", "--asset", "a", "--root", project)

    assert done.exit_code == 0, done.output
    app = loaded((project / "functions" / "sensors" / "one_asset" / "app.py").read_bytes())
    instance = TreadleInstance([app.one_asset])
    for _ in range(2):
        instance.report_runless_asset_event(AssetMaterialization("a"))
    assert len(instance.runs()) == 2


def test_library_that_one_of_dagsters_is_named_after_is_not_dagsters(tmp_path: Path) -> None:
    source = """\
import dagster as dg
import pandas as pd
import snowflake.connector
from openai import OpenAI
from dagster_openai import OpenAIResource


@dg.sensor(job_name="load")
def watch(openai: OpenAIResource):
    client = OpenAI()
    yield dg.SkipReason(str(pd.DataFrame(client.x, snowflake.connector)))
"""

    report = ported(tmp_path, source)

    assert found(report, Level.HAND, Level.IMPOSSIBLE) == [(9, "OpenAIResource")]
    assert not [each for each in found(report, Level.CHANGE) if each[0] in {2, 3, 4}]
