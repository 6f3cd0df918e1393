"""docs/architecture.md: what it names exists, its tables are the template's, its invariants are those that tests check."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.faults.invariants import CHECKS
from tools.template import load
from treadle.adapters.dynamodb import runs, ticks

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "layers" / "treadle" / "treadle"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
TABLES: dict[str, Any] = {
    name: resource["Properties"]
    for name, resource in load(ROOT / "engine" / "template.yaml")["Resources"].items()
    if resource["Type"] == "AWS::DynamoDB::Table"
}


def section(heading: str) -> str:
    """Return the text below a heading, up to the next one of its level."""
    [found] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables of a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    heads = {index for index, line in enumerate(lines[1:]) if line.startswith("| ---")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in heads and not line.startswith("| ---")
    ]


def files(text: str) -> list[Path]:
    """Return the files and folders that a text names in backticks."""
    named = re.findall(r"`((?:[\w.<>-]+/)+[\w.-]*|[\w-]+\.(?:pyi?|yaml|toml))`", text)
    return [ROOT / each if (ROOT / each).exists() else LIBRARY / each for each in named]


def headings(text: str) -> list[str]:
    """Return the headings that a text links to."""
    return re.findall(r"\[([^\]]+)\]\(", text)


QUESTIONS = rows(section("Frequently asked questions about the code"))
CHANGES = rows(section("Where to change what"))


def key(table: dict[str, Any], kind: str) -> str:
    """Return a key of a table or index as the page has it; nothing if there is none."""
    return "".join(f"`{each['AttributeName']}`" for each in table["KeySchema"] if each["KeyType"] == kind)


def test_all_tables_are_there_with_their_keys() -> None:
    shown = {row[0].strip("`"): row[1:3] for row in rows(section("Tables")) if len(row) == 4}

    assert {name: shown[name] for name in TABLES} == {
        name: [key(table, "HASH"), key(table, "RANGE")] for name, table in TABLES.items()
    }


def test_all_indexes_are_there_with_their_keys() -> None:
    shown = {tuple(row[:4]) for row in rows(section("Tables")) if len(row) == 5}

    assert shown == {
        (f"`{name}`", f"`{index['IndexName']}`", key(index, "HASH"), key(index, "RANGE"))
        for name, table in TABLES.items()
        for index in table.get("GlobalSecondaryIndexes", ())
    }


def test_numbers_of_shards_and_days_are_the_code_s() -> None:
    text = section("Tables")

    assert f"sparse, {ticks.SHARDS} shards: ticks" in text
    assert f"sparse, {runs.SHARDS} shards: runs" in text
    assert f"({ticks.RETENTION_SECONDS // 86_400} days after dispatch)" in text


def test_invariants_are_those_that_are_checked() -> None:
    of_pools = re.findall(r"\bI1[1-9]\b", (ROOT / "tests/faults/pool_simulation.py").read_text())
    [of_batches] = set(re.findall(r"\bI1[1-9]\b", (ROOT / "tests/faults/batch_simulation.py").read_text()))
    # I15 is counted, by tests/functional/test_pool_costs.py.
    checked = [*(name.upper() for name in CHECKS), *sorted({*of_pools, of_batches}), "I15"]

    assert [row[0] for row in rows(section("Invariants"))] == checked


def test_layers_are_those_of_the_import_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = [each for each in settings["contracts"] if each["type"] == "layers"]
    shown = [row[0].replace("`", "").replace(", ", " | ") for row in rows(section("Layers of the code"))]

    assert shown == [layer.strip("()") for layer in contract["layers"]]


def test_every_file_that_is_named_exists() -> None:
    named = files(PAGE)

    assert len(named) > 60
    assert [path for path in named if not path.exists()] == []


@pytest.mark.parametrize(("change", "start"), [row[:2] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_each_change_begins_at_a_file_or_a_heading(change: str, start: str) -> None:
    assert change
    assert files(start) or headings(start)


def test_there_are_at_least_ten_questions() -> None:
    assert len(QUESTIONS) >= 10


@pytest.mark.parametrize(("question", "answer"), QUESTIONS, ids=[row[0] for row in QUESTIONS])
def test_answer_is_found_by_searching_for_the_question_s_noun(question: str, answer: str) -> None:
    [noun] = re.findall(r"\*\*([^*]+)\*\*", question)
    stem = re.sub(r"(es|s|y|er)$", "", noun.lower().split()[-1])
    places = [path.relative_to(ROOT).as_posix() for path in files(answer)] + headings(answer)

    assert [place for place in places if stem in place.lower()] != []
