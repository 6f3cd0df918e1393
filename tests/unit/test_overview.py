"""All sensors at a glance: status, next tick, last ticks, the last day's runs; put together by few requests."""

import threading
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.dispatching import dispatch
from tests.support.engine import JOB, EngineHarness, sensor_of
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


def overview(harness: EngineHarness, *deployed: DeployedSensor) -> Overview:
    deployment = InMemoryDeployment(list(deployed or (WATCH,)))
    return Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)


def view(harness: EngineHarness, deployed: DeployedSensor = WATCH) -> SensorView:
    return overview(harness, deployed).sensor(deployed.name)


def tick(harness: EngineHarness, answer: Any, interval: int = 60) -> None:
    """Evaluate the due tick with this result, and dispatch its requests."""

    def function() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    harness.leased(sensor_of(function), interval=interval, pause_after=2).tick(harness.clock.now(), Budget())
    for record in harness.tick_records():
        if record.is_to_be_dispatched:
            dispatch(harness, record)
    harness.clock.advance(interval)


def test_sensor_that_has_never_ticked_is_shown_as_deployed(harness: EngineHarness) -> None:
    harness.clock.time += 20_000

    found = view(harness)

    assert (found.status, found.stored_status, found.default_status) == (
        "RUNNING",
        "DECLARED_IN_CODE",
        "RUNNING",
    )
    assert (found.kind, found.description, found.jobs) == ("schedule", "watches", (JOB,))
    assert (found.last_tick, found.recent, found.cursor, found.lag_seconds) == (None, (), None, None)
    assert found.next_tick_at == harness.clock.time + 40_000


def test_last_ticks_come_newest_first_with_what_they_started_and_skips_in_a_row_as_one(
    harness: EngineHarness,
) -> None:
    begun = harness.clock.now()
    tick(harness, RunRequest("a"))
    tick(harness, SkipReason("nothing"))
    tick(harness, SkipReason("still nothing"))

    found = view(harness)

    assert found.recent == (
        RecentTick(begun + MINUTE, TickStatus.SKIPPED, 2),
        RecentTick(begun, TickStatus.SUCCESS, 1),
    )
    assert found.last_tick is not None
    assert (found.last_tick.reason, found.last_tick.skips) == ("still nothing", 2)
    assert found.last_tick.last_time == begun + 2 * MINUTE


def test_event_between_skips_is_older_than_the_streak_that_continues(harness: EngineHarness) -> None:
    tick(harness, SkipReason("nothing"))
    now = harness.clock.now()
    error = ErrorInfo("ValueError", "no")
    harness.ticks.put(
        Tick("watch", f"{timestamp(now)}-e", TickKind.EVENT, TickStatus.FAILURE, now, now, now, error=error)
    )
    harness.clock.advance(60)
    tick(harness, SkipReason("nothing"))

    found = view(harness)

    assert [each.status for each in found.recent] == [TickStatus.SKIPPED, TickStatus.FAILURE]


def test_next_tick_is_the_first_minute_after_an_interval(harness: EngineHarness) -> None:
    begun = harness.clock.now()
    tick(harness, SkipReason("nothing"))
    harness.clock.time = begun + 30_000

    found = view(harness)

    assert (found.next_tick_at, found.lag_seconds) == (begun + MINUTE, 0)


def test_tick_that_does_not_come_is_reported_as_lag(harness: EngineHarness) -> None:
    begun = harness.clock.now()
    tick(harness, SkipReason("nothing"))
    harness.clock.time = begun + 5 * MINUTE + 1_500

    found = view(harness)

    assert (found.lag_seconds, found.next_tick_at) == (241.5, begun + 6 * MINUTE)


def test_below_a_minute_the_next_tick_is_a_slot(harness: EngineHarness) -> None:
    begun = harness.clock.now()
    tick(harness, SkipReason("nothing"), interval=15)
    harness.clock.time = begun + 10_000

    assert view(harness, replace(WATCH, interval_seconds=15)).next_tick_at == begun + 15_000


@pytest.mark.parametrize("kind", ["schedule", "multi_asset", "all_succeeded", "assets_updated"])
def test_sensor_without_an_interval_ticks_each_minute(harness: EngineHarness, kind: str) -> None:
    begun = harness.clock.now()
    tick(harness, SkipReason("nothing"))
    harness.clock.advance(30)

    found = view(harness, replace(WATCH, kind=kind, interval_seconds=None))

    assert (found.next_tick_at, found.lag_seconds) == (begun + 2 * MINUTE, 30)


@pytest.mark.parametrize("kind", ["run_status", "asset", "deadline", "unknown"])
def test_sensor_of_events_says_of_no_time_when_it_ticks(harness: EngineHarness, kind: str) -> None:
    tick(harness, SkipReason("nothing"))

    found = view(harness, replace(WATCH, kind=kind, interval_seconds=None))

    assert (found.next_tick_at, found.lag_seconds) == (None, None)


def test_stopped_sensor_ticks_at_no_time(harness: EngineHarness) -> None:
    SensorOperations(harness.sensors, harness.clock).stop("watch", "ann")

    found = view(harness)

    assert (found.status, found.stored_status, found.next_tick_at) == ("STOPPED", "STOPPED", None)
    assert found.cursor_epoch == harness.state().epoch == 1


def test_failing_sensor_shows_its_streak_and_a_pause_its_reason(harness: EngineHarness) -> None:
    tick(harness, ValueError("no table"))
    failing = view(harness)
    tick(harness, ValueError("no table"))
    paused = view(harness)

    assert (failing.status, failing.failure_streak) == ("RUNNING", 1)
    assert failing.last_tick is not None
    assert failing.last_tick.error_type == "ValueError"
    assert str(failing.last_tick.error_message).endswith("ValueError: no table")
    assert (paused.status, paused.stored_status, paused.next_tick_at) == ("PAUSED", "STOPPED", None)
    assert paused.paused is not None
    assert "no table" in paused.paused


def test_held_up_sensor_ticks_when_the_wait_is_over(harness: EngineHarness) -> None:
    tick(harness, SkipReason("nothing"))
    wait = harness.clock.now() + 3 * MINUTE + 1
    harness.tables.sensors["watch"] = replace(harness.state(), resume_at=wait)

    found = view(harness)

    assert (found.resume_at, found.next_tick_at, found.lag_seconds) == (wait, wait - 1 + MINUTE, 0)


def test_runs_of_the_last_day_are_counted_and_those_that_failed(harness: EngineHarness) -> None:
    now = harness.clock.now()
    times = {"old": DAY_MS, "failed": DAY_MS - 1, "good": 5}
    for name, age in times.items():
        status = DagsterRunStatus.FAILURE if name != "good" else DagsterRunStatus.SUCCESS
        harness.runs.create(Run(name, JOB, "watch", name, "t", "{}", {}, now - age, status=status))

    found = view(harness)

    assert (found.runs_24h, found.failures_24h) == (2, 1)


def test_counting_runs_of_the_last_day_ends_somewhere(harness: EngineHarness) -> None:
    for number in range(COUNTED + 5):
        harness.runs.create(Run(str(number), JOB, "watch", None, "t", "{}", {}, harness.clock.now()))

    assert view(harness).runs_24h == COUNTED


def test_cursor_and_epoch_are_shown_together(harness: EngineHarness) -> None:
    tick(harness, SensorResult(skip_reason=SkipReason("nothing"), cursor="41"))

    found = view(harness)

    assert (found.cursor, found.cursor_epoch) == ("41", harness.state().epoch)


def test_unknown_sensor_is_refused_with_the_names_of_those_there_are(harness: EngineHarness) -> None:
    with pytest.raises(CommandRefusedError, match="no sensor 'wtach'; it has: watch"):
        overview(harness).sensor("wtach")


def test_all_sensors_come_by_name_and_are_read_side_by_side(harness: EngineHarness) -> None:
    """Sixteen wait at once for their ticks; one after the other they would wait for ever."""
    together = threading.Barrier(16, timeout=10)

    class Meeting(InMemoryTickStore):
        def page(self, *args: Any, **options: Any) -> TickPage:
            together.wait()
            return super().page(*args, **options)

    deployed = [replace(WATCH, name=f"sensor_{number:02d}") for number in range(32)]
    deployment = InMemoryDeployment(deployed[::-1])
    found = Overview(
        deployment, harness.sensors, Meeting(harness.tables), harness.runs, harness.clock
    ).sensors()

    assert [each.name for each in found] == [each.name for each in deployed]


def test_start_by_an_operator_wins_over_the_default(harness: EngineHarness) -> None:
    stopped = replace(WATCH, default_status=DefaultSensorStatus.STOPPED)
    assert view(harness, stopped).status == "STOPPED"

    SensorOperations(harness.sensors, harness.clock).start("watch", DefaultSensorStatus.STOPPED, "ann")

    assert view(harness, stopped).status == "RUNNING"
    assert view(harness, stopped).stored_status == InstigatorStatus.RUNNING.value


def test_interval_that_only_the_code_gives_is_that_of_the_last_tick(harness: EngineHarness) -> None:
    deployed = replace(WATCH, interval_seconds=None)
    tick(harness, SkipReason("nothing"), 3_600)

    found = view(harness, deployed)

    assert found.problems == ()
    assert (found.lag_seconds, found.next_tick_at) == (0, harness.clock.time)


def test_sensor_is_shown_as_late_once_reconcile_announces_it(harness: EngineHarness) -> None:
    """Else an alarm would ring while every list says that all is well."""
    tick(harness, SkipReason("nothing"))
    entry = SensorEntry("watch", "shop", "shop-WatchFunction", "schedule", interval_seconds=60)
    deployment = InMemoryDeployment([WATCH], {"watch": lambda event: {"name": "watch"}})
    seen = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)
    announced = last_sign(entry, harness.state(), harness.clock.now()) + int(patience(60_000))

    harness.clock.time = announced
    assert seen.sensor("watch").problems == ()
    harness.clock.time += 1
    assert [each.kind for each in seen.sensor("watch").problems] == [ProblemKind.LATE]


OFFICE = replace(WATCH, settings={"TREADLE_HOURS": "06:00-20:00 MON-FRI Europe/Berlin"})


def berlin(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)


def test_sensor_outside_its_hours_is_shown_as_such_and_has_no_lag(harness: EngineHarness) -> None:
    harness.clock.time = berlin("2026-11-27T19:59")
    tick(harness, SkipReason("nothing"))
    harness.clock.time = berlin("2026-11-29T12:00")

    found = view(harness, OFFICE)

    begin = berlin("2026-11-30T06:00")
    assert (found.outside_until, found.next_tick_at, found.lag_seconds) == (begin, begin, 0)
    assert (found.hours, found.problems) == ("06:00-20:00 MON-FRI Europe/Berlin", ())


def test_lag_counts_only_the_hours(harness: EngineHarness) -> None:
    harness.clock.time = berlin("2026-11-27T19:58")
    tick(harness, SkipReason("nothing"))
    harness.clock.time = berlin("2026-11-30T06:01")

    deployment = InMemoryDeployment([OFFICE], {"watch": lambda event: {"name": "watch"}})
    seen = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)
    found = seen.sensor("watch")

    assert (found.outside_until, found.lag_seconds, found.problems) == (None, 120, ())
    harness.clock.time = berlin("2026-11-30T06:10")
    assert [each.kind for each in seen.sensor("watch").problems] == [ProblemKind.LATE]


def test_stopped_sensor_is_outside_of_no_hours(harness: EngineHarness) -> None:
    harness.clock.time = berlin("2026-11-29T12:00")
    stopped = replace(OFFICE, default_status=DefaultSensorStatus.STOPPED)

    assert view(harness, stopped).outside_until is None


def test_sensor_without_hours_left_has_no_next_tick(harness: EngineHarness) -> None:
    days = " ".join(str(date(2026, 11, 23) + timedelta(weeks=each)) for each in range(150))
    none_left = replace(WATCH, settings={"TREADLE_HOURS": f"06:00-20:00 MON UTC except {days}"})
    tick(harness, SkipReason("nothing"))

    found = view(harness, none_left)

    assert (found.next_tick_at, found.outside_until, found.problems) == (None, None, ())


def test_hours_that_cannot_be_read_are_none(harness: EngineHarness) -> None:
    """The function, which does not load with them, is shown with that problem."""
    assert replace(WATCH, settings={"TREADLE_HOURS": "always"}).hours is None
