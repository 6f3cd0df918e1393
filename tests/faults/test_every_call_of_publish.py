"""One fault injected at every call between a run's change and the sensors' reactions, and many pairs of faults."""

from collections.abc import Callable

import pytest

from tests.faults.injection import (
    CALL_FAULTS,
    InjectionResult,
    Timeline,
    inject_and_kill_later,
    inject_at_each,
)
from tests.faults.publish_simulation import PublishSimulation, violations
from treadle.ports.assets import EventStore
from treadle.ports.system import Bus
from treadle.testing.faults import Fault

pytestmark = pytest.mark.timeout(600)


OF_OPERATORS = {"asset_keys"}
"""The methods that only operators' commands use."""


def test_without_faults_each_status_is_published_and_acted_on_once() -> None:
    simulation = Timeline(PublishSimulation).simulation

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
    check_result(inject_at_each(Timeline(PublishSimulation), fault, violations))


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_no_second_fault_does_either(fault: Fault, check_result: Callable[[InjectionResult], None]) -> None:
    check_result(inject_and_kill_later(Timeline(PublishSimulation), fault, violations, 12))
