"""Dynamic partitions of tests."""

from typing import NoReturn


def no_partitions() -> NoReturn:
    """Return the dynamic partitions of a test that uses none."""
    raise AssertionError("this test uses no dynamic partitions")
