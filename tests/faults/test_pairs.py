"""Two faults injected, at every pair of calls of a scenario with one request."""

from collections.abc import Callable

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import CALL_FAULTS, CONTRACTS, TARGET_STEPS, InjectionResult, inject_pairs
from tests.faults.scenario import SMALL
from treadle.testing.faults import Fault
from treadle.testing.targets import NAMED

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

PAIRS = [
    (contract, first)
    for contract in CONTRACTS
    for first in CALL_FAULTS
    if (contract, first) != ("at least once", Fault.PAUSE)  # There is only LAUNCH, which cannot be paused.
]


@pytest.mark.parametrize(("contract", "first"), PAIRS)
def test_no_two_faults_break_an_invariant(
    contract: str, first: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    """The calls before the target are the same for all contracts, and are tested once."""
    promised = CONTRACTS[contract]

    check_result(
        inject_pairs(
            lambda faults: EngineSimulation(promised, SMALL, faults),
            promised,
            first,
            lambda call: promised is NAMED or call.step in TARGET_STEPS,
        )
    )
