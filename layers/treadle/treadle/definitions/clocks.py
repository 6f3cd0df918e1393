"""How far a time of outside origin is believed: clocks differ by seconds, and nothing happens in the future."""

from datetime import UTC, datetime, timedelta

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

MAX_SKEW_MS = 300_000
"""Two clocks may differ by five minutes; a time that lies further ahead is wrong.

AWS refuses a request whose signature is more than five minutes off ("Troubleshooting AWS SigV4", IAM User Guide),
so no function with such a clock reaches a table.
"""


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

MAX_WITHIN = timedelta(days=3_660)
"""About ten years. A window has to begin at a time that can be written, whenever it is looked at."""


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


def duration_problem(
    name: str, duration: object, least: timedelta, most: timedelta, words: str
) -> str | None:
    """What is wrong with a duration that an author has given; None if nothing is.

    Args:
        name: the argument's.
        duration: as it was given.
        least: no shorter than this.
        most: no longer than this.
        words: how long it must be.
    """
    if not isinstance(duration, timedelta):
        return f"{name} must be a timedelta, such as timedelta(hours=2), not {shown(duration)}"
    return None if least <= duration <= most else f"{name} must be {words}"


def within_problem(within: object) -> str | None:
    """What is wrong with the length of a window; None if nothing is.

    Args:
        within: as it was given.
    """
    words = f"longer than zero and at most {MAX_WITHIN.days} days"
    return duration_problem("within", within, timedelta.resolution, MAX_WITHIN, words)


def can_be_kept(time: datetime) -> bool:
    """Whether a time with a zone is from 1970 to 9998.

    No earlier one can be stored, and no zone leads beyond the last year then.
    """
    return _EARLIEST <= time < _LATEST


def check_time_zone(subject: str, time: object, *, is_kept: bool = True) -> datetime:
    """The same time, if it is one, has a time zone, and can be kept.

    Args:
        subject: whose time it is, for the error.
        time: what was given.
        is_kept: False for a time that is only compared, and so may be any.

    Raises:
        DagsterInvalidDefinitionError: if it is no time, has no time zone, or is not from 1970 to 9998.
    """
    if not isinstance(time, datetime):
        msg = f"{subject} is {time!r}; it must be a datetime with a time zone."
        raise DagsterInvalidDefinitionError(msg)
    if time.utcoffset() is None:
        msg = (
            f"{subject} is {time}, which has no time zone. Give a time with one, such as "
            "datetime.now(timezone.utc)."
        )
        raise DagsterInvalidDefinitionError(msg)
    if is_kept and not can_be_kept(time):
        raise DagsterInvalidDefinitionError(f"{subject} is {time}; it must be from 1970 to 9998.")
    return time
