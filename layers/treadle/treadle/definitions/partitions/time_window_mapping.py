"""The mapping between partitions of time windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.partitions.base import PartitionsDefinition
from treadle.definitions.partitions.mappings import PartitionMapping
from treadle.definitions.partitions.time_windows import TimeWindow, TimeWindowPartitionsDefinition

_HOURLY, _DAILY = "0 * * * *", "0 0 * * *"


@dataclass(frozen=True)
class TimeWindowPartitionMapping(PartitionMapping):
    """Each downstream partition uses the upstream partitions whose time windows overlap its own.

    Args:
        start_offset: by how many downstream windows the start of what is used is moved: -1 for one that
            begins a window earlier.
        end_offset: likewise, its end.
        allow_nonexistent_upstream_partitions: whether a downstream partition may use upstream partitions that do
            not exist; has no effect on which downstream partitions use an upstream one.

    Raises:
        DagsterInvalidDefinitionError: if an argument is of another type.
    """

    start_offset: int = 0
    end_offset: int = 0
    allow_nonexistent_upstream_partitions: bool = False

    def __post_init__(self) -> None:
        for name, kind in (
            ("start_offset", int),
            ("end_offset", int),
            ("allow_nonexistent_upstream_partitions", bool),
        ):
            value = getattr(self, name)
            if type(value) is not kind:
                msg = f"{name} of a TimeWindowPartitionMapping must be of type {kind.__name__}, not {shown(value)}."
                raise DagsterInvalidDefinitionError(msg)

    @property
    def description(self) -> str:
        """The mapping in words."""
        text = "Maps a downstream partition to any upstream partition with an overlapping time window."
        if self.start_offset or self.end_offset:
            text += (
                f" The start and end of the upstream time window is offsetted by {self.start_offset} and "
                f"{self.end_offset} partitions respectively."
            )
        return text

    def validate_partition_mapping(
        self,
        upstream_partitions_def: PartitionsDefinition,
        downstream_partitions_def: PartitionsDefinition | None,
    ) -> None:
        """Check that both have time windows, in the same time zone.

        Raises:
            DagsterInvalidDefinitionError: if they have not.
        """
        _windows(upstream_partitions_def, downstream_partitions_def)

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        source, target = _windows(upstream, downstream)
        window = source.time_window_for_partition_key(key)
        if not (self.start_offset or self.end_offset):
            if source == target or _contains(target, source, window):
                return target.get_partition_keys_in_time_window(window)
            if window.end.timestamp() <= target.start_timestamp:
                return []
        first, last = target.get_first_partition_window(), target.get_last_partition_window()
        if first is None or last is None:
            return []
        existing = TimeWindow(first.start, last.end)
        if source.cron_schedule != target.cron_schedule and not _is_daily_of_hourly(source, target):
            window = _around(target, window)
        # What moves the start of the used windows back moves the end of those that use them forward.
        start = _moved(target, window.start, -self.end_offset, existing)
        end = _moved(target, window.end, -self.start_offset, existing)
        is_within = _before(start, end) and not _before(last.start, start) and not _before(end, first.end)
        if not is_within:
            return []
        used = TimeWindow(max(start, first.start, key=_time), min(end, last.end, key=_time))
        return target.get_partition_keys_in_time_window(used)


def _windows(
    upstream: PartitionsDefinition, downstream: PartitionsDefinition | None
) -> tuple[TimeWindowPartitionsDefinition, TimeWindowPartitionsDefinition]:
    for what, definition in (("Downstream", downstream), ("Upstream", upstream)):
        if not isinstance(definition, TimeWindowPartitionsDefinition):
            msg = f"{what} partitions definition must be a TimeWindowPartitionsDefinition"
            raise DagsterInvalidDefinitionError(msg)
    assert isinstance(upstream, TimeWindowPartitionsDefinition)
    assert isinstance(downstream, TimeWindowPartitionsDefinition)
    if upstream.timezone != downstream.timezone:
        msg = f"Timezones {upstream.timezone} and {downstream.timezone} don't match"
        raise DagsterInvalidDefinitionError(msg)
    return upstream, downstream


def _contains(
    target: TimeWindowPartitionsDefinition, source: TimeWindowPartitionsDefinition, window: TimeWindow
) -> bool:
    """Return whether the target's windows in one of the source's exist without a further look."""
    if _time(window.start) < target.start_timestamp and source.start_timestamp < target.start_timestamp:
        return False
    if _is_daily_of_hourly(source, target):
        last, target_last = source.get_last_partition_window(), target.get_last_partition_window()
        return last is not None and target_last is not None and not _before(target_last.end, last.end)
    if not _differs_in_bounds_only(source, target):
        return False
    ends = source.end_timestamp, target.end_timestamp
    return ends[1] is None or (ends[0] is not None and ends[1] >= ends[0])


def _differs_in_bounds_only(
    source: TimeWindowPartitionsDefinition, target: TimeWindowPartitionsDefinition
) -> bool:
    names = ("timezone", "fmt", "cron_schedule", "end_offset", "exclusions")
    return all(getattr(source, name) == getattr(target, name) for name in names)


def _is_basic(definition: TimeWindowPartitionsDefinition, cron_schedule: str) -> bool:
    return definition.cron_schedule == cron_schedule and not definition.exclusions


def _is_daily_of_hourly(
    source: TimeWindowPartitionsDefinition, target: TimeWindowPartitionsDefinition
) -> bool:
    return _is_basic(source, _DAILY) and _is_basic(target, _HOURLY)


def _around(target: TimeWindowPartitionsDefinition, window: TimeWindow) -> TimeWindow:
    """Return the time of the target's windows that overlap a time window."""
    first = target.get_partition_key_for_timestamp(_time(window.start))
    last = target.get_partition_key_for_timestamp(_time(window.end), end_closed=True)
    return TimeWindow(target.start_time_for_partition_key(first), target.end_time_for_partition_key(last))


def _moved(
    target: TimeWindowPartitionsDefinition, time: datetime, offset: int, existing: TimeWindow
) -> datetime:
    """Return a bound of windows, moved by a number of windows, but not out of those that exist."""
    if offset == 0:
        return time
    moved = _moved_freely(target, time, offset)
    if offset < 0:
        return max(existing.start, moved, key=_time)
    return min(existing.end, moved, key=_time)


def _moved_freely(target: TimeWindowPartitionsDefinition, time: datetime, offset: int) -> datetime:
    if _is_basic(target, _DAILY):
        moved = time + timedelta(days=offset)
        # A day that begins at one o'clock, as its midnight does not exist, is moved to midnight, and back.
        return moved + timedelta(hours={23: 1, 1: -1}.get(moved.hour, 0))
    if _is_basic(target, _HOURLY):
        return datetime.fromtimestamp(_time(time) + 3600 * offset, time.tzinfo)
    for _ in range(abs(offset)):
        if offset < 0:
            window = target.get_prev_partition_window(time, respect_bounds=False)
        else:
            window = target.get_next_partition_window(time, respect_bounds=False)
        assert window is not None  # Without bounds there is always one.
        time = window.start if offset < 0 else window.end
    return time


def _time(time: datetime) -> float:
    return time.timestamp()


def _before(first: datetime, second: datetime) -> bool:
    """Return whether a time is before another one; datetimes of one time zone compare by their clocks."""
    return _time(first) < _time(second)
