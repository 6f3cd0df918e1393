"""What a step has lost is found by the sparse indexes, and by nothing else."""

from tests.faults.flow import SMALL
from tests.faults.invariants import violations
from tests.faults.walk import calls_of
from tests.faults.world import World
from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.testing.faults import Fault, Faults


def lost_at(tables: Tables, site: str) -> World:
    """Return a world in which one call is lost each time that a step makes it by itself."""

    def make(faults: Faults) -> World:
        return World(flow=SMALL, faults=faults, backend=on_dynamodb(tables, faults))

    first = next(call.number for call in calls_of(make) if call.site == site)
    return make(Faults({first + again: Fault.THROTTLED for again in range(3)}))


def test_a_tick_that_the_stream_has_lost_is_dispatched(tables: Tables) -> None:
    """DISPATCH has met a throttled store three times, and has gone on to the next record."""
    world = lost_at(tables, "TickStore.admit")

    world.live()

    assert "RunStore.create in RECONCILE" in {f"{call.site} in {call.step}" for call in world.faults.calls}
    assert violations(world) == []


def test_a_run_whose_message_was_lost_is_launched(tables: Tables) -> None:
    world = World(flow=SMALL, backend=on_dynamodb(tables, Faults()))
    while not world.launches.held:
        world._deliver_stream()
        world.faults.run("TICK", lambda: world._tick(world.clock.now()))
    world.launches.held.clear()

    world.live()

    assert "Queue.send in RECONCILE" in {f"{call.site} in {call.step}" for call in world.faults.calls}
    assert violations(world) == []
