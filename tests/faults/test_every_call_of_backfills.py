"""One fault injected at every call while a backfill is started, paused, resumed, canceled or retried."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.faults.backfill_simulation import SCENARIOS, BackfillScenario, BackfillSimulation, violations
from tests.faults.injection import CALL_FAULTS, InjectionResult, Timeline, inject_at_each
from treadle.engine.backfills import backfiller
from treadle.model.backfills import BackfillStatus
from treadle.ports.backfills import BackfillStore
from treadle.testing.faults import Fault

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


def timeline(scenario: BackfillScenario) -> Timeline[BackfillSimulation]:
    return Timeline(partial(BackfillSimulation, scenario))


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_without_faults_each_partition_runs_once(scenario: BackfillScenario) -> None:
    simulation = timeline(scenario).simulation

    assert violations(simulation) == []
    assert simulation.most == (scenario.limit or scenario.total)


def test_scenarios_reach_every_method_of_the_store() -> None:
    methods = {f"BackfillStore.{name}" for name in vars(BackfillStore) if not name.startswith("_")}
    reached = {
        call.site
        for scenario in SCENARIOS.values()
        for call in timeline(scenario).calls
        if call.port == "BackfillStore"
    }

    assert reached == methods - set(NOT_IN_THE_SCENARIOS)


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_no_fault_at_any_call_breaks_a_backfill(
    scenario: BackfillScenario, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    check_result(inject_at_each(timeline(scenario), fault, violations))


def test_without_messages_reconcile_runs_the_backfill_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message between the functions is lost, from the command's to those about the ends of runs."""
    simulation = BackfillSimulation(SCENARIOS["paused"])
    monkeypatch.setattr(BackfillSimulation, "_dispatch", lambda *_: {"batchItemFailures": []})

    simulation.run()

    assert violations(simulation) == []
    found = simulation.backfill()
    assert found is not None
    assert found.shown_status is BackfillStatus.COMPLETED_SUCCESS
