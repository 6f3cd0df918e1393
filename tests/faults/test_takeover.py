"""A slow launch: no other launch starts its attempt meanwhile."""

import pytest

from tests.faults.engine_simulation import SECONDS, EngineSimulation
from tests.faults.injection import CONTRACTS, calls_of
from tests.faults.invariants import executions, violations
from tests.faults.scenario import SMALL
from treadle.engine.launch.launcher import TAKEOVER_MARGIN_MS
from treadle.engine.messages import LaunchRequest
from treadle.testing.faults import Call, Fault, Faults


def starting(contract: str) -> Call:
    """Return the call that starts the only run."""
    calls = calls_of(lambda faults: EngineSimulation(CONTRACTS[contract], SMALL, faults))
    return next(call for call in calls if call.site == "Target.start")


@pytest.mark.parametrize("seconds", [1, SECONDS, SECONDS + TAKEOVER_MARGIN_MS // 1000])
@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_second_message_starts_nothing_as_long_as_the_first_launch_can_act(
    contract: str, seconds: int
) -> None:
    simulation = EngineSimulation(
        CONTRACTS[contract], SMALL, Faults({starting(contract).number: Fault.PAUSE})
    )

    begun_meanwhile: list[int] = []

    def meanwhile() -> None:
        simulation.clock.advance(seconds)
        simulation.launches.send([LaunchRequest.of(simulation.backend.all_runs()[0]).to_json()])
        simulation.run(simulation.clock.now())
        begun_meanwhile.append(len(executions(simulation)))

    simulation.faults.pause = meanwhile
    simulation.run()

    assert begun_meanwhile == [0]
    [begun] = executions(simulation).values()
    assert len(begun) == 1
    assert violations(simulation) == []
