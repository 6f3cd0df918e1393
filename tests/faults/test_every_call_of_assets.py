"""One fault injected at every call between a report of an asset and the bus, and many pairs of faults."""

from collections.abc import Callable

import pytest

from tests.faults.asset_simulation import AssetSimulation, recorded_wrong
from tests.faults.injection import (
    CALL_FAULTS,
    InjectionResult,
    Timeline,
    inject_and_kill_later,
    inject_at_each,
)
from treadle.testing.faults import Fault

pytestmark = pytest.mark.timeout(600)


def test_without_faults_each_event_is_recorded_and_published_once() -> None:
    simulation = Timeline(AssetSimulation).simulation

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
    check_result(inject_at_each(Timeline(AssetSimulation), fault, recorded_wrong))


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_no_second_fault_does_either(fault: Fault, check_result: Callable[[InjectionResult], None]) -> None:
    check_result(inject_and_kill_later(Timeline(AssetSimulation), fault, recorded_wrong, 12))
