"""docs/guide/queue-sensors.md: every block runs, and every sensor does what the page says."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle.definitions.queue_message import QueueMessage
from treadle.definitions.queue_sensor import QueueSensorDefinition
from treadle.testing.instance import TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "queue-sensors.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))


def run(title: str) -> ModuleType:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, QueueSensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_first_sensor_starts_a_run_for_each_paid_order() -> None:
    instance = TreadleInstance([run("React to each message").queued_orders])
    for number, paid in enumerate([True, False]):
        instance.send_message("orders", {"id": number, "paid": paid})

    assert [each.run_config for each in instance.runs()] == ['{"order":0}']


def test_page_names_what_a_message_has() -> None:
    table = TEXT.partition("## What a message contains")[2].partition("With S3's")[0]
    named = re.findall(r"`(\w+)(?:\(\))?`", "".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)))

    public = {name for name in dir(QueueMessage) if not name.startswith("_")}
    assert set(named) - {"context", "message"} == public - {"identity", "summary", "depth"}
