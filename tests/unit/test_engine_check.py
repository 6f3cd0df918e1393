"""An evaluator ticks for the engine that it was deployed for, as long as that runs, and for no other."""

from dataclasses import dataclass, field

import pytest

from treadle.definitions.errors import EngineMismatchError, StoreError, UnreadableRecordError
from treadle.engine.engine_check import CHECKED_MS, NOTED_MS, STALE_MS, UNKNOWN_MS, EngineCheck, Heartbeat
from treadle.model.engine_state import EngineRecord
from treadle.testing.engine_state import InMemoryEngineStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

OWN, OTHER = "7a1b6f60-cb8e-11f0-8a3c-0a58a9feac02", "c0ffee00-cb8e-11f0-8a3c-0a58a9feac02"


@dataclass(slots=True)
class Counting(InMemoryEngineStore):
    """Counts the requests; fails them if a test says so."""

    tables: InMemoryTables
    reads: int = 0
    writes: int = 0
    failing: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        InMemoryEngineStore.__init__(self, self.tables)

    def read(self) -> EngineRecord | None:
        self.reads += 1
        if self.failing:
            raise self.failing[0]
        return InMemoryEngineStore.read(self)

    def write(self, record: EngineRecord) -> None:
        self.writes += 1
        InMemoryEngineStore.write(self, record)


@dataclass(slots=True)
class World:
    clock: VirtualClock = field(default_factory=VirtualClock)
    store: Counting = field(default_factory=lambda: Counting(InMemoryTables()))
    check: EngineCheck = field(init=False)

    def __post_init__(self) -> None:
        self.check = EngineCheck(self.store, OWN, self.clock)

    def note(self, engine_id: str = OWN) -> None:
        """Run a pass of RECONCILE."""
        Heartbeat(self.store, engine_id, self.clock).note_if_due()


@pytest.fixture
def world() -> World:
    return World()


def test_one_request_per_process_and_hour(world: World) -> None:
    world.note()
    for _ in range(59):
        world.clock.time += 60_000
        world.note()
        world.check.check()
    assert world.store.reads == 1

    world.clock.time += CHECKED_MS
    world.note()
    world.check.check()
    assert world.store.reads == 2


def test_another_engine_stops_the_sensor_with_a_message(world: World) -> None:
    world.note(OTHER)

    for _ in range(2):
        with pytest.raises(
            EngineMismatchError, match=f"for engine {OWN}, .* belong to engine {OTHER}. Deploy the project"
        ):
            world.check.check()


def test_process_that_found_its_engine_finds_another_within_the_hour(world: World) -> None:
    world.note()
    world.check.check()
    world.clock.time += CHECKED_MS
    world.note(OTHER)

    with pytest.raises(EngineMismatchError):
        world.check.check()


def test_engine_that_runs_no_more_stops_the_sensor_and_one_that_runs_again_starts_it(world: World) -> None:
    world.note()
    world.clock.time += STALE_MS
    world.check.check()
    world.clock.time += CHECKED_MS

    with pytest.raises(EngineMismatchError, match="RECONCILE last ran at 2026-"):
        world.check.check()
    world.note()
    world.check.check()


def test_engine_that_has_not_noted_itself_yet_stops_nothing_and_is_looked_up_again(world: World) -> None:
    world.check.check()
    world.note(OTHER)
    world.clock.time += UNKNOWN_MS - 1
    world.check.check()
    world.clock.time += 1

    with pytest.raises(EngineMismatchError):
        world.check.check()


@pytest.mark.parametrize("error", [StoreError("no answer"), UnreadableRecordError("the engine", "no id")])
def test_store_that_does_not_say_stops_nothing(world: World, error: Exception) -> None:
    """The tick itself meets a store that does not answer, and loses nothing by it."""
    world.store.failing = [error]

    world.check.check()


def test_function_that_knows_no_engine_checks_nothing(world: World) -> None:
    world.note(OTHER)

    EngineCheck(world.store, "", world.clock).check()

    assert world.store.reads == 0


def test_reconcile_notes_that_it_runs_every_ten_minutes(world: World) -> None:
    heartbeat = Heartbeat(world.store, OWN, world.clock)
    began = world.clock.now()
    for _ in range(20):
        heartbeat.note_if_due()
        world.clock.time += NOTED_MS // 10

    assert world.store.writes == 2
    assert world.store.tables.engine == EngineRecord(OWN, began + NOTED_MS)
