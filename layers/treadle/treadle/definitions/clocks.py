"""How far a time of outside origin is believed: clocks differ by seconds, and nothing happens in the future."""

from datetime import UTC, datetime, timedelta

from treadle.definitions.errors import DagsterInvalidDefinitionError

MAX_SKEW_MS = 300_000
"""Two clocks may differ by five minutes; a time that lies further ahead is wrong.

AWS refuses a request whose signature is more than five minutes off ("Troubleshooting AWS SigV4", IAM User Guide),
so no function with such a clock reaches a table.
"""


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

MAX_WINDOW = timedelta(days=36_500)
"""A longer one would begin before the first year that a time can have."""


def is_ahead(time: int, now: int) -> bool:
    """Whether a time lies further in the future than two clocks may differ.

    Args:
        time: in milliseconds since the epoch.
        now: likewise, by one's own clock.
    """
    return time > now + MAX_SKEW_MS


def bounded(time: int, now: int) -> int:
    """The time at which something happened, as far as it can be believed: now, if it is said to lie ahead.

    Args:
        time: as it was said, in milliseconds since the epoch.
        now: likewise, by one's own clock.
    """
    return now if is_ahead(time, now) else time


def window_problem(name: str, window: object) -> str | None:
    """What is wrong with a length of time within which something must happen; None if nothing is.

    Args:
        name: the argument's.
        window: what was given.
    """
    if not isinstance(window, timedelta):
        return f"{name} is {window!r}, and must be a timedelta such as timedelta(hours=2)"
    if window <= timedelta(0):
        return f"{name} must be longer than nothing"
    if window > MAX_WINDOW:
        return f"{name} is {window.days:,} days, and must be {MAX_WINDOW.days:,} at most"
    return None


def can_be_kept(time: datetime) -> bool:
    """Whether a time with a zone is from 1970 to 9998.

    No earlier one can be stored, and no zone leads beyond the last year then.
    """
    return _EARLIEST <= time < _LATEST


def check_time_zone(subject: str, time: object) -> datetime:
    """The same time, if it is one, has a time zone, and can be kept.

    Args:
        subject: whose time it is, for the error.
        time: what was given.

    Raises:
        DagsterInvalidDefinitionError: if it is no time, has no time zone, or is not from 1970 to 9998.
    """
    if not isinstance(time, datetime):
        msg = f"{subject} is {time!r}, and must be a datetime with a time zone."
        raise DagsterInvalidDefinitionError(msg)
    if time.utcoffset() is None:
        msg = f"{subject} must have a time zone, such as datetime.now(timezone.utc), and {time} has none."
        raise DagsterInvalidDefinitionError(msg)
    if not can_be_kept(time):
        raise DagsterInvalidDefinitionError(f"{subject} is {time}, and must be from 1970 to 9998.")
    return time
