"""What holds a sensor as a loop, and what does not; what a look costs, and what processes learn from each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pytest

from treadle.definitions.errors import StoreError
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch.loop_evidence import (
    LAG_MS,
    LINKS,
    NAMED_LINKS,
    UNREPORTED_MS,
    WatchedObject,
    find_loop,
    objects_of,
)
from treadle.engine.dispatch.loop_guard import EVERY, EVERY_SUSPECT, FREE, LoopGuard, LoopStatus
from treadle.engine.identity import event_tick_id, leased_tick_id
from treadle.model.registry import SensorEntry
from treadle.model.run_queries import RunPage
from treadle.model.runs import Run
from treadle.model.ticks import PlannedRun, Tick, TickKind
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryRunStore, InMemoryTickStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

SENSOR = "files"
MINUTE = 60_000
START = 1_795_370_400_000
LATENCY = 1_500
WATCHED = {name: SensorEntry(name, "shop", "", "s3") for name in (SENSOR, "other")}


@dataclass(slots=True)
class Sensors:
    """Sensors, and a process of DISPATCH that starts a run of each object.

    Attributes:
        entries: the registered sensors.
        tables: the stores' state.
        clock: the clock.
        looks: the sizes of the pages of runs that were read.
    """

    entries: Mapping[str, SensorEntry] = field(default_factory=lambda: WATCHED)
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    clock: VirtualClock = field(default_factory=VirtualClock)
    looks: list[tuple[str, int]] = field(default_factory=list)
    guard: LoopGuard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = self.process()

    def process(self) -> LoopGuard:
        """Return a new process."""
        runs = _Read(self.tables, self.looks)
        return LoopGuard(InMemoryTickStore(self.tables), runs, FixedGrants({}, self.entries), self.clock)

    def tick(self, created: int, key: str = "", sensor: str = SENSOR, *, is_event: bool = True) -> Tick:
        """Return the tick of an object that is created at a time."""
        tick_id = event_tick_id(created, [key]) if is_event else leased_tick_id(created, 1)
        kind = TickKind.EVENT if is_event else TickKind.LEASED
        requests = (PlannedRun("-", key, "load", "{}", {}),)
        return Tick(sensor, tick_id, kind, TickStatus.SUCCESS, created, 0, 0, requests=requests)

    def arrive(
        self,
        created: int,
        lasts: int | None = MINUTE,
        *,
        sensor: str = SENSOR,
        key: str = "",
        guard: LoopGuard | None = None,
        **fields: object,
    ) -> LoopStatus:
        """Let an object be created, and its run start unless it is held."""
        self.clock.time = max(self.clock.time, created + LATENCY)
        tick, by = self.tick(created, key, sensor), guard or self.guard
        found = by.check(tick)
        if not found.held:
            started = created + LATENCY
            run = Run(
                f"{sensor}-{len(self.tables.runs)}", "load", sensor, key, tick.tick_id, "{}", {}, started
            )
            ended = None if lasts is None else started + lasts
            run = replace(run, started_at=started, ended_at=ended, **fields)  # type: ignore[arg-type]
            self.tables.runs[run.run_id] = run
            by.created(sensor, 1)
        return found

    def loop(self, most: int = 100, since: int = START, step: int = MINUTE, **options: object) -> int:
        """Let each run create an object before its end; return how many runs there are when that is held."""
        for number in range(most):
            if self.arrive(since + number * (step + LATENCY), **options).held:  # type: ignore[arg-type]
                break
        return len(self.tables.runs)


class _Read(InMemoryRunStore):
    def __init__(self, tables: InMemoryTables, looks: list[tuple[str, int]]) -> None:
        super().__init__(tables)
        self._looks = looks

    def page(self, **options: object) -> RunPage:
        """Return the last runs of a sensor, without a look at the others; note which page is read."""
        sensor, limit = str(options["sensor"]), int(str(options["limit"]))
        self._looks.append((sensor, limit))
        newest = (run for run in reversed(self._tables.runs.values()) if run.sensor == sensor)
        found = tuple(islice(newest, limit + 1))
        return RunPage(found[:limit], "more" if len(found) > limit else None)


@pytest.fixture
def sensors() -> Sensors:
    return Sensors()


def test_loop_is_held_after_thirty_links(sensors: Sensors) -> None:
    assert sensors.loop() == LINKS

    hold = sensors.tables.loop_holds[SENSOR]
    assert (hold.held_at, hold.released_at) == (sensors.clock.now(), 0)
    assert hold.reason == "30 objects in a row were created while the run of the one before was in progress"


def test_only_the_look_that_finds_the_loop_is_new_and_the_sensor_stays_held(sensors: Sensors) -> None:
    found = [sensors.arrive(START + number * (MINUTE + LATENCY)) for number in range(LINKS + 20)]

    assert [each.is_new for each in found] == [False] * LINKS + [True] + [False] * 19
    assert all(each.held == found[LINKS].held for each in found[LINKS:])


@pytest.mark.many
def test_ten_thousand_objects_of_others_while_twenty_runs_are_always_in_progress_are_not_held(
    sensors: Sensors,
) -> None:
    for number in range(10_000):
        assert sensors.arrive(START + number * 360, 7_200 - LATENCY) is FREE

    assert sensors.tables.loop_holds == {}


@pytest.mark.parametrize("gap", [LAG_MS + 1, MINUTE])
def test_objects_that_come_after_the_run_before_has_ended_are_no_loop(sensors: Sensors, gap: int) -> None:
    assert sensors.loop(step=MINUTE + gap) == 100


def test_object_may_be_created_shortly_after_the_end_of_its_run(sensors: Sensors) -> None:
    assert sensors.loop(step=MINUTE + LAG_MS) == LINKS


@pytest.mark.parametrize("outside", [LINKS - 1, LINKS // 2])
def test_object_that_no_run_can_have_created_breaks_the_chain(sensors: Sensors, outside: int) -> None:
    for number in range(2 * LINKS):
        gap = 10 * MINUTE if number >= outside else 0
        if sensors.arrive(START + number * (MINUTE + LATENCY) + gap).held:
            break

    assert outside + LINKS <= len(sensors.tables.runs) <= outside + LINKS + EVERY_SUSPECT


def test_target_that_reports_no_end_counts_as_in_progress_for_ten_seconds() -> None:
    of_lambda: dict[str, Any] = {"target": "arn:aws:lambda:us-east-1:123456789012:function:load"}

    assert Sensors().loop(step=UNREPORTED_MS, lasts=None, **of_lambda) == LINKS
    assert Sensors().loop(step=UNREPORTED_MS + LAG_MS + 1, lasts=None, **of_lambda) == 100


def test_ids_of_runs_in_keys_are_evidence_whoever_else_stores_objects(sensors: Sensors) -> None:
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(NAMED_LINKS + 1)]
    objects = [
        WatchedObject(number, number, run_ids=frozenset([of]), run_keys=(f"in/{before}/part",))
        for number, (of, before) in enumerate(zip(ids[1:], ids[:-1], strict=True))
    ]
    last = WatchedObject(100, 100, run_keys=(f"in/{ids[-1]}/part",))

    assert find_loop(objects, last).loop.startswith("10 objects in a row have the id of the run")
    assert not find_loop(objects[1:], last).loop


def test_sweep_neither_looks_nor_counts_as_an_object(sensors: Sensors) -> None:
    sensors.loop(most=LINKS)
    sensors.looks.clear()

    assert sensors.guard.check(sensors.tick(START, is_event=False)) is FREE
    assert sensors.looks == []
    run = next(iter(sensors.tables.runs.values()))
    (swept,) = objects_of([replace(run, tick_id=leased_tick_id(START, 1))])
    assert swept.created is None


def test_sweep_of_a_held_sensor_is_held(sensors: Sensors) -> None:
    sensors.loop()

    assert sensors.guard.check(sensors.tick(START, is_event=False)).held


def test_runs_of_one_object_are_one(sensors: Sensors) -> None:
    run = Run(
        "a", "load", SENSOR, "k", event_tick_id(START, ["k"]), "{}", {}, START, started_at=5, ended_at=9
    )
    runs = [run, replace(run, run_id="b", job="index", started_at=3, ended_at=None), replace(run, run_id="c")]

    (found,) = objects_of(runs)

    assert (found.created, found.started, found.ended) == (START, 3, None)
    assert found.run_ids == {"a", "b", "c"}


def test_loop_through_two_sensors_is_held(sensors: Sensors) -> None:
    names = [SENSOR, "other"]
    for number in range(100):
        if sensors.arrive(START + number * (MINUTE + LATENCY), sensor=names[number % 2]).held:
            break

    assert LINKS <= len(sensors.tables.runs) <= 50
    (hold,) = sensors.tables.loop_holds.values()
    assert "some of them found by sensor" in hold.reason


def test_sensors_that_run_in_turn_without_a_loop_are_not_held(sensors: Sensors) -> None:
    """The second one's objects are created by the first one's runs; those of the first one by somebody else."""
    for number in range(60):
        created = START + number * 10 * MINUTE
        assert sensors.arrive(created) is FREE
        assert sensors.arrive(created + MINUTE, sensor="other") is FREE


@pytest.mark.parametrize(
    "entry",
    [replace(WATCHED[SENSOR], holds_loops=False), replace(WATCHED[SENSOR], kind="schedule")],
    ids=["allowed", "of another kind"],
)
def test_sensor_that_is_not_watched_is_neither_held_nor_read(entry: SensorEntry) -> None:
    sensors = Sensors({SENSOR: entry})

    assert sensors.loop() == 100
    assert sensors.looks == []


def test_object_costs_no_read_until_as_many_runs_were_created(sensors: Sensors) -> None:
    for number in range(EVERY):
        sensors.arrive(START + number * 10 * MINUTE)
    own = [look for look in sensors.looks if look[0] == SENSOR]
    assert own == [(SENSOR, 8)]

    sensors.arrive(START + EVERY * 10 * MINUTE)

    assert [look for look in sensors.looks if look[0] == SENSOR] == [(SENSOR, 8)] * 2


def test_looks_are_rarer_the_more_runs_are_read(sensors: Sensors) -> None:
    due = []
    for number in range(117):
        if sensors.guard.is_due(SENSOR):
            due.append(number)
        assert sensors.arrive(START, key=str(number)) is FREE

    assert due == [0, 15, 30, 45, 60, 75, 93, 116]
    assert sensors.looks[-3:] == [(SENSOR, 8), (SENSOR, 96), (SENSOR, 512)]


@pytest.mark.parametrize("names", [[SENSOR], [SENSOR, "other"]], ids=["one", "two"])
@pytest.mark.parametrize(("links", "runs"), [(14, 15), (15, 5)])
def test_next_look_is_sooner_once_half_of_a_loop_is_found(
    sensors: Sensors, names: list[str], links: int, runs: int
) -> None:
    for number in range(links):
        sensors.arrive(START + number * (MINUTE + LATENCY), sensor=names[number % len(names)])
    guard, name = sensors.process(), names[links % len(names)]

    guard.check(sensors.tick(START + links * (MINUTE + LATENCY), sensor=name))

    assert [guard.is_due(name, number) for number in (runs - 1, runs)] == [False, True]


def test_twenty_other_sensors_are_read_those_of_the_same_project_first() -> None:
    names = [f"{project}-{number:02}" for project in ("bank", "shop") for number in range(15)]
    entries = {name: SensorEntry(name, name[:4], "", "s3") for name in names}
    sensors = Sensors(WATCHED | entries)

    sensors.arrive(START)

    read = [name for name, _ in sensors.looks]
    assert read == [SENSOR, "other", *names[15:], *names[:4]]


def test_other_sensors_are_not_read_if_an_own_run_may_have_created_the_object(sensors: Sensors) -> None:
    sensors.arrive(START)
    sensors.looks.clear()

    sensors.arrive(START + LATENCY + MINUTE + LAG_MS, guard=sensors.process())

    assert sensors.looks == [(SENSOR, 8)]


def test_more_runs_are_read_only_while_they_may_be_a_loop(sensors: Sensors) -> None:
    sensors.loop(most=EVERY + 1)

    assert [look for look in sensors.looks if look[0] == SENSOR][1:] == [(SENSOR, 8), (SENSOR, 96)]


def test_another_process_learns_of_the_hold_at_its_next_look(sensors: Sensors) -> None:
    others = sensors.process()
    sensors.arrive(START, guard=others)
    sensors.loop(since=START + 10 * MINUTE)
    before = len(sensors.tables.runs)

    held = [sensors.arrive(START + 10 * 3_600_000 + number, guard=others).held for number in range(EVERY)]

    assert [bool(each) for each in held] == [False] * (EVERY - 1) + [True]
    assert len(sensors.tables.runs) == before + EVERY - 1


def test_new_process_looks_at_its_first_object(sensors: Sensors) -> None:
    """A slow loop may meet a new process each time."""
    for number in range(100):
        if sensors.arrive(START + number * (MINUTE + LATENCY), guard=sensors.process()).held:
            break

    assert len(sensors.tables.runs) == LINKS


def test_runs_before_a_release_are_no_evidence(sensors: Sensors) -> None:
    first = sensors.loop()
    assert InMemoryTickStore(sensors.tables).release_loop(SENSOR, sensors.clock.now() - 1, "ann")

    # The object that was held, and so on: all of them in one chain with those before.
    assert sensors.loop(since=START + LINKS * (MINUTE + LATENCY)) == first + LINKS
    assert sensors.tables.loop_holds[SENSOR].released_by == "ann"


def test_release_while_a_process_judges_older_evidence_wins(sensors: Sensors) -> None:
    first = sensors.loop(most=LINKS)
    tick = sensors.tick(START + LINKS * (MINUTE + LATENCY))
    ticks = InMemoryTickStore(sensors.tables)

    class Released(_Read):
        def page(self, **options: object) -> RunPage:
            if ticks.hold_loop(SENSOR, 1, "found by another process", 0):
                assert ticks.release_loop(SENSOR, sensors.clock.now(), "ann")
            return super().page(**options)

    guard = LoopGuard(ticks, Released(sensors.tables, []), FixedGrants({}, WATCHED), sensors.clock)

    assert guard.check(tick) is FREE
    assert sensors.tables.loop_holds[SENSOR].held_at is None
    assert first == LINKS


def test_unreadable_hold_holds_the_sensor_with_the_command_that_repairs_it(sensors: Sensors) -> None:
    sensors.tables.unreadable[f"{SENSOR}#loop", "loop"] = "held_at is not a number"

    held = sensors.arrive(START).held

    assert held.startswith(
        "Whether sensor files is a loop cannot be read: unreadable: held_at is not a number."
    )
    assert held.endswith("treadle sensor release files")


def test_store_that_does_not_answer_fails_the_dispatch_and_the_look_is_made_again(sensors: Sensors) -> None:
    sensors.loop(most=LINKS)
    tick = sensors.tick(START + LINKS * (MINUTE + LATENCY))
    fails: list[Callable[[], None]] = []

    class Failing(InMemoryTickStore):
        def hold_loop(self, *arguments: object) -> bool:
            if not fails:
                fails.append(lambda: None)
                raise StoreError("no answer")
            return super().hold_loop(*arguments)  # type: ignore[arg-type]

    runs = InMemoryRunStore(sensors.tables)
    guard = LoopGuard(Failing(sensors.tables), runs, FixedGrants({}, WATCHED), sensors.clock)
    with pytest.raises(StoreError):
        guard.check(tick)

    assert guard.check(tick).is_new
