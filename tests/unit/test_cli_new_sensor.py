"""`treadle new sensor`: what it writes into a project, and when it writes nothing."""

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

import treadle
from tests.support.project import contents, run
from tools.project import ROOT
from tools.project_copy import copy_of_project
from treadle.adapters.events import (
    parse_any_event,
    parse_message_record,
    parse_sensor_event,
    parse_stream_record,
)
from treadle.cli.fragments import VERIFICATIONS
from treadle.cli.target_kinds import KINDS
from treadle.cli.template_edit import jobs, load
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.event_pattern import EventPattern
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import RunFailure
from treadle.definitions.status import DagsterRunStatus
from treadle.entrypoints.webhook import http_request

WRITTEN = {
    "functions/sensors/scaffolded_orders/app.py",
    "tests/sensors/test_scaffolded_orders.py",
    "events/scaffolded_orders-schedule.json",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one sensor and one job."""
    return copy_of_project(tmp_path)


def is_subsequence(before: str, after: str) -> bool:
    """Return whether one text's lines are all in another, in the same order."""
    rest = iter(after.splitlines(keepends=True))
    return all(line in rest for line in before.splitlines(keepends=True))


def test_writes_function_events_and_test(project: Path) -> None:
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    after = contents(project)
    assert done.exit_code == 0, done.output
    assert {str(path) for path in after.keys() - before.keys()} == WRITTEN
    changed = {str(path) for path in before if after[path] != before[path]}
    assert changed == {"template.yaml"}


def test_says_what_it_wrote_and_what_comes_next(project: Path) -> None:
    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert all(path in done.stdout for path in (*WRITTEN, "template.yaml"))
    assert "pytest tests/sensors/test_scaffolded_orders.py" in done.stdout
    assert "make check" in done.stdout
    assert "sam build && sam deploy && treadle sensor start scaffolded_orders" in done.stdout
    assert "stateMachine:scaffolded-orders-job" in done.stdout


def test_commands_of_the_guide_write_their_sensors(project: Path) -> None:
    """As they are typed there."""
    guide = "".join(page.read_text() for page in (ROOT / "docs" / "guide").glob("*.md"))
    commands = re.findall(r"`treadle (new sensor [a-z][^`]*)`", guide)

    assert commands
    for command in commands:
        done = run(*command.split(), "--root", project)
        assert done.exit_code == 0, (command, done.output)


def test_schedule_event_has_the_form_of_the_first_sensors(project: Path) -> None:
    run("new", "sensor", "scaffolded_orders", "--root", project)

    first, own = (
        json.loads((project / f"events/{name}-schedule.json").read_text())
        for name in ("new_objects", "scaffolded_orders")
    )
    assert own == first


def test_queued_event_is_a_slot_below_the_minute(project: Path) -> None:
    """In the form in which a scheduled tick sends the further slots of its minute."""
    run("new", "sensor", "scaffolded_orders", "--interval", "15", "--root", project)

    event = json.loads((project / "events/scaffolded_orders-queued-tick.json").read_text())
    [record] = event["Records"]
    assert json.loads(record["body"]) == {"treadle": "slot", "nominal_time": "2026-11-22T18:00:15Z"}
    assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"]


def test_edit_adds_lines_and_takes_none_away(project: Path) -> None:
    """Comments, order and blank lines of everything else stay, for further sensors and jobs, too."""
    template = project / "template.yaml"
    texts = [template.read_text()]

    for command in (
        ("sensor", "scaffolded_orders"),
        ("sensor", "returned_goods", "--kind", "run-failure"),
        ("job", "load_orders", "--target", "ecs"),
    ):
        assert run("new", *command, "--root", project).exit_code == 0
        texts.append(template.read_text())

    for before, after in pairwise(texts):
        assert len(before) < len(after)
        assert is_subsequence(before, after)


def test_queue_of_a_rule_is_listed_where_events_are_allowed(project: Path) -> None:
    run("new", "sensor", "returned_goods", "--kind", "run-failure", "--root", project)

    resources = load((project / "template.yaml").read_text())["Resources"]
    assert {"Ref": "ReturnedGoodsQueue"} in resources["QueuePolicy"]["Properties"]["Queues"]


def test_sections_behind_the_resources_stay_behind_them(project: Path) -> None:
    template = project / "template.yaml"
    outputs = re.search(r"^Outputs:\n(?:  .*\n)+", template.read_text(), re.MULTILINE)
    assert outputs
    template.write_text(template.read_text().replace(outputs[0], "") + "\n" + outputs[0])

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 0, done.output
    assert template.read_text().endswith(outputs[0])
    assert "ScaffoldedOrders" in load(template.read_text())["Resources"]


def test_a_file_with_windows_line_ends_keeps_them(project: Path) -> None:
    template = project / "template.yaml"
    template.write_bytes(template.read_bytes().replace(b"\n", b"\r\n"))

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 0, done.output
    assert template.read_bytes().count(b"\n") == template.read_bytes().count(b"\r\n")


def test_hours_are_the_same_in_code_deployment_and_schedule(project: Path) -> None:
    hours = "06:00-20:00 MON-FRI Europe/Berlin"
    done = run("new", "sensor", "scaffolded_orders", "--hours", hours, "--root", project)

    assert done.exit_code == 0, done.output
    code = (project / "functions/sensors/scaffolded_orders/app.py").read_text()
    assert 'active=Hours("06:00-20:00 MON-FRI", zone="Europe/Berlin"),' in code
    names: dict[str, object] = {}
    exec(code, names)
    assert str(getattr(names["scaffolded_orders"], "active", "")) == hours
    template = (project / "template.yaml").read_text()
    assert f"TREADLE_HOURS: '{hours}'" in template
    assert f'"interval":"60","hours":"{hours}"' in template
    utc = ",".join(map(str, range(4, 19)))
    assert f"ScheduleExpression: cron(* {utc} ? * MON,TUE,WED,THU,FRI *)" in template


@pytest.mark.parametrize(
    ("kind", "hours", "problem"),
    [
        ("schedule", "06:00-20:00", "--hours: The hours are '06:00-20:00'"),
        ("schedule", "06:00-20:00 UTC except 2026-12-25", "Add exceptions later"),
        ("schedule", "06:00-20:00 mon-fri UTC", "must have a form like"),
        ("s3", "06:00-20:00 UTC", "--hours is for a sensor of kind schedule, and this one is of kind s3."),
    ],
)
def test_hours_that_cannot_work_are_refused(project: Path, kind: str, hours: str, problem: str) -> None:
    bucket = ("--bucket", "landing") if kind == "s3" else ()

    done = run(
        "new", "sensor", "scaffolded_orders", "--kind", kind, *bucket, "--hours", hours, "--root", project
    )

    assert (done.exit_code, problem in done.stderr) == (2, True), done.stderr


def test_interval_is_the_same_in_code_and_deployment(project: Path) -> None:
    run("new", "sensor", "scaffolded_orders", "--interval", "15", "--root", project)

    code = (project / "functions/sensors/scaffolded_orders/app.py").read_text()
    assert "minimum_interval_seconds=15)" in code
    assert "TREADLE_INTERVAL_SECONDS: '15'" in (project / "template.yaml").read_text()


def test_a_known_job_is_granted_and_not_added_again(project: Path) -> None:
    known = jobs((project / "template.yaml").read_text())

    done = run("new", "sensor", "scaffolded_orders", "--job", "process_file", "--root", project)

    template = (project / "template.yaml").read_text()
    assert jobs(template) == known
    entry = template.partition("ScaffoldedOrdersEntry:")[2]
    assert re.search(r'"kind":"schedule",\s*"jobs":"process_file"', entry)
    assert "stateMachine" not in done.stdout
    assert "job=process_file" in (project / "functions/sensors/scaffolded_orders/app.py").read_text()


def test_two_sensors_may_share_a_new_job(project: Path) -> None:
    run("new", "sensor", "scaffolded_orders", "--job", "remind", "--root", project)
    done = run("new", "sensor", "unpaid_orders", "--job", "remind", "--root", project)

    assert done.exit_code == 0, done.output
    assert jobs((project / "template.yaml").read_text())["remind"] == "step_functions"
    assert (project / "template.yaml").read_text().count("\n  RemindJob:\n") == 1


def test_the_same_name_twice_is_refused(project: Path) -> None:
    run("new", "sensor", "scaffolded_orders", "--root", project)
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 2
    assert "functions/sensors/scaffolded_orders exists already" in done.stderr
    assert contents(project) == before


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("ScaffoldedOrders", "use snake case"),
        ("late-orders", "use snake case"),
        ("_late", "use snake case"),
        ("1st_orders", "use snake case"),
        ("../late", "use snake case"),
        ("ab", "use 3 to 36 characters"),
        ("a" * 37, "use 3 to 36 characters"),
        ("import", "has a meaning"),
        ("print", "has a meaning"),
        ("sensor", "has a meaning"),
        ("yes", "has a meaning"),
        ("new_objects", "functions/sensors/new_objects exists already"),
        ("launch", "functions/engine/launch exists already"),
        ("summarize_csv", "functions/jobs/summarize_csv exists already"),
        ("tried_before", "tests/sensors/test_tried_before.py exists already"),
    ],
)
def test_unfit_names_are_refused_and_nothing_is_written(project: Path, name: str, complaint: str) -> None:
    (project / "tests" / "sensors").mkdir(exist_ok=True)
    (project / "tests" / "sensors" / "test_tried_before.py").touch()
    before = contents(project)

    done = run("new", "sensor", name, "--job", "some_job", "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


def test_a_name_that_the_template_has_already_is_refused(project: Path) -> None:
    """Logical ids are one namespace, and a second key of the same name would silently win."""
    template = project / "template.yaml"
    own = "  ScaffoldedOrdersEntry: { Type: AWS::SQS::Queue }\n"
    template.write_text(template.read_text().replace("\nResources:\n", f"\nResources:\n{own}"))
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 2
    assert "template.yaml has ScaffoldedOrdersEntry already" in done.stderr
    assert contents(project) == before


def test_all_problems_are_reported_at_once(project: Path) -> None:
    done = run("new", "sensor", "Late", "--job", "no-job", "--interval", "3", "--root", project)

    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 3
    assert "--interval is 3, and must be from 15 to 86400 seconds." in done.stderr


def test_job_and_sensor_need_two_names(project: Path) -> None:
    done = run("new", "sensor", "scaffolded_orders", "--job", "scaffolded_orders", "--root", project)

    assert done.exit_code == 2
    assert "The job must have another name" in done.stderr


def test_project_is_found_from_a_folder_within(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "functions" / "engine")

    assert run("new", "sensor", "scaffolded_orders").exit_code == 0
    assert (project / "functions/sensors/scaffolded_orders/app.py").is_file()


def test_outside_a_project_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("new", "sensor", "scaffolded_orders")

    assert done.exit_code == 2
    assert "is not in a Treadle project" in done.stderr
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\nResources:\n", "\nRessources:\n", "has no Resources with entries"),
        (
            "      Queues:\n",
            "      Queue:\n",
            "has no Resources > QueuePolicy > Properties > Queues with entries",
        ),
        ("\nResources:\n", "\nResources:\n  - {\n", "is not YAML"),
    ],
)
def test_a_template_without_the_places_is_left_alone(
    project: Path, old: str, new: str, complaint: str
) -> None:
    """Somebody has rebuilt the template: the command says what it misses."""
    template = project / "template.yaml"
    assert template.read_text().count(old) == 1
    template.write_text(template.read_text().replace(old, new))
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--kind", "run-failure", "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


def test_a_known_job_keeps_its_kind(project: Path) -> None:
    before = contents(project)

    done = run(
        "new", "sensor", "scaffolded_orders", "--job", "process_file", "--target", "glue", "--root", project
    )

    assert done.exit_code == 2
    assert "Job process_file exists already, on step_functions" in done.stderr
    assert contents(project) == before


def test_a_kind_that_nobody_knows_is_refused_with_those_that_are(project: Path) -> None:
    done = run("new", "sensor", "scaffolded_orders", "--target", "cron", "--root", project)

    assert done.exit_code == 2
    assert all(kind in done.stderr for kind in KINDS)


def test_a_resource_that_sam_would_name_like_another_is_refused(project: Path) -> None:
    """SAM calls the role of a function `Refund` RefundRole."""
    template = project / "template.yaml"
    template.write_text(template.read_text() + "  RefundRole: { Type: AWS::SNS::Topic }\n")
    before = contents(project)

    done = run("new", "sensor", "refund", "--root", project)

    assert done.exit_code == 2
    assert "template.yaml has RefundRole already" in done.stderr
    assert contents(project) == before


def test_what_would_be_beyond_a_limit_of_aws_is_refused(project: Path) -> None:
    template = project / "template.yaml"
    many = "".join(f"  Topic{number}: {{ Type: AWS::SNS::Topic }}\n" for number in range(460))
    template.write_text(template.read_text() + many)
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 2
    assert re.search(r"resources would be 50\d, and the limit of AWS is 500", done.stderr)
    assert "Begin a second project for the same engine." in done.stderr
    assert contents(project) == before


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["--kind", "run-failure"], {"run-status"}),
        (["--kind", "run-status", "--job", "remind"], {"run-status"}),
        (["--kind", "all-succeeded", "--jobs", "load,clean"], {"run-status", "schedule"}),
        (["--kind", "asset", "--asset", "shop/orders"], {"asset-materialized"}),
        (
            ["--kind", "multi-asset", "--asset", "shop/orders", "--asset", "prices"],
            {"asset-materialized", "schedule"},
        ),
    ],
)
def test_a_sensor_of_runs_or_assets_has_a_sample_of_each_way_in(
    project: Path, options: list[str], written: set[str]
) -> None:
    done = run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    assert done.exit_code == 0, done.output
    events = project.glob("events/scaffolded_orders-*.json")
    assert {path.stem.removeprefix("scaffolded_orders-") for path in events} == written


@pytest.mark.parametrize(
    ("expression", "is_accepted"),
    [
        ("cron(0 6 * * ? *)", True),
        ("cron(30 3 ? * MON-FRI *)", True),
        ("cron(0/15 6-18 1,15 * ? 2026)", True),
        ("cron(0 6 L * ? *)", True),
        ("cron(0 6 ? * 6#3 *)", True),
        ("cron(0 6 * * *)", False),
        ("cron(0 6 * * * *)", False),
        ("cron(0 6 ? * ? *)", False),
        ("cron(0 6 * * ? * *)", False),
        ("0 6 * * ? *", False),
        ("rate(1 day)", False),
    ],
)
def test_deadlines_are_a_cron_expression_as_eventbridge_scheduler_takes_it(
    project: Path, expression: str, *, is_accepted: bool
) -> None:
    options = ("--kind", "deadline", "--jobs", "process_file", "--deadlines", expression)

    done = run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    assert (done.exit_code == 0) is is_accepted
    assert (f"ScheduleExpression: {expression}\n" in (project / "template.yaml").read_text()) is is_accepted
    assert ("must be a cron expression" in done.stderr) is not is_accepted


def test_a_job_that_the_project_has_not_is_warned_of_with_what_may_be_meant(project: Path) -> None:
    options = ("--kind", "all-succeeded", "--jobs", "process_file,proces_file")

    done = run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    assert done.exit_code == 0, done.output
    assert done.stderr.count("warning") == 1
    assert "The project has no job proces_file" in done.stderr
    assert "Did you mean process_file?" in done.stderr


def test_the_sample_of_a_run_is_an_event_that_the_library_knows(project: Path) -> None:
    options = ("--kind", "run-failure", "--jobs", "load,clean")
    run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    event = json.loads((project / "events/scaffolded_orders-run-status.json").read_text())
    [record] = event["Records"]
    assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"]
    parsed = parse_sensor_event(json.loads(record["body"]))
    assert isinstance(parsed, RunStatusEvent)
    assert (parsed.run.job_name, parsed.status, parsed.run.failure) == (
        "load",
        DagsterRunStatus.FAILURE,
        RunFailure("DataError", "row 7 has 4 cells"),
    )


def test_the_sample_of_an_asset_is_an_event_that_the_library_knows(project: Path) -> None:
    options = ("--kind", "asset", "--asset", "shop/orders")
    run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    event = json.loads((project / "events/scaffolded_orders-asset-materialized.json").read_text())
    [record] = event["Records"]
    assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"]
    parsed = parse_sensor_event(json.loads(record["body"]))
    assert isinstance(parsed, AssetMaterialized)
    assert (parsed.asset_key.path, parsed.storage_id) == (["shop", "orders"], 7)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["--asset", "prices"],
            "--asset names an asset whose events a sensor receives, but a sensor of kind schedule receives none",
        ),
        (["--kind", "asset"], "--asset must name one asset"),
        (["--kind", "asset", "--asset", "a", "--asset", "b"], "--asset must name one asset"),
        (["--kind", "multi-asset"], "--asset must name 1 to 20 assets"),
        (["--kind", "multi-asset", "--asset", "a", "--asset", "a"], "--asset names an asset twice"),
        (["--kind", "asset", "--asset", "a/"], "'a/' cannot name an asset here"),
        (["--kind", "asset", "--asset", "it's"], "cannot name an asset here"),
        (["--kind", "asset", "--asset", "a" * 61], "cannot name an asset here"),
        (["--kind", "asset", "--asset", "/".join("a" * 9)], "cannot name an asset here"),
        (["--kind", "asset", "--asset", "a", "--jobs", "load"], "sensor of kind asset receives none"),
    ],
)
def test_assets_that_cannot_be_subscribed_to_are_refused(
    project: Path, options: list[str], complaint: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["--jobs", "load"],
            "--jobs names jobs whose events a sensor receives, but a sensor of kind schedule",
        ),
        (["--kind", "all-succeeded"], "--jobs must name 2 jobs or more"),
        (["--kind", "all-succeeded", "--jobs", "load"], "--jobs must name 2 jobs or more"),
        (["--kind", "deadline"], "--jobs must name the job that has deadlines, and no other"),
        (["--kind", "deadline", "--jobs", "load,report"], "--jobs must name the job that has deadlines"),
        (["--kind", "run-status", "--jobs", "load,load"], "--jobs names a job twice"),
        (
            ["--kind", "run-failure", "--job", "load", "--jobs", "load"],
            "each of its runs would start another",
        ),
        (["--kind", "run-failure", "--jobs", "load,Clean"], "'Clean' cannot name a job"),
        (["--kind", "run-failure", "--jobs", "load,"], "'' cannot name a job"),
    ],
)
def test_jobs_that_cannot_be_subscribed_to_are_refused(
    project: Path, options: list[str], complaint: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


def test_a_sensor_that_starts_nothing_brings_no_job(project: Path) -> None:
    known = jobs((project / "template.yaml").read_text())

    done = run("new", "sensor", "scaffolded_orders", "--kind", "run-failure", "--root", project)

    assert jobs((project / "template.yaml").read_text()) == known
    assert "stateMachine" not in done.stdout
    assert "Sensor scaffolded_orders, which reacts to runs that have failed:" in done.stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--kind", "event"), "--pattern must name the events to watch"),
        (("--kind", "event", "--pattern", "{"), "--pattern is not JSON"),
        (("--kind", "event", "--pattern", "[]"), "--pattern is [], and must be a JSON object"),
        (("--kind", "event", "--pattern", '{"source":"shop"}'), "source is 'shop', and must be a list"),
        (("--kind", "event", "--pattern", '{"id":["1"]}'), "no sample event can be derived from it"),
        (
            ("--kind", "event", "--pattern", json.dumps({"source": ["s" * 2_048]})),
            "more than 2048 characters",
        ),
        (
            ("--kind", "event", "--pattern", '{"source":["shop"]}', "--bus", "a bus"),
            "--bus is 'a bus', and must be",
        ),
        (("--pattern", '{"source":["shop"]}'), "--pattern is for a sensor of kind event"),
        (("--bus", "shop"), "--bus is for a sensor of kind event"),
    ],
)
def test_pattern_and_bus_that_cannot_work_are_refused_and_nothing_is_written(
    project: Path, options: tuple[str, ...], problem: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "placed_orders", *options, "--root", project)

    assert done.exit_code != 0
    assert problem in " ".join(done.output.split())
    assert contents(project) == before


@pytest.mark.parametrize(
    ("bus", "expected"),
    [
        ("default", None),
        ("engine", {"Fn::Select": [8, {"Ref": "Engine"}]}),
        ("shop", "shop"),
        ("aws.partner/example.com/1", "aws.partner/example.com/1"),
        (
            "arn:aws:events:us-east-1:123456789012:event-bus/shop",
            "arn:aws:events:us-east-1:123456789012:event-bus/shop",
        ),
    ],
)
def test_rule_of_events_is_on_their_bus_with_their_pattern(project: Path, bus: str, expected: object) -> None:
    pattern = {"source": ["shop.orders"], "detail": {"name": ["Zoë: \\ 'x' # {}"]}}
    given = ("--kind", "event", "--pattern", json.dumps(pattern), "--bus", bus)

    done = run("new", "sensor", "placed_orders", *given, "--root", project)

    assert done.exit_code == 0, done.output
    rule = load((project / "template.yaml").read_text())["Resources"]["PlacedOrdersRule"]["Properties"]
    assert (rule["EventPattern"], rule.get("EventBusName")) == (pattern, expected)


def test_sample_event_of_a_pattern_is_one_that_the_sensor_watches(project: Path) -> None:
    pattern = {"source": [{"prefix": "shop."}], "detail": {"total": [{"numeric": [">", 10, "<", 12]}]}}
    run(
        "new",
        "sensor",
        "placed_orders",
        "--kind",
        "event",
        "--pattern",
        json.dumps(pattern),
        "--root",
        project,
    )

    [record] = json.loads((project / "events/placed_orders-event.json").read_text())["Records"]
    event = parse_any_event(json.loads(record["body"]))
    assert EventPattern(pattern).matches(event.envelope)
    assert (event.source, event.detail) == ("shop.", {"total": 11})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--kind", "queue"), "--queue is '', and must be the name of a queue"),
        (("--kind", "queue", "--queue", "https://sqs/1/orders"), "and must be the name of a queue"),
        (("--kind", "queue", "--queue", "o" * 76 + ".fifo"), "and must be the name of a queue"),
        (("--queue", "orders"), "--queue is for a sensor of kind queue"),
    ],
)
def test_queue_that_cannot_work_is_refused_and_nothing_is_written(
    project: Path, options: tuple[str, ...], problem: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "queued_orders", *options, "--root", project)

    assert done.exit_code != 0
    assert problem in " ".join(done.output.split())
    assert contents(project) == before


def test_sensor_of_a_queue_takes_messages_from_it_and_may_send_none(project: Path) -> None:
    done = run("new", "sensor", "queued_orders", "--kind", "queue", "--queue", "orders", "--root", project)

    assert done.exit_code == 0, done.output
    assert "--tags treadle:sensor=queued_orders" in done.stdout
    resources = load((project / "template.yaml").read_text())["Resources"]
    queue = {"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:orders"}
    function = resources["QueuedOrders"]["Properties"]
    assert function["Policies"][1] == {
        "Statement": [{"Effect": "Deny", "Action": "sqs:SendMessage", "Resource": queue}]
    }
    assert function["Events"]["Messages"]["Properties"] == {
        "Queue": queue,
        "Enabled": False,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert "QueuedOrdersQueue" not in resources


def test_sample_message_is_one_of_the_sensors_queue(project: Path) -> None:
    run("new", "sensor", "queued_orders", "--kind", "queue", "--queue", "orders", "--root", project)

    [record] = json.loads((project / "events/queued_orders-message.json").read_text())["Records"]
    message = parse_message_record(record)
    assert (message.queue, message.json()) == ("orders", {"order": 17})
    assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--kind", "stream"), "--stream is '', and must be the name of a Kinesis stream"),
        (("--kind", "stream", "--stream", "a b"), "and must be the name of a Kinesis stream"),
        (("--kind", "stream", "--stream", "${A}"), "and must be the name of a Kinesis stream"),
        (
            ("--kind", "stream", "--stream", "arn:aws:sqs:us-east-1:123456789012:orders"),
            "and must be the name",
        ),
        (("--kind", "stream", "--stream", "arn:aws:dynamodb:us-east-1:123456789012:table/orders"), "must be"),
        (("--stream", "orders"), "--stream is for a sensor of kind stream"),
    ],
)
def test_stream_that_cannot_work_is_refused_and_nothing_is_written(
    project: Path, options: tuple[str, ...], problem: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "streamed_orders", *options, "--root", project)

    assert done.exit_code != 0
    assert problem in " ".join(done.output.split())
    assert contents(project) == before


TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T18:00:00.000"


@pytest.mark.parametrize(
    ("stream", "kind", "arn"),
    [
        (
            "orders",
            "Kinesis",
            {"Fn::Sub": "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/orders"},
        ),
        (TABLE, "DynamoDB", TABLE),
    ],
)
def test_sensor_of_a_stream_reads_it_and_no_other(project: Path, stream: str, kind: str, arn: object) -> None:
    done = run("new", "sensor", "streamed", "--kind", "stream", "--stream", stream, "--root", project)

    assert done.exit_code == 0, done.output
    resources = load((project / "template.yaml").read_text())["Resources"]
    function = resources["Streamed"]["Properties"]
    service = kind.lower()
    reads = [f"{service}:GetRecords", f"{service}:GetShardIterator"]
    assert function["Policies"][1] == {"Statement": [{"Effect": "Deny", "Action": reads, "NotResource": arn}]}
    assert function["Environment"]["Variables"]["TREADLE_STREAM_ARN"] == arn
    event = function["Events"]["Records"]
    assert event == {
        "Type": kind,
        "Properties": {
            "Stream": arn,
            "Enabled": False,
            "StartingPosition": "TRIM_HORIZON",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "MaximumRecordAgeInSeconds": 82_800,
            "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}},
        },
    }
    assert "StreamedQueue" not in resources
    alarm = resources["StreamedAge"]["Properties"]
    assert (alarm["MetricName"], alarm["Dimensions"][0]["Value"]) == ("IteratorAge", {"Ref": "Streamed"})


@pytest.mark.parametrize(("stream", "change"), [("orders", ""), (TABLE, "INSERT")])
def test_sample_record_is_one_of_the_sensors_stream(project: Path, stream: str, change: str) -> None:
    run("new", "sensor", "streamed", "--kind", "stream", "--stream", stream, "--root", project)

    [record] = json.loads((project / "events/streamed-record.json").read_text())["Records"]
    found = parse_stream_record(record)
    assert (found.stream, found.change) == ("orders", change)
    assert found.new == {"id": 17, "state": "placed"} if change else found.json() == {"order": 17}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--kind", "webhook"), "--secret is '', and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "a b"), "and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "a#"), "and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "a'"), "and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "${A}"), "and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "ssm:"), "and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "ssm:/a*"), "and must be the name of a secret"),
        (("--kind", "webhook", "--secret", "a", "--sender", "gitlab"), "'gitlab' is not one of"),
        (("--secret", "a"), "--secret is for a sensor of kind webhook"),
    ],
)
def test_secret_that_cannot_work_is_refused_and_nothing_is_written(
    project: Path, options: tuple[str, ...], problem: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "hooked_orders", *options, "--root", project)

    assert done.exit_code != 0
    assert problem in " ".join(done.output.split())
    assert contents(project) == before


@pytest.mark.parametrize(
    ("secret", "action", "resource"),
    [
        ("shop/github", "secretsmanager:GetSecretValue", "secretsmanager:{}:secret:shop/github-??????"),
        ("senders#github", "secretsmanager:GetSecretValue", "secretsmanager:{}:secret:senders-??????"),
        ("ssm:/shop/github", "ssm:GetParameter", "ssm:{}:parameter/shop/github"),
    ],
)
def test_sensor_of_a_webhook_may_read_its_secret_and_has_one_route(
    project: Path, secret: str, action: str, resource: str
) -> None:
    done = run("new", "sensor", "hooked", "--kind", "webhook", "--secret", secret, "--root", project)

    assert done.exit_code == 0, done.output
    assert f"give the sender the secret {secret}" in done.stdout
    resources = load((project / "template.yaml").read_text())["Resources"]
    function = resources["Hooked"]["Properties"]
    arn = "arn:${AWS::Partition}:" + resource.format("${AWS::Region}:${AWS::AccountId}")
    allowed = {"Effect": "Allow", "Action": action, "Resource": {"Fn::Sub": arn}}
    assert function["Policies"][1] == {"Statement": [allowed]}
    assert "Events" not in function
    assert "HookedQueue" not in resources
    variables = function["Environment"]["Variables"]
    assert variables["TREADLE_WEBHOOK_SECRET"] == secret
    assert variables["TREADLE_WEBHOOK_ENDPOINT"] == {"Fn::GetAtt": ["HookedApi", "ApiEndpoint"]}
    routes = [each for each in resources.values() if each["Type"] == "AWS::ApiGatewayV2::Route"]
    assert [each["Properties"]["RouteKey"] for each in routes] == ["POST /"]
    permission = resources["HookedPermission"]["Properties"]
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${HookedApi}/*")


@pytest.mark.parametrize("sender", VERIFICATIONS)
def test_sample_request_can_be_previewed_whatever_its_sender(project: Path, sender: str) -> None:
    options = ("--kind", "webhook", "--secret", "a", "--sender", sender)
    run("new", "sensor", "hooked_orders", *options, "--root", project)

    sample = json.loads((project / "events/hooked_orders-request.json").read_text())
    request = http_request(sample)
    assert getattr(treadle, VERIFICATIONS[sender])().identities(request).key
    assert json.loads(request.body)["id"] == "evt_17"


S3 = ("--kind", "s3", "--bucket", "landing")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--kind", "s3"), "--bucket is '', and must be the name of a bucket"),
        ((*S3, "--bucket", "A"), "--bucket is 'A', and must be the name of a bucket"),
        ((*S3, "--prefix", "in/", "--prefix", "*"), "--prefix is '*', and must be up to 512 characters"),
        ((*S3, "--suffix", "'"), '--suffix is "\'", and must be up to 64 characters'),
        (
            (*S3, "--wildcard", "--prefix", "in/"),
            "--wildcard needs --key-pattern, or both --prefix and --suffix",
        ),
        ((*S3, "--key-pattern", "{a}*"), "--key-pattern is '{a}*', and must be up to 80 characters"),
        ((*S3, "--key-pattern", f"{{{'a' * 79}}}"), "Write a longer one into the sensor's code"),
        ((*S3, "--key-pattern", "{a}{b}"), "nothing separates 'a' from 'b'"),
        (
            (*S3, "--key-pattern", "in/{a}", "--prefix", "out/"),
            "no key that matches in/{a} has the prefix 'out/'",
        ),
        (
            ("--key-pattern", "{a}"),
            "--key-pattern is for a sensor of kind s3, and this one is of kind schedule",
        ),
    ],
)
def test_objects_that_cannot_be_watched_are_refused_and_nothing_is_written(
    project: Path, options: tuple[str, ...], problem: str
) -> None:
    before = contents(project)

    done = run("new", "sensor", "shop_files", *options, "--root", project)

    assert done.exit_code != 0
    assert problem in " ".join(done.output.split())
    assert contents(project) == before
