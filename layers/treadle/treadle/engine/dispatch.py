"""DISPATCH: turns a committed tick's requests into run records, and these into launch messages."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.folding import LAUNCH_DUE_MS
from treadle.engine.outcomes import Decision, Outcome
from treadle.ports.runs import Run, RunStore
from treadle.ports.system import Clock, Queue
from treadle.ports.ticks import DispatchCounts, PlannedRun, Tick, TickStore

logger = logging.getLogger(__name__)

Grants = Mapping[str, frozenset[str]]
"""For each sensor the names of the jobs that the deployment lets it start."""


def launch_message(run: Run) -> dict[str, object]:
    """The message that asks LAUNCH for a run's present attempt."""
    return {"treadle": "launch", "run_id": run.run_id, "attempt": run.attempt}


@dataclass(slots=True)
class _Tally:
    launches: list[Run]
    started: int = 0
    existing: int = 0


class Dispatcher:
    """Applies committed ticks.

    Args:
        ticks: keeps tick records.
        runs: keeps run records; its conditional put is the authority on run keys.
        launches: where LAUNCH takes its work from.
        grants: which sensor may start which jobs.
        clock: the time.
    """

    def __init__(
        self, ticks: TickStore, runs: RunStore, launches: Queue, grants: Grants, clock: Clock
    ) -> None:
        self._ticks = ticks
        self._runs = runs
        self._launches = launches
        self._grants = grants
        self._clock = clock

    def dispatch(self, tick: Tick) -> Outcome:
        """Give each request of a tick its run; doing it again changes nothing.

        Args:
            tick: as committed.

        Raises:
            StoreError: if a store or the queue did not answer; nothing is lost by doing it again.
        """
        if tick.status is not TickStatus.SUCCESS:
            return Outcome(Decision.DUPLICATE, "The tick has nothing to dispatch.", tick.tick_id)
        tally = _Tally([])
        refusals: list[str] = []
        for request in tick.requests:
            refusal = self._refusal(tick.sensor, request)
            if refusal:
                refusals.append(refusal)
                logger.error(refusal)
            else:
                self._apply(tick, request, tally)
        self._launches.send([launch_message(run) for run in tally.launches])
        counts = DispatchCounts(tally.started, tally.existing, len(refusals))
        self._ticks.mark_dispatched(tick, counts, refusals)
        reason = f"{counts.started} runs, {counts.existing} keys taken already, {counts.refused} refused"
        return Outcome(Decision.SUCCESS, reason, tick.tick_id, counts.started)

    def _refusal(self, sensor: str, request: PlannedRun) -> str | None:
        if request.job in self._grants.get(sensor, frozenset()):
            return None
        return (
            f"Sensor {sensor} may not start job {request.job!r} (run key {request.run_key!r}): "
            "add the job to the sensor's Jobs parameter of the deployment."
        )

    def _apply(self, tick: Tick, request: PlannedRun, tally: _Tally) -> None:
        fresh = self._new_run(tick, request)
        existing = self._runs.create(fresh)
        while existing is not None:
            if existing.tick_id == tick.tick_id:
                fresh = existing
                break
            again = _next_attempt(existing, fresh)
            if again is None:
                tally.existing += 1
                return
            existing = self._runs.replace(again)
            fresh = replace(again, revision=again.revision + 1)
        tally.started += 1
        if fresh.status is Status.QUEUED and fresh.claim is None:
            tally.launches.append(fresh)

    def _new_run(self, tick: Tick, request: PlannedRun) -> Run:
        now = self._clock.now()
        tags = {
            **request.tags,
            "dagster/sensor_name": tick.sensor,
            "dagster/tick": tick.tick_id,
        }
        if request.run_key:
            tags["dagster/run_key"] = request.run_key
        if request.partition_key:
            tags["dagster/partition"] = request.partition_key
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
            reached={"1/0": {Status.QUEUED.value: now}},
            next_at=now + LAUNCH_DUE_MS,
        )


def _next_attempt(run: Run, fresh: Run) -> Run | None:
    """The run at its next attempt for a later tick's request, if it may start again."""
    if not (run.status.is_finished and run.may_start_again and fresh.tick_id > run.tick_id):
        return None
    attempt = run.attempt + 1
    return replace(
        fresh,
        created_at=run.created_at,
        attempt=attempt,
        attempts_allowed=run.attempts_allowed,
        reached={**run.reached, f"{attempt}/0": {Status.QUEUED.value: fresh.created_at}},
        revision=run.revision,
    )
