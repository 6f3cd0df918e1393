"""The sensors' read access to recorded runs."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.instance import EndedRun
from treadle.definitions.runs import DagsterRun, RunRecord, RunsFilter, from_millis
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.instance.views import dagster_run, run_record
from treadle.model.assets import AssetEvent, check_readable, ended_runs_key
from treadle.model.records import each_readable, integer, reader, text, text_or_none, texts
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run
from treadle.ports.assets import EventStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock

DEFAULT_LIMIT = 1_000

_ALL = 10**9

_ORDERS = {None: False, "create_timestamp": False, "update_timestamp": True}


class RunReader:
    """The runs of a `DagsterInstance` that reads from the stores.

    Args:
        runs: stores run records.
        namespace: the engine's, as `account/region/namespace`.
    """

    def __init__(self, runs: RunStore, namespace: str) -> None:
        self._runs = runs
        self._namespace = namespace

    def get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """Return a run by its id."""
        run = self._runs.get(run_id)
        return dagster_run(run, self._namespace) if run else None

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """Return a run's record by its id."""
        run = self._runs.get(run_id)
        return run_record(run, self._namespace) if run else None

    def has_run(self, run_id: str) -> bool:
        """Return whether there is a run with this id."""
        return self._runs.get(run_id) is not None

    def get_runs_count(self, filters: RunsFilter, limit: int | None = None) -> int:
        """Return the number of runs that match a filter."""
        return len(self._find(filters, _ALL if limit is None else limit, None, ascending=False))

    def get_runs(
        self, filters: RunsFilter, *, limit: int | None = None, ascending: bool = False
    ) -> list[DagsterRun]:
        """Return the runs that match a filter."""
        return [dagster_run(run, self._namespace) for run in self._find(filters, limit, None, ascending)]

    def get_run_records(
        self,
        filters: RunsFilter,
        *,
        limit: int | None = None,
        order_by: str | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """Return the records that match a filter."""
        return [run_record(run, self._namespace) for run in self._find(filters, limit, order_by, ascending)]

    def _find(
        self, filters: RunsFilter, limit: int | None, order_by: str | None, ascending: bool
    ) -> list[Run]:
        given: object = filters
        if not isinstance(given, RunsFilter):
            msg = "Runs are read by a filter only: give RunsFilter(job_name=...). The table is never scanned."
            raise DagsterInvariantViolationError(msg)
        if order_by not in _ORDERS:
            known = ", ".join(str(order) for order in _ORDERS if order)
            msg = f"Runs cannot be ordered by {order_by!r}; use one of: {known}."
            raise DagsterInvariantViolationError(msg)
        return self._runs.find(
            RunQuery(
                None if filters.run_ids is None else tuple(filters.run_ids),
                filters.job_name,
                filters.sensor_name,
                None if filters.statuses is None else frozenset(map(DagsterRunStatus, filters.statuses)),
                dict(filters.tags or {}),
                (_millis(filters.created_after), _millis(filters.created_before)),
                (_millis(filters.updated_after), _millis(filters.updated_before)),
                _ORDERS[order_by],
                not ascending,
                DEFAULT_LIMIT if limit is None else limit,
            )
        )


@dataclass(frozen=True, slots=True)
class CompletedRunReader:
    """An `EndedRuns` that reads from an event store."""

    events: EventStore
    clock: Clock

    def now(self) -> datetime:
        """Return the current time."""
        return from_millis(self.clock.now())

    def after(self, job_name: str, number: int, limit: int) -> list[EndedRun]:
        """Return the completed runs with higher numbers, in order."""
        found: list[EndedRun] = []
        # A reader that continues from the last one must get past a whole page of unreadable events.
        while len(found) < limit:
            events = self.events.after(ended_runs_key(job_name), number, limit)
            found += each_readable(reader(partial(_ended_run, job_name), _name), events)
            if len(events) < limit:
                break
            number = events[-1].storage_id
        return found[:limit]

    def number_at(self, job_name: str, time: datetime) -> int:
        """Return the number after which all runs are found that ended at a time or later."""
        return self.events.number_before(ended_runs_key(job_name), int(time.timestamp() * 1000))


def _name(event: AssetEvent) -> str:
    return f"event {event.storage_id} of {event.asset_key}"


def _ended_run(job_name: str, event: AssetEvent) -> EndedRun:
    check_readable(event)
    body = json.loads(event.body)
    return EndedRun(
        event.storage_id,
        text(body["run_id"]),
        job_name,
        DagsterRunStatus(event.kind),
        from_millis(event.time),
        texts(body["tags"]),
        text_or_none(body["partition_key"]),
        integer(body["depth"]),
    )


def _millis(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)
