"""What `treadle new sensor` writes for each kind passes the project's own checks."""

import json
from pathlib import Path

import pytest

from tests.support.project import run
from tests.support.projects import project as read_project
from tests.template.test_new_sensor import MINUTES, cfn_lint, own_tests, python, type_check
from tools.project_copy import copy_of_project

pytestmark = pytest.mark.treadle

ORDERS = json.dumps(
    {
        "source": ["shop.orders", {"prefix": "aws.partner/shop"}],
        "account": ["111122223333"],
        "resources": [{"suffix": ":orders"}],
        "$or": [{"detail": {"total": [{"numeric": [">", 10, "<=", 20]}]}}, {"detail-type": ['Said "yes"']}],
        "detail": {
            "rush": [True, None],
            "address": {"ip": [{"cidr": "10.0.0.0/24"}], "country": [{"anything-but": ["us", "ca"]}]},
            "code": [{"wildcard": "a*\\*"}, "x" * 70],
        },
    }
)
ANYTHING = '{"source":[{"prefix":""}]}'

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T18:00:00.000"
SENSORS: dict[str, tuple[str, ...]] = {
    "on_success": ("--kind", "run-status"),
    "chain_report": ("--kind", "run-status", "--job", "report", "--jobs", "process_file"),
    "tell_failed": ("--kind", "run-failure", "--jobs", "process_file,report"),
    "repair_all": ("--kind", "run-failure", "--job", "repair"),
    "when_ready": ("--kind", "all-succeeded", "--jobs", "process_file,report"),
    "scaffolded_orders": ("--reads-runs",),
    "unpaid_orders": ("--interval", "15"),
    "new_objects_again": ("--job", "process_file"),
    "load_is_late": ("--kind", "deadline", "--jobs", "process_file"),
    "repair_late": ("--kind", "deadline", "--jobs", "process_file", "--job", "repair"),
    "on_orders": ("--kind", "asset", "--asset", "shop/orders", "--job", "process_file"),
    "on_prices": ("--kind", "asset", "--asset", "prices"),
    "when_fresh": ("--kind", "multi-asset", "--asset", "shop/orders", "--asset", "prices"),
    "each_object": ("--kind", "s3", "--bucket", "my-orders", "--prefix", "in/", "--suffix", ".csv"),
    "each_matching": (
        "--kind",
        "s3",
        "--bucket",
        "my-orders",
        "--key-pattern",
        "{region}/orders_{day:%Y%m%d}.csv",
    ),
    "each_shop": (
        *(
            "--kind",
            "s3",
            "--bucket",
            "shop-eu",
            "--bucket",
            "shop-us",
            "--prefix",
            "orders/",
            "--prefix",
            "returns/",
        ),
        *("--suffix", ".csv", "--suffix", ".gz", "--wildcard"),
    ),
    "each_order": ("--kind", "event", "--pattern", ORDERS, "--bus", "shop"),
    "each_of_all": ("--kind", "event", "--pattern", ANYTHING, "--bus", "engine"),
    "each_message": ("--kind", "queue", "--queue", "orders.fifo"),
    "each_record": ("--kind", "stream", "--stream", "orders"),
    "each_change": ("--kind", "stream", "--stream", TABLE),
    "each_push": ("--kind", "webhook", "--secret", "shop/github"),
    "each_payment": ("--kind", "webhook", "--sender", "stripe", "--secret", "shop/senders#stripe"),
    "each_call": ("--kind", "webhook", "--sender", "token", "--secret", "ssm:/shop/callers"),
}
TESTS = {
    "on_success": 2,
    "chain_report": 2,
    "tell_failed": 2,
    "repair_all": 2,
    "when_ready": 2,
    "scaffolded_orders": 3,
    "unpaid_orders": 3,
    "new_objects_again": 3,
    "load_is_late": 2,
    "repair_late": 2,
    "on_orders": 2,
    "on_prices": 2,
    "when_fresh": 2,
    "each_object": 2,
    "each_matching": 2,
    "each_shop": 2,
    "each_order": 3,
    "each_of_all": 2,
    "each_message": 3,
    "each_record": 3,
    "each_change": 3,
    "each_push": 4,
    "each_payment": 4,
    "each_call": 3,
}
LONGEST_ASSET = "/".join([*["a"] * 7, "z" * 46])
LONGEST_JOBS = f"{'k' * 40},{'l' * 40}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a sensor of each kind, with a new job, a known one and none, of all jobs and of some."""
    copy = copy_of_project(tmp_path_factory.mktemp("kinds"))
    for name, options in SENSORS.items():
        done = run("new", "sensor", name, *options, "--root", copy)
        assert done.exit_code == 0, done.output
    return copy


def files(*names: str) -> list[str]:
    """Return what was written in Python for these sensors."""
    return [path for name in names for path in (f"functions/sensors/{name}", f"tests/sensors/test_{name}.py")]


@pytest.mark.timeout(MINUTES)
def test_template_passes_cfn_lint_and_its_own_tests(project: Path) -> None:
    cfn_lint(project)
    own_tests(project)


@pytest.mark.timeout(MINUTES)
def test_written_tests_pass(project: Path) -> None:
    tests = [file for file in files(*SENSORS) if file.endswith(".py")]

    assert f"{sum(TESTS.values())} passed" in python(project, "pytest", "-q", *tests)


@pytest.mark.timeout(MINUTES)
def test_written_code_passes_formatter_linter_and_type_checker(project: Path) -> None:
    python(project, "ruff", "format", "--check", *files(*SENSORS))
    python(project, "ruff", "check", *files(*SENSORS))
    type_check(project, *files(*SENSORS))


@pytest.mark.parametrize(
    ("kind", "watched"),
    [
        ("run-status", ("--jobs", LONGEST_JOBS)),
        ("run-failure", ("--jobs", LONGEST_JOBS)),
        ("all-succeeded", ("--jobs", LONGEST_JOBS)),
        ("deadline", ("--jobs", "k" * 40)),
        ("asset", ("--asset", LONGEST_ASSET)),
        ("multi-asset", ("--asset", LONGEST_ASSET, "--asset", "b")),
        ("s3", ("--bucket", "b" * 63)),
        ("s3", ("--bucket", "b" * 63, "--key-pattern", f"{{{'k' * 78}}}")),
        ("queue", ("--queue", "q" * 80)),
        ("stream", ("--stream", "s" * 128)),
        ("stream", ("--stream", TABLE.replace("orders", "t" * 255))),
        ("webhook", ("--sender", "stripe", "--secret", "s" * 200)),
        ("event", ("--pattern", json.dumps({"source": ["s" * 256], "detail": {"d" * 100: ["x"]}}))),
    ],
)
def test_code_of_the_longest_names_is_formatted(tmp_path: Path, kind: str, watched: tuple[str, ...]) -> None:
    copy, name = copy_of_project(tmp_path), "n" * 36

    done = run("new", "sensor", name, "--kind", kind, "--job", "j" * 40, *watched, "--root", copy)

    assert done.exit_code == 0, done.output
    python(copy, "ruff", "format", "--check", *files(name))
    python(copy, "ruff", "check", *files(name))


def test_a_sensor_that_starts_no_job_is_granted_none(project: Path) -> None:
    entries = read_project(project / "template.yaml").sensors()

    assert entries["on_success"].jobs == frozenset()
    assert entries["chain_report"].jobs == frozenset({"report"})


def test_what_the_deployment_watches_is_what_the_code_names(project: Path) -> None:
    functions = read_project(project / "template.yaml").functions()
    watched = {name: each["Environment"]["Variables"] for name, each in functions.items()}

    assert watched["tell_failed"]["TREADLE_MONITORED_JOBS"] == "process_file,report"
    assert watched["on_success"]["TREADLE_MONITORED_JOBS"] == ""


def test_of_the_sensors_of_assets_only_one_that_waits_for_several_ticks_by_schedule(project: Path) -> None:
    functions = read_project(project / "template.yaml").functions()
    scheduled = {
        name
        for name, each in functions.items()
        if "ScheduleV2" in {event["Type"] for event in each.get("Events", {}).values()}
    }

    assert {"on_orders", "on_prices"}.isdisjoint(scheduled)
    assert {"when_fresh", "each_object"} <= scheduled
