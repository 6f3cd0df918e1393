"""Two faults, at every pair of calls of a flow with one request."""

from collections.abc import Callable

import pytest

from tests.faults.flow import SMALL
from tests.faults.walk import ABOUT_TARGETS, CONTRACTS, EVERYWHERE, Walked, walk_pairs
from tests.faults.world import World
from treadle.testing.faults import Fault
from treadle.testing.targets import NAMED

# A walk is many worlds, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

PAIRS = [
    (contract, first)
    for contract in CONTRACTS
    for first in EVERYWHERE
    if (contract, first) != ("at least once", Fault.PAUSE)  # There is only LAUNCH, which cannot be paused.
]


@pytest.mark.parametrize(("contract", "first"), PAIRS)
def test_no_two_faults_break_an_invariant(
    contract: str, first: Fault, hold: Callable[[Walked], None]
) -> None:
    """What comes before the target is the same for all of them, and is walked once."""
    promised = CONTRACTS[contract]

    hold(
        walk_pairs(
            lambda faults: World(promised, SMALL, faults),
            promised,
            first,
            lambda call: promised is NAMED or call.step in ABOUT_TARGETS,
        )
    )
