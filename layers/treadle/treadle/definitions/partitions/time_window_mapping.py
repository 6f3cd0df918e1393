"""The mapping between partitions of time windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.partitions.base import PartitionsDefinition
from treadle.definitions.partitions.mappings import PartitionMapping
from treadle.definitions.partitions.time_windows import TimeWindow, TimeWindowPartitionsDefinition


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
        first, last = target.get_first_partition_window(), target.get_last_partition_window()
        if first is None or last is None:
            return []
        window = source.time_window_for_partition_key(key)
        if source.cron_schedule != target.cron_schedule:
            window = _around(target, window)
        # What moves the start of the used windows back moves the end of those that use them forward.
        start = max(first.start, _moved(target, window.start, -self.end_offset), key=_time)
        end = min(last.end, _moved(target, window.end, -self.start_offset), key=_time)
        return target.get_partition_keys_in_time_window(TimeWindow(start, end))


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


def _around(target: TimeWindowPartitionsDefinition, window: TimeWindow) -> TimeWindow:
    """Return the time of the target's windows that overlap a time window."""
    first = target.get_partition_key_for_timestamp(_time(window.start))
    last = target.get_partition_key_for_timestamp(_time(window.end), end_closed=True)
    return TimeWindow(target.start_time_for_partition_key(first), target.end_time_for_partition_key(last))


def _moved(target: TimeWindowPartitionsDefinition, time: datetime, offset: int) -> datetime:
    """Return a bound of windows, moved by a number of windows."""
    for _ in range(-offset):
        window = target.get_prev_partition_window(time, respect_bounds=False)
        assert window is not None  # Without bounds there is always one.
        time = window.start
    for _ in range(offset):
        window = target.get_next_partition_window(time, respect_bounds=False)
        assert window is not None
        time = window.end
    return time


def _time(time: datetime) -> float:
    """Return what times are compared by; datetimes of one time zone compare by their clocks."""
    return time.timestamp()
