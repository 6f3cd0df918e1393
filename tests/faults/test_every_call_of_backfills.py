"""One fault injected at every call while a backfill is started, paused, resumed, canceled or retried."""

from collections.abc import Iterator

import pytest

from tests.faults.backfill_simulation import SCENARIOS, BackfillScenario, BackfillSimulation, violations
from tests.faults.injection import CALL_FAULTS, is_same
from tests.faults.simulation import NotQuiescentError
from treadle.engine.backfills import backfiller
from treadle.model.backfills import BackfillStatus
from treadle.ports.backfills import BackfillStore
from treadle.testing.faults import Fault, Faults

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

NOT_IN_THE_SCENARIOS = {
    "BackfillStore.page": "shown to operators",
    "BackfillStore.unfinished": "shown to operators",
    "BackfillStore.postpone": "covered by test_backfills.py of the handlers",
}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfiller, "SLICE", 2)


def simulated(scenario: BackfillScenario, plan: "dict[int, Fault] | None" = None) -> BackfillSimulation:
    simulation = BackfillSimulation(scenario, Faults(plan or {}))
    simulation.run()
    return simulation


def injected(scenario: BackfillScenario, fault: Fault) -> Iterator[str]:
    """Inject a fault at each call, and yield what went wrong."""
    calls = simulated(scenario).faults.calls
    for call in calls:
        if is_same(fault, call, calls):
            continue
        try:
            found = violations(simulated(scenario, {call.number: fault}))
        except NotQuiescentError as error:
            found = [str(error)]
        yield from (f"{fault} at {call}: {problem}" for problem in found)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_without_faults_each_partition_runs_once(scenario: BackfillScenario) -> None:
    simulation = simulated(scenario)

    assert violations(simulation) == []
    assert simulation.most == (scenario.limit or scenario.total)


def test_scenarios_reach_every_method_of_the_store() -> None:
    methods = {f"BackfillStore.{name}" for name in vars(BackfillStore) if not name.startswith("_")}
    reached = {
        call.site
        for scenario in SCENARIOS.values()
        for call in simulated(scenario).faults.calls
        if call.port == "BackfillStore"
    }

    assert reached == methods - set(NOT_IN_THE_SCENARIOS)


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_no_fault_at_any_call_breaks_a_backfill(scenario: BackfillScenario, fault: Fault) -> None:
    problems = list(injected(scenario, fault))

    assert not problems, "\n".join(problems[:20])


def test_without_messages_reconcile_runs_the_backfill_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message between the functions is lost, from the command's to those about the ends of runs."""
    simulation = BackfillSimulation(SCENARIOS["paused"])
    monkeypatch.setattr(BackfillSimulation, "_dispatch", lambda *_: {"batchItemFailures": []})

    simulation.run()

    assert violations(simulation) == []
    found = simulation.backfill()
    assert found is not None
    assert found.shown_status is BackfillStatus.COMPLETED_SUCCESS
