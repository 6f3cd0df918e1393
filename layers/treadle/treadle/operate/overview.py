"""An overview of all sensors: status, next tick, and the results of their last ticks and runs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from treadle.definitions.errors import CommandRefusedError, UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus, TickStatus
from treadle.engine.tick.schedule import MINUTE_MS, phase_of, slot
from treadle.model.deployment import DeployedSensor
from treadle.model.loops import NEVER_HELD, LoopHold
from treadle.model.sensors import SensorState
from treadle.model.ticks import TickSummary, TickTrouble
from treadle.operate.load_checks import LoadChecks
from treadle.operate.problems import Observation, SensorProblem, interval_of, problems_of
from treadle.operate.registrations import Registrations
from treadle.operate.ticks import streak_outline
from treadle.ports.deployment import Deployment
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

RECENT = 30
"""Number of recent ticks that are shown."""

COUNTED = 500
"""Maximum number of the last day's runs that are counted, newest first."""

DAY_MS = 86_400_000
_WORKERS = 16


@dataclass(frozen=True, slots=True)
class RecentTick:
    """One of a sensor's last ticks.

    Attributes:
        time: when it was due, or its event occurred.
        status: its status.
        count: for a skip, the number of consecutive skips; else the number of started runs.
        trouble: a problem of a tick that has not failed.
    """

    time: int
    status: TickStatus
    count: int
    trouble: TickTrouble | None = None


@dataclass(frozen=True, slots=True)
class SensorView:
    """A sensor in the overview.

    Attributes:
        name: the sensor's name.
        kind: its kind; see `DeployedSensor`.
        description: its description.
        jobs: the jobs it may start.
        interval_seconds: between ticks; None if it has no interval of its own.
        default_status: its status if no operator has set one.
        stored_status: as set by an operator or a pause.
        status: "RUNNING", "STOPPED" or "PAUSED".
        paused: why Treadle paused it, if it did.
        last_tick: the newest; consecutive skips count as one.
        next_tick_at: the time of its next tick; None if it is not running, or evaluates only events.
        lag_seconds: how long ago its next tick was due, the first one as soon as it is deployed; only its hours count. None
            as for `next_tick_at`, and before the first tick if the time of the deployment is unknown.
        runs_24h: runs that it requested within the last 24 hours; at most `COUNTED`.
        failures_24h: those of them that failed.
        recent: its last ticks, newest first; at most `RECENT`.
        cursor: its cursor.
        cursor_epoch: may be passed to an edit of the cursor, so that nothing unseen is overwritten.
        failure_streak: consecutive failed ticks.
        resume_at: end of the backoff after failures.
        function: its function's name.
        problems: its problems, causes first.
        deployed_at: when its function's code or settings were last updated; None if unknown.
        project: the stack that registered it.
        endpoint: the URL of its HTTPS endpoint; "" if it has none.
        hours: in which its schedule evaluates it; "" for at all times.
        outside_until: when its hours begin again; None if it is not running, or within them.
        stream: the ARN of the stream whose records it takes; "" if it takes none.
    """

    name: str
    kind: str
    description: str
    jobs: tuple[str, ...]
    interval_seconds: int | None
    default_status: str
    stored_status: str
    status: str
    paused: str | None
    last_tick: TickSummary | None
    next_tick_at: int | None
    lag_seconds: float | None
    runs_24h: int
    failures_24h: int
    recent: tuple[RecentTick, ...]
    cursor: str | None
    cursor_epoch: int
    failure_streak: int
    resume_at: int | None
    function: str
    problems: tuple[SensorProblem, ...] = ()
    deployed_at: int | None = None
    project: str = ""
    endpoint: str = ""
    hours: str = ""
    outside_until: int | None = None
    stream: str = ""


class Overview:
    """Combines deployed sensors, stored state, ticks and runs.

    Args:
        deployment: the deployed sensors.
        sensors: their state.
        ticks: tick records.
        runs: run records.
        clock: the clock.
        registrations: checks the registry; None to skip that.
    """

    def __init__(
        self,
        deployment: Deployment,
        sensors: SensorStore,
        ticks: TickStore,
        runs: RunStore,
        clock: Clock,
        registrations: Registrations | None = None,
    ) -> None:
        self._deployment = deployment
        self._sensors = sensors
        self._ticks = ticks
        self._runs = runs
        self._clock = clock
        self._registrations = registrations
        self.loads = LoadChecks(deployment, clock)

    def sensors(self) -> list[SensorView]:
        """Return all sensors by name; costs two requests per hundred, plus three each, sixteen at a time.

        The function of a sensor that has not evaluated since its deployment, or when due, is invoked to check
        that it loads, at most once a minute.

        Raises:
            StoreError: if a store did not respond.
        """
        return self._views(list(self._deployment.sensors().values()))

    def stopped_at(self, name: str) -> int | None:
        """Return when an operator last stopped a sensor; None if that is not recorded.

        Raises:
            StoreError: if the store did not respond.
        """
        return next((each.at for each in self._sensors.edits(name) if each.action == "stop"), None)

    def sensor(self, name: str) -> SensorView:
        """Return one sensor.

        Raises:
            CommandRefusedError: if the sensor does not exist.
            StoreError: if a store did not respond.
        """
        return self._views([deployed_sensor(self._deployment, name)])[0]

    def _views(self, deployed: list[DeployedSensor]) -> list[SensorView]:
        now = self._clock.now()
        states = self._sensors.get_many([each.name for each in deployed])
        loops = self._ticks.loop_holds([each.name for each in deployed])
        registered = self._registrations.of_sensors(deployed) if self._registrations else {}
        with ThreadPoolExecutor(_WORKERS) as pool:
            return list(
                pool.map(
                    lambda each: self._view(
                        each,
                        states[each.name],
                        loops.get(each.name, NEVER_HELD),
                        now,
                        registered.get(each.name, ()),
                    ),
                    deployed,
                )
            )

    def _view(
        self,
        deployed: DeployedSensor,
        state: SensorState,
        loop: LoopHold,
        now: int,
        registration: Sequence[SensorProblem],
    ) -> SensorView:
        ticks = self._ticks.page(deployed.name, limit=RECENT).ticks
        streak = streak_outline(state)
        if streak is not None:
            ticks = tuple(sorted([*ticks, streak], key=_reach, reverse=True)[:RECENT])
        runs = self._runs.counts(deployed.name, now - DAY_MS, COUNTED)
        status = effective_status(deployed, state)
        is_running = status == InstigatorStatus.RUNNING
        seen = observed(deployed, state, ticks, now, loop)
        return SensorView(
            name=deployed.name,
            kind=deployed.kind,
            description=deployed.description,
            jobs=deployed.jobs,
            interval_seconds=deployed.interval_seconds,
            default_status=deployed.default_status.value,
            stored_status=state.status.value,
            status=status,
            paused=state.paused,
            last_tick=ticks[0] if ticks else None,
            next_tick_at=next_tick_at(deployed, state, now) if is_running else None,
            lag_seconds=seen.lag_seconds,
            runs_24h=sum(runs.values()),
            failures_24h=runs.get(DagsterRunStatus.FAILURE, 0),
            recent=tuple(_recent(each) for each in ticks),
            cursor=self._cursor(state),
            cursor_epoch=state.epoch,
            failure_streak=state.failure_streak,
            resume_at=state.resume_at,
            function=deployed.function,
            endpoint=deployed.endpoint,
            hours=str(deployed.hours or ""),
            outside_until=outside_until(deployed, now) if is_running else None,
            stream=deployed.stream,
            problems=problems_of(
                seen, self.loads.check(deployed) if seen.is_unproven else None, registration
            ),
            project=deployed.project,
            deployed_at=deployed.deployed_at,
        )

    def _cursor(self, state: SensorState) -> str | None:
        try:
            return self._sensors.cursor(state)
        except UnreadableRecordError as error:
            return error.reason


def deployed_sensor(deployment: Deployment, name: str) -> DeployedSensor:
    """Return the deployed sensor with a name.

    Raises:
        CommandRefusedError: if the stack has no such sensor; the message lists those that exist.
    """
    known = deployment.sensors()
    if name not in known:
        msg = f"Stack {deployment.name!r} has no sensor {name!r}; it has: {', '.join(known) or 'none'}."
        raise CommandRefusedError(msg)
    return known[name]


def effective_status(deployed: DeployedSensor, state: SensorState) -> str:
    """Return whether a sensor evaluates: "RUNNING", "STOPPED", or "PAUSED" if Treadle paused it."""
    if state.is_running(deployed.default_status):
        return InstigatorStatus.RUNNING.value
    return "PAUSED" if state.paused else InstigatorStatus.STOPPED.value


def observed(
    deployed: DeployedSensor, state: SensorState, ticks: Sequence[TickSummary], now: int, loop: LoopHold
) -> Observation:
    """Collect what `problems_of` needs about a sensor.

    Args:
        deployed: the deployed sensor.
        state: its stored state.
        ticks: its last ticks.
        now: the time.
        loop: whether it is held as a loop.
    """
    is_running = state.is_running(deployed.default_status)
    due = _due(deployed, state) if is_running else None
    overdue = _active_between(deployed, due or now, now)
    lag = None if not due else overdue / 1000
    return Observation(deployed, state, ticks, is_running, lag, now, loop)


def next_tick_at(deployed: DeployedSensor, state: SensorState, now: int) -> int | None:
    """Return the time of a running sensor's next tick; None if it evaluates only events, or has no hours left."""
    due = _due(deployed, state)
    if due is None:
        return None
    found, hours = _next_delivery(deployed, state, max(due, now)), deployed.hours
    return found if hours is None or hours.covers(found) else hours.next_begin(found)


def outside_until(deployed: DeployedSensor, now: int) -> int | None:
    """Return when a sensor's hours begin again; None if it is within them."""
    hours = deployed.hours
    return None if hours is None or hours.covers(now) else hours.next_begin(now)


def _active_between(deployed: DeployedSensor, start: int, end: int) -> int:
    """Return how many milliseconds of a sensor's hours are between two times."""
    hours = deployed.hours
    return max(0, end - start) if hours is None else hours.between(start, end)


def _reach(tick: TickSummary) -> tuple[int, str]:
    """Return the sort key by which the newest tick comes first: a skip streak counts from its last skip."""
    return (tick.time if tick.last_time is None else tick.last_time, tick.tick_id)


def _recent(tick: TickSummary) -> RecentTick:
    return RecentTick(tick.time, tick.status, _count(tick), tick.trouble)


def _count(tick: TickSummary) -> int:
    if tick.status is TickStatus.SKIPPED:
        return max(1, tick.skips)
    return tick.dispatched.started if tick.dispatched else 0


def _due(deployed: DeployedSensor, state: SensorState) -> int | None:
    """Return the time at which the next tick is due; None if the sensor evaluates only events.

    The first one is due at the first invocation after the deployment; 0 if the time of that is unknown.
    """
    if not deployed.is_ticked:
        return None
    started = state.started_at or 0
    if state.last_scheduled_for is None:
        if deployed.deployed_at is None:
            return 0
        return _next_delivery(deployed, state, max(deployed.deployed_at, started))
    # While it was stopped nothing was due; by its default status, the last deployment may have started it.
    if state.status is InstigatorStatus.DECLARED_IN_CODE and deployed.deployed_at is not None:
        started = max(started, _next_delivery(deployed, state, deployed.deployed_at))
    return max(state.last_scheduled_for + interval_of(deployed, state), state.resume_at or 0, started)


def _next_delivery(deployed: DeployedSensor, state: SensorState, earliest: int) -> int:
    """Return the first scheduled invocation at or after a time: each minute, or at a shorter interval."""
    interval = interval_of(deployed, state)
    step = min(interval, MINUTE_MS)
    phase = phase_of(deployed.name, interval) % step
    last = slot(earliest, step, phase)
    return last if last == earliest else last + step
