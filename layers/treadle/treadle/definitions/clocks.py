"""How far a time from elsewhere is trusted, as clocks differ by seconds; checks of times and of time zones."""

from datetime import UTC, datetime, timedelta, tzinfo

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError, TreadleError

MAX_SKEW_MS = 300_000
"""Two clocks may differ by five minutes; a time further ahead is wrong.

AWS refuses a request whose signature is more than five minutes off ("Troubleshooting AWS SigV4", IAM User
Guide), so no function with such a clock reaches a table.
"""


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

MAX_WITHIN = timedelta(days=3_660)
"""About ten years. A window has to begin at a time that can be represented, whenever it is evaluated."""


def is_ahead(time: int, now: int) -> bool:
    """Return whether a time lies further in the future than two clocks may differ.

    Args:
        time: in milliseconds since the epoch.
        now: likewise, by the local clock.
    """
    return time > now + MAX_SKEW_MS


def bounded(time: int, now: int) -> int:
    """Return the time of an event, or now if the given time is ahead.

    Args:
        time: as reported, in milliseconds since the epoch.
        now: likewise, by the local clock.
    """
    return now if is_ahead(time, now) else time


def duration_problem(
    name: str, duration: object, least: timedelta, most: timedelta, valid_range: str
) -> str | None:
    """Return the problem of a duration that an author has given; None if it is valid.

    Args:
        name: of the argument.
        duration: as given.
        least: the minimum.
        most: the maximum.
        valid_range: the valid range, for the message.
    """
    if not isinstance(duration, timedelta):
        return f"{name} must be a timedelta, such as timedelta(hours=2), not {shown(duration)}"
    return None if least <= duration <= most else f"{name} must be {valid_range}"


def within_problem(within: object) -> str | None:
    """Return the problem of a window's length; None if it is valid."""
    valid_range = f"longer than zero and at most {MAX_WITHIN.days} days"
    return duration_problem("within", within, timedelta.resolution, MAX_WITHIN, valid_range)


def can_be_kept(time: datetime) -> bool:
    """Return whether a time with a time zone is from 1970 to 9998.

    No earlier one can be stored, and then no time zone leads beyond the last year.
    """
    return _EARLIEST <= time < _LATEST


def check_time(
    subject: str,
    time: object,
    error: type[TreadleError] = DagsterInvalidDefinitionError,
    *,
    is_kept: bool = True,
) -> datetime:
    """Return the given time, if it has a time zone and can be stored.

    Args:
        subject: whose time it is, for the error.
        time: as given.
        error: the error to raise if it is not a time, has no time zone, or is not from 1970 to 9998.
        is_kept: False for a time that is only compared, and so may have any value.
    """
    if not isinstance(time, datetime):
        msg = (
            f"{subject} is {shown(time)}; it must be a datetime with a time zone, such as datetime.now(UTC)."
        )
        raise error(msg)
    if time.utcoffset() is None:
        msg = f"{subject} is {time}, which has no time zone. Give a time with one, such as datetime.now(UTC)."
        raise error(msg)
    if is_kept and not can_be_kept(time):
        raise error(f"{subject} is {time}; it must be from 1970 to 9998.")
    return time


def time_zone(name: str) -> tzinfo:
    """Return the time zone of a name of the IANA database.

    Raises:
        DagsterInvalidDefinitionError: if there is none.
    """
    if name.upper() == "UTC":
        return UTC
    # Imported here because few sensors need it.
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        msg = f"There is no time zone {shown(name)}. Use a name of the IANA database, such as Europe/Berlin."
        raise DagsterInvalidDefinitionError(msg) from error
