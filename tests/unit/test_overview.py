"""All sensors at a glance: status, next tick, last ticks, the last day's runs; put together by few requests."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.support.dispatching import dispatch
from tests.support.house import JOB, House, sensor_of
from treadle import RunRequest, SensorResult, SkipReason
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.engine.identity import timestamp
from treadle.engine.reconcile.late_sensors import last_sign, patience
from treadle.engine.tick.evaluation import Budget
from treadle.model.deployment import DeployedSensor
from treadle.model.registry import SensorEntry
from treadle.model.runs import Run
from treadle.model.ticks import ErrorInfo, Tick, TickKind, TickPage
from treadle.operate.overview import COUNTED, DAY_MS, Overview, RecentTick, SensorView
from treadle.operate.problems import ProblemKind
from treadle.operate.sensors import SensorOperations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.stores import InMemoryTickStore

MINUTE = 60_000
WATCH = DeployedSensor(
    "watch", "schedule", "watches", (JOB,), DefaultSensorStatus.RUNNING, 60, "shop-WatchFunction"
)


def overview(house: House, *deployed: DeployedSensor) -> Overview:
    deployment = InMemoryDeployment(list(deployed or (WATCH,)))
    return Overview(deployment, house.sensors, house.ticks, house.runs, house.clock)


def view(house: House, deployed: DeployedSensor = WATCH) -> SensorView:
    return overview(house, deployed).sensor(deployed.name)


def tick(house: House, answer: Any, interval: int = 60) -> None:
    """Evaluate the due tick with this result, and dispatch its requests."""

    def function() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    house.leased(sensor_of(function), interval=interval, pause_after=2).tick(house.clock.now(), Budget())
    for record in house.tick_records():
        if record.is_to_be_dispatched:
            dispatch(house, record)
    house.clock.advance(interval)


def test_sensor_that_has_never_ticked_is_shown_as_deployed(house: House) -> None:
    house.clock.time += 20_000

    found = view(house)

    assert (found.status, found.stored_status, found.default_status) == (
        "RUNNING",
        "DECLARED_IN_CODE",
        "RUNNING",
    )
    assert (found.kind, found.description, found.jobs) == ("schedule", "watches", (JOB,))
    assert (found.last_tick, found.recent, found.cursor, found.lag_seconds) == (None, (), None, None)
    assert found.next_tick_at == house.clock.time + 40_000


def test_last_ticks_come_newest_first_with_what_they_started_and_skips_in_a_row_as_one(house: House) -> None:
    begun = house.clock.now()
    tick(house, RunRequest("a"))
    tick(house, SkipReason("nothing"))
    tick(house, SkipReason("still nothing"))

    found = view(house)

    assert found.recent == (
        RecentTick(begun + MINUTE, TickStatus.SKIPPED, 2),
        RecentTick(begun, TickStatus.SUCCESS, 1),
    )
    assert found.last_tick is not None
    assert (found.last_tick.reason, found.last_tick.skips) == ("still nothing", 2)
    assert found.last_tick.last_time == begun + 2 * MINUTE


def test_event_between_skips_is_older_than_the_streak_that_continues(house: House) -> None:
    tick(house, SkipReason("nothing"))
    now = house.clock.now()
    error = ErrorInfo("ValueError", "no")
    house.ticks.put(
        Tick("watch", f"{timestamp(now)}-e", TickKind.EVENT, TickStatus.FAILURE, now, now, now, error=error)
    )
    house.clock.advance(60)
    tick(house, SkipReason("nothing"))

    found = view(house)

    assert [each.status for each in found.recent] == [TickStatus.SKIPPED, TickStatus.FAILURE]


def test_next_tick_is_the_first_minute_after_an_interval(house: House) -> None:
    begun = house.clock.now()
    tick(house, SkipReason("nothing"))
    house.clock.time = begun + 30_000

    found = view(house)

    assert (found.next_tick_at, found.lag_seconds) == (begun + MINUTE, 0)


def test_tick_that_does_not_come_is_reported_as_lag(house: House) -> None:
    begun = house.clock.now()
    tick(house, SkipReason("nothing"))
    house.clock.time = begun + 5 * MINUTE + 1_500

    found = view(house)

    assert (found.lag_seconds, found.next_tick_at) == (241.5, begun + 6 * MINUTE)


def test_below_a_minute_the_next_tick_is_a_slot(house: House) -> None:
    begun = house.clock.now()
    tick(house, SkipReason("nothing"), interval=15)
    house.clock.time = begun + 10_000

    assert view(house, replace(WATCH, interval_seconds=15)).next_tick_at == begun + 15_000


@pytest.mark.parametrize("kind", ["schedule", "multi_asset", "all_succeeded", "assets_updated"])
def test_sensor_without_an_interval_ticks_each_minute(house: House, kind: str) -> None:
    begun = house.clock.now()
    tick(house, SkipReason("nothing"))
    house.clock.advance(30)

    found = view(house, replace(WATCH, kind=kind, interval_seconds=None))

    assert (found.next_tick_at, found.lag_seconds) == (begun + 2 * MINUTE, 30)


@pytest.mark.parametrize("kind", ["run_status", "asset", "deadline", "unknown"])
def test_sensor_of_events_says_of_no_time_when_it_ticks(house: House, kind: str) -> None:
    tick(house, SkipReason("nothing"))

    found = view(house, replace(WATCH, kind=kind, interval_seconds=None))

    assert (found.next_tick_at, found.lag_seconds) == (None, None)


def test_stopped_sensor_ticks_at_no_time(house: House) -> None:
    SensorOperations(house.sensors, house.clock).stop("watch", "ann")

    found = view(house)

    assert (found.status, found.stored_status, found.next_tick_at) == ("STOPPED", "STOPPED", None)
    assert found.cursor_epoch == house.state().epoch == 1


def test_failing_sensor_shows_its_streak_and_a_pause_its_reason(house: House) -> None:
    tick(house, ValueError("no table"))
    failing = view(house)
    tick(house, ValueError("no table"))
    paused = view(house)

    assert (failing.status, failing.failure_streak) == ("RUNNING", 1)
    assert failing.last_tick is not None
    assert failing.last_tick.error_type == "ValueError"
    assert str(failing.last_tick.error_message).endswith("ValueError: no table")
    assert (paused.status, paused.stored_status, paused.next_tick_at) == ("PAUSED", "STOPPED", None)
    assert paused.paused is not None
    assert "no table" in paused.paused


def test_held_up_sensor_ticks_when_the_wait_is_over(house: House) -> None:
    tick(house, SkipReason("nothing"))
    wait = house.clock.now() + 3 * MINUTE + 1
    house.tables.sensors["watch"] = replace(house.state(), resume_at=wait)

    found = view(house)

    assert (found.resume_at, found.next_tick_at, found.lag_seconds) == (wait, wait - 1 + MINUTE, 0)


def test_runs_of_the_last_day_are_counted_and_those_that_failed(house: House) -> None:
    now = house.clock.now()
    times = {"old": DAY_MS, "failed": DAY_MS - 1, "good": 5}
    for name, age in times.items():
        status = DagsterRunStatus.FAILURE if name != "good" else DagsterRunStatus.SUCCESS
        house.runs.create(Run(name, JOB, "watch", name, "t", "{}", {}, now - age, status=status))

    found = view(house)

    assert (found.runs_24h, found.failures_24h) == (2, 1)


def test_counting_runs_of_the_last_day_ends_somewhere(house: House) -> None:
    for number in range(COUNTED + 5):
        house.runs.create(Run(str(number), JOB, "watch", None, "t", "{}", {}, house.clock.now()))

    assert view(house).runs_24h == COUNTED


def test_cursor_and_epoch_are_shown_together(house: House) -> None:
    tick(house, SensorResult(skip_reason=SkipReason("nothing"), cursor="41"))

    found = view(house)

    assert (found.cursor, found.cursor_epoch) == ("41", house.state().epoch)


def test_unknown_sensor_is_refused_with_the_names_of_those_there_are(house: House) -> None:
    with pytest.raises(CommandRefusedError, match="no sensor 'wtach'; it has: watch"):
        overview(house).sensor("wtach")


def test_all_sensors_come_by_name_and_are_read_side_by_side(house: House) -> None:
    """Sixteen wait at once for their ticks; one after the other they would wait for ever."""
    together = threading.Barrier(16, timeout=10)

    class Meeting(InMemoryTickStore):
        def page(self, *args: Any, **options: Any) -> TickPage:
            together.wait()
            return super().page(*args, **options)

    deployed = [replace(WATCH, name=f"sensor_{number:02d}") for number in range(32)]
    deployment = InMemoryDeployment(deployed[::-1])
    found = Overview(deployment, house.sensors, Meeting(house.tables), house.runs, house.clock).sensors()

    assert [each.name for each in found] == [each.name for each in deployed]


def test_start_by_an_operator_wins_over_the_default(house: House) -> None:
    stopped = replace(WATCH, default_status=DefaultSensorStatus.STOPPED)
    assert view(house, stopped).status == "STOPPED"

    SensorOperations(house.sensors, house.clock).start("watch", DefaultSensorStatus.STOPPED, "ann")

    assert view(house, stopped).status == "RUNNING"
    assert view(house, stopped).stored_status == InstigatorStatus.RUNNING.value


def test_interval_that_only_the_code_gives_is_that_of_the_last_tick(house: House) -> None:
    deployed = replace(WATCH, interval_seconds=None)
    tick(house, SkipReason("nothing"), 3_600)

    found = view(house, deployed)

    assert found.problems == ()
    assert (found.lag_seconds, found.next_tick_at) == (0, house.clock.time)


def test_sensor_is_shown_as_late_once_reconcile_announces_it(house: House) -> None:
    """Else an alarm would ring while every list says that all is well."""
    tick(house, SkipReason("nothing"))
    entry = SensorEntry("watch", "shop", "shop-WatchFunction", "schedule", interval_seconds=60)
    deployment = InMemoryDeployment([WATCH], {"watch": lambda event: {"name": "watch"}})
    seen = Overview(deployment, house.sensors, house.ticks, house.runs, house.clock)
    announced = last_sign(entry, house.state(), house.clock.now()) + int(patience(60_000))

    house.clock.time = announced
    assert seen.sensor("watch").problems == ()
    house.clock.time += 1
    assert [each.kind for each in seen.sensor("watch").problems] == [ProblemKind.LATE]
