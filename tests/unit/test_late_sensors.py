"""RECONCILE sees which sensors do not tick, whatever the reason; and none that the code itself lets wait."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.engine import NAMESPACE, EngineHarness, keyless, sensor_of
from treadle.definitions.errors import StoreError
from treadle.definitions.hours import Hours
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.engine.reconcile.late_sensors import (
    DELIVERY_MS,
    INTERVALS,
    NEVER_LATE,
    LateSensors,
    last_sign,
    late_at,
    longest_interval,
    patience,
)
from treadle.engine.reconcile.reconciler import Reconciled, Reconciler
from treadle.engine.tick.backoff import FAILURES_BEFORE_BACKOFF
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.schedule import MINUTE_MS
from treadle.engine.tick.scheduled_ticks import MAX_LEASE_SECONDS
from treadle.model.deployment import EVENT_KINDS
from treadle.model.messages import BusEvent
from treadle.model.registry import KeptEntry, RegistryCopy, SensorEntry
from treadle.model.sensors import Edit, SensorState
from treadle.ports.sensors import SensorStore
from treadle.testing.bus import InMemoryBus
from treadle.testing.registry import sensor_text
from treadle.testing.stores import InMemorySensorStore

RUNNING, STOPPED = DefaultSensorStatus.RUNNING, DefaultSensorStatus.STOPPED
LATE_MS = INTERVALS * MINUTE_MS + DELIVERY_MS


NOON = 1_795_370_400_000
ENTRY = SensorEntry("watch", "shop", "Watch", "schedule", interval_seconds=300, registered_at=NOON - 9)


@dataclass(slots=True)
class Reading:
    """Which sensors' states were read, at each check that read any."""

    store: SensorStore
    reads: list[set[str]] = field(default_factory=list)

    def get_many(self, sensors: Any) -> dict[str, SensorState]:
        self.reads.append(set(sensors))
        return self.store.get_many(sensors)


@dataclass(slots=True)
class Watch:
    """A deployment of which some sensors are registered."""

    harness: EngineHarness = field(default_factory=EngineHarness)
    made: LateSensors = field(init=False)
    reading: Reading = field(init=False)

    def __post_init__(self) -> None:
        self.harness.clock.time -= self.harness.clock.time % MINUTE_MS
        self.reading = Reading(self.harness.sensors)
        self.start_process()

    def start_process(self) -> None:
        """Let a new RECONCILE begin, without a cache."""
        self.made = self.harness.engine_with(sensors=self.reading).late_sensors(self.harness.bus)

    def register(self, name: str = "watch", **fields: str) -> None:
        """Deploy an entry."""
        now, copy = self.harness.clock.now(), self.harness.tables.registry
        entry = KeptEntry(sensor_text("shop", **fields), now, changed_at=now)
        entries = {**copy.entries, f"sensors/{name}": entry}
        self.harness.tables.registry = RegistryCopy("main", entries, now, copy.revision + 1)

    def tick(
        self, *, interval: int = 60, name: str = "watch", function: Any = keyless, **options: Any
    ) -> Any:
        """Tick as the schedule does."""
        leased = self.harness.leased(sensor_of(function, name=name), interval=interval, **options)
        return leased.tick(self.harness.clock.now(), Budget())

    def pass_by(self, ms: int) -> tuple[str, ...]:
        """Return which sensors are late after a while of RECONCILE's checks, one each minute."""
        until = self.harness.clock.time + ms
        while self.harness.clock.time + MINUTE_MS <= until:
            self.harness.clock.time += MINUTE_MS
            self.made.check()
        self.harness.clock.time = until
        self.made.check()
        return tuple(self.made.late)

    def published(self) -> list[tuple[object, ...]]:
        """Return what was announced: sensor, status, reason."""
        return [tuple(each.detail[name] for name in ("sensor", "status", "reason")) for each in self.events()]

    def events(self) -> list[BusEvent]:
        return [each for each in self.harness.bus.events if each.kind == "Sensor Health Changed"]


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_sensor_that_never_ticked_is_late_three_intervals_after_it_was_registered_and_not_before(
    watch: Watch,
) -> None:
    watch.register()

    assert watch.pass_by(LATE_MS) == ()
    assert watch.pass_by(1) == ("watch",)


def test_sensor_that_ticks_is_never_late(watch: Watch) -> None:
    watch.register()

    for _ in range(20):
        watch.tick()
        assert watch.pass_by(MINUTE_MS) == ()

    assert watch.published() == []


def test_sensor_that_ticks_no_more_is_late_after_three_intervals_and_a_deliverys_minute(watch: Watch) -> None:
    watch.register(interval="300")
    watch.pass_by(60 * MINUTE_MS // 4)
    watch.tick(interval=300)
    scheduled = watch.harness.state().last_scheduled_for or 0

    assert watch.pass_by(scheduled + 16 * MINUTE_MS - watch.harness.clock.now()) == ()
    assert watch.pass_by(1) == ("watch",)


def test_a_change_is_announced_once_and_so_is_its_end(watch: Watch) -> None:
    watch.register()
    since = watch.harness.clock.now()
    watch.pass_by(LATE_MS + 5 * MINUTE_MS)
    watch.tick()
    watch.pass_by(3 * MINUTE_MS)

    assert [each[1:] for each in watch.published()] == [
        ("LATE", f"It has not ticked since {_stamp(since)}, for more than three of its intervals."),
        ("HEALTHY", "It is ticking again."),
    ]
    began, ended = watch.events()
    assert (began.detail["project"], began.detail["namespace"]) == ("shop", NAMESPACE)
    assert (began.detail["since"], ended.detail["since"]) == (_stamp(since), _stamp(since))
    assert began.detail["id"] != ended.detail["id"]


def _stamp(at: int) -> str:
    from treadle.engine.identity import timestamp

    return timestamp(at)


def test_each_sensor_is_announced_however_many_are_late_already(watch: Watch) -> None:
    watch.register("first")
    watch.pass_by(LATE_MS + MINUTE_MS)
    watch.register("second")

    assert watch.pass_by(LATE_MS + MINUTE_MS) == ("first", "second")
    assert [each[:2] for each in watch.published()] == [("first", "LATE"), ("second", "LATE")]


def test_another_process_announces_nothing_again(watch: Watch) -> None:
    watch.register()
    watch.pass_by(LATE_MS + MINUTE_MS)
    watch.start_process()

    assert watch.pass_by(2 * MINUTE_MS) == ("watch",)
    assert len(watch.published()) == 1


def test_process_that_need_not_check_yet_leaves_what_another_has_announced(watch: Watch) -> None:
    watch.register("first")
    watch.register("second")
    watch.pass_by(LATE_MS + MINUTE_MS)
    other = watch.made
    watch.tick(name="second")
    watch.start_process()
    watch.made.check()
    watch.register("third")
    watch.pass_by(MINUTE_MS)

    assert [each[:2] for each in watch.published()] == [
        ("first", "LATE"),
        ("second", "LATE"),
        ("second", "HEALTHY"),
    ]
    other.check()
    assert len(watch.published()) == 3
    assert set(watch.harness.tables.late) == {"first"}


def test_sensor_that_only_another_process_has_checked_stays_late(watch: Watch) -> None:
    """Here its state is gone, which this process would see at its next check."""
    for name in ("first", "second"):
        watch.register(name)
    watch.pass_by(LATE_MS)
    watch.tick(name="second")
    watch.pass_by(MINUTE_MS)
    one = watch.made
    del watch.harness.tables.sensors["second"]
    watch.start_process()
    watch.made.check()
    assert watch.made.late == ("first", "second")

    one.check()
    watch.tick(name="first")
    one.check()

    assert [each[:2] for each in watch.published()] == [
        ("first", "LATE"),
        ("second", "LATE"),
        ("first", "HEALTHY"),
    ]
    assert set(watch.harness.tables.late) == {"second"}


def test_what_could_not_be_announced_is_announced_by_the_next_check(watch: Watch) -> None:
    class Deaf(InMemoryBus):
        def publish(self, events: Any) -> None:
            raise StoreError("the bus did not answer")

    bus, watch.harness.bus = watch.harness.bus, Deaf()
    watch.start_process()
    watch.register()
    with pytest.raises(StoreError):
        watch.pass_by(LATE_MS + MINUTE_MS)
    assert watch.made.late == ("watch",)

    watch.harness.bus = bus
    watch.start_process()
    watch.made.check()

    assert [each[:2] for each in watch.published()] == [("watch", "LATE")]


@pytest.mark.parametrize("kind", sorted(EVENT_KINDS))
def test_sensor_of_events_has_no_ticks_to_be_late_with(watch: Watch, kind: str) -> None:
    watch.register(kind=kind)

    assert watch.pass_by(24 * 60 * MINUTE_MS) == ()


@pytest.mark.parametrize("kind", ["schedule", "s3", "all_succeeded", "multi_asset", "assets_updated"])
def test_sensor_that_a_schedule_ticks_may_be_late(watch: Watch, kind: str) -> None:
    watch.register(kind=kind)

    assert watch.pass_by(LATE_MS + 1) == ("watch",)


def edit(watch: Watch, status: InstigatorStatus) -> None:
    watch.harness.sensors.edit("watch", Edit(watch.harness.clock.now(), "ann", status=status))


def test_stopped_sensor_is_healthy_whoever_stopped_it(watch: Watch) -> None:
    watch.register(status="STOPPED")
    watch.register("other")
    watch.harness.sensors.edit(
        "other", Edit(watch.harness.clock.now(), "ann", status=InstigatorStatus.STOPPED)
    )

    assert watch.pass_by(60 * MINUTE_MS) == ()
    assert watch.published() == []


def test_started_sensor_has_three_intervals_from_its_start(watch: Watch) -> None:
    watch.register(status="STOPPED")
    watch.pass_by(60 * MINUTE_MS)
    edit(watch, InstigatorStatus.RUNNING)

    assert watch.pass_by(LATE_MS) == ()
    assert watch.pass_by(MINUTE_MS) == ("watch",)


def test_sensor_that_is_started_by_a_deployment_has_three_intervals_from_then(watch: Watch) -> None:
    watch.register(status="STOPPED")
    watch.pass_by(60 * MINUTE_MS)
    watch.register(status="RUNNING")

    assert watch.pass_by(LATE_MS) == ()
    assert watch.pass_by(MINUTE_MS) == ("watch",)


def test_late_sensor_that_is_stopped_is_late_no_more_and_says_why(watch: Watch) -> None:
    watch.register()
    watch.pass_by(LATE_MS + MINUTE_MS)
    edit(watch, InstigatorStatus.STOPPED)

    assert watch.pass_by(MINUTE_MS) == ()
    assert watch.published()[1] == ("watch", "HEALTHY", "It is stopped.")


def test_late_sensor_that_is_registered_no_more_is_late_no_more(watch: Watch) -> None:
    watch.register()
    watch.pass_by(LATE_MS + MINUTE_MS)
    watch.harness.tables.registry = replace(watch.harness.tables.registry, entries={})

    assert watch.pass_by(2 * MINUTE_MS) == ()
    assert watch.published()[1] == ("watch", "HEALTHY", "It is no longer registered.")


def test_paused_sensor_is_healthy(watch: Watch) -> None:
    watch.register()

    def failing() -> None:
        raise ValueError("no source")

    watch.tick(function=failing, pause_after=1)
    assert watch.harness.state().paused

    assert watch.pass_by(60 * MINUTE_MS) == ()


def test_sensor_that_failures_hold_up_is_not_late_before_it_may_tick_again(watch: Watch) -> None:
    """Each further failure doubles the wait, up to an hour."""
    watch.register()

    def failing() -> None:
        raise ValueError("no source")

    for _ in range(FAILURES_BEFORE_BACKOFF + 3):
        watch.harness.clock.time = max(
            watch.harness.clock.time + MINUTE_MS, watch.harness.state().resume_at or 0
        )
        watch.tick(function=failing)
    resume_at = watch.harness.state().resume_at or 0
    assert resume_at - watch.harness.clock.now() > 2 * LATE_MS

    assert watch.pass_by(resume_at + LATE_MS - watch.harness.clock.now()) == ()
    assert watch.pass_by(MINUTE_MS) == ("watch",)


def test_sensor_whose_evaluation_is_at_work_is_not_late(watch: Watch) -> None:
    watch.register()
    at, ends_at = watch.harness.clock.now(), watch.harness.clock.now() + MAX_LEASE_SECONDS * 1000
    watch.harness.tables.sensors["watch"] = SensorState(
        "watch", lease_owner="x", lease_expires=ends_at, last_scheduled_for=at
    )

    assert watch.pass_by(ends_at + LATE_MS - watch.harness.clock.now()) == ()
    assert watch.pass_by(MINUTE_MS) == ("watch",)


def test_interval_that_only_the_code_gives_counts(watch: Watch) -> None:
    watch.register()
    watch.tick(interval=3600)

    assert watch.pass_by(3 * 60 * MINUTE_MS) == ()
    assert watch.pass_by(2 * MINUTE_MS) == ("watch",)


def test_raised_interval_counts_from_its_registration_and_a_lowered_one_from_the_next_tick(
    watch: Watch,
) -> None:
    watch.register(interval="60")
    watch.tick(interval=60)
    watch.register(interval="3600")
    assert watch.pass_by(2 * 60 * MINUTE_MS) == ()

    watch.tick(interval=3600)
    watch.register(interval="60")
    assert watch.pass_by(60 * MINUTE_MS) == ()
    watch.tick(interval=60)
    assert watch.pass_by(LATE_MS + MINUTE_MS) == ("watch",)


def test_sensor_that_is_registered_again_is_checked_by_its_present_entry(watch: Watch) -> None:
    watch.register(interval="3600")
    watch.pass_by(MINUTE_MS)
    watch.register(interval="60")

    assert watch.pass_by(LATE_MS) == ()
    assert watch.pass_by(MINUTE_MS) == ("watch",)


def test_interval_below_a_minute_waits_for_three_deliveries_of_the_schedule(watch: Watch) -> None:
    watch.register(interval="15")

    assert watch.pass_by(LATE_MS) == ()
    assert watch.pass_by(1) == ("watch",)


def test_times_of_the_future_are_no_signs_of_life(watch: Watch) -> None:
    watch.register()
    year = watch.harness.clock.now() + 365 * 24 * 60 * MINUTE_MS
    watch.harness.tables.sensors["watch"] = SensorState(
        "watch", last_scheduled_for=year, last_completion=year, lease_owner="x", lease_expires=year
    )

    assert watch.pass_by(LATE_MS + MINUTE_MS) == ("watch",)


def test_sensor_whose_state_cannot_be_read_ticks_no_more(watch: Watch) -> None:
    watch.register()
    watch.harness.tables.unreadable["watch",] = "its epoch is a string"

    assert watch.pass_by(LATE_MS + MINUTE_MS) == ("watch",)


def test_state_is_read_again_only_once_its_sensor_can_be_late(watch: Watch) -> None:
    """Not one request each minute, whatever the number of sensors; a hundred are one request."""
    for number in range(100):
        watch.register(f"minutely_{number}")
    watch.register("hourly", interval="3600")
    watch.register("off", status="STOPPED")

    sensors = watch.harness.tables.sensors
    for _ in range(60):
        watch.tick(name="minutely_0")
        for number in range(1, 100):
            sensors[f"minutely_{number}"] = replace(sensors["minutely_0"], sensor=f"minutely_{number}")
        watch.pass_by(MINUTE_MS)

    reads = watch.reading.reads
    for name in ("minutely_0", "minutely_99", "off"):
        assert sum(name in each for each in reads) <= 60 // INTERVALS
    assert sum("hourly" in each for each in reads) == 1
    assert all({"minutely_0", "minutely_99"} <= each or "minutely_0" not in each for each in reads)


def test_state_is_read_again_right_after_three_of_its_entrys_intervals(watch: Watch) -> None:
    """The interval of the last tick is longer; it may become that of the entry meanwhile."""
    watch.register(interval="300")
    watch.tick(interval=600)
    watch.made.check()

    watch.harness.clock.time += int(patience(300_000))
    watch.made.check()
    assert len(watch.reading.reads) == 1
    watch.harness.clock.time += 1
    watch.made.check()
    assert len(watch.reading.reads) == 2


def test_sensor_is_not_late_at_the_end_of_its_patience_in_a_new_process_either(watch: Watch) -> None:
    watch.register()
    watch.harness.clock.time += LATE_MS

    watch.start_process()
    watch.made.check()

    assert watch.made.late == ()


def test_each_change_is_logged(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    watch.register()
    watch.pass_by(LATE_MS + MINUTE_MS)
    watch.tick()
    watch.pass_by(3 * MINUTE_MS)

    began, ended = caplog.messages
    assert began.startswith("Sensor watch of project shop: It has not ticked since")
    assert ended == "Sensor watch of project shop: It is ticking again."


def test_late_is_three_intervals_of_a_minute_at_least_and_the_minute_of_a_delivery() -> None:
    minutes = [patience(seconds * 1000) / 60_000 for seconds in (0, 15, 60, 61, 300)]

    assert minutes == [4, 4, 4, 4.05, 16]


@pytest.mark.parametrize(("interval", "longest"), [(None, 300_000), (299_999, 300_000), (300_001, 300_001)])
def test_the_longer_interval_of_entry_and_last_tick_counts(interval: int | None, longest: int) -> None:
    assert longest_interval(ENTRY, SensorState("watch", interval=interval)) == longest
    assert longest_interval(replace(ENTRY, interval_seconds=0), SensorState("watch", interval=interval)) == (
        interval or 0
    )


@pytest.mark.parametrize(
    ("state", "sign"),
    [
        (SensorState("watch"), NOON - 9),
        (SensorState("watch", started_at=NOON - 1), NOON - 1),
        (SensorState("watch", last_scheduled_for=NOON - 2), NOON - 2),
        (SensorState("watch", last_completion=NOON - 3), NOON - 3),
        (SensorState("watch", last_completion=NOON + 5 * MINUTE_MS), NOON + 5 * MINUTE_MS),
        (SensorState("watch", last_completion=NOON + 5 * MINUTE_MS + 1), NOON - 9),
        (SensorState("watch", resume_at=NOON + 60 * MINUTE_MS), NOON + 60 * MINUTE_MS),
        (SensorState("watch", lease_expires=NOON + 9), NOON - 9),
        # The longest evaluation, a margin, and the difference of two clocks.
        (SensorState("watch", lease_owner="x", lease_expires=NOON + 1_205_000), NOON + 1_205_000),
        (SensorState("watch", lease_owner="x", lease_expires=NOON + 1_205_001), NOON - 9),
    ],
)
def test_last_sign_is_the_latest_one_that_is_not_of_the_future(state: SensorState, sign: int) -> None:
    assert last_sign(ENTRY, state, NOON) == sign


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Edit(0, "ann", status=InstigatorStatus.RUNNING), "It was started or deployed again"),
        (Edit(0, "ann", status=InstigatorStatus.STOPPED), "It is stopped."),
    ],
)
def test_end_says_what_ended_it(watch: Watch, change: Edit, reason: str) -> None:
    watch.register()
    watch.tick()
    watch.pass_by(LATE_MS + MINUTE_MS)
    watch.harness.sensors.edit("watch", replace(change, at=watch.harness.clock.now()))
    watch.pass_by(MINUTE_MS)

    assert reason in str(watch.published()[1][2])


def test_new_process_announces_the_end_of_what_another_one_has_announced(watch: Watch) -> None:
    watch.register()
    watch.pass_by(LATE_MS + MINUTE_MS)
    watch.tick()
    watch.start_process()
    watch.made.check()

    assert [each[1] for each in watch.published()] == ["LATE", "HEALTHY"]


def test_end_by_a_pause_says_so(watch: Watch) -> None:
    watch.register()
    watch.pass_by(LATE_MS + MINUTE_MS)

    def failing() -> None:
        raise ValueError("no source")

    watch.tick(function=failing, pause_after=1)
    watch.pass_by(MINUTE_MS)

    assert watch.published()[1][2] == "It is paused."


# ---- RECONCILE's pass


def reconciler(watch: Watch) -> Reconciler:
    return watch.harness.reconciler(targets={}, late_sensors=watch.made)


def test_pass_has_the_late_sensors(watch: Watch) -> None:
    watch.register()
    watch.harness.clock.time += LATE_MS + 1

    assert reconciler(watch).reconcile(60) == Reconciled(late=("watch",))
    assert str(Reconciled(late=("watch",))).endswith("late sensors: watch")


def test_pass_continues_if_sensors_cannot_be_checked(watch: Watch) -> None:
    class Silent(InMemorySensorStore):
        def get_many(self, sensors: Any) -> dict[str, SensorState]:
            raise StoreError("the store did not answer")

    watch.register()
    watch.reading.store = Silent(watch.harness.tables)

    assert reconciler(watch).reconcile(60) == Reconciled(failed=1)


def test_sensor_is_not_late_outside_its_hours_and_only_they_count(watch: Watch) -> None:
    """Its hours end a minute after its last tick, and begin again after a night and a weekend."""
    watch.harness.clock.time = _millis("2026-11-27T19:58")
    watch.register(interval="60", hours="06:00-20:00 MON-FRI Europe/Berlin")
    watch.tick()

    assert watch.pass_by(_millis("2026-11-30T06:00") - watch.harness.clock.now()) == ()
    # Two of the minutes that are needed have passed on Friday.
    assert watch.pass_by(LATE_MS - 2 * MINUTE_MS) == ()
    assert watch.pass_by(1) == ("watch",)
    assert watch.published()[0][1:] == (
        "LATE",
        f"It has not ticked since {_stamp(_millis('2026-11-27T19:58'))}, for more than three of its intervals.",
    )


def test_sensor_that_is_deployed_on_a_holiday_is_late_on_the_day_after_it(watch: Watch) -> None:
    watch.harness.clock.time = _millis("2026-12-25T09:00")
    watch.register(interval="60", hours="06:00-20:00 Europe/Berlin except 2026-12-25")

    assert watch.pass_by(_millis("2026-12-26T06:00") + LATE_MS - watch.harness.clock.now()) == ()
    assert watch.pass_by(1) == ("watch",)


def test_sensor_without_any_hours_left_is_never_late(watch: Watch) -> None:
    entry = replace(ENTRY, hours=Hours("06:00-20:00 MON", except_=_mondays()))

    assert late_at(entry, NOON, LATE_MS) == NEVER_LATE


def _mondays() -> list[date]:
    return [date(2026, 11, 23) + timedelta(weeks=each) for each in range(150)]


def _millis(berlin: str) -> int:
    return int(datetime.fromisoformat(berlin).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)
