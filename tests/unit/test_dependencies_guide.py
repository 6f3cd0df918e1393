"""docs/guide/dependencies.md: its sensor runs, and its blocks make a template that passes the checks."""

import json
import re
import sqlite3
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.project import run
from tests.support.projects import project as read_project
from tests.template.test_new_sensor import MINUTES, cfn_lint, check
from tests.template.test_new_sensor_project_check import add_environment
from tools.project_copy import copy_of_project
from treadle import RunRequest, build_sensor_context
from treadle.model.contract import PARTS

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "dependencies.md").read_text()
LOGIN = {"username": "sensor", "password": "secret of the shop"}


def block(language: str, after: str) -> str:
    """Return the first block in a language after some text of the page."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.partition(after)[2], flags=re.MULTILINE | re.DOTALL)
    assert found, after
    return found[1]


class Database:
    """What psycopg's connection does, over SQLite, whose parameters are written another way."""

    def __init__(self) -> None:
        self.file = sqlite3.connect(":memory:")
        self.file.execute("CREATE TABLE unpaid (number INTEGER)")

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def execute(self, query: str, values: Sequence[Any]) -> sqlite3.Cursor:
        return self.file.execute(query.replace("%s", "?"), values)


@pytest.fixture
def database() -> Iterator[Database]:
    """One with two unpaid orders."""
    with Database() as made:
        made.file.executemany("INSERT INTO unpaid VALUES (?)", [(7,), (12,)])
        yield made


@pytest.fixture
def opened(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """With what each connection is opened; the page's package is not installed here, and its shared code is."""
    opened: list[dict[str, Any]] = []
    psycopg, shared = ModuleType("psycopg"), ModuleType("shop_common")

    def connect(**options: Any) -> Database:
        opened.append(options)
        return database

    vars(psycopg).update(Connection=Database, connect=connect)
    exec(block("python", "## Code that sensors share"), vars(shared))
    monkeypatch.setitem(sys.modules, "psycopg", psycopg)
    monkeypatch.setitem(sys.modules, "shop_common", shared)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        made = boto3.client("secretsmanager").create_secret(Name="shop", SecretString=json.dumps(LOGIN))
        monkeypatch.setenv("SHOP_SECRET_ARN", made["ARN"])
        monkeypatch.setenv("SHOP_HOST", "shop.example.com")
        yield opened


@pytest.fixture
def example(opened: list[dict[str, Any]]) -> dict[str, Any]:
    """What the example's module defines."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(block("python", "## Example: poll Postgres"), names)
    return names


def test_the_sensor_requests_a_run_per_order_and_continues_behind_the_last(
    example: dict[str, Any], database: Database
) -> None:
    first = example["unpaid_orders"].evaluate_tick(build_sensor_context(resources={"shop": database}))
    later = example["unpaid_orders"].evaluate_tick(
        build_sensor_context(cursor="7", resources={"shop": database})
    )

    assert [request.run_key for request in first.run_requests] == ["order-000007", "order-000012"]
    assert first.cursor == "12"
    [request] = later.run_requests
    assert isinstance(request, RunRequest)
    assert request.run_config == {"order": 12}


def test_it_connects_with_the_user_and_password_of_the_secret(
    example: dict[str, Any], opened: list[dict[str, Any]]
) -> None:
    with build_sensor_context(resources={"shop": example["shop"]}) as context:
        data = example["unpaid_orders"].evaluate_tick(context)

    assert len(data.run_requests) == 2
    [options] = opened
    assert (options["host"], options["user"], options["password"]) == ("shop.example.com", *LOGIN.values())
    assert options["sslmode"] == "require"


def indented(text: str, by: int) -> str:
    """Return a block, further in."""
    return "".join(f"{' ' * by}{line}\n" if line else "\n" for line in text.splitlines())


def added(text: str, anchor: str, block: str) -> str:
    """Return a template with a block behind the one line that is the anchor."""
    assert text.count(anchor) == 1, anchor
    return text.replace(anchor, anchor + block)


@pytest.mark.timeout(MINUTES)
def test_its_blocks_make_a_template_that_passes_the_checks_of_a_project(tmp_path: Path) -> None:
    project = apply_example(tmp_path)
    add_environment(project)
    cfn_lint(project)
    check(project, "make", "check-project-tests")

    template = read_project(project / "template.yaml").template

    function = template["Resources"]["UnpaidOrders"]["Properties"]
    assert function["MemorySize"] == 512
    assert function["VpcConfig"]["SubnetIds"] == {"Ref": "ShopSubnets"}
    assert function["Environment"]["Variables"]["SHOP_SECRET_ARN"] == {"Ref": "ShopSecretArn"}
    evaluator, network, own = function["Policies"]
    assert evaluator == {"Fn::Select": [PARTS.index("evaluator_policy"), {"Ref": "Engine"}]}
    assert network.endswith("AWSLambdaVPCAccessExecutionRole")
    assert own["Statement"][0]["Resource"] == {"Ref": "ShopSecretArn"}
    values = tomllib.loads(block("toml", "And to `parameter_overrides`"))["parameter_overrides"]
    assert {value.partition("=")[0] for value in values} <= template["Parameters"].keys()


def apply_example(folder: Path) -> Path:
    """Return a project with the page's sensor, put into template.yaml as the page says."""
    project = copy_of_project(folder)
    [command] = re.findall(r"`treadle (new sensor unpaid_orders [^`]*)`", PAGE)
    done = run(*command.split(), "--root", project)
    assert done.exit_code == 0, done.output
    path = project / "template.yaml"
    head, place, tail = path.read_text().partition("      CodeUri: functions/sensors/unpaid_orders\n")
    assert place
    tail = replaced(tail, r"      Policies: .*\n", indented(block("yaml", "Its `Policies`"), 6))
    tail = replaced(tail, r"        Variables: .*\n", indented(block("yaml", "Its `Variables`"), 8))
    text = head + place + indented(block("yaml", "Added to `Properties`"), 6) + tail
    path.write_text(added(text, "\nParameters:\n", indented(block("yaml", "Added to `Parameters`"), 2)))
    return project


def replaced(text: str, pattern: str, block: str) -> str:
    """Return a template with a block in place of the first line of a pattern."""
    assert re.search(pattern, text), pattern
    return re.sub(pattern, lambda _: block, text, count=1)
