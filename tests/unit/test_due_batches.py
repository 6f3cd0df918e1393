"""Which functions a pass invokes to close batches, with which batches, and what it counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from treadle.definitions.errors import StoreError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.engine.batches.due_batches import DueBatches, DueBatchesChecked
from treadle.model.batches import BatchState
from treadle.model.registry import SensorEntry
from treadle.model.sensors import SensorState
from treadle.testing.batches import InMemoryBatchStore
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemorySensorStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

ORDERS = SensorEntry("orders", "shop", "shop-orders", "events", default_status=DefaultSensorStatus.RUNNING)
RETURNS = replace(ORDERS, name="returns", function="shop-returns")


@dataclass(slots=True)
class Sensors:
    """Sensors whose batches are due.

    Attributes:
        tables: the stores' state.
        clock: the clock.
        fails: the function that cannot be invoked.
        takes: the seconds of one invocation.
        invoked: which functions were invoked, with how many batches.
    """

    tables: InMemoryTables = field(default_factory=InMemoryTables)
    clock: VirtualClock = field(default_factory=VirtualClock)
    fails: str = ""
    takes: int = 0
    invoked: list[tuple[str, int]] = field(default_factory=list)

    def add(self, entry: SensorEntry, number: int, since: int = 0) -> None:
        """Let batches of a sensor be due for as many milliseconds."""
        for key in (f"{at:05}" for at in range(number)):
            state = BatchState(entry.name, key, due=self.clock.now() - since)
            self.tables.batches[entry.name, key] = state

    def invoke(self, function: str, event: Mapping[str, object]) -> None:
        """Note the invocation."""
        self.clock.advance(self.takes)
        if function == self.fails:
            raise StoreError("no answer")
        batches = event["batches"]
        assert isinstance(batches, list)
        assert event == {"treadle": "close", "batches": sorted(batches)}
        self.invoked.append((function, len(batches)))

    def check(self, *entries: SensorEntry, seconds: int = 60) -> DueBatchesChecked:
        """Make one pass that may take so many seconds."""
        grants = FixedGrants({}, {each.name: each for each in entries})
        batches, states = InMemoryBatchStore(self.tables), InMemorySensorStore(self.tables)
        due = DueBatches(batches, states, grants, self, self.clock)
        return due.check(self.clock.now() + 1_000 * seconds)


@pytest.fixture
def sensors() -> Sensors:
    return Sensors()


def test_one_invocation_closes_at_most_twenty_batches_of_a_sensor(sensors: Sensors) -> None:
    sensors.add(ORDERS, 41)
    sensors.add(RETURNS, 1)

    assert sensors.check(ORDERS, RETURNS) == DueBatchesChecked(closing=42)

    assert sensors.invoked == [
        ("shop-orders", 20),
        ("shop-orders", 20),
        ("shop-orders", 1),
        ("shop-returns", 1),
    ]


def test_batches_of_a_sensor_that_is_stopped_or_not_registered_wait(sensors: Sensors) -> None:
    sensors.add(ORDERS, 1, since=600_001)
    sensors.add(RETURNS, 1, since=600_001)
    sensors.tables.sensors["orders"] = SensorState("orders", InstigatorStatus.STOPPED)

    assert sensors.check(ORDERS) == DueBatchesChecked()


def test_batch_that_is_due_for_more_than_ten_minutes_is_overdue_and_its_function_is_invoked(
    sensors: Sensors,
) -> None:
    sensors.add(ORDERS, 2, since=600_001)
    sensors.add(RETURNS, 2, since=600_000)

    assert sensors.check(ORDERS, RETURNS) == DueBatchesChecked(closing=4, overdue=2)


def test_invocation_that_fails_counts_and_the_other_functions_are_invoked(sensors: Sensors) -> None:
    sensors.fails = "shop-orders"
    sensors.add(ORDERS, 21)
    sensors.add(RETURNS, 3)

    assert sensors.check(ORDERS, RETURNS) == DueBatchesChecked(closing=3, failed=2)


def test_pass_ends_at_its_time_and_the_next_one_continues(sensors: Sensors) -> None:
    sensors.takes = 5
    sensors.add(ORDERS, 60)

    assert sensors.check(ORDERS, seconds=10) == DueBatchesChecked(closing=40)


def test_pass_reads_ten_thousand_batches(sensors: Sensors) -> None:
    sensors.add(ORDERS, 10_001)

    assert sensors.check(ORDERS) == DueBatchesChecked(closing=10_000)
