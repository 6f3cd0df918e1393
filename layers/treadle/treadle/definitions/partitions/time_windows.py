"""Partitions of time windows: those between the times of a cron schedule."""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from enum import Enum
from functools import cached_property
from itertools import islice, takewhile
from typing import Any, NamedTuple

from treadle.definitions.bounds import shown
from treadle.definitions.clocks import time_zone
from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvalidInvocationError
from treadle.definitions.partitions.base import PartitionKeyRange, PartitionsDefinition
from treadle.definitions.partitions.context import current_context, partition_loading_context
from treadle.definitions.partitions.cron import CronSchedule, shift

_MAX_EXCLUDED = 10_000
_MAX_YEARS_EXCLUDED = timedelta(days=30 * 366)

Exclusions = Sequence[str | datetime]


class TimeWindow(NamedTuple):
    """The time of a partition.

    Attributes:
        start: its beginning.
        end: its end, which is not part of it.
    """

    start: datetime
    end: datetime


class ScheduleType(Enum):
    """How long the windows of a partitions definition are."""

    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


_FORMS = {
    ScheduleType.HOURLY: r"\d+ \* \* \* \*",
    ScheduleType.DAILY: r"\d+ \d+ \* \* \*",
    ScheduleType.WEEKLY: r"\d+ \d+ \* \* \d+",
    ScheduleType.MONTHLY: r"\d+ \d+ \d+ \* \*",
}


def _cron_of(schedule_type: ScheduleType, minute: int, hour: int, day: int | None) -> str:
    return {
        ScheduleType.HOURLY: f"{minute} * * * *",
        ScheduleType.DAILY: f"{minute} {hour} * * *",
        ScheduleType.WEEKLY: f"{minute} {hour} * * {0 if day is None else day}",
        ScheduleType.MONTHLY: f"{minute} {hour} {1 if day is None else day} * *",
    }[schedule_type]


@dataclass(frozen=True)
class TimeWindowPartitionsDefinition(PartitionsDefinition):
    """Partitions of the time windows between the times at which a cron schedule fires.

    A partition's key is the start of its window, in the given format. A partition exists once its window has
    ended. Of two hours with the same name, when clocks are set back, the key of the second one has its offset
    from UTC at the end.

    Args:
        start: the first window starts at the first time of the schedule that is not before it; a string in
            the format of the keys, or a datetime, whose own time zone is ignored.
        fmt: the format of the keys, as for `strftime`.
        end: no window ends after it; likewise.
        schedule_type: in place of `cron_schedule`, with the offsets below.
        timezone: a name of the IANA database; by default UTC.
        end_offset: how many partitions exist beyond those whose windows have ended; negative for fewer.
        minute_offset: at which minute windows start.
        hour_offset: at which hour they start.
        day_offset: on which day they start: of the week (0 for Sunday), or of the month (from 1).
        cron_schedule: five fields: `*`, numbers, lists, ranges, steps and names.
        exclusions: start times, or cron schedules of start times, whose windows are not partitions.

    Raises:
        DagsterInvalidDefinitionError: if one of these is invalid, or they contradict each other.
    """

    start_timestamp: float
    timezone: str
    end_timestamp: float | None
    fmt: str
    end_offset: int
    cron_schedule: str
    exclusions: tuple[str | datetime, ...] | None
    _zone: tzinfo = field(compare=False)
    _cron: CronSchedule = field(compare=False)
    _excluded_times: frozenset[float] = field(compare=False)
    _excluded_crons: tuple[CronSchedule, ...] = field(compare=False)

    def __init__(
        self,
        start: datetime | str,
        fmt: str,
        end: datetime | str | None = None,
        schedule_type: ScheduleType | None = None,
        timezone: str | None = None,
        end_offset: int = 0,
        minute_offset: int | None = None,
        hour_offset: int | None = None,
        day_offset: int | None = None,
        cron_schedule: str | None = None,
        exclusions: Exclusions | None = None,
    ) -> None:
        if cron_schedule is not None and (schedule_type or minute_offset or hour_offset or day_offset):
            msg = (
                "If cron_schedule argument is provided, then schedule_type, minute_offset, hour_offset, and "
                "day_offset can't also be provided: leave them out."
            )
            raise DagsterInvalidDefinitionError(msg)
        if cron_schedule is None:
            if schedule_type is None:
                msg = "One of schedule_type and cron_schedule must be provided: give a cron_schedule."
                raise DagsterInvalidDefinitionError(msg)
            cron_schedule = _cron_of(schedule_type, minute_offset or 0, hour_offset or 0, day_offset or None)
        name = timezone or "UTC"
        for what, given, kind in (
            ("fmt", fmt, str),
            ("timezone", name, str),
            ("end_offset", end_offset, int),
            ("cron_schedule", cron_schedule, str),
            ("exclusions", exclusions or (), Iterable),
        ):
            if not isinstance(given, kind):
                msg = f"{what} must be of type {kind.__name__}, not {type(given).__name__}: {shown(given)}."
                raise DagsterInvalidDefinitionError(msg)
        zone = time_zone(name)
        values: dict[str, Any] = {
            "timezone": name,
            "fmt": fmt,
            "end_offset": end_offset,
            "cron_schedule": cron_schedule,
            "exclusions": tuple(_excluded(each, zone) for each in exclusions or ()) or None,
            "_zone": zone,
            "_cron": CronSchedule(cron_schedule, zone),
        }
        excluded = values["exclusions"] or ()
        values["_excluded_times"] = frozenset(
            each.timestamp() for each in excluded if isinstance(each, datetime)
        )
        values["_excluded_crons"] = tuple(
            CronSchedule(each, zone) for each in excluded if isinstance(each, str)
        )
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)
        object.__setattr__(self, "start_timestamp", self._bound("start", start))
        object.__setattr__(self, "end_timestamp", self._bound("end", end) if end else None)
        self._check_exclusions()

    def _bound(self, what: str, given: object) -> float:
        try:
            if isinstance(given, str):
                return self._parse(given).timestamp()
            if isinstance(given, datetime):
                return given.replace(tzinfo=self._zone).timestamp()
        except (ValueError, OverflowError) as error:
            msg = f"The {what} {shown(given)} is invalid: {error}. Give it in the format {self.fmt!r}, or a datetime."
            raise DagsterInvalidDefinitionError(msg) from error
        msg = f"The {what} must be a string or a datetime, not {type(given).__name__}: {shown(given)}."
        raise DagsterInvalidDefinitionError(msg)

    def _check_exclusions(self) -> None:
        if not self._excluded_crons:
            return
        until = self.start + _MAX_YEARS_EXCLUDED
        starts = takewhile(lambda start: start < until, self._cron.since(self.start_timestamp))
        if all(self._is_excluded(start) for start in islice(starts, _MAX_EXCLUDED)):
            msg = (
                f"The exclusions leave no partition: the first windows of the schedule {self.cron_schedule!r}, "
                f"{_MAX_EXCLUDED} or 30 years of them, are excluded. Exclude fewer."
            )
            raise DagsterInvalidDefinitionError(msg)

    @cached_property
    def start(self) -> datetime:
        """The start as it was given, in the time zone of the partitions."""
        return datetime.fromtimestamp(self.start_timestamp, self._zone)

    @cached_property
    def end(self) -> datetime | None:
        """The end as it was given, in the time zone of the partitions; None if there is none."""
        return None if self.end_timestamp is None else datetime.fromtimestamp(self.end_timestamp, self._zone)

    def __repr__(self) -> str:
        exclusions = f", exclusions={list(self.exclusions)}" if self.exclusions else ""
        return (
            f"TimeWindowPartitionsDefinition(start={self.start_timestamp}, end={self.end_timestamp}, "
            f"timezone='{self.timezone}', fmt='{self.fmt}', end_offset={self.end_offset}, "
            f"cron_schedule='{self.cron_schedule}'){exclusions}"
        )

    def __str__(self) -> str:
        kind = self.schedule_type
        schedule = kind.value.capitalize() if kind else self.cron_schedule
        plural = "" if self.end_offset == 1 else "s"
        offset = f" End offsetted by {self.end_offset} partition{plural}." if self.end_offset else ""
        return f"{schedule}, starting {self._key(self.start)} {self.timezone}.{offset}"

    def _extent(self) -> str:
        return f"{self} At this time, {super()._extent()}"

    def validate_partition_definition(self) -> None:
        """Check that the format gives each window a key of its own.

        Raises:
            DagsterInvalidDefinitionError: if the first two windows have the same key.
        """
        first, second = islice(self._windows_since(self.start_timestamp), 2)
        if self._key(first.start) == self._key(second.start):
            msg = (
                "This partition set contains multiple time ranges that map to the same partition key. This usually "
                f"indicates that the partition set's format string ({self.fmt}) is not granular enough to produce a "
                f"unique key for each time in the cron schedule ({self.cron_schedule}). Give a longer fmt."
            )
            raise DagsterInvalidDefinitionError(msg)

    # The keys and their windows.

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        """Return all partition keys.

        Args:
            current_time: only windows that have ended by then have keys; by default now.
            dynamic_partitions_store: has no effect.
        """
        with partition_loading_context(current_time, dynamic_partitions_store):
            last = self.get_last_partition_window()
            keys: list[str] = []
            if last is None:
                return keys
            for window in self._windows_since(self.start_timestamp):
                keys.append(self._key(window.start))
                if window.start.timestamp() >= last.start.timestamp():
                    break
            return keys

    def get_partition_keys_in_range(self, partition_key_range: PartitionKeyRange) -> Sequence[str]:
        """Return the partition keys of a range, both ends included.

        Raises:
            DagsterInvalidInvocationError: if it begins before the definition's start, or ends after its end.
            ValueError: if a key is not in the format of the keys.
        """
        start = self.start_time_for_partition_key(partition_key_range.start)
        end = self.end_time_for_partition_key(partition_key_range.end)
        if start.timestamp() < self.start_timestamp:
            msg = (
                f"Partition key range start {partition_key_range.start} is before the partitions definition start "
                f"time {self.start}. Give a later one."
            )
            raise DagsterInvalidInvocationError(msg)
        if self.end_timestamp is not None and end.timestamp() > self.end_timestamp:
            msg = (
                f"Partition key range end {partition_key_range.end} is after the partitions definition end time "
                f"{self.end}. Give an earlier one."
            )
            raise DagsterInvalidInvocationError(msg)
        return self.get_partition_keys_in_time_window(TimeWindow(start, end))

    def get_partition_keys_in_time_window(self, time_window: TimeWindow) -> Sequence[str]:
        """Return the keys of the windows that start in a time window, whether or not they exist yet."""
        keys: list[str] = []
        end = time_window.end.timestamp()
        for window in self._windows_since(time_window.start.timestamp()):
            if window.start.timestamp() >= end:
                break
            keys.append(self._key(window.start))
        return keys

    def has_partition_key(self, partition_key: str) -> bool:
        """Return whether a partition has this key; the cost does not depend on the number of partitions."""
        try:
            start = self.time_window_for_partition_key(partition_key).start
            timestamp = start.timestamp()
        except (ValueError, OverflowError):
            return False
        bounds = self._bounds()
        if bounds is None or not bounds[0].start.timestamp() <= timestamp <= bounds[1].start.timestamp():
            return False
        return self._key(start) == partition_key

    def filter_later_partition_keys(self, partition_keys: Set[str], partition_key: str) -> Set[str]:
        """Return those of the given keys whose windows exist, and start after that of another key.

        Raises:
            ValueError: if the key is not in the format of the keys.
        """
        existing = self.filter_valid_partition_keys(partition_keys)
        return {key for key in existing if self.less_than(partition_key, key)}

    def get_partition_key(self, key: str | date) -> str:
        """Return the partition key of a key, a date or a datetime.

        Raises:
            ValueError: if there is no such partition.
        """
        text = key.strftime(self.fmt) if isinstance(key, date) else key
        if not self.has_partition_key(text):
            msg = f"Got invalid partition key {text!r}"
            raise ValueError(msg)
        return text

    def get_first_partition_key(self) -> str | None:
        """Return the first partition key; None if there is none."""
        window = self.get_first_partition_window()
        return None if window is None else self._key(window.start)

    def get_last_partition_key(self) -> str | None:
        """Return the last partition key; None if there is none."""
        window = self.get_last_partition_window()
        return None if window is None else self._key(window.start)

    def get_next_partition_key(self, partition_key: str) -> str | None:
        """Return the key that follows a partition's key; None if that partition does not exist yet.

        Raises:
            ValueError: if the key is not in the format of the keys.
        """
        last = self.get_last_partition_window()
        if last is None:
            return None
        windows = self._windows_since(self._time(partition_key).timestamp())
        next(windows)
        start = next(windows).start
        return None if start.timestamp() >= last.end.timestamp() else self._key(start)

    def get_num_partitions(self) -> int:
        """Return the number of partitions."""
        bounds = self._bounds()
        if bounds is None:
            return 0
        first, last = bounds
        if not self.exclusions and self._cron.fires_daily_once:
            return (last.end.date() - first.start.date()).days
        if not self.exclusions and self._cron.minutes_apart:
            seconds = last.end.timestamp() - first.start.timestamp()
            return int(seconds // (60 * self._cron.minutes_apart))
        return len(self.get_partition_keys_in_time_window(TimeWindow(first.start, last.end)))

    def time_window_for_partition_key(self, partition_key: str) -> TimeWindow:
        """Return the window of a partition, whether or not it exists yet.

        Raises:
            ValueError: if the key is not in the format of the keys.
        """
        # The format may leave out the hour and the minute: they are those of the next time of the schedule.
        return next(self._windows_since(self._time(partition_key).timestamp()))

    def start_time_for_partition_key(self, partition_key: str) -> datetime:
        """Return the start of a partition's window.

        Raises:
            ValueError: if the key is not in the format of the keys.
        """
        return self.time_window_for_partition_key(partition_key).start

    def end_time_for_partition_key(self, partition_key: str) -> datetime:
        """Return the end of a partition's window.

        Raises:
            ValueError: if the key is not in the format of the keys.
        """
        return self.time_window_for_partition_key(partition_key).end

    def get_partition_key_for_timestamp(self, timestamp: float, end_closed: bool = False) -> str:
        """Return the key of the window that contains a time, whether or not it exists yet.

        Args:
            timestamp: in seconds since the epoch.
            end_closed: True if a window's end belongs to it, and its start does not.
        """
        starts = self._cron.until(timestamp)
        before = next(
            time
            for time in starts
            if not (end_closed and time.timestamp() == timestamp) and not self._is_excluded(time)
        )
        if end_closed:
            return self._key(before)
        after = next(time for time in self._cron.since(timestamp) if not self._is_excluded(time))
        return self._key(before if after.timestamp() > timestamp else after)

    def get_partition_key_range_for_time_window(
        self, time_window: TimeWindow, respect_bounds: bool = True
    ) -> PartitionKeyRange:
        """Return the range of the partitions in a time window.

        Args:
            time_window: the time window.
            respect_bounds: False for windows before the first partition.

        Raises:
            DagsterInvalidInvocationError: if no partition ends in it.
        """
        last = self.get_prev_partition_window(time_window.end, respect_bounds)
        if last is None:
            msg = f"No partition ends by {time_window.end}. Give a later time."
            raise DagsterInvalidInvocationError(msg)
        first = self.get_partition_key_for_timestamp(time_window.start.timestamp())
        return PartitionKeyRange(first, self.get_partition_key_for_timestamp(last.start.timestamp()))

    def get_first_partition_window(self) -> TimeWindow | None:
        """Return the window of the first partition; None if there is none."""
        bounds = self._bounds()
        return None if bounds is None else bounds[0]

    def get_last_partition_window(self) -> TimeWindow | None:
        """Return the window of the last partition; None if there is none."""
        bounds = self._bounds()
        return None if bounds is None else bounds[1]

    def get_next_partition_window(self, end_dt: datetime, respect_bounds: bool = True) -> TimeWindow | None:
        """Return the first window that does not start before a time.

        Args:
            end_dt: such as the end of a window.
            respect_bounds: False for one that does not exist yet; otherwise the result is None instead.
        """
        window = next(self._windows_since(end_dt.timestamp()))
        if not respect_bounds:
            return window
        last = self.get_last_partition_window()
        return None if last is None or window.start.timestamp() >= last.end.timestamp() else window

    def get_prev_partition_window(self, start_dt: datetime, respect_bounds: bool = True) -> TimeWindow | None:
        """Return the last window that does not end after a time.

        Args:
            start_dt: such as the start of a window.
            respect_bounds: False for one before the first partition; otherwise the result is None instead.
        """
        window = next(self._windows_until(start_dt.timestamp()))
        if not respect_bounds:
            return window
        first = self.get_first_partition_window()
        return None if first is None or window.start.timestamp() < first.start.timestamp() else window

    def less_than(self, partition_key1: str, partition_key2: str) -> bool:
        """Return whether the first key is earlier than the second one.

        Raises:
            ValueError: if a key is not in the format of the keys.
        """
        first, second = map(self.start_time_for_partition_key, (partition_key1, partition_key2))
        return first.timestamp() < second.timestamp()

    # The schedule.

    @property
    def schedule_type(self) -> ScheduleType | None:
        """How long the windows are; None for a cron schedule of another form."""
        return next((kind for kind, form in _FORMS.items() if re.fullmatch(form, self.cron_schedule)), None)

    @property
    def minute_offset(self) -> int:
        """The minute at which windows start."""
        return self._offset(0, "minute")

    @property
    def hour_offset(self) -> int:
        """The hour at which windows start."""
        return self._offset(1, "hour")

    @property
    def day_offset(self) -> int:
        """The day on which windows start: of the week (0 for Sunday), or of the month (from 1)."""
        index = {ScheduleType.WEEKLY: 4, ScheduleType.MONTHLY: 2}.get(
            self.schedule_type or ScheduleType.HOURLY
        )
        return self._offset(-1 if index is None else index, "day")

    def _offset(self, index: int, what: str) -> int:
        fields = self.cron_schedule.split()
        if index < 0 or not fields[index].isdigit():
            msg = (
                f"{self.cron_schedule} has no {what} offset. Read it only where windows start at one {what}."
            )
            raise DagsterInvalidInvocationError(msg)
        return int(fields[index])

    def get_cron_schedule(
        self,
        minute_of_hour: int | None = None,
        hour_of_day: int | None = None,
        day_of_week: int | None = None,
        day_of_month: int | None = None,
    ) -> str:
        """Return the cron schedule that fires once for each window.

        Args:
            minute_of_hour: the minute, if it is not the one at which windows start.
            hour_of_day: likewise, the hour; not for hourly windows.
            day_of_week: likewise, the day; for weekly windows.
            day_of_month: likewise, the day; for monthly windows.

        Raises:
            DagsterInvalidInvocationError: if an argument does not apply to these windows.
        """
        given = {"hour": hour_of_day, "day of week": day_of_week, "day of month": day_of_month}
        if minute_of_hour is None and set(given.values()) == {None}:
            return self.cron_schedule
        kind = self.schedule_type
        if kind is None:
            msg = (
                f"{self.cron_schedule} does not support minute_of_hour/hour_of_day/day_of_week/day_of_month "
                "arguments: leave them out."
            )
            raise DagsterInvalidInvocationError(msg)
        refused = {
            ScheduleType.HOURLY: ("hour",),
            ScheduleType.DAILY: ("day of week", "day of month"),
        }.get(kind, ())
        for name in refused:
            if given[name] is not None:
                msg = f"Cannot set {name} parameter with {kind.value.lower()} partitions: leave it out."
                raise DagsterInvalidInvocationError(msg)
        minute = self.minute_offset if minute_of_hour is None else minute_of_hour
        hour = hour_of_day or 0
        if kind is not ScheduleType.HOURLY and hour_of_day is None:
            hour = self.hour_offset
        day: int | None = 0
        if kind in {ScheduleType.WEEKLY, ScheduleType.MONTHLY}:
            day = day_of_week if kind is ScheduleType.WEEKLY else day_of_month
            day = self.day_offset if day is None else day
        return _cron_of(kind, minute, hour, day)

    # How windows are found.

    def _parse(self, partition_key: str) -> datetime:
        try:
            time = datetime.strptime(partition_key, self.fmt)  # noqa: DTZ007 - the zone is set below
        except ValueError:
            time = datetime.strptime(partition_key, self._fmt_with_offset)  # noqa: DTZ007
        if time.tzinfo is not None:
            return datetime.fromtimestamp(time.timestamp(), self._zone)
        return time.replace(tzinfo=self._zone)

    def _time(self, partition_key: str) -> datetime:
        """Return the time that a key names; of two with the same name, the one at which the schedule fires."""
        time = self._parse(partition_key)
        if time.fold or self._cron.repeats_every_hour or "%z" in self.fmt:
            return time
        second = time.replace(fold=1)
        return second if shift(time) < timedelta(0) and self._cron.fires_at(second) else time

    def _key(self, start: datetime) -> str:
        if start.fold and self._cron.repeats_every_hour and shift(start) < timedelta(0):
            return start.strftime(self._fmt_with_offset)
        return start.strftime(self.fmt)

    @property
    def _fmt_with_offset(self) -> str:
        return self.fmt if "%z" in self.fmt else f"{self.fmt}%z"

    def _is_excluded(self, start: datetime) -> bool:
        if not self.exclusions:
            return False
        return start.timestamp() in self._excluded_times or any(
            cron.fires_at(start) for cron in self._excluded_crons
        )

    def _windows_since(self, timestamp: float) -> Iterator[TimeWindow]:
        """Yield the windows that do not start before a time, without end."""
        times = self._cron.since(timestamp)
        start = next(times)
        for end in times:
            if not self._is_excluded(start):
                yield TimeWindow(start, end)
            start = end

    def _windows_until(self, timestamp: float) -> Iterator[TimeWindow]:
        """Yield the windows that do not end after a time, the last one first, without end."""
        times = self._cron.until(timestamp)
        end = next(times)
        for start in times:
            if not self._is_excluded(start):
                yield TimeWindow(start, end)
            end = start

    def _bounds(self) -> tuple[TimeWindow, TimeWindow] | None:
        """Return the windows of the first and the last partition at the current time; None if there are none."""
        now = current_context().effective_dt
        timestamp = (now if now.tzinfo else now.replace(tzinfo=self._zone)).timestamp()
        known = self.__dict__.get("_known_bounds")
        if known is None or known[0] != timestamp:
            # Kept, as a tick asks for each of its requests at one time.
            first = self._first_window(timestamp)
            known = timestamp, None if first is None else (first, self._last_window(timestamp, first))
            self.__dict__["_known_bounds"] = known
        bounds: tuple[TimeWindow, TimeWindow] | None = known[1]
        return bounds

    def _first_window(self, now: float) -> TimeWindow | None:
        window = next(self._windows_since(self.start_timestamp))
        latest_end = now
        if self.end_offset > 0:
            latest_end = _nth(self._windows_since(now), self.end_offset).start.timestamp()
        elif self.end_offset < 0:
            latest_end = _nth(self._windows_until(now), -self.end_offset - 1).start.timestamp()
        if self.end_timestamp is not None:
            latest_end = min(latest_end, self.end_timestamp)
        return window if window.end.timestamp() <= latest_end else None

    def _last_window(self, now: float, first: TimeWindow) -> TimeWindow:
        end = self.end_timestamp
        if self.end_offset == 0:
            return next(self._windows_until(now if end is None else min(now, end)))
        if self.end_offset < 0:
            window = _nth(self._windows_until(now), -self.end_offset)
        else:
            ended = next(self._windows_until(now))
            window = _nth(self._windows_since(ended.end.timestamp()), self.end_offset - 1)
        if end is not None:
            before_end = next(self._windows_until(end))
            if before_end.start.timestamp() <= window.start.timestamp():
                return before_end
        return first if window.start.timestamp() < first.start.timestamp() else window


def _nth(windows: Iterator[TimeWindow], number: int) -> TimeWindow:
    return next(islice(windows, number, None))


def _excluded(given: object, zone: tzinfo) -> str | datetime:
    if isinstance(given, datetime):
        return given.replace(tzinfo=zone)
    if isinstance(given, str):
        return given
    msg = f"exclusions must be cron schedules and datetimes, not {type(given).__name__}: {shown(given)}."
    raise DagsterInvalidDefinitionError(msg)
