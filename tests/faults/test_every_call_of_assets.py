"""One fault at every call between a report of an asset and the bus, and many pairs of them."""

from collections.abc import Callable

import pytest

from tests.faults.asset_world import AssetWorld, recorded_wrong
from tests.faults.living import RestlessError
from tests.faults.walk import EVERYWHERE, Walked
from treadle.testing.faults import Fault, Faults

pytestmark = pytest.mark.timeout(600)


def lived(plan: dict[int, Fault]) -> AssetWorld:
    world = AssetWorld(Faults(plan))
    world.live()
    return world


def strike(plan: dict[int, Fault]) -> Walked:
    world = AssetWorld(Faults(plan))
    try:
        world.live()
        found = recorded_wrong(world)
    except RestlessError as error:
        found = [f"I2: {error}"]
    if len(world.faults.struck) != len(plan):
        found.append(f"only {world.faults.struck} of {plan} struck")
    return Walked(
        1, [f"{plan} {[str(call) for call, _ in world.faults.struck]}: {problem}" for problem in found]
    )


def test_without_faults_each_event_is_recorded_and_published_once() -> None:
    world = lived({})

    assert recorded_wrong(world) == []
    sites = {(call.step, call.site) for call in world.faults.calls}
    assert sites >= {
        (step, site) for step in ("RECORD", "DISPATCH") for site in ("EventStore.append", "Bus.publish")
    }
    assert ("DISPATCH", "TickStore.mark_dispatched") in sites
    assert ("RECORD", "DeadLetters.send") in sites


@pytest.mark.parametrize("fault", EVERYWHERE)
def test_no_fault_at_any_call_loses_or_doubles_an_asset_event(
    fault: Fault, hold: Callable[[Walked], None]
) -> None:
    walked = Walked()
    for call in lived({}).faults.calls:
        walked += strike({call.number: fault})

    hold(walked)


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_no_second_fault_does_either(fault: Fault, hold: Callable[[Walked], None]) -> None:
    walked = Walked()
    for call in lived({}).faults.calls:
        later = [each for each in lived({call.number: fault}).faults.calls if each.number > call.number]
        for each in later[:: max(1, len(later) // 12)]:
            walked += strike({call.number: fault, each.number: Fault.KILL_BEFORE})

    hold(walked)
