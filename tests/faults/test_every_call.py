"""One fault injected at every call of the whole scenario, for each type of target."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.faults.backends import in_memory
from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import (
    BATCH_FAULTS,
    CALL_FAULTS,
    CONTRACTS,
    READS,
    TARGET_STEPS,
    InjectionResult,
    Timeline,
    calls_of,
    inject_at_calls,
)
from tests.faults.invariants import committed, violations
from tests.faults.scenario import GRANTED_LATE
from tests.support.dev_stores import worker_stores
from tests.support.engine import JOB
from treadle.model.targets import StartContract
from treadle.ports.registry import EntrySource, RegistryStore
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import DeadLetters, Queue
from treadle.ports.targets import Target
from treadle.ports.ticks import TickStore
from treadle.testing.faults import Fault, Faults, PendingCall
from treadle.testing.targets import NAMED

if TYPE_CHECKING:
    from treadle.testing.stores import InMemoryStores

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

OTHER_CONTRACTS = {name: contract for name, contract in CONTRACTS.items() if contract is not NAMED}

NOT_IN_THE_SCENARIO = {
    "RunStore.find": "read by sensors",
    "RunStore.ids_beginning": "shown to operators",
    "RunStore.in_progress": "covered by test_every_call_of_pools.py",
    "RunStore.put_poll_checkpoint": "covered by test_external_runs.py",
    "RunStore.poll_checkpoint": "covered by test_external_runs.py",
    "RunStore.counts": "shown to operators",
    "RunStore.mark_unreadable": "covered by test_unreadable_records.py",
    "RunStore.list_by_sensor": "shown to operators",
    "RunStore.page": "covered by test_loop_faults.py; shown to operators",
    "SensorStore.edits": "shown to operators",
    "SensorStore.get_many": "shown to operators",
    "TickStore.put": "of records of streams and of failures; covered by tests/unit/test_stream_sensors.py",
    "TickStore.between": "read for rehearsals",
    "TickStore.is_dispatched": "read for attempts after the first, as in test_protocol_model.py",
    "TickStore.latest": "shown to operators",
    "TickStore.mark_unreadable": "covered by test_unreadable_records.py",
    "TickStore.has_changed_partitions": "covered by test_every_call_of_partitions.py",
    "TickStore.page": "shown to operators",
    "TickStore.next_id": "shown to operators",
    "TickStore.loop_hold": "covered by test_loop_faults.py",
    "TickStore.loop_holds": "shown to operators",
    "TickStore.hold_loop": "covered by test_loop_faults.py",
    "TickStore.release_loop": "covered by test_loop_faults.py",
    "Target.cancel": "covered by test_max_runtime_faults.py",
    "Target.contract": "no call",
    "Target.recent": "covered by test_external_runs.py",
}


def maker(contract: StartContract) -> Callable[[Faults], EngineSimulation]:
    """Return a function that creates simulations with a start contract."""
    return lambda faults: EngineSimulation(contract, faults=faults)


@lru_cache(maxsize=1)
def timeline(contract: StartContract) -> Timeline[EngineSimulation]:
    """Return the simulation with a start contract and without faults; tests in a row share it."""
    return Timeline(maker(contract))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_without_faults_all_invariants_hold(contract: StartContract) -> None:
    simulation = maker(contract)(Faults())

    simulation.run()

    assert violations(simulation) == []
    assert len(simulation.backend.all_runs()) == 13
    assert {run.job for run in simulation.backend.all_runs()} == {JOB, GRANTED_LATE}
    assert sum(tick.dispatched.refused for tick in committed(simulation) if tick.dispatched) == 2
    assert len(simulation.dead_letters.kept) == 5


def test_without_faults_all_invariants_hold_over_the_stores_of_the_local_loop() -> None:
    """As a function of `treadle dev` has them, in another process."""
    backend = in_memory()
    with worker_stores(cast("InMemoryStores", backend.stores)) as stores:
        simulation = EngineSimulation(NAMED, backend=replace(backend, stores=stores))

        simulation.run()

        assert violations(simulation) == []
        assert len(simulation.backend.all_runs()) == 13
        assert len(simulation.dead_letters.kept) == 5


def test_scenario_reaches_every_method_of_the_ports() -> None:
    ports = (SensorStore, TickStore, RunStore, RegistryStore, EntrySource, Queue, Target, DeadLetters)
    methods = {f"{port.__name__}.{name}" for port in ports for name in vars(port) if not name.startswith("_")}

    reached = {call.site for contract in CONTRACTS.values() for call in calls_of(maker(contract))}

    assert reached == methods - set(NOT_IN_THE_SCENARIO)


class WrittenByReads(Faults):
    """Notes the reads at which the stores or the queues have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.simulation: EngineSimulation | None = None
        self.found: set[str] = set()

    def call(self, call: PendingCall) -> object:
        """Make a call."""
        before = self._state() if call.method in READS else ""
        answer = super().call(call)
        if call.method in READS and self._state() != before:
            self.found.add(f"{call.port}.{call.method}")
        return answer

    def _state(self) -> str:
        simulation = self.simulation
        if simulation is None:
            return ""
        stores: Any = simulation.backend.stores
        queues = (simulation.own, simulation.launches, simulation.chunks, simulation.events)
        return repr((stores.tables, simulation.parameters.values, queues))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_reads_change_nothing(contract: StartContract) -> None:
    faults = WrittenByReads()
    faults.simulation = maker(contract)(faults)

    faults.simulation.run()

    assert faults.found == set()


PARTS = [(fault, (part, 3)) for fault in CALL_FAULTS for part in range(3)] + [
    (fault, (0, 1)) for fault in BATCH_FAULTS
]


@pytest.mark.parametrize(("fault", "part"), PARTS)
def test_no_fault_at_any_call_breaks_an_invariant(
    fault: Fault, part: tuple[int, int], check_result: Callable[[InjectionResult], None]
) -> None:
    check_result(inject_at_calls(timeline(NAMED), NAMED, fault, lambda _: True, part))


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("contract", OTHER_CONTRACTS.values(), ids=OTHER_CONTRACTS)
def test_no_fault_at_another_target_breaks_its_contract(
    contract: StartContract, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    """The calls before the target are the same for all contracts, and are not tested again."""
    check_result(inject_at_calls(timeline(contract), contract, fault, lambda call: call.step in TARGET_STEPS))
