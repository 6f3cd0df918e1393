"""RECONCILE finds lost work by the sparse indexes, and by nothing else."""

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import calls_of
from tests.faults.invariants import violations
from tests.faults.scenario import SMALL
from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.testing.faults import Fault, Faults


def lost_at(tables: Tables, site: str) -> EngineSimulation:
    """Return a simulation in which a call is throttled as often as the component retries it."""

    def make(faults: Faults) -> EngineSimulation:
        return EngineSimulation(scenario=SMALL, faults=faults, backend=on_dynamodb(tables, faults))

    first = next(call.number for call in calls_of(make) if call.site == site)
    return make(Faults({first + again: Fault.THROTTLED for again in range(3)}))


def test_tick_that_the_stream_lost_is_dispatched(tables: Tables) -> None:
    """DISPATCH was throttled three times, and has continued with the next record."""
    simulation = lost_at(tables, "TickStore.admit")

    simulation.run()

    assert "RunStore.create in RECONCILE" in {
        f"{call.site} in {call.step}" for call in simulation.faults.calls
    }
    assert violations(simulation) == []


def test_run_whose_message_was_lost_is_launched(tables: Tables) -> None:
    simulation = EngineSimulation(scenario=SMALL, backend=on_dynamodb(tables, Faults()))
    while not simulation.launches.messages:
        simulation._deliver_stream()
        simulation.faults.run("TICK", lambda: simulation._tick(simulation.clock.now()))
    simulation.launches.messages.clear()

    simulation.run()

    assert "Queue.send in RECONCILE" in {f"{call.site} in {call.step}" for call in simulation.faults.calls}
    assert violations(simulation) == []
