"""Reads the records of an in-memory deployment, as sensors do."""

from collections.abc import Mapping, Sequence

from treadle.definitions.assets import AssetKey
from treadle.definitions.event_log import (
    AssetRecordsFilter,
    EventLogEntry,
    EventLogRecord,
    EventRecordsFilter,
    EventRecordsResult,
)
from treadle.definitions.runs import DagsterRun, RunRecord, RunsFilter
from treadle.engine.instance.instance_reader import InstanceReader


class Recorded:
    """The read-only part of an instance, so that it may be the `instance` of a context.

    Args:
        stored: the records.
    """

    def __init__(self, stored: InstanceReader) -> None:
        self._stored = stored

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """Return a run by id; None if it does not exist."""
        return self._stored.get_run_by_id(run_id)

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """Return a run's record by id; None if it does not exist."""
        return self._stored.get_run_record_by_id(run_id)

    def get_runs(
        self, filters: RunsFilter, *, limit: int | None = None, ascending: bool = False
    ) -> list[DagsterRun]:
        """Return the runs that match."""
        return self._stored.get_runs(filters, limit=limit, ascending=ascending)

    def get_run_records(
        self,
        filters: RunsFilter,
        *,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """Return the records that match."""
        return self._stored.get_run_records(filters, limit=limit, order_by=order_by, ascending=ascending)

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> list[EventLogRecord]:
        """Return an asset's materializations that match."""
        return self._stored.get_event_records(event_records_filter, limit, ascending)

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Return a page of an asset's materializations."""
        return self._stored.fetch_materializations(records_filter, limit, cursor, ascending)

    def get_latest_materialization_event(self, asset_key: AssetKey) -> EventLogEntry | None:
        """Return an asset's latest recorded materialization; None if there is none."""
        return self._stored.get_latest_materialization_event(asset_key)

    def get_latest_materialization_events(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Return each asset's latest recorded materialization."""
        return self._stored.get_latest_materialization_events(asset_keys)

    def get_latest_materialization_records(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """Return each asset's latest recorded materialization, with its storage id."""
        return self._stored.get_latest_materialization_records(asset_keys)

    def get_materialized_partitions(
        self,
        asset_key: AssetKey,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
        *,
        partitions: Sequence[str] | None = None,
    ) -> set[str]:
        """Return the partitions of an asset that were materialized."""
        return self._stored.get_materialized_partitions(
            asset_key, before_cursor, after_cursor, partitions=partitions
        )
