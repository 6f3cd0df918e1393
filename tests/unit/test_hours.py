"""Hours of polling sensors: what a window contains, on the nights of clock changes too, and who counts by them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import EngineHarness, keyless
from treadle import Hours, RunRequest, evaluator, s3_sensor, sensor
from treadle.definitions.errors import DagsterInvalidDefinitionError, RegistryEntryError, SettingsError
from treadle.definitions.hours import MOST_EXCEPTIONS, cron_hull
from treadle.definitions.multi_asset_sensor import MultiAssetSensorDefinition
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.evaluator import evaluator_parts
from treadle.model.registry import parse_sensor
from treadle.testing import TreadleInstance
from treadle.testing.registry import sensor_text

MINUTE, HOUR = 60_000, 3_600_000
OFFICE = Hours("06:00-20:00 MON-FRI", zone="Europe/Berlin")


def millis(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    """Return the time that a clock in the zone shows."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def covered(hours: Hours, first: str, minutes: int, step: int = 1, zone: str = "Europe/Berlin") -> list[str]:
    """Return the times in UTC of the stretch that are in the hours."""
    start = millis(first, zone)
    times = [start + number * MINUTE for number in range(0, minutes, step)]
    return [f"{datetime.fromtimestamp(at / 1000, UTC):%d %H:%M}" for at in times if hours.covers(at)]


def test_window_contains_its_begin_and_not_its_end() -> None:
    """30 November 2026 is a Monday; Berlin is an hour ahead of UTC."""
    found = covered(OFFICE, "2026-11-30T00:00", 1_440)

    assert (found[0], found[-1], len(found)) == ("30 05:00", "30 18:59", 14 * 60)


def test_days_without_a_window_have_none() -> None:
    assert covered(OFFICE, "2026-11-28T00:00", 2 * 1_440, 10) == []
    assert OFFICE.next_begin(millis("2026-11-27T20:00")) == millis("2026-11-30T06:00")


def test_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Friday's ends on Saturday, and none ends on Monday."""
    nights = Hours("22:00-06:00 MON-FRI", zone="Europe/Berlin")

    assert nights.covers(millis("2026-12-05T05:59"))
    assert not nights.covers(millis("2026-12-05T06:00"))
    assert not nights.covers(millis("2026-11-30T05:59"))
    assert nights.covers(millis("2026-11-30T22:00"))


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Berlin", "2026-03-29"), ("America/New_York", "2026-03-08")]
)
def test_time_that_does_not_exist_is_the_next_that_does(zone: str, day: str) -> None:
    """Clocks go from 02:00 to 03:00."""
    from_within = Hours("02:31-04:00", zone=zone)
    to_within = Hours("01:00-02:30", zone=zone)
    all_within = Hours("02:10-02:50", zone=zone)
    change = millis(f"{day}T03:00", zone)

    assert [from_within.covers(change + each) for each in (-1, 0, HOUR - 1, HOUR)] == [
        False,
        True,
        True,
        False,
    ]
    assert [to_within.covers(change + each) for each in (-HOUR, -1, 0)] == [True, True, False]
    assert covered(all_within, f"{day}T00:00", 1_380, zone=zone) == []


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-11-01")]
)
def test_window_spans_both_of_a_time_that_exists_twice(zone: str, day: str) -> None:
    """The hour in which clocks go back: 02:00 to 03:00 in Berlin, 01:00 to 02:00 in New York."""
    hour = 2 if zone == "Europe/Berlin" else 1
    ends, begins = Hours(f"00:00-0{hour}:30", zone=zone), Hours(f"0{hour}:30-05:00", zone=zone)
    first, second = (millis(f"{day}T0{hour}:30", zone, fold=fold) for fold in (0, 1))

    assert second - first == HOUR
    assert [ends.covers(at) for at in (first, second - 1, second)] == [True, True, False]
    assert [begins.covers(at) for at in (first - 1, first, second)] == [False, True, True]


def test_a_day_that_does_not_exist_has_no_window() -> None:
    """Samoa skipped 30 December 2011."""
    hours = Hours("06:00-20:00", zone="Pacific/Apia")
    last, first = millis("2011-12-29T20:00", "Pacific/Apia"), millis("2011-12-31T06:00", "Pacific/Apia")

    assert hours.next_begin(last) == first
    assert first - last == 10 * HOUR


def test_on_an_exception_no_window_begins_and_one_of_the_day_before_ends() -> None:
    """The first of May 2026 is a Friday."""
    nights = Hours("22:00-06:00 MON-FRI", zone="Europe/Berlin", except_=[date(2026, 5, 1)])

    assert nights.covers(millis("2026-05-01T05:59"))
    assert not nights.covers(millis("2026-05-01T22:00"))
    assert not nights.covers(millis("2026-05-02T01:00"))
    assert nights.next_begin(millis("2026-05-01T06:00")) == millis("2026-05-04T22:00")


def test_several_windows_may_meet_and_overlap() -> None:
    hours = Hours("22:00-24:00; 00:00-06:00; 05:00-07:00 TUE,THU; 12:00-13:00 SAT-MON")

    tuesday, thursday, monday = (millis(f"2026-12-0{day}T00:00", "UTC") for day in (1, 3, 7))
    assert hours.between(tuesday, tuesday + 24 * HOUR) == 9 * HOUR
    assert hours.between(thursday, thursday + 24 * HOUR) == 9 * HOUR
    assert hours.between(monday, monday + 24 * HOUR) == 9 * HOUR
    assert hours.after(tuesday + 21 * HOUR, 3 * HOUR) == tuesday + 25 * HOUR


def test_all_day_is_from_midnight_to_midnight() -> None:
    hours = Hours("00:00-24:00", zone="Europe/Berlin")

    assert covered(hours, "2026-10-24T00:00", 3 * 1_440, 7) == covered(
        Hours("00:00-24:00"), "2026-10-24T00:00", 3 * 1_440, 7
    )


@given(
    st.integers(millis("2026-01-01T00:00"), millis("2027-12-31T00:00")),
    st.integers(1, 40 * HOUR),
    st.sampled_from(
        [
            OFFICE,
            Hours("22:00-06:00 FRI-SUN", zone="America/New_York"),
            Hours("01:30-02:30", zone="Europe/Berlin"),
        ]
    ),
)
def test_time_after_which_so_much_has_passed_has_so_much_before_it(
    start: int, active: int, hours: Hours
) -> None:
    at = hours.after(start, active)

    assert at is not None
    assert hours.between(start, at) == active
    assert hours.covers(at - 1)


@given(st.integers(millis("2026-01-01T00:00"), millis("2027-12-31T00:00")))
def test_next_begin_is_the_first_time_that_is_covered(at: int) -> None:
    begin = OFFICE.next_begin(at)

    assert begin is not None
    assert OFFICE.covers(begin)
    assert not OFFICE.covers(begin - 1)
    if not OFFICE.covers(at):
        assert OFFICE.between(at, begin) == 0


def test_hours_without_any_day_left_have_no_end_of_waiting() -> None:
    start = date(2026, 11, 30)
    hours = Hours("06:00-20:00 MON", except_=[start + timedelta(weeks=week) for week in range(150)])
    at = millis("2026-11-30T08:00", "UTC")

    assert (hours.next_begin(at), hours.after(at, 1), hours.covers(at)) == (None, None, False)


def test_text_of_hours_can_be_parsed_and_is_their_identity() -> None:
    hours = Hours(
        " 06:00-12:00  mon-fri ;13:00-20:00 MON-FRI",
        zone="America/Port-au-Prince",
        except_=["2026-12-25", date(2026, 1, 1)],
    )

    assert str(hours) == (
        "06:00-12:00 MON-FRI; 13:00-20:00 MON-FRI America/Port-au-Prince except 2026-01-01 2026-12-25"
    )
    assert (hours.has_exceptions, OFFICE.has_exceptions) == (True, False)
    assert Hours.parse(str(hours)) == hours
    assert len({hours, Hours.parse(str(hours)), OFFICE}) == 2
    assert repr(OFFICE) == "<Hours 06:00-20:00 MON-FRI Europe/Berlin>"
    assert hours != str(hours)


@pytest.mark.parametrize(
    ("windows", "fact"),
    [
        ("", "'' is no window"),
        ("6:00-20:00", "'6:00-20:00' is no window"),
        ("06:00-25:00", "is no window"),
        ("24:00-06:00", "is no window"),
        ("06:00-06:00", "is empty; all day is 00:00-24:00"),
        ("06:00-20:00 MON-FRO", "'MON-FRO' names no days"),
        ("06:00-20:00 MON-TUE-WED", "names no days"),
        ("06:00-20:00;", "'' is no window"),
        (7, "it is no text"),
    ],
)
def test_invalid_windows_are_refused_with_what_is_wrong(windows: Any, fact: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=fact):
        Hours(windows)


@pytest.mark.parametrize(
    "dates", ["2026-12-25", 7, ["25.12.2026"], [datetime(2026, 12, 25, tzinfo=UTC)], [7]]
)
def test_exceptions_that_are_no_dates_are_refused(dates: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="except_"):
        Hours("06:00-20:00", except_=dates)


def test_more_exceptions_than_fit_into_a_parameter_are_refused() -> None:
    days = [date(2026, 1, 1) + timedelta(days=each) for each in range(MOST_EXCEPTIONS + 1)]

    assert len(str(Hours("06:00-20:00 MON-FRI", zone="America/Port-au-Prince", except_=days[1:]))) < 2_500
    with pytest.raises(DagsterInvalidDefinitionError, match="except_ has 201 dates, and may have 200"):
        Hours("06:00-20:00", except_=days)


@pytest.mark.parametrize("text", ["", "06:00-20:00", "06:00-20:00 MON-FRI", "06:00-20:00 UTC except x"])
def test_text_that_is_no_hours_is_refused(text: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError):
        Hours.parse(text)


# In UTC, a schedule fires in the hour that clocks repeat, too.
@pytest.mark.parametrize(
    ("hours", "hull"),
    [
        (OFFICE, "cron(* 4,5,6,7,8,9,10,11,12,13,14,15,16,17,18 ? * MON,TUE,WED,THU,FRI *)"),
        (Hours("06:00-08:30 MON", zone="Pacific/Auckland"), "cron(* 17,18,19,20 ? * SUN *)"),
        (Hours("22:00-02:00"), "cron(* 0,1,22,23 ? * * *)"),
        (Hours("00:00-24:00"), "cron(* * ? * * *)"),
    ],
)
def test_cron_hull_has_the_hours_of_winter_and_of_summer(hours: Hours, hull: str) -> None:
    assert cron_hull(hours, millis("2026-11-30T00:00")) == hull


def test_sensor_is_not_evaluated_outside_its_hours_and_no_store_is_called(harness: EngineHarness) -> None:
    calls: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(harness.sensors, name)

    definition = sensor(job_name="load", name="watch", active=OFFICE)(keyless)
    parts = harness.engine_with(sensors=Counting()).sensor(definition, harness.sensor(definition).settings)
    outside, last, first = (millis(f"2026-11-30T{time}") for time in ("20:00", "19:59", "06:00"))

    harness.clock.time = outside + 3_000
    outcome = parts.scheduled.tick(outside, Budget())

    assert (outcome.decision, outcome.reason) == (
        Decision.NOT_DUE,
        "Outside its hours until 2026-12-01T05:00:00.000Z.",
    )
    assert (calls, harness.tick_records()) == ([], [])
    # The last minute's tick may begin, and end, after it.
    assert parts.scheduled.tick(last, Budget()).decision is Decision.SUCCESS
    harness.clock.time = first + 86_400_000
    assert parts.scheduled.tick(first + 86_400_000, Budget()).decision is Decision.SUCCESS


def test_operator_evaluates_outside_of_the_hours_too(harness: EngineHarness) -> None:
    harness.clock.time = millis("2026-11-30T23:00")
    ticks = harness.leased(sensor(job_name="load", name="watch", active=OFFICE)(keyless))

    assert ticks.tick(harness.clock.time, Budget(), at_once=True).decision is Decision.SUCCESS


@pytest.mark.many
def test_sensor_whose_scheduled_times_are_all_outside_is_evaluated_as_its_hours_begin(
    harness: EngineHarness,
) -> None:
    """Once a day, and the night on which clocks go forward makes no difference."""
    hours = Hours("06:00-07:00", zone="Europe/Berlin")
    ticks = harness.leased(sensor(job_name="load", name="watch", active=hours)(keyless), interval=86_400)
    started = []
    at, end = millis("2026-03-27T00:00"), millis("2026-03-31T00:00")

    while at < end:
        harness.clock.time = at
        if ticks.tick(at, Budget()).decision is Decision.SUCCESS:
            started.append(at)
        at += MINUTE

    assert started == [millis(f"2026-03-{day}T06:00") for day in (27, 28, 29, 30)]


def test_messages_for_the_rest_of_a_minute_are_judged_by_their_own_time(harness: EngineHarness) -> None:
    harness.clock.time = millis("2026-11-30T19:59")
    ticks = harness.leased(sensor(job_name="load", name="watch", active=OFFICE)(keyless), interval=15)

    assert ticks.tick(harness.clock.time, Budget()).decision is Decision.SUCCESS
    harness.clock.time += 45_000
    assert ticks.tick(harness.clock.time, Budget()).decision is Decision.SUCCESS
    harness.clock.time += 15_000
    assert ticks.tick(harness.clock.time, Budget()).decision is Decision.NOT_DUE


def test_instance_for_tests_keeps_the_hours() -> None:
    @sensor(job_name="load", active=OFFICE)
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch], start=datetime(2026, 11, 30, 4, 59, tzinfo=UTC))
    before = instance.tick("watch")
    instance.clock.advance(60)
    within = instance.tick("watch")

    assert (before.outcome.decision, before.runs) == (Decision.NOT_DUE, ())
    assert (within.outcome.decision, len(within.runs)) == (Decision.SUCCESS, 1)


def test_only_a_sensor_that_nothing_but_its_schedule_evaluates_takes_hours() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'active'"):
        s3_sensor(job_name="load", active=OFFICE)  # type: ignore[call-arg]

    class Woken(SensorDefinition):
        is_woken = True

    for kind in (Woken, type("Events", (SensorDefinition,), {"takes_events": True})):
        with pytest.raises(
            DagsterInvalidDefinitionError, match="only for sensors that nothing but a schedule"
        ):
            kind("watch", evaluation_fn=keyless, active=OFFICE)
    assert MultiAssetSensorDefinition.is_woken


def test_hours_of_another_type_are_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="active must be Hours, such as"):
        sensor(job_name="load", active="06:00-20:00")(keyless)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hours", "variable"),
    [(OFFICE, None), (OFFICE, "06:00-21:00 MON-FRI Europe/Berlin"), (None, str(OFFICE))],
)
def test_deployment_that_states_other_hours_than_the_code_evaluates_nothing(
    hours: Hours | None, variable: str | None
) -> None:
    """Else RECONCILE would report a sensor as late each night, or one as in time that is not."""
    environment = {} if variable is None else {"TREADLE_HOURS": variable}

    with pytest.raises(SettingsError) as raised:
        evaluator_parts(sensor(job_name="load", active=hours)(keyless), {}, environment)

    wanted = f"TREADLE_HOURS is '{variable or ''}', but the hours in the code are '{hours or ''}': write those as TREADLE_HOURS"
    assert wanted in str(raised.value)


def test_deployment_that_states_the_hours_of_the_code_is_right() -> None:
    definition = sensor(job_name="load", active=OFFICE)(keyless)

    with pytest.raises(SettingsError) as raised:
        evaluator_parts(definition, {}, {"TREADLE_HOURS": str(OFFICE)})

    assert "TREADLE_HOURS" not in str(raised.value)
    assert evaluator(definition) is not None


def test_registry_entry_has_the_hours() -> None:
    entry = parse_sensor("watch", sensor_text("shop", hours=str(OFFICE)))

    assert entry.hours == OFFICE
    assert parse_sensor("watch", sensor_text("shop")).hours is None
    with pytest.raises(RegistryEntryError, match="its hours are invalid: "):
        parse_sensor("watch", sensor_text("shop", hours="always"))
