"""One fault injected at every call between a run's change and the sensors' reactions, and many pairs of faults."""

from collections.abc import Callable

import pytest

from tests.faults.injection import BATCH_FAULTS, CALL_FAULTS, InjectionResult, is_same
from tests.faults.publish_simulation import PublishSimulation, violations
from tests.faults.simulation import NotQuiescentError
from treadle.ports.assets import EventStore
from treadle.ports.system import Bus
from treadle.testing.faults import Call, Fault, Faults

pytestmark = pytest.mark.timeout(600)


def simulated(plan: dict[int, Fault]) -> PublishSimulation:
    simulation = PublishSimulation(Faults(plan))
    simulation.run()
    return simulation


OF_OPERATORS = {"asset_keys"}
"""The methods that only operators' commands use."""


def inject(plan: dict[int, Fault]) -> InjectionResult:
    simulation = PublishSimulation(Faults(plan))
    try:
        simulation.run()
        found = violations(simulation)
    except NotQuiescentError as error:
        found = [f"I2: {error}"]
    if len(simulation.faults.injected) != len(plan):
        found.append(f"injected only {simulation.faults.injected} of {plan}")
    return InjectionResult(
        1,
        0,
        [f"{plan} {[str(call) for call, _ in simulation.faults.injected]}: {problem}" for problem in found],
    )


def faults_at(call: Call) -> list[Fault]:
    return [*CALL_FAULTS, *(BATCH_FAULTS if call.size > 1 else ())]


def test_without_faults_each_status_is_published_and_acted_on_once() -> None:
    simulation = simulated({})

    assert violations(simulation) == []
    assert {call.site for call in simulation.faults.calls} >= {
        f"{port.__name__}.{name}"
        for port in (Bus, EventStore)
        for name in vars(port)
        if not name.startswith("_") and name not in OF_OPERATORS
    }


@pytest.mark.parametrize("fault", CALL_FAULTS)
def test_no_fault_at_any_call_loses_or_doubles_a_status(
    fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    result, calls = InjectionResult(), simulated({}).faults.calls
    for call in calls:
        if fault in faults_at(call):
            is_tested = is_same(fault, call, calls)
            result += InjectionResult(same=1) if is_tested else inject({call.number: fault})

    check_result(result)


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_no_second_fault_does_either(fault: Fault, check_result: Callable[[InjectionResult], None]) -> None:
    result = InjectionResult()
    for call in simulated({}).faults.calls:
        later = [each for each in simulated({call.number: fault}).faults.calls if each.number > call.number]
        for each in later[:: max(1, len(later) // 12)]:
            result += inject({call.number: fault, each.number: Fault.KILL_BEFORE})

    check_result(result)
