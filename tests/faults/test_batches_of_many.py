"""Batches of thousands of objects that arrive within a minute, while functions are killed and events are doubled (I14)."""

import os
import random
from datetime import timedelta

import pytest

from tests.faults.batch_items import SENSOR
from tests.faults.batch_simulation import (
    MESSAGES,
    POISON,
    BatchScenario,
    BatchSimulation,
    arrivals,
    violations,
)
from treadle.definitions.item_batches import Batch
from treadle.definitions.status import TickStatus
from treadle.testing.faults import Fault, Faults

pytestmark = pytest.mark.timeout(3_600)

OBJECTS = int(os.environ.get("TREADLE_BATCH_OBJECTS", "2000"))
"""How many objects arrive; 100,000 take two minutes."""

BATCHES, KILLS = 100, 40
WITHIN = timedelta(minutes=5)
LATE_MS = 120_000
"""Time closes a batch at most so much later."""


def simulated(scenario: BatchScenario, plan: dict[int, Fault] | None = None) -> BatchSimulation:
    simulation = BatchSimulation(scenario, Faults(plan or {}))
    simulation.run()
    return simulation


def test_each_of_many_objects_is_in_one_of_few_batches_while_functions_are_killed() -> None:
    chance = random.Random(1)
    keys = [f"{number:06d}" for number in range(OBJECTS)]
    doubled = frozenset(chance.sample(keys, OBJECTS // 10))
    size = OBJECTS // BATCHES
    # As many at a time as SQS delivers together.
    given = [(number // MESSAGES * MESSAGES * 60 / OBJECTS, key) for number, key in enumerate(keys)]
    scenario = BatchScenario(Batch(size=size, within=WITHIN), given, doubled, sweeps=(4_000,))
    kills = (Fault.KILL_BEFORE, Fault.KILL_AFTER)
    plan = {number: chance.choice(kills) for number in chance.sample(range(1, OBJECTS), KILLS)}

    simulation = simulated(scenario, plan)

    assert violations(simulation) == []
    assert len(simulation.faults.injected) == KILLS
    assert BATCHES <= len(simulation.batches) <= BATCHES + KILLS + 1
    # The sweep has found nothing new.
    assert len(simulation.stores.tables.ledger) == OBJECTS
    assert simulation.stores.sensors.get(SENSOR).skips is not None


def test_time_closes_a_batch_after_which_nothing_arrives() -> None:
    """No message is sent for that, so none can be lost."""
    scenario = BatchScenario(
        Batch(size=1_000, within=WITHIN), arrivals(" ".join(f"{number:03d}" for number in range(700)))
    )

    simulation = simulated(scenario)

    assert violations(simulation) == []
    assert [len(each.members) for each in simulation.batches] == [700]
    assert max(simulation.waits) <= WITHIN / timedelta(milliseconds=1) + LATE_MS


def test_batch_that_never_becomes_quiet_is_closed_by_its_longest_wait() -> None:
    quiet = timedelta(seconds=30)
    keys = " ".join(f"{number:03d}" for number in range(180))
    scenario = BatchScenario(Batch(size=1_000, within=WITHIN, quiet=quiet), arrivals(keys, 20.0))

    simulation = simulated(scenario)

    assert violations(simulation) == []
    sizes = [len(each.members) for each in simulation.batches]
    assert all(15 <= each <= 21 for each in sizes[:-1])
    assert max(simulation.waits) <= WITHIN / timedelta(milliseconds=1) + LATE_MS


def test_quiet_closes_a_batch_before_its_longest_wait() -> None:
    scenario = BatchScenario(
        Batch(size=1_000, within=timedelta(hours=1), quiet=timedelta(seconds=30)),
        [*arrivals("a b c", 10.0), (1_000.0, "d")],
    )

    simulation = simulated(scenario)

    assert violations(simulation) == []
    assert [len(each.members) for each in simulation.batches] == [3, 1]
    assert max(simulation.waits) <= 20_000 + 30_000 + 60_000


def test_item_at_which_the_function_fails_is_set_aside_and_the_others_run() -> None:
    keys = [f"{number:03d}" for number in range(999)]
    given = [(0.0, key) for key in [*keys[:600], POISON, *keys[600:]]]
    scenario = BatchScenario(Batch(size=1_000, within=WITHIN), given, sweeps=(9_000,))

    simulation = simulated(scenario)

    assert violations(simulation) == []
    assert sorted(key for each in simulation.batches for key in simulation.keys_of(each)) == keys
    [aside] = [each for each in simulation.manifests if each.set_aside]
    tick = simulation.stores.tables.ticks[SENSOR, aside.tick_id]
    assert tick.status is TickStatus.SKIPPED
    assert POISON in (tick.rejected[0].run_key or "")
    assert "fails at this object" in tick.rejected[0].reason
    assert len(simulation.stores.tables.ledger) == 1_000


def test_outage_of_the_function_sets_few_items_aside() -> None:
    """Each of them costs another five failures with growing delays, as long as nothing succeeds in between."""
    given = [(0.0, f"{number:02d}") for number in range(20)]
    scenario = BatchScenario(Batch(size=20, within=WITHIN), given)
    simulation = BatchSimulation(scenario, fails_at_all=True)

    simulation.run(simulation.began_at + 2 * 3_600_000)

    assert len(simulation.manifests) <= 3


def test_stopped_sensor_keeps_what_it_has_accepted_and_closes_it_after_its_start() -> None:
    scenario = BatchScenario(Batch(size=10, within=WITHIN), arrivals("a b c", 1.0), stopped=(10.0, 7_200.0))
    simulation = BatchSimulation(scenario)

    simulation.run(simulation.began_at + 7_199_000)
    before = list(simulation.manifests)
    simulation.run()

    assert before == []
    assert violations(simulation) == []
    [batch] = simulation.batches
    started = simulation.began_at + 7_200_000
    assert simulation.stores.tables.ticks[SENSOR, batch.tick_id].ended_at <= started + LATE_MS
