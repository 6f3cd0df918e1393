"""A run that exceeds its maximum runtime ends with that reason, whatever fails at its cancellation."""

from collections.abc import Callable

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import (
    CALL_FAULTS,
    CONTRACTS,
    InjectionResult,
    Timeline,
    inject_at_calls,
    inject_pairs,
)
from tests.faults.invariants import violations
from tests.faults.scenario import HANGING
from treadle.testing.faults import Call, Fault, Faults

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

DESCRIBED = [name for name, contract in CONTRACTS.items() if contract.describes]
NAMED = CONTRACTS["named"]


def is_at_the_end(call: Call) -> bool:
    """Return whether a call may concern the end of a run."""
    return call.step in {"RECONCILE", "RECORD"}


def is_cancellation(call: Call) -> bool:
    """Return whether a call may belong to the cancellation of a run."""
    return call.step == "RECONCILE" and call.port in {"RunStore", "Target"}


@pytest.mark.parametrize("contract", DESCRIBED)
def test_run_that_hangs_is_canceled_and_has_failed(contract: str) -> None:
    simulation = EngineSimulation(CONTRACTS[contract], HANGING, Faults())

    simulation.run()

    assert violations(simulation) == []
    assert [call.site for call in simulation.faults.calls].count("Target.cancel") == 1


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("contract", DESCRIBED)
def test_run_ends_wherever_reconcile_dies(
    contract: str, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    promised = CONTRACTS[contract]
    timeline = Timeline(lambda faults: EngineSimulation(promised, HANGING, faults))

    check_result(inject_at_calls(timeline, promised, fault, is_at_the_end))


@pytest.mark.parametrize("first", CALL_FAULTS)
def test_run_ends_after_any_two_faults(first: Fault, check_result: Callable[[InjectionResult], None]) -> None:
    check_result(
        inject_pairs(lambda faults: EngineSimulation(NAMED, HANGING, faults), NAMED, first, is_cancellation)
    )
