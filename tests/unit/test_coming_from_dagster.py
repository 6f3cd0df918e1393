"""docs/guide/coming-from-dagster.md: its example runs, its numbers are the code's, its names exist."""

import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import treadle
from treadle.definitions import errors
from treadle.definitions.contexts import MAX_CURSOR_BYTES, SensorEvaluationContext
from treadle.definitions.sensors import DEFAULT_CAP
from treadle.testing import TreadleInstance

FOLDER = Path(__file__).parents[2] / "docs" / "guide"
# What precedes the list of names, which tools.dagster_names writes.
PAGE, *_ = (FOLDER / "coming-from-dagster.md").read_text().partition("## Names that differ")
ABSENT = {"repository_def", "definitions", "code_location_origin", "stale_assets_only"}


def test_ported_sensor_of_the_page_queries_once() -> None:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    module = ModuleType("app")
    exec(block, module.__dict__)
    instance = TreadleInstance([module.my_sensor])

    assert [run.run_key for run in instance.tick("my_sensor").runs] == ["a"]
    assert instance.tick("my_sensor").outcome.reason == "nothing new"


def test_each_difference_has_a_side_for_dagster_and_one_for_treadle() -> None:
    differences = PAGE.partition("## What is different")[2]
    rows = [line for line in differences.splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 20
    for row in rows:
        _, what, dagster, here, _, _ = row.split("|")
        assert what.strip(), row
        assert dagster.strip(), row
        assert here.strip(), row


def test_each_of_dagsters_tests_that_fails_has_a_row() -> None:
    table = tomllib.loads((FOLDER.parents[1] / "tests" / "peers" / "items.toml").read_text())

    assert table["failing"]
    assert [each["row"] for each in table["failing"] if each["row"] not in PAGE] == []


def test_numbers_are_those_of_the_code() -> None:
    assert f"up to {MAX_CURSOR_BYTES:,} bytes" in PAGE
    assert f"up to {DEFAULT_CAP:,}; more fail" in PAGE


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`@?([A-Z]\w+Error)`", PAGE))))
def test_error_is_there_unless_it_is_dagsters_alone(name: str) -> None:
    is_dagsters = name in {"CheckError", "ParameterCheckError", "DagsterUserCodeProcessError"}

    assert is_dagsters is not hasattr(errors, name)


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_is_said_not_to_exist_does_not(name: str) -> None:
    assert name in PAGE
    assert name not in treadle.__all__
    assert not hasattr(SensorEvaluationContext("watch"), name)


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")))
def test_links_of_the_guide_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
