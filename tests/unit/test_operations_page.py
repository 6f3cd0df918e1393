"""docs/operations.md leaves nothing out that an operator can meet."""

import re
from pathlib import Path

import pytest

from treadle.definitions import errors
from treadle.definitions.errors import TreadleError
from treadle.engine.outcomes import Decision

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCES = [
    ROOT / "template.yaml",
    *(path for folder in ("layers", "functions", "tools") for path in (ROOT / folder).rglob("*.py")),
]
VARIABLES = {
    name for path in SOURCES for name in re.findall(r"\bTREADLE_[A-Z0-9_]+[A-Z0-9]\b", path.read_text())
}
ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, TreadleError) and value is not TreadleError
}


@pytest.mark.parametrize("decision", Decision)
def test_decision_is_explained(decision: Decision) -> None:
    assert re.search(rf"^\| {decision.value} \|", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_error_is_explained_with_its_retryability(name: str) -> None:
    [retryable] = re.findall(rf"^\| `{name}` \|.*\| (yes|no)", PAGE, flags=re.MULTILINE)

    assert (retryable == "yes") is getattr(errors, name).retryable


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_variable_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_no_decision_variable_or_error_is_invented() -> None:
    named = set(re.findall(r"`(TREADLE_[A-Z0-9_]+)`", PAGE))
    decisions = re.findall(r"^\| ([A-Z_]+) \|", PAGE, flags=re.MULTILINE)

    assert named <= VARIABLES
    assert set(decisions) == {decision.value for decision in Decision}
    assert set(re.findall(r"^\| `(\w+(?:Error|Metadata))` \|", PAGE, flags=re.MULTILINE)) == ERRORS
