"""Cron schedules: when an expression of five fields fires in a time zone, forward and backward from any time.

On the nights in which clocks change, as in Dagster: a schedule of each hour skips the hour that does not exist,
and fires in both hours that have the same name. Any other schedule fires at the end of the hour that does not
exist, and in the second of the two hours.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import product
from math import inf, nextafter

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: tuple[tuple[str, ...], ...] = ((), (), (), ("", *_MONTHS), _WEEKDAYS)
_PART = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([0-9]+))?")
_LEAP_YEAR = 2000

_HOURS_OF_CHANGE = range(1, 4)
"""Dagster expects clocks to change in these hours only, for the schedules that it computes itself."""

_ALWAYS_IN_A_MONTH = 28
_DAY, _NO_TIME = timedelta(days=1), timedelta(0)


def shift(time: datetime) -> timedelta:
    """Return by how much clocks are set forward at a time of day that they skip; negative if it exists twice."""
    before, after = time.replace(fold=0).utcoffset(), time.replace(fold=1).utcoffset()
    return _NO_TIME if before is None or after is None else after - before


class CronSchedule:
    """A cron expression in a time zone.

    Args:
        expression: five fields (`*`, numbers, lists, ranges, steps, names of months and days), or an alias
            such as `@daily`.
        zone: the time zone.

    Raises:
        DagsterInvalidDefinitionError: if the expression is invalid, or never fires.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        fields = _ALIASES.get(expression.lower(), expression).lower().split()
        if len(fields) != len(_FIELDS):
            raise _invalid(expression, f"it has {len(fields)} fields, not five")
        values = [_values(expression, index, text) for index, text in enumerate(fields)]
        stars = [_is_wildcard(index, values[index], fields) for index in range(len(fields))]
        self._zone = zone
        self._times = sorted(product(values[1], values[0]))
        _, _, self._days, self._months, self._weekdays = values
        self._any_day, self._any_weekday = stars[2], stars[4]
        if self._any_weekday and not any(
            day <= monthrange(_LEAP_YEAR, month)[1] for month in self._months for day in self._days
        ):
            raise _invalid(expression, "it never fires, as no such day exists")
        self.fires_daily_once = len(self._times) == 1 and stars[2] and stars[3] and stars[4]
        self.repeats_every_hour = stars[1]
        self.minutes_apart = 60 if len(values[0]) == 1 and all(stars[1:]) else None
        in_each_month = len(values[2]) == 1 and max(values[2]) <= _ALWAYS_IN_A_MONTH
        self._is_simple = len(self._times) == 1 and stars[3] and (stars[2] or (stars[4] and in_each_month))

    def since(self, timestamp: float) -> Iterator[datetime]:
        """Yield the times at which it fires, from a time on, without end.

        Args:
            timestamp: in seconds since the epoch; the first time may be equal to it.
        """
        time = datetime.fromtimestamp(timestamp, self._zone)
        day, number = time.date(), bisect_left(self._times, (time.hour, time.minute))
        last = nextafter(timestamp, -inf)
        while True:
            if self._fires_on(day):
                for fires_at in self._of(day, self._times[number:]):
                    if fires_at.timestamp() > last:
                        last = fires_at.timestamp()
                        yield fires_at
            day, number = self._next(day), 0

    def until(self, timestamp: float) -> Iterator[datetime]:
        """Yield the times at which it fires, from a time back, without end.

        Args:
            timestamp: in seconds since the epoch; the first time may be equal to it.
        """
        time = datetime.fromtimestamp(timestamp, self._zone)
        day, number = time.date(), bisect_right(self._times, (time.hour, time.minute))
        last = nextafter(timestamp, inf)
        while True:
            if self._fires_on(day):
                for fires_at in self._of(day, self._times[:number], backward=True):
                    if fires_at.timestamp() < last:
                        last = fires_at.timestamp()
                        yield fires_at
            day, number = self._previous(day), len(self._times)

    def fires_at(self, time: datetime) -> bool:
        """Return whether it fires at a time, given in its time zone."""
        day = time.date()
        if not self._fires_on(day):
            return False
        if self._changes(day):
            return time.timestamp() in [each.timestamp() for each in self._of(day, self._times)]
        number = bisect_left(self._times, (time.hour, time.minute))
        return self._times[number : number + 1] == [(time.hour, time.minute)] and not (
            time.second or time.microsecond
        )

    def _fires_on(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        of_month, of_week = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        if self._any_day or self._any_weekday:
            return of_month and of_week
        return of_month or of_week

    def _next(self, day: date) -> date:
        if day.month in self._months:
            return day + _DAY
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)

    def _previous(self, day: date) -> date:
        return day - _DAY if day.month in self._months else day.replace(day=1) - _DAY

    def _of(self, day: date, times: list[tuple[int, int]], *, backward: bool = False) -> Iterator[datetime]:
        """Yield when it fires on a day, for these of its times; for all, if clocks change on that day."""
        if not self._changes(day):
            return (self._at(day, time) for time in (reversed(times) if backward else times))
        moved = (each for time in self._times for each in self._moved(self._at(day, time)))
        return iter(sorted(moved, key=datetime.timestamp, reverse=backward))

    def _changes(self, day: date) -> bool:
        """Return whether clocks change on a day, between its first and its last time."""
        if self._zone is UTC:
            return False
        first, last = self._at(day, self._times[0]), self._at(day, self._times[-1])
        return first.utcoffset() != last.replace(fold=1).utcoffset()

    def _at(self, day: date, time: tuple[int, int]) -> datetime:
        return datetime(day.year, day.month, day.day, *time, tzinfo=self._zone)

    def _moved(self, time: datetime) -> list[datetime]:
        """Return when it fires for a time by the clock on a day on which clocks change."""
        skipped, second = shift(time), time.replace(fold=1)
        if not skipped:
            return [time]
        is_twice = skipped < _NO_TIME
        if self.repeats_every_hour:
            return [time, second] if is_twice else []
        if is_twice:
            return [time if self._is_simple and time.hour not in _HOURS_OF_CHANGE else second]
        if time.hour not in _HOURS_OF_CHANGE:
            return [time]
        return [time.replace(minute=0) + skipped]


def _is_wildcard(index: int, values: tuple[int, ...], fields: list[str]) -> bool:
    """Return whether a field has all values; one for days written without star, only if the other has a star."""
    if fields[index] in {"*", "?"}:
        return True
    name, least, most = _FIELDS[index]
    other = {2: 4, 4: 2}.get(index)
    if len(values) < (7 if name == "day of the week" else most - least + 1):
        return False
    return other is None or "*" in fields[other]


def _values(expression: str, index: int, text: str) -> tuple[int, ...]:
    name, least, most = _FIELDS[index]
    found: set[int] = set()
    for part in text.replace("?", "*").split(",") if index in {2, 4} else text.split(","):
        match = _PART.fullmatch(part)
        if match is None or part.startswith("*-"):
            raise _invalid(expression, f"its {name} {shown(part)} has a form that is not supported")
        low, high, step = match.groups()
        first = least if low == "*" else _number(expression, index, low)
        last = _number(expression, index, high) if high else most if step or low == "*" else first
        if not (least <= first <= last <= most) or (step and not int(step)):
            raise _invalid(expression, f"its {name} {shown(part)} is not within {least} to {most}")
        found.update(range(first, last + 1, int(step or 1)))
    return tuple(sorted({each % 7 for each in found} if index == 4 else found))


def _number(expression: str, index: int, text: str) -> int:
    if text.isdigit():
        return int(text)
    if text not in _NAMES[index]:
        raise _invalid(expression, f"its {_FIELDS[index][0]} {shown(text)} is not a number or a name")
    return _NAMES[index].index(text)


def _invalid(expression: str, fact: str) -> DagsterInvalidDefinitionError:
    msg = (
        f"Found invalid cron schedule {shown(expression)}: {fact}. Give five fields of *, numbers, lists (1,2), ranges "
        "(1-5), steps (*/15) and names (jan, mon), without seconds, L, W, # and H."
    )
    return DagsterInvalidDefinitionError(msg)
