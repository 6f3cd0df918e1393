"""docs/reference/dagster-behaviours.md: every row is there once, and every test that it names exists."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "dagster-behaviours.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *def (test_\w+)\(", path.read_text(), flags=re.MULTILINE)
}


def test_every_row_is_there_exactly_once() -> None:
    expected = range(1, 207)

    assert Counter(int(number) for number, _, _ in ROWS) == Counter(expected)


@pytest.mark.parametrize(("number", "message", "test"), ROWS, ids=[row[0] for row in ROWS])
def test_row_names_a_test_that_exists_or_says_why_it_is_left_out(
    number: str, message: str, test: str
) -> None:
    assert message.strip()
    if test.startswith("left out: "):
        assert len(test) > len("left out: ")
    else:
        assert test.strip("`") in TESTS, f"row {number}"


def test_rows_that_are_left_out_are_the_lesser_part() -> None:
    assert sum(test.startswith("left out") for _, _, test in ROWS) < len(ROWS) / 2
