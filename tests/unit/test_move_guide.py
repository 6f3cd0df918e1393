"""docs/guide/delete-recreate-move.md names what the template has, no more and no less."""

import re
from pathlib import Path

import pytest

from tests.template.engine_model import read_engine

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "delete-recreate-move.md").read_text()
template = read_engine()
PARAMETERS, OUTPUTS = template.section("Parameters"), template.section("Outputs")
TAKEN = {"ExistingStores", "Namespace"}


def test_every_parameter_that_takes_something_over_is_in_the_table() -> None:
    table = PAGE.partition("## What is retained")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(\w+)`", table)) >= TAKEN


def test_the_command_that_notes_outputs_names_all_of_them() -> None:
    [query] = re.findall(r"contains\(\[(.*?)\]", PAGE)
    named = set(re.findall(r"'(\w+)'", query))

    assert named == TAKEN
    assert named <= OUTPUTS.keys()


def test_the_example_gives_values_that_the_template_takes() -> None:
    [block] = re.findall(r"^parameter_overrides = \[\n(.*?)^\]", PAGE, flags=re.MULTILINE | re.DOTALL)
    given = dict(re.findall(r'"(\w+)=(.*?)"', block))

    assert TAKEN <= given.keys() <= PARAMETERS.keys()
    for name, value in given.items():
        assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], value), name


@pytest.mark.parametrize("name", ["TicksTable", "SensorsTable", "RunsTable", "EventsTable", "PayloadBucket"])
def test_what_it_calls_retained_is_retained(name: str) -> None:
    assert template.section("Resources")[name]["DeletionPolicy"] == "RetainExceptOnCreate"
