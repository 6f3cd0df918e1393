"""One fault injected at every call while runs wait for pools, hold their slots, and return them."""

import pytest

from tests.faults.pool_scenarios import SCENARIOS
from tests.faults.pool_simulation import PoolScenario, PoolSimulation, violations
from treadle.testing.faults import Fault, Faults

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)


def simulated(scenario: PoolScenario, plan: "dict[int, Fault] | None" = None) -> PoolSimulation:
    simulation = PoolSimulation(scenario, Faults(plan or {}))
    simulation.run()
    return simulation


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_limits_hold_and_every_run_ends(scenario: PoolScenario) -> None:
    assert violations(simulated(scenario)) == []
