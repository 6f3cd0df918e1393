"""The stores in memory: the same conditions, verified by the same contract tests."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from treadle.definitions.clocks import is_ahead
from treadle.definitions.errors import LeaseLostError, StoreError, UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus, TickStatus
from treadle.model.loops import NEVER_HELD, LoopHold
from treadle.model.records import or_error
from treadle.model.run_queries import (
    MOST_SCANNED,
    MOST_SEARCHED,
    RunPage,
    RunQuery,
    mentions,
    parse_place,
    place_of,
)
from treadle.model.runs import (
    Claim,
    KeyState,
    PendingStart,
    PollCheckpoint,
    Run,
    pool_changes,
    unreadable_run,
)
from treadle.model.sensors import (
    KEPT_EDITS,
    Completion,
    Edit,
    Lease,
    LeaseRequest,
    RecordedEdit,
    Refused,
    SensorState,
    recorded,
    unreadable_state,
)
from treadle.model.ticks import (
    ChunkProgress,
    DispatchCounts,
    Drop,
    Tick,
    TickPage,
    TickSummary,
    TickTrouble,
    outline,
    unreadable_tick,
)
from treadle.ports.ticks import MOST_READ
from treadle.testing.backfills import InMemoryBackfillStore
from treadle.testing.batches import InMemoryBatchStore
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.deliveries import InMemoryDeliveryStore
from treadle.testing.engine_state import InMemoryEngineStore, InMemoryLateSensorStore
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.partition_store import InMemoryPartitionStore
from treadle.testing.pools import InMemoryPoolStore, apply_pool_changes
from treadle.testing.registry import InMemoryRegistryStore
from treadle.testing.tables import InMemoryTables


class InMemorySensorStore:
    """A `SensorStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def get(self, sensor: str) -> SensorState:
        """Return a sensor's state."""
        self._tables.check(sensor)
        return self._tables.sensors.get(sensor) or SensorState(sensor)

    def get_many(self, sensors: Collection[str]) -> dict[str, SensorState]:
        """Return states by name."""
        unreadable = self._tables.unreadable
        return {
            sensor: unreadable_state(sensor, f"unreadable: {unreadable[sensor,]}")
            if (sensor,) in unreadable
            else self.get(sensor)
            for sensor in sensors
        }

    def cursor(self, state: SensorState) -> str | None:
        """Return the cursor."""
        self._tables.check(f"{state.sensor}#cursor")
        return state.cursor

    def acquire(self, request: LeaseRequest) -> Lease | Refused:
        """Acquire the lease."""
        with self._tables.lock:
            before = self.get(request.sensor)
            if before.lease_owner == request.owner:
                first = self._tables.before_leases[request.sensor]
                return Lease(request.sensor, request.owner, before.epoch, request.scheduled_for, first)
            if before.is_foreign(request.project) or not self._may_acquire(before, request):
                return Refused(self._tables.sensors.get(request.sensor))
            self._tables.before_leases[request.sensor] = before
            self._tables.sensors[request.sensor] = replace(
                before,
                epoch=before.epoch + 1,
                lease_owner=request.owner,
                lease_expires=request.expires_at,
                last_scheduled_for=request.scheduled_for,
                started_at=request.now if before.started_at is None else before.started_at,
                interval=request.interval,
                project=request.project or before.project,
            )
            return Lease(request.sensor, request.owner, before.epoch + 1, request.scheduled_for, before)

    def _may_acquire(self, state: SensorState, request: LeaseRequest) -> bool:
        last, done = state.last_scheduled_for, state.last_completion
        is_free = state.lease_owner is None or state.lease_expires < request.now
        if last is not None and is_ahead(last, request.now):
            last = None
        if request.at_once:
            is_next = last is None or last <= request.scheduled_for
            is_new = done is None or done <= request.now
            return state.is_running(request.default_status) and is_free and is_next and is_new
        if done is not None and is_ahead(done, request.now):
            done = None
        return (
            state.is_running(request.default_status)
            and is_free
            and (last is None or last <= request.scheduled_for - max(request.interval, 1))
            and (done is None or done <= request.now - request.interval // 2)
            and (state.resume_at is None or state.resume_at <= request.now)
        )

    def claim(self, sensor: str, project: str) -> SensorState:
        """Take a state that belongs to no project."""
        with self._tables.lock:
            state = self.get(sensor)
            if state.project is None:
                state = self._tables.sensors[sensor] = replace(state, project=project)
            return state

    def commit(self, lease: Lease, completion: Completion) -> None:
        """Commit everything, or nothing."""
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
                partitions_tick=completion.partitions_tick,
            )

    def release(self, lease: Lease) -> None:
        """Release the lease, if it is still held."""
        with self._tables.lock:
            state = self.get(lease.sensor)
            if state.lease_owner == lease.owner:
                self._tables.sensors[lease.sensor] = replace(state, lease_owner=None, lease_expires=0)

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        """Change the state, and increment the epoch."""
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
                state = replace(state, paused=None, resume_at=None, failure_streak=0, started_at=edit.at)
            if edit.sets_cursor:
                state = replace(state, cursor=edit.cursor)
            if edit.project is not None:
                state = replace(state, project=edit.project)
            if edit.starts_over:
                state = replace(
                    state,
                    last_run_key=None,
                    paused=None,
                    resume_at=None,
                    failure_streak=0,
                    started_at=edit.at,
                )
            self._tables.sensors[sensor] = state
            return state

    def edits(self, sensor: str) -> list[RecordedEdit]:
        """Return the sensor's last edits, newest first."""
        return self._tables.edits.get(sensor, [])


class InMemoryTickStore:
    """A `TickStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def get(self, sensor: str, tick_id: str) -> Tick | None:
        """Return a record."""
        self._tables.check(sensor, tick_id)
        return self._tables.ticks.get((sensor, tick_id))

    def _listed(self, key: tuple[str, str]) -> Tick:
        try:
            self._tables.check(*key)
        except UnreadableRecordError as error:
            return unreadable_tick(*key, self._tables.ticks[key].time, error.reason)
        return self._tables.ticks[key]

    def is_dispatched(self, sensor: str, tick_id: str) -> bool:
        """Return whether a tick has been dispatched or no longer exists."""
        tick = self.get(sensor, tick_id)
        return tick is None or tick.dispatched is not None

    def has_changed_partitions(self, sensor: str, tick_id: str) -> bool:
        """Return whether a tick's requests are dispatched or held."""
        tick = self.get(sensor, tick_id)
        return tick is None or tick.dispatched is not None or tick.held_requests > 0

    def latest(self, sensor: str, limit: int) -> list[Tick]:
        """Return the newest records first."""
        found = sorted((key for key in self._tables.ticks if key[0] == sensor), reverse=True)
        return [self._listed(key) for key in found[:limit]]

    def between(self, sensor: str, first: str, last: str, *, ascending: bool = True) -> Iterator[Tick]:
        """Yield a sensor's complete records whose ids are in a range."""
        names = sorted(name for of, name in self._tables.ticks if of == sensor and first <= name <= last)
        for name in names if ascending else reversed(names):
            yield self._listed((sensor, name))

    def page(
        self,
        sensor: str,
        *,
        before: str | None = None,
        limit: int,
        statuses: Collection[TickStatus | TickTrouble] | None = None,
    ) -> TickPage:
        """Return a page of a sensor's ticks, newest first."""
        names = sorted((name for of, name in self._tables.ticks if of == sensor), reverse=True)
        found: list[TickSummary] = []
        last = None
        for read, name in enumerate(name for name in names if before is None or name < before):
            if len(found) == limit or read == MOST_READ:
                return TickPage(tuple(found), last)
            last = name
            tick = self._listed((sensor, name))
            if statuses is None or tick.status in statuses or tick.trouble in statuses:
                found.append(outline(tick))
        return TickPage(tuple(found), None)

    def next_id(self, sensor: str, tick_id: str) -> str | None:
        """Return the id of the following tick."""
        return min((name for of, name in self._tables.ticks if of == sensor and name > tick_id), default=None)

    def attempts(self, sensor: str, tick_ids: Collection[str]) -> dict[str, tuple[TickStatus, int]]:
        """Return status and attempts of the ticks that are stored."""
        readable = (name for name in tick_ids if (sensor, name) not in self._tables.unreadable)
        found = {tick_id: self.get(sensor, tick_id) for tick_id in readable}
        return {tick_id: (tick.status, tick.attempts) for tick_id, tick in found.items() if tick}

    def put(self, tick: Tick) -> bool:
        """Put a record if there is none, or if it is one of a failure."""
        with self._tables.lock:
            current = self.get(tick.sensor, tick.tick_id)
            if current and current.status is not TickStatus.FAILURE:
                return current.owner == tick.owner
            self._tables.ticks[tick.sensor, tick.tick_id] = tick
            return True

    def put_many(self, ticks: Sequence[Tick]) -> list[bool | Exception]:
        """Put records, one after the other."""
        return [or_error(partial(self.put, tick)) for tick in ticks]

    def mark_chunk_done(
        self, tick: Tick, index: int, of: int, counts: DispatchCounts, refusals: Collection[str]
    ) -> ChunkProgress | None:
        """Mark a chunk as done once."""
        with self._tables.lock:
            current = self.get(tick.sensor, tick.tick_id)
            if current is None:
                return None
            before = current.slicing or ChunkProgress(of)
            if index in before.noted or before.of != of:
                return before
            after = ChunkProgress(
                of,
                before.noted | {index},
                before.counts + counts,
                tuple(sorted({*before.refusals, *refusals})),
            )
            self._tables.ticks[tick.sensor, tick.tick_id] = replace(current, slicing=after)
            return after

    def pending(self, before: int, limit: int) -> list[tuple[str, str]]:
        """Return ticks that wait for dispatch, the longest-waiting first."""
        waiting = [
            (self._tables.marked.get(key, self._tables.pending_since.get(key, tick.ended_at)), key)
            for key, tick in self._tables.ticks.items()
            if tick.is_to_be_dispatched
        ]
        return [key for at, key in sorted(waiting) if at < before][:limit]

    def postpone(
        self, sensor: str, tick_id: str, until: int, reason: str, *, held: int | None = None
    ) -> bool:
        """Defer the dispatch of a pending tick."""
        with self._tables.lock:
            current = self._tables.ticks.get((sensor, tick_id))
            if not current or current.dispatched is not None:
                return False
            number = current.held_requests if held is None else held
            if (current.held, current.held_requests) != (reason, number):
                self._tables.ticks[sensor, tick_id] = replace(current, held=reason, held_requests=number)
            self._tables.pending_since[sensor, tick_id] = until
            return True

    def drop(self, sensor: str, tick_id: str, drop: Drop, due: int, reason: str) -> bool:
        """Record an operator's drop once."""
        with self._tables.lock:
            current = self._tables.ticks.get((sensor, tick_id))
            if current is None or current.dropped is not None:
                return current is not None and current.dropped == drop
            if not current.is_to_be_dispatched or not current.held_requests:
                return False
            self._tables.ticks[sensor, tick_id] = replace(current, dropped=drop, held=reason)
            self._tables.pending_since[sensor, tick_id] = due
            return True

    def mark_unreadable(self, sensor: str, tick_id: str, until: int, reason: str) -> bool:
        """Postpone a pending tick whose record cannot be read."""
        del reason
        key = (sensor, tick_id)
        with self._tables.lock:
            is_pending = key in self._tables.ticks and self._tables.ticks[key].is_to_be_dispatched
            is_new = is_pending and key not in self._tables.marked
            if is_pending:
                self._tables.marked[key] = until
            return is_new

    def admit(self, sensor: str, hour: int, number: int, limit: int) -> int:
        """Reserve runs within the hour's limit."""
        with self._tables.lock:
            before = self._tables.admitted.get((sensor, hour), 0)
            granted = max(0, min(number, limit - before))
            self._tables.admitted[sensor, hour] = before + granted
            return granted

    def loop_hold(self, sensor: str) -> LoopHold:
        """Return whether a sensor is held as a loop."""
        self._tables.check(f"{sensor}#loop", "loop")
        return self._tables.loop_holds.get(sensor, NEVER_HELD)

    def loop_holds(self, sensors: Collection[str]) -> dict[str, LoopHold]:
        """Return the same of several sensors."""
        known = self._tables.loop_holds
        return {
            sensor: known[sensor]
            for sensor in sensors
            if sensor in known and (f"{sensor}#loop", "loop") not in self._tables.unreadable
        }

    def hold_loop(self, sensor: str, held_at: int, reason: str, released_at: int) -> bool:
        """Hold a sensor, unless it is held, or was released meanwhile."""
        with self._tables.lock:
            before = self._tables.loop_holds.get(sensor, NEVER_HELD)
            after = replace(before, held_at=held_at, reason=reason)
            if before.held_at is None and before.released_at == released_at:
                self._tables.loop_holds[sensor] = after
            return self._tables.loop_holds.get(sensor) == after

    def release_loop(self, sensor: str, at: int, by: str) -> bool:
        """Release a sensor, if it is held."""
        with self._tables.lock:
            released = LoopHold(released_at=at, released_by=by)
            before = self._tables.loop_holds.get(sensor, NEVER_HELD)
            if before.held_at is not None:
                self._tables.loop_holds[sensor] = released
            return self._tables.loop_holds.get(sensor) == released

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        """Record the results of the requests."""
        with self._tables.lock:
            current = self.get(tick.sensor, tick.tick_id)
            if current:
                done = replace(
                    current, dispatched=counts, refusals=tuple(refusals), held=None, held_requests=0
                )
                self._tables.ticks[tick.sensor, tick.tick_id] = done
                self._tables.marked.pop((tick.sensor, tick.tick_id), None)

    def mark_many_dispatched(self, done: Sequence[tuple[Tick, DispatchCounts]]) -> list[Exception | None]:
        """Record the results of ticks, one after the other."""
        return [or_error(partial(self.mark_dispatched, tick, counts, ())) for tick, counts in done]


class InMemoryRunStore:
    """A `RunStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def get(self, run_id: str) -> Run | None:
        """Return a record."""
        self._tables.check(run_id)
        return self._tables.runs.get(run_id)

    def _readable(self) -> list[Run]:
        return [run for name, run in self._tables.runs.items() if (name,) not in self._tables.unreadable]

    def _listed(self, run: Run) -> Run:
        try:
            self._tables.check(run.run_id)
        except UnreadableRecordError as error:
            return unreadable_run(run.run_id, run.job, run.sensor, run.created_at, error.reason)
        return run

    def list_by_sensor(self, sensor: str, limit: int) -> list[Run]:
        """Return the newest runs first."""
        runs = [run for run in self._readable() if run.sensor == sensor]
        return sorted(runs, key=lambda run: run.created_at, reverse=True)[:limit]

    def page(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[DagsterRunStatus] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> RunPage:
        """Return a page of runs of a sensor or of a job, newest first."""
        place = parse_place(before) if before is not None else None
        if not (sensor or job) or (before is not None and place is None):
            msg = "A page of runs needs a sensor or a job, and begins where another ended."
            raise StoreError(msg)
        query = RunQuery(sensor=sensor or None, job=None if sensor else job, limit=len(self._tables.runs))
        found: list[Run] = []
        last = None
        of_all = query.ordered(run for run in self._tables.runs.values() if query.matches(run))
        listed = map(self._listed, of_all)
        behind = [
            run
            for run in listed
            if (place is None or (run.created_at, run.run_id) < place)
            and (since or 0) <= run.created_at < (math.inf if until is None else until)
        ]
        for read, run in enumerate(behind):
            if len(found) == limit or read == MOST_SCANNED:
                return RunPage(tuple(found), last)
            last = place_of(run)
            if (statuses is None or run.status in statuses) and (not text or mentions(run, text)):
                found.append(run)
        return RunPage(tuple(found), None)

    def ids_beginning(self, text: str, job: str) -> list[str]:
        """Return ids of a job's newest runs."""
        newest = RunQuery(job=job, limit=MOST_SEARCHED).ordered(
            run for run in self._tables.runs.values() if run.job == job
        )
        return [run.run_id for run in newest if run.run_id.startswith(text)]

    def counts(self, sensor: str, since: int, limit: int) -> dict[DagsterRunStatus, int]:
        """Count a sensor's runs by status."""
        found = self.find(RunQuery(sensor=sensor, created=(since, None), limit=limit))
        return dict(Counter(run.status for run in found))

    def in_progress(self, limit: int, after: str | None = None) -> tuple[list[str], str | None]:
        """Return a page of the runs that are checked at some time."""
        checked = sorted(run.run_id for run in self._tables.runs.values() if run.next_at is not None)
        found = [run_id for run_id in checked if after is None or run_id > after]
        return found[:limit], found[limit - 1] if len(found) > limit else None

    def due(self, now: int, limit: int) -> list[str]:
        """Return the ids of runs that are due, the longest-waiting first."""
        marked = self._tables.marked
        waiting = [
            (marked.get((run.run_id,), run.next_at), run.run_id)
            for run in self._tables.runs.values()
            if run.next_at is not None
        ]
        return [run_id for at, run_id in sorted(waiting) if at <= now][:limit]

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return the records that exist."""
        readable = (name for name in run_ids if (name,) not in self._tables.unreadable)
        return {name: self._tables.runs[name] for name in readable if name in self._tables.runs}

    def find(self, query: RunQuery) -> list[Run]:
        """Return the matching records."""
        with self._tables.lock:
            return query.ordered(run for run in self._readable() if query.matches(run))

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        """Return the state of the run keys whose run exists."""
        return {run_id: _state(run, requests[run_id]) for run_id, run in self.get_many(requests).items()}

    def create(self, run: Run) -> Run | None:
        """Put a record if it does not exist."""
        with self._tables.lock:
            current = self.get(run.run_id)
            if current is None:
                apply_pool_changes(self._tables, pool_changes(None, run), run.run_id)
                self._tables.runs[run.run_id] = run
            return current

    def create_many(self, runs: Sequence[Run]) -> list[Run | Exception | None]:
        """Put the records that do not exist, one after the other."""
        return [or_error(partial(self.create, run)) for run in runs]

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        """Claim an attempt."""
        with self._tables.lock:
            run = self.get(run_id)
            if (
                run is None
                or (run.job, run.attempt) != (job, attempt)
                or run.status is not DagsterRunStatus.QUEUED
                or run.waiting is not None
            ):
                return run
            if run.claim and run.claim.token != claim.token and run.claim.expires_at >= pending_start.at:
                return run
            claimed = replace(
                run, claim=claim, pending_start=run.pending_start or pending_start, revision=run.revision + 1
            )
            self._tables.runs[run_id] = claimed
            return claimed

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        """Replace a record if its revision is unchanged."""
        with self._tables.lock:
            self._tables.check(run.run_id)
            current = self._tables.runs[run.run_id]
            if current.revision != run.revision:
                return current
            apply_pool_changes(self._tables, pool_changes(before, run), run.run_id)
            self._tables.runs[run.run_id] = replace(run, revision=run.revision + 1)
            self._tables.marked.pop((run.run_id,), None)
            return None

    def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
        """Replace the records, one after the other."""
        return [or_error(partial(self.replace, run, before)) for run, before in changes]

    def mark_unreadable(self, run_id: str, until: int, reason: str) -> bool:
        """Postpone a run whose record cannot be read."""
        del reason
        with self._tables.lock:
            run = self._tables.runs.get(run_id)
            is_waiting = run is not None and run.next_at is not None
            is_new = is_waiting and (run_id,) not in self._tables.marked
            if is_waiting:
                self._tables.marked[run_id,] = until
            return is_new

    def poll_checkpoint(self, job: str) -> PollCheckpoint | None:
        """Return a job's poll checkpoint."""
        return self._tables.poll_checkpoints.get(job)

    def put_poll_checkpoint(self, job: str, checkpoint: PollCheckpoint) -> None:
        """Store a poll checkpoint, unless a later one exists."""
        with self._tables.lock:
            current = self._tables.poll_checkpoints.get(job)
            if current is None or current.done_at <= checkpoint.done_at:
                self._tables.poll_checkpoints[job] = checkpoint


def _state(run: Run, request: str | None) -> KeyState:
    if run.is_final:
        return KeyState.SETTLED
    if run.may_start_again or run.replaceable_request_digest not in {None, request}:
        return KeyState.OPEN
    return KeyState.TAKEN


class InMemoryStores:
    """All stores of one deployment.

    Args:
        tables: their shared state.
    """

    def __init__(self, tables: InMemoryTables | None = None) -> None:
        self.tables = tables or InMemoryTables()
        self.sensors = InMemorySensorStore(self.tables)
        self.ticks = InMemoryTickStore(self.tables)
        self.runs = InMemoryRunStore(self.tables)
        self.events = InMemoryEventStore(self.tables)
        self.partitions = InMemoryPartitionStore(self.tables)
        self.pools = InMemoryPoolStore(self.tables)
        self.deliveries = InMemoryDeliveryStore(self.tables)
        self.batches = InMemoryBatchStore(self.tables)
        self.blobs = InMemoryBlobStore(self.tables)
        self.backfills = InMemoryBackfillStore(self.tables)
        self.registry = InMemoryRegistryStore(self.tables)
        self.engine = InMemoryEngineStore(self.tables)
        self.late_sensors = InMemoryLateSensorStore(self.tables)
