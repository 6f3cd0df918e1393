"""Queries for run records: by id, job or sensor, ordered or by page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.definitions.status import DagsterRunStatus

if TYPE_CHECKING:
    from treadle.model.runs import Run


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A query for run records: by id, job or sensor, with filters and an order.

    Attributes:
        run_ids: only these records; no index is used then.
        job: the job's name.
        sensor: the sensor that requested the run.
        statuses: any of these; None for all.
        tags: all of these, with these values.
        created: created after the first and before the second time.
        updated: status last updated after the first and before the second time.
        by_update: True orders by last update, False by creation.
        newest_first: True for descending order.
        limit: the maximum number of records.
    """

    run_ids: tuple[str, ...] | None = None
    job: str | None = None
    sensor: str | None = None
    statuses: frozenset[DagsterRunStatus] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    created: tuple[int | None, int | None] = (None, None)
    updated: tuple[int | None, int | None] = (None, None)
    by_update: bool = False
    newest_first: bool = True
    limit: int = 1_000

    def matches(self, run: "Run") -> bool:
        """Return whether a record matches the query."""
        return (
            (self.run_ids is None or run.run_id in self.run_ids)
            and (self.job is None or run.job == self.job)
            and (self.sensor is None or run.sensor == self.sensor)
            and (self.statuses is None or run.status in self.statuses)
            and all(run.tags.get(name) == value for name, value in self.tags.items())
            and _is_between(run.created_at, self.created)
            and _is_between(run.updated_at, self.updated)
        )

    def ordered(self, runs: "Iterable[Run]") -> "list[Run]":
        """Return the records in the requested order, up to the limit."""

        def place(run: "Run") -> tuple[int, str]:
            return (run.updated_at if self.by_update else run.created_at, run.run_id)

        return sorted(runs, key=place, reverse=self.newest_first)[: self.limit]


def _is_between(time: int, bounds: tuple[int | None, int | None]) -> bool:
    after, before = bounds
    return (after is None or time > after) and (before is None or time < before)


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of run records, newest first.

    Attributes:
        runs: the records on this page.
        next: the start of the next page, for `RunStore.page`; None if there is nothing more.
        searched_since: of runs of all jobs: older ones were not searched; None if none was left out so.
    """

    runs: "tuple[Run, ...]"
    next: str | None
    searched_since: int | None = None


MOST_SCANNED = 1_000
"""The maximum number of records that are read for one page."""

MOST_SEARCHED = 5_000
"""How many of a job's runs, the newest, are searched for the first characters of an id."""


def mentions(run: "Run", text: str) -> bool:
    """Return whether a run's id, key, job, sensor, partition or error contains a text, in upper or lower case."""
    failure = (run.failure.error, run.failure.cause) if run.failure else ()
    texts = (run.run_id, run.run_key, run.job, run.sensor, run.partition_key, *failure)
    return any(text.casefold() in each.casefold() for each in texts if each)


def place_of(run: "Run") -> str:
    """Return the page token of a page that ends with this run."""
    return f"{run.created_at}/{run.run_id}"


def parse_place(text: str) -> tuple[int, str] | None:
    """Parse a page token into its last run's creation time and id; None if it is malformed."""
    time, _, run_id = text.partition("/")
    return (int(time), run_id) if time.isdecimal() and len(time) <= 15 and 0 < len(run_id) <= 64 else None
