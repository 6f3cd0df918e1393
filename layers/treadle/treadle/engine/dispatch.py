"""DISPATCH: turns a committed tick's requests into run records, and these into launch messages."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum

from treadle.definitions.errors import UnknownEventError
from treadle.definitions.runs import DEPTH_TAG, PARTITION_TAG
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.amend import amend
from treadle.engine.attempts import attempt_for_request
from treadle.engine.folding import LAUNCH_DUE_MS
from treadle.engine.fuse import Fuse
from treadle.engine.materializing import AssetRecorder
from treadle.engine.messages import launch_message
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.slices import SLICE, SliceRequest, slice_message, slice_of, slices_of
from treadle.ports.runs import Reaction, Run, RunStore
from treadle.ports.system import Clock, Queue
from treadle.ports.ticks import DispatchCounts, PlannedRun, Slicing, Tick, TickStore

logger = logging.getLogger(__name__)

SHOWN_REFUSALS = 20
SHOWN_REFUSALS_OF_SLICE = 2
"""So many of a tick's refusals, and of each of its slices, are noted with their reason; all are counted."""

_SHOWN_REFUSAL = 500

HANDED_ON_MS = 900_000
"""Slices that have not all been done after so long are handed on again."""

Grants = Mapping[str, frozenset[str]]
"""For each sensor the names of the jobs that the deployment lets it start."""


DEFAULT_DEPTH = 10

KEPT_REACTIONS = 100
"""So many reactions are noted on a run, the last ones."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What keeps sensors that set each other off from running away.

    Attributes:
        depth: how many runs may follow from one another.
        runs_per_hour: how many runs one sensor may start within an hour of the clock; 0 for any number.
    """

    depth: int = DEFAULT_DEPTH
    runs_per_hour: int = 0


class Dispatcher:
    """Applies committed ticks.

    Args:
        ticks: keeps tick records.
        runs: keeps run records; its conditional put is the authority on run keys.
        launches: where LAUNCH takes its work from.
        grants: which sensor may start which jobs.
        clock: the time.
        assets: records what ticks tell of assets.
        limits: what a sensor may start at most.
        slices: where a large tick's slices go, to be dispatched one by one; None takes every tick in one pass.
        workers: how many run records are written at a time; stores must then bear threads.
    """

    def __init__(
        self,
        ticks: TickStore,
        runs: RunStore,
        launches: Queue,
        grants: Grants,
        clock: Clock,
        assets: AssetRecorder,
        *,
        limits: Limits = Limits(),
        slices: Queue | None = None,
        workers: int = 1,
    ) -> None:
        self._ticks = ticks
        self._runs = runs
        self._launches = launches
        self._grants = grants
        self._clock = clock
        self._assets = assets
        self._limits = limits
        self._fuse = Fuse(ticks, clock, limits.runs_per_hour)
        self._slices = slices
        self._workers = workers

    def dispatch(self, tick: Tick) -> Outcome:
        """Give each request of a tick its run, or hand a large tick's slices on; again changes nothing.

        Args:
            tick: as committed.

        Raises:
            StoreError: if a store or the queue did not answer; nothing is lost by doing it again.
        """
        if tick.status is not TickStatus.SUCCESS:
            return Outcome(Decision.DUPLICATE, "The tick has nothing to dispatch.", tick.tick_id)
        if tick.dispatched is not None:
            return Outcome(Decision.DUPLICATE, "The tick was dispatched before.", tick.tick_id)
        self._note_reaction(tick)
        untold = self._tell_of_assets(tick)
        if self._slices is not None and len(tick.requests) > SLICE:
            return self._hand_on(tick, self._slices)
        counts, refusals, held = self._apply(tick, tick.requests)
        if held:
            return self._hold(tick, held, counts)
        counts += DispatchCounts(refused=len(untold))
        self._ticks.mark_dispatched(tick, counts, [*untold, *refusals][:SHOWN_REFUSALS])
        words = str(counts) if tick.requests or untold else tick.reason or ""
        return Outcome(Decision.SUCCESS, words, tick.tick_id, counts.started)

    def _note_reaction(self, tick: Tick) -> None:
        """Note on a run's record that a sensor acted on it, once; a run of another stack has none here."""
        event_id = tick.acted_on
        run = self._runs.get(event_id.partition("/")[0]) if event_id else None
        if run is None or event_id is None:
            return
        reaction = Reaction(tick.sensor, event_id, tick.tick_id, tick.ended_at)

        def noted(current: Run) -> Run:
            if any((each.sensor, each.event_id) == (tick.sensor, event_id) for each in current.reactions):
                return current
            return replace(current, reactions=(*current.reactions, reaction)[-KEPT_REACTIONS:])

        amend(self._runs, run, noted)

    def _tell_of_assets(self, tick: Tick) -> list[str]:
        """Record what the tick tells of assets; or why it is not recorded."""
        if not tick.asset_events:
            return []
        if tick.depth >= self._limits.depth:
            refusal = self._too_deep(tick, f"tell of {len(tick.asset_events)} asset events")
            logger.error(refusal)
            return [refusal]
        self._assets.record_tick(tick)
        return []

    def committed(self, sensor: str, tick_id: str) -> Tick:
        """A tick as it is kept.

        Args:
            sensor: whose.
            tick_id: which.

        Raises:
            UnknownEventError: if there is none.
            StoreError: if the store did not answer.
        """
        tick = self._ticks.get(sensor, tick_id)
        if tick is None:
            raise UnknownEventError(f"There is no tick {tick_id} of sensor {sensor}: it may have expired.")
        return tick

    def dispatch_slice(self, request: SliceRequest) -> Outcome:
        """Give each request of a slice its run, once; the last slice of a tick ends the tick's dispatch.

        Args:
            request: which slice.

        Raises:
            UnknownEventError: if there is no such slice.
            StoreError: if a store or the queue did not answer; nothing is lost by doing it again.
        """
        tick = self.committed(request.sensor, request.tick_id)
        if request.of != slices_of(tick) or not 0 <= request.index < request.of:
            raise UnknownEventError(_no_such_slice(request, slices_of(tick)))
        name = f"Slice {request.index + 1} of {request.of}"
        slicing = tick.slicing
        if slicing is not None and request.index in slicing.noted:
            self._finish(tick, slicing)
            return Outcome(Decision.DUPLICATE, f"{name} was dispatched before.", tick.tick_id)
        counts, refusals, held = self._apply(tick, slice_of(tick.requests, request.index, request.of))
        if held:
            return self._hold(tick, held, counts)
        shown = refusals[:SHOWN_REFUSALS_OF_SLICE]
        slicing = self._ticks.note_slice(tick, request.index, request.of, counts, shown)
        if slicing is not None:
            self._finish(tick, slicing)
        return Outcome(Decision.SUCCESS, f"{name}: {counts}", tick.tick_id, counts.started)

    def _hand_on(self, tick: Tick, queue: Queue) -> Outcome:
        slicing = tick.slicing or Slicing(slices_of(tick))
        left = [index for index in range(slicing.of) if index not in slicing.noted]
        queue.send([slice_message(tick, index, slicing.of) for index in left])
        reason = f"{len(tick.requests)} requests: {len(left)} of {slicing.of} slices handed on"
        if left:
            # It is pending until its last slice is done, which may take a while.
            self._ticks.postpone(tick.sensor, tick.tick_id, self._clock.now() + HANDED_ON_MS, reason)
        self._finish(tick, slicing)
        return Outcome(Decision.SUCCESS, reason, tick.tick_id)

    def _finish(self, tick: Tick, slicing: Slicing) -> None:
        # Also for a slice that was noted before: whoever noted the last one may have died before this.
        if slicing.is_complete and tick.dispatched is None:
            self._ticks.mark_dispatched(tick, slicing.counts, slicing.refusals)

    def _hold(self, tick: Tick, held: int, counts: DispatchCounts) -> Outcome:
        """Let the tick wait for the next hour; what has been started of it stays so."""
        reason = (
            f"{held} of {len(tick.requests)} requests wait for the next hour: sensor {tick.sensor} has started "
            f"the {self._limits.runs_per_hour} runs that parameter RunsPerHour allows."
        )
        self._ticks.postpone(tick.sensor, tick.tick_id, self._fuse.next_hour(), reason)
        return Outcome(Decision.HELD, reason, tick.tick_id, counts.started)

    def _apply(self, tick: Tick, requests: Sequence[PlannedRun]) -> tuple[DispatchCounts, list[str], int]:
        """What became of the requests, why some were refused, and how many have to wait."""
        granted: list[PlannedRun] = []
        refusals: list[str] = []
        for request in requests:
            refusal = self._refusal(tick, request)
            if refusal:
                refusals.append(refusal[:_SHOWN_REFUSAL])
                logger.error(refusal)
            else:
                granted.append(request)
        records = self._recorded(tick, granted)
        started = [record for record in records if isinstance(record, Run)]
        waiting = [run for run in started if run.status is Status.QUEUED and run.claim is None]
        self._launches.send([launch_message(run) for run in waiting])
        existing = records.count(_Not.FREE)
        return DispatchCounts(len(started), existing, len(refusals)), refusals, records.count(_Not.NOW)

    def _recorded(self, tick: Tick, requests: Sequence[PlannedRun]) -> "list[Run | _Not]":
        """For each request, the run that the tick gave rise to, or why there is none."""
        if self._workers == 1:
            return [self._record(tick, request) for request in requests]
        with ThreadPoolExecutor(self._workers, "dispatch") as pool:
            return list(pool.map(lambda request: self._record(tick, request), requests))

    def _refusal(self, tick: Tick, request: PlannedRun) -> str | None:
        if request.job not in self._grants.get(tick.sensor, frozenset()):
            return (
                f"Sensor {tick.sensor} may not start job {request.job!r} (run key {request.run_key!r}): "
                "add the job to the sensor's Jobs parameter of the deployment."
            )
        if tick.depth >= self._limits.depth:
            return self._too_deep(tick, f"add one (run key {request.run_key!r})")
        return None

    @staticmethod
    def _too_deep(tick: Tick, what: str) -> str:
        return (
            f"Sensor {tick.sensor} was set off by {tick.depth} runs, one after the other, and may not {what}: "
            "this looks like a loop. If it is none, raise parameter MaxDepth."
        )

    def _record(self, tick: Tick, request: PlannedRun) -> "Run | _Not":
        if not self._fuse.take(tick.sensor):
            standing = self._runs.get(request.run_id)
            if standing is None or self._next_attempt(tick, standing, self._new_run(tick, request)):
                return _Not.NOW
            return standing if standing.tick_id == tick.tick_id else _Not.FREE
        first = self._new_run(tick, request)
        made, existing = first, self._runs.create(first)
        while existing is not None:
            again = self._next_attempt(tick, existing, first)
            if again is None:
                self._fuse.give_back(tick.sensor)
                return existing if existing.tick_id == tick.tick_id else _Not.FREE
            made, existing = replace(again, revision=again.revision + 1), self._runs.replace(again)
        return made

    def _next_attempt(self, tick: Tick, existing: Run, fresh: Run) -> Run | None:
        """The existing run at its next attempt, if the tick's request may start that."""
        again = attempt_for_request(existing, fresh, tick.ended_at)
        # A stream's record shows the tick as it was committed: this may be a second delivery, and the run may have
        # been under way at the first one. An attempt is rare enough to look.
        if again is None or self._ticks.is_dispatched(tick.sensor, tick.tick_id):
            return None
        return again

    def _new_run(self, tick: Tick, request: PlannedRun) -> Run:
        now = self._clock.now()
        tags = {
            **request.tags,
            "dagster/sensor_name": tick.sensor,
            "dagster/tick": tick.tick_id,
            DEPTH_TAG: str(tick.depth + 1),
        }
        if request.run_key:
            tags["dagster/run_key"] = request.run_key
        if request.partition_key:
            tags[PARTITION_TAG] = request.partition_key
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
            next_at=now + LAUNCH_DUE_MS,
        )


class _Not(Enum):
    """Why a request has no run of its own."""

    FREE = "its key was taken already"
    NOW = "the sensor has started all it may in this hour"


def _no_such_slice(request: SliceRequest, of: int) -> str:
    return (
        f"Tick {request.tick_id} of sensor {request.sensor} has {of} slices, "
        f"and slice {request.index} of {request.of} is none of them."
    )
