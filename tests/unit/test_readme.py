"""README.md is short, its sensor runs, and what it shows of the demo is what docs/demo.md shows."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle.engine.outcomes import Decision
from treadle.testing import TreadleInstance

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def example() -> ModuleType:
    """The sensor as a module, as it stands in the README."""
    [block] = blocks("python")
    module = ModuleType("app")
    exec(compile(block, "README.md", "exec"), module.__dict__)
    return module


def test_it_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_sensor_has_as_many_lines_as_the_text_says() -> None:
    [block] = blocks("python")

    assert len(block.splitlines()) == 9
    assert "is nine lines" in README


def test_the_sensor_gets_one_run_for_each_object(example: ModuleType) -> None:
    instance = TreadleInstance(
        [example.new_objects], settings={"new_objects": {"TREADLE_S3_BUCKET": "landing"}}
    )

    event = instance.objects.put("landing", "a.csv", b"1")

    first, second = (instance.send(event)["new_objects"] for _ in range(2))
    swept = instance.tick("new_objects")

    assert [(run.job, json.loads(run.run_config)["key"]) for run in first.runs] == [("process_file", "a.csv")]
    assert swept.runs == ()
    assert second.outcome.decision is Decision.DUPLICATE
    assert len(instance.runs(lambda run: run.sensor == "new_objects")) == 1


def test_what_is_shown_of_the_demo_is_on_the_demo_s_page() -> None:
    [shown] = blocks("text")
    page = (ROOT / "docs" / "demo.md").read_text()

    assert [line for line in shown.splitlines() if line.strip() not in ("", "…") and line not in page] == []
