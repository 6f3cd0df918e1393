"""One fault injected at every call while items of batches are accepted, evaluated, committed and marked (I14)."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.faults.batch_simulation import (
    SCENARIOS,
    BatchScenario,
    BatchSimulation,
    violations,
)
from tests.faults.injection import CALL_FAULTS, InjectionResult, Timeline, inject_at_each
from treadle.engine.batches import closer
from treadle.ports.batches import BatchStore
from treadle.testing.faults import Fault, Faults

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

NOT_IN_THE_SCENARIOS = {
    "BatchStore.states": "shown to operators",
    "BatchStore.count": "shown to operators",
}


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mark two items at once, so that a batch may be half marked."""
    monkeypatch.setattr(closer, "MARKED_AT_ONCE", 2)


def simulated(scenario: BatchScenario, plan: dict[int, Fault] | None = None) -> BatchSimulation:
    simulation = BatchSimulation(scenario, Faults(plan or {}))
    simulation.run()
    return simulation


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_without_faults_each_item_is_in_one_batch(scenario: BatchScenario) -> None:
    assert violations(simulated(scenario)) == []


def test_scenarios_reach_every_method_of_the_store() -> None:
    methods = {f"BatchStore.{name}" for name in vars(BatchStore) if not name.startswith("_")}
    reached = {
        call.site
        for scenario in SCENARIOS.values()
        for plan in ({}, _killed_after_a_commit(scenario))
        for call in simulated(scenario, plan).faults.calls
        if call.port == "BatchStore"
    }

    assert reached == methods - set(NOT_IN_THE_SCENARIOS)


def _killed_after_a_commit(scenario: BatchScenario) -> dict[int, Fault]:
    calls = simulated(scenario).faults.calls
    return {next(each.number for each in calls if each.method == "commit"): Fault.KILL_AFTER}


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_no_fault_at_any_call_breaks_a_batch(
    scenario: BatchScenario, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    check_result(inject_at_each(Timeline(partial(BatchSimulation, scenario)), fault, violations))
