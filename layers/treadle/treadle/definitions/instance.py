"""Queries of recorded runs and assets for sensors, under the names of Dagster's instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

# Loaded only by evaluators that use them.
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set
    from datetime import datetime

    from treadle.definitions.asset_key import AssetKey
    from treadle.definitions.event_log import (
        AssetRecord,
        AssetRecordsFilter,
        EventLogEntry,
        EventLogRecord,
        EventRecordsFilter,
        EventRecordsResult,
    )
    from treadle.definitions.runs import DagsterRun, RunRecord, RunsFilter
    from treadle.definitions.status import DagsterRunStatus


@runtime_checkable
class DagsterInstance(Protocol):
    """The recorded runs and assets of the sensor's engine.

    Runs are found by an eventually consistent index, then read strongly; assets' events are read strongly.
    """

    @staticmethod
    def ephemeral() -> Any:
        """Return an in-memory deployment without sensors, for a test; `TreadleInstance` takes sensors."""
        return import_module("treadle.testing.instance").TreadleInstance([])

    def has_run(self, run_id: str) -> bool:
        """Return whether there is a run with this id."""

    def get_runs_count(self, filters: RunsFilter, limit: int | None = None) -> int:
        """Return the number of runs that match; each of them is read.

        Args:
            filters: the conditions.
            limit: the number at which counting ends; None for all.
        """

    def get_asset_records(self, asset_keys: Sequence[AssetKey]) -> list[AssetRecord]:
        """Return the records of those of the assets that were ever materialized or observed, read strongly.

        Args:
            asset_keys: the assets.

        Raises:
            DagsterInvariantViolationError: if no assets are given, as they are never listed.
        """

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """Return a run by its id, read strongly; None if there is none."""

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """Return a run's record by its id, read strongly; None if there is none."""

    def get_runs(
        self, filters: RunsFilter, *, limit: int | None = None, ascending: bool = False
    ) -> list[DagsterRun]:
        """Return the runs that match, latest first.

        Args:
            filters: the conditions.
            limit: the maximum number; None for 1,000.
            ascending: True for the earliest first.
        """

    def get_run_records(
        self,
        filters: RunsFilter,
        *,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """Return the records that match.

        Args:
            filters: the conditions.
            limit: the maximum number; None for 1,000.
            order_by: "create_timestamp", which is also the default, or "update_timestamp".
            ascending: True for the oldest first.

        Raises:
            DagsterInvariantViolationError: if they cannot be sorted in that order.
        """

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> list[EventLogRecord]:
        """Return the materializations or observations of an asset that match, latest first.

        Args:
            event_records_filter: the conditions.
            limit: the maximum number; None for 1,000.
            ascending: True for the earliest first.
        """

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Return a page of an asset's materializations, latest first.

        Args:
            records_filter: the asset, or a filter of its materializations.
            limit: the maximum number.
            cursor: the previous page's `cursor`; None for the first page.
            ascending: True for the earliest first.

        Raises:
            DagsterInvariantViolationError: if the limit is less than one, or the cursor is malformed.
        """

    def fetch_observations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Return a page of an asset's observations, as `fetch_materializations` does of its materializations.

        Args:
            records_filter: the asset, or a filter of its observations.
            limit: the maximum number.
            cursor: the previous page's `cursor`; None for the first page.
            ascending: True for the earliest first.

        Raises:
            DagsterInvariantViolationError: if the limit is less than one, or the cursor is malformed.
        """

    def get_latest_materialization_event(self, asset_key: AssetKey) -> EventLogEntry | None:
        """Return the latest recorded materialization of an asset; None if there is none."""

    def get_latest_materialization_events(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Return the latest recorded materialization of each asset; a hundred assets cost two requests."""

    def get_latest_materialization_records(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """Return the same with their storage ids."""

    def get_materialized_partitions(
        self,
        asset_key: AssetKey,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
        *,
        partitions: Sequence[str] | None = None,
    ) -> set[str]:
        """Return the partitions of an asset that were materialized.

        Materializations are read backwards from the last one, so the cost grows with the number recorded in
        that range.

        Args:
            asset_key: the asset.
            before_cursor: only those recorded before this storage id.
            after_cursor: only those recorded after this storage id.
            partitions: only these are searched for, and reading stops once all of them are found.
        """

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a set of dynamic partitions in the order in which they were added, read strongly.

        In an evaluation, after the tick's own changes.

        Args:
            partitions_def_name: the name of the `DynamicPartitionsDefinition`; an unknown set has no keys.
        """

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a set of dynamic partitions has a key, read strongly.

        In an evaluation, after the tick's own changes.

        Args:
            partitions_def_name: the name of the `DynamicPartitionsDefinition`.
            partition_key: the key.
        """

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> Set[str]:
        """Return those of the given keys that a set of dynamic partitions has; a hundred cost one request.

        Args:
            partitions_def_name: the name of the `DynamicPartitionsDefinition`.
            partition_keys: the keys.
        """

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add keys to a set of dynamic partitions; those that exist stay where they are.

        In an evaluation they are added with the tick: the rest of the evaluation sees them, and a tick that
        fails changes nothing.

        Args:
            partitions_def_name: the name of the `DynamicPartitionsDefinition`.
            partition_keys: the keys.

        Raises:
            InvalidResultError: if the name or a key cannot be stored.
        """

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a key from a set of dynamic partitions, if it exists; in an evaluation, with the tick.

        Args:
            partitions_def_name: the name of the `DynamicPartitionsDefinition`.
            partition_key: the key.

        Raises:
            InvalidResultError: if the name or the key cannot be stored.
        """


@dataclass(frozen=True, slots=True)
class EndedRun:
    """The event that a run ended, with its number among the ended runs of its job.

    Attributes:
        number: its number in the order in which Treadle recorded the ends; without gap, from 1.
        run_id: the run.
        job_name: its job.
        status: its last status.
        time: when it ended.
        tags: the run's short ones.
        partition_key: the run's partition.
        depth: the number of runs that led to it, one after the other, itself included.
    """

    number: int
    run_id: str
    job_name: str
    status: DagsterRunStatus
    time: datetime
    tags: dict[str, str] = field(default_factory=dict)
    partition_key: str | None = None
    depth: int = 0


class EndedRuns(Protocol):
    """The ended runs of each job, in the order in which Treadle recorded them, read strongly."""

    def now(self) -> datetime:
        """Return the current time."""

    def after(self, job_name: str, number: int, limit: int) -> list[EndedRun]:
        """Return the runs with higher numbers, in order."""

    def number_at(self, job_name: str, time: datetime) -> int:
        """Return the number after which all runs lie that ended at a time or later, even if recorded late."""
