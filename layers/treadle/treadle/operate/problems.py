"""Judges a sensor's problems from its state, its last ticks and its function. Pure; performs no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from treadle.definitions.status import InstigatorStatus, TickStatus
from treadle.engine.identity import timestamp
from treadle.engine.reconcile.late_sensors import patience
from treadle.engine.tick.schedule import MINUTE_MS
from treadle.engine.tick.scheduled_ticks import LEASE_MARGIN_MS, MAX_LEASE_SECONDS
from treadle.model.deployment import DeployedSensor
from treadle.model.loops import NEVER_HELD, LoopHold
from treadle.model.sensors import SensorState
from treadle.model.ticks import TickKind, TickSummary
from treadle.operate.explanation import closed, error_summary
from treadle.operate.load_checks import LoadCheck

LATE_SECONDS = 300
"""Delay after which a scheduled sensor counts as late.

A sensor that RECONCILE reports as late is late too, which may be earlier.
"""

FIRST_TICK_SECONDS = 60
"""Same for the first tick: the first invocation after a deployment is due whatever the interval."""

RETRIED_MS = 3_600_000
"""Time within which all five deliveries of an event lie: retries follow after 30 s, 2, 8 and 30 minutes."""

MANY = 3
"""Number of failed events within that time that indicates more than one bad event."""

SKEW_MS = 60_000
"""Maximum clock skew."""


class ProblemKind(StrEnum):
    """Kind of a sensor's problem."""

    UNREADABLE = "UNREADABLE"
    REGISTRATION = "REGISTRATION"
    OWNERSHIP = "OWNERSHIP"
    LOOP = "LOOP"
    NOT_LOADING = "NOT_LOADING"
    FAILING = "FAILING"
    LATE = "LATE"
    BLOCKED = "BLOCKED"
    NO_EVENTS = "NO_EVENTS"
    UNCHECKED = "UNCHECKED"


@dataclass(frozen=True, slots=True)
class SensorProblem:
    """A problem of a sensor.

    Attributes:
        kind: UNREADABLE: its function or rule cannot be read; REGISTRATION: its registry entry is inconsistent with
            the registry, or its function with the engine; OWNERSHIP: its state belongs to another project; LOOP: its requests are held, as it looks like a loop;
            NOT_LOADING: its function cannot be imported or configured; FAILING: its evaluations fail; LATE: it did
            not tick when due; BLOCKED: its stored state prevents ticks; NO_EVENTS: its rule is disabled; UNCHECKED:
            whether its function loads is unknown.
        message: what is wrong, as a sentence.
        advice: what to do.
    """

    kind: ProblemKind
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class Observation:
    """A sensor at one time.

    Attributes:
        deployed: the deployed sensor.
        state: its stored state.
        ticks: its last ticks, as many as an overview reads.
        is_running: whether it evaluates.
        lag_seconds: how long ago its next tick was due; None if none is due.
        now: the time.
        loop: whether it is held as a loop.
    """

    deployed: DeployedSensor
    state: SensorState
    ticks: Sequence[TickSummary]
    is_running: bool
    lag_seconds: float | None
    now: int
    loop: LoopHold = NEVER_HELD

    @property
    def has_never_ticked(self) -> bool:
        """Return whether no scheduled tick has ever begun."""
        return self.state.last_scheduled_for is None

    @property
    def is_late(self) -> bool:
        """Return whether its next tick is overdue."""
        if not self.is_running or self.lag_seconds is None:
            return False
        if self.has_never_ticked:
            return self.lag_seconds > FIRST_TICK_SECONDS
        interval = interval_of(self.deployed, self.state) / 1000
        announced = (patience(interval * 1000) / 1000) - interval
        return self.lag_seconds > min(max(LATE_SECONDS, interval), announced)

    @property
    def is_unproven(self) -> bool:
        """Return whether nothing shows that the deployed function loads: no evaluation since, or one overdue."""
        deployed_at = self.deployed.deployed_at
        if self.deployed.problem:
            return False
        if deployed_at is None:
            return self.is_late
        ended = max((each.ended_at for each in self.ticks), default=0)
        return max(ended, self.state.last_completion or 0) < deployed_at or self.is_late


def interval_of(deployed: DeployedSensor, state: SensorState) -> int:
    """Return the milliseconds between ticks: as deployed, as the code declares it, or one minute."""
    return (deployed.interval_seconds or 0) * 1000 or state.interval or MINUTE_MS


def problems_of(
    seen: Observation, load: LoadCheck | None, registration: Iterable[SensorProblem] = ()
) -> tuple[SensorProblem, ...]:
    """Return a sensor's problems, each cause before its consequences.

    Args:
        seen: the sensor.
        load: the check of its function; None if its ticks show that it loads.
        registration: its registration problems.
    """
    if seen.deployed.problem:
        # Nothing else can be determined: its kind and its default status are unknown.
        unreadable = SensorProblem(
            ProblemKind.UNREADABLE, closed(seen.deployed.problem), seen.deployed.remedy
        )
        return (unreadable, *registration)
    return (*registration, *_found(seen, load))


def _found(seen: Observation, load: LoadCheck | None) -> Iterator[SensorProblem]:
    does_not_load = load is not None and bool(load.error)
    if load is not None and load.error:
        yield SensorProblem(
            ProblemKind.NOT_LOADING, closed(f"Its function does not load: {load.error}"), load.advice
        )
    elif load is not None and load.unchecked:
        message = f"It is unknown whether its function loads: {load.unchecked}"
        yield SensorProblem(ProblemKind.UNCHECKED, closed(message), load.advice)
    if seen.loop.held_at is not None:
        yield _looping(seen.deployed.name, seen.loop.held_at, seen.loop.reason)
    if seen.state.is_foreign(seen.deployed.project):
        yield _foreign(seen)
        if seen.deployed.settings.get("TREADLE_PROJECT"):
            return  # Streak, lease and times are the other project's.
    if not seen.is_running:
        return
    failing = _streak(seen) or _unfinished(seen) or _failing_events(seen)
    if failing is not None:
        yield failing
    yield from _blocked(seen)
    if seen.is_late and not does_not_load and not seen.state.failure_streak:
        yield _late(seen)
    if seen.deployed.subscription is not None and not seen.deployed.subscription.is_on:
        message = "Its rule is disabled, so it receives no events."
        yield SensorProblem(
            ProblemKind.NO_EVENTS, message, "treadle doctor prints the command that enables it."
        )


def _looping(name: str, since: int, reason: str) -> SensorProblem:
    message = f"It looks like a loop, so that its requests are held since {timestamp(since)}: {reason}."
    advice = (
        "Find out whether its job writes where it watches, and correct that or its prefix. What is held starts with: "
        f"treadle sensor release {name}"
    )
    return SensorProblem(ProblemKind.LOOP, message, advice)


def _foreign(seen: Observation) -> SensorProblem:
    """Report that the state belongs to another project's sensor of the same name."""
    name = seen.deployed.name
    is_checked = bool(seen.deployed.settings.get("TREADLE_PROJECT"))
    consequence = (
        "its ticks fail, and nothing is evaluated"
        if is_checked
        else "it ticks on that state, as its function has no TREADLE_PROJECT"
    )
    message = (
        f"Its state belongs to project {seen.state.project}, and it is registered by project {seen.deployed.project}: "
        f"{consequence}."
    )
    advice = f"Rename the sensor, or take its state over: treadle sensor adopt {name}, with --fresh without its cursor."
    return SensorProblem(ProblemKind.OWNERSHIP, message, advice)


def _streak(seen: Observation) -> SensorProblem | None:
    """Report consecutive failures of scheduled ticks."""
    state = seen.state
    if not state.failure_streak:
        return None
    leased = (each for each in seen.ticks if each.kind is TickKind.LEASED)
    failed = next((each for each in leased if each.status is TickStatus.FAILURE), None)
    why = "see its ticks" if failed is None else _error_of(failed)
    held = f"; in backoff until {timestamp(state.resume_at)}" if state.resume_at else ""
    message = closed(f"{state.failure_streak} ticks in a row have failed{held}: {why}")
    advice = "Fix its function or its source; it is evaluated again automatically."
    return SensorProblem(ProblemKind.FAILING, message, advice)


def _unfinished(seen: Observation) -> SensorProblem | None:
    """Report an evaluation whose lease has expired: its process is gone, and the next tick will record that."""
    state = seen.state
    if state.lease_owner is None or not 0 < state.lease_expires < seen.now - SKEW_MS:
        return None
    due = f" due {timestamp(state.last_scheduled_for)}" if state.last_scheduled_for is not None else ""
    message = (
        f"Its evaluation{due} has not ended, and its lease expired at {timestamp(state.lease_expires)}: "
        "out of memory, timed out, or stopped. The next tick records it as a failure."
    )
    return SensorProblem(ProblemKind.FAILING, message, "Check its log: treadle logs " + state.sensor)


def _failing_events(seen: Observation) -> SensorProblem | None:
    """Report failing events: the last one, or several recent ones, unless a retry succeeded.

    Failures before an operator started the sensor are known to that operator. If a sensor ticks as well, its
    next sweep shows that it works; otherwise only its last event can.
    """
    is_started = (
        seen.state.status is InstigatorStatus.RUNNING
    )  # By an operator; a first tick sets its time as well.
    started = (seen.state.started_at or 0) if is_started else 0
    events = [each for each in seen.ticks if each.kind is TickKind.EVENT and each.ended_at >= started]
    if not events:
        return None
    since = seen.now - RETRIED_MS
    last = max(events, key=lambda each: each.ended_at)
    failed = [each for each in events if each.status is TickStatus.FAILURE and each.ended_at >= since]
    is_last = last.status is TickStatus.FAILURE and (not seen.deployed.is_ticked or last.ended_at >= since)
    if not is_last and len(failed) < MANY:
        return None
    newest = last if is_last else max(failed, key=lambda each: each.ended_at)
    message = f"The evaluation of its last event failed at {timestamp(newest.ended_at)}"
    if len(failed) > 1:
        message = f"{len(failed)} of its last {len(events)} events failed within an hour"
    message = closed(f"{message}: {_error_of(newest)}")
    advice = (
        "Fix its function or what it calls. An event is delivered five times within an hour; after that: "
        "treadle dlq redrive"
    )
    return SensorProblem(ProblemKind.FAILING, message, advice)


def _blocked(seen: Observation) -> Iterator[SensorProblem]:
    """Report stored state that prevents ticks for a while."""
    state = seen.state
    if state.last_scheduled_for is not None and state.last_scheduled_for > seen.now + SKEW_MS:
        message = f"Its last scheduled time, {timestamp(state.last_scheduled_for)}, is in the future: it does not tick until then."
        advice = f"Evaluate it now: treadle sensor tick {state.sensor}. Then find out what sent it that time."
        yield SensorProblem(ProblemKind.BLOCKED, message, advice)
    longest = MAX_LEASE_SECONDS * 1000 + LEASE_MARGIN_MS + SKEW_MS
    if state.lease_owner is not None and state.lease_expires > seen.now + longest:
        message = f"A lease on it lasts until {timestamp(state.lease_expires)}, longer than any evaluation can take."
        yield SensorProblem(
            ProblemKind.BLOCKED, message, "Compare this machine's clock with AWS's: treadle doctor"
        )


def _late(seen: Observation) -> SensorProblem:
    deployed_at = seen.deployed.deployed_at
    if seen.has_never_ticked and deployed_at is not None:
        message = f"It has not ticked since it was deployed at {timestamp(deployed_at)}."
    else:
        message = f"Its tick is {seen.lag_seconds or 0:.0f} s overdue."
    advice = (
        "Check that its schedule is enabled, and check its log for errors, timeouts and lack of memory: treadle logs "
        + seen.state.sensor
    )
    return SensorProblem(ProblemKind.LATE, message, advice)


def _error_of(tick: TickSummary) -> str:
    return error_summary(tick.error_type or "Error", tick.error_message or "it has no message")
