"""docs/reference/api.md: one entry per public name, in the docstrings' own words."""

import inspect
import re
from collections import Counter

import pytest

import treadle
from tools import api_page

PAGE = api_page.PAGE.read_text()
NAMES = api_page.names()


def test_there_is_one_entry_for_each_public_name_and_no_other() -> None:
    assert Counter(re.findall(r"^### `(\w+)`$", PAGE, flags=re.MULTILINE)) == Counter(list(NAMES))


def test_page_says_what_the_docstrings_say() -> None:
    assert api_page.render() == PAGE, "run: python -m tools.api_page"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_entry_begins_with_a_sentence(name: str) -> None:
    [words] = re.findall(rf"^### `{name}`\n\n(.*)$", PAGE, flags=re.MULTILINE)

    assert re.fullmatch(r"\S.*\.", words)


@pytest.mark.parametrize(
    "name", ["RunRequest", "build_sensor_context", "s3_sensor", "get_objects", "evaluator"]
)
def test_every_argument_is_described(name: str) -> None:
    described = re.findall(
        r"^\| `(\w+)` \| .*\. \|$", "\n".join(api_page.entry(name, NAMES[name])), re.MULTILINE
    )

    assert set(described) >= set(inspect.signature(NAMES[name]).parameters)


def test_every_argument_of_the_decorator_is_described_with_the_definition() -> None:
    described = api_page.described(treadle.SensorDefinition)

    assert described.keys() >= set(inspect.signature(treadle.sensor).parameters)


def test_members_of_a_class_and_values_of_an_enumeration_are_named() -> None:
    assert "- `.update_cursor`: Set the bookmark;" in PAGE
    assert "Values: `.SKIPPED`, `.SUCCESS`, `.FAILURE`." in PAGE
