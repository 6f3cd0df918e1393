"""`treadle new job`: the block that it writes, and when it writes nothing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.project import contents, run
from tests.support.projects import project as read_project
from tools.project_copy import copy_of_project
from treadle.cli.target_kinds import ADDRESS, KINDS, Setting, kind_of
from treadle.cli.template_edit import jobs, load
from treadle.model.contract import PARTS
from treadle.model.pools import Overlap
from treadle.model.registry import PoolEntry
from treadle.model.targets import UNANSWERING

EXAMPLES = {
    "step_functions": {"arn": "arn:aws:states:eu-central-1:123456789012:stateMachine:load-orders"},
    "glue": {"arn": "load-orders", "arguments": "day,region"},
    "batch": {
        "arn": "arn:aws:batch:eu-central-1:123456789012:job-definition/load-orders:3",
        "queue": "arn:aws:batch:eu-central-1:123456789012:job-queue/nightly",
        "arguments": "day,region",
    },
    "ecs": {
        "arn": "arn:aws:ecs:eu-central-1:123456789012:task-definition/load-orders:12",
        "cluster": "arn:aws:ecs:eu-central-1:123456789012:cluster/jobs",
        "container": "main",
        "subnets": "subnet-0a1b2c3d,subnet-0123456789abcdef0",
        "security_groups": "sg-0123456789abcdef0",
        "launch_type": "EC2",
        "assign_public_ip": "ENABLED",
        "arguments": "day,region",
        "task_role": "arn:aws:iam::123456789012:role/jobs/load-orders",
        "execution_role": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
    },
    "lambda": {"arn": "arn:aws:lambda:eu-central-1:123456789012:function:load-orders:live"},
    "sqs": {"arn": "arn:aws:sqs:eu-central-1:123456789012:orders.fifo", "message_group": "orders"},
    "eventbridge": {
        "arn": "arn:aws:events:eu-central-1:123456789012:event-bus/orders",
        "source": "com.example.orders",
        "detail_type": "Load Orders",
    },
}
"""A value of each setting of each kind."""
OF_ROLE_ONLY = {"task_role", "execution_role"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own."""
    return copy_of_project(tmp_path)


def given(kind: str) -> list[str]:
    """Return the options that give each setting of a kind."""
    values = EXAMPLES[kind]
    settings = [f"--set={name}={value}" for name, value in values.items() if name != ADDRESS]
    return ["--target", kind, "--arn", values[ADDRESS], *settings]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_of_each_kind_is_registered_with_what_is_given(project: Path, kind: str) -> None:
    """As the engine reads it, from a template that only grew."""
    before = contents(project)

    done = run("new", "job", "load_orders", *given(kind), "--root", project)

    assert done.exit_code == 0, done.output
    assert {path for path, text in contents(project).items() if text != before.get(path)} == {
        Path("template.yaml")
    }
    settings = read_project(project / "template.yaml").jobs()["load_orders"].settings
    options = {n: v for n, v in EXAMPLES[kind].items() if n not in {ADDRESS, *OF_ROLE_ONLY}}
    assert (settings.target, settings.arn, settings.options) == (kind, EXAMPLES[kind][ADDRESS], options)


def test_every_setting_has_an_example() -> None:
    assert {kind: set(kind_of(kind).settings) for kind in KINDS} == {
        kind: set(values) for kind, values in EXAMPLES.items()
    }


def settings() -> list[tuple[str, str, Setting]]:
    return [(kind, name, setting) for kind in KINDS for name, setting in kind_of(kind).settings.items()]


@pytest.mark.parametrize(("kind", "name", "setting"), settings())
def test_no_setting_takes_what_would_break_out_of_its_place(kind: str, name: str, setting: Setting) -> None:
    """Values go into a JSON text and into the resources of policies: no quotes, no wildcards, no variables."""
    example = EXAMPLES[kind][name]

    assert re.fullmatch(setting.pattern, example)
    for bad in ('"', "'", "\\", "*", "?", "${A}", "\n", "{{x}}"):
        assert not re.fullmatch(setting.pattern, example + bad)
        assert not re.fullmatch(setting.pattern, bad + example)


def test_a_job_cannot_publish_as_aws_or_as_treadle() -> None:
    pattern = kind_of("eventbridge").settings["source"].pattern

    assert re.fullmatch(pattern, "treadle-jobs")
    assert not any(re.fullmatch(pattern, source) for source in ("treadle", "treadle.runs", "aws.s3"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_without_an_address_starts_what_is_called_like_it(project: Path, kind: str) -> None:
    """In the account and Region of the stack, so that one template serves all stages."""
    done = run("new", "job", "load_orders", "--target", kind, "--root", project)

    assert done.exit_code == 0, done.output
    assert "load-orders" in done.stdout
    settings = read_project(project / "template.yaml").jobs()["load_orders"].settings
    assert "load-orders" in settings.arn


def test_a_role_of_another_account_is_named_and_not_made(project: Path) -> None:
    role = "arn:aws:iam::210987654321:role/treadle/main/eu-central-1/job/load"
    options = ("--role", role, *given("step_functions"))

    done = run("new", "job", "load_orders", *options, "--root", project)

    assert done.exit_code == 0, done.output
    found = read_project(project / "template.yaml")
    assert found.jobs()["load_orders"].settings.role == role
    assert "LoadOrdersJobRole" not in found.of_type("AWS::IAM::Role")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in UNANSWERING])
def test_an_observed_job_says_so_in_its_entry(project: Path, kind: str) -> None:
    done = run("new", "job", "load_orders", "--observed", *given(kind), "--root", project)
    other = run("new", "job", "load_items", *given(kind), "--root", project)

    assert (done.exit_code, other.exit_code) == (0, 0), done.output + other.output
    found = read_project(project / "template.yaml").jobs()
    assert (found["load_orders"].is_observed, found["load_items"].is_observed) == (True, False)
    bare = [
        replace(each.settings, job="", role="", parameter="")
        for each in found.values()
        if "load_" in each.name
    ]
    assert bare[0] == bare[1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--set", "queue=x"], "A job on step_functions has no setting 'queue'. Use: none."),
        (["--target", "batch", "--set", "subnets=x"], "Use: queue, arguments."),
        (["--arn", "load-orders"], "arn is 'load-orders', and must be: ARN of a Standard state machine."),
        (["--target", "ecs", "--set", "subnets"], "subnets is '', and must be: ids of subnets"),
        (["--role", "admin"], "--role is 'admin', and must be the ARN of an IAM role."),
        (["--target", "lambda", "--observed"], "the executions of lambda cannot be listed. Leave it out."),
        (["--target", "sqs", "--observed"], "--observed is for jobs on step_functions, glue, batch, ecs: "),
        (["--target", "eventbridge", "--observed"], "the executions of eventbridge cannot be listed."),
    ],
)
def test_unfit_settings_are_refused_and_nothing_is_written(
    project: Path, options: list[str], complaint: str
) -> None:
    before = contents(project)

    done = run("new", "job", "load_orders", *options, "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("Load", "use snake case"),
        ("ab", "use 3 to 40 characters"),
        ("import", "has a meaning"),
        ("process_file", "Job process_file exists already, on step_functions"),
    ],
)
def test_unfit_names_are_refused(project: Path, name: str, complaint: str) -> None:
    before = contents(project)

    done = run("new", "job", name, "--root", project)

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert contents(project) == before


def test_names_that_differ_only_in_their_ending_have_resources_of_their_own(project: Path) -> None:
    """As of a sensor `load_orders`, whose job is called `load_orders_job`, and of a job `load_orders`."""
    for command in (("job", "load_orders"), ("sensor", "load_orders"), ("job", "load")):
        done = run("new", *command, "--root", project)
        assert done.exit_code == 0, done.output

    assert {"load", "load_orders", "load_orders_job"} <= set(jobs((project / "template.yaml").read_text()))


def test_outside_a_project_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("new", "job", "load_orders")

    assert done.exit_code == 2
    assert "is not in a Treadle project" in done.stderr
    assert contents(tmp_path) == {}


def test_limits_of_a_job_are_in_its_entry(project: Path) -> None:
    options = ("--pool", "warehouse", "--pool", "nightly", "--max-concurrent-runs", "5")

    done = run("new", "job", "load_orders", *options, "--root", project)

    assert done.exit_code == 0, done.output
    entry = read_project(project / "template.yaml").jobs()["load_orders"]
    assert (sorted(entry.pools), entry.max_concurrent_runs) == (["nightly", "warehouse"], 5)


@pytest.mark.parametrize("kind", ["step_functions", *sorted(UNANSWERING)])
def test_starts_of_each_target_can_be_limited(project: Path, kind: str) -> None:
    options = ("--target", kind, "--max-starts-per-minute", "30")

    done = run("new", "job", "load_orders", *options, "--root", project)

    assert done.exit_code == 0, done.output
    assert read_project(project / "template.yaml").jobs()["load_orders"].max_starts_per_minute == 30


def test_job_with_an_overlap_has_one_run_at_a_time(project: Path) -> None:
    done = run("new", "job", "load_orders", "--overlap", "LATEST", "--root", project)

    assert done.exit_code == 0, done.output
    entry = read_project(project / "template.yaml").jobs()["load_orders"]
    assert (entry.overlap, entry.max_concurrent_runs) == (Overlap.LATEST, 1)


@pytest.mark.parametrize("option", [("--max-concurrent-runs", "5"), ("--overlap", "SKIP")])
@pytest.mark.parametrize("kind", sorted(UNANSWERING))
def test_job_whose_runs_do_not_end_has_no_limit(project: Path, kind: str, option: tuple[str, str]) -> None:
    options = ("--target", kind, *option)

    done = run("new", "job", "load_orders", *options, "--root", project)

    assert done.exit_code != 0
    assert f"those on {kind} do not report that. Leave them out." in done.output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), PoolEntry("warehouse", "shop", 5)),
        (("--all-jobs",), PoolEntry("warehouse", "shop", 5, all_jobs=True)),
        (
            ("--tag", "customer", "--per-value"),
            PoolEntry("warehouse", "shop", 5, tag="customer", per_value=True),
        ),
        (("--turns-by", "customer"), PoolEntry("warehouse", "shop", 5, turns_by="customer")),
        (
            ("--tag", "dagster/owner", "--value", "data team"),
            PoolEntry("warehouse", "shop", 5, tag="dagster/owner", value="data team"),
        ),
    ],
)
def test_pool_is_registered_with_its_limit(
    project: Path, options: tuple[str, ...], expected: PoolEntry
) -> None:
    done = run("new", "pool", "warehouse", "--limit", "5", *options, "--root", project)

    assert done.exit_code == 0, done.output
    [entry] = read_project(project / "template.yaml").pools().values()
    assert replace(entry, project="shop") == expected


def test_pool_of_starts_per_minute_is_registered(project: Path) -> None:
    done = run("new", "pool", "crm_api", "--starts-per-minute", "30", "--root", project)

    assert done.output.startswith("Pool crm_api has 30 starts per minute. Deploy it")
    [entry] = read_project(project / "template.yaml").pools().values()
    assert replace(entry, project="shop") == PoolEntry("crm_api", "shop", None, starts_per_minute=30)


def test_pool_without_any_limit_is_not_written(project: Path) -> None:
    before = contents(project)

    done = run("new", "pool", "crm_api", "--root", project)

    assert done.exit_code != 0
    assert "A pool has a limit: add --limit N, --starts-per-minute N, or both." in done.output
    assert contents(project) == before


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--per-value",), "add --tag"),
        (("--value", "acme"), "add --tag"),
        (("--tag", "customer", "--value", "a", "--per-value"), "exclude each other"),
        (("--tag", "customer", "--per-value", "--turns-by", "customer"), "exclude each other"),
        (("--turns-by", "$customer"), "without quotes"),
        (("--tag", "$customer"), "without quotes"),
        (("--tag", "customer", "--value", 'a"'), "without quotes"),
    ],
)
def test_pool_with_problems_is_not_written(project: Path, options: tuple[str, ...], problem: str) -> None:
    before = contents(project)

    done = run("new", "pool", "warehouse", "--limit", "5", *options, "--root", project)

    assert done.exit_code != 0
    assert problem in done.output
    assert contents(project) == before


def test_statement_for_the_role_of_the_jobs_code_is_printed(project: Path) -> None:
    """It covers the large run configs of this job, of any sensor, and no others."""
    done = run("new", "job", "load_orders", "--root", project)

    [line] = [each for each in done.stdout.splitlines() if "s3:GetObject" in each]
    statement = load(f"printed: {line}")["printed"]
    resource, names = statement["Resource"]["Fn::Sub"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "s3:GetObject")
    assert resource == "arn:${AWS::Partition}:s3:::${Name}/large/*/load_orders/*"
    assert names["Name"] == {"Fn::Select": [PARTS.index("payload_bucket"), {"Ref": "Engine"}]}
