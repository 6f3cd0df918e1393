"""A launch that is slow, but not dead: nobody else starts its attempt meanwhile."""

import pytest

from tests.faults.flow import SMALL
from tests.faults.invariants import executions, violations
from tests.faults.walk import CONTRACTS, calls_of
from tests.faults.world import SECONDS, World
from treadle.engine.launch.launcher import TAKEOVER_MARGIN_MS
from treadle.engine.messages import LaunchRequest
from treadle.testing.faults import Call, Fault, Faults


def starting(contract: str) -> Call:
    """The call that starts the only run."""
    calls = calls_of(lambda faults: World(CONTRACTS[contract], SMALL, faults))
    return next(call for call in calls if call.site == "Target.start")


@pytest.mark.parametrize("seconds", [1, SECONDS, SECONDS + TAKEOVER_MARGIN_MS // 1000])
@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_second_message_starts_nothing_as_long_as_the_first_launch_can_act(
    contract: str, seconds: int
) -> None:
    world = World(CONTRACTS[contract], SMALL, Faults({starting(contract).number: Fault.PAUSE}))

    begun_meanwhile: list[int] = []

    def meanwhile() -> None:
        world.clock.advance(seconds)
        world.launches.send([LaunchRequest.of(world.backend.all_runs()[0]).to_json()])
        world.live(world.clock.now())
        begun_meanwhile.append(len(executions(world)))

    world.faults.pause = meanwhile
    world.live()

    assert begun_meanwhile == [0]
    [begun] = executions(world).values()
    assert len(begun) == 1
    assert violations(world) == []
