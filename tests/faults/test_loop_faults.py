"""A loop is held within fifty runs, and loses nothing, wherever a process dies or gets no answer."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest

from treadle.definitions.errors import CommandRefusedError, TreadleError
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.assembly import Assembly
from treadle.engine.dispatch.dispatcher import UNGRANTED_MS, Dispatcher
from treadle.engine.identity import event_tick_id
from treadle.model.registry import SensorEntry
from treadle.model.runs import Run
from treadle.model.ticks import PlannedRun, Tick, TickKind
from treadle.operate.loops import LoopReleases
from treadle.testing.bus import NAMESPACE, InMemoryBus
from treadle.testing.faults import Fault, Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.tables import InMemoryTables

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

SENSOR, JOB = "files", "load"
MINUTE = 60_000
MOST = 50
FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.REPEATED)
GRANTS = FixedGrants({SENSOR: frozenset({JOB})}, {SENSOR: SensorEntry(SENSOR, "shop", "", "s3")})


@dataclass(slots=True)
class LoopSimulation:
    """A job that writes an object at its end, and DISPATCH, which may die at each call.

    Attributes:
        faults: injects the faults.
    """

    faults: Faults
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    clock: VirtualClock = field(default_factory=VirtualClock)
    _dispatcher: Dispatcher | None = None

    def _stores(self) -> InMemoryStores:
        stores = InMemoryStores(self.tables)
        stores.ticks = faulty(stores.ticks, "TickStore", self.faults)
        stores.runs = faulty(stores.runs, "RunStore", self.faults)
        return stores

    def _dispatch(self, tick: Tick) -> None:
        """Dispatch a tick, in a new process after each failure, as Lambda, then RECONCILE, does."""
        done: list[bool] = []
        while not done:
            dispatcher = self._dispatcher or self._started()

            def once(dispatcher: Dispatcher = dispatcher) -> None:
                with suppress(TreadleError):
                    dispatcher.dispatch(self.tables.ticks[tick.sensor, tick.tick_id])
                    done.append(True)

            self.faults.run("DISPATCH", once)
            self._dispatcher = dispatcher if done else None

    def _started(self) -> Dispatcher:
        engine = Assembly(self._stores(), self.clock, SequentialIds(), NAMESPACE)
        return engine.dispatcher(InMemoryQueue(), GRANTS, InMemoryBus())

    def arrive(self, key: str) -> Run | None:
        """Store an object, and dispatch its tick; return its run, unless it is held."""
        now = self.clock.now()
        tick_id = event_tick_id(now, [key])
        request = PlannedRun(f"run-{key}", key, JOB, "{}", {})
        tick = Tick(SENSOR, tick_id, TickKind.EVENT, TickStatus.SUCCESS, now, now, now, requests=(request,))
        self.tables.ticks[SENSOR, tick_id] = tick
        self._dispatch(tick)
        run = self.tables.runs.get(request.run_id)
        if run is not None:
            started = replace(run, status=DagsterRunStatus.STARTED, started_at=now + 1_000)
            self.tables.runs[run.run_id] = started
        return run

    def loop(self, begins: str) -> int:
        """Let each run write an object and end, until one is held; return the number of runs since."""
        before = len(self.tables.runs)
        run = self.arrive(begins)
        while run is not None and len(self.tables.runs) <= before + 3 * MOST:
            self.clock.advance(60)
            ended = replace(
                self.tables.runs[run.run_id], ended_at=self.clock.now(), status=DagsterRunStatus.SUCCESS
            )
            self.tables.runs[run.run_id] = ended
            run = self.arrive(f"{begins}-{len(self.tables.runs)}")
        return len(self.tables.runs) - before

    def release(self) -> None:
        """Release the sensor, again after each failure."""
        done: list[bool] = []
        while not done:
            with suppress(TreadleError):
                self.faults.run("OPERATOR", lambda: self._release(done))

    def _release(self, done: list[bool]) -> None:
        stores = self._stores()
        with suppress(CommandRefusedError):
            LoopReleases(stores.ticks, stores.sensors, self.clock).release(SENSOR, "ann")
        done.append(True)

    def dispatch_due(self) -> None:
        """Dispatch what is due, as RECONCILE does."""
        self.clock.advance(UNGRANTED_MS / 1_000 + 1)
        for sensor, tick_id in InMemoryStores(self.tables).ticks.pending(self.clock.now(), 1_000):
            self._dispatch(self.tables.ticks[sensor, tick_id])


def play(plan: dict[int, Fault] | None = None) -> Faults:
    """Let a loop run until it is held, release it, and let it run again; check that nothing is lost."""
    simulation = LoopSimulation(Faults(plan or {}))

    first = simulation.loop("a")
    held = [tick for tick in simulation.tables.ticks.values() if tick.dispatched is None]
    assert 30 <= first <= MOST
    assert [tick.held_requests for tick in held] == [1]
    simulation.release()
    simulation.dispatch_due()
    assert all(tick.dispatched for tick in simulation.tables.ticks.values())
    assert len(simulation.tables.runs) == first + 1
    assert 30 <= simulation.loop("b") <= MOST
    assert simulation.tables.loop_holds[SENSOR].held_at is not None
    return simulation.faults


CALLS = {f"{call.number} {call.site}": call.number for call in play().calls}
OF_LOOPS = [
    number
    for name, number in CALLS.items()
    if name.endswith(("loop_hold", "hold_loop", "release_loop", "RunStore.page"))
]


@pytest.mark.parametrize("fault", FAULTS)
def test_loop_is_held_and_released_wherever_a_process_dies(fault: Fault) -> None:
    for number in sorted({*OF_LOOPS, *list(CALLS.values())[::7]}):
        assert play({number: fault}).injected


@pytest.mark.parametrize("first", FAULTS)
@pytest.mark.parametrize("second", FAULTS)
def test_loop_is_held_and_released_after_two_faults_at_its_own_calls(first: Fault, second: Fault) -> None:
    for one, other in list(combinations(OF_LOOPS, 2))[::61]:
        play({one: first, other: second})
