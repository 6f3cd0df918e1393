"""docs/reference/api.md has one entry for each public name, and the docstrings that the site shows there are complete."""

import inspect
import re
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import treadle
from treadle import testing
from treadle.definitions.options import PollingOptions

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text()
NAMES: dict[str, Any] = {name: getattr(treadle, name) for name in treadle.__all__} | {
    name: getattr(testing, name) for name in testing.__all__
}
WRITTEN = {"ResourceParam", "StringSource", "IntSource", "BoolSource"}
"""Names of annotations and of values, which can have no docstring: the page itself says what they are."""


def sentence(value: Any) -> str:
    """Return the first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n", maxsplit=1)[0].split())


def described(value: Any) -> set[str]:
    """Return the arguments and attributes that a docstring describes."""
    sections = re.findall(
        r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", inspect.getdoc(value) or "", flags=re.MULTILINE
    )
    return {name for each in sections for name in re.findall(r"^    (\w+): \S", each, flags=re.MULTILINE)}


def members(value: type) -> dict[str, Any]:
    """Return a class's own public methods and properties."""
    return {
        name: member
        for name, member in vars(value).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }


MEMBERS = [
    (f"{name}.{member}", each)
    for name, value in NAMES.items()
    if inspect.isclass(value) and not issubclass(value, Enum)
    for member, each in members(value).items()
]


def test_page_has_one_entry_for_each_public_name_and_no_other() -> None:
    entries = re.findall(r"^::: (\S+)$", PAGE, flags=re.MULTILINE)
    written = re.findall(r"^### `(\w+)`$", PAGE, flags=re.MULTILINE)
    expected = [
        f"treadle.{name}" if name in treadle.__all__ else f"treadle.testing.{name}"
        for name in NAMES
        if name not in WRITTEN
    ]

    assert Counter(entries) == Counter(expected)
    assert set(written) == WRITTEN


@pytest.mark.parametrize("name", sorted(NAMES.keys() - WRITTEN))
def test_docstring_begins_with_a_sentence(name: str) -> None:
    assert re.fullmatch(r"\S.*[.:]", sentence(NAMES[name]))


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_name_without_a_docstring_is_described_on_the_page(name: str) -> None:
    assert re.search(rf"^### `{name}`\n\n\S.*\.$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "member"), MEMBERS, ids=[name for name, _ in MEMBERS])
def test_each_member_of_a_class_is_described(name: str, member: Any) -> None:
    assert name
    assert re.fullmatch(r"\S.*[.:]", sentence(member))


@pytest.mark.parametrize(
    "name", ["RunRequest", "build_sensor_context", "s3_sensor", "get_objects", "evaluator"]
)
def test_every_argument_is_described(name: str) -> None:
    assert described(NAMES[name]) >= set(inspect.signature(NAMES[name]).parameters)


def test_every_option_of_the_decorators_is_an_argument_of_the_definition_and_described_there() -> None:
    arguments = set(inspect.signature(treadle.SensorDefinition).parameters)

    assert arguments == {"name", "evaluation_fn", "job_name", *PollingOptions.__optional_keys__}
    assert described(treadle.SensorDefinition) >= arguments
