"""The claim on an attempt, on DynamoDB's store: the second to request it gets nothing while the first can act."""

from tests.faults.flow import SMALL
from tests.faults.invariants import executions, violations
from tests.faults.walk import AT_LEAST_ONCE, calls_of
from tests.faults.world import World
from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.engine.messages import LaunchRequest
from treadle.testing.faults import Fault, Faults


def test_a_second_message_starts_nothing_while_the_first_launch_can_act(tables: Tables) -> None:
    """The target promises nothing, so the claim alone stands between the attempt and a second start."""

    def make(faults: Faults) -> World:
        return World(AT_LEAST_ONCE, SMALL, faults, on_dynamodb(tables, faults))

    starting = next(call.number for call in calls_of(make) if call.site == "Target.start")
    world = make(Faults({starting: Fault.PAUSE}))

    begun_meanwhile: list[int] = []

    def meanwhile() -> None:
        world.clock.advance(1)
        world.launches.send([LaunchRequest.of(world.backend.all_runs()[0]).to_json()])
        world.live(world.clock.now())
        begun_meanwhile.append(len(executions(world)))

    world.faults.pause = meanwhile
    world.live()

    assert begun_meanwhile == [0]
    [begun] = executions(world).values()
    assert len(begun) == 1
    assert violations(world) == []
