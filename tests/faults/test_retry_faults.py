"""A run that its policy retries has each attempt once, and ends as it must, whatever fails in between."""

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
from tests.faults.invariants import executions, violations
from tests.faults.scenario import FLAKY
from treadle.testing.faults import Call, Fault, Faults

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

DESCRIBED = [name for name, contract in CONTRACTS.items() if contract.describes]
NAMED = CONTRACTS["named"]


def is_after_the_request(call: Call) -> bool:
    """Return whether a call may concern an attempt or its end."""
    return call.step in {"LAUNCH", "RECORD", "RECONCILE"}


def is_retry(call: Call) -> bool:
    """Return whether a call may belong to the start of a retry."""
    return call.step == "RECONCILE" and call.port in {"RunStore", "Queue"}


@pytest.mark.parametrize("contract", DESCRIBED)
def test_run_that_fails_twice_succeeds_at_its_third_attempt(contract: str) -> None:
    simulation = EngineSimulation(CONTRACTS[contract], FLAKY, Faults())

    simulation.run()

    assert violations(simulation) == []
    assert [len(begun) for begun in executions(simulation).values()] == [1, 1, 1]


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("contract", DESCRIBED)
def test_run_is_retried_wherever_a_function_dies(
    contract: str, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    promised = CONTRACTS[contract]
    timeline = Timeline(lambda faults: EngineSimulation(promised, FLAKY, faults))

    check_result(inject_at_calls(timeline, promised, fault, is_after_the_request))


@pytest.mark.parametrize("first", CALL_FAULTS)
def test_run_is_retried_after_any_two_faults(
    first: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    check_result(inject_pairs(lambda faults: EngineSimulation(NAMED, FLAKY, faults), NAMED, first, is_retry))
