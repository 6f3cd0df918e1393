"""The claim on an attempt, on DynamoDB's store: only one launch has it at a time."""

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import AT_LEAST_ONCE, calls_of
from tests.faults.invariants import executions, violations
from tests.faults.scenario import SMALL
from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.engine.messages import LaunchRequest
from treadle.testing.faults import Fault, Faults


def test_a_second_message_starts_nothing_while_the_first_launch_can_act(tables: Tables) -> None:
    """The target promises nothing, so only the claim prevents a second start."""

    def make(faults: Faults) -> EngineSimulation:
        return EngineSimulation(AT_LEAST_ONCE, SMALL, faults, on_dynamodb(tables, faults))

    starting = next(call.number for call in calls_of(make) if call.site == "Target.start")
    simulation = make(Faults({starting: Fault.PAUSE}))

    begun_meanwhile: list[int] = []

    def meanwhile() -> None:
        simulation.clock.advance(1)
        simulation.launches.send([LaunchRequest.of(simulation.backend.all_runs()[0]).to_json()])
        simulation.run(simulation.clock.now())
        begun_meanwhile.append(len(executions(simulation)))

    simulation.faults.pause = meanwhile
    simulation.run()

    assert begun_meanwhile == [0]
    [begun] = executions(simulation).values()
    assert len(begun) == 1
    assert violations(simulation) == []
