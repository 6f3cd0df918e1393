"""Fixtures of the tests of faults: no logging, small chunks, and a count of the injected faults."""

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.faults.injection import InjectionResult
from treadle.engine.dispatch import chunks, dispatcher
from treadle.entrypoints.handler import logger

CHUNK_SIZE = 2


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dispatch a tick of three requests in chunks."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", CHUNK_SIZE)
    monkeypatch.setattr(dispatcher, "CHUNK_SIZE", CHUNK_SIZE)


@pytest.fixture(autouse=True)
def no_logging() -> Iterator[None]:
    """Log nothing: there would be thousands of failures."""
    name = logger().name
    level = logging.getLogger(name).level
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    yield
    logging.getLogger(name).setLevel(level)


@pytest.fixture
def check_result(record_property: Callable[[str, object], None]) -> Callable[[InjectionResult], None]:
    """Count the injected faults, and fail if there were violations."""

    def check(result: InjectionResult) -> None:
        record_property("faults injected", result.injected)
        record_property("faults that equal one of them", result.same)
        record_property("violations", len(result.violations))
        assert result.injected
        assert not result.violations, "\n".join(result.violations[:30])

    return check
