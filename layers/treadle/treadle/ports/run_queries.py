"""How run records are asked for: by name, of a job or a sensor, in an order, or page by page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.definitions.status import DagsterRunStatus

if TYPE_CHECKING:
    from treadle.ports.runs import Run


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which records are asked for: by name, of a job, or of a sensor; and in what order.

    Attributes:
        run_ids: by name; nothing else leads to records then.
        job: the job's name.
        sensor: the sensor that asked.
        statuses: any of them; None for all.
        tags: all of them, with these values.
        created: whose record was made later than the first, and earlier than the second time.
        updated: whose status was last learnt of later than the first, and earlier than the second time.
        by_update: True orders by the last news, False by the record's making.
        newest_first: the order.
        limit: how many at most.
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
        """Whether a record is asked for."""
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
        """The records in the order asked for, as many as asked for."""

        def place(run: "Run") -> tuple[int, str]:
            return (run.updated_at if self.by_update else run.created_at, run.run_id)

        return sorted(runs, key=place, reverse=self.newest_first)[: self.limit]


def _is_between(time: int, bounds: tuple[int | None, int | None]) -> bool:
    after, before = bounds
    return (after is None or time > after) and (before is None or time < before)


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some run records, newest first.

    Attributes:
        runs: those found.
        next: where the next page goes on, as `RunStore.page` takes it; None if there is nothing more.
    """

    runs: "tuple[Run, ...]"
    next: str | None


MOST_LOOKED_AT = 1_000
"""So many records at most are looked through for one page."""


def place_of(run: "Run") -> str:
    """Where a page ends that ends with this run."""
    return f"{run.created_at}/{run.run_id}"


def parse_place(text: str) -> tuple[int, str] | None:
    """When the run was made with which a page ended, and its id; None for a text that says neither."""
    time, _, run_id = text.partition("/")
    return (int(time), run_id) if time.isdecimal() and len(time) <= 15 and 0 < len(run_id) <= 64 else None
