"""What a sensor may ask of the runs that are recorded, under the names that Dagster's instance has."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from treadle.definitions.runs import DagsterRun, RunRecord, RunsFilter
from treadle.definitions.status import DagsterRunStatus


class DagsterInstance(Protocol):
    """The recorded runs of the sensor's stack; found by an index that lags by a moment, then read strongly."""

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
        """The number of the last that had ended before a moment; 0 if none had."""
