"""The context of a multi-asset sensor's function, and how to make one in a test."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from treadle.definitions.asset_cursors import AssetCursor, dump_cursors, load_cursors
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.asset_partitions import AssetPartitions
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context, check_cursor_size
from treadle.definitions.errors import DagsterInvalidInvocationError, DagsterInvariantViolationError
from treadle.definitions.event_log import EventLogRecord, EventRecordsFilter
from treadle.definitions.event_numbers import check_is_recorded
from treadle.definitions.monitored_assets import MonitoredAssets
from treadle.definitions.run_events import DagsterEventType

if TYPE_CHECKING:
    from treadle.definitions.asset_selection import AssetSelection
    from treadle.definitions.asset_specs import AssetSpec
    from treadle.definitions.jobs import JobDefinition
    from treadle.definitions.partitions.base import PartitionsDefinition

_ALL = 10**9

Records = list[EventLogRecord]


@dataclass(slots=True, kw_only=True)
class MultiAssetSensorEvaluationContext(SensorEvaluationContext):
    """The context of a multi-asset sensor's function.

    All reads of a tick, or of a direct call of the sensor, see the assets as of the first read: materializations
    recorded later belong to the next one, and `advance_all_cursors` does not pass over them.

    Attributes:
        asset_keys: the assets.
        asset_partitions: what is declared about the partitions of these and other assets.
        depth: the greatest chain depth of the materializations that were read.
    """

    asset_keys: list[AssetKey]
    asset_partitions: AssetPartitions = field(default_factory=AssetPartitions)
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

    def begin_call(self, declared: AssetPartitions | None = None) -> None:
        """Begin a direct call: forget what the previous one read, and marked without moving the cursor.

        Args:
            declared: what the sensor declares about its assets.
        """
        if declared is not None:
            self.asset_partitions = self.asset_partitions.also(declared)
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
            asset_key: one of the assets. If it has a partitions definition, only its keys are considered; if nothing
                is declared about it, all that were recorded.
            after_cursor_partition: True for only those partitions that come after the cursor's; without a
                partitions definition, those that sort after it, as text.

        Raises:
            DagsterInvalidInvocationError: if the asset is not monitored, or the cursor's partition does not exist
                any more.
            DagsterInvariantViolationError: if the asset has no partitions.
        """
        partitions_def = self._partitions_of(asset_key)
        found: dict[str, EventLogRecord] = {}
        left = self.get_trailing_unconsumed_events(asset_key)
        for record in [*left, *self.materialization_records_for_key(asset_key)]:
            if record.partition_key is not None:
                found.pop(record.partition_key, None)  # So that a partition's position is that of its newest.
                found[record.partition_key] = record
        since = self.get_cursor_partition(asset_key) if after_cursor_partition else None
        if partitions_def is None:
            return {key: each for key, each in found.items() if since is None or key > since}
        with self._partition_loading():
            if since is None:
                existing = partitions_def.filter_valid_partition_keys(found.keys())
            else:
                existing = partitions_def.filter_later_partition_keys(found.keys(), since)
        return {key: each for key, each in found.items() if key in existing}

    def latest_materialization_records_by_partition_and_asset(
        self,
    ) -> dict[str, dict[AssetKey, EventLogRecord]]:
        """Return the newest unconsumed materialization by partition and asset.

        Raises:
            DagsterInvalidInvocationError: if the assets have different partitions.
            DagsterInvariantViolationError: if they have none.
        """
        declared = [self.asset_partitions.definition(key) for key in self.asset_keys]
        if any(each != declared[0] for each in declared):
            msg = "All assets must be partitioned and share the same partitions definition"
            raise DagsterInvalidInvocationError(msg)
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
            asset_key: any asset; without `partitions`, one of the monitored ones.
            partitions: None for all that the asset's partitions definition has at this time.

        Raises:
            DagsterInvariantViolationError: if the partitions are None, and not known.
            DagsterInvalidInvocationError: if they are empty.
        """
        if partitions is None:
            partitions = self._all_partitions(asset_key)
        elif not partitions:
            msg = "Must provide at least one partition in list."
            raise DagsterInvalidInvocationError(msg)
        sought = set(partitions)
        return sought <= set(self.instance.get_materialized_partitions(asset_key, partitions=sorted(sought)))

    def _all_partitions(self, asset_key: AssetKey) -> Sequence[str]:
        if asset_key not in self._cursors:
            msg = f"Asset key {asset_key} not monitored by sensor {self.sensor_name}."
            raise DagsterInvariantViolationError(msg)
        partitions_def = self.asset_partitions.definition(asset_key)
        if partitions_def is None:
            msg = (
                f"Asset key {asset_key} is not partitioned. Cannot check if partitions have been materialized. Declare "
                "its partitions in monitored_assets=[AssetSpec(..., partitions_def=...)], or pass the partitions to check "
                "to all_partitions_materialized."
            )
            raise DagsterInvariantViolationError(msg)
        with self._partition_loading():
            return partitions_def.get_partition_keys()

    def get_downstream_partition_keys(
        self, partition_key: str, from_asset_key: AssetKey, to_asset_key: AssetKey
    ) -> Sequence[str]:
        """Return the keys of the partitions of an asset that are made from a partition of another one.

        They are mapped as the dependency's `partition_mapping` declares; without one, by the default for the two
        partitions definitions.

        Args:
            partition_key: the upstream asset's partition.
            from_asset_key: the upstream asset.
            to_asset_key: the downstream asset.

        Raises:
            DagsterInvalidInvocationError: if nothing is declared about one of them, or it has no partitions.
            ValueError: if the key is not in the format of the upstream asset's keys.
        """
        for key in (to_asset_key, from_asset_key):
            if not self.asset_partitions.is_declared(key):
                msg = (
                    f"The partitions of asset key {key} are declared neither in the sensor nor in its target jobs. "
                    "Declare them in monitored_assets=[AssetSpec(..., partitions_def=...)], or in the assets of a job."
                )
                raise DagsterInvalidInvocationError(msg)
        with self._partition_loading():
            return self.asset_partitions.downstream_keys(partition_key, from_asset_key, to_asset_key)

    def _partitions_of(self, key: AssetKey) -> "PartitionsDefinition | None":
        """Return a monitored asset's partitions; None if nothing is declared about it."""
        partitions_def = self.asset_partitions.definition(self._monitored(key))
        if partitions_def is None and self.asset_partitions.is_declared(key):
            msg = (
                "Cannot get latest materialization by partition for assets with no partitions: asset "
                f"{key.to_user_string()} is declared without. Give its AssetSpec a partitions_def."
            )
            raise DagsterInvariantViolationError(msg)
        return partitions_def

    def _partition_loading(self) -> AbstractContextManager[Any]:
        # Imported here, as most assets have no partitions.
        from treadle.definitions.partitions.context import current_context, partition_loading_context

        store = current_context().dynamic_partitions_store
        return partition_loading_context(dynamic_partitions_store=self.instance if store is None else store)

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
        if moved != self._cursors:
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
    monitored_assets: "Sequence[AssetKey | AssetSpec] | AssetSelection",
    instance: Any = None,
    cursor: str | None = None,
    repository_name: str | None = None,
    cursor_from_latest_materializations: bool = False,
    resources: Mapping[str, Any] | None = None,
    last_sensor_start_time: float | None = None,
    sensor_name: str | None = None,
    jobs: "Sequence[JobDefinition] | None" = None,
) -> MultiAssetSensorEvaluationContext:
    """Make a context for calling a multi-asset sensor in a test.

    Args:
        monitored_assets: the assets, as for `multi_asset_sensor`.
        instance: the value of `context.instance`, such as a `TreadleInstance`.
        cursor: the cursor.
        repository_name: the value of `context.repository_name`.
        cursor_from_latest_materializations: True for a cursor after everything that the instance has.
        resources: by key: a `ResourceDefinition`, or the resource itself.
        last_sensor_start_time: seconds since the epoch.
        sensor_name: the value of `context.sensor_name`.
        jobs: the jobs that make the assets, as for `TreadleInstance`.

    Raises:
        DagsterInvalidInvocationError: if `cursor_from_latest_materializations` is given with a cursor, or
            without an instance.
        DagsterInvalidDefinitionError: if the assets are neither keys, nor specs, nor a selection of the jobs' assets;
            or if what is declared about them contradicts itself.
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
    monitored = MonitoredAssets.of(monitored_assets, base.sensor_name).declaring(jobs or ())
    monitored = monitored.resolved(base.sensor_name, jobs or ())
    context = MultiAssetSensorEvaluationContext.extending(
        base, asset_keys=list(monitored.keys), asset_partitions=monitored.partitions
    )
    if cursor_from_latest_materializations:
        context.advance_all_cursors()
        context.update_cursor_after_evaluation()
        context.cursor_updated = False
    context.end_call()
    return context
