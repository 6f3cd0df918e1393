"""One fault injected at every call from a change of dynamic partitions to the set, and many pairs of faults."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from tests.faults.injection import (
    CALL_FAULTS,
    InjectionResult,
    Timeline,
    inject_and_kill_later,
    inject_at_each,
)
from tests.faults.partition_simulation import PartitionSimulation, changed_wrong
from tests.support.engine import EngineHarness
from treadle import DynamicPartitionsDefinition, SensorDefinition, SensorResult
from treadle.engine.tick.evaluation import Budget
from treadle.testing.faults import Fault

pytestmark = pytest.mark.timeout(600)


def test_without_faults_changes_are_applied_before_runs_and_in_chunks() -> None:
    simulation = Timeline(PartitionSimulation).simulation

    assert changed_wrong(simulation) == []
    calls = [f"{call.step} {call.site}" for call in simulation.faults.calls]
    last_change = max(i for i, call in enumerate(calls) if call == "CHUNK PartitionStore.apply")
    assert calls.index("CHUNK TickStore.mark_chunk_done") < last_change < calls.index("CHUNK RunStore.create")
    assert {"DISPATCH PartitionStore.apply", "TICK TickStore.has_changed_partitions"} <= set(calls)


@pytest.mark.parametrize("fault", CALL_FAULTS)
def test_no_fault_at_any_call_loses_repeats_or_reorders_a_change(
    fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    check_result(inject_at_each(Timeline(PartitionSimulation), fault, changed_wrong))


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_no_second_fault_does_either(fault: Fault, check_result: Callable[[InjectionResult], None]) -> None:
    check_result(inject_and_kill_later(Timeline(PartitionSimulation), fault, changed_wrong, 8))


def changing(name: str, *requests: Any) -> SensorDefinition:
    result = SensorResult(dynamic_partitions_requests=requests)
    return SensorDefinition(name, evaluation_fn=lambda: result)


@pytest.mark.parametrize("first", ["adds", "deletes"])
@pytest.mark.parametrize("exists", [True, False])
def test_last_committed_change_applies_however_often_and_in_whatever_order_ticks_are_dispatched(
    first: str, exists: bool
) -> None:
    fruits = DynamicPartitionsDefinition(name="fruits")
    requests = {"adds": fruits.build_add_request(["k"]), "deletes": fruits.build_delete_request(["k"])}
    names = [first, *(name for name in requests if name != first)]

    for order in permutations([0, 0, 1, 1]):
        harness = EngineHarness()
        if exists:
            harness.leased(changing("before", requests["adds"])).tick(harness.clock.now(), Budget())
            harness.dispatcher().dispatch(next(iter(harness.tables.ticks.values())))
        for name in names:
            harness.clock.advance(1)
            harness.leased(changing(name, requests[name])).tick(harness.clock.now(), Budget())
        ticks = [tick for tick in harness.tables.ticks.values() if tick.sensor != "before"]

        for number in order:
            harness.dispatcher().dispatch(ticks[number])

        assert [tick.sensor for tick in ticks] == names
        assert harness.stores.partitions.existing("fruits", ["k"]) == ({"k"} if names[1] == "adds" else set())
