"""One fault injected at every call while runs wait for pools, hold their slots, and return them."""

from collections.abc import Iterator

import pytest

from tests.faults.injection import CALL_FAULTS
from tests.faults.pool_scenarios import SCENARIOS
from tests.faults.pool_simulation import PoolScenario, PoolSimulation, violations
from tests.faults.simulation import NotQuiescentError
from treadle.ports.pools import PoolStore
from treadle.testing.faults import Call, Fault, Faults

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)


def simulated(scenario: PoolScenario, plan: "dict[int, Fault] | None" = None) -> PoolSimulation:
    simulation = PoolSimulation(scenario, Faults(plan or {}))
    simulation.run()
    return simulation


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_limits_hold_and_every_run_ends(scenario: PoolScenario) -> None:
    assert violations(simulated(scenario)) == []
