"""Fixtures of unit tests: the engine in memory, and Hypothesis without deadlines."""

from datetime import UTC, datetime

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.support.engine import EngineHarness
from tests.support.objects import object_of
from treadle.definitions.objects import ObjectCreated

# A slow machine is no counterexample.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


TAKES_TIME = frozenset(
    {"mock_aws", "Stubber", "get_session", "subprocess", "aws_server", "copy_of_project", "time"}
    | {"RuleBasedStateMachine"}
)
"""Names in a module whose tests start processes, make AWS clients or copies of the project, or wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in memory that are done at once: neither those, nor any with examples, many requests or a time limit."""
    for item in items:
        if "/unit/" not in item.path.as_posix() or not isinstance(item, pytest.Function):
            continue
        takes_time = is_hypothesis_test(item.obj) or any(
            item.get_closest_marker(name) for name in ("many", "timeout")
        )
        if TAKES_TIME.isdisjoint(vars(item.module)) and not takes_time:
            item.add_marker(pytest.mark.quick)


@pytest.fixture
def harness() -> EngineHarness:
    """The engine over twins in memory."""
    return EngineHarness()


@pytest.fixture
def created() -> ObjectCreated:
    """The event of an object's arrival."""
    return ObjectCreated(object_of("in/a.csv"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0001")
