"""What unit tests share: a house in memory, and laws without a stopwatch."""

from datetime import UTC, datetime

import pytest
from hypothesis import settings

from tests.support.house import House
from tests.support.objects import object_of
from treadle.definitions.objects import ObjectCreated

# A slow machine is no counterexample.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture
def house() -> House:
    """The engine over twins in memory."""
    return House()


@pytest.fixture
def created() -> ObjectCreated:
    """The event of an object's arrival."""
    return ObjectCreated(object_of("in/a.csv"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0001")
