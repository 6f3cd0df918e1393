"""Throttled stores, queues and targets: all is late, and nothing is lost."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import CONTRACTS, TOKEN_FOR_AN_HOUR, InjectionResult
from tests.faults.invariants import violations
from tests.faults.scenario import EVENTS
from tests.faults.simulation import PROJECT
from treadle.testing.faults import Faults

SHARE = 0.3

DAY_TOKEN = replace(TOKEN_FOR_AN_HOUR, token_ms=86_400_000)
"""All is late by hours: when a token has expired, a start in doubt fails, as tests of start contracts check."""

LASTING = {
    name: DAY_TOKEN if contract == TOKEN_FOR_AN_HOUR else contract for name, contract in CONTRACTS.items()
}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("contract", LASTING)
def test_throttling_a_third_of_all_calls_loses_nothing_and_gives_nothing_up(
    contract: str, seed: int, check_result: Callable[[InjectionResult], None]
) -> None:
    chance = random.Random(seed)
    simulation = EngineSimulation(LASTING[contract], faults=Faults(throttles=lambda: chance.random() < SHARE))
    # It has evaluated before.
    simulation.backend.stores.sensors.claim(EVENTS, PROJECT)

    simulation.run()

    assert len(simulation.faults.injected) > len(simulation.faults.calls) / 5
    check_result(InjectionResult(len(simulation.faults.injected), 0, violations(simulation)))
