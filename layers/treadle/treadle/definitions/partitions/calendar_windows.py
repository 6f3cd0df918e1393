"""Partitions of one hour, day, week or month each."""

from datetime import datetime

from treadle.definitions.partitions.time_windows import (
    Exclusions,
    ScheduleType,
    TimeWindowPartitionsDefinition,
)

_DATE, _HOUR = "%Y-%m-%d", "%Y-%m-%d-%H:%M"


class HourlyPartitionsDefinition(TimeWindowPartitionsDefinition):
    """Hourly partitions; the first one starts at midnight of the start date.

    Args:
        start_date: a string in the format of the keys, or a datetime.
        end_date: likewise; no window ends after it.
        minute_offset: at which minute windows start.
        timezone: a name of the IANA database; by default UTC.
        fmt: the format of the keys; by default `%Y-%m-%d-%H:%M`.
        end_offset: how many partitions exist beyond those whose windows have ended; negative for fewer.
        exclusions: start times, or cron schedules of start times, whose windows are not partitions.

    Raises:
        DagsterInvalidDefinitionError: if one of these is invalid.
    """

    def __init__(
        self,
        start_date: datetime | str,
        end_date: datetime | str | None = None,
        minute_offset: int = 0,
        timezone: str | None = None,
        fmt: str | None = None,
        end_offset: int = 0,
        exclusions: Exclusions | None = None,
    ) -> None:
        super().__init__(
            start_date,
            fmt or _HOUR,
            end_date,
            ScheduleType.HOURLY,
            timezone,
            end_offset,
            minute_offset,
            exclusions=exclusions,
        )


class DailyPartitionsDefinition(TimeWindowPartitionsDefinition):
    """Daily partitions.

    Args:
        start_date: a string in the format of the keys, or a datetime.
        end_date: likewise; no window ends after it.
        minute_offset: at which minute windows start.
        hour_offset: at which hour they start.
        timezone: a name of the IANA database; by default UTC.
        fmt: the format of the keys; by default `%Y-%m-%d`.
        end_offset: how many partitions exist beyond those whose windows have ended; negative for fewer.
        exclusions: start times, or cron schedules of start times, whose windows are not partitions.

    Raises:
        DagsterInvalidDefinitionError: if one of these is invalid.
    """

    def __init__(
        self,
        start_date: datetime | str,
        end_date: datetime | str | None = None,
        minute_offset: int = 0,
        hour_offset: int = 0,
        timezone: str | None = None,
        fmt: str | None = None,
        end_offset: int = 0,
        exclusions: Exclusions | None = None,
    ) -> None:
        super().__init__(
            start_date,
            fmt or _DATE,
            end_date,
            ScheduleType.DAILY,
            timezone,
            end_offset,
            minute_offset,
            hour_offset,
            exclusions=exclusions,
        )


class WeeklyPartitionsDefinition(TimeWindowPartitionsDefinition):
    """Weekly partitions; the first one starts on the first day of a week that is not before the start date.

    Args:
        start_date: a string in the format of the keys, or a datetime.
        end_date: likewise; no window ends after it.
        minute_offset: at which minute windows start.
        hour_offset: at which hour they start.
        day_offset: on which day they start, from 0 for Sunday to 6 for Saturday.
        timezone: a name of the IANA database; by default UTC.
        fmt: the format of the keys; by default `%Y-%m-%d`.
        end_offset: how many partitions exist beyond those whose windows have ended; negative for fewer.
        exclusions: start times, or cron schedules of start times, whose windows are not partitions.

    Raises:
        DagsterInvalidDefinitionError: if one of these is invalid.
    """

    def __init__(
        self,
        start_date: datetime | str,
        end_date: datetime | str | None = None,
        minute_offset: int = 0,
        hour_offset: int = 0,
        day_offset: int = 0,
        timezone: str | None = None,
        fmt: str | None = None,
        end_offset: int = 0,
        exclusions: Exclusions | None = None,
    ) -> None:
        super().__init__(
            start_date,
            fmt or _DATE,
            end_date,
            ScheduleType.WEEKLY,
            timezone,
            end_offset,
            minute_offset,
            hour_offset,
            day_offset,
            exclusions=exclusions,
        )


class MonthlyPartitionsDefinition(TimeWindowPartitionsDefinition):
    """Monthly partitions; the first one starts on the first such day that is not before the start date.

    Args:
        start_date: a string in the format of the keys, or a datetime.
        end_date: likewise; no window ends after it.
        minute_offset: at which minute windows start.
        hour_offset: at which hour they start.
        day_offset: on which day of the month they start; months without that day have no start.
        timezone: a name of the IANA database; by default UTC.
        fmt: the format of the keys; by default `%Y-%m-%d`.
        end_offset: how many partitions exist beyond those whose windows have ended; negative for fewer.
        exclusions: start times, or cron schedules of start times, whose windows are not partitions.

    Raises:
        DagsterInvalidDefinitionError: if one of these is invalid.
    """

    def __init__(
        self,
        start_date: datetime | str,
        end_date: datetime | str | None = None,
        minute_offset: int = 0,
        hour_offset: int = 0,
        day_offset: int = 1,
        timezone: str | None = None,
        fmt: str | None = None,
        end_offset: int = 0,
        exclusions: Exclusions | None = None,
    ) -> None:
        super().__init__(
            start_date,
            fmt or _DATE,
            end_date,
            ScheduleType.MONTHLY,
            timezone,
            end_offset,
            minute_offset,
            hour_offset,
            day_offset,
            exclusions=exclusions,
        )
