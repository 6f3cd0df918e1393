"""A simulation that continues from a snapshot ends as one from the beginning."""

from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from tests.faults.batch_simulation import SCENARIOS, BatchScenario, BatchSimulation
from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import CONTRACTS, Timeline
from tests.faults.snapshots import Snapshot
from treadle.testing.faults import Fault, Faults


def make(faults: Faults) -> EngineSimulation:
    return EngineSimulation(CONTRACTS["listed"], faults=faults)


def end_of(simulation: EngineSimulation) -> tuple[Any, ...]:
    """Return the calls and the state at the end of a simulation."""
    simulation.run()
    stores: Any = simulation.backend.stores
    tables = {each.name: getattr(stores.tables, each.name) for each in fields(stores.tables)}
    return (
        list(map(str, simulation.faults.calls)),
        {name: repr(table) for name, table in tables.items() if name != "lock"},
        simulation.dead_letters.kept,
        simulation.jobs_run.inner.executions,
        simulation.trace.runs,
        simulation.clock.now(),
    )


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.PAUSE])
def test_simulation_from_a_snapshot_ends_as_one_from_the_beginning(fault: Fault) -> None:
    timeline, whole = Timeline(make), Timeline(make, resumes=False)
    numbers = [call.number for call in timeline.calls if call.step != "LAUNCH"][::25]

    ends = {number: end_of(timeline.with_faults({number: fault})) for number in numbers}

    assert len(ends) > 10
    assert ends == {number: end_of(whole.with_faults({number: fault})) for number in numbers}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_simulation_of_batches_from_a_snapshot_ends_as_one_from_the_beginning(
    scenario: BatchScenario,
) -> None:
    timeline = Timeline(partial(BatchSimulation, scenario))

    for call in timeline.calls[5::25]:
        plan = {call.number: Fault.ANSWER_LOST}
        resumed, whole = timeline.with_faults(plan), BatchSimulation(scenario, Faults(plan))
        for simulation in (resumed, whole):
            simulation.run()
        assert resumed.faults.calls == whole.faults.calls
        assert resumed.manifests == whole.manifests
        assert resumed.stores.tables.ledger == whole.stores.tables.ledger
        assert resumed.clock.now() == whole.clock.now()


def test_second_fault_is_injected_after_the_first_one() -> None:
    timeline, whole = Timeline(make), Timeline(make, resumes=False)
    first = {100: Fault.KILL_AFTER}
    both = {**first, 200: Fault.ANSWER_LOST}

    after = timeline.later(first)

    assert [call.number for call, _ in after.simulation.faults.injected] == [100]
    assert end_of(after.with_faults(both)) == end_of(whole.with_faults(both))


def test_copies_of_a_snapshot_do_not_change_each_other_or_the_simulation() -> None:
    simulation = make(Faults())
    for _ in range(5):
        simulation.step()
    snapshot = Snapshot.of(simulation)

    end = end_of(snapshot.restored())

    assert end_of(snapshot.restored()) == end
    assert end_of(simulation) == end
