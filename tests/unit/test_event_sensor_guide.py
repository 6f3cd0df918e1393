"""docs/guide/event-sensors.md: every block runs, and every sensor does what the page says."""

import ast
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.project import run as run_command
from tools.project_copy import copy_of_project
from treadle.definitions.event_pattern import _OPERANDS, EventPattern
from treadle.definitions.event_sensor import EventSensorDefinition
from treadle.testing.instance import TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "event-sensors.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))


def run(title: str) -> ModuleType:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, EventSensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_first_sensor_starts_a_run_for_each_paid_order() -> None:
    instance = TreadleInstance([run("React to each event").placed_orders])
    for number, (total, paid) in enumerate([(5, True), (5, False), (0, True)]):
        instance.put_event("shop.orders", "Order Placed", {"id": number, "total": total, "paid": paid})

    assert [each.run_config for each in instance.runs()] == ['{"order":0}']
    assert [tick.reason for tick in instance.ticks("placed_orders")] == ["It is not paid yet.", None]


def test_command_writes_a_sensor_with_the_pattern_of_the_first_one(tmp_path: Path) -> None:
    [command] = re.findall(r"^```sh\ntreadle (new sensor .*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    copy = copy_of_project(tmp_path)

    done = run_command(*shlex.split(command.replace("\\\n", "")), "--root", copy)

    assert done.exit_code == 0, done.output
    code = (copy / "functions/sensors/placed_orders/app.py").read_text()
    pattern = ast.literal_eval(re.findall(r"^PATTERN = (.*?^})$", code, re.MULTILINE | re.DOTALL)[0])
    assert pattern == run("React to each event").PATTERN


def test_patterns_of_the_table_are_valid() -> None:
    patterns = re.findall(r"\| `(\{.*\})` \|$", TEXT, re.MULTILINE)

    assert len(patterns) == 4
    for pattern in patterns:
        EventPattern(json.loads(pattern))


def test_page_names_each_operator() -> None:
    for operator in _OPERANDS:
        assert f"`{operator}`" in TEXT
