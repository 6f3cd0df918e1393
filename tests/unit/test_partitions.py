"""Partition definitions: their keys and windows are Dagster's, also where clocks change and months end."""

import copy
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterUnknownPartitionError,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    HourlyPartitionsDefinition,
    JobDefinition,
    MonthlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    PartitionKeyRange,
    PartitionsDefinition,
    StaticPartitionsDefinition,
    TimeWindow,
    TimeWindowPartitionsDefinition,
    WeeklyPartitionsDefinition,
    partition_loading_context,
)
from treadle.definitions.partitions.time_windows import ScheduleType

NOW = datetime(2026, 11, 23, tzinfo=UTC)  # A Monday.
BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def scheduled(cron: str, start: str = "2026-11-20", **options: Any) -> TimeWindowPartitionsDefinition:
    fmt = "%Y-%m-%d" if len(start) == 10 else "%Y-%m-%d-%H:%M"
    return TimeWindowPartitionsDefinition(start, fmt, cron_schedule=cron, **options)


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


FRUITS = DynamicPartitionsDefinition(name="fruits")
REGIONS = StaticPartitionsDefinition(["eu", "us"])
MULTI = MultiPartitionsDefinition({"region": REGIONS, "day": DailyPartitionsDefinition("2026-11-21")})


@pytest.mark.parametrize(
    ("definition", "now", "first", "last", "number"),
    [
        (DailyPartitionsDefinition("2026-11-20"), NOW, "2026-11-20", "2026-11-22", 3),
        (DailyPartitionsDefinition("2026-11-20"), NOW - timedelta(seconds=1), "2026-11-20", "2026-11-21", 2),
        (DailyPartitionsDefinition(naive("2026-11-20")), NOW, "2026-11-20", "2026-11-22", 3),
        (DailyPartitionsDefinition("2026-11-23"), NOW, None, None, 0),
        (DailyPartitionsDefinition("2026-11-23", end_offset=1), NOW, "2026-11-23", "2026-11-23", 1),
        (DailyPartitionsDefinition("2026-11-20", end_offset=2), NOW, "2026-11-20", "2026-11-24", 5),
        (DailyPartitionsDefinition("2026-11-20", end_offset=-2), NOW, "2026-11-20", "2026-11-20", 1),
        (DailyPartitionsDefinition("2026-11-20", end_offset=-3), NOW, None, None, 0),
        (DailyPartitionsDefinition("2026-11-20", "2026-11-22"), NOW, "2026-11-20", "2026-11-21", 2),
        (
            DailyPartitionsDefinition("2026-11-20", "2026-11-22", end_offset=5),
            NOW,
            "2026-11-20",
            "2026-11-21",
            2,
        ),
        (DailyPartitionsDefinition("2026-11-20", "2026-11-21"), NOW, "2026-11-20", "2026-11-20", 1),
        (DailyPartitionsDefinition("2026-11-20", "2026-11-20"), NOW, None, None, 0),
        (DailyPartitionsDefinition("2026-11-20", "2026-11-21", hour_offset=6), NOW, None, None, 0),
        (
            DailyPartitionsDefinition("2026-11-20", hour_offset=3, minute_offset=30, timezone=BERLIN),
            utc("2026-11-23T02:29"),
            "2026-11-20",
            "2026-11-21",
            2,
        ),
        (
            DailyPartitionsDefinition("2026-11-20", hour_offset=3, minute_offset=30, timezone=BERLIN),
            utc("2026-11-23T02:30"),
            "2026-11-20",
            "2026-11-22",
            3,
        ),
        (WeeklyPartitionsDefinition("2026-11-01"), NOW, "2026-11-01", "2026-11-15", 3),
        (WeeklyPartitionsDefinition("2026-11-02"), NOW, "2026-11-08", "2026-11-15", 2),
        (WeeklyPartitionsDefinition("2026-11-01", day_offset=1), NOW, "2026-11-02", "2026-11-16", 3),
        (MonthlyPartitionsDefinition("2026-01-15"), NOW, "2026-02-01", "2026-10-01", 9),
        (
            TimeWindowPartitionsDefinition("2026-01-15", "%Y-%m-%d", schedule_type=ScheduleType.MONTHLY),
            NOW,
            "2026-02-01",
            "2026-10-01",
            9,
        ),
        (MonthlyPartitionsDefinition("2026-01", fmt="%Y-%m"), NOW, "2026-01", "2026-10", 10),
        (MonthlyPartitionsDefinition("2026-01-15", day_offset=31), NOW, "2026-01-31", "2026-08-31", 5),
        (MonthlyPartitionsDefinition("2026-01-15", day_offset=28), NOW, "2026-01-28", "2026-09-28", 9),
        (HourlyPartitionsDefinition("2026-11-20-00:00"), NOW, "2026-11-20-00:00", "2026-11-22-23:00", 72),
        (
            HourlyPartitionsDefinition("2026-11-22-00:00", minute_offset=15),
            NOW,
            "2026-11-22-00:15",
            "2026-11-22-22:15",
            23,
        ),
        (scheduled("0 */6 * * *", "2026-11-22-00:00"), NOW, "2026-11-22-00:00", "2026-11-22-18:00", 4),
        (scheduled("*/30 * * * *", "2026-11-22-00:00"), NOW, "2026-11-22-00:00", "2026-11-22-23:30", 48),
        (scheduled("0 0 * * mon-fri"), NOW, "2026-11-20", "2026-11-20", 1),
        (scheduled("@daily"), NOW, "2026-11-20", "2026-11-22", 3),
        (scheduled("0 0 29 2 *", "2000-01-01"), NOW, "2000-02-29", "2020-02-29", 6),
        (scheduled("0 0 1 * 0", "2026-10-25"), NOW, "2026-10-25", "2026-11-15", 4),
        (scheduled("0 0 * * *", exclusions=[naive("2026-11-21")]), NOW, "2026-11-20", "2026-11-22", 2),
        (scheduled("0 0 * * *", exclusions=["0 0 * * 0"]), NOW, "2026-11-20", "2026-11-21", 2),
    ],
)
def test_keys_are_those_of_the_windows_that_have_ended(
    definition: PartitionsDefinition, now: datetime, first: str | None, last: str | None, number: int
) -> None:
    keys = definition.get_partition_keys(current_time=now)

    with partition_loading_context(now):
        assert (definition.get_first_partition_key(), definition.get_last_partition_key()) == (first, last)
        assert definition.get_num_partitions() == number
    assert (len(keys), keys[:1], keys[-1:]) == (number, [first] if first else [], [last] if last else [])


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        (BERLIN, "2026-03-29", ["00:00", "01:00", "03:00"]),
        (BERLIN, "2026-10-25", ["00:00", "01:00", "02:00", "02:00+0100", "03:00"]),
        (NEW_YORK, "2026-03-08", ["00:00", "01:00", "03:00"]),
        (NEW_YORK, "2026-11-01", ["00:00", "01:00", "01:00-0500", "02:00"]),
        ("Asia/Kolkata", "2026-11-01", ["00:00", "01:00", "02:00"]),
    ],
)
def test_hourly_keys_skip_the_missing_hour_and_name_the_second_one_by_its_offset(
    zone: str, day: str, expected: list[str]
) -> None:
    definition = HourlyPartitionsDefinition(f"{day}-00:00", timezone=zone)

    with partition_loading_context(naive(day) + timedelta(hours=12)):
        keys = definition.get_partition_keys()
        following = [definition.get_next_partition_key(key) for key in keys[:-1]]

    assert keys[: len(expected)] == [f"{day}-{each}" for each in expected]
    windows = [definition.time_window_for_partition_key(key) for key in keys]
    assert {window.end.timestamp() - window.start.timestamp() for window in windows} == {3600}
    assert following == keys[1:]
    assert [
        definition.get_partition_key_for_timestamp(window.start.timestamp()) for window in windows
    ] == keys


@pytest.mark.parametrize(
    ("definition", "key", "start", "end"),
    [
        # The hour from two to three does not exist.
        (
            DailyPartitionsDefinition("2026-03-01", hour_offset=2, minute_offset=30, timezone=BERLIN),
            "2026-03-29",
            "2026-03-29T01:00",
            "2026-03-30T00:30",
        ),
        (
            DailyPartitionsDefinition("2026-03-01", hour_offset=2, timezone=NEW_YORK),
            "2026-03-07",
            "2026-03-07T07:00",
            "2026-03-08T07:00",
        ),
        (
            DailyPartitionsDefinition(
                "2026-03-01", hour_offset=3, minute_offset=30, timezone="Europe/Athens"
            ),
            "2026-03-29",
            "2026-03-29T01:00",
            "2026-03-30T00:30",
        ),
        # Ireland's winter time is the one with an offset of its own.
        (
            DailyPartitionsDefinition(
                "2026-03-01", hour_offset=1, minute_offset=30, timezone="Europe/Dublin"
            ),
            "2026-03-29",
            "2026-03-29T01:00",
            "2026-03-30T00:30",
        ),
        # It exists twice.
        (
            DailyPartitionsDefinition("2026-10-01", hour_offset=2, timezone=BERLIN),
            "2026-10-25",
            "2026-10-25T01:00",
            "2026-10-26T01:00",
        ),
        (
            WeeklyPartitionsDefinition("2026-10-01", hour_offset=1, minute_offset=15, timezone=NEW_YORK),
            "2026-11-01",
            "2026-11-01T06:15",
            "2026-11-08T06:15",
        ),
        # So do others, at other hours than most: there, a simple schedule fires in the first one.
        (
            DailyPartitionsDefinition("2026-10-01", timezone="America/Havana"),
            "2026-11-01",
            "2026-11-01T04:00",
            "2026-11-02T05:00",
        ),
        (
            DailyPartitionsDefinition("2015-10-01", hour_offset=4, timezone="Asia/Baku"),
            "2015-10-25",
            "2015-10-24T23:00",
            "2015-10-26T00:00",
        ),
        (
            MonthlyPartitionsDefinition("2029-01-01", day_offset=28, timezone="Atlantic/Azores"),
            "2029-10-28",
            "2029-10-28T00:00",
            "2029-11-28T01:00",
        ),
        (
            MonthlyPartitionsDefinition("2028-01-01", day_offset=29, timezone="Atlantic/Azores"),
            "2028-10-29",
            "2028-10-29T01:00",
            "2028-11-29T01:00",
        ),
        # Days and months that are longer or shorter.
        (
            DailyPartitionsDefinition("2026-03-01", timezone=BERLIN),
            "2026-03-29",
            "2026-03-28T23:00",
            "2026-03-29T22:00",
        ),
        (
            DailyPartitionsDefinition("2026-10-01", timezone=BERLIN),
            "2026-10-25",
            "2026-10-24T22:00",
            "2026-10-25T23:00",
        ),
        (
            MonthlyPartitionsDefinition("2026-01-01", timezone=NEW_YORK, hour_offset=5),
            "2026-03-01",
            "2026-03-01T10:00",
            "2026-04-01T09:00",
        ),
        (MonthlyPartitionsDefinition("2024-01-01"), "2024-02-01", "2024-02-01T00:00", "2024-03-01T00:00"),
        (
            MonthlyPartitionsDefinition("2024-01-01", day_offset=29),
            "2024-02-29",
            "2024-02-29T00:00",
            "2024-03-29T00:00",
        ),
        (
            MonthlyPartitionsDefinition("2025-01-01", day_offset=29),
            "2025-01-29",
            "2025-01-29T00:00",
            "2025-03-29T00:00",
        ),
        # Several times in a night in which clocks change.
        (
            scheduled("*/30 1-3 * * *", "2026-10-30-00:00", timezone=NEW_YORK),
            "2026-11-01-01:30",
            "2026-11-01T06:30",
            "2026-11-01T07:00",
        ),
        (
            scheduled("0 2,3 * * *", "2026-03-01-00:00", timezone=BERLIN),
            "2026-03-29-03:00",
            "2026-03-29T01:00",
            "2026-03-30T00:00",
        ),
    ],
)
def test_window_of_a_key(definition: Any, key: str, start: str, end: str) -> None:
    window = definition.time_window_for_partition_key(key)

    assert tuple(time.astimezone(UTC) for time in window) == (utc(start), utc(end))
    assert definition.start_time_for_partition_key(key) == window.start
    assert definition.end_time_for_partition_key(key) == window.end


@pytest.mark.parametrize(
    ("definition", "key", "exists"),
    [
        (DailyPartitionsDefinition("2026-11-20"), "2026-11-20", True),
        (DailyPartitionsDefinition("2026-11-20"), "2026-11-22", True),
        (DailyPartitionsDefinition("2026-11-20"), "2026-11-23", False),
        (DailyPartitionsDefinition("2026-11-20"), "2026-11-19", False),
        (DailyPartitionsDefinition("2026-11-02"), "2026-11-2", False),
        (DailyPartitionsDefinition("2026-11-23"), "2026-11-23", False),
        (DailyPartitionsDefinition("2026-11-20"), "2026-11-31", False),
        (DailyPartitionsDefinition("2026-11-20"), "yesterday", False),
        (DailyPartitionsDefinition("2026-11-20"), "", False),
        (DailyPartitionsDefinition("2026-11-20"), "2026-11-20\0", False),
        (DailyPartitionsDefinition("2026-11-20", hour_offset=4), "9999-12-31", False),
        (DailyPartitionsDefinition("2026-11-20", hour_offset=4, timezone=BERLIN), "0001-01-01", False),
        (HourlyPartitionsDefinition("2026-11-20-00:00"), "2026-11-20-00:30", False),
        (HourlyPartitionsDefinition("2026-10-20-00:00", timezone=BERLIN), "2026-10-25-02:00+0100", True),
        (HourlyPartitionsDefinition("2026-10-20-00:00", timezone=BERLIN), "2026-10-25-02:00+0200", False),
        (HourlyPartitionsDefinition("2026-10-20-00:00", timezone=BERLIN), "2026-10-25-03:00+0100", False),
        (HourlyPartitionsDefinition("2026-03-20-00:00", timezone=BERLIN), "2026-03-29-02:00", False),
        (scheduled("*/30 1-3 * * *", "2026-03-20-00:00", timezone=BERLIN), "2026-03-29-02:00", False),
        (scheduled("*/30 1-3 * * *", "2026-10-20-00:00", timezone=BERLIN), "2026-10-25-02:30", True),
        (WeeklyPartitionsDefinition("2026-11-01"), "2026-11-08", True),
        (WeeklyPartitionsDefinition("2026-11-01"), "2026-11-09", False),
        (MonthlyPartitionsDefinition("2026-01-01", day_offset=31), "2026-02-28", False),
        (scheduled("0 0 * * *", exclusions=["0 0 * * 0"]), "2026-11-22", False),
        (scheduled("0 0 * * *", exclusions=[naive("2026-11-21")]), "2026-11-21", False),
        (StaticPartitionsDefinition(["a", "b"]), "a", True),
        (StaticPartitionsDefinition(["a", "b"]), "c", False),
        (DynamicPartitionsDefinition(lambda _now: ["x"]), "x", True),
        (DynamicPartitionsDefinition(lambda _now: ["x"]), "y", False),
    ],
)
def test_key_exists_or_not(definition: PartitionsDefinition, key: str, exists: bool) -> None:
    with partition_loading_context(NOW):
        assert definition.has_partition_key(key) is exists
        assert definition.filter_valid_partition_keys({key}) == ({key} if exists else set())
        if exists:
            definition.validate_partition_key(key)
        else:
            with pytest.raises(DagsterUnknownPartitionError, match="Could not find a partition with key `"):
                definition.validate_partition_key(key)


STARTS = {
    BERLIN: ["2026-03-27-00:00", "2026-10-23-00:00"],
    NEW_YORK: ["2026-03-06-00:00", "2026-10-30-00:00"],
    "UTC": ["2024-02-27-00:00"],
}


CRONS = [
    *("0 * * * *", "30 * * * *", "*/20 * * * *", "0 0 * * *", "30 2 * * *", "0 1 * * *", "15 3 * * 0"),
    *("0 2 1 * *", "0 0 31 * *", "0 */6 * * *", "0 1,2,3 * * *", "0 0 * * 1-5", "*/30 1-3 * * *"),
]


@st.composite
def definitions(draw: st.DrawFn) -> tuple[TimeWindowPartitionsDefinition, datetime]:
    zone = draw(st.sampled_from(sorted(STARTS)))
    cron = draw(st.sampled_from(CRONS))
    start = draw(st.sampled_from(STARTS[zone]))
    exclusions = draw(st.sampled_from([None, ["0 2 * * 0"], ["0 0 * * 6", "0 3 * * 1"]]))
    end_offset = draw(st.integers(-2, 2))
    definition = scheduled(cron, start, timezone=zone, exclusions=exclusions, end_offset=end_offset)
    return definition, definition.start + timedelta(minutes=draw(st.integers(0, 4 * 24 * 60)))


@settings(max_examples=60, deadline=None)
@given(definitions())
def test_listing_and_arithmetic_agree(drawn: tuple[TimeWindowPartitionsDefinition, datetime]) -> None:
    definition, now = drawn
    with partition_loading_context(now):
        keys = definition.get_partition_keys()

        assert (definition.get_first_partition_key(), definition.get_last_partition_key()) == (
            (keys[0], keys[-1]) if keys else (None, None)
        )
        assert len(set(keys)) == len(keys) == definition.get_num_partitions()
        assert all(definition.has_partition_key(key) for key in keys)
        windows = [definition.time_window_for_partition_key(key) for key in keys]
        starts = [window.start.timestamp() for window in windows]
        assert starts == sorted(set(starts))
        assert [definition.get_partition_key_for_timestamp(start) for start in starts] == keys
        for key, following, window in zip(keys, keys[1:], windows[1:], strict=False):
            assert definition.get_next_partition_key(key) == following
            assert definition.get_next_partition_window(window.start) == window
            assert definition.less_than(key, following)
        for before, window in pairwise(windows):
            assert before.end.timestamp() <= window.start.timestamp()
            if not definition.exclusions:
                assert before.end == window.start
                assert definition.get_prev_partition_window(window.start) == before
        if keys:
            assert definition.get_partition_keys_in_range(PartitionKeyRange(keys[0], keys[-1])) == keys


def test_two_times_that_clocks_move_to_the_same_moment_bound_no_window_of_their_own() -> None:
    definition = scheduled("0 2,3 * * *", "2026-03-01-00:00", timezone=BERLIN)
    three = datetime(2026, 3, 29, 3, tzinfo=ZoneInfo(BERLIN))

    before = definition.get_prev_partition_window(three, respect_bounds=False)

    assert before == (three - timedelta(days=1), three)


def test_no_question_about_one_key_lists_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[datetime] = []
    hours = HourlyPartitionsDefinition("1990-01-01-00:00", timezone=BERLIN)

    def counted(times: Callable[[float], Iterator[datetime]]) -> Callable[[float], Iterator[datetime]]:
        def iterate(timestamp: float) -> Iterator[datetime]:
            for time in times(timestamp):
                found.append(time)
                yield time

        return iterate

    for name in ("since", "until"):
        monkeypatch.setattr(hours._cron, name, counted(getattr(hours._cron, name)))

    with partition_loading_context(NOW):
        assert hours.has_partition_key("2026-11-22-10:00")
        assert not hours.has_partition_key("2026-11-23-10:00")
        assert hours.get_next_partition_key("2020-01-01-10:00") == "2020-01-01-11:00"
        assert hours.get_last_partition_key() == "2026-11-23-00:00"
        assert hours.get_num_partitions() > 300_000
    assert len(found) < 20


def test_key_for_a_time_is_that_of_its_window() -> None:
    days = DailyPartitionsDefinition("2026-11-01", hour_offset=6, timezone=BERLIN)
    at_six = datetime(2026, 11, 20, 6, tzinfo=ZoneInfo(BERLIN)).timestamp()

    assert days.get_partition_key_for_timestamp(at_six) == "2026-11-20"
    assert days.get_partition_key_for_timestamp(at_six - 1) == "2026-11-19"
    assert days.get_partition_key_for_timestamp(at_six, end_closed=True) == "2026-11-19"
    assert days.get_partition_key_for_timestamp(at_six + 1, end_closed=True) == "2026-11-20"


def test_range_of_a_time_window() -> None:
    days = DailyPartitionsDefinition("2026-11-01")
    window = TimeWindow(utc("2026-11-03T00:00"), utc("2026-11-06T00:00"))

    with partition_loading_context(NOW):
        key_range = days.get_partition_key_range_for_time_window(window)
        assert key_range == ("2026-11-03", "2026-11-05")
        assert days.get_partition_keys_in_range(key_range) == ["2026-11-03", "2026-11-04", "2026-11-05"]
        assert days.get_partition_keys_in_time_window(window) == ["2026-11-03", "2026-11-04", "2026-11-05"]
        with pytest.raises(DagsterInvalidInvocationError, match="No partition ends by"):
            days.get_partition_key_range_for_time_window(TimeWindow(days.start, days.start))


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2026-10-31", "2026-11-02", "is before the partitions definition start time"),
        ("2026-11-02", "2026-11-10", "is after the partitions definition end time"),
    ],
)
def test_range_beyond_the_definition_is_refused(start: str, end: str, message: str) -> None:
    days = DailyPartitionsDefinition("2026-11-01", "2026-11-10")

    assert days.get_partition_keys_in_range(PartitionKeyRange("2026-11-08", "2026-11-09"))[-1] == "2026-11-09"
    with pytest.raises(DagsterInvalidInvocationError, match=message):
        days.get_partition_keys_in_range(PartitionKeyRange(start, end))


def test_there_is_no_window_before_the_first_or_after_the_last() -> None:
    days = DailyPartitionsDefinition("2026-11-20")

    with partition_loading_context(NOW):
        first, last = days.get_first_partition_window(), days.get_last_partition_window()
        assert first is not None
        assert last is not None
        assert days.get_prev_partition_window(first.start) is None
        assert days.get_next_partition_window(last.end) is None
        assert days.get_next_partition_key("2026-11-22") is None
        before = days.get_prev_partition_window(first.start, respect_bounds=False)
        after = days.get_next_partition_window(last.end, respect_bounds=False)
    assert before == (first.start - timedelta(days=1), first.start)
    assert after == (last.end, last.end + timedelta(days=1))


def test_a_date_is_a_key() -> None:
    days = DailyPartitionsDefinition("2026-11-20")

    with partition_loading_context(NOW):
        assert days.get_partition_key(date(2026, 11, 21)) == "2026-11-21"
        assert days.get_partition_key(naive("2026-11-21T07:00")) == "2026-11-21"
        with pytest.raises(ValueError, match="Got invalid partition key '2026-11-23'"):
            days.get_partition_key("2026-11-23")


@pytest.mark.parametrize(
    ("definition", "kind", "offsets"),
    [
        (
            HourlyPartitionsDefinition("2026-11-20-00:00", minute_offset=5),
            ScheduleType.HOURLY,
            (5, None, None),
        ),
        (DailyPartitionsDefinition("2026-11-20", None, 5, 6), ScheduleType.DAILY, (5, 6, None)),
        (WeeklyPartitionsDefinition("2026-11-20", None, 5, 6, 3), ScheduleType.WEEKLY, (5, 6, 3)),
        (MonthlyPartitionsDefinition("2026-11-20", None, 5, 6, 3), ScheduleType.MONTHLY, (5, 6, 3)),
        (scheduled("*/5 * * * *"), None, (None, None, None)),
    ],
)
def test_offsets(definition: Any, kind: ScheduleType | None, offsets: tuple[int | None, ...]) -> None:
    def read(name: str) -> int | None:
        try:
            return getattr(definition, name)  # type: ignore[no-any-return]
        except DagsterInvalidInvocationError:
            return None

    assert definition.schedule_type is kind
    assert tuple(map(read, ("minute_offset", "hour_offset", "day_offset"))) == offsets


@pytest.mark.parametrize(
    ("definition", "arguments", "expected"),
    [
        (DailyPartitionsDefinition("2026-11-20"), {}, "0 0 * * *"),
        (DailyPartitionsDefinition("2026-11-20", minute_offset=7), {"hour_of_day": 2}, "7 2 * * *"),
        (HourlyPartitionsDefinition("2026-11-20-00:00"), {"minute_of_hour": 9}, "9 * * * *"),
        (WeeklyPartitionsDefinition("2026-11-20", day_offset=2), {"hour_of_day": 2}, "0 2 * * 2"),
        (WeeklyPartitionsDefinition("2026-11-20", day_offset=2), {"day_of_week": 0}, "0 0 * * 0"),
        (MonthlyPartitionsDefinition("2026-11-20", hour_offset=4), {"day_of_month": 9}, "0 4 9 * *"),
        (DailyPartitionsDefinition("2026-11-20"), {"day_of_week": 1}, "Cannot set day of week parameter"),
        (HourlyPartitionsDefinition("2026-11-20-00:00"), {"hour_of_day": 1}, "Cannot set hour parameter"),
        (scheduled("*/5 * * * *"), {"hour_of_day": 1}, "does not support minute_of_hour"),
    ],
)
def test_cron_schedule_for_a_job(definition: Any, arguments: dict[str, int], expected: str) -> None:
    try:
        found = definition.get_cron_schedule(**arguments)
    except DagsterInvalidInvocationError as error:
        found = str(error)

    assert expected in found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scheduled("0 0 * *"), "it has 4 fields, not five"),
        (lambda: scheduled("0 0 0 * * *"), "it has 6 fields, not five"),
        (lambda: scheduled("60 * * * *"), "its minute '60' is not within 0 to 59"),
        (lambda: scheduled("0 24 * * *"), "its hour '24' is not within 0 to 23"),
        (lambda: scheduled("0 0 0 * *"), "its day of the month '0' is not within 1 to 31"),
        (lambda: scheduled("0 0 1 0 *"), "its month '0' is not within 1 to 12"),
        (lambda: scheduled("0 0 * * 8"), "its day of the week '8' is not within 0 to 7"),
        (lambda: scheduled("0 5-2 * * *"), "its hour '5-2' is not within 0 to 23"),
        (lambda: scheduled("*/0 * * * *"), "its minute '\\*/0' is not within"),
        (lambda: scheduled("0 0 L * *"), "its day of the month 'l' is not a number or a name"),
        (lambda: scheduled("0 0 * * 1#2"), "its day of the week '1#2' has a form that is not supported"),
        (lambda: scheduled("0 0 * foo *"), "its month 'foo' is not a number or a name"),
        (lambda: scheduled("0 0 30 2 *"), "it never fires"),
        (lambda: scheduled("0 0 31 4,6 *"), "it never fires"),
        (lambda: scheduled("0 0 * * *", exclusions=["@daily"]), "The exclusions leave no partition"),
        (lambda: scheduled("0 0 * * *", exclusions=[7]), "exclusions must be cron schedules and datetimes"),
        (lambda: scheduled("0 0 * * *", exclusions=["x"]), "Found invalid cron schedule 'x'"),
        (lambda: scheduled("0 0 * * *", minute_offset=1), "can't also be provided"),
        (lambda: scheduled("0 0 * * *", hour_offset=1), "can't also be provided"),
        (lambda: TimeWindowPartitionsDefinition("2026", "%Y"), "One of schedule_type and cron_schedule"),
        (lambda: DailyPartitionsDefinition("20.11.2026"), "The start '20.11.2026' is invalid"),
        (lambda: DailyPartitionsDefinition("2026-11-20", "soon"), "The end 'soon' is invalid"),
        (lambda: DailyPartitionsDefinition(7), "The start must be a string or a datetime, not int"),  # type: ignore[arg-type]
        (lambda: DailyPartitionsDefinition("2026-11-20", timezone="Mars"), "There is no time zone 'Mars'"),
        (
            lambda: DailyPartitionsDefinition("2026-11-20", timezone=UTC),  # type: ignore[arg-type]
            "timezone must be of type str, not timezone",
        ),
        (lambda: DailyPartitionsDefinition("2026-11-20", fmt=7), "fmt must be of type str, not int: 7"),  # type: ignore[arg-type]
        (
            lambda: DailyPartitionsDefinition("2026-11-20", end_offset="1"),  # type: ignore[arg-type]
            "end_offset must be of type int, not str",
        ),
        (
            lambda: DailyPartitionsDefinition("2026-11-20", exclusions=NOW),  # type: ignore[arg-type]
            "exclusions must be of type Iterable",
        ),
        (lambda: scheduled(7), "cron_schedule must be of type str, not int"),  # type: ignore[arg-type]
        (lambda: MultiPartitionsDefinition([REGIONS]), "partitions_defs must be a dict"),  # type: ignore[arg-type]
        (
            lambda: MonthlyPartitionsDefinition("2026-11-20", day_offset=32),
            "day of the month '32' is not within",
        ),
        (lambda: StaticPartitionsDefinition(7), "partition_keys must be a list of strings"),  # type: ignore[arg-type]
        (lambda: StaticPartitionsDefinition(["a", 7]), "Partition keys must be strings, not int"),  # type: ignore[list-item]
        (
            lambda: StaticPartitionsDefinition(["a", "b", "a"]),
            r"Duplicate instances of partition keys: \['a'\]",
        ),
        (lambda: StaticPartitionsDefinition(["a...b"]), "are invalid substrings in a partition key"),
        (lambda: StaticPartitionsDefinition(["a\n"]), "are invalid substrings in a partition key"),
        (DynamicPartitionsDefinition, "Must provide either partition_fn or name"),
        (lambda: DynamicPartitionsDefinition(list, "both"), "Cannot provide both"),  # type: ignore[arg-type]
        (
            lambda: DynamicPartitionsDefinition("fruits"),  # type: ignore[arg-type]
            "partition_fn of DynamicPartitionsDefinition is invalid",
        ),
        (
            lambda: MultiPartitionsDefinition({"a": MULTI, "b": REGIONS}),
            "Invalid partitions definition type",
        ),
        (
            lambda: MultiPartitionsDefinition({"a": DynamicPartitionsDefinition(lambda _: []), "b": REGIONS}),
            "must have a name to be used in a MultiPartitionsDefinition",
        ),
        (
            lambda: MultiPartitionsDefinition({"a": StaticPartitionsDefinition(["x|y"]), "b": REGIONS}),
            "Invalid character in partition key for dimension a",
        ),
        (lambda: JobDefinition("load", partitions_def=["a"]), "must be a PartitionsDefinition, not list"),  # type: ignore[arg-type]
        (
            lambda: JobDefinition("load", partitions_def=scheduled("0 0,6 * * *")),
            r"format string \(%Y-%m-%d\) is not granular enough",
        ),
        (
            lambda: JobDefinition(
                "load", partitions_def=MultiPartitionsDefinition({"a": scheduled("@hourly"), "b": REGIONS})
            ),
            r"format string \(%Y-%m-%d\) is not granular enough",
        ),
    ],
)
def test_definition_that_cannot_work_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        make()


def test_descriptions() -> None:
    days = DailyPartitionsDefinition("2026-11-20", timezone=BERLIN, end_offset=1)

    assert str(days) == "Daily, starting 2026-11-20 Europe/Berlin. End offsetted by 1 partition."
    assert str(scheduled("*/5 * * * *")) == "*/5 * * * *, starting 2026-11-20 UTC."
    assert repr(days) == (
        "TimeWindowPartitionsDefinition(start=1795129200.0, end=None, timezone='Europe/Berlin', fmt='%Y-%m-%d', "
        "end_offset=1, cron_schedule='0 0 * * *')"
    )
    assert str(StaticPartitionsDefinition(["a", "b"])) == "'a', 'b'"
    assert repr(StaticPartitionsDefinition(["a"])) == "StaticPartitionsDefinition(partition_keys=['a'])"
    assert str(DynamicPartitionsDefinition(name="fruits")) == 'Dynamic partitions: "fruits"'


@pytest.mark.parametrize(
    "make",
    [
        lambda: DailyPartitionsDefinition("2026-11-20", timezone=BERLIN, exclusions=["0 0 * * 0"]),
        lambda: StaticPartitionsDefinition(["a", "b"]),
        lambda: MultiPartitionsDefinition({"a": DailyPartitionsDefinition("2026-11-20"), "b": REGIONS}),
        lambda: DynamicPartitionsDefinition(name="fruits"),
    ],
)
def test_equal_definitions_are_equal(make: Callable[[], object]) -> None:
    assert make() == make()
    assert hash(make()) == hash(make())
    assert make() != StaticPartitionsDefinition(["other"])


def test_definitions_that_differ_are_not_equal() -> None:
    days = DailyPartitionsDefinition("2026-11-20")

    assert days != DailyPartitionsDefinition("2026-11-21")
    assert days != DailyPartitionsDefinition("2026-11-20", end_offset=1)
    assert days.start == datetime(2026, 11, 20, tzinfo=UTC)
    assert days.end is None


def test_static_keys_in_range() -> None:
    definition = StaticPartitionsDefinition(list("abcd"))

    assert definition.get_partition_keys_in_range(PartitionKeyRange("b", "d")) == ["b", "c", "d"]
    assert definition.get_partition_keys_in_range(PartitionKeyRange("b", "b")) == ["b"]
    with pytest.raises(DagsterInvalidInvocationError, match=r"Nonexistent partition keys: \['e'\]"):
        definition.get_partition_keys_in_range(PartitionKeyRange("b", "e"))


class Fruits:
    """A store of dynamic partitions."""

    def get_dynamic_partitions(self, partitions_def_name: str) -> list[str]:
        return ["apple", "pear"] if partitions_def_name == "fruits" else []

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        return partition_key in self.get_dynamic_partitions(partitions_def_name)


def test_dynamic_keys_come_from_the_store() -> None:
    assert FRUITS.get_partition_keys(dynamic_partitions_store=Fruits()) == ["apple", "pear"]
    assert FRUITS.has_partition_key("pear", dynamic_partitions_store=Fruits())
    with partition_loading_context(dynamic_partitions_store=Fruits()):
        assert FRUITS.get_last_partition_key() == "pear"
        assert not FRUITS.has_partition_key("plum")
    with pytest.raises(DagsterInvalidInvocationError, match="no store was given"):
        FRUITS.get_partition_keys()
    with pytest.raises(DagsterInvalidInvocationError, match="no store was given"):
        FRUITS.has_partition_key("pear")


def test_keys_of_two_dimensions_are_ordered_by_the_dimensions_names() -> None:
    keys = MULTI.get_partition_keys(NOW)

    assert keys == ["2026-11-21|eu", "2026-11-21|us", "2026-11-22|eu", "2026-11-22|us"]
    assert keys[1].keys_by_dimension == {"day": "2026-11-21", "region": "us"}
    with partition_loading_context(NOW):
        assert MULTI.get_num_partitions() == 4
        assert (MULTI.get_first_partition_key(), MULTI.get_last_partition_key()) == (keys[0], keys[-1])
        key_range = PartitionKeyRange(keys[1], keys[3])
        assert MULTI.get_partition_keys_in_range(key_range) == [keys[1], keys[3]]
    with partition_loading_context(NOW - timedelta(days=5)):
        assert MULTI.get_first_partition_key() is None


@pytest.mark.parametrize(
    ("key", "exists"),
    [
        ("2026-11-22|us", True),
        (MultiPartitionKey({"day": "2026-11-22", "region": "us"}), True),
        (MultiPartitionKey({"day": "2026-11-22", "country": "de"}), False),
        ("2026-11-22|asia", False),
        ("2026-11-23|us", False),
        ("us|2026-11-22", False),
        ("2026-11-22", False),
        ("2026-11-22|us|us", False),
    ],
)
def test_key_of_two_dimensions_exists_or_not(key: str, exists: bool) -> None:
    with partition_loading_context(NOW):
        assert MULTI.has_partition_key(key) is exists


def test_key_without_a_part_for_each_dimension_is_an_error() -> None:
    with pytest.raises(DagsterInvalidInvocationError, match="Expected 2 partition keys"):
        MULTI.get_partition_key_from_str("2026-11-22")
    with pytest.raises(DagsterInvalidInvocationError, match="needs a mapping"):
        MultiPartitionKey({"day": 7})  # type: ignore[dict-item]


def test_dimensions_can_be_read() -> None:
    assert MULTI.partition_dimension_names == ["day", "region"]
    assert [name for name, _ in MULTI.partitions_defs] == ["day", "region"]
    assert MULTI.get_partitions_def_for_dimension("region") is REGIONS
    assert (MULTI.primary_dimension.name, MULTI.secondary_dimension.name) == ("day", "region")
    assert MULTI.has_time_window_dimension
    assert MULTI.time_window_for_partition_key("2026-11-22|us").start == utc("2026-11-22T00:00")
    assert MULTI.get_tags_for_partition_key("2026-11-22|us") == {
        "dagster/partition": "2026-11-22|us",
        "dagster/partition/day": "2026-11-22",
        "dagster/partition/region": "us",
    }
    assert MULTI.get_multipartition_keys_with_dimension_value("day", "2026-11-22") == [
        "2026-11-22|eu",
        "2026-11-22|us",
    ]
    for call in (
        MULTI.get_partitions_def_for_dimension,
        lambda name: MULTI.get_multipartition_keys_with_dimension_values(name, []),
    ):
        with pytest.raises(DagsterInvalidInvocationError, match="Dimension country not found"):
            call("country")


def test_two_dimensions_without_time_have_no_window() -> None:
    places = MultiPartitionsDefinition({"fruit": FRUITS, "region": REGIONS})

    assert places.primary_dimension.name == "fruit"
    assert not places.has_time_window_dimension
    assert places.get_partition_keys(dynamic_partitions_store=Fruits())[0] == "apple|eu"
    with pytest.raises(DagsterInvalidInvocationError, match="Expected exactly one time window"):
        places.time_window_for_partition_key("apple|eu")
    with pytest.raises(DagsterInvalidInvocationError, match="this one has 1"):
        MultiPartitionsDefinition({"region": REGIONS})


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda key: pickle.loads(pickle.dumps(key))])
def test_copy_of_a_key_keeps_its_dimensions(copied: Callable[[MultiPartitionKey], MultiPartitionKey]) -> None:
    key = copied(MultiPartitionKey({"day": "2026-11-22", "region": "us"}))

    assert (key, dict(key.keys_by_dimension)) == ("2026-11-22|us", {"day": "2026-11-22", "region": "us"})


def test_time_of_a_block_ends_with_it_and_one_in_it_may_change_a_part() -> None:
    days = DailyPartitionsDefinition("2026-11-20")
    store = Fruits()

    with partition_loading_context(NOW):
        with partition_loading_context(dynamic_partitions_store=store) as inner:
            assert (inner.effective_dt, inner.dynamic_partitions_store) == (NOW, store)
            assert days.get_last_partition_key() == "2026-11-22"
        with partition_loading_context(naive("2026-11-22")):
            assert days.get_last_partition_key() == "2026-11-21"
        assert days.get_last_partition_key() == "2026-11-22"
