"""What the tests of faults share: silence, small slices, and a count of the fault points."""

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.faults.walk import Walked
from treadle.engine.dispatch import chunks, dispatcher
from treadle.entrypoints.handler import logger

CHUNK_SIZE = 2


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick of three requests is dispatched in slices."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", CHUNK_SIZE)
    monkeypatch.setattr(dispatcher, "CHUNK_SIZE", CHUNK_SIZE)


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Thousands of failures would be logged."""
    name = logger().name
    level = logging.getLogger(name).level
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    yield
    logging.getLogger(name).setLevel(level)


@pytest.fixture
def hold(record_property: Callable[[str, object], None]) -> Callable[[Walked], None]:
    """Counts a walk's points, and fails on what did not hold."""

    def check(walked: Walked) -> None:
        record_property("fault points struck", walked.struck)
        record_property("violations", len(walked.violations))
        assert walked.struck
        assert not walked.violations, "\n".join(walked.violations[:30])

    return check
