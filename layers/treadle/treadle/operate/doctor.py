"""Checks a deployment: what is wrong, what to do about it, and what is in order."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from treadle.definitions.errors import StoreError, StoreThrottledError, UnreadableRecordError
from treadle.engine.identity import timestamp
from treadle.engine.reconcile.held_ticks import FAR
from treadle.model.deployment import DeployedSensor
from treadle.model.health import HOLDERS, HealthSnapshot
from treadle.model.ticks import Tick, TickTrouble
from treadle.operate.explanation import closed
from treadle.operate.findings import (
    BACKFILLS,
    Finding,
    Severity,
    of_activity,
    of_alarm,
    of_backfill,
    of_backlog,
    of_bucket,
    of_channel,
    of_clock,
    of_consumed,
    of_denial,
    of_held,
    of_lost,
    of_own_retries,
    of_pool,
    of_pools,
    of_secret,
    of_stopped_stream,
    of_stream,
    of_switch,
    of_target,
    of_unknown_jobs,
    of_unread,
    of_unreadable_backfill,
    of_unreadable_tick,
)
from treadle.operate.moved_jobs import CHECK, MOST, Addresses
from treadle.operate.overview import DAY_MS, Overview, SensorView
from treadle.operate.policy_holders import of_holders
from treadle.operate.pools import PoolOperations
from treadle.operate.problems import ProblemKind
from treadle.operate.registrations import Registrations
from treadle.ports.backfills import BackfillStore
from treadle.ports.deployment import Deployment
from treadle.ports.health import Health
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock
from treadle.ports.ticks import MOST_READ, TickStore

LATE_MS = 600_000
"""RECONCILE handles late items within minutes; it does not reach those that are later than this."""

LOOKAHEAD_MS = 31 * 86_400_000
"""Every run in progress is checked again within this time."""

COUNTED = 100
_WORKERS = 16
_CHECKED_APART = {
    ProblemKind.UNREADABLE,
    ProblemKind.REGISTRATION,
    ProblemKind.NOT_LOADING,
    ProblemKind.UNCHECKED,
    ProblemKind.NO_EVENTS,
}
"""Covered by the separate checks of each sensor's configuration, registration and rule."""

_ORDER = (Severity.PROBLEM, Severity.WARNING, Severity.OK)


class Doctor:
    """Checks a deployment.

    Args:
        deployment: its sensors and their functions.
        health: checks its AWS resources.
        overview: its sensors' status.
        ticks: tick records.
        runs: run records.
        clock: the clock.
        addresses: the jobs' current and former targets; None to skip runs in progress.
        registrations: checks the registry; None to skip that.
        backfills: backfills; None to skip them.
        pools: concurrency pools; None to skip them.
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
        registrations: Registrations | None = None,
        backfills: BackfillStore | None = None,
        pools: PoolOperations | None = None,
    ) -> None:
        self._deployment = deployment
        self._health = health
        self._overview = overview
        self._ticks = ticks
        self._runs = runs
        self._clock = clock
        self._addresses = addresses
        self._registrations = registrations
        self._backfills = backfills
        self._pools = pools

    def examine(self) -> list[Finding]:
        """Return all problems, the worst first; then the checks that were skipped; then what is in order.

        Raises:
            StoreError: if a store did not respond.
        """
        with ThreadPoolExecutor(2) as pool:
            pending_snapshot = pool.submit(self._health.snapshot)
            # First, so that the views know which functions load, and do not invoke them again.
            findings = [*self._configuration()]
            if self._registrations is not None:
                findings += self._registrations.findings(self._deployment.sensors().values())
            views = self._overview.sensors()
            findings += [*_of_sensors(views), *self._troubled(views), *self._lateness()]
            findings += [*self._under_way(), *self._of_backfills(), *self._of_pools()]
            snapshot = pending_snapshot.result()
        in_use = {job for view in views if view.status != "STOPPED" for job in view.jobs}
        # A function that does not load also crashes: that is one finding.
        broken = {each.subject for each in findings if each.check == "configuration"}
        sensors = self._deployment.sensors().values()
        found = _of_snapshot(_without_resting(snapshot, views, sensors), in_use)
        findings += [each for each in found if each.check != "functions" or each.subject not in broken]
        findings += [*self._of_own_retries(snapshot), *self._expired(snapshot, views)]
        findings += [*of_unknown_jobs(sensors, snapshot), *of_holders(snapshot.holders, sensors)]
        wrong = {each.check for each in findings if each.severity is not Severity.OK}
        findings += [each for each in _in_order(snapshot) if each.check not in wrong]
        return sorted(dict.fromkeys(findings), key=lambda each: _ORDER.index(each.severity))

    def _configuration(self) -> Iterator[Finding]:
        """Check that each sensor's function initializes: code, settings and resources."""
        sensors = list(self._deployment.sensors().values())
        with ThreadPoolExecutor(_WORKERS) as pool:
            problems = [each for each in pool.map(self._begins, sensors) if each]
        yield from problems
        if not problems:
            message = f"The functions of {len(sensors)} sensors load with their settings."
            yield Finding("configuration", "sensors", Severity.OK, message)

    def _begins(self, sensor: DeployedSensor) -> Finding | None:
        owner = f"sensor {sensor.name}"
        if sensor.problem:
            return Finding("configuration", owner, Severity.PROBLEM, closed(sensor.problem), sensor.remedy)
        found = self._overview.loads.check_now(sensor)
        if found.error:
            message = closed(f"The function of sensor {sensor.name} failed to load: {found.error}")
            return Finding("configuration", owner, Severity.PROBLEM, message, found.advice)
        if found.unchecked:
            severity = Severity.WARNING if found.is_denied else Severity.PROBLEM
            return Finding("configuration", owner, severity, found.unchecked, found.advice)
        return _of_grants(sensor, found.described)

    def _troubled(self, views: Sequence[SensorView]) -> Iterator[Finding]:
        """Find ticks of the last day that did not fail, but of which some requests did not become runs."""
        now = self._clock.now()
        with ThreadPoolExecutor(_WORKERS) as pool:
            found = [
                *self._held(),
                *(
                    finding
                    for of in pool.map(lambda view: self._lost(view.name, now - DAY_MS), views)
                    for finding in of
                ),
            ]
        yield from found
        if not found:
            message = f"No requests are held, and none were refused or rejected in the last {MOST_READ} ticks of a day."
            yield Finding("requests", "requests", Severity.OK, message)

    def _held(self) -> Iterator[Finding]:
        """Find held ticks by sensor, and pending ticks whose records cannot be read."""
        keys = self._ticks.pending(FAR, COUNTED)
        with ThreadPoolExecutor(_WORKERS) as pool:
            ticks = list(pool.map(lambda key: self._pending(*key), keys))
        held: dict[str, list[Tick]] = {}
        for tick in ticks:
            if isinstance(tick, Finding):
                yield tick
            elif tick is not None and tick.trouble is TickTrouble.HELD and tick.dropped is None:
                held.setdefault(tick.sensor, []).append(tick)
        for sensor, found in held.items():
            yield of_held(sensor, found, is_all=len(keys) < COUNTED)

    def _pending(self, sensor: str, tick_id: str) -> Tick | Finding | None:
        try:
            return self._ticks.get(sensor, tick_id)
        except UnreadableRecordError as error:
            return of_unreadable_tick(sensor, tick_id, error.reason)
        except StoreThrottledError:
            raise
        except StoreError as error:  # Its payload is missing or does not match.
            return of_unreadable_tick(sensor, tick_id, str(error))

    def _lost(self, sensor: str, since: int) -> Iterator[Finding]:
        for problem in (TickTrouble.REFUSED, TickTrouble.REJECTED):
            page = self._ticks.page(sensor, limit=COUNTED, statuses={problem})
            # What an operator dropped needs no attention.
            ticks = [tick for tick in page.ticks if tick.ended_at >= since and not tick.is_dropped]
            if ticks:
                yield of_lost(sensor, problem, ticks, is_all=len(page.ticks) < COUNTED)

    def _lateness(self) -> Iterator[Finding]:
        """Find ticks and runs that are overdue."""
        before = self._clock.now() - LATE_MS
        for what, step, found in (
            ("ticks have waited for dispatch", "dispatch", len(self._ticks.pending(before, COUNTED))),
            ("runs have waited for their check", "reconcile", len(self._runs.due(before, COUNTED))),
        ):
            if found:
                number = f"{COUNTED} or more" if found == COUNTED else str(found)
                message = (
                    f"{number} {what} since before {timestamp(before)}, and RECONCILE has not reached them."
                )
                advice = "Check RECONCILE's schedule and log; it continues with the rest each minute."
                yield Finding("lag", step, Severity.PROBLEM, message, advice)

    def _under_way(self) -> Iterator[Finding]:
        """Find runs in progress whose end the deployment can no longer observe."""
        if self._addresses is None:
            return
        # Every run in progress has a time of its next check.
        names = self._runs.due(self._clock.now() + LOOKAHEAD_MS, MOST)
        found = list(self._addresses.findings(self._runs.get_many(names).values()))
        yield from found
        if not found:
            number = f"The first {MOST}" if len(names) == MOST else str(len(names))
            yield Finding(CHECK, CHECK, Severity.OK, f"{number} are at a current target of a job.")

    def _of_backfills(self) -> Iterator[Finding]:
        """Find backfills that are paused, blocked or overdue, and those whose record cannot be read."""
        if self._backfills is None:
            return
        found, names = [], self._backfills.unfinished(COUNTED)
        for name in names:
            try:
                backfill = self._backfills.get(name)
            except UnreadableRecordError as error:
                found.append(of_unreadable_backfill(name, error.reason))
                continue
            if backfill is not None:
                found += of_backfill(backfill, self._clock.now() - LATE_MS)
        yield from found
        if not found:
            says = f"{len(names)} are unfinished, and none of them is paused or blocked."
            yield Finding(BACKFILLS, BACKFILLS, Severity.OK, says)

    def _of_own_retries(self, snapshot: HealthSnapshot) -> Iterator[Finding]:
        """Find jobs whose targets start failed runs again by themselves, although Treadle limits or retries them."""
        retrying = [each for each in snapshot.targets if each.retries]
        if not retrying:
            return
        limited = frozenset[str]() if self._registrations is None else self._registrations.limited_jobs()
        checks = [
            self._overview.loads.check(each)
            for each in self._deployment.sensors().values()
            if not each.problem
        ]
        retried = {str(job) for each in checks for job in _listed(each.described.get("retried_jobs"))}
        for target in retrying:
            yield from of_own_retries(target, limited, retried)

    def _expired(self, snapshot: HealthSnapshot, views: Sequence[SensorView]) -> Iterator[Finding]:
        """Find stopped sensors whose streams no longer have all records since they were stopped."""
        stopped = {view.name for view in views if view.status != "RUNNING"}
        for stream in snapshot.streams:
            since = self._overview.stopped_at(stream.sensor) if stream.sensor in stopped else None
            if since is not None and not stream.error:
                yield from of_stopped_stream(stream, since, self._clock.now())

    def _of_pools(self) -> Iterator[Finding]:
        """Find what keeps runs from starting that wait for a pool, besides other runs."""
        if self._pools is None:
            return
        views = self._pools.all()
        found = [finding for view in views for finding in of_pool(view, self._clock.now() - LATE_MS)]
        yield from found
        if views and not found:
            yield of_pools(views)


def _of_grants(sensor: DeployedSensor, described: Mapping[str, object]) -> Finding | None:
    """Report jobs that the code may request without a grant; a tick that does so fails."""
    missing = sorted({str(job) for job in _listed(described.get("jobs"))} - set(sensor.jobs))
    if not missing:
        return None
    message = f"Its code may request {', '.join(missing)}, which the deployment does not let it start."
    advice = f"Add {', '.join(missing)} to the sensor's jobs in project {sensor.project}, and deploy."
    return Finding("configuration", f"sensor {sensor.name}", Severity.WARNING, message, advice)


def _listed(value: object) -> list[object]:
    """Return a list from a function's description, which may be of an earlier version of Treadle."""
    return value if isinstance(value, list) else []


def _of_sensors(views: Sequence[SensorView]) -> Iterator[Finding]:
    """Find sensors that are paused, fail, or do not tick although they should."""
    found = [finding for view in views for finding in _of_sensor(view)]
    yield from found
    if not found and not any(view.problems for view in views):
        running = sum(view.status == "RUNNING" for view in views)
        message = f"{running} of {len(views)} sensors are running, and none of them is failing or late."
        yield Finding("sensors", "sensors", Severity.OK, message)


def _of_sensor(view: SensorView) -> Iterator[Finding]:
    owner = f"sensor {view.name}"
    if view.status == "PAUSED":
        message = closed(f"It is paused: {view.paused}")
        yield Finding(
            "sensors",
            owner,
            Severity.PROBLEM,
            message,
            f"Fix the cause, then: treadle sensor start {view.name}",
        )
    for each in view.problems:
        if each.kind not in _CHECKED_APART:
            yield Finding("sensors", owner, Severity.PROBLEM, each.message, each.advice)


def _without_resting(
    snapshot: HealthSnapshot, views: Sequence[SensorView], sensors: Iterable[DeployedSensor]
) -> HealthSnapshot:
    """Return the snapshot without what waits for a stopped sensor in a queue of somebody else, as it should."""
    running = {view.name for view in views if view.status == "RUNNING"}
    resting = {
        f"sensor {each.name}" for each in sensors if each.waits_while_stopped and each.name not in running
    }
    return replace(
        snapshot,
        switches=tuple(each for each in snapshot.switches if each.is_on or each.owner not in resting),
        backlogs=tuple(each for each in snapshot.backlogs if each.owner not in resting),
    )


def _of_snapshot(snapshot: HealthSnapshot, in_use: Collection[str]) -> Iterator[Finding]:
    for switch in snapshot.switches:
        yield from of_switch(switch)
    for backlog in snapshot.backlogs:
        yield from of_backlog(backlog)
    for bucket in snapshot.buckets:
        yield from of_bucket(bucket)
    for queue in snapshot.queues:
        yield from of_consumed(queue)
    for stream in snapshot.streams:
        yield from of_stream(stream)
    for secret in snapshot.secrets:
        yield from of_secret(secret)
    for target in snapshot.targets:
        yield from of_target(target, in_use)
    yield from map(of_denial, snapshot.denials)
    yield from map(of_alarm, snapshot.alarms)
    for channel in snapshot.channels:
        yield from of_channel(channel)
    for activity in snapshot.activities:
        yield from of_activity(activity)
    yield from of_clock(snapshot.clock_ahead_ms)
    yield from map(of_unread, snapshot.unread)


def _in_order(snapshot: HealthSnapshot) -> Iterator[Finding]:
    """Return one line for each check; a check with findings has its own lines."""
    kinds = {"schedule": "schedules", "rule": "rules", "mapping": "mappings"}
    for kind, check in kinds.items():
        number = sum(each.kind == kind for each in snapshot.switches)
        yield Finding(check, check, Severity.OK, f"{number} are enabled.")
    queues = [each for each in snapshot.backlogs if each.owner and each.waiting is not None]
    waiting = sum(each.waiting or 0 for each in queues)
    yield Finding(
        "queues", "queues", Severity.OK, f"{waiting} messages wait in {len(queues)} queues; none is overdue."
    )
    yield Finding("dead letters", "dead letters", Severity.OK, "There are none.")
    yield Finding("buckets", "buckets", Severity.OK, f"{len(snapshot.buckets)} exist and send their events.")
    there = sum(each.exists is True for each in snapshot.targets)
    yield Finding("jobs", "jobs", Severity.OK, f"{there} have an existing target.")
    yield Finding(
        "permissions", "permissions", Severity.OK, "The roles have the permissions that their functions need."
    )
    if snapshot.holders:
        message = (
            f"{len(snapshot.holders)} have the engine's policies for evaluators, each of its own sensor."
        )
        yield Finding(HOLDERS, HOLDERS, Severity.OK, message)
    yield Finding("alarms", "alarms", Severity.OK, "None is in ALARM.")
    if snapshot.channels:
        message = f"{len(snapshot.channels)} topics, secrets and senders of alerts exist."
        yield Finding("alerts", "alerts", Severity.OK, message)
    if snapshot.clock_ahead_ms is not None:
        yield Finding("clock", "clock", Severity.OK, "This machine's clock agrees with AWS's.")
