"""The stores' twins in memory: the same conditions, checked by the same contract tests."""

import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from treadle.definitions.errors import LeaseLostError, StoreError
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus, TickStatus
from treadle.ports.assets import AssetEvent
from treadle.ports.run_queries import MOST_LOOKED_AT, RunPage, RunQuery, parse_place, place_of
from treadle.ports.runs import Claim, KeyState, Look, Run, Try
from treadle.ports.sensors import (
    KEPT_EDITS,
    Completion,
    Edit,
    Lease,
    LeaseRequest,
    RecordedEdit,
    Refused,
    SensorState,
    recorded,
)
from treadle.ports.ticks import MOST_READ, DispatchCounts, Slicing, Tick, TickOutline, TickPage, outline


@dataclass(slots=True)
class InMemoryTables:
    """What the stores of one deployment share.

    Attributes:
        sensors: by name.
        edits: by sensor, newest first.
        ticks: by sensor and tick id.
        runs: by run id.
        events: by asset key, in order.
        pending_since: for pending ticks that were postponed, when they are due again.
        looks: how far each observed job's target has been looked through.
        admitted: runs counted against each sensor's limit, by sensor and hour.
        lock: held while a write checks its condition.
    """

    sensors: dict[str, SensorState] = field(default_factory=dict)
    edits: dict[str, list[RecordedEdit]] = field(default_factory=dict)
    ticks: dict[tuple[str, str], Tick] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    events: dict[str, list[AssetEvent]] = field(default_factory=dict)
    pending_since: dict[tuple[str, str], int] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    admitted: dict[tuple[str, int], int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


class InMemorySensorStore:
    """A `SensorStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def get(self, sensor: str) -> SensorState:
        """The state."""
        return self._tables.sensors.get(sensor, SensorState(sensor))

    def get_many(self, sensors: Collection[str]) -> dict[str, SensorState]:
        """The states by name."""
        return {sensor: self.get(sensor) for sensor in sensors}

    def cursor(self, state: SensorState) -> str | None:
        """The bookmark."""
        return state.cursor

    def acquire(self, request: LeaseRequest) -> Lease | Refused:
        """Take the lease."""
        with self._tables.lock:
            before = self.get(request.sensor)
            if before.lease_owner == request.owner:
                return Lease(request.sensor, request.owner, before.epoch, request.nominal, _own(before))
            if not self._may_acquire(before, request):
                return Refused(self._tables.sensors.get(request.sensor))
            self._tables.sensors[request.sensor] = replace(
                before,
                epoch=before.epoch + 1,
                lease_owner=request.owner,
                lease_expires=request.expires_at,
                last_nominal=request.nominal,
                started_at=request.now if before.started_at is None else before.started_at,
            )
            return Lease(request.sensor, request.owner, before.epoch + 1, request.nominal, before)

    def _may_acquire(self, state: SensorState, request: LeaseRequest) -> bool:
        last, done = state.last_nominal, state.last_completion
        is_free = state.lease_owner is None or state.lease_expires < request.now
        if request.at_once:
            is_next = last is None or last <= request.nominal
            return state.is_running(request.default_status) and is_free and is_next
        return (
            state.is_running(request.default_status)
            and is_free
            and (last is None or last <= request.nominal - max(request.interval, 1))
            and (done is None or done <= request.now - request.interval // 2)
            and (state.resume_at is None or state.resume_at <= request.now)
        )

    def commit(self, lease: Lease, completion: Completion) -> None:
        """Write everything, or nothing."""
        with self._tables.lock:
            state = self.get(lease.sensor)
            if state.lease_owner != lease.owner or state.epoch != lease.epoch:
                msg = f"The lease of sensor {lease.sensor} at epoch {lease.epoch} is no longer held."
                raise LeaseLostError(msg)
            if any((tick.sensor, tick.tick_id) in self._tables.ticks for tick in completion.ticks):
                msg = f"A tick of sensor {lease.sensor} for the same time was committed before."
                raise LeaseLostError(msg)
            for tick in completion.ticks:
                self._tables.ticks[tick.sensor, tick.tick_id] = tick
            if completion.keeps_lease:
                kept = replace(state, failure_streak=completion.failure_streak)
                self._tables.sensors[lease.sensor] = kept
                return
            if completion.paused:
                state = replace(state, status=InstigatorStatus.STOPPED)
            self._tables.sensors[lease.sensor] = replace(
                state,
                lease_owner=None,
                lease_expires=0,
                resume_at=completion.resume_at,
                paused=completion.paused,
                last_completion=completion.at,
                failure_streak=completion.failure_streak,
                skips=completion.skips,
                cursor=completion.cursor if completion.cursor_changed else state.cursor,
                last_run_key=completion.last_run_key,
            )

    def release(self, lease: Lease) -> None:
        """Give up the lease, if it is still there."""
        with self._tables.lock:
            state = self.get(lease.sensor)
            if state.lease_owner == lease.owner:
                self._tables.sensors[lease.sensor] = replace(state, lease_owner=None, lease_expires=0)

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        """Change the state, and raise the epoch."""
        with self._tables.lock:
            state = self.get(sensor)
            if edit.if_epoch is not None and edit.if_epoch != state.epoch:
                msg = f"Sensor {sensor} changed meanwhile: its epoch is no longer {edit.if_epoch}."
                raise LeaseLostError(msg)
            edits = [recorded(edit, state, state.cursor), *self.edits(sensor)]
            self._tables.edits[sensor] = edits[:KEPT_EDITS]
            state = replace(state, epoch=state.epoch + 1)
            if edit.status is not None:
                state = replace(state, status=edit.status)
            if edit.status not in {None, InstigatorStatus.STOPPED}:
                state = replace(state, paused=None, resume_at=None, failure_streak=0)
            if edit.status is InstigatorStatus.RUNNING:
                state = replace(state, started_at=edit.at)
            if edit.sets_cursor:
                state = replace(state, cursor=edit.cursor)
            self._tables.sensors[sensor] = state
            return state

    def edits(self, sensor: str) -> list[RecordedEdit]:
        """The sensor's last edits, newest first."""
        return self._tables.edits.get(sensor, [])


def _own(state: SensorState) -> SensorState:
    """The state as an owner sees it who asks again for the lease it holds."""
    return replace(state, lease_owner=None, lease_expires=0, epoch=state.epoch - 1)


class InMemoryTickStore:
    """A `TickStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def get(self, sensor: str, tick_id: str) -> Tick | None:
        """The record."""
        return self._tables.ticks.get((sensor, tick_id))

    def is_dispatched(self, sensor: str, tick_id: str) -> bool:
        """Whether its requests have been dispatched, or it is gone."""
        tick = self.get(sensor, tick_id)
        return tick is None or tick.dispatched is not None

    def latest(self, sensor: str, limit: int) -> list[Tick]:
        """The newest records first."""
        found = sorted((key for key in self._tables.ticks if key[0] == sensor), reverse=True)
        return [self._tables.ticks[key] for key in found[:limit]]

    def page(
        self,
        sensor: str,
        *,
        before: str | None = None,
        limit: int,
        statuses: Collection[TickStatus] | None = None,
    ) -> TickPage:
        """Some of a sensor's ticks, newest first."""
        names = sorted((name for of, name in self._tables.ticks if of == sensor), reverse=True)
        found: list[TickOutline] = []
        last = None
        for read, name in enumerate(name for name in names if before is None or name < before):
            if len(found) == limit or read == MOST_READ:
                return TickPage(tuple(found), last)
            last = name
            tick = self._tables.ticks[sensor, name]
            if statuses is None or tick.status in statuses:
                found.append(outline(tick))
        return TickPage(tuple(found), None)

    def attempts(self, sensor: str, tick_ids: Collection[str]) -> dict[str, tuple[TickStatus, int]]:
        """Status and attempts of those that are stored."""
        found = {tick_id: self.get(sensor, tick_id) for tick_id in tick_ids}
        return {tick_id: (tick.status, tick.attempts) for tick_id, tick in found.items() if tick}

    def put(self, tick: Tick) -> bool:
        """Keep the record if there is none, or one of a failure."""
        with self._tables.lock:
            standing = self.get(tick.sensor, tick.tick_id)
            if standing and standing.status is not TickStatus.FAILURE:
                return standing.owner == tick.owner
            self._tables.ticks[tick.sensor, tick.tick_id] = tick
            return True

    def note_slice(
        self, tick: Tick, index: int, of: int, counts: DispatchCounts, refusals: Collection[str]
    ) -> Slicing | None:
        """Note once that a slice is done."""
        with self._tables.lock:
            standing = self.get(tick.sensor, tick.tick_id)
            if standing is None:
                return None
            before = standing.slicing or Slicing(of)
            if index in before.noted or before.of != of:
                return before
            after = Slicing(
                of,
                before.noted | {index},
                before.counts + counts,
                tuple(sorted({*before.refusals, *refusals})),
            )
            self._tables.ticks[tick.sensor, tick.tick_id] = replace(standing, slicing=after)
            return after

    def pending(self, before: int, limit: int) -> list[tuple[str, str]]:
        """Ticks that wait for their dispatch, those first that have waited longest."""
        waiting = [
            (self._tables.pending_since.get(key, tick.ended_at), key)
            for key, tick in self._tables.ticks.items()
            if tick.is_to_be_dispatched
        ]
        return [key for at, key in sorted(waiting) if at < before][:limit]

    def postpone(self, sensor: str, tick_id: str, until: int, reason: str) -> None:
        """Let a pending tick wait."""
        with self._tables.lock:
            standing = self._tables.ticks.get((sensor, tick_id))
            if standing and standing.dispatched is None:
                self._tables.ticks[sensor, tick_id] = replace(standing, held=reason)
                self._tables.pending_since[sensor, tick_id] = until

    def admit(self, sensor: str, hour: int, number: int, limit: int) -> int:
        """Count runs against the limit for the hour."""
        with self._tables.lock:
            before = self._tables.admitted.get((sensor, hour), 0)
            granted = max(0, min(number, limit - before))
            self._tables.admitted[sensor, hour] = before + granted
            return granted

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        """Note what became of the requests."""
        with self._tables.lock:
            standing = self.get(tick.sensor, tick.tick_id)
            if standing:
                done = replace(standing, dispatched=counts, refusals=tuple(refusals), held=None)
                self._tables.ticks[tick.sensor, tick.tick_id] = done


class InMemoryRunStore:
    """A `RunStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def get(self, run_id: str) -> Run | None:
        """The record."""
        return self._tables.runs.get(run_id)

    def of_sensor(self, sensor: str, limit: int) -> list[Run]:
        """The newest runs first."""
        runs = [run for run in self._tables.runs.values() if run.sensor == sensor]
        return sorted(runs, key=lambda run: run.created_at, reverse=True)[:limit]

    def page(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[DagsterRunStatus] | None = None,
        before: str | None = None,
        limit: int,
    ) -> RunPage:
        """The runs of a sensor or of a job, newest first."""
        place = parse_place(before) if before is not None else None
        if not (sensor or job) or (before is not None and place is None):
            msg = "A page of runs needs a sensor or a job, and begins where another ended."
            raise StoreError(msg)
        query = RunQuery(sensor=sensor or None, job=None if sensor else job, limit=len(self._tables.runs))
        found: list[Run] = []
        last = None
        behind = [run for run in self.find(query) if place is None or (run.created_at, run.run_id) < place]
        for read, run in enumerate(behind):
            if len(found) == limit or read == MOST_LOOKED_AT:
                return RunPage(tuple(found), last)
            last = place_of(run)
            if statuses is None or run.status in statuses:
                found.append(run)
        return RunPage(tuple(found), None)

    def counts(self, sensor: str, since: int, limit: int) -> dict[DagsterRunStatus, int]:
        """How many runs of a sensor have which status."""
        found = self.find(RunQuery(sensor=sensor, created=(since, None), limit=limit))
        return dict(Counter(run.status for run in found))

    def due(self, now: int, limit: int) -> list[str]:
        """The ids of runs whose time has passed, those first that have waited longest."""
        waiting = [(run.next_at, run.run_id) for run in self._tables.runs.values() if run.next_at is not None]
        return [run_id for at, run_id in sorted(waiting) if at <= now][:limit]

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        """The records that exist."""
        return {run_id: self._tables.runs[run_id] for run_id in run_ids if run_id in self._tables.runs}

    def find(self, query: RunQuery) -> list[Run]:
        """The records asked for."""
        with self._tables.lock:
            return query.ordered(run for run in self._tables.runs.values() if query.matches(run))

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        """How the keys of those stand whose run exists."""
        return {run_id: _state(run, requests[run_id]) for run_id, run in self.get_many(requests).items()}

    def create(self, run: Run) -> Run | None:
        """Put the record if there is none."""
        with self._tables.lock:
            standing = self.get(run.run_id)
            if standing is None:
                self._tables.runs[run.run_id] = run
            return standing

    def claim(self, run_id: str, job: str, attempt: int, claim: Claim, tried: Try) -> Run | None:
        """Take the right to start an attempt."""
        with self._tables.lock:
            run = self.get(run_id)
            if (
                run is None
                or (run.job, run.attempt) != (job, attempt)
                or run.status is not DagsterRunStatus.QUEUED
            ):
                return run
            if run.claim and run.claim.token != claim.token and run.claim.expires_at >= tried.at:
                return run
            claimed = replace(run, claim=claim, tried=run.tried or tried, revision=run.revision + 1)
            self._tables.runs[run_id] = claimed
            return claimed

    def replace(self, run: Run) -> Run | None:
        """Write if the revision is still the given one."""
        with self._tables.lock:
            standing = self._tables.runs[run.run_id]
            if standing.revision != run.revision:
                return standing
            self._tables.runs[run.run_id] = replace(run, revision=run.revision + 1)
            return None

    def look(self, job: str) -> Look | None:
        """How far a job's target has been looked through."""
        return self._tables.looks.get(job)

    def keep_look(self, job: str, look: Look) -> None:
        """Keep that, unless a later look is done."""
        with self._tables.lock:
            standing = self._tables.looks.get(job)
            if standing is None or standing.done_at <= look.done_at:
                self._tables.looks[job] = look


def _state(run: Run, request: str | None) -> KeyState:
    if run.is_settled:
        return KeyState.SETTLED
    if run.may_start_again or run.yields not in {None, request}:
        return KeyState.OPEN
    return KeyState.TAKEN
