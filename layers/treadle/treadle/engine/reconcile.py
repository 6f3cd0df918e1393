"""RECONCILE: finds what a step has lost, and puts it back on its way. Bounded; what it leaves comes next time."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from treadle.definitions.errors import LaunchError, TreadleError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.amend import amend
from treadle.engine.describing import described
from treadle.engine.dispatch import Dispatcher
from treadle.engine.folding import LAUNCH_DUE_MS, OVERDUE_MS, fold
from treadle.engine.launch import Targets
from treadle.engine.messages import launch_message
from treadle.engine.outcomes import Decision
from treadle.engine.watching import Watcher
from treadle.ports.launching import JobSettings, Target
from treadle.ports.runs import Run, RunStore
from treadle.ports.system import Clock, Queue
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

DISPATCH_LATE_MS = 120_000
"""A tick that has been pending for so long is taken for lost by its stream."""

RETRY_MS = 900_000
"""What could not be put on its way is looked at again after a quarter of an hour."""

SELDOM_MS = 86_400_000
"""A run that nobody can be asked about is looked at again when it is twice as old, once a day at the least."""

PAGE = 100
"""So many ticks, and runs, are asked for at once."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one pass came to.

    Attributes:
        dispatched: ticks that had not been dispatched, and now are.
        relaunched: runs whose launch was asked for again.
        described: runs that their target was asked about.
        observed: runs that others started, and that are recorded now, or further than before.
        failed: ticks and runs that could not be put on their way, and come again later.
        is_complete: False if time ran out, and the next pass goes on.
    """

    dispatched: int = 0
    relaunched: int = 0
    described: int = 0
    observed: int = 0
    failed: int = 0
    is_complete: bool = True

    def __str__(self) -> str:
        """In words."""
        words = (
            f"{self.dispatched} ticks dispatched, {self.relaunched} launches sent again, "
            f"{self.described} runs asked about, {self.observed} of others recorded, "
            f"{self.failed} left for later"
        )
        return words if self.is_complete else f"{words}; more is left"


class Reconciler:
    """Looks for what is late, by two sparse indexes, and for what others started of observed jobs.

    Args:
        ticks: keeps tick records.
        runs: keeps run records.
        launches: where LAUNCH takes its work from.
        dispatcher: applies ticks.
        jobs: what each job's name launches.
        targets: each kind of target.
        clock: the time.
        watcher: looks for what others started of observed jobs; None where none is observed.
    """

    def __init__(
        self,
        ticks: TickStore,
        runs: RunStore,
        launches: Queue,
        dispatcher: Dispatcher,
        jobs: Mapping[str, JobSettings],
        targets: Targets,
        clock: Clock,
        watcher: Watcher | None = None,
    ) -> None:
        self._ticks = ticks
        self._runs = runs
        self._launches = launches
        self._dispatcher = dispatcher
        self._jobs = jobs
        self._targets = targets
        self._clock = clock
        self._watcher = watcher

    def reconcile(self, seconds: float) -> Reconciled:
        """Put on its way what is late, until there is no more or time runs out.

        Args:
            seconds: how long this may take.

        Raises:
            StoreError: if an index could not be read; nothing is lost by doing it again.
        """
        ends_at = self._clock.now() + int(seconds * 1000)
        found = Reconciled()
        for look in (self._dispatch_late, self._look_at_runs):
            while self._clock.now() < ends_at:
                found, is_last = look(found, ends_at)
                if is_last:
                    break
            else:
                return replace(found, is_complete=False)
        if self._watcher is None:
            return found
        watched = self._watcher.watch(ends_at)
        failed = found.failed + watched.failed
        return replace(found, observed=watched.recorded, failed=failed, is_complete=watched.is_complete)

    def _dispatch_late(self, found: Reconciled, ends_at: int) -> tuple[Reconciled, bool]:
        keys = self._ticks.pending(self._clock.now() - DISPATCH_LATE_MS, PAGE)
        for sensor, tick_id in keys:
            if self._clock.now() >= ends_at:
                return found, False
            try:
                tick = self._ticks.get(sensor, tick_id)
                waits = tick is None or self._dispatcher.dispatch(tick).decision is Decision.HELD
                found = found if waits else replace(found, dispatched=found.dispatched + 1)
            except TreadleError as error:
                logger.exception("Tick %s of sensor %s could not be dispatched", tick_id, sensor)
                self._ticks.postpone(sensor, tick_id, self._clock.now() + RETRY_MS, str(error))
                found = replace(found, failed=found.failed + 1)
        return found, len(keys) < PAGE

    def _look_at_runs(self, found: Reconciled, ends_at: int) -> tuple[Reconciled, bool]:
        run_ids = self._runs.due(self._clock.now(), PAGE)
        # The index may lag: those that have moved on meanwhile are left alone.
        due = [run for run in map(self._runs.get, run_ids) if run and self._is_due(run)]
        queued = [run for run in due if run.status is Status.QUEUED]
        found = replace(found, relaunched=found.relaunched + self._send_again(queued))
        for run in due:
            if run.status is Status.QUEUED:
                continue
            if self._clock.now() >= ends_at:
                return found, False
            if self._is_silent(run):
                self._look_again(run, None)  # Its end is reported, or nobody ever knows of it.
            elif self._ask(run):
                found = replace(found, described=found.described + 1)
            else:
                found = replace(found, failed=found.failed + 1)
        return found, len(run_ids) < PAGE

    def _is_due(self, run: Run) -> bool:
        return run.next_at is not None and run.next_at <= self._clock.now()

    def _send_again(self, runs: Sequence[Run]) -> int:
        """Ask for launches whose message was lost, or whose launch died; how many."""
        now = self._clock.now()
        free = [run for run in runs if run.claim is None or run.claim.expires_at < now]
        self._launches.send([launch_message(run) for run in free])
        for run in runs:
            held = run.claim is not None and run.claim.expires_at >= now
            self._look_again(run, run.claim.expires_at + 1 if held and run.claim else now + LAUNCH_DUE_MS)
        return len(free)

    def _ask(self, run: Run) -> bool:
        """Ask the target how a run stands, and take that in; whether it said so."""
        now, target = self._clock.now(), self._target_of(run)
        try:
            if target is None or run.external_id is None:
                age = now - (run.started_at or run.created_at)
                self._look_again(run, now + min(max(age, OVERDUE_MS), SELDOM_MS))
                return False
            report = described(run, run.external_id, target, now)
        except LaunchError:
            logger.exception("The target of run %s does not say how it stands", run.run_id)
            self._look_again(run, now + RETRY_MS)
            return False
        amend(self._runs, run, lambda current: _looked_at(fold(current, report), now + OVERDUE_MS))
        return True

    def _target_of(self, run: Run) -> Target | None:
        """Where the run was started, whatever its job is by now."""
        if run.tried is not None and run.tried.kind:
            return self._targets.get(run.tried.kind)
        settings = self._jobs.get(run.job)
        return self._targets.get(settings.target) if settings else None

    def _is_silent(self, run: Run) -> bool:
        target = self._target_of(run)
        return target is not None and not target.contract.describes

    def _look_again(self, run: Run, at: int | None) -> None:
        amend(self._runs, run, lambda current: _looked_at(current, at) if self._is_due(current) else current)


def _looked_at(run: Run, next_at: int | None) -> Run:
    return run if run.next_at is None else replace(run, next_at=next_at)
