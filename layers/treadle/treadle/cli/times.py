"""Times as entered: absolute or relative."""

from datetime import UTC, datetime

import click

from treadle.operate.time_expressions import parse_time_expression


class Time(click.ParamType[datetime]):
    """A time: ISO 8601, in UTC unless it has an offset; or an age, such as 90s, 15m, 2h, 3d or 1w."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, with a time zone."""
        if isinstance(value, datetime):
            return value
        found = parse_time_expression(value, millis(datetime.now(UTC)))
        if found is None:
            self.fail(
                f"{value!r} is not a time. Write it as 2026-11-25T06:00:00Z, or as 2h for 2 hours ago.",
                param,
                ctx,
            )
        return datetime.fromtimestamp(found / 1000, UTC)


TIME = Time()


def millis(time: datetime) -> int:
    """Return milliseconds since the epoch."""
    return round(time.timestamp() * 1000)
