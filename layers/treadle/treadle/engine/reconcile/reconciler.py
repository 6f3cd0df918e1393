"""RECONCILE: finds what other components have lost, and repairs it. Time-limited; the next pass continues."""

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
from treadle.engine.backfills.backfiller import Backfiller
from treadle.engine.batches.due_batches import DueBatches
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.engine_check import Heartbeat
from treadle.engine.launch.attempts import attempt_by_policy
from treadle.engine.messages import LaunchRequest, TickRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.outcomes import Decision
from treadle.engine.pools.pool_checks import PoolChecks, PoolQueue
from treadle.engine.pools.start_timeout import with_wait_ended
from treadle.engine.reconcile.external_run_poller import ExternalRunPoller
from treadle.engine.reconcile.held_ticks import HeldTicks
from treadle.engine.reconcile.late_sensors import LateSensors
from treadle.engine.record.arns import kind_of_run, role_of_run
from treadle.engine.record.describe import described
from treadle.engine.record.max_runtime import (
    cancellation_answered,
    cancellation_requested,
    current_cancellation,
    exceeds_max_runtime,
)
from treadle.engine.record.run_state import (
    LAUNCH_DUE_MS,
    MESSAGE_LOST_MS,
    OVERDUE_MS,
    Report,
    checked_first_at,
    fold,
    with_early_check,
)
from treadle.engine.record.unreachable_runs import ends_at, noted, unknown_end
from treadle.engine.registry.registry_sync import RegistrySync
from treadle.model.records import reason_of
from treadle.model.runs import Failure, Run
from treadle.model.targets import JobSettings
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, DeadLetters, Queue
from treadle.ports.targets import Target, Targets
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

DISPATCH_LATE_MS = 120_000
"""A tick that has been pending for this long is considered lost by its stream."""

RETRY_MS = 900_000
"""What could not be repaired is retried after 15 minutes."""

UNREADABLE_MS = 86_400_000
"""A record that cannot be read is checked again once a day: by then it, or this code, may have been fixed."""

ORIGIN = "reconcile"
"""RECONCILE's name in dead letters."""

_NOT_PUT_OFF = "The table rejected the change of %s; the next pass tries again"

PAGE = 100
"""How many ticks, and runs, are read at once."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of one pass.

    Attributes:
        dispatched: ticks that had not been dispatched, and now are.
        relaunched: runs whose launch message was sent again.
        described: runs whose target was queried.
        observed: external runs that were recorded or updated.
        retried: attempts that retry policies have started.
        timed_out: runs that exceeded their maximum runtime, and whose end was requested for the first time.
        not_canceled: runs to be ended whose target refused the request.
        failed: ticks and runs that could not be repaired, and are retried later.
        unreadable: those of them whose record cannot be read.
        held: requests that still wait, of ticks that were checked.
        loops: sensors that were found to look like a loop.
        refused: requests and asset events that were refused, of such ticks.
        registered: registry entries that have changed.
        invalid: registry entries that are invalid.
        backfilled: runs and attempts that were created for backfills.
        blocked: backfills that were checked, and cannot continue.
        granted: runs that a slot of a pool was granted to.
        entered: runs in progress that were entered into pools.
        in_doubt: slots of pools that runs wait for, and whose holders may or may not have ended.
        queues: the pools in which runs wait.
        closing: batches that are due, and whose sensors' functions were invoked to close them.
        overdue: batches that are due, and that no function closes.
        late: the sensors that have not ticked for three of their intervals, by name.
        is_complete: False if time ran out, and the next pass continues.
    """

    dispatched: int = 0
    relaunched: int = 0
    described: int = 0
    observed: int = 0
    retried: int = 0
    timed_out: int = 0
    not_canceled: int = 0
    failed: int = 0
    unreadable: int = 0
    held: int = 0
    loops: int = 0
    refused: int = 0
    registered: int = 0
    invalid: int = 0
    backfilled: int = 0
    blocked: int = 0
    granted: int = 0
    entered: int = 0
    in_doubt: int = 0
    queues: tuple[PoolQueue, ...] = ()
    closing: int = 0
    overdue: int = 0
    late: tuple[str, ...] = ()
    is_complete: bool = True

    def __str__(self) -> str:
        """Return a one-line summary."""
        text = (
            f"{self.dispatched} ticks dispatched, {self.relaunched} launches sent again, "
            f"{self.described} runs polled, {self.observed} external runs recorded, {self.failed} "
            "failed and left for later"
        )
        for number, what in (
            (self.unreadable, "of them with unreadable records"),
            (self.retried, "runs retried"),
            (self.timed_out, "runs over their maximum runtime"),
            (self.not_canceled, "runs that their targets did not end"),
            (self.held, "requests held"),
            (self.loops, "sensors held as a loop"),
            (self.registered, "registry entries changed"),
            (self.invalid, "registry entries invalid"),
            (self.backfilled, "runs created for backfills"),
            (self.blocked, "backfills blocked"),
            (self.granted, "runs granted slots of pools"),
            (self.entered, "runs entered into pools"),
            (self.in_doubt, "slots of pools in doubt"),
            (self.closing, "batches to be closed"),
            (self.overdue, "batches overdue"),
        ):
            text = f"{text}, {number} {what}" if number else text
        waiting = sum(each.waiting for each in self.queues)
        text = f"{text}, {waiting} runs waiting for pools" if waiting else text
        if self.late:
            text = f"{text}, late sensors: {', '.join(self.late)}"
        return text if self.is_complete else f"{text}; more work is left"


class Reconciler:
    """Finds what is overdue, by two sparse indexes, and polls observed jobs for external runs.

    Args:
        ticks: stores tick records.
        runs: stores run records.
        launches: LAUNCH's queue.
        dispatcher: dispatches ticks.
        jobs: the settings of each job.
        targets: the targets by type.
        clock: the clock.
        watcher: polls observed jobs; None where none is observed.
        dead_letters: receives each record that cannot be read, once; None to only log it.
        registry: copies registry entries; None where nothing is registered.
        heartbeat: records that RECONCILE runs; None to leave that out.
        sensors: finds late sensors; None to leave that out.
        place: the engine's account and Region, as `account/region`; runs in other accounts are polled more often.
        backfiller: advances backfills; None to leave that out.
        pools: checks concurrency pools; None to leave that out.
        batches: finds batches that are due; None to leave that out.
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
        backfiller: Backfiller | None = None,
        pools: PoolChecks | None = None,
        batches: DueBatches | None = None,
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
        self._backfiller = backfiller
        self._pools = pools
        self._batches = batches
        self._held = HeldTicks(ticks, dispatcher, clock)

    def reconcile(self, seconds: float) -> Reconciled:
        """Repair what is overdue, until nothing is left or time runs out.

        Args:
            seconds: the time limit.

        Raises:
            StoreError: if an index could not be read; it is safe to retry.
        """
        ends_at = self._clock.now() + int(seconds * 1000)
        found = Reconciled() if self._registry is None else self._synced(self._registry.list_if_due)
        found = self._check_sensors(found)
        found = self._close_batches(found, self._clock.now() + int(seconds * 200))
        # There may be many of each: a fifth of the time is reserved for what is overdue.
        found = self._check_held(found, self._clock.now() + int(seconds * 400))
        is_checked = found.is_complete
        found = self._advance_backfills(found, self._clock.now() + int(seconds * 200))
        found = self._check_pools(found, self._clock.now() + int(seconds * 200))
        for check in (self._dispatch_late, self._check_runs):
            while self._clock.now() < ends_at:
                found, is_last = check(found, ends_at)
                if is_last:
                    break
            else:
                return replace(found, is_complete=False)
        found = replace(found, is_complete=is_checked)
        if self._watcher is None:
            return found
        watched = self._watcher.watch(ends_at)
        failed = found.failed + watched.failed
        is_complete = found.is_complete and watched.is_complete
        return replace(found, observed=watched.recorded, failed=failed, is_complete=is_complete)

    def register(self, path: str, seconds: float, *, is_deleted: bool) -> Reconciled:
        """Copy one registry entry, and check the held ticks if it has changed.

        Args:
            path: the entry's path below the engine's, such as "jobs/load".
            seconds: the time limit.
            is_deleted: True if it was reported as deleted.

        Raises:
            StoreError: if an index could not be read; it is safe to retry.
        """
        registry = self._registry
        if registry is None:
            return Reconciled()
        ends_at = self._clock.now() + int(seconds * 1000)
        found = self._synced(lambda: registry.update(path, is_deleted=is_deleted))
        return self._check_held(found, ends_at) if found.registered else found

    def _synced(self, sync: Callable[[], int]) -> Reconciled:
        """Synchronize the registry and return the result.

        Errors are logged, so that the rest of the pass goes on.
        """
        if self._registry is None:
            return Reconciled()
        changed, failed = 0, 0
        try:
            changed = sync()
        except Exception:
            logger.exception("The copy of the registry could not be updated")
            failed = 1
        if changed:
            self._held.renew()
        try:
            return Reconciled(registered=changed, failed=failed, invalid=self._registry.invalid())
        except StoreError:
            return Reconciled(registered=changed, failed=1)

    def _check_sensors(self, found: Reconciled) -> Reconciled:
        """Write the heartbeat, and find late sensors.

        Errors are logged, so that the rest of the pass goes on.
        """
        try:
            if self._heartbeat is not None:
                self._heartbeat.note_if_due()
        except Exception:
            logger.exception("The time of this RECONCILE pass could not be recorded")
            found = replace(found, failed=found.failed + 1)
        if self._sensors is None:
            return found
        try:
            self._sensors.check()
        except Exception:
            logger.exception("The late sensors could not be determined or published")
            found = replace(found, failed=found.failed + 1)
        return replace(found, late=tuple(self._sensors.late))

    def _close_batches(self, found: Reconciled, ends_at: int) -> Reconciled:
        """Let the batches be closed that are due.

        Errors are logged, so that the rest of the pass goes on.
        """
        if self._batches is None:
            return found
        try:
            checked = self._batches.check(ends_at)
        except Exception:
            logger.exception("The batches that are due could not be determined")
            return replace(found, failed=found.failed + 1)
        failed = found.failed + checked.failed
        return replace(found, closing=checked.closing, overdue=checked.overdue, failed=failed)

    def _check_held(self, found: Reconciled, ends_at: int) -> Reconciled:
        checked = self._held.check(ends_at)
        return replace(
            found,
            dispatched=found.dispatched + checked.dispatched,
            failed=found.failed + checked.failed,
            held=found.held + checked.held,
            loops=found.loops + checked.loops,
            refused=found.refused + checked.refused,
            is_complete=checked.is_complete,
        )

    def _advance_backfills(self, found: Reconciled, ends_at: int) -> Reconciled:
        """Advance the backfills that are due: those that no message, or no living invocation, advances."""
        backfiller = self._backfiller
        if backfiller is None:
            return found
        for name in backfiller.due(PAGE):
            if self._clock.now() >= ends_at:
                break
            try:
                done = backfiller.advance(name, ends_at)
            except UnreadableRecordError as error:
                body = {"treadle": ORIGIN, "backfill": name}
                found = self._set_apart(found, error, body, is_new=not error.is_noted)
                self._noted(backfiller.postpone, name, reason=error.reason)
            except Exception:  # whatever it is, it concerns only this backfill: go on with the next
                logger.exception("Backfill %s could not be advanced", name)
                found = replace(found, failed=found.failed + 1)
            else:
                created, problem = (done.created, done.problem) if done else (0, None)
                blocked = found.blocked + (problem is not None)
                found = replace(found, backfilled=found.backfilled + created, blocked=blocked)
                if problem:
                    logger.error("Backfill %s cannot continue: %s", name, problem)
        return found

    def _check_pools(self, found: Reconciled, ends_at: int) -> Reconciled:
        """Open pools, grant slots, and check the runs that hold slots others wait for."""
        if self._pools is None:
            return found
        try:
            checked = self._pools.check(ends_at)
        except Exception:
            logger.exception("The pools could not be checked")
            return replace(found, failed=found.failed + 1)
        found = replace(
            found,
            granted=checked.granted,
            entered=checked.entered,
            in_doubt=checked.in_doubt,
            queues=checked.queues,
            failed=found.failed + checked.failed,
        )
        for run in checked.overdue:
            if self._clock.now() >= ends_at:
                break
            found = self._check_run(found, run)
        return found

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
                loops = found.loops + outcome.loops
                found = replace(found, dispatched=done, held=held, loops=loops, refused=refused)
            except UnreadableRecordError as error:
                # The dead letter first: after a crash in between it is sent twice, but never lost.
                found = self._set_apart(
                    found, error, TickRequest(sensor, tick_id).to_json(), is_new=not error.is_noted
                )
                self._noted(self._ticks.mark_unreadable, sensor, tick_id, reason=error.reason)
            except Exception as error:  # whatever it is, it concerns only this tick: go on with the next
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
        """Count a record that needs repair to be processed; the first time, send it as a dead letter."""
        logger.error("%s", error, exc_info=not isinstance(error, TreadleError))
        if is_new and self._dead_letters is not None:
            reason = f"{type(error).__name__}: {error}"
            try:
                self._dead_letters.send(json.dumps(body), origin=ORIGIN, reason=reason)
            except StoreError:
                # The log, the metric and the record itself show it; go on with the next.
                logger.exception("The dead letter was not sent: %s", body)
        return replace(found, failed=found.failed + 1, unreadable=found.unreadable + 1)

    def _noted(self, mark: Callable[..., bool], *key: str, reason: str) -> None:
        """Defer an unreadable record to the next day, with the reason if it has room for it."""
        for text in (reason, "?"):
            try:
                mark(*key, self._next_day(), text)
            except StoreRejectedError:
                # An item may have 400 KB (DynamoDB's quotas), and this one is full even without the reason.
                logger.exception(_NOT_PUT_OFF, " ".join(key))
            else:
                return

    def _set_run_apart(self, found: Reconciled, run_id: str, error: Exception) -> Reconciled:
        reason = error.reason if isinstance(error, UnreadableRecordError) else reason_of(error)
        is_new = not (isinstance(error, UnreadableRecordError) and error.is_noted)
        found = self._set_apart(found, error, {"treadle": ORIGIN, "run_id": run_id}, is_new=is_new)
        self._noted(self._runs.mark_unreadable, run_id, reason=reason)
        return found

    def _check_runs(self, found: Reconciled, ends_at: int) -> tuple[Reconciled, bool]:
        run_ids = self._runs.due(self._clock.now(), PAGE)
        due: list[Run] = []
        for run_id in run_ids:
            try:
                run = self._runs.get(run_id)
            except UnreadableRecordError as error:
                found = self._set_run_apart(found, run_id, error)
                continue
            # The index may lag: skip those that have changed meanwhile.
            if run and self._is_due(run):
                due.append(run)
        found = self._end_waits(found, [run for run in due if run.waiting is not None])
        queued = [run for run in due if run.status is Status.QUEUED and run.waiting is None]
        found = self._send_again(found, queued)
        found = self._retry(found, [run for run in due if run.retry_at is not None])
        for run in due:
            if run.status is Status.QUEUED or run.retry_at is not None:
                continue
            if self._clock.now() >= ends_at:
                return found, False
            found = self._check_run(found, run, self._checked_later(run))
        return found, len(run_ids) < PAGE

    def _checked_later(self, run: Run) -> int | None:
        """Return when a run is to be checked that LAUNCH left where its launch was to be checked; None for now."""
        first = checked_first_at(run, self._place)
        is_early = first is not None and self._clock.now() < first and run.unanswered is None
        return first if is_early else None

    def _check_run(self, found: Reconciled, run: Run, later: int | None = None) -> Reconciled:
        """Check a started run, or note that it is checked later, and return the updated result."""
        try:
            if later is not None:
                self._check_again(run, later)
                return found
            if self._is_silent(run):
                self._check_again(run, None)  # Its end is either reported or never known.
                return found
            run = self._ask(run)
            if run.unanswered is None:
                found = replace(found, described=found.described + 1)
            else:
                found = replace(found, failed=found.failed + 1)
            return self._end_if_over(found, run)
        except Exception as error:
            if is_passing(error):
                raise
            # Whatever else it is, it concerns only this run: go on with the next.
            return self._set_run_apart(found, run.run_id, error)

    def _is_due(self, run: Run) -> bool:
        return run.next_at is not None and run.next_at <= self._clock.now()

    def _send_again(self, found: Reconciled, runs: Sequence[Run]) -> Reconciled:
        """Send launch messages again for runs whose message was lost, or whose launch died."""
        now = self._clock.now()
        free = [run for run in runs if run.claim is None or run.claim.expires_at < now]
        if self._send(free):
            found = replace(found, relaunched=found.relaunched + len(free))
        else:
            found = replace(found, failed=found.failed + 1)
        for run in runs:
            held = run.claim is not None and run.claim.expires_at >= now
            # The slots of a run that no message starts are idle: others wait for them.
            due_ms = MESSAGE_LOST_MS if run.slots else LAUNCH_DUE_MS
            at = run.claim.expires_at + 1 if held and run.claim else now + due_ms
            try:
                self._check_again(run, at)
            except Exception as error:
                if is_passing(error):
                    raise
                found = self._set_run_apart(found, run.run_id, error)
        return found

    def _end_waits(self, found: Reconciled, runs: Sequence[Run]) -> Reconciled:
        """Cancel runs that have waited for a slot of a pool as long as they may."""
        now = self._clock.now()
        for run in runs:
            try:
                update_with_optimistic_lock(self._runs, run, lambda current: with_wait_ended(current, now))
            except Exception as error:
                if is_passing(error):
                    raise
                found = self._set_run_apart(found, run.run_id, error)
        return found

    def _send(self, runs: Sequence[Run]) -> bool:
        """Send the launch messages of runs; return False if the queue will never accept some of them."""
        try:
            self._launches.send([LaunchRequest.of(run).to_json() for run in runs])
        except StoreRejectedError:  # all others were sent
            logger.exception("Not all of %d launches could be sent", len(runs))
            return False
        return True

    def _retry(self, found: Reconciled, runs: Sequence[Run]) -> Reconciled:
        """Start the next attempts of runs whose retry policy says so."""
        now = self._clock.now()

        def again(current: Run) -> Run:
            return attempt_by_policy(current, now) if self._is_due(current) else current

        started: list[Run] = []
        for run in runs:
            try:
                retried = update_with_optimistic_lock(self._runs, run, again)
            except Exception as error:
                if is_passing(error):
                    raise
                found = self._set_run_apart(found, run.run_id, error)
                continue
            if retried.attempt > run.attempt and retried.status is Status.QUEUED:
                started.append(retried)
        # A message that is lost here is sent again when the attempt is overdue.
        failed = found.failed + (not self._send([run for run in started if run.may_launch]))
        return replace(found, retried=found.retried + len(started), failed=failed)

    def _ask(self, run: Run) -> Run:
        """Query a run's status from its target and return the run; it is `unanswered` if the status is not known."""
        now = self._clock.now()
        try:
            report = self._described(run)
        except LaunchError as error:
            logger.warning("The target of run %s did not return its status: %s", run.run_id, error)
            return self._not_answered(run, error, now)

        def answered(current: Run) -> Run:
            folded = fold(current, report)
            if folded.attempt != run.attempt:
                return folded  # An operator has requested another attempt meanwhile.
            checked = replace(_with_next_check(folded, now + OVERDUE_MS), unanswered=None)
            return with_early_check(checked, self._place, now)

        return update_with_optimistic_lock(self._runs, run, answered)

    def _end_if_over(self, found: Reconciled, run: Run) -> Reconciled:
        """Request the end of a run that exceeds its maximum runtime or was replaced, at each check until it has ended."""
        now = self._clock.now()
        target = self._target_of(run)
        if target is None or run.external_id is None:
            return found
        is_first = exceeds_max_runtime(run, now) and current_cancellation(run) is None
        # Recorded first: the target reports only that the run was canceled, perhaps before this process goes on.
        run = update_with_optimistic_lock(
            self._runs, run, lambda current: cancellation_requested(current, now)
        )
        request = current_cancellation(run)
        if run.status.is_finished or run.external_id is None or request is None:
            return found
        refused = ""
        try:
            target.cancel(run.external_id, role_of_run(run, self._jobs.get(run.job)), request.cause)
        except LaunchError as error:
            logger.exception("Run %s could not be canceled: %s", run.run_id, request.cause)
            refused = str(error)
        canceling = Report(run.attempt, Status.CANCELING, now, retry=run.target_retry)

        def answered(current: Run) -> Run:
            folded = current if refused else fold(current, canceling)
            return cancellation_answered(folded, refused, now)

        update_with_optimistic_lock(self._runs, run, answered)
        return replace(
            found,
            timed_out=found.timed_out + is_first,
            not_canceled=found.not_canceled + bool(refused),
        )

    def _described(self, run: Run) -> Report:
        """Return the run's status according to its target.

        Raises:
            LaunchError: if the target does not answer, or it is not known where the run was started.
        """
        target = self._target_of(run)
        if target is None or run.external_id is None:
            msg = f"The type of target on which run {run.run_id} of job {run.job!r} was started is unknown."
            raise LaunchDeniedError(msg)
        role = role_of_run(run, self._jobs.get(run.job))
        return described(run, run.external_id, target, role, self._clock)

    def _not_answered(self, run: Run, error: LaunchError, now: int) -> Run:
        """Record that the target cannot be queried, or give the run up; return it."""
        unanswered = noted(run, error, now)
        end = ends_at(unanswered, error)
        if now >= end:
            report = _unknown(run, unknown_end(run, unanswered), now)
            return update_with_optimistic_lock(
                self._runs, run, lambda current: fold(current, report) if self._is_due(current) else current
            )
        # Soon at first: a deployment may have removed the permission, and the next one may restore it.
        wait = min(max(now - unanswered.since, RETRY_MS), OVERDUE_MS)

        def still_open(current: Run) -> Run:
            if not self._is_due(current):
                return current
            return replace(current, unanswered=unanswered, next_at=min(now + wait, end))

        return update_with_optimistic_lock(self._runs, run, still_open)

    def _target_of(self, run: Run) -> Target | None:
        """Return the target on which the run was started, even if its job's has changed."""
        return self._targets.get(kind_of_run(run, self._jobs.get(run.job)))

    def _is_silent(self, run: Run) -> bool:
        target = self._target_of(run)
        return target is not None and not target.contract.describes

    def _check_again(self, run: Run, at: int | None) -> None:
        update_with_optimistic_lock(
            self._runs,
            run,
            lambda current: _with_next_check(current, at) if self._is_due(current) else current,
        )


def _unknown(run: Run, failure: Failure, now: int) -> Report:
    """Return the report of a run with an unknown end, for the target's last known retry."""
    return Report(run.attempt, Status.FAILURE, now, retry=run.target_retry, failure=failure)


def _with_next_check(run: Run, next_at: int | None) -> Run:
    return run if run.next_at is None else replace(run, next_at=next_at)
