"""`treadle new sensor`: what it writes into a project, and when it writes nothing."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.project import contents, run
from tools.project import ROOT
from tools.project_copy import copy_of_project
from treadle.adapters.events import parse_sensor_event
from treadle.cli.kinds import KINDS, kind_of
from treadle.cli.template_edit import jobs
from treadle.cli.yaml_lines import YamlLines
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import RunFailure
from treadle.definitions.status import DagsterRunStatus
from treadle.ports.launching import JobSettings
from treadle.ports.registry import parse_job

WRITTEN = {
    "functions/sensors/scaffolded_orders/app.py",
    "tests/sensors/test_scaffolded_orders.py",
    "events/scaffolded_orders-schedule.json",
    "events/scaffolded_orders-queued-tick.json",
}

SETTINGS = {
    "step_functions": ("StateMachineArn",),
    "glue": ("GlueJobName", "arguments"),
    "batch": ("JobDefinitionArn", "queue", "arguments"),
    "ecs": (
        "TaskDefinitionArn",
        "cluster",
        "container",
        "subnets",
        "security_groups",
        "launch_type",
        "assign_public_ip",
        "arguments",
    ),
    "lambda": ("FunctionArn",),
    "sqs": ("QueueArn",),
    "eventbridge": ("EventBusArn", "source", "detail_type"),
}
"""For each kind, how the address parameter ends, and its options."""
EXAMPLES = {
    "StateMachineArn": "arn:aws:states:eu-central-1:123456789012:stateMachine:load-orders",
    "GlueJobName": "load-orders",
    "JobDefinitionArn": "arn:aws:batch:eu-central-1:123456789012:job-definition/load-orders:3",
    "Queue": "arn:aws:batch:eu-central-1:123456789012:job-queue/nightly",
    "TaskDefinitionArn": "arn:aws:ecs:eu-central-1:123456789012:task-definition/load-orders:12",
    "Cluster": "arn:aws:ecs:eu-central-1:123456789012:cluster/jobs",
    "Container": "main",
    "Subnets": "subnet-0a1b2c3d,subnet-0123456789abcdef0",
    "SecurityGroups": "sg-0123456789abcdef0",
    "TaskRoleArn": "arn:aws:iam::123456789012:role/jobs/load-orders",
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
    "Arguments": "day,region",
    "FunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:load-orders:live",
    "QueueArn": "arn:aws:sqs:eu-central-1:123456789012:orders",
    "EventBusArn": "arn:aws:events:eu-central-1:123456789012:event-bus/orders",
    "Source": "com.example.orders",
    "DetailType": "Load Orders",
}
"""A value of each parameter that takes any of a form."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one sensor and one job."""
    return copy_of_project(tmp_path)


def is_subsequence(before: str, after: str) -> bool:
    """Whether one text's lines are all in another, in the same order."""
    rest = iter(after.splitlines(keepends=True))
    return all(line in rest for line in before.splitlines(keepends=True))


def test_writes_function_events_and_test(project: Path) -> None:
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    after = contents(project)
    assert done.exit_code == 0, done.output
    assert {str(path) for path in after.keys() - before.keys()} == WRITTEN
    changed = {str(path) for path in before if after[path] != before[path]}
    assert changed == {"template.yaml", "README.md"}


def test_says_what_it_wrote_and_what_comes_next(project: Path) -> None:
    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert all(path in done.stdout for path in (*WRITTEN, "template.yaml", "README.md"))
    assert "pytest tests/sensors/test_scaffolded_orders.py" in done.stdout
    assert "make check" in done.stdout


def test_values_go_into_the_configuration_file_that_the_next_deployment_reads(project: Path) -> None:
    """As SAM reads them there; an override on the command line would be undone by the next plain `sam deploy`."""
    example = (project / "samconfig.example.toml").read_text()

    done = run("new", "sensor", "scaffolded_orders", "--root", project)
    (project / "samconfig.toml").touch()
    later = run("new", "sensor", "unpaid_orders", "--job", "process_file", "--root", project)

    lines = re.findall(r"^ +('.*',)$", done.stdout, flags=re.MULTILINE)
    filled = example.replace("parameter_overrides = [", "\n".join(["parameter_overrides = [", *lines]), 1)
    values = tomllib.loads(filled)["default"]["deploy"]["parameters"]["parameter_overrides"]
    assert values[0] == "ScaffoldedOrdersStatus=RUNNING"
    assert values[1].startswith("ScaffoldedOrdersJobStateMachineArn=<")
    assert "sam build && sam deploy\n" in done.stdout
    assert "--parameter-overrides" not in done.stdout
    assert "cp samconfig.example.toml samconfig.toml" in done.stdout
    assert "'UnpaidOrdersStatus=RUNNING'" in later.stdout
    assert "cp samconfig" not in later.stdout


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
    """In the form in which a leased tick sends the minute's further slots ahead."""
    run("new", "sensor", "scaffolded_orders", "--root", project)

    event = json.loads((project / "events/scaffolded_orders-queued-tick.json").read_text())
    [record] = event["Records"]
    assert json.loads(record["body"]) == {"treadle": "slot", "nominal_time": "2026-11-22T18:00:15Z"}
    assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"]


@pytest.mark.parametrize("file", ["template.yaml", "README.md"])
def test_edit_adds_lines_and_takes_none_away(project: Path, file: str) -> None:
    """Comments, order and blank lines of everything else stay, for a second sensor too."""
    first = (project / file).read_text()
    run("new", "sensor", "scaffolded_orders", "--root", project)
    second = (project / file).read_text()
    run("new", "sensor", "returned_goods", "--root", project)
    third = (project / file).read_text()

    assert len(first) < len(second) < len(third)
    assert is_subsequence(first, second)
    assert is_subsequence(second, third)


def test_a_file_with_windows_line_ends_keeps_them(project: Path) -> None:
    template = project / "template.yaml"
    template.write_bytes(template.read_bytes().replace(b"\n", b"\r\n"))

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 0, done.output
    assert template.read_bytes().count(b"\n") == template.read_bytes().count(b"\r\n")


def test_interval_is_the_default_in_code_and_deployment(project: Path) -> None:
    run("new", "sensor", "scaffolded_orders", "--interval", "15", "--root", project)

    assert (
        "minimum_interval_seconds=15)" in (project / "functions/sensors/scaffolded_orders/app.py").read_text()
    )
    parameter = (project / "template.yaml").read_text().split("\n  ScaffoldedOrdersInterval:\n")[1]
    assert parameter.startswith("    Type: Number\n    Default: 15\n")


def test_a_known_job_is_granted_and_not_added_again(project: Path) -> None:
    done = run("new", "sensor", "scaffolded_orders", "--job", "process_file", "--root", project)

    template = (project / "template.yaml").read_text()
    assert template.count("\n  ProcessFileStateMachineArn:\n    Type: String\n") == 1
    assert "StateMachineArn" not in done.stdout
    assert "job=process_file" in (project / "functions/sensors/scaffolded_orders/app.py").read_text()


def test_two_sensors_may_share_a_new_job(project: Path) -> None:
    run("new", "sensor", "scaffolded_orders", "--job", "remind", "--root", project)
    done = run("new", "sensor", "unpaid_orders", "--job", "remind", "--root", project)

    assert done.exit_code == 0, done.output
    assert (project / "template.yaml").read_text().count("\n  RemindStateMachineArn:\n    Type: String") == 1


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
    own = "  ScaffoldedOrdersQueue: { Type: AWS::SQS::Queue }\n"
    template.write_text(template.read_text().replace("\nResources:\n", f"\nResources:\n{own}"))
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 2
    assert "template.yaml has ScaffoldedOrdersQueue already" in done.stderr
    assert contents(project) == before


def test_all_problems_are_said_at_once(project: Path) -> None:
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
        ("Parameters:\n  # ---- Stack", "Parametres:\n  # ---- Stack", "lacks Parameters"),
        (
            '"target": "step_functions", "arn": "${Address}",',
            '"target" "step_functions",',
            "the value of ProcessFileJobEntry is no JSON",
        ),
        ("Resources:\n", "Resources:\n  - {\n", "is no YAML"),
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

    done = run("new", "sensor", "scaffolded_orders", "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


def test_more_jobs_than_one_condition_takes_are_nested(project: Path) -> None:
    """CloudFormation's `!Or` takes ten."""
    template = project / "template.yaml"
    given = "    - !Condition ProcessFileIsGiven\n"
    template.write_text(template.read_text().replace(given, given * 7))

    for name in ("scaffolded_orders", "unpaid_orders"):
        assert run("new", "sensor", name, "--root", project).exit_code == 0

    conditions = template.read_text().split(given * 7)[1]
    assert conditions.splitlines()[1:5] == [
        "    - !Or",
        "      - !Condition DeployExample",
        "      - !Condition ScaffoldedOrdersJobIsGiven",
        "      - !Condition UnpaidOrdersJobIsGiven",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_job_of_each_kind_gets_its_parameters_and_its_setting(project: Path, kind: str) -> None:
    """The engine reads the address as `arn`, and each option under the name by which it says what is missing."""
    done = run(
        "new", "sensor", "scaffolded_orders", "--job", "scaffolded_load", "--target", kind, "--root", project
    )

    assert done.exit_code == 0, done.output
    template = YamlLines("template.yaml", (project / "template.yaml").read_text())
    setting = jobs(template)["scaffolded_load"]
    address, *options = SETTINGS[kind]
    expected = {
        option: f"${{{JobSettings('scaffolded_load', kind, '', '').parameter_of(option)}}}"
        for option in options
    }
    assert setting == {
        "project": "${AWS::StackName}",
        "target": kind,
        "arn": f"${{ScaffoldedLoad{address}}}",
        "parameter": f"ScaffoldedLoad{address}",
        **({"options": expected} if options else {}),
        **({"role": "${RoleArn}"} if kind == "step_functions" else {}),
    }
    assert ("ScaffoldedLoadJobRole" in template.keys("Resources")) is (kind == "step_functions")
    assert parse_job("scaffolded_load", json.dumps(setting), KINDS).settings.options == expected
    given = {value[2:-1] for value in (setting["arn"], *expected.values())}
    assert given <= set(template.keys("Parameters"))
    assert f"ScaffoldedLoad{address}=<" in done.stdout
    assert f"| `ScaffoldedLoad{address}` |" in (project / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_no_parameter_of_a_job_takes_what_would_break_out_of_its_place(kind: str) -> None:
    """Values go into a JSON text and into the resources of policies: no quotes, no wildcards."""
    parameters = yaml.safe_load(kind_of(kind).parameters.replace("{{Job}}", "Job").replace("{{job}}", "job"))
    free = {name: each["AllowedPattern"] for name, each in parameters.items() if "AllowedPattern" in each}

    assert free.keys() == {name for name, each in parameters.items() if "AllowedValues" not in each}
    for name, pattern in free.items():
        example = EXAMPLES[name.removeprefix("Job")]
        assert re.fullmatch(pattern, example), name
        assert re.fullmatch(pattern, ""), name
        for bad in ('"', "\\", "*", "?", "${A}", "\n"):
            assert not re.fullmatch(pattern, example + bad), name
            assert not re.fullmatch(pattern, bad + example), name


def test_a_job_cannot_speak_as_aws_or_as_treadle() -> None:
    pattern = yaml.safe_load(kind_of("eventbridge").parameters.replace("{{Job}}", "Job"))["JobSource"][
        "AllowedPattern"
    ]

    assert re.fullmatch(pattern, "treadle-jobs")
    assert not any(re.fullmatch(pattern, source) for source in ("treadle", "treadle.runs", "aws.s3"))


def test_a_job_of_one_kind_is_added_behind_one_of_another(project: Path) -> None:
    """Whatever the last job's parameters are called."""
    for name, kind in (
        ("scaffolded_orders", "ecs"),
        ("unpaid_orders", "glue"),
        ("open_orders", "step_functions"),
    ):
        done = run("new", "sensor", name, "--target", kind, "--root", project)
        assert done.exit_code == 0, done.output

    parameters = YamlLines("template.yaml", (project / "template.yaml").read_text()).keys("Parameters")
    first = parameters.index("ProcessLargeFileStateMachineArn")
    behind = [name for name in parameters[first + 1 :] if "OrdersJob" in name]
    assert parameters[first + 1 : first + 1 + len(behind)] == behind
    assert behind[0] == "ScaffoldedOrdersJobTaskDefinitionArn"
    assert behind[-3:] == [
        "UnpaidOrdersJobGlueJobName",
        "UnpaidOrdersJobArguments",
        "OpenOrdersJobStateMachineArn",
    ]


def test_a_known_job_keeps_its_kind(project: Path) -> None:
    before = contents(project)

    done = run(
        "new", "sensor", "scaffolded_orders", "--job", "process_file", "--target", "glue", "--root", project
    )

    assert done.exit_code == 2
    assert "Job process_file is there already, as step_functions" in done.stderr
    assert contents(project) == before


def test_a_kind_that_nobody_knows_is_refused_with_those_that_are(project: Path) -> None:
    done = run("new", "sensor", "scaffolded_orders", "--target", "cron", "--root", project)

    assert done.exit_code == 2
    assert all(kind in done.stderr for kind in KINDS)


def test_a_parameter_that_is_called_like_a_resource_is_refused(project: Path) -> None:
    """Parameters and resources share one namespace: the queue of sensor `refund` is `RefundQueue`."""
    assert run("new", "sensor", "refund", "--root", project).exit_code == 0
    before = contents(project)

    done = run(
        "new", "sensor", "scaffolded_orders", "--job", "refund", "--target", "batch", "--root", project
    )

    assert done.exit_code == 2
    assert "template.yaml has RefundQueue already" in done.stderr
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
    run(
        "new",
        "sensor",
        "scaffolded_orders",
        "--kind",
        "deadline",
        "--jobs",
        "process_file",
        "--root",
        project,
    )

    template = (project / "template.yaml").read_text().split("  ScaffoldedOrdersDeadlines:\n", 1)[1]
    [pattern] = re.findall(r"AllowedPattern: '(.*)'", template.split("ConstraintDescription", 1)[0])
    assert bool(re.fullmatch(pattern, expression)) is is_accepted


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
    assert (parsed.asset_key.path, parsed.storage_id) == (("shop", "orders"), 7)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--asset", "prices"], "--asset names an asset, and a sensor of kind schedule hears of none"),
        (["--kind", "asset"], "--asset must name one asset"),
        (["--kind", "asset", "--asset", "a", "--asset", "b"], "--asset must name one asset"),
        (["--kind", "multi-asset", "--asset", "a"], "--asset must name 2 to 20 assets"),
        (["--kind", "multi-asset", "--asset", "a", "--asset", "a"], "--asset names an asset twice"),
        (["--kind", "asset", "--asset", "a/"], "'a/' cannot name an asset here"),
        (["--kind", "asset", "--asset", "it's"], "cannot name an asset here"),
        (["--kind", "asset", "--asset", "a" * 61], "cannot name an asset here"),
        (["--kind", "asset", "--asset", "/".join("a" * 9)], "cannot name an asset here"),
        (["--kind", "asset", "--asset", "a", "--jobs", "load"], "sensor of kind asset hears of none"),
    ],
)
def test_assets_that_cannot_be_heard_of_are_refused(
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
        (["--jobs", "load"], "--jobs names jobs whose runs are heard of, and a sensor of kind schedule"),
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
def test_jobs_that_cannot_be_heard_of_are_refused(project: Path, options: list[str], complaint: str) -> None:
    before = contents(project)

    done = run("new", "sensor", "scaffolded_orders", *options, "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


def test_a_sensor_that_starts_nothing_brings_no_job(project: Path) -> None:
    known = jobs(YamlLines("template.yaml", (project / "template.yaml").read_text()))

    done = run("new", "sensor", "scaffolded_orders", "--kind", "run-failure", "--root", project)

    assert jobs(YamlLines("template.yaml", (project / "template.yaml").read_text())) == known
    assert "StateMachineArn" not in done.stdout
    assert "Sensor scaffolded_orders, which reacts to runs that have failed:" in done.stdout
