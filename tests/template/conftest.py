"""Which tests of templates are Treadle's own: `make check` goes without those in a project."""

import re
from pathlib import Path

import pytest

OWN = ("test_engine_", "test_verify_")
"""How the names of modules about the engine's templates begin."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what is Treadle's own only to leave it out: some of it parses the whole template at import."""
    if config.option.markexpr != "not treadle" or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text()
    is_own = collection_path.name.startswith(OWN) or re.search(
        r"^pytestmark = \[?pytest\.mark\.treadle\b", text, re.M
    )
    return True if is_own else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is about the engine's templates."""
    for item in items:
        if item.path.parent.name == "template" and item.path.name.startswith(OWN):
            item.add_marker(pytest.mark.treadle)
