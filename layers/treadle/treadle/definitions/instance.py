"""What a sensor may ask of recorded runs and assets, under the names that Dagster's instance has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

# An evaluator that never asks loads none of these.
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from treadle.definitions.assets import AssetKey
    from treadle.definitions.event_log import (
        AssetRecordsFilter,
        EventLogEntry,
        EventLogRecord,
        EventRecordsFilter,
        EventRecordsResult,
    )
    from treadle.definitions.runs import DagsterRun, RunRecord, RunsFilter
    from treadle.definitions.status import DagsterRunStatus


class DagsterInstance(Protocol):
    """The recorded runs and assets of the sensor's engine.

    Runs are found by an index that lags by a moment, then read strongly; what became of assets is read strongly.
    """

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """A run by its name, read strongly; None if there is none."""

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """A run's record by its name, read strongly; None if there is none."""

    def get_runs(
        self, filters: RunsFilter, *, limit: int | None = None, ascending: bool = False
    ) -> list[DagsterRun]:
        """The runs that fit, those made last first.

        Args:
            filters: which.
            limit: how many at most; None for 1,000.
            ascending: True for those made first.
        """

    def get_run_records(
        self,
        filters: RunsFilter,
        *,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """The records that fit.

        Args:
            filters: which.
            limit: how many at most; None for 1,000.
            order_by: "create_timestamp", which None means too, or "update_timestamp".
            ascending: True for the oldest first.

        Raises:
            DagsterInvariantViolationError: if they cannot be put into that order.
        """

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> list[EventLogRecord]:
        """An asset's materializations that fit, those recorded last first.

        Args:
            event_records_filter: which.
            limit: how many at most; None for 1,000.
            ascending: True for those recorded first.
        """

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """A page of an asset's materializations, those recorded last first.

        Args:
            records_filter: the asset, or which of its materializations.
            limit: how many at most.
            cursor: what the page before gave as `cursor`; None for the first page.
            ascending: True for those recorded first.

        Raises:
            DagsterInvariantViolationError: if the limit is less than one, or the cursor is none.
        """

    def get_latest_materialization_event(self, asset_key: AssetKey) -> EventLogEntry | None:
        """The materialization of an asset that was recorded last; None if there is none."""

    def get_latest_materialization_events(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogEntry | None]:
        """Of each asset the materialization that was recorded last; a hundred assets cost two requests."""

    def get_latest_materialization_records(
        self, asset_keys: Sequence[AssetKey]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """The same with their storage ids."""

    def get_materialized_partitions(
        self,
        asset_key: AssetKey,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
        *,
        partitions: Sequence[str] | None = None,
    ) -> set[str]:
        """The partitions of an asset that were materialized.

        Materializations are read from the last one backwards, so it costs what was recorded in that range.

        Args:
            asset_key: the asset.
            before_cursor: only those recorded before this storage id.
            after_cursor: only those recorded behind this storage id.
            partitions: only these are looked for, and once all of them are found no more is read.
        """


@dataclass(frozen=True, slots=True)
class EndedRun:
    """That a run ended, as it is numbered among the ended runs of its job.

    Attributes:
        number: its place in the order in which Treadle learnt of the ends; without gap, from 1.
        run_id: the run.
        job_name: its job.
        status: how it ended.
        time: when.
        tags: the run's short ones.
        partition_key: the partition that it was for.
        depth: how many runs, one after the other, led to it, itself included.
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
    """The ended runs of each job, in the order in which Treadle learnt of them, read strongly."""

    def now(self) -> datetime:
        """The time."""

    def after(self, job_name: str, number: int, limit: int) -> list[EndedRun]:
        """Those numbered higher, in order."""

    def number_at(self, job_name: str, moment: datetime) -> int:
        """The number behind which all lie that ended at a moment or later, whatever order their news came in."""
