"""What `treadle new sensor` makes of the project passes every check that the project itself passes."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import run
from tests.template import model
from tools.project import ROOT
from tools.project_copy import copy_of_project
from tools.template import load
from treadle.adapters.status_events import parse_status_change
from treadle.cli.kinds import KINDS, STEP_FUNCTIONS

pytestmark = pytest.mark.treadle

SENSORS = ("scaffolded_orders", "unpaid_orders", "new_objects_again")
OTHER_KINDS = [kind for kind in KINDS if kind != STEP_FUNCTIONS]
NEEDED = {
    "glue": {
        "LaunchRole": {"glue:StartJobRun", "glue:GetJobRuns"},
        "RecordRole": {"glue:GetJobRun"},
        "ReconcileRole": {"glue:GetJobRun", "glue:GetJobRuns"},
        "ConsoleRole": {"glue:BatchStopJobRun", "glue:GetJobRuns"},
    },
    "batch": {
        "LaunchRole": {"batch:SubmitJob", "batch:ListJobs"},
        "RecordRole": {"batch:DescribeJobs"},
        "ReconcileRole": {"batch:DescribeJobs", "batch:ListJobs"},
        "ConsoleRole": {"batch:TerminateJob", "batch:ListJobs", "batch:DescribeJobs"},
    },
    "ecs": {
        "LaunchRole": {
            "ecs:RunTask",
            "iam:PassRole",
            "ecs:DescribeTasks",
            "ecs:DescribeTaskDefinition",
        },
        "RecordRole": {"ecs:DescribeTasks", "ecs:DescribeTaskDefinition"},
        "ReconcileRole": {"ecs:DescribeTasks", "ecs:DescribeTaskDefinition"},
        "ConsoleRole": {"ecs:StopTask"},
    },
    "lambda": {"LaunchRole": {"lambda:InvokeFunction"}},
    "sqs": {"LaunchRole": {"sqs:SendMessage", "sqs:GetQueueUrl"}},
    "eventbridge": {"LaunchRole": {"events:PutEvents"}},
}
"""What a job of a kind lets which role do."""
FILES = [
    f"{path}" for name in SENSORS for path in (f"functions/sensors/{name}", f"tests/sensors/test_{name}.py")
]
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
S3_ONLY = {"SweepBucket", "BucketNotifications", "BucketVersioning", "OwnDeployment"}
MINUTES = 300


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three more sensors: two with a job of their own, one with a known one."""
    copy = copy_of_project(tmp_path_factory.mktemp("scaffold"))
    for name in SENSORS[:2]:
        assert run("new", "sensor", name, "--interval", "15", "--root", copy).exit_code == 0
    assert run("new", "sensor", SENSORS[2], "--job", "process_file", "--root", copy).exit_code == 0
    return copy


@pytest.fixture(scope="module", params=OTHER_KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A kind of target, and a project with a sensor whose job is of that kind."""
    name: str = request.param
    copy = copy_of_project(tmp_path_factory.mktemp(name))
    done = run(
        "new", "sensor", "scaffolded_orders", "--job", "scaffolded_load", "--target", name, "--root", copy
    )
    assert done.exit_code == 0, done.output
    return name, copy


def check(project: Path, *command: str | Path) -> str:
    """The output of a command that succeeds in the project."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    arguments = list(map(str, command))
    done = subprocess.run(
        arguments, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(project: Path, module: str, *arguments: str) -> str:
    """The output of a Python tool that succeeds in the project."""
    return check(project, sys.executable, "-m", module, *arguments)


def cfn_lint(project: Path) -> None:
    """The project's template passes cfn-lint."""
    check(project, Path(sys.executable).with_name("cfn-lint"), "template.yaml")


def type_check(project: Path, *files: str) -> None:
    """These files of the project pass mypy, which has read the library for this project already."""
    python(project, "mypy", f"--cache-dir={ROOT / '.mypy_cache'}", *files)


@pytest.mark.timeout(MINUTES)
@pytest.mark.skipif(not SAM.exists(), reason="make setup brings SAM")
def test_template_with_jobs_of_all_kinds_passes_sam_validate_and_its_own_tests(tmp_path: Path) -> None:
    """Its own tests find every sensor by themselves."""
    copy = copy_of_project(tmp_path)
    for name in KINDS:
        done = run("new", "sensor", f"{name}_watch", "--target", name, "--interval", "15", "--root", copy)
        assert done.exit_code == 0, done.output
    assert run("new", "sensor", "known_job", "--job", "process_file", "--root", copy).exit_code == 0

    check(copy, SAM, "validate", "--lint", "--template-file", "template.yaml")
    python(copy, "pytest", "tests/template", "-q", "-p", "no:randomly")


def test_a_job_of_a_kind_lets_launch_and_reconcile_do_what_it_takes(kind: tuple[str, Path]) -> None:
    """And RECORD what it takes to ask how it stands, the console to end it; DISPATCH and evaluators nothing."""
    name, copy = kind
    added: dict[str, set[str]] = {}
    before = [str(statement) for _, statement in model.read().statements()]

    for role, statement in parsed(copy).statements():
        if "ScaffoldedLoad" in statement["Sid"]:
            assert str(statement) not in before
            added.setdefault(role, set()).update(model.actions(statement))

    assert added == NEEDED[name]


RULES = {
    "glue": ["record-glue-job-succeeded"],
    "batch": ["record-batch-job-failed"],
    "ecs": ["record-ecs-task-stopped"],
    "lambda": ["record-lambda-success", "record-lambda-failure"],
}
"""The kinds whose targets say how they go, and samples of what they say."""


def placed(path: str, body: dict[str, Any]) -> Any:
    """What an event has at a path such as `$.detail.state`; empty if it lacks it, as EventBridge fills it in."""
    found: Any = body
    for step in path.removeprefix("$.").split("."):
        found = found.get(step, "") if isinstance(found, dict) else ""
    return found


def transformed(text: str, paths: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """An event as its rule passes it on."""
    given = {key: placed(path, body) for key, path in paths.items()}
    quoted = re.sub(r'"<(\w+)>"', lambda found: json.dumps(str(given[found[1]])), text)
    sent: dict[str, Any] = json.loads(re.sub(r"<(\w+)>", lambda found: json.dumps(given[found[1]]), quoted))
    return sent


def test_a_job_that_says_how_it_goes_is_heard_and_nothing_but_that(kind: tuple[str, Path]) -> None:
    """What its rule lets through is what RECORD makes a change of; payloads stay out."""
    name, copy = kind
    rule = parsed(copy).resources("AWS::Events::Rule").get("ScaffoldedLoadStatusRule")
    assert (rule is not None) is (name in RULES)
    if rule is None:
        return
    [target] = rule["Targets"]
    paths, text = (target["InputTransformer"][part] for part in ("InputPathsMap", "InputTemplate"))
    assert set(re.findall(r"<(\w+)>", text)) == paths.keys()

    for sample in RULES[name]:
        for record in model.samples()[sample]["Records"]:
            body = json.loads(record["body"])
            sent = transformed(text, paths, body)
            assert body["source"] in rule["EventPattern"]["source"]
            assert body["detail-type"] in rule["EventPattern"]["detail-type"]
            assert parse_status_change(sent) == parse_status_change(body)
            assert sent["detail"].keys() <= body["detail"].keys() | {"responsePayload"}


def test_a_job_lets_nobody_do_anything_before_it_is_configured(kind: tuple[str, Path]) -> None:
    """A statement on an empty address would be no valid policy, or one on everything."""
    for role in parsed(kind[1]).resources("AWS::IAM::Role").values():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if "ScaffoldedLoad" in str(statement) and "ScaffoldedLoad" in statement.get(
                    "Sid", "ScaffoldedLoad"
                ):
                    assert statement["Fn::If"][0].startswith("ScaffoldedLoad")
                    assert statement["Fn::If"][2] == {"Ref": "AWS::NoValue"}


@pytest.mark.timeout(MINUTES)
def test_written_tests_pass(project: Path) -> None:
    tests = [file for file in FILES if file.endswith(".py")]

    assert f"{3 * len(SENSORS)} passed" in python(project, "pytest", "-q", *tests)


@pytest.mark.timeout(MINUTES)
def test_written_code_passes_formatter_linter_and_type_checker(project: Path) -> None:
    python(project, "ruff", "format", "--check", *FILES)
    python(project, "ruff", "check", *FILES)
    type_check(project, *FILES)


@pytest.mark.parametrize(("length", "job_length"), [(3, 3), (36, 40)])
def test_code_of_the_shortest_and_the_longest_names_is_formatted(
    tmp_path: Path, length: int, job_length: int
) -> None:
    copy, name = copy_of_project(tmp_path), "n" * length

    assert run("new", "sensor", name, "--job", "j" * job_length, "--root", copy).exit_code == 0
    python(copy, "ruff", "format", "--check", f"functions/sensors/{name}", f"tests/sensors/test_{name}.py")
    python(copy, "ruff", "check", f"functions/sensors/{name}", f"tests/sensors/test_{name}.py")


def parsed(project: Path) -> model.Template:
    """A project's template."""
    return model.Template(yaml.load((project / "template.yaml").read_text(), Loader=model._Loader))


def renamed(value: Any) -> Any:
    """A value in which the first sensor's names stand in place of the new one's."""
    text = (
        yaml.safe_dump(value)
        .replace("ScaffoldedOrders", "NewObjects")
        .replace("scaffolded_orders", "new_objects")
    )
    return yaml.safe_load(text)


def test_new_sensor_is_deployed_as_the_first_one_is(project: Path) -> None:
    """What evaluators need changes: whoever changes the first sensor's block changes the scaffold's too."""
    template = parsed(project)
    first, own = template.evaluators()["new_objects"], renamed(template.evaluators()["scaffolded_orders"])
    variables = {v: x for v, x in template.environment(first).items() if not v.startswith("TREADLE_S3_")}

    assert renamed(template.environment(template.evaluators()["scaffolded_orders"])) == {
        **variables,
        "TREADLE_KIND": "schedule",
    }
    assert {**own, "Description": "", "Environment": {}} == {**first, "Description": "", "Environment": {}}


def test_new_sensor_may_do_what_the_first_one_may_save_reading_its_bucket(project: Path) -> None:
    template = parsed(project)
    statements = list(template.statements())
    first = {s["Sid"]: s for role, s in statements if role == "NewObjectsRole" and s["Sid"] not in S3_ONLY}

    assert {s["Sid"]: renamed(s) for role, s in statements if role == "ScaffoldedOrdersRole"} == first


def test_layer_goes_without_the_command_line_and_the_testing_kit(tmp_path: Path) -> None:
    """What a function imports is there all the same."""
    layer = tmp_path / "python"
    check(ROOT / "layers" / "treadle", "make", "build-TreadleLayer", f"ARTIFACTS_DIR={tmp_path}")

    assert not {path.name for path in (layer / "treadle").iterdir()} & {"cli", "testing"}
    assert list((layer / "treadle").glob(f"__pycache__/__init__.{sys.implementation.cache_tag}.pyc"))
    code = (
        f"import sys; sys.path.insert(0, {str(layer)!r}); import treadle.entrypoints as e; print(e.__file__)"
    )
    assert check(tmp_path, sys.executable, "-c", code).startswith(str(layer))


@pytest.mark.parametrize("layer", ["deps", "treadle"])
def test_bytecode_is_made_for_the_runtime_of_the_functions(layer: str) -> None:
    runtime = load()["Globals"]["Function"]["Runtime"]

    assert f"RUNTIME := {runtime}\n" in (ROOT / "layers" / layer / "Makefile").read_text()


def test_package_asks_for_what_the_layer_has() -> None:
    """Every package that the library needs beside boto3 is pinned in the layer of dependencies."""
    project = tomllib.loads((ROOT / "layers/treadle/pyproject.toml").read_text())["project"]
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "layers/deps/requirements.txt").read_text(), re.MULTILINE)

    needed = {re.split("[>=]", line)[0] for line in project["dependencies"]}
    assert needed - {"boto3"} <= set(pinned)
    assert "boto3" in needed
