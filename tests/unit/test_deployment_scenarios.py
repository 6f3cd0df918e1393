"""docs/reference/deployment-scenarios.md: every test and check that it names exists."""

import re

import pytest

from tools.project import ROOT
from tools.verify.checks import ALL

PAGE = (ROOT / "docs/reference/deployment-scenarios.md").read_text()
ROWS = re.findall(r"^\| (\d+)\. (.+?) \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", path.read_text(), flags=re.MULTILINE)
}


def test_all_scenarios_are_there_in_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 31))


@pytest.mark.parametrize(("number", "scenario", "answer", "shown"), ROWS, ids=[row[0] for row in ROWS])
def test_what_shows_an_answer_exists(number: str, scenario: str, answer: str, shown: str) -> None:
    tests = set(re.findall(r"`(test_\w+)`", shown))
    checks = set(re.findall(r"`make verify-aws`: ([\w-]+)", shown))

    assert tests or checks
    assert not tests - TESTS
    assert not checks - {check.name for check in ALL}
