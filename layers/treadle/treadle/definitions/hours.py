"""The hours of a polling sensor: the windows of the week, in a time zone, in which it is evaluated."""

import re
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from treadle.definitions.bounds import shown
from treadle.definitions.clocks import time_zone
from treadle.definitions.errors import DagsterInvalidDefinitionError

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_WINDOW = re.compile(rf"{_TIME}-(?:{_TIME}|(24:00))(?: ([A-Z]{{3}}(?:[,-][A-Z]{{3}})*))?")
_TEXT = re.compile(r"(?P<windows>.+?) (?P<zone>[A-Za-z][\w+/-]*)(?: except (?P<dates>[\d -]+))?", re.ASCII)
_EXCEPT = " except "
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_MINUTES_OF_DAY = 1_440

MOST_EXCEPTIONS = 200
"""The text of the hours must fit into a function's environment and a parameter: 4 KB each.

Source: "Lambda quotas" in its developer guide, and "Parameter Store quotas" in that of Systems Manager.
"""

_SEARCHED = timedelta(days=800)
"""How far ahead a window is searched: farther than that all days would be exceptions."""


class Hours:
    """Windows of the week in which a polling sensor is evaluated. Outside of them it costs nothing that counts.

    A window belongs to the day on which it begins, and its end is not part of it. On the nights in which clocks change,
    a time that does not exist is the next one that does, and of a time that exists twice a window spans both.

    Args:
        windows: times of day and days, such as "06:00-20:00 MON-FRI". A window whose end is not after its start ends on
            the next day; without days it begins on each day; several are separated by semicolons.
        zone: a name of the IANA database.
        except_: days on which no window begins, such as holidays: dates, or their text in ISO format.

    Raises:
        DagsterInvalidDefinitionError: if one of these is invalid.
    """

    def __init__(self, windows: str, *, zone: str = "UTC", except_: Collection[date | str] = ()) -> None:
        self._windows = sorted(_parsed(windows), key=lambda each: each[0])
        self._except = frozenset(_date(each) for each in _dates(except_))
        self._zone: tzinfo = time_zone(zone)
        self.zone = zone
        dates = f"{_EXCEPT}{' '.join(map(str, sorted(self._except)))}" if self._except else ""
        self._text = (
            f"{'; '.join(' '.join(each.split()) for each in windows.upper().split(';'))} {zone}{dates}"
        )

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """Return the hours of a text, as `str` returns it.

        Raises:
            DagsterInvalidDefinitionError: if it is invalid.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            msg = f"The hours are {shown(text)}, which has another form than '06:00-20:00 MON-FRI Europe/Berlin'. Correct it."
            raise DagsterInvalidDefinitionError(msg)
        return cls(match["windows"], zone=match["zone"], except_=(match["dates"] or "").split())

    @property
    def has_exceptions(self) -> bool:
        """Return whether no window begins on some days."""
        return bool(self._except)

    def __str__(self) -> str:
        """Return all of it on one line, as a deployment states it."""
        return self._text

    def __repr__(self) -> str:
        """Return its text."""
        return f"<Hours {self._text}>"

    def __eq__(self, other: object) -> bool:
        """Return whether the other has the same text."""
        return isinstance(other, Hours) and self._text == other._text

    def __hash__(self) -> int:
        """Return the hash of its text."""
        return hash(self._text)

    def covers(self, at: int) -> bool:
        """Return whether a window contains a time, in milliseconds."""
        return any(begin <= at < end for begin, end in self.windows(at, _DAY))

    def next_begin(self, at: int) -> int | None:
        """Return when the next window begins after a time outside of all; None if there is none within two years."""
        return next((begin for begin, end in self.windows(at, _SEARCHED) if begin > at and end > begin), None)

    def between(self, start: int, end: int) -> int:
        """Return how many milliseconds of windows are between two times; more than two years are not counted."""
        return sum(min(until, end) - begin for begin, until in self._since(start) if begin < end)

    def after(self, start: int, active: int) -> int | None:
        """Return the time by which that many milliseconds of windows have passed; None if not within two years.

        Args:
            start: from when on, in milliseconds.
            active: how many, above 0.
        """
        for begin, end in self._since(start):
            if active <= end - begin:
                return begin + active
            active -= end - begin
        return None

    def _since(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the windows from a time on as stretches of time without overlap, in order."""
        reached = start
        for begin, end in self.windows(start, _SEARCHED):
            if end > max(begin, reached):
                yield max(begin, reached), end
                reached = end

    def windows(self, at: int, span: timedelta) -> Iterator[tuple[int, int]]:
        """Yield the windows of the day before a time and of the days after, in the order in which they begin.

        Args:
            at: the time, in milliseconds.
            span: how far ahead, in whole days.
        """
        today = datetime.fromtimestamp(at / 1000, self._zone).date()
        # A window of the day before may not have ended.
        for number in range(-1, span.days + 1):
            day = today + number * _DAY
            if day in self._except:
                continue
            for start, length, weekdays in self._windows:
                if day.weekday() in weekdays:
                    yield self._instant(day, start, fold=0), self._instant(day, start + length, fold=1)

    def _instant(self, day: date, minutes: int, fold: int) -> int:
        """Return when it is that many minutes after midnight by the clock."""
        local = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001 - below
        while True:
            time = local.replace(tzinfo=self._zone, fold=fold)
            moment = time.astimezone(UTC)
            if moment.astimezone(self._zone).replace(tzinfo=None) == local:
                return int(moment.timestamp() * 1000)
            local += _MINUTE  # Clocks skip this time.


def cron_hull(hours: Hours, start: int) -> str:
    """Return a cron expression in UTC that fires at each minute of the hours, and at few others.

    In UTC, as a schedule with a time zone does not fire in the hour that clocks repeat ("Daylight savings time on
    EventBridge Scheduler" in its user guide). It spans the offsets of a year.

    Args:
        hours: the hours.
        start: when the year begins, in milliseconds.
    """
    found_hours, found_days = set[int](), set[int]()
    for begin, end in hours.windows(start, timedelta(days=366)):
        first = datetime.fromtimestamp(begin / 1000, UTC).replace(minute=0)
        while first.timestamp() * 1000 < end:
            found_hours.add(first.hour)
            found_days.add(first.weekday())
            first += timedelta(hours=1)
    days = ",".join(_DAYS[each] for each in sorted(found_days)) if len(found_days) < len(_DAYS) else "*"
    times = ",".join(map(str, sorted(found_hours))) if len(found_hours) < 24 else "*"
    return f"cron(* {times} ? * {days} *)"


def _parsed(windows: object) -> Iterator[tuple[int, int, frozenset[int]]]:
    """Yield start and length of each window, in minutes, with the weekdays on which it begins."""
    if not isinstance(windows, str):
        raise _invalid(windows, "it is no text")
    for text in windows.upper().split(";"):
        match = _WINDOW.fullmatch(" ".join(text.split()))
        if match is None:
            raise _invalid(windows, f"{shown(text.strip())} is no window")
        hour, minute, end_hour, end_minute, midnight, days = match.groups()
        start = int(hour) * 60 + int(minute)
        end = _MINUTES_OF_DAY if midnight else int(end_hour) * 60 + int(end_minute)
        if start == end:
            raise _invalid(windows, f"{shown(text.strip())} is empty; all day is 00:00-24:00")
        length = end - start if end > start else end - start + _MINUTES_OF_DAY
        yield start, length, frozenset(_weekdays(windows, days))


def _weekdays(windows: str, days: str | None) -> Iterator[int]:
    for part in (days or "MON-SUN").split(","):
        names = part.split("-")
        if len(names) > 2 or not set(names) <= set(_DAYS):
            raise _invalid(windows, f"{shown(part)} names no days")
        first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
        # SAT-MON goes over the end of the week.
        yield from (each % 7 for each in range(first, last + 1 if last >= first else last + 8))


def _dates(given: object) -> Collection[object]:
    if isinstance(given, str) or not isinstance(given, Collection):
        msg = f"except_ must be a list of dates, not {shown(given)}. Give dates, such as date(2026, 12, 25)."
        raise DagsterInvalidDefinitionError(msg)
    if len(given) > MOST_EXCEPTIONS:
        msg = f"except_ has {len(given)} dates, and may have {MOST_EXCEPTIONS}. Leave out those that have passed."
        raise DagsterInvalidDefinitionError(msg)
    return given


def _date(given: object) -> date:
    if isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError:
            pass
    elif isinstance(given, date) and not isinstance(given, datetime):
        return given
    msg = f"except_ has {shown(given)}, which is no date. Give dates, such as date(2026, 12, 25) or '2026-12-25'."
    raise DagsterInvalidDefinitionError(msg)


def _invalid(windows: object, fact: str) -> DagsterInvalidDefinitionError:
    msg = (
        f"The hours are {shown(windows)}: {fact}. Give windows such as '06:00-20:00 MON-FRI', separated by semicolons, "
        "with days of MON, TUE, WED, THU, FRI, SAT and SUN."
    )
    return DagsterInvalidDefinitionError(msg)
