"""docs/guide/stream-sensors.md: every block runs, and every sensor does what the page says."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle.definitions.stream_record import StreamRecord
from treadle.definitions.stream_sensor import MAX_ATTEMPTS, StreamSensorDefinition
from treadle.engine.tick.given_up_records import MAX_DEAD_LETTER
from treadle.entrypoints.stream_consumer import MOST_RECORDS
from treadle.testing.instance import TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "stream-sensors.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))


def run(title: str) -> ModuleType:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, StreamSensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_first_sensor_starts_a_run_for_each_paid_order() -> None:
    instance = TreadleInstance([run("React to each record").streamed_orders])
    for number, paid in enumerate([True, False]):
        instance.put_record("orders", {"id": number, "paid": paid})

    assert [each.run_config for each in instance.runs()] == ['{"order":0}']


def test_page_names_what_a_record_has() -> None:
    table = TEXT.partition("## What a record contains")[2].partition("Attributes of items")[0]
    named = re.findall(r"`(\w+)(?:\(\))?`", "".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)))

    public = {name for name in dir(StreamRecord) if not name.startswith("_")}
    assert set(named) - {"context", "record"} == public - {"identity", "summary", "depth"}


def test_page_has_the_limits_of_the_code() -> None:
    assert (MAX_ATTEMPTS, MOST_RECORDS, MAX_DEAD_LETTER) == (5, 100, 800_000)
    assert "five times in all" in TEXT
    assert "batch of up to 100" in TEXT
    assert "more than 800 KB" in TEXT
