"""The window in which Dagster records asset events twice: before a step that may fail."""

import pytest

from tests.faults.asset_simulation import AssetSimulation, recorded_wrong
from treadle.testing.faults import Fault, Faults


def simulated(plan: dict[int, Fault]) -> AssetSimulation:
    simulation = AssetSimulation(Faults(plan))
    simulation.run()
    return simulation


@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER])
def test_d6_crash_between_asset_events_and_runs_records_and_starts_each_once(fault: Fault) -> None:
    calls = [call for call in simulated({}).faults.calls if call.step in {"TICK", "EVENT", "DISPATCH"}]

    found = {str(call): recorded_wrong(simulated({call.number: fault})) for call in calls}

    sites = [call.site for call in calls if call.step == "DISPATCH"]
    assert sites.index("EventStore.append") < sites.index("RunStore.create")
    assert {call: problems for call, problems in found.items() if problems} == {}
