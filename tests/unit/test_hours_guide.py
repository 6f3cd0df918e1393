"""docs/guide/hours.md: every block runs, and its texts are hours."""

import re
from pathlib import Path

from treadle import Hours

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "hours.md").read_text()


def test_tests_of_the_page_pass() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]

    assert len(tests) == 1
    for test in tests:
        assert callable(test)
        test()
    assert str(getattr(names["partner_orders"], "active", "")) in PAGE


def test_texts_of_the_page_are_hours() -> None:
    windows = re.findall(r"`(\d\d:\d\d-[^`]*)`", PAGE)

    assert len(windows) >= 6
    for each in windows:
        assert str(Hours.parse(each) if "Europe" in each else Hours(each)).startswith(each)
