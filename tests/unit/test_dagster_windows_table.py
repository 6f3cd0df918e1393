"""docs/reference/dagster-windows.md: all windows are there once, and every test that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "dagster-windows.md").read_text()
ROWS = re.findall(r"^\| ([DL]\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
TESTS = {
    name
    for path in (ROOT / "tests" / "faults").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", path.read_text(), flags=re.MULTILINE)
}


def test_all_windows_are_there_in_order() -> None:
    expected = [*(f"D{number}" for number in range(1, 9)), *(f"L{number}" for number in range(1, 15))]

    assert [window for window, *_ in ROWS] == expected


@pytest.mark.parametrize(("window", "there", "here", "test"), ROWS, ids=[row[0] for row in ROWS])
def test_window_names_a_test_called_after_it_or_says_why_it_cannot_exist(
    window: str, there: str, here: str, test: str
) -> None:
    assert there.strip()
    if test == "none":
        assert here.startswith(("not yet: ", "never: "))
    else:
        assert test.strip("`") in TESTS
        assert test.startswith(f"`test_{window.lower()}_")


def test_every_test_that_is_named_after_a_window_stands_for_a_row_with_a_test() -> None:
    named = {match[1].upper() for name in TESTS if (match := re.match(r"test_([dl]\d+)_", name))}

    assert named == {window for window, _, _, test in ROWS if test != "none"}
