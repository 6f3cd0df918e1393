"""Leased ticks: acquire, evaluate, filter, commit. At most one at a time per sensor."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from treadle.definitions.bounds import byte_size, counted, fit
from treadle.definitions.clocks import is_ahead
from treadle.definitions.errors import (
    LeaseLostError,
    SensorOwnershipError,
    StoreError,
    StoreRejectedError,
    StoreThrottledError,
    UnreadableRecordError,
)
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.identity import event_tick_id, leased_tick_id, timestamp
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.backoff import FailurePolicy
from treadle.engine.tick.evaluation import (
    Budget,
    EvaluationResult,
    Evaluator,
    TickContext,
    is_unstorable,
    unstorable,
)
from treadle.engine.tick.schedule import MINUTE_MS, later_slots, minute, slot
from treadle.model.sensors import Completion, Lease, LeaseRequest, Refused, SensorState, SkipStreak
from treadle.model.ticks import CUT, SHOWN_CURSOR, ErrorInfo, Tick, TickKind
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock, IdGenerator, Queue
from treadle.ports.ticks import TickStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.definitions.contexts import SensorEvaluationContext
    from treadle.definitions.hours import Hours
    from treadle.engine.tick.batch_acceptor import BatchAcceptor
    from treadle.engine.tick.evaluation import Evaluate

logger = logging.getLogger(__name__)

MAX_LEASE_SECONDS = 900
"""Lambda's maximum timeout: the lease of a tick without a budget."""

LEASE_MARGIN_MS = 5_000
"""Added to a tick's budget, to allow for clock skew."""

_SHOWN_REASON = 500
"""Bytes: the state of an idle sensor is rewritten twice at each tick, and should stay below 1 KB."""

_SHOWN_STREAK = 650
"""Bytes of the reason and the cursor of a streak's record, so that the record stays below 1 KB: one write unit."""


@dataclass(frozen=True, slots=True)
class TickSettings:
    """The deployment's settings for a sensor's ticks.

    Attributes:
        interval: milliseconds between two ticks; 0 for each scheduled minute.
        default_status: the status until an operator sets another one.
        pause_after: consecutive failures after which the sensor is paused; 0 for never.
        phase: the offset of the scheduled times, in milliseconds.
        project: the sensor's project; "" if unknown, in which case any state is treated as its own.
    """

    interval: int
    default_status: DefaultSensorStatus
    pause_after: int = 0
    phase: int = 0
    project: str = ""


class ScheduledTickRunner:
    """Evaluates a sensor at its scheduled times.

    Args:
        evaluator: runs the sensor's function.
        sensors: stores its state.
        ticks: stores the ticks that get no lease because the state belongs to another project.
        clock: the clock.
        tokens: generates tokens for this process's leases.
        settings: the deployment's settings.
        slots: the sensor's own queue, which delivers the scheduled times within a minute.
        acceptor: accepts items of batches; None if the sensor has none.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        sensors: SensorStore,
        ticks: TickStore,
        clock: Clock,
        tokens: IdGenerator,
        settings: TickSettings,
        slots: Queue | None = None,
        acceptor: "BatchAcceptor | None" = None,
    ) -> None:
        self._definition = evaluator.definition
        self._evaluator = evaluator
        self._sensors = sensors
        self._ticks = ticks
        self._clock = clock
        self._tokens = tokens
        self._settings = settings
        self._slots = slots
        self._acceptor = acceptor
        self._policy = FailurePolicy(settings.interval, settings.pause_after)
        self._skip_reason: str | None = None

    def tick(
        self, scheduled_for: int | None, budget: Budget, *, sends_ahead: bool = False, at_once: bool = False
    ) -> Outcome:
        """Evaluate once if a tick is due, and commit the result.

        Args:
            scheduled_for: the delivery's scheduled time; the current minute if it is None, or further ahead than
                clock skew explains.
            budget: the time limit.
            at_once: True for an operator who does not wait for the sensor's hours, its interval or a backoff after failures. The
                tick takes the current scheduled time, so that the schedule's own tick for it, if it comes
                later, is not due.
            sends_ahead: True for a schedule's delivery, which sends messages for the minute's later scheduled
                times; those messages never send more.

        Raises:
            StoreError: if a store did not answer; the tick committed either nothing or everything.
        """
        now = self._clock.now()
        scheduled_for = self._believable(scheduled_for, now)
        hours = self._definition.active
        if hours is not None and not at_once and not hours.covers(scheduled_for):
            return self._outside(hours, scheduled_for)
        request = replace(self._request(scheduled_for, now, budget), at_once=at_once)
        lease = self._refused_early(request) or self._sensors.acquire(request)
        if isinstance(lease, Refused):
            if lease.state is not None and self._is_foreign(lease.state):
                return self._refuse(request, lease.state)
            refusal = _refusal(request, lease.state)
            if sends_ahead and refusal.decision is not Decision.STOPPED:
                self._send_ahead(scheduled_for, now)
            return refusal
        if sends_ahead:
            self._send_ahead(scheduled_for, now)
        death: Completion | None = None
        try:
            death = self._record_death(lease, now)
            if death is not None and not death.keeps_lease:
                return replace(outcome(death.ticks[0]), paused=death.paused)
            decided = self._evaluate(lease, death.failure_streak if death else None, now, budget)
            decided = replace(decided, is_repeated=self._is_repeated(decided) and not at_once)
        except LeaseLostError as error:
            self._sensors.release(lease)
            decided = Outcome(Decision.LOST, str(error), leased_tick_id(lease.scheduled_for, lease.epoch))
        except (StoreThrottledError, StoreRejectedError):
            # This was not a crash: otherwise the next tick would wait for the lease, and count a failure.
            with suppress(StoreError):
                self._sensors.release(lease)
            raise
        return replace(decided, recorded_failures=1) if death else decided

    def _refused_early(self, request: LeaseRequest) -> Refused | None:
        """Return the refusal of a delivery between two ticks of a long interval, for a read in place of a write."""
        if request.at_once or request.interval <= MINUTE_MS:
            return None  # Almost every delivery is due.
        state = self._sensors.get(request.sensor)
        last = state.last_scheduled_for
        if last is None or is_ahead(last, request.now) or last <= request.scheduled_for - request.interval:
            return None  # The lease decides.
        return Refused(state)

    def _is_repeated(self, decided: Outcome) -> bool:
        """Whether the tick before, in this process, was skipped for the same reason; remember this one's."""
        before, skipped = self._skip_reason, decided.decision is Decision.SKIPPED and not decided.rejected
        self._skip_reason = decided.reason if skipped else None
        return skipped and decided.reason == before

    def _outside(self, hours: "Hours", scheduled_for: int) -> Outcome:
        """Return that a scheduled time is outside of the sensor's hours, for which nothing is read or written."""
        subject = f"{self._definition.name} at {timestamp(scheduled_for)}"
        return Outcome(Decision.NOT_DUE, outside(hours, scheduled_for), subject)

    def _is_foreign(self, state: SensorState) -> bool:
        """Whether the sensor would tick, were its state not another project's."""
        is_running = state.is_running(self._settings.default_status)
        return is_running and state.is_foreign(self._settings.project)

    def _refuse(self, request: LeaseRequest, state: SensorState) -> Outcome:
        """Record that the sensor does not tick on another project's state, of which nothing is changed."""
        # Not the id of a leased tick, as the other project's may be about to commit that.
        tick_id = event_tick_id(request.scheduled_for, ("refused", self._settings.project))
        frame = TickContext(tick_id, TickKind.LEASED, request.scheduled_for, request.owner, state.epoch)
        error = SensorOwnershipError(request.sensor, state.project or "", self._settings.project)
        tick = self._evaluator.refuse(frame, error)
        logger.error(str(error))
        self._ticks.put(tick)
        return outcome(tick)

    def _believable(self, scheduled_for: int | None, now: int) -> int:
        """Return the scheduled time unless it is far ahead, which would block the sensor until then."""
        if scheduled_for is None:
            return minute(now)
        if not is_ahead(scheduled_for, now):
            return scheduled_for
        logger.warning(
            "Sensor %s received a message with nominal time %s, which is in the future: the "
            "current minute is used instead.",
            self._definition.name,
            timestamp(scheduled_for),
        )
        return minute(now)

    def _evaluate(self, lease: Lease, deaths: int | None, now: int, budget: Budget) -> Outcome:
        tick_id = leased_tick_id(lease.scheduled_for, lease.epoch)
        changing = lease.before.partitions_tick
        if changing is not None and not self._ticks.has_changed_partitions(lease.sensor, changing):
            self._sensors.release(lease)
            reason = (
                f"The dynamic partitions that tick {changing} changed are not stored yet: DISPATCH is late. The sensor is "
                "evaluated at its next tick."
            )
            return Outcome(Decision.DELAYED, reason, f"{lease.sensor} at {timestamp(lease.scheduled_for)}")
        frame = TickContext(tick_id, TickKind.LEASED, lease.scheduled_for, lease.owner, lease.epoch)
        cursor, function = self._cursor(lease)
        started_at = now if lease.before.started_at is None else lease.before.started_at
        state = replace(lease.before, started_at=started_at)
        result = self._evaluator.run(frame, state, cursor, function, budget)
        if result.items and self._acceptor is not None:
            # Before the cursor passes them: after a crash, they are found again, and known.
            accepted = self._acceptor.accept(result.items)
            self._acceptor.settle()
            for error in accepted:
                if isinstance(error, Exception):
                    raise error
        failures_before = lease.before.failure_streak if deaths is None else deaths
        try:
            self._evaluator.store_payloads(result)
            completion = _completion(lease, result, failures_before, self._policy, cursor)
            self._sensors.commit(lease, completion)
        except Exception as error:
            if not is_unstorable(error):
                raise
            logger.exception("The tick %s of sensor %s cannot be recorded", tick_id, lease.sensor)
            result = unstorable(result, cursor, error)
            completion = _completion(lease, result, failures_before, self._policy, cursor)
            self._sensors.commit(lease, replace(completion, stands_in=True))
        return replace(outcome(result.tick), paused=completion.paused, measures=result.measures)

    def _cursor(self, lease: Lease) -> "tuple[str | None, Evaluate]":
        """Return the cursor and the function to evaluate, which raises if the cursor is unreadable."""
        try:
            return self._sensors.cursor(lease.before), self._definition.evaluate
        except UnreadableRecordError as error:
            unreadable = error

        def failing(context: "SensorEvaluationContext") -> NoReturn:
            del context
            raise unreadable

        return None, failing

    def _send_ahead(self, scheduled_for: int, now: int) -> None:
        slots = [each for each in later_slots(scheduled_for, self._settings.interval) if each > now]
        if slots and self._slots is not None:
            bodies: list[Mapping[str, object]] = [
                {"treadle": "slot", "nominal_time": timestamp(each)} for each in slots
            ]
            try:
                self._slots.send(bodies, delay_seconds=[(each - now + 999) // 1000 for each in slots])
            except StoreError:
                # The current tick goes on: a lost message is made up for a minute later.
                logger.exception("The messages for the remaining ticks of this minute were not sent")

    def _request(self, scheduled_for: int, now: int, budget: Budget) -> LeaseRequest:
        seconds = min(budget.seconds, MAX_LEASE_SECONDS)
        return LeaseRequest(
            sensor=self._definition.name,
            owner=self._tokens.new(),
            scheduled_for=max(
                slot(scheduled_for, self._settings.interval, self._settings.phase), 0
            ),  # stores accept none before that
            interval=self._settings.interval,
            now=now,
            expires_at=now + int(seconds * 1000) + LEASE_MARGIN_MS,
            default_status=self._settings.default_status,
            project=self._settings.project,
        )

    def _record_death(self, lease: Lease, now: int) -> Completion | None:
        """Record a failure if the previous tick died with its lease; end this one if it must not go on."""
        before = lease.before
        if before.lease_owner is None or before.last_scheduled_for is None:
            return None
        reason = (
            f"The evaluation scheduled for {timestamp(before.last_scheduled_for)} ended without reporting "
            f"a result; its lease expired at {timestamp(before.lease_expires)}. It probably ran out "
            "of memory or time, or was killed."
        )
        tick = Tick(
            sensor=lease.sensor,
            tick_id=leased_tick_id(before.last_scheduled_for, before.epoch),
            kind=TickKind.LEASED,
            status=TickStatus.FAILURE,
            time=before.last_scheduled_for,
            started_at=before.last_scheduled_for,
            ended_at=now,
            error=ErrorInfo("EvaluationDiedError", reason),
            owner=before.lease_owner,
        )
        logger.error(reason)
        streak = before.failure_streak + 1
        paused = self._policy.pause(streak, reason)
        resume_at = self._policy.resume_at(streak, before.lease_expires)
        death = Completion(
            at=now,
            cursor=None,
            cursor_changed=False,
            failure_streak=streak,
            last_run_key=before.last_run_key,
            skips=before.skips,
            ticks=(replace(tick, paused=paused),),
            resume_at=resume_at,
            paused=paused,
            keeps_lease=paused is None and (resume_at is None or resume_at <= now),
            partitions_tick=before.partitions_tick,
        )
        self._sensors.commit(lease, death)
        return death


def outcome(tick: Tick) -> Outcome:
    """Return the outcome of a committed tick."""
    message = (
        tick.error.message if tick.error else tick.reason or f"{counted(len(tick.requests), 'run')} requested"
    )
    decision = Decision(tick.status.value)
    return Outcome(
        decision, message, tick.tick_id, len(tick.requests), tick.trigger, rejected=len(tick.rejected)
    )


def _completion(
    lease: Lease, result: EvaluationResult, failures_before: int, policy: FailurePolicy, cursor: str | None
) -> Completion:
    """Return what to commit.

    Args:
        lease: the tick's.
        result: the result of its evaluation.
        failures_before: consecutive failures before it.
        policy: the response to failures.
        cursor: the cursor before the evaluation, which is the one after a streak of skips that ends now.
    """
    before = lease.before
    tick = replace(result.tick, cursor=(result.cursor or "")[:SHOWN_CURSOR] or None)
    completion = Completion(
        at=tick.ended_at,
        cursor=result.cursor,
        cursor_changed=result.cursor_changed,
        failure_streak=failures_before + 1 if tick.status is TickStatus.FAILURE else 0,
        last_run_key=(result.plan.last_run_key if result.plan else None) or before.last_run_key,
        partitions_tick=tick.tick_id if tick.dynamic_partitions_request_results else None,
    )
    if tick.error is not None:
        streak = completion.failure_streak
        paused = policy.pause(streak, tick.error.message)
        resume_at = policy.resume_at(streak, tick.ended_at)
        tick = replace(tick, paused=paused)
        completion = replace(completion, resume_at=resume_at, paused=paused)
    if tick.status is TickStatus.SKIPPED and not tick.rejected:
        return replace(completion, skips=_extended(before.skips, tick))
    skipped = [_ended_streak(lease.sensor, before.skips, cursor)] if before.skips else []
    return replace(completion, ticks=(*skipped, tick))


def _extended(skips: SkipStreak | None, tick: Tick) -> SkipStreak:
    reason = fit(tick.reason or "", _SHOWN_REASON)
    if skips is None:
        return SkipStreak(tick.tick_id, tick.time, tick.time, 1, reason)
    return replace(skips, last_at=tick.time, count=skips.count + 1, reason=reason)


def _ended_streak(sensor: str, skips: SkipStreak, cursor: str | None) -> Tick:
    """Return the record of a streak, with the cursor after it, without which no later tick can be rehearsed."""
    tick = streak_tick(sensor, skips)
    room = _SHOWN_STREAK - byte_size(skips.reason)
    if cursor is not None and byte_size(cursor) > room:
        cursor = f"{fit(cursor, room - byte_size(CUT))}{CUT}"
    return replace(tick, cursor=cursor or None)


def outside(hours: "Hours", at: int) -> str:
    """Return a sentence that says until when a sensor is not evaluated, at a time outside of its hours."""
    begin = hours.next_begin(at)
    return (
        f"Outside its hours until {timestamp(begin)}."
        if begin
        else "Outside its hours, of which none are left."
    )


def streak_tick(sensor: str, skips: SkipStreak) -> Tick:
    """Return the one record that represents a streak of skipped ticks."""
    return Tick(
        sensor=sensor,
        tick_id=skips.first_tick_id,
        kind=TickKind.LEASED,
        status=TickStatus.SKIPPED,
        time=skips.first_at,
        started_at=skips.first_at,
        ended_at=skips.last_at,
        reason=skips.reason,
        skips=skips.count,
        last_time=skips.last_at,
    )


def _refusal(request: LeaseRequest, state: SensorState | None) -> Outcome:
    state = state or SensorState(request.sensor)
    subject = f"{request.sensor} at {timestamp(request.scheduled_for)}"
    if not state.is_running(request.default_status):
        reason = state.paused or f"Sensor {request.sensor} is stopped; start it."
        return Outcome(Decision.STOPPED, reason, subject)
    if state.lease_owner is not None and state.lease_expires >= request.now:
        until = timestamp(state.lease_expires)
        return Outcome(Decision.LEASED, f"Another tick holds the lease until {until} at the latest.", subject)
    if state.resume_at is not None and state.resume_at > request.now and not request.at_once:
        until = timestamp(state.resume_at)
        reason = f"Backing off until {until}, after {state.failure_streak} failures in a row."
        return Outcome(Decision.NOT_DUE, reason, subject, wait_seconds=_seconds_until_due(request, state))
    if request.at_once and (state.last_completion or 0) > request.now:
        done = timestamp(state.last_completion or 0)
        reason = f"Another tick ended at {done}, after this one was requested at {timestamp(request.now)}."
        return Outcome(Decision.NOT_DUE, reason, subject)
    last = "never" if state.last_scheduled_for is None else timestamp(state.last_scheduled_for)
    reason = (
        f"Not due: the last tick was scheduled for {last}, and the interval is {request.interval / 1000:g} s."
    )
    return Outcome(Decision.NOT_DUE, reason, subject, wait_seconds=_seconds_until_due(request, state))


def _seconds_until_due(request: LeaseRequest, state: SensorState) -> int:
    """Return the seconds until a tick will be due; at least 1, also where that is not known."""
    due = max(
        (state.last_scheduled_for or 0) + request.interval,
        (state.last_completion or 0) + request.interval // 2,
        state.resume_at or 0,
    )
    return max(1, (due - request.now + 999) // 1000)
