"""All sensors at a glance: how each stands, when it ticks next, and what became of its last ticks and runs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from treadle.definitions.errors import CommandRefusedError, UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus, TickStatus
from treadle.engine.schedule import MINUTE_MS, phase_of, slot
from treadle.operate.load_checks import LoadChecks
from treadle.operate.problems import Observation, SensorProblem, interval_of, problems_of
from treadle.operate.registrations import Registrations
from treadle.operate.ticks import streak_outline
from treadle.ports.deployment import DeployedSensor, Deployment
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorState, SensorStore
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore, TickSummary, TickTrouble

RECENT = 30
"""So many of the last ticks are shown."""

COUNTED = 500
"""So many of the last day's runs are counted at most, the newest."""

DAY_MS = 86_400_000
_WORKERS = 16


@dataclass(frozen=True, slots=True)
class RecentTick:
    """One of a sensor's last ticks.

    Attributes:
        time: when it was due, or its event happened.
        status: how it ended.
        count: of a skip, how many in a row it stands for; else how many runs it started.
        trouble: what keeps it from being well, though it has not failed.
    """

    time: int
    status: TickStatus
    count: int
    trouble: TickTrouble | None = None


@dataclass(frozen=True, slots=True)
class SensorView:
    """A sensor at a glance.

    Attributes:
        name: the sensor's.
        kind: what it is; see `DeployedSensor`.
        description: what it is for.
        jobs: those it may start.
        interval_seconds: from one tick to the next; None if it has no interval of its own.
        default_status: what holds where no operator has said anything.
        stored_status: what an operator, or a pause, has left.
        status: "RUNNING", "STOPPED" or "PAUSED".
        paused: why Treadle stopped it, if it did.
        last_tick: the newest; skips in a row are one.
        next_tick_at: when it ticks next; None if it is not running, or evaluates events alone.
        lag_seconds: how long ago its next tick was due, the first one as soon as it is deployed; None as for
            `next_tick_at`, and before the first tick of one of which that is not known.
        runs_24h: runs that it asked for within the last 24 hours; `COUNTED` at most.
        failures_24h: those of them that have failed.
        recent: its last ticks, newest first; `RECENT` at most.
        cursor: its bookmark.
        cursor_epoch: what an edit of the cursor may name to change nothing that was not seen.
        failure_streak: failed ticks in a row.
        resume_at: no tick before this, after failures.
        function: its function's name.
        problems: what is wrong with it, the cause first.
        deployed_at: when its function last got code or settings; None if that is not known.
        project: the stack that registered it.
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


class Overview:
    """Puts together what is deployed, what is stored, and what has happened.

    Args:
        deployment: which sensors there are.
        sensors: keeps their states.
        ticks: keeps tick records.
        runs: keeps run records.
        clock: the time.
        registrations: what is wrong with what is registered; None to leave that out.
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
        """All sensors, by name; a hundred cost one request, and three for each, sixteen at a time.

        The function of a sensor that has not evaluated since it was deployed, or when it was due, is invoked to say
        whether it loads, at most once a minute.

        Raises:
            StoreError: if a store did not answer.
        """
        return self._views(list(self._deployment.sensors().values()))

    def sensor(self, name: str) -> SensorView:
        """One sensor.

        Args:
            name: its.

        Raises:
            CommandRefusedError: if there is no such sensor.
            StoreError: if a store did not answer.
        """
        return self._views([deployed_sensor(self._deployment, name)])[0]

    def _views(self, deployed: list[DeployedSensor]) -> list[SensorView]:
        now = self._clock.now()
        states = self._sensors.get_many([each.name for each in deployed])
        registered = self._registrations.of_sensors(deployed) if self._registrations else {}
        with ThreadPoolExecutor(_WORKERS) as pool:
            return list(
                pool.map(
                    lambda each: self._view(each, states[each.name], now, registered.get(each.name, ())),
                    deployed,
                )
            )

    def _view(
        self,
        deployed: DeployedSensor,
        state: SensorState,
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
        seen = observed(deployed, state, ticks, now)
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
    """The sensor of a name.

    Args:
        deployment: the stack.
        name: the sensor's.

    Raises:
        CommandRefusedError: if the stack has no such sensor; names those that it has.
    """
    known = deployment.sensors()
    if name not in known:
        msg = f"Stack {deployment.name!r} has no sensor {name!r}; it has: {', '.join(known) or 'none'}."
        raise CommandRefusedError(msg)
    return known[name]


def effective_status(deployed: DeployedSensor, state: SensorState) -> str:
    """Whether a sensor evaluates: "RUNNING", "STOPPED", or "PAUSED" if Treadle stopped it."""
    if state.is_running(deployed.default_status):
        return InstigatorStatus.RUNNING.value
    return "PAUSED" if state.paused else InstigatorStatus.STOPPED.value


def observed(
    deployed: DeployedSensor, state: SensorState, ticks: Sequence[TickSummary], now: int
) -> Observation:
    """A sensor at one moment, to be judged.

    Args:
        deployed: what the deployment says of it.
        state: what is stored of it.
        ticks: its last ones.
        now: the time.
    """
    is_running = state.is_running(deployed.default_status)
    due = _due(deployed, state) if is_running else None
    lag = None if not due else max(0, now - due) / 1000
    return Observation(deployed, state, ticks, is_running, lag, now)


def next_tick_at(deployed: DeployedSensor, state: SensorState, now: int) -> int | None:
    """When a running sensor ticks next; None if it evaluates events alone."""
    due = _due(deployed, state)
    return None if due is None else _next_delivery(deployed, state, max(due, now))


def _reach(tick: TickSummary) -> tuple[int, str]:
    """By what the newest is the first: skips in a row reach to the last of them."""
    return (tick.time if tick.last_time is None else tick.last_time, tick.tick_id)


def _recent(tick: TickSummary) -> RecentTick:
    return RecentTick(tick.time, tick.status, _count(tick), tick.trouble)


def _count(tick: TickSummary) -> int:
    if tick.status is TickStatus.SKIPPED:
        return max(1, tick.skips)
    return tick.dispatched.started if tick.dispatched else 0


def _due(deployed: DeployedSensor, state: SensorState) -> int | None:
    """When the next tick is due; None if it evaluates events alone.

    The first one is due at the first delivery after the deployment; 0 if nobody knows when that was.
    """
    if not deployed.is_ticked:
        return None
    started = state.started_at or 0
    if state.last_nominal is None:
        if deployed.deployed_at is None:
            return 0
        return _next_delivery(deployed, state, max(deployed.deployed_at, started))
    # While it was stopped nothing was due; where its default decides, the last deployment may have started it.
    if state.status is InstigatorStatus.DECLARED_IN_CODE and deployed.deployed_at is not None:
        started = max(started, _next_delivery(deployed, state, deployed.deployed_at))
    return max(state.last_nominal + interval_of(deployed, state), state.resume_at or 0, started)


def _next_delivery(deployed: DeployedSensor, state: SensorState, earliest: int) -> int:
    """The first delivery that is not before a time: at each minute, or at each slot below one."""
    interval = interval_of(deployed, state)
    step = min(interval, MINUTE_MS)
    phase = phase_of(deployed.name, interval) % step
    last = slot(earliest, step, phase)
    return last if last == earliest else last + step
