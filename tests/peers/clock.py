"""The time of the tests, which they freeze."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

START = datetime(2026, 11, 30, tzinfo=UTC)
"""The time while none is frozen: results do not depend on when the tests run."""

_frozen: list[datetime] = []


@contextmanager
def freeze_time(time: datetime) -> Iterator[None]:
    """Let the time be this one in the block."""
    _frozen.append(time)
    try:
        yield
    finally:
        _frozen.pop()


def now() -> datetime:
    """Return the frozen time, or else the start."""
    return _frozen[-1] if _frozen else START


def create_datetime(*args: int, **parts: int) -> datetime:
    """Return a time in UTC."""
    return datetime(*args, **parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


SCAFFOLD = {
    "create_datetime": create_datetime,
    "freeze_time": freeze_time,
    "get_current_datetime": now,
    "get_timezone": ZoneInfo,
}
