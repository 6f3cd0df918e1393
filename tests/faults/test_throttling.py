"""Stores, queues and targets that have too much to do: all is late, and nothing is lost."""

import random
from collections.abc import Callable

import pytest

from tests.faults.flow import EVENTS
from tests.faults.invariants import violations
from tests.faults.living import PROJECT
from tests.faults.walk import CONTRACTS, Walked
from tests.faults.world import World
from treadle.testing.faults import Faults

SHARE = 0.3


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("contract", CONTRACTS)
def test_throttling_a_third_of_all_calls_loses_nothing_and_buries_nothing(
    contract: str, seed: int, hold: Callable[[Walked], None]
) -> None:
    chance = random.Random(seed)
    world = World(CONTRACTS[contract], faults=Faults(throttles=lambda: chance.random() < SHARE))
    # It has evaluated before. The seeds are those that start within an hour: a target's token may last no longer.
    world.backend.stores.sensors.claim(EVENTS, PROJECT)

    world.live()

    assert len(world.faults.struck) > len(world.faults.calls) / 5
    hold(Walked(len(world.faults.struck), violations(world)))
