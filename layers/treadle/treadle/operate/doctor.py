"""What is wrong with a deployment, and what to do about it; and what was looked at and is in order."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from treadle.definitions.errors import TreadleError
from treadle.engine.identity import timestamp
from treadle.operate.findings import (
    Finding,
    Severity,
    of_alarm,
    of_backlog,
    of_bucket,
    of_clock,
    of_denial,
    of_switch,
    of_target,
    of_unread,
)
from treadle.operate.moved import CHECK, MOST, Addresses
from treadle.operate.overview import Overview, SensorView
from treadle.operate.stories import closed, error_words
from treadle.ports.deployment import DeployedSensor, Deployment
from treadle.ports.health import Health, Vitals
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

LATE_MS = 600_000
"""RECONCILE comes to what is late within minutes; what is later than this, it does not come to."""

LATE_SECONDS = 300
"""A scheduled sensor that has not ticked for so long after it was due does not tick at all."""

LOOKED_AHEAD_MS = 31 * 86_400_000
"""No run under way is left alone for so long."""

COUNTED = 100
_WORKERS = 16
_ORDER = (Severity.PROBLEM, Severity.WARNING, Severity.OK)


class Doctor:
    """Examines a deployment.

    Args:
        deployment: its sensors and their functions.
        health: looks at what AWS runs for it.
        overview: how its sensors stand.
        ticks: keeps tick records.
        runs: keeps run records.
        clock: the time.
        addresses: where the jobs are and were; None if runs under way are not looked at.
    """

    def __init__(
        self,
        deployment: Deployment,
        health: Health,
        overview: Overview,
        ticks: TickStore,
        runs: RunStore,
        clock: Clock,
        addresses: Addresses | None = None,
    ) -> None:
        self._deployment = deployment
        self._health = health
        self._overview = overview
        self._ticks = ticks
        self._runs = runs
        self._clock = clock
        self._addresses = addresses

    def examine(self) -> list[Finding]:
        """All that is wrong, the worst first; then what could not be looked at; then what is in order.

        Raises:
            DeploymentError: if the stack's sensors cannot be read.
        """
        with ThreadPoolExecutor(2) as pool:
            looking = pool.submit(self._health.vitals)
            views = self._overview.sensors()
            findings = [*self._configuration(), *_of_sensors(views), *self._lateness()]
            findings += self._under_way()
            vitals = looking.result()
        in_use = {job for view in views if view.status == "RUNNING" for job in view.jobs}
        findings += _of_vitals(vitals, in_use)
        wrong = {each.check for each in findings if each.severity is not Severity.OK}
        findings += [each for each in _in_order(vitals) if each.check not in wrong]
        return sorted(dict.fromkeys(findings), key=lambda each: _ORDER.index(each.severity))

    def _configuration(self) -> Iterator[Finding]:
        """Whether each sensor's function begins at all: with its code, its settings, its resources."""
        sensors = list(self._deployment.sensors().values())
        with ThreadPoolExecutor(_WORKERS) as pool:
            problems = [each for each in pool.map(self._begins, sensors) if each]
        yield from problems
        if not problems:
            says = f"The functions of {len(sensors)} sensors begin with the settings that they are given."
            yield Finding("configuration", "sensors", Severity.OK, says)

    def _begins(self, sensor: DeployedSensor) -> Finding | None:
        try:
            self._deployment.invoke(sensor.name, {"treadle": "describe"})
        except TreadleError as error:
            denied = "AccessDenied" in str(error)
            advice = (
                "Grant yourself lambda:InvokeFunction."
                if denied
                else "Mend its code or its parameters, and deploy."
            )
            severity = Severity.WARNING if denied else Severity.PROBLEM
            return Finding("configuration", f"sensor {sensor.name}", severity, str(error), advice)
        return None

    def _lateness(self) -> Iterator[Finding]:
        """Ticks and runs that nobody comes to."""
        before = self._clock.now() - LATE_MS
        for what, step, found in (
            ("ticks wait to be dispatched", "dispatch", len(self._ticks.pending(before, COUNTED))),
            ("runs wait to be looked at", "reconcile", len(self._runs.due(before, COUNTED))),
        ):
            if found:
                number = f"{COUNTED} or more" if found == COUNTED else str(found)
                says = (
                    f"{number} {what} since before {timestamp(before)}, and RECONCILE has not come to them."
                )
                advice = "Look at RECONCILE's schedule and log; it goes on each minute with what is left."
                yield Finding("lag", step, Severity.PROBLEM, says, advice)

    def _under_way(self) -> Iterator[Finding]:
        """Runs that the deployment no longer sees to their end."""
        if self._addresses is None:
            return
        # Whatever is under way is looked at again some day.
        names = self._runs.due(self._clock.now() + LOOKED_AHEAD_MS, MOST)
        found = list(self._addresses.findings(self._runs.get_many(names).values()))
        yield from found
        if not found:
            number = f"The first {MOST}" if len(names) == MOST else str(len(names))
            yield Finding(CHECK, CHECK, Severity.OK, f"{number} are where a job is.")


def _of_sensors(views: Sequence[SensorView]) -> Iterator[Finding]:
    """Sensors that are paused, fail, or do not tick although they should."""
    found = [finding for view in views for finding in _of_sensor(view)]
    yield from found
    if not found:
        running = sum(view.status == "RUNNING" for view in views)
        says = f"{running} of {len(views)} sensors run, and none of them fails or is late."
        yield Finding("sensors", "sensors", Severity.OK, says)


def _of_sensor(view: SensorView) -> Iterator[Finding]:
    owner = f"sensor {view.name}"
    if view.status == "PAUSED":
        says = closed(f"It is paused: {view.paused}")
        yield Finding(
            "sensors",
            owner,
            Severity.PROBLEM,
            says,
            f"Mend what failed, then: treadle sensor start {view.name}",
        )
    elif view.failure_streak:
        last = view.last_tick
        failed = last is not None and last.error_type is not None
        why = (
            error_words(last.error_type or "", last.error_message or "")
            if last and failed
            else "see its ticks"
        )
        held = f"; held up until {timestamp(view.resume_at)}" if view.resume_at else ""
        says = closed(f"{view.failure_streak} ticks in a row have failed{held}: {why}")
        yield Finding(
            "sensors", owner, Severity.PROBLEM, says, "Mend its function or its source; it goes on by itself."
        )
    late = view.lag_seconds or 0
    if (
        view.status == "RUNNING"
        and late > max(LATE_SECONDS, view.interval_seconds or 0)
        and not view.failure_streak
    ):
        says = f"It has not ticked for {late:.0f} s since it was due."
        advice = "Is its schedule on? Does its function run out of memory or time? Its log says."
        yield Finding("sensors", owner, Severity.PROBLEM, says, advice)


def _of_vitals(vitals: Vitals, in_use: Collection[str]) -> Iterator[Finding]:
    for switch in vitals.switches:
        yield from of_switch(switch)
    for backlog in vitals.backlogs:
        yield from of_backlog(backlog)
    for bucket in vitals.buckets:
        yield from of_bucket(bucket)
    for target in vitals.targets:
        yield from of_target(target, in_use)
    yield from map(of_denial, vitals.denials)
    yield from map(of_alarm, vitals.alarms)
    yield from of_clock(vitals.clock_ahead_ms)
    yield from map(of_unread, vitals.unread)


def _in_order(vitals: Vitals) -> Iterator[Finding]:
    """What was looked at, one line for each check; one that found something has lines of its own."""
    kinds = {"schedule": "schedules", "rule": "rules", "mapping": "mappings"}
    for kind, check in kinds.items():
        number = sum(each.kind == kind for each in vitals.switches)
        yield Finding(check, check, Severity.OK, f"{number} are on.")
    queues = [each for each in vitals.backlogs if each.owner and each.waiting is not None]
    waiting = sum(each.waiting or 0 for each in queues)
    yield Finding(
        "queues", "queues", Severity.OK, f"{waiting} messages wait in {len(queues)} queues, none for long."
    )
    yield Finding("dead letters", "dead letters", Severity.OK, "There are none.")
    yield Finding(
        "buckets", "buckets", Severity.OK, f"{len(vitals.buckets)} are there, and send their events."
    )
    there = sum(each.exists is True for each in vitals.targets)
    yield Finding("jobs", "jobs", Severity.OK, f"{there} have what they launch.")
    yield Finding("permissions", "permissions", Severity.OK, "The roles allow what their functions need.")
    yield Finding("alarms", "alarms", Severity.OK, "None is in ALARM.")
    if vitals.clock_ahead_ms is not None:
        yield Finding("clock", "clock", Severity.OK, "This machine's and AWS's agree.")
