"""The sensors' read access to recorded runs and assets."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import TYPE_CHECKING

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.event_log import (
    AssetEntry,
    AssetRecord,
    AssetRecordsFilter,
    EventLogEntry,
    EventLogRecord,
    EventRecordsFilter,
    EventRecordsResult,
)
from treadle.definitions.instance import DagsterInstance
from treadle.definitions.run_events import DagsterEventType
from treadle.engine.assets.asset_events import materialized, recorded
from treadle.engine.instance.run_reader import DEFAULT_LIMIT, RunReader
from treadle.model.assets import AssetEvent, observed_key
from treadle.model.records import each_readable
from treadle.ports.assets import AT_ONCE, RecordedEvents
from treadle.ports.runs import RunStore

# Loaded only by evaluations that use dynamic partitions.
if TYPE_CHECKING:
    from treadle.engine.instance.stored_partitions import DynamicPartitions


class InstanceReader(RunReader, DagsterInstance):
    """A `DagsterInstance` that reads from the stores.

    Args:
        runs: stores run records.
        namespace: the engine's, as `account/region/namespace`.
        events: stores the materializations and observations of each asset.
        partitions: returns the dynamic partitions: those of the current tick, or the stored ones.
    """

    def __init__(
        self,
        runs: RunStore,
        namespace: str,
        events: RecordedEvents,
        partitions: "Callable[[], DynamicPartitions]",
    ) -> None:
        super().__init__(runs, namespace)
        self._events = events
        self._partitions = partitions

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> list[EventLogRecord]:
        """Return the materializations or observations of an asset that match a filter."""
        wanted = event_records_filter
        most = DEFAULT_LIMIT if limit is None else limit
        if most < 1:
            return []
        records = each_readable(_record, self._candidates(wanted, ascending, min(most, AT_ONCE)))
        found = filter(wanted.fits, records)
        return list(islice(found, most))

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Return a page of an asset's materializations."""
        return self._page(DagsterEventType.ASSET_MATERIALIZATION, records_filter, limit, cursor, ascending)

    def fetch_observations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Return a page of an asset's observations."""
        return self._page(DagsterEventType.ASSET_OBSERVATION, records_filter, limit, cursor, ascending)

    def _page(
        self,
        event_type: DagsterEventType,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None,
        ascending: bool,
    ) -> EventRecordsResult:
        if limit < 1:
            msg = f"limit is {limit}: it must be 1 or more."
            raise DagsterInvariantViolationError(msg)
        if isinstance(records_filter, AssetKey):
            records_filter = AssetRecordsFilter(records_filter)
        wanted = records_filter.beyond(event_type, _place(cursor), ascending=ascending)
        records = self.get_event_records(wanted, limit, ascending)
        # After an empty page there is nothing yet; in descending order there never will be.
        end = str(records[-1].storage_id) if records else cursor or "0"
        return EventRecordsResult(records, end, len(records) == limit)

    def _candidates(self, wanted: EventRecordsFilter, ascending: bool, at_once: int) -> Iterator[AssetEvent]:
        key, after = wanted.asset_key.to_escaped_user_string(), max(wanted.after_cursor or 0, 0)
        if wanted.event_type is DagsterEventType.ASSET_OBSERVATION:
            key = observed_key(key)
        if wanted.storage_ids is None:
            size = at_once if wanted.takes_all else AT_ONCE
            return self._events.between(key, after, wanted.before_cursor, ascending=ascending, at_once=size)
        before = wanted.before_cursor
        numbers = {n for n in wanted.storage_ids if n > after and (before is None or n < before)}
        found = self._events.numbered(key, numbers)
        return iter(found if ascending else found[::-1])

    def get_latest_materialization_event(self, asset_key: AssetKey) -> EventLogEntry | None:
        """Return the materialization of an asset that was recorded last."""
        return self.get_latest_materialization_events([asset_key])[asset_key]

    def get_latest_materialization_events(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Return the materialization of each asset that was recorded last."""
        records = self.get_latest_materialization_records(asset_keys)
        return {key: record.event_log_entry if record else None for key, record in records.items()}

    def get_latest_materialization_records(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """Return the same with their storage ids."""
        found = self._events.newest({key.to_escaped_user_string() for key in asset_keys})
        records = {record.asset_key: record for record in each_readable(_record, found.values())}
        return {key: records.get(key) for key in asset_keys}

    def get_asset_records(self, asset_keys: Sequence[AssetKey]) -> list[AssetRecord]:
        """Return the records of those of the assets that were ever materialized or observed."""
        given: object = asset_keys
        if given is None:
            msg = "get_asset_records needs asset_keys: assets are read by key, and never listed."
            raise DagsterInvariantViolationError(msg)
        records = self.get_latest_materialization_records(asset_keys)
        others = {
            observed_key(key.to_escaped_user_string()): key for key, record in records.items() if not record
        }
        observed = {others[key] for key in self._events.newest(others)} if others else ()
        return [
            AssetRecord(AssetEntry(key, record, record.run_id or None if record else None))
            for key, record in records.items()
            if record or key in observed
        ]

    def get_materialized_partitions(
        self,
        asset_key: AssetKey,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
        *,
        partitions: Sequence[str] | None = None,
    ) -> set[str]:
        """Return the partitions of an asset that were materialized."""
        key, sought = asset_key.to_escaped_user_string(), None if partitions is None else set(partitions)
        found: set[str] = set()
        events = self._events.between(key, after_cursor or 0, before_cursor, ascending=False)
        for event in each_readable(materialized, events):
            if sought is not None and sought <= found:
                break
            partition = event.materialization.partition
            if partition is not None and (sought is None or partition in sought):
                found.add(partition)
        return found

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a set of dynamic partitions."""
        return self._partitions().get_dynamic_partitions(partitions_def_name)

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a set of dynamic partitions has a key."""
        return self._partitions().has_dynamic_partition(partitions_def_name, partition_key)

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> Set[str]:
        """Return those of the given keys that a set of dynamic partitions has."""
        return self._partitions().get_existing_dynamic_partitions(partitions_def_name, partition_keys)

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add keys to a set of dynamic partitions."""
        self._partitions().add_dynamic_partitions(partitions_def_name, partition_keys)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a key from a set of dynamic partitions."""
        self._partitions().delete_dynamic_partition(partitions_def_name, partition_key)


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if cursor.isascii() and cursor.isdecimal():
        return int(cursor)
    msg = f"cursor is {cursor[:80]!r}: give the cursor of the previous page, or None for the first page."
    raise DagsterInvariantViolationError(msg)


def _record(event: AssetEvent) -> EventLogRecord:
    return EventLogRecord.of(recorded(event))
