"""Times as they are typed: a moment, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601, in UTC unless it says otherwise; or how long ago, such as 90s, 15m, 2h, 3d or 1w."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment, with a time zone."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value.strip())
        try:
            if ago is not None:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(value.strip())
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time such as 2026-11-25T06:00:00Z, and no time ago such as 2h.", param, ctx
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


MOMENT = Moment()


def millis(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)
