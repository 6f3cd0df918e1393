"""The context of a multi-asset sensor's function, and how to make one in a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from treadle.definitions.asset_cursors import AssetCursor, dump_cursors, load_cursors
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context, check_cursor_size
from treadle.definitions.errors import DagsterInvalidInvocationError, DagsterInvariantViolationError
from treadle.definitions.event_log import EventLogRecord, EventRecordsFilter
from treadle.definitions.event_numbers import check_is_recorded
from treadle.definitions.run_events import DagsterEventType

_ALL = 10**9

Records = list[EventLogRecord]


@dataclass(slots=True, kw_only=True)
class MultiAssetSensorEvaluationContext(SensorEvaluationContext):
    """The context of a multi-asset sensor's function.

    All reads of a tick, or of a direct call of the sensor, see the assets as of the first read: materializations
    recorded later belong to the next one, and `advance_all_cursors` does not pass over them.

    Attributes:
        asset_keys: the assets.
        depth: the greatest chain depth of the materializations that were read.
    """

    asset_keys: tuple[AssetKey, ...]
    depth: int = 0
    _cursors: dict[AssetKey, AssetCursor] = field(init=False)
    _newest: dict[AssetKey, EventLogRecord | None] | None = None
    _consumed: dict[AssetKey, dict[int, str | None]] = field(default_factory=dict)
    _consumes_all: bool = False
    _is_called: bool = True

    def __post_init__(self) -> None:
        self._cursors = load_cursors(self._cursor, self.asset_keys)

    def update_cursor(self, cursor: str | None) -> None:
        """Raise an error: only `advance_cursor` moves the cursor.

        Raises:
            DagsterInvariantViolationError: always.
        """
        msg = (
            f"Cannot set cursor in a multi_asset_sensor: sensor {self.sensor_name} set it to {cursor!r}. "
            "Cursor is set automatically; use context.advance_cursor or context.advance_all_cursors."
        )
        raise DagsterInvariantViolationError(msg)

    def begin_call(self) -> None:
        """Begin a direct call: forget what the previous one read, and marked without moving the cursor."""
        self._newest, self._consumed, self._consumes_all = None, {}, False
        self.cursor_updated, self._is_called = False, True

    def end_call(self) -> None:
        """End a direct call: from now on each read is a new one."""
        self._newest, self._is_called = None, False

    def continue_from(self, cursor: str | None) -> None:
        """Set the cursor to that of an evaluation with a context of its own."""
        self._cursor, self._cursors = cursor, load_cursors(cursor, self.asset_keys)

    def latest_materialization_records_by_key(
        self, asset_keys: Sequence[AssetKey] | None = None
    ) -> dict[AssetKey, EventLogRecord | None]:
        """Return the newest materialization of each asset, if it is after the cursor; else None.

        Args:
            asset_keys: some of the assets; None for all.
        """
        newest = self._newest_of_all()
        keys = newest.keys() if asset_keys is None else map(self._monitored, asset_keys)
        return {key: self._if_new(key, newest[key]) for key in keys}

    def materialization_records_for_key(self, asset_key: AssetKey, limit: int | None = None) -> Records:
        """Return the materializations of an asset after the cursor, earliest first.

        Args:
            asset_key: one of the assets.
            limit: the maximum number; None for all.

        Raises:
            DagsterInvalidInvocationError: if the asset is not monitored.
        """
        return self._read(asset_key, self._cursors[self._monitored(asset_key)].storage_id, limit=limit)

    def get_trailing_unconsumed_events(self, asset_key: AssetKey) -> Records:
        """Return the unconsumed materializations before the cursor, one for each partition, in order.

        Args:
            asset_key: one of the assets.

        Raises:
            DagsterInvalidInvocationError: if the asset is not monitored.
        """
        numbers = list(self._cursors[self._monitored(asset_key)].unconsumed.values())
        return self._read(asset_key, 0, storage_ids=numbers) if numbers else []

    def latest_materialization_records_by_partition(
        self, asset_key: AssetKey, after_cursor_partition: bool | None = False
    ) -> dict[str, EventLogRecord]:
        """Return the newest unconsumed materialization of each partition of an asset, as recorded.

        Args:
            asset_key: one of the assets.
            after_cursor_partition: True for only those partitions that sort after the cursor's, as text.

        Raises:
            DagsterInvalidInvocationError: if the asset is not monitored.
        """
        since = self.get_cursor_partition(asset_key) if after_cursor_partition else None
        found: dict[str, EventLogRecord] = {}
        left = self.get_trailing_unconsumed_events(asset_key)
        for record in [*left, *self.materialization_records_for_key(asset_key)]:
            partition = record.partition_key
            if partition is None or (since is not None and partition <= since):
                continue
            found.pop(partition, None)  # So that a partition's position is that of its newest.
            found[partition] = record
        return found

    def latest_materialization_records_by_partition_and_asset(
        self,
    ) -> dict[str, dict[AssetKey, EventLogRecord]]:
        """Return the newest unconsumed materialization by partition and asset."""
        found: dict[str, dict[AssetKey, EventLogRecord]] = {}
        for key in self.asset_keys:
            for partition, record in self.latest_materialization_records_by_partition(key).items():
                found.setdefault(partition, {})[key] = record
        return found

    def get_cursor_partition(self, asset_key: AssetKey | None) -> str | None:
        """Return the partition at the cursor.

        Args:
            asset_key: one of the assets; None for the only one.

        Raises:
            DagsterInvalidInvocationError: if the asset is not monitored, or is not named and there are
                several.
        """
        if asset_key is None and len(self.asset_keys) > 1:
            msg = "Asset key must be provided when multiple assets are defined."
            raise DagsterInvalidInvocationError(msg)
        return self._cursors[self._monitored(asset_key or self.asset_keys[0])].partition

    def all_partitions_materialized(
        self, asset_key: AssetKey, partitions: Sequence[str] | None = None
    ) -> bool:
        """Return whether each of some partitions was ever materialized, consumed or not.

        Args:
            asset_key: any asset.
            partitions: required, as there are no asset definitions here that would list them.

        Raises:
            DagsterInvariantViolationError: if the partitions are None.
            DagsterInvalidInvocationError: if they are empty.
        """
        if partitions is None:
            msg = (
                f"The partitions of asset {asset_key} are not defined: pass the partitions to check "
                "to all_partitions_materialized."
            )
            raise DagsterInvariantViolationError(msg)
        if not partitions:
            msg = "Must provide at least one partition in list."
            raise DagsterInvalidInvocationError(msg)
        sought = set(partitions)
        return sought <= set(self.instance.get_materialized_partitions(asset_key, partitions=sorted(sought)))

    def advance_cursor(
        self, materialization_records_by_key: Mapping[AssetKey, EventLogRecord | None]
    ) -> None:
        """Mark materializations as consumed, and earlier ones of the same partitions too.

        The cursor moves when the tick commits. Materializations of other partitions that were passed over are
        left for later ticks.

        Args:
            materialization_records_by_key: by asset; None leaves the cursor of that asset where it is.

        Raises:
            DagsterInvalidInvocationError: if an asset is not monitored.
        """
        for key, record in materialization_records_by_key.items():
            consumed = self._consumed.setdefault(self._monitored(key), {})
            if record is not None:
                consumed[record.storage_id] = record.partition_key
        self.cursor_updated = True

    def advance_all_cursors(self) -> None:
        """Mark all recorded materializations of the assets as consumed, including those that were left."""
        self.advance_cursor(self.latest_materialization_records_by_key())
        self._consumes_all = True

    def update_cursor_after_evaluation(self) -> None:
        """Set the cursor to the evaluation's result.

        Raises:
            DagsterInvariantViolationError: if it has too many unconsumed partitions.
        """
        if not self._consumes_all and not any(self._consumed.values()):
            return
        moved = {key: self._moved(key) for key in self.asset_keys}
        text = dump_cursors(moved)
        check_cursor_size(self.sensor_name, text)
        self._cursor, self._cursors = text, moved
        self._newest, self._consumed, self._consumes_all = None, {}, False

    def _moved(self, key: AssetKey) -> AssetCursor:
        before, consumed = self._cursors[key], self._consumed.get(key, {})
        if self._consumes_all:
            return replace(before.advanced(consumed, ()), unconsumed={})
        if not consumed:
            return before
        between = self._read(key, before.storage_id, before=max(consumed))
        return before.advanced(consumed, [*self.get_trailing_unconsumed_events(key), *between])

    def _monitored(self, key: AssetKey) -> AssetKey:
        if key not in self._cursors:
            msg = f"Asset key {key} not monitored by sensor {self.sensor_name}."
            raise DagsterInvalidInvocationError(msg)
        return key

    def _newest_of_all(self) -> dict[AssetKey, EventLogRecord | None]:
        if self._newest is None or not self._is_called:
            self._newest = dict(self.instance.get_latest_materialization_records(self.asset_keys))
            for key, record in self._newest.items():
                number = self._cursors[key].storage_id
                is_recorded = record is not None and number <= record.storage_id
                check_is_recorded(self.sensor_name, f"asset {key}", number, is_recorded=is_recorded)
        return self._newest

    def _if_new(self, key: AssetKey, record: EventLogRecord | None) -> EventLogRecord | None:
        if record is None or record.storage_id <= self._cursors[key].storage_id:
            return None
        self.depth = max(self.depth, record.depth)
        return record

    def _read(
        self,
        key: AssetKey,
        after: int,
        *,
        before: int | None = None,
        limit: int | None = None,
        storage_ids: Sequence[int] | None = None,
    ) -> Records:
        """Return records of an asset in order, none newer than the first read."""
        newest = self._newest_of_all()[key]
        end = newest.storage_id + 1 if newest else 1
        wanted = EventRecordsFilter(
            DagsterEventType.ASSET_MATERIALIZATION,
            key,
            after_cursor=after,
            before_cursor=end if before is None else min(end, before),
            storage_ids=storage_ids,
        )
        found: Records = self.instance.get_event_records(wanted, limit or _ALL, ascending=True)
        self.depth = max([self.depth, *(record.depth for record in found)])
        return found


def build_multi_asset_sensor_context(
    *,
    monitored_assets: Sequence[AssetKey],
    instance: Any = None,
    cursor: str | None = None,
    repository_name: str | None = None,
    cursor_from_latest_materializations: bool = False,
    resources: Mapping[str, Any] | None = None,
    last_sensor_start_time: float | None = None,
    sensor_name: str | None = None,
) -> MultiAssetSensorEvaluationContext:
    """Make a context for calling a multi-asset sensor in a test.

    Args:
        monitored_assets: the assets.
        instance: the value of `context.instance`, such as a `TreadleInstance`.
        cursor: the cursor.
        repository_name: the value of `context.repository_name`.
        cursor_from_latest_materializations: True for a cursor after everything that the instance has.
        resources: by key: a `ResourceDefinition`, or the resource itself.
        last_sensor_start_time: seconds since the epoch.
        sensor_name: the value of `context.sensor_name`.

    Raises:
        DagsterInvalidInvocationError: if `cursor_from_latest_materializations` is given with a cursor, or
            without an instance.
    """
    if cursor_from_latest_materializations and cursor:
        msg = "Cannot provide both cursor and cursor_from_latest_materializations objects."
        raise DagsterInvalidInvocationError(msg)
    if cursor_from_latest_materializations and instance is None:
        msg = "Cannot provide cursor_from_latest_materializations object without a Dagster instance."
        raise DagsterInvalidInvocationError(msg)
    base = build_sensor_context(
        instance,
        cursor,
        repository_name,
        sensor_name=sensor_name,
        resources=resources,
        last_sensor_start_time=last_sensor_start_time,
    )
    context = MultiAssetSensorEvaluationContext.extending(base, asset_keys=tuple(monitored_assets))
    if cursor_from_latest_materializations:
        context.advance_all_cursors()
        context.update_cursor_after_evaluation()
        context.cursor_updated = False
    context.end_call()
    return context
