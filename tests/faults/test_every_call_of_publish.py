"""One fault at every call between a run's change and the sensors' reactions, and every pair of them."""

from collections.abc import Callable

import pytest

from tests.faults.living import RestlessError
from tests.faults.publish_world import PublishWorld, violations
from tests.faults.walk import EVERYWHERE, IN_BATCHES, Walked
from treadle.ports.assets import EventStore
from treadle.ports.system import Bus
from treadle.testing.faults import Call, Fault, Faults

pytestmark = pytest.mark.timeout(600)


def lived(plan: dict[int, Fault]) -> PublishWorld:
    world = PublishWorld(Faults(plan))
    world.live()
    return world


SHOWN = {"asset_keys"}
"""What only operators are shown."""


def strike(plan: dict[int, Fault]) -> Walked:
    world = PublishWorld(Faults(plan))
    try:
        world.live()
        found = violations(world)
    except RestlessError as error:
        found = [f"I2: {error}"]
    if len(world.faults.struck) != len(plan):
        found.append(f"only {world.faults.struck} of {plan} struck")
    return Walked(
        1, [f"{plan} {[str(call) for call, _ in world.faults.struck]}: {problem}" for problem in found]
    )


def faults_at(call: Call) -> list[Fault]:
    return [*EVERYWHERE, *(IN_BATCHES if call.size > 1 else ())]


def test_without_faults_each_status_is_published_and_acted_on_once() -> None:
    world = lived({})

    assert violations(world) == []
    assert {call.site for call in world.faults.calls} >= {
        f"{port.__name__}.{name}"
        for port in (Bus, EventStore)
        for name in vars(port)
        if not name.startswith("_") and name not in SHOWN
    }


@pytest.mark.parametrize("fault", EVERYWHERE)
def test_no_fault_at_any_call_loses_or_doubles_a_status(fault: Fault, hold: Callable[[Walked], None]) -> None:
    walked = Walked()
    for call in lived({}).faults.calls:
        if fault in faults_at(call):
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
