"""Which tests of templates are Treadle's own: `make check` goes without those in a project."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is about the engine's templates."""
    for item in items:
        if item.path.parent.name == "template" and item.path.name.startswith(
            ("test_engine_", "test_verify_")
        ):
            item.add_marker(pytest.mark.treadle)
