"""Parses the times that people enter: absolute or relative."""

import re
from datetime import UTC, datetime

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_LAST = 253_370_764_800_000
"""The year 9999: times slightly later than that must still be printable."""

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_time_expression(text: str, now: int) -> int | None:
    """Parse a time into milliseconds since the epoch; return None if it is not a time.

    Args:
        text: ISO 8601, in UTC unless it has an offset; or an age, such as 90s, 15m, 2h, 3d or 1w.
        now: the current time, from which an age counts.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        millis = now - int(ago[1]) * _SECONDS[ago[2]] * 1000
    else:
        try:
            time = datetime.fromisoformat(text.strip())
            millis = round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
    return millis if 0 <= millis < _LAST else None
