"""One fault injected at every call between a report of an asset and the bus, and many pairs of faults."""

from collections.abc import Callable

import pytest

from tests.faults.asset_simulation import AssetSimulation, recorded_wrong
from tests.faults.injection import CALL_FAULTS, InjectionResult, is_same
from tests.faults.simulation import NotQuiescentError
from treadle.testing.faults import Fault, Faults

pytestmark = pytest.mark.timeout(600)


def simulated(plan: dict[int, Fault]) -> AssetSimulation:
    simulation = AssetSimulation(Faults(plan))
    simulation.run()
    return simulation


def inject(plan: dict[int, Fault]) -> InjectionResult:
    simulation = AssetSimulation(Faults(plan))
    try:
        simulation.run()
        found = recorded_wrong(simulation)
    except NotQuiescentError as error:
        found = [f"I2: {error}"]
    if len(simulation.faults.injected) != len(plan):
        found.append(f"injected only {simulation.faults.injected} of {plan}")
    return InjectionResult(
        1,
        0,
        [f"{plan} {[str(call) for call, _ in simulation.faults.injected]}: {problem}" for problem in found],
    )


def test_without_faults_each_event_is_recorded_and_published_once() -> None:
    simulation = simulated({})

    assert recorded_wrong(simulation) == []
    sites = {(call.step, call.site) for call in simulation.faults.calls}
    assert sites >= {
        (step, site) for step in ("RECORD", "DISPATCH") for site in ("EventStore.append", "Bus.publish")
    }
    assert ("DISPATCH", "TickStore.mark_dispatched") in sites
    assert ("RECORD", "DeadLetters.send") in sites


@pytest.mark.parametrize("fault", CALL_FAULTS)
def test_no_fault_at_any_call_loses_or_doubles_an_asset_event(
    fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    result, calls = InjectionResult(), simulated({}).faults.calls
    for call in calls:
        result += InjectionResult(same=1) if is_same(fault, call, calls) else inject({call.number: fault})

    check_result(result)


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_no_second_fault_does_either(fault: Fault, check_result: Callable[[InjectionResult], None]) -> None:
    result = InjectionResult()
    for call in simulated({}).faults.calls:
        later = [each for each in simulated({call.number: fault}).faults.calls if each.number > call.number]
        for each in later[:: max(1, len(later) // 12)]:
            result += inject({call.number: fault, each.number: Fault.KILL_BEFORE})

    check_result(result)
