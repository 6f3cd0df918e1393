"""RECONCILE: finds what a step has lost, and puts it back on its way. Bounded; what it leaves comes next time."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from treadle.definitions.errors import (
    LaunchDeniedError,
    LaunchError,
    StoreError,
    StoreRejectedError,
    TreadleError,
    UnreadableRecordError,
    is_passing,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.arns import kind_of_run, role_of_run
from treadle.engine.chunks import tick_message
from treadle.engine.describe import described
from treadle.engine.dispatch import Dispatcher
from treadle.engine.engine_check import Heartbeat
from treadle.engine.external_run_poller import ExternalRunPoller
from treadle.engine.held_ticks import HeldTicks
from treadle.engine.late_sensors import LateSensors
from treadle.engine.launch import Targets
from treadle.engine.messages import launch_message
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.outcomes import Decision
from treadle.engine.registry_sync import RegistrySync
from treadle.engine.run_state import (
    LAUNCH_DUE_MS,
    OVERDUE_MS,
    Report,
    fold,
    retry_of,
    with_look_elsewhere,
)
from treadle.engine.unreachable_runs import ends_at, noted, unknown_end
from treadle.ports.records import reason_of
from treadle.ports.runs import Failure, Run, RunStore
from treadle.ports.system import Clock, DeadLetters, Queue
from treadle.ports.targets import JobSettings, Target
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

DISPATCH_LATE_MS = 120_000
"""A tick that has been pending for so long is taken for lost by its stream."""

RETRY_MS = 900_000
"""What could not be put on its way is looked at again after a quarter of an hour."""

UNREADABLE_MS = 86_400_000
"""A record that cannot be read is looked at again once a day: by then it may be repaired, or this code another."""

ORIGIN = "reconcile"
"""As dead letters name RECONCILE."""

_NOT_PUT_OFF = "The table takes no change of %s, which is looked at again in the next pass"

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
        unreadable: those of them whose record cannot be read.
        held: requests of ticks that were looked at, and wait still.
        refused: requests and asset events of such ticks that were refused.
        registered: entries of the registry that have changed.
        invalid: entries of the registry that cannot be taken.
        late: the sensors that have not ticked for three of their intervals, by name.
        is_complete: False if time ran out, and the next pass goes on.
    """

    dispatched: int = 0
    relaunched: int = 0
    described: int = 0
    observed: int = 0
    failed: int = 0
    unreadable: int = 0
    held: int = 0
    refused: int = 0
    registered: int = 0
    invalid: int = 0
    late: tuple[str, ...] = ()
    is_complete: bool = True

    def __str__(self) -> str:
        """In words."""
        words = (
            f"{self.dispatched} ticks dispatched, {self.relaunched} launches sent again, "
            f"{self.described} runs asked about, {self.observed} of others recorded, "
            f"{self.failed} left for later"
        )
        if self.unreadable:
            words = f"{words}, {self.unreadable} of them as their records cannot be read"
        if self.held:
            words = f"{words}, {self.held} requests held"
        if self.registered:
            words = f"{words}, {self.registered} entries of the registry changed"
        if self.invalid:
            words = f"{words}, {self.invalid} entries of the registry not valid"
        if self.late:
            words = f"{words}, late sensors: {', '.join(self.late)}"
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
        dead_letters: takes note of each record that cannot be read, once; None for the log alone.
        registry: copies what projects register; None where nothing is registered.
        heartbeat: notes that RECONCILE runs; None to leave that out.
        sensors: looks for sensors that do not tick; None to leave that out.
        place: the own account and region, as `account/region`; runs in other accounts are asked about more often.
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
        watcher: ExternalRunPoller | None = None,
        dead_letters: DeadLetters | None = None,
        registry: RegistrySync | None = None,
        heartbeat: Heartbeat | None = None,
        sensors: LateSensors | None = None,
        place: str = "",
    ) -> None:
        self._ticks = ticks
        self._runs = runs
        self._launches = launches
        self._dispatcher = dispatcher
        self._jobs = jobs
        self._targets = targets
        self._clock = clock
        self._watcher = watcher
        self._dead_letters = dead_letters
        self._registry = registry
        self._heartbeat = heartbeat
        self._sensors = sensors
        self._place = place
        self._held = HeldTicks(ticks, dispatcher, clock)

    def reconcile(self, seconds: float) -> Reconciled:
        """Put on its way what is late, until there is no more or time runs out.

        Args:
            seconds: how long this may take.

        Raises:
            StoreError: if an index could not be read; nothing is lost by doing it again.
        """
        ends_at = self._clock.now() + int(seconds * 1000)
        found = Reconciled() if self._registry is None else self._synced(self._registry.list_if_due)
        found = self._look_at_sensors(found)
        # What waits may be much: half of the time is kept for what is late.
        found = self._look_at_held(found, self._clock.now() + int(seconds * 500))
        has_looked = found.is_complete
        for look in (self._dispatch_late, self._look_at_runs):
            while self._clock.now() < ends_at:
                found, is_last = look(found, ends_at)
                if is_last:
                    break
            else:
                return replace(found, is_complete=False)
        found = replace(found, is_complete=has_looked)
        if self._watcher is None:
            return found
        watched = self._watcher.watch(ends_at)
        failed = found.failed + watched.failed
        is_complete = found.is_complete and watched.is_complete
        return replace(found, observed=watched.recorded, failed=failed, is_complete=is_complete)

    def register(self, path: str, seconds: float, *, is_deleted: bool) -> Reconciled:
        """Take over one entry of the registry, and look at what is held if it has changed.

        Args:
            path: of the entry below the engine's, such as "jobs/load".
            seconds: how long this may take.
            is_deleted: whether it was reported as deleted.

        Raises:
            StoreError: if an index could not be read; nothing is lost by doing it again.
        """
        registry = self._registry
        if registry is None:
            return Reconciled()
        ends_at = self._clock.now() + int(seconds * 1000)
        found = self._synced(lambda: registry.update(path, is_deleted=is_deleted))
        return self._look_at_held(found, ends_at) if found.registered else found

    def _synced(self, sync: Callable[[], int]) -> Reconciled:
        """What a look at the registry came to. Whatever it meets, the rest of the pass must go on."""
        if self._registry is None:
            return Reconciled()
        changed, failed = 0, 0
        try:
            changed = sync()
        except Exception:
            logger.exception("The registry could not be brought up to date")
            failed = 1
        if changed:
            self._held.renew()
        try:
            return Reconciled(registered=changed, failed=failed, invalid=self._registry.invalid())
        except StoreError:
            return Reconciled(registered=changed, failed=1)

    def _look_at_sensors(self, found: Reconciled) -> Reconciled:
        """Note that the engine runs, and find sensors that do not. Whatever it meets, the rest of the pass must go on."""
        try:
            if self._heartbeat is not None:
                self._heartbeat.note_if_due()
        except Exception:
            logger.exception("That RECONCILE runs could not be noted")
            found = replace(found, failed=found.failed + 1)
        if self._sensors is None:
            return found
        try:
            self._sensors.check()
        except Exception:
            logger.exception("Which sensors are late could not be found out, or not be announced")
            found = replace(found, failed=found.failed + 1)
        return replace(found, late=tuple(self._sensors.late))

    def _look_at_held(self, found: Reconciled, ends_at: int) -> Reconciled:
        looked = self._held.check(ends_at)
        return replace(
            found,
            dispatched=found.dispatched + looked.dispatched,
            failed=found.failed + looked.failed,
            held=found.held + looked.held,
            refused=found.refused + looked.refused,
            is_complete=looked.is_complete,
        )

    def _dispatch_late(self, found: Reconciled, ends_at: int) -> tuple[Reconciled, bool]:
        keys = self._ticks.pending(self._clock.now() - DISPATCH_LATE_MS, PAGE)
        for sensor, tick_id in keys:
            if self._clock.now() >= ends_at:
                return found, False
            try:
                tick = self._ticks.get(sensor, tick_id)
                if tick is None:
                    continue
                outcome = self._dispatcher.dispatch(tick)
                done = found.dispatched + (outcome.decision is not Decision.HELD)
                held, refused = found.held + outcome.held, found.refused + outcome.refused
                found = replace(found, dispatched=done, held=held, refused=refused)
            except UnreadableRecordError as error:
                # The dead letter first: whoever dies in between sends it twice, and not never.
                found = self._set_apart(
                    found, error, tick_message(sensor, tick_id), is_new=not error.is_noted
                )
                self._noted(self._ticks.mark_unreadable, sensor, tick_id, reason=error.reason)
            except Exception as error:  # whatever it is, it is of this tick: those behind it must go on
                logger.exception("Tick %s of sensor %s could not be dispatched", tick_id, sensor)
                reason = str(error) if isinstance(error, TreadleError) else reason_of(error)
                found = replace(found, failed=found.failed + 1)
                try:
                    self._ticks.postpone(sensor, tick_id, self._clock.now() + RETRY_MS, reason)
                except StoreRejectedError:
                    logger.exception(_NOT_PUT_OFF, f"tick {tick_id} of sensor {sensor}")
        return found, len(keys) < PAGE

    def _next_day(self) -> int:
        return self._clock.now() + UNREADABLE_MS

    def _set_apart(
        self, found: Reconciled, error: Exception, body: Mapping[str, object], *, is_new: bool
    ) -> Reconciled:
        """Count a record that nothing can be done with until it is repaired; once, it is a dead letter too."""
        logger.error("%s", error, exc_info=not isinstance(error, TreadleError))
        if is_new and self._dead_letters is not None:
            reason = f"{type(error).__name__}: {error}"
            try:
                self._dead_letters.send(json.dumps(body), origin=ORIGIN, reason=reason)
            except StoreError:
                # The log, the metric and the record itself say it, and those behind it must go on.
                logger.exception("No dead letter was kept of %s", body)
        return replace(found, failed=found.failed + 1, unreadable=found.unreadable + 1)

    def _noted(self, mark: Callable[..., bool], *key: str, reason: str) -> None:
        """Put a record that cannot be read off to the next day, with the reason as far as there is room for it."""
        for words in (reason, "?"):
            try:
                mark(*key, self._next_day(), words)
            except StoreRejectedError:
                # An item may have 400 KB (DynamoDB's quotas), and this one has as many without the reason.
                logger.exception(_NOT_PUT_OFF, " ".join(key))
            else:
                return

    def _set_run_apart(self, found: Reconciled, run_id: str, error: Exception) -> Reconciled:
        reason = error.reason if isinstance(error, UnreadableRecordError) else reason_of(error)
        is_new = not (isinstance(error, UnreadableRecordError) and error.is_noted)
        found = self._set_apart(found, error, {"treadle": ORIGIN, "run_id": run_id}, is_new=is_new)
        self._noted(self._runs.mark_unreadable, run_id, reason=reason)
        return found

    def _look_at_runs(self, found: Reconciled, ends_at: int) -> tuple[Reconciled, bool]:
        run_ids = self._runs.due(self._clock.now(), PAGE)
        due: list[Run] = []
        for run_id in run_ids:
            try:
                run = self._runs.get(run_id)
            except UnreadableRecordError as error:
                found = self._set_run_apart(found, run_id, error)
                continue
            # The index may lag: those that have moved on meanwhile are left alone.
            if run and self._is_due(run):
                due.append(run)
        queued = [run for run in due if run.status is Status.QUEUED]
        found = self._send_again(found, queued)
        for run in due:
            if run.status is Status.QUEUED:
                continue
            if self._clock.now() >= ends_at:
                return found, False
            found = self._look_at(found, run)
        return found, len(run_ids) < PAGE

    def _look_at(self, found: Reconciled, run: Run) -> Reconciled:
        """The same, once a started run was looked at."""
        try:
            if self._is_silent(run):
                self._look_again(run, None)  # Its end is reported, or nobody ever knows of it.
                return found
            if self._ask(run):
                return replace(found, described=found.described + 1)
        except Exception as error:
            if is_passing(error):
                raise
            # Whatever else it is, it is of this run: those behind it must go on.
            return self._set_run_apart(found, run.run_id, error)
        return replace(found, failed=found.failed + 1)

    def _is_due(self, run: Run) -> bool:
        return run.next_at is not None and run.next_at <= self._clock.now()

    def _send_again(self, found: Reconciled, runs: Sequence[Run]) -> Reconciled:
        """Ask for launches whose message was lost, or whose launch died."""
        now = self._clock.now()
        free = [run for run in runs if run.claim is None or run.claim.expires_at < now]
        try:
            self._launches.send([launch_message(run) for run in free])
            found = replace(found, relaunched=found.relaunched + len(free))
        except StoreRejectedError:  # all but what the queue will never take were sent
            logger.exception("Of %d launches not all could be sent again", len(free))
            found = replace(found, failed=found.failed + 1)
        for run in runs:
            held = run.claim is not None and run.claim.expires_at >= now
            at = run.claim.expires_at + 1 if held and run.claim else now + LAUNCH_DUE_MS
            try:
                self._look_again(run, at)
            except Exception as error:
                if is_passing(error):
                    raise
                found = self._set_run_apart(found, run.run_id, error)
        return found

    def _ask(self, run: Run) -> bool:
        """Ask the target how a run stands, and take that in; whether it is known now, or given up."""
        now = self._clock.now()
        try:
            report = self._described(run, now)
        except LaunchError as error:
            logger.warning("The target of run %s does not say how it stands: %s", run.run_id, error)
            return self._not_answered(run, error, now)

        def answered(current: Run) -> Run:
            folded = fold(current, report)
            if folded.attempt != run.attempt:
                return folded  # An operator has asked for another attempt meanwhile.
            looked_at = replace(_looked_at(folded, now + OVERDUE_MS), unanswered=None)
            return with_look_elsewhere(looked_at, self._place, now)

        update_with_optimistic_lock(self._runs, run, answered)
        return True

    def _described(self, run: Run, now: int) -> Report:
        """How the target says that the run stands.

        Raises:
            LaunchError: if it does not say, or it is not known where it runs.
        """
        target = self._target_of(run)
        if target is None or run.external_id is None:
            msg = f"It is not known on which kind of target run {run.run_id} of job {run.job!r} was started."
            raise LaunchDeniedError(msg)
        role = role_of_run(run, self._jobs.get(run.job))
        return described(run, run.external_id, target, role, now)

    def _not_answered(self, run: Run, error: LaunchError, now: int) -> bool:
        """Note that the target cannot be queried; whether the run is given up for it."""
        unanswered = noted(run, error, now)
        end = ends_at(unanswered, error)
        if now >= end:
            report = _unknown(run, unknown_end(run, unanswered), now)
            update_with_optimistic_lock(
                self._runs, run, lambda current: fold(current, report) if self._is_due(current) else current
            )
            return True
        # Soon at first: a deployment may have taken the permission away, and the next one gives it back.
        wait = min(max(now - unanswered.since, RETRY_MS), OVERDUE_MS)

        def still_open(current: Run) -> Run:
            if not self._is_due(current):
                return current
            return replace(current, unanswered=unanswered, next_at=min(now + wait, end))

        update_with_optimistic_lock(self._runs, run, still_open)
        return False

    def _target_of(self, run: Run) -> Target | None:
        """Where the run was started, whatever its job is by now."""
        return self._targets.get(kind_of_run(run, self._jobs.get(run.job)))

    def _is_silent(self, run: Run) -> bool:
        target = self._target_of(run)
        return target is not None and not target.contract.describes

    def _look_again(self, run: Run, at: int | None) -> None:
        update_with_optimistic_lock(
            self._runs, run, lambda current: _looked_at(current, at) if self._is_due(current) else current
        )


def _unknown(run: Run, failure: Failure, now: int) -> Report:
    """That nobody can say how the run ended, of the retry at which the target was last seen."""
    return Report(run.attempt, Status.FAILURE, now, retry=retry_of(run), failure=failure)


def _looked_at(run: Run, next_at: int | None) -> Run:
    return run if run.next_at is None else replace(run, next_at=next_at)
