"""What is recorded in an in-memory deployment, as sensors read it."""

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
from treadle.engine.instance_reader import InstanceReader


class Recorded:
    """The reading half of an instance, so that it may be the `instance` of a context.

    Args:
        stored: what is recorded.
    """

    def __init__(self, stored: InstanceReader) -> None:
        self._stored = stored

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """A run by its name; None if there is none."""
        return self._stored.get_run_by_id(run_id)

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """A run's record by its name; None if there is none."""
        return self._stored.get_run_record_by_id(run_id)

    def get_runs(
        self, filters: RunsFilter, *, limit: int | None = None, ascending: bool = False
    ) -> list[DagsterRun]:
        """The runs that fit."""
        return self._stored.get_runs(filters, limit=limit, ascending=ascending)

    def get_run_records(
        self,
        filters: RunsFilter,
        *,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """The records that fit."""
        return self._stored.get_run_records(filters, limit=limit, order_by=order_by, ascending=ascending)

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> list[EventLogRecord]:
        """An asset's materializations that fit."""
        return self._stored.get_event_records(event_records_filter, limit, ascending)

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """A page of an asset's materializations."""
        return self._stored.fetch_materializations(records_filter, limit, cursor, ascending)

    def get_latest_materialization_event(self, asset_key: AssetKey) -> EventLogEntry | None:
        """The materialization of an asset that was recorded last; None if there is none."""
        return self._stored.get_latest_materialization_event(asset_key)

    def get_latest_materialization_events(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Of each asset the materialization that was recorded last."""
        return self._stored.get_latest_materialization_events(asset_keys)

    def get_latest_materialization_records(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """The same with their storage ids."""
        return self._stored.get_latest_materialization_records(asset_keys)

    def get_materialized_partitions(
        self,
        asset_key: AssetKey,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
        *,
        partitions: Sequence[str] | None = None,
    ) -> set[str]:
        """The partitions of an asset that were materialized."""
        return self._stored.get_materialized_partitions(
            asset_key, before_cursor, after_cursor, partitions=partitions
        )
