"""Closes batches: evaluates the items that wait, commits what the batch contains, and marks it."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from treadle.definitions.bounds import counted
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    LeaseLostError,
    StoreError,
    StoreThrottledError,
    TreadleError,
    UnreadableRecordError,
)
from treadle.definitions.item_batches import Batch
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.identity import event_tick_id
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.batch_content import unpacked
from treadle.engine.tick.evaluation import (
    Budget,
    EvaluationResult,
    Evaluator,
    TickContext,
    is_unstorable,
    unstorable,
)
from treadle.engine.tick.scheduled_ticks import LEASE_MARGIN_MS, MAX_LEASE_SECONDS, outcome
from treadle.model.batches import (
    NO_FAILURES,
    BatchCommit,
    BatchFailures,
    BatchItem,
    BatchLease,
    Manifest,
    batch_run_key,
)
from treadle.model.sensors import SensorState
from treadle.model.ticks import ErrorInfo, RejectedRequest, Tick, TickKind
from treadle.ports.batches import BatchStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import IdGenerator

logger = logging.getLogger(__name__)

RETRY_MS = (30_000, 120_000, 480_000, 1_800_000)
"""The delays after the first, second, third and fourth failure of a batch; the fifth halves it."""

MARKED_AT_ONCE = 500
"""How many items are marked by one call of the store."""

MARGIN_SECONDS = 3.0
"""No further batch is begun with less time left than this and twice that of the last one."""


_DIED_TYPE = "EvaluationDiedError"
_DIED = "The evaluation ended without a result. It probably ran out of memory or time, or was killed."


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One evaluation of a batch.

    Attributes:
        lease: under which it is committed.
        state: the sensor's state before it.
        items: the batch's items.
        number: its number under the lease.
    """

    lease: BatchLease
    state: SensorState
    items: Sequence[BatchItem]
    number: int


class BatchCloser:
    """Closes the batches of a sensor.

    Args:
        evaluator: runs the sensor's function.
        batch: when batches are closed.
        batches: stores them.
        sensors: stores the sensor's state.
        tokens: generates tokens for leases.
        default_status: the status until an operator sets another one.
        project: whose sensor it is; "" if that is not known.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        batch: Batch,
        batches: BatchStore,
        sensors: SensorStore,
        tokens: IdGenerator,
        default_status: DefaultSensorStatus,
        project: str = "",
    ) -> None:
        self._evaluator = evaluator
        self._definition = evaluator.definition
        self._name = evaluator.definition.name
        self._clock = evaluator.clock
        self._batch = batch
        self._batches = batches
        self._sensors = sensors
        self._tokens = tokens
        self._default_status = default_status
        self._project = project

    def close(self, key: str, budget: Budget) -> list[Outcome]:
        """Close the batches that are full or due, until none is left or time runs out.

        Args:
            key: the key of their value of `Batch.by`.
            budget: the time limit.

        Returns:
            The outcomes of the ticks; none if there is nothing to close, or another closer has the lease.

        Raises:
            StoreError: if a store did not answer; another closer continues after the lease.
        """
        state = self._running()
        if state is None:
            reason = f"Sensor {self._name} is stopped; its items wait until it is started."
            return [Outcome(Decision.STOPPED, reason, key)]
        began = self._clock.now()
        seconds = min(budget.seconds, MAX_LEASE_SECONDS)
        expires_at = began + int(seconds * 1000) + LEASE_MARGIN_MS
        lease = self._batches.acquire(self._name, key, self._tokens.new(), began, expires_at)
        if lease is None:
            return []
        found: list[Outcome] = []
        try:
            self._mark_last(lease)
            self._close_all(lease, state, began, budget, found)
        except LeaseLostError as error:
            found.append(Outcome(Decision.LOST, str(error), key))
        except StoreThrottledError:
            # This was not a crash: otherwise the next closer would wait for the lease, and count a failure.
            with suppress(StoreError):
                self._batches.finish(lease, self._clock.now(), lease.before.first_at)
            raise
        return found

    def _mark_last(self, lease: BatchLease) -> None:
        """Finish what the closer before has left: items of a committed batch must not be evaluated again."""
        tick_id = lease.before.unmarked
        if tick_id is None:
            return
        manifest = self._batches.manifest(self._name, tick_id)
        if manifest is None:
            msg = (
                f"The manifest of tick {tick_id} of sensor {self._name} is missing. Restore the ticks table."
            )
            raise StoreError(msg)
        self._mark(lease, manifest)

    def _mark(self, lease: BatchLease, manifest: Manifest) -> None:
        members = manifest.members
        for first in range(0, len(members), MARKED_AT_ONCE):
            self._batches.mark(manifest, members[first : first + MARKED_AT_ONCE])
        self._batches.marked(lease)

    def _close_all(
        self,
        lease: BatchLease,
        state: SensorState | None,
        began: int,
        budget: Budget,
        found: list[Outcome],
    ) -> None:
        failures, has_died = lease.before.failures, lease.before.has_died
        number, took = 0, 0
        while True:
            items, is_all = self._batches.waiting(self._name, lease.key, self._batch.size)
            now = self._clock.now()
            if failures.last is not None and not _suspects(items, failures):
                failures = NO_FAILURES
            chosen = self._chosen(items, is_all=is_all, failures=failures, now=now)
            if has_died and items:
                # What it evaluated is not known; the next evaluation would probably have the same.
                chosen = _suspects(items, failures)[: failures.take] or self._first(items)[0]
            left = budget.seconds - (now - began) / 1000
            if number:
                state = self._running()
            if not chosen or state is None or (number and left < MARGIN_SECONDS + 2 * took / 1000):
                break
            number += 1
            attempt = _Attempt(lease, state, chosen, number)
            result = self._died(attempt) if has_died else self._evaluated(attempt, Budget(left))
            failures = self._committed(attempt, result, failures, found)
            has_died = False
            took = self._clock.now() - now
        due = self._due(items, is_all=is_all, failures=failures, is_left=bool(chosen))
        self._batches.finish(lease, due, items[0].accepted_at if items else now)

    def _running(self) -> SensorState | None:
        """Return the sensor's state if it is evaluated: it is running, and of this project."""
        try:
            state = self._sensors.get(self._name)
        except UnreadableRecordError as error:
            raise StoreError(str(error)) from error
        is_running = state.is_running(self._default_status)
        return state if is_running and not state.is_foreign(self._project) else None

    def _chosen(
        self, items: Sequence[BatchItem], *, is_all: bool, failures: BatchFailures, now: int
    ) -> Sequence[BatchItem]:
        """Return the items of the next batch; none if it is not closed yet."""
        if now < failures.retry_at or not items:
            return ()
        if failures.take:
            return _suspects(items, failures)[: failures.take]
        chosen, is_full = self._first(items)
        # Without that, more wait than can be read at once.
        is_full = is_full or not is_all
        return chosen if is_full or failures.count or now >= self._closes_at(items) else ()

    def _first(self, items: Sequence[BatchItem]) -> tuple[Sequence[BatchItem], bool]:
        """Return the first items, up to the limits of a batch, and whether they reach one.

        An item that exceeds the limit in bytes by itself is a batch.
        """
        most, size = self._batch.bytes, 0
        for number, each in enumerate(items):
            size += each.size
            if most is not None and size >= most:
                return items[: number if number and size > most else number + 1], True
        return items, len(items) >= self._batch.size

    def _closes_at(self, items: Sequence[BatchItem]) -> int:
        """Return when time closes a batch of these items."""
        closes_at = items[0].accepted_at + self._batch.within_ms
        if self._batch.quiet_ms is not None:
            closes_at = min(closes_at, items[-1].accepted_at + self._batch.quiet_ms)
        return closes_at

    def _due(
        self, items: Sequence[BatchItem], *, is_all: bool, failures: BatchFailures, is_left: bool
    ) -> int | None:
        """Return when somebody must look again; None if nothing waits."""
        now = self._clock.now()
        if is_left:
            return now
        if not items:
            return None if is_all else now
        return failures.retry_at if failures.retry_at > now else self._closes_at(items)

    def _evaluated(self, attempt: _Attempt, budget: Budget) -> EvaluationResult:
        """Evaluate a batch."""
        lease, items = attempt.lease, attempt.items
        run_key = batch_run_key(each.member for each in items)
        try:
            values = [unpacked(each.content) for each in items]
        except UnreadableRecordError as error:
            return self._refused(attempt, error)
        depth = max(value.depth if hasattr(value, "depth") else 0 for value in values)

        def function(context: SensorEvaluationContext) -> SensorExecutionData:
            return self._definition.evaluate_batch(context, values, lease.by, run_key)

        frame = replace(self._frame(attempt, run_key), depth=depth)
        return self._evaluator.run(frame, attempt.state, None, function, budget)

    def _died(self, attempt: _Attempt) -> EvaluationResult:
        """Return the failure of the closer that had the lease before."""
        result = self._refused(attempt, TreadleError(_DIED))
        return replace(result, tick=replace(result.tick, error=ErrorInfo(_DIED_TYPE, _DIED)))

    def _refused(self, attempt: _Attempt, error: TreadleError) -> EvaluationResult:
        tick = self._evaluator.refuse(self._frame(attempt, ""), error)
        logger.error("A batch of sensor %s: %s", self._name, error)
        return EvaluationResult(tick, None, None, cursor_changed=False)

    def _frame(self, attempt: _Attempt, run_key: str) -> TickContext:
        lease, now = attempt.lease, self._clock.now()
        of = f" of {lease.by!r}" if lease.by else ""
        trigger = f"Batch of {counted(len(attempt.items), 'item')}{of}"
        tick_id = event_tick_id(now, ("batch", lease.by, lease.owner, str(lease.epoch), str(attempt.number)))
        trigger = f"{trigger}: {run_key}" if run_key else trigger
        return TickContext(tick_id, TickKind.EVENT, now, lease.owner, attempt.state.epoch, trigger)

    def _committed(
        self, attempt: _Attempt, result: EvaluationResult, failures: BatchFailures, found: list[Outcome]
    ) -> BatchFailures:
        """Commit a batch, or its failure, and mark its items; return the failures after it."""
        commit = self._commit_of(attempt, result.tick, failures)
        try:
            self._evaluator.store_payloads(result)
            self._batches.commit(attempt.lease, commit)
        except Exception as error:
            if not is_unstorable(error):
                raise
            logger.exception("The tick %s of sensor %s cannot be recorded", commit.tick.tick_id, self._name)
            commit = self._commit_of(attempt, unstorable(result, None, error).tick, failures)
            self._batches.commit(attempt.lease, commit)
        found.append(replace(outcome(commit.tick), measures=result.measures))
        if commit.manifest is not None:
            self._mark(attempt.lease, commit.manifest)
        return commit.failures

    def _commit_of(self, attempt: _Attempt, tick: Tick, failures: BatchFailures) -> BatchCommit:
        items = attempt.items
        is_set_aside = False
        if tick.status is TickStatus.FAILURE:
            failures, is_set_aside = self._after_failure(failures, items, tick)
            if not is_set_aside:
                return BatchCommit(tick, failures)
            tick = _set_aside(tick, items[0])
        else:
            failures = _after_success(failures, items)
        members = tuple(each.member for each in items)
        manifest = Manifest(self._name, attempt.lease.by, tick.tick_id, members, is_set_aside)
        return BatchCommit(tick, failures, manifest)

    def _after_failure(
        self, failures: BatchFailures, items: Sequence[BatchItem], tick: Tick
    ) -> tuple[BatchFailures, bool]:
        """Return the failures after a failure, and whether the item that failed alone is set aside."""
        now, reason = self._clock.now(), tick.error.message if tick.error else ""
        if not failures.take:
            count = failures.count + 1
            if count <= len(RETRY_MS):
                return BatchFailures(count, now + RETRY_MS[count - 1], reason=reason), False
            last = items[-1].member
            failures = BatchFailures(count, now, len(items), last, may_set_aside=True, reason=reason)
        if len(items) > 1:
            return replace(failures, take=len(items) // 2, reason=reason), False
        deaths = failures.count - len(RETRY_MS)
        if tick.error is not None and tick.error.type == _DIED_TYPE and deaths <= len(RETRY_MS):
            # A process may be killed for any reason: one item is tried as often as a batch.
            retry_at = now + RETRY_MS[deaths - 1]
            return replace(failures, count=failures.count + 1, retry_at=retry_at, reason=reason), False
        if not failures.may_set_aside:
            # Nothing has succeeded since the last one was set aside, so it may not be about this item.
            return BatchFailures(1, now + RETRY_MS[0], reason=reason), False
        rest = replace(failures, take=self._batch.size, may_set_aside=False)
        return (NO_FAILURES if items[-1].member == failures.last else rest), True


def _suspects(items: Sequence[BatchItem], failures: BatchFailures) -> Sequence[BatchItem]:
    """Return the items of a batch that was halved."""
    last = failures.last
    return () if last is None else [each for each in items if each.member <= last]


def _after_success(failures: BatchFailures, items: Sequence[BatchItem]) -> BatchFailures:
    """Return the failures after a success: the rest of a batch that was halved is tried at once."""
    if not failures.take or failures.last is None or items[-1].member >= failures.last:
        return NO_FAILURES
    count = len(RETRY_MS) + 1
    return replace(failures, count=count, take=failures.take * 2, may_set_aside=True)


def _set_aside(tick: Tick, item: BatchItem) -> Tick:
    """Return the tick that sets an item aside, with the reason, so that the others can go on."""
    reason = f"The function fails for it alone: {tick.error.message if tick.error else ''}"
    text = f"Item {item.identity} was set aside. {reason}"
    rejected = (RejectedRequest(item.identity, reason),)
    return replace(tick, status=TickStatus.SKIPPED, error=None, reason=text, rejected=rejected)
