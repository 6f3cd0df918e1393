"""Where Dagster reports asset events again: they are applied before what may still fail."""

import pytest

from tests.faults.asset_world import AssetWorld, recorded_wrong
from treadle.testing.faults import Fault, Faults


def lived(plan: dict[int, Fault]) -> AssetWorld:
    world = AssetWorld(Faults(plan))
    world.live()
    return world


@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER])
def test_d6_crash_between_asset_events_and_runs_records_and_starts_each_once(fault: Fault) -> None:
    calls = [call for call in lived({}).faults.calls if call.step in {"TICK", "EVENT", "DISPATCH"}]

    found = {str(call): recorded_wrong(lived({call.number: fault})) for call in calls}

    sites = [call.site for call in calls if call.step == "DISPATCH"]
    assert sites.index("EventStore.append") < sites.index("RunStore.create")
    assert {call: problems for call, problems in found.items() if problems} == {}
