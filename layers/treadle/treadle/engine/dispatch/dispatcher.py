"""DISPATCH: turns a committed tick's requests into run records, and these into launch messages."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from itertools import chain
from typing import TypeVar

from treadle.definitions.bounds import MAX_REFUSAL, fit
from treadle.definitions.errors import (
    StoreRejectedError,
    UnknownEventError,
    UnreadableRecordError,
    is_passing,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.dispatch.chunks import CHUNK_SIZE, chunk, chunk_count, partition_chunk_count
from treadle.engine.dispatch.loop_guard import FREE, LoopGuard, LoopStatus
from treadle.engine.dispatch.rate_limit import RunRateLimiter
from treadle.engine.dispatch.reactions import ReactionNotes, reaction_of
from treadle.engine.dispatch.run_tags import run_tags
from treadle.engine.identity import timestamp
from treadle.engine.invocation_batch import result_of
from treadle.engine.launch.attempts import attempt_for_request
from treadle.engine.messages import ChunkRequest, LaunchRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.engine.registry.registry_cache import NO_POOLS, Grants, Pools
from treadle.engine.run_batches import BATCH_SIZE, write_batches
from treadle.model.runs import Run
from treadle.model.ticks import ChunkProgress, DispatchCounts, Drop, PlannedRun, Tick
from treadle.ports.partitions import PartitionStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

R = TypeVar("R")

SHOWN_REFUSALS = 20
SHOWN_REFUSALS_OF_CHUNK = 2
"""The number of refusals recorded with a reason, for a tick and for each of its chunks; all are counted."""

_SHOWN_JOBS = 5

HANDED_ON_MS = 900_000
"""Chunks that are not all completed after this time are sent again."""

UNGRANTED_MS = 600_000
"""Requests for a job without a grant are checked again after ten minutes, and when the registry changes."""


DEFAULT_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that stop sensors which trigger each other from running away.

    Attributes:
        depth: the maximum chain depth.
        runs_per_hour: how many runs a sensor without a limit of its own may start per clock hour; 0 for no limit.
    """

    depth: int = DEFAULT_DEPTH
    runs_per_hour: int = 0


@dataclass(frozen=True, slots=True)
class _Applied:
    """The results of some of a tick's requests.

    Attributes:
        counts: the numbers.
        refusals: why some were refused.
        ungranted: those that wait for a grant.
        limited: how many wait for the next hour.
        looping: how many wait until an operator releases the sensor.
    """

    counts: DispatchCounts
    refusals: list[str] = field(default_factory=list)
    ungranted: list[PlannedRun] = field(default_factory=list)
    limited: int = 0
    looping: int = 0

    @property
    def held(self) -> int:
        """How many requests wait."""
        return len(self.ungranted) + self.limited + self.looping


@dataclass(frozen=True, slots=True)
class _Admission:
    """What a tick's sensor may start.

    Attributes:
        granted: the jobs among those requested that it may start.
        loop: whether it is held as a loop.
    """

    granted: Set[str]
    loop: LoopStatus


class Dispatcher:
    """Dispatches committed ticks.

    Args:
        ticks: stores tick records.
        runs: stores run records; its conditional put is the authority on run keys.
        launches: LAUNCH's queue.
        grants: which sensor may start which jobs.
        clock: the clock.
        assets: records the materializations of ticks.
        partitions: stores the keys of dynamic partitions.
        pools: which pools a run is in.
        limits: limits for a sensor.
        chunks: the queue for a large tick's chunks; None to dispatch every tick in one pass.
        workers: how many run records are written concurrently; above 1, stores must be thread-safe.
    """

    def __init__(
        self,
        ticks: TickStore,
        runs: RunStore,
        launches: Queue,
        grants: Grants,
        clock: Clock,
        assets: AssetRecorder,
        partitions: PartitionStore,
        *,
        pools: Pools = NO_POOLS,
        limits: Limits = Limits(),
        chunks: Queue | None = None,
        workers: int = 1,
    ) -> None:
        self._ticks = ticks
        self._runs = runs
        self._launches = launches
        self._grants = grants
        self._clock = clock
        self._assets = assets
        self._partitions = partitions
        self._pools = pools
        self._limits = limits
        self._reactions = ReactionNotes(runs)
        self._rate_limiter = RunRateLimiter(ticks, clock, self._runs_per_hour)
        self._loops = LoopGuard(ticks, runs, grants, clock)
        self._chunks = chunks
        self._workers = workers

    def dispatch_many(self, ticks: Sequence[Tick]) -> list[Outcome | Exception]:
        """Dispatch ticks, as `dispatch` does each of them; plain ones share the requests to the stores and the queue.

        Args:
            ticks: as committed, no two of them the same.

        Returns:
            For each tick, the outcome, or the error that `dispatch` would raise.
        """
        noted: Collection[str] = ()
        if len(ticks) > 1:
            noted = _unless_failed(partial(self._reactions.note_many, ticks), frozenset())
        results: dict[int, Outcome | Exception] = {}
        left = list(range(len(ticks)))
        while left:
            unchecked, checked, later = self._checked_once(ticks, left)
            done: dict[int, Outcome] = {}
            if len(unchecked) > 1:
                done = _unless_failed(partial(self._dispatched_together, ticks, unchecked, noted), done)
            results.update(done)
            for position in (*unchecked, *checked):
                if position not in done:
                    tick = ticks[position]
                    alone = partial(self._dispatch, tick, is_reaction_noted=tick.tick_id in noted)
                    results[position] = result_of(alone)
            left = later
        return [results[position] for position in range(len(ticks))]

    def _checked_once(
        self, ticks: Sequence[Tick], positions: Sequence[int]
    ) -> tuple[list[int], list[int], list[int]]:
        """Divide ticks into those before the check of their sensor for a loop, those at which it is due, and later ones."""
        unchecked: list[int] = []
        at_check: dict[str, int] = {}
        later: list[int] = []
        new = Counter[str]()
        for position in positions:
            sensor = ticks[position].sensor
            if sensor in at_check:
                later.append(position)
            elif self._loops.is_due(sensor, new[sensor]):
                at_check[sensor] = position
            else:
                unchecked.append(position)
                new[sensor] += len(ticks[position].requests)
        return unchecked, list(at_check.values()), later

    def _dispatched_together(
        self, ticks: Sequence[Tick], positions: Sequence[int], noted: Collection[str]
    ) -> dict[int, Outcome]:
        """Return the outcomes of plain ticks by their positions; the others must be dispatched by themselves.

        A tick is left out at the first thing that is not as usual, even if some of its runs have been created: its
        own dispatch recognizes them.
        """
        planned: dict[int, list[tuple[Run, int]]] = {}
        for position in positions:
            tick = ticks[position]
            is_noted = tick.tick_id in noted or reaction_of(tick) is None
            if is_noted and (plan := self._plain_plan(tick)) is not None:
                planned[position] = plan
        if len(planned) < 2:
            self._give_back(chain.from_iterable(planned.values()))
            return {}
        runs = [(position, run, hour) for position, plan in planned.items() for run, hour in plan]
        results = self._runs.create_many([run for _, run, _ in runs])
        started: dict[int, list[Run]] = {position: [] for position in planned}
        for (position, run, hour), existing in zip(runs, results, strict=True):
            if existing is not None:
                self._give_back([(run, hour)])
            if isinstance(existing, Exception) or (existing is not None and existing.tick_id != run.tick_id):
                started.pop(position, None)
            elif position in started:
                started[position].append(existing or run)
        created = list(chain.from_iterable(started.values()))
        for sensor, number in Counter(run.sensor for run in created).items():
            self._loops.created(sensor, number)
        self._launches.send([LaunchRequest.of(run).to_json() for run in created if run.may_launch])
        counts = {position: DispatchCounts(len(each)) for position, each in started.items()}
        errors = self._ticks.mark_many_dispatched(
            [(ticks[position], each) for position, each in counts.items()]
        )
        return {
            position: _dispatched(ticks[position], each)
            for (position, each), error in zip(counts.items(), errors, strict=True)
            if error is None
        }

    def _give_back(self, runs: Iterable[tuple[Run, int]]) -> None:
        """Release what runs were to take of hourly limits."""
        for run, hour in runs:
            self._rate_limiter.give_back(run.sensor, hour)

    def _plain_plan(self, tick: Tick) -> list[tuple[Run, int]] | None:
        """Return the new runs of a tick with the hours that they count in; None if it needs more than them."""
        if not _is_plain(tick):
            return None
        admission = self._admission(tick)
        if tick.depth >= self._limits.depth or not all(
            each.job in admission.granted for each in tick.requests
        ):
            return None
        plan: list[tuple[Run, int]] = []
        for request in tick.requests:
            run = self._new_run(tick, request)
            hour = None if run.pools else self._rate_limiter.take(tick.sensor)
            if hour is None:
                self._give_back(plan)
                return None
            plan.append((run, hour))
        return plan

    def dispatch(self, tick: Tick) -> Outcome:
        """Create the runs for a tick's requests, or send a large tick's chunks to their queue; idempotent.

        Args:
            tick: as committed.

        Raises:
            StoreError: if a store or the queue did not answer; it is safe to retry.
        """
        return self._dispatch(tick, is_reaction_noted=False)

    def _dispatch(self, tick: Tick, *, is_reaction_noted: bool) -> Outcome:
        if tick.status is not TickStatus.SUCCESS:
            return Outcome(Decision.DUPLICATE, "The tick has nothing to dispatch.", tick.tick_id)
        if tick.dispatched is not None:
            return Outcome(Decision.DUPLICATE, "The tick was already dispatched.", tick.tick_id)
        if not is_reaction_noted:
            self._reactions.note(tick)
        # Requests are held only after this was done once, and are checked again every ten minutes.
        was_held = tick.held_requests > 0
        refusals = [] if was_held else self._record_assets(tick)
        changes = tick.partition_change_count
        if self._chunks is not None and max(len(tick.requests), changes) > CHUNK_SIZE:
            return self._fan_out_chunks(tick, self._chunks)
        if changes and not was_held:
            self._partitions.apply(tick.partition_changes, tick.changed_partitions_at)
        admission = self._admission(tick)
        applied = self._apply(tick, tick.requests, admission)
        if applied.held:
            held = self._hold(tick, applied, admission)
            if held is not None:
                return held
            # Another dispatch completed it meanwhile. If that was because an operator dropped it, it is
            # counted again here.
            tick = self.committed(tick.sensor, tick.tick_id)
            if tick.dropped is None:
                return Outcome(
                    Decision.DUPLICATE,
                    "The tick was dispatched by another invocation meanwhile.",
                    tick.tick_id,
                )
            applied = self._apply(tick, tick.requests, admission)
        if was_held:
            refusals = self._record_assets(tick, again=True)
        counts = applied.counts + DispatchCounts(refused=len(refusals))
        self._ticks.mark_dispatched(tick, counts, [*refusals, *applied.refusals][:SHOWN_REFUSALS])
        refused = len(refusals) if tick.dropped else counts.refused
        return _dispatched(tick, counts, refused)

    def _record_assets(self, tick: Tick, *, again: bool = False) -> list[str]:
        """Record the tick's materializations; return the refusals."""
        if not tick.asset_events:
            return []
        if tick.depth >= self._limits.depth:
            refusal = self._too_deep(tick, f"record {len(tick.asset_events)} asset events")
            logger.error(refusal)
            return [refusal]
        refusals = self._assets.record_tick(tick, again=again)
        for refusal in refusals:
            logger.error(refusal)
        return refusals

    def committed(self, sensor: str, tick_id: str) -> Tick:
        """Return a tick as stored.

        Raises:
            UnknownEventError: if there is none.
            StoreError: if the store did not answer.
        """
        tick = self._ticks.get(sensor, tick_id)
        if tick is None:
            raise UnknownEventError(f"Sensor {sensor} has no tick {tick_id}: it may have expired.")
        return tick

    def dispatch_chunk(self, request: ChunkRequest) -> Outcome:
        """Create the runs for a chunk's requests, once; the last chunk completes the tick's dispatch.

        The first chunks of a tick may change dynamic partitions; the last of those sends the messages of the others.

        Args:
            request: which chunk.

        Raises:
            UnknownEventError: if there is no such chunk.
            StoreError: if a store or the queue did not answer; it is safe to retry.
        """
        tick = self.committed(request.sensor, request.tick_id)
        if request.of != chunk_count(tick) or not 0 <= request.index < request.of:
            raise UnknownEventError(_no_such_chunk(request, chunk_count(tick)))
        name = f"Chunk {request.index + 1} of {request.of}"
        slicing = tick.slicing
        before = partition_chunk_count(tick, request.of)
        changes_partitions = request.index < before
        if slicing is not None and request.index in slicing.noted:
            self._go_on(tick, slicing, changes_partitions=changes_partitions)
            return Outcome(Decision.DUPLICATE, f"{name} was already dispatched.", tick.tick_id)
        if changes_partitions:
            return self._change_partitions(tick, request, before, name)
        admission = self._admission(tick)
        requests = chunk(tick.requests, request.index - before, request.of - before)
        applied = self._apply(tick, requests, admission)
        counts = applied.counts
        if applied.held:
            held = self._hold(tick, applied, admission)
            return held or Outcome(
                Decision.DUPLICATE, f"{name} was dispatched by another invocation meanwhile.", tick.tick_id
            )
        shown = applied.refusals[:SHOWN_REFUSALS_OF_CHUNK]
        slicing = self._ticks.mark_chunk_done(tick, request.index, request.of, counts, shown)
        unrecorded = self._finish(tick, slicing) if slicing is not None else 0
        refused = unrecorded + (0 if tick.dropped else counts.refused)
        return Outcome(Decision.SUCCESS, f"{name}: {counts}", tick.tick_id, counts.started, refused=refused)

    def _change_partitions(self, tick: Tick, request: ChunkRequest, of: int, name: str) -> Outcome:
        """Apply one of the chunks of the changes of dynamic partitions."""
        changes = chunk(tick.partition_changes, request.index, of)
        self._partitions.apply(changes, tick.changed_partitions_at)
        slicing = self._ticks.mark_chunk_done(tick, request.index, request.of, DispatchCounts(), [])
        refused = self._go_on(tick, slicing, changes_partitions=True) if slicing is not None else 0
        return Outcome(Decision.SUCCESS, f"{name}: {len(changes)} partitions", tick.tick_id, refused=refused)

    def _go_on(self, tick: Tick, slicing: ChunkProgress, *, changes_partitions: bool) -> int:
        """Complete the dispatch after the last chunk, or send the runs' chunks after the last of the partitions'."""
        first = range(partition_chunk_count(tick, slicing.of))
        if changes_partitions and self._chunks is not None and slicing.noted.issuperset(first):
            return self._fan_out_chunks(replace(tick, slicing=slicing), self._chunks).refused
        return self._finish(tick, slicing)

    def _fan_out_chunks(self, tick: Tick, queue: Queue) -> Outcome:
        slicing = tick.slicing or ChunkProgress(chunk_count(tick))
        left = [index for index in range(slicing.of) if index not in slicing.noted]
        # Those that change dynamic partitions come first: the others are sent once these are done.
        first = partition_chunk_count(tick, slicing.of)
        left = [index for index in left if index < first] or left
        queue.send([ChunkRequest(tick.sensor, tick.tick_id, index, slicing.of).to_json() for index in left])
        number = tick.partition_change_count
        changes = f" and {number} partitions" if number else ""
        reason = (
            f"{len(tick.requests)} requests{changes}: {len(left)} of {slicing.of} chunks sent to the dispatch "
            "queue"
        )
        if left:
            # It stays pending until its last chunk is completed, which may take a while.
            self._ticks.postpone(tick.sensor, tick.tick_id, self._clock.now() + HANDED_ON_MS, reason)
        refused = self._finish(tick, slicing)
        return Outcome(Decision.SUCCESS, reason, tick.tick_id, refused=refused)

    def _finish(self, tick: Tick, slicing: ChunkProgress) -> int:
        """Complete the dispatch once all chunks are; return the number of refused asset events."""
        # Also for a chunk that was completed before: after the last one, the process may have died before
        # this.
        if not slicing.is_complete or tick.dispatched is not None:
            return 0
        refusals = self._record_assets(tick, again=True)  # Chunks record nothing about asset events.
        counts = slicing.counts + DispatchCounts(refused=len(refusals))
        self._ticks.mark_dispatched(tick, counts, [*refusals, *slicing.refusals][:SHOWN_REFUSALS])
        return len(refusals)

    def _hold(self, tick: Tick, applied: _Applied, admission: _Admission) -> Outcome | None:
        """Defer the tick; runs already started stay so. Return None if it is not pending any more."""
        reasons = []
        until = self._rate_limiter.window_end()
        if applied.looping:
            reasons.append(admission.loop.held)
        if applied.ungranted:
            reasons.append(self._ungranted(tick, applied.ungranted))
        if applied.looping or not all(request.job in admission.granted for request in tick.requests):
            # All chunks of a tick share one time: the last of them must not delay requests that wait for a
            # grant.
            again = self._clock.now() + UNGRANTED_MS
            until = min(again, until) if applied.limited else again
        if applied.limited:
            reasons.append(
                f"{applied.limited} of {len(tick.requests)} requests wait for the next hour: sensor {tick.sensor} "
                f"has started the {self._runs_per_hour(tick.sensor)} runs that {self._limit_named(tick.sensor)} allows."
            )
        reason = " ".join(reasons)
        if not self._ticks.postpone(tick.sensor, tick.tick_id, until, reason, held=applied.held):
            return None
        return Outcome(
            Decision.HELD,
            reason,
            tick.tick_id,
            applied.counts.started,
            held=applied.held,
            loops=int(admission.loop.is_new),
        )

    def _runs_per_hour(self, sensor: str) -> int:
        """Return a sensor's own limit, or the engine's; 0 for none."""
        entry = self._grants.sensors().get(sensor)
        own = None if entry is None else entry.runs_per_hour
        return self._limits.runs_per_hour if own is None else own

    def _limit_named(self, sensor: str) -> str:
        entry = self._grants.sensors().get(sensor)
        is_own = entry is not None and entry.runs_per_hour is not None
        return "runs_per_hour of its registry entry" if is_own else "parameter RunsPerHour"

    def _ungranted(self, tick: Tick, requests: Sequence[PlannedRun]) -> str:
        jobs = sorted({request.job for request in requests})
        shown = ", ".join(map(repr, jobs[:_SHOWN_JOBS])) + (", …" if len(jobs) > _SHOWN_JOBS else "")
        first, many = requests[0], len(jobs) > 1
        obstacle = self._grants.obstacle(tick.sensor, first.job)
        remedy = (
            f"Add {'them' if many else 'it'} to the jobs of its registry entry in template.yaml and deploy"
        )
        return (
            f"{len(requests)} of {len(tick.requests)} requests are held: sensor {tick.sensor} may not start "
            f"{'jobs' if many else 'job'} {shown} (run key {first.run_key!r})"
            f"{f': {obstacle}' if obstacle else f'. {remedy}'}, or drop them: "
            f"treadle tick drop {tick.sensor} {tick.tick_id}"
        )

    def _admission(self, tick: Tick) -> _Admission:
        """Return what the tick's sensor may start; what an operator dropped needs no check.

        A refusal is never older than the tick's commit: entries that a deployment of the sensor registered
        before it are known.
        """
        jobs = sorted({request.job for request in tick.requests})
        since = min(tick.ended_at, self._clock.now())
        granted = frozenset(job for job in jobs if self._grants.may_start(tick.sensor, job, since))
        loop = self._loops.check(tick) if granted and tick.dropped is None else FREE
        return _Admission(granted, loop)

    def _apply(self, tick: Tick, requests: Sequence[PlannedRun], admission: _Admission) -> _Applied:
        """Process the requests and return the results."""
        refusals: dict[int, str] = {}
        for index, request in enumerate(requests):
            if request.job in admission.granted and tick.depth >= self._limits.depth:
                refusals[index] = self._too_deep(tick, f"add one (run key {request.run_key!r})")
        left = [request for index, request in enumerate(requests) if index not in refusals]
        records = self._recorded(tick, left, admission)
        reasons = list(refusals.values())
        if tick.dropped is not None:
            reasons += [
                _dropped(request, tick.dropped)
                for request, record in zip(left, records, strict=True)
                if record is _SkipCause.WANTED
            ]
        unrecorded = [record for record in records if isinstance(record, str)]
        reasons += unrecorded
        for reason in (*refusals.values(), *unrecorded):
            logger.error(reason)
        started = [record for record in records if isinstance(record, Run)]
        self._loops.created(tick.sensor, len(started))
        self._launches.send([LaunchRequest.of(run).to_json() for run in started if run.may_launch])
        broken = next((record for record in records if isinstance(record, Exception)), None)
        if broken is not None:
            raise broken  # Only after the others were processed: none of them is processed twice.
        return _Applied(
            DispatchCounts(len(started), records.count(_SkipCause.FREE), len(reasons)),
            [fit(reason, MAX_REFUSAL) for reason in reasons],
            [request for request, record in zip(left, records, strict=True) if record is _SkipCause.GRANTED],
            records.count(_SkipCause.NOW),
            records.count(_SkipCause.LOOPING),
        )

    def _recorded(self, tick: Tick, requests: Sequence[PlannedRun], admission: _Admission) -> "list[_Result]":
        """Return, for each request, the run that the tick started, or a cause, refusal or error."""
        positions = {request.run_id: position for position, request in enumerate(tick.requests)}
        planned = [
            self._tried(tick, request, partial(self._planned, tick, request, positions, admission))
            for request in requests
        ]

        def recorded(indexes: Sequence[int]) -> "list[_Result]":
            batch = [(requests[index], planned[index]) for index in indexes]
            new = [(request, plan) for request, plan in batch if isinstance(plan, Run)]
            if len(new) > 1:
                return self._record_batch(tick, new)
            return [
                self._tried(tick, request, partial(self._record, tick, request, plan))
                for request, plan in batch
            ]

        batches = write_batches(planned)
        if self._workers == 1 or len(batches) == 1:
            results = list(map(recorded, batches))
        else:
            with ThreadPoolExecutor(self._workers, "dispatch") as pool:
                results = list(pool.map(recorded, batches))
        by_index = dict(zip(chain.from_iterable(batches), chain.from_iterable(results), strict=True))
        return [by_index[index] for index in range(len(requests))]

    def _tried(self, tick: Tick, request: PlannedRun, work: "Callable[[], _Result]") -> "_Result":
        """Return the result of one request, its refusal or its error, independent of the other requests."""
        try:
            return work()
        except (UnreadableRecordError, StoreRejectedError) as error:
            return (
                f"The request for run key {request.run_key!r} of sensor {tick.sensor} was not recorded "
                f"as a run: {error}"
            )
        except Exception as error:
            if is_passing(error):
                raise
            return error

    @staticmethod
    def _too_deep(tick: Tick, what: str) -> str:
        return (
            f"Sensor {tick.sensor} may not {what}: {tick.depth} runs in a row led to this tick, "
            "which looks like a loop. If it is not a loop, raise TREADLE_MAX_DEPTH of DISPATCH and "
            "RECONCILE."
        )

    def _planned(
        self, tick: Tick, request: PlannedRun, positions: Mapping[str, int], admission: _Admission
    ) -> "Run | _SkipCause":
        """Return the run that a request is to create, or why it creates none now."""
        if tick.dropped is not None:
            return _SkipCause.WANTED
        if request.job not in admission.granted:
            return _SkipCause.GRANTED
        if admission.loop.held:
            return _SkipCause.LOOPING
        run = self._new_run(tick, request)
        return with_wait(run, requested=(tick.ended_at, positions.get(request.run_id, 0)))

    def _record_batch(self, tick: Tick, batch: Sequence[tuple[PlannedRun, Run]]) -> "list[_Result]":
        """Record the requests of new runs by one write, as far as the hourly limit admits them."""
        hours = [self._rate_limiter.take(tick.sensor) for _ in batch]
        admitted = [run for (_, run), hour in zip(batch, hours, strict=True) if hour is not None]
        existing = iter(self._runs.create_many(admitted))

        def settled(request: PlannedRun, first: Run, hour: int | None) -> "_Result | None":
            if hour is None:
                return None
            return self._tried(tick, request, partial(self._settled, tick, first, next(existing), hour))

        results = [settled(*each, hour) for each, hour in zip(batch, hours, strict=True)]
        # Requests for existing runs do not count, so that others may be admitted now.
        return [
            self._tried(tick, request, partial(self._record, tick, request, run))
            if result is None
            else result
            for (request, run), result in zip(batch, results, strict=True)
        ]

    def _record(self, tick: Tick, request: PlannedRun, plan: "_Result") -> "_Result":
        """Record one request: create its run, if it is to have one."""
        if isinstance(plan, _SkipCause):
            return self._existing(tick, request, plan)
        if not isinstance(plan, Run):
            return plan
        hour = self._rate_limiter.take(tick.sensor)
        if hour is None:
            return self._existing(tick, request, _SkipCause.NOW)
        return self._settled(tick, plan, self._runs.create(plan), hour)

    def _settled(
        self, tick: Tick, first: Run, existing: Run | Exception | None, hour: int
    ) -> "Run | _SkipCause":
        """Return a request's run, after the attempt to create it; an existing one may get its next attempt."""
        if isinstance(existing, Exception):
            raise existing
        made = first
        while existing is not None:
            again = self._next_attempt(tick, existing, first)
            if again is None:
                self._rate_limiter.give_back(tick.sensor, hour)
                return existing if existing.tick_id == tick.tick_id else _SkipCause.FREE
            made, existing = replace(again, revision=again.revision + 1), self._runs.replace(again, existing)
        return made

    def _existing(self, tick: Tick, request: PlannedRun, why: "_SkipCause") -> "Run | _SkipCause":
        """Return the existing run of a request that starts nothing now, or why there is none."""
        current = self._runs.get(request.run_id)
        if current is None or self._next_attempt(tick, current, self._new_run(tick, request)):
            return why
        return current if current.tick_id == tick.tick_id else _SkipCause.FREE

    def _next_attempt(self, tick: Tick, existing: Run, fresh: Run) -> Run | None:
        """Return the existing run at its next attempt, if the tick's request may start one."""
        again = attempt_for_request(existing, fresh, tick.ended_at)
        # A stream record shows the tick as it was committed: this may be a second delivery, and the run may
        # have been in progress at the first one. Attempts are rare enough for another read.
        if again is None or self._ticks.is_dispatched(tick.sensor, tick.tick_id):
            return None
        return again

    def _new_run(self, tick: Tick, request: PlannedRun) -> Run:
        now = self._clock.now()
        tags = run_tags(request, tick.sensor, tick.tick_id, tick.depth + 1)
        pools = self._pools.of(request.job, tags)
        return Run(
            run_id=request.run_id,
            job=request.job,
            sensor=tick.sensor,
            run_key=request.run_key,
            tick_id=tick.tick_id,
            run_config=request.run_config,
            tags=tags,
            created_at=now,
            partition_key=request.partition_key,
            retries=request.retries,
            reached={"1/0": {Status.QUEUED.value: now}},
            pools=pools,
            turns=self._pools.turns(pools, tags),
            next_at=now + LAUNCH_DUE_MS,
        )


class _SkipCause(Enum):
    """Why a request has no run of its own."""

    FREE = "its key was already taken"
    NOW = "the sensor has started all the runs that it may start in this hour"
    LOOPING = "the sensor looks like a loop"
    GRANTED = "the sensor has no grant to start its job"
    WANTED = "an operator dropped it"


_Result = Run | _SkipCause | str | Exception
"""Of one request: the run that the tick started, why there is none, its refusal, or its error."""


def _is_plain(tick: Tick) -> bool:
    """Return whether a tick is dispatched for the first time and has only a few requests."""
    is_first = (
        tick.status is TickStatus.SUCCESS
        and tick.is_to_be_dispatched
        and tick.held is None
        and tick.dropped is None
        and tick.slicing is None
    )
    is_small = len(tick.requests) <= BATCH_SIZE
    return is_first and is_small and not tick.asset_events and not tick.partition_change_count


def _dispatched(tick: Tick, counts: DispatchCounts, refused: int = 0) -> Outcome:
    """Return the outcome of a dispatch that is complete."""
    is_counted = tick.requests or counts.refused
    reason = str(counts) if is_counted else tick.reason or f"{tick.partition_change_count} partitions"
    return Outcome(Decision.SUCCESS, reason, tick.tick_id, counts.started, refused=refused)


def _unless_failed(work: Callable[[], R], otherwise: R) -> R:
    """Return the result of work for several ticks; if it fails, each of them is dispatched by itself, and has the error."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever it is, only the tick that it is about fails
        logger.warning("The ticks of a batch are dispatched one by one: %s", error)
        return otherwise


def _dropped(request: PlannedRun, drop: Drop) -> str:
    return (
        f"The request for job {request.job!r} (run key {request.run_key!r}) was dropped by {drop.by} at "
        f"{timestamp(drop.at)}: {drop.reason}"
    )


def _no_such_chunk(request: ChunkRequest, of: int) -> str:
    return (
        f"Tick {request.tick_id} of sensor {request.sensor} has {of} chunks, and the message names "
        f"chunk {request.index} of {request.of}."
    )
