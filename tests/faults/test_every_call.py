"""One fault at every call of the whole scenario, for each kind of target."""

from collections.abc import Callable

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import (
    BATCH_FAULTS,
    CALL_FAULTS,
    CONTRACTS,
    TARGET_STEPS,
    InjectionResult,
    calls_of,
    inject_at_calls,
)
from tests.faults.invariants import committed, violations
from tests.faults.scenario import GRANTED_LATE
from tests.support.engine import JOB
from treadle.model.targets import StartContract
from treadle.ports.registry import EntrySource, RegistryStore
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import DeadLetters, Queue
from treadle.ports.targets import Target
from treadle.ports.ticks import TickStore
from treadle.testing.faults import Fault, Faults
from treadle.testing.targets import NAMED

# A walk is many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

OTHERS = {name: contract for name, contract in CONTRACTS.items() if contract is not NAMED}

NOT_IN_THE_FLOW = {
    "RunStore.find": "read by sensors",
    "RunStore.put_poll_checkpoint": "walked in test_external_runs.py",
    "RunStore.poll_checkpoint": "walked in test_external_runs.py",
    "RunStore.get_many": "walked in test_every_call_of_publish.py",
    "RunStore.counts": "shown to operators",
    "RunStore.mark_unreadable": "walked in test_unreadable_records.py",
    "RunStore.list_by_sensor": "shown to operators",
    "RunStore.page": "shown to operators",
    "SensorStore.edits": "shown to operators",
    "SensorStore.get_many": "shown to operators",
    "TickStore.is_dispatched": "read for attempts after the first, as in test_protocol_model.py",
    "TickStore.latest": "shown to operators",
    "TickStore.mark_unreadable": "walked in test_unreadable_records.py",
    "TickStore.page": "shown to operators",
    "Target.cancel": "requested by operators",
    "Target.contract": "no call",
    "Target.recent": "walked in test_external_runs.py",
}


def maker(contract: StartContract) -> Callable[[Faults], EngineSimulation]:
    """Makes simulations with a kind of target."""
    return lambda faults: EngineSimulation(contract, faults=faults)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_without_faults_all_invariants_hold(contract: StartContract) -> None:
    simulation = maker(contract)(Faults())

    simulation.run()

    assert violations(simulation) == []
    assert len(simulation.backend.all_runs()) == 13
    assert {run.job for run in simulation.backend.all_runs()} == {JOB, GRANTED_LATE}
    assert sum(tick.dispatched.refused for tick in committed(simulation) if tick.dispatched) == 2
    assert len(simulation.dead_letters.kept) == 5


def test_the_flow_reaches_every_method_of_the_ports() -> None:
    ports = (SensorStore, TickStore, RunStore, RegistryStore, EntrySource, Queue, Target, DeadLetters)
    methods = {f"{port.__name__}.{name}" for port in ports for name in vars(port) if not name.startswith("_")}

    reached = {call.site for contract in CONTRACTS.values() for call in calls_of(maker(contract))}

    assert reached == methods - set(NOT_IN_THE_FLOW)


PARTS = [(fault, part) for fault in CALL_FAULTS for part in (0, 1, 2)] + [
    (fault, 0) for fault in BATCH_FAULTS
]


@pytest.mark.parametrize(("fault", "part"), PARTS)
def test_no_fault_at_any_call_breaks_an_invariant(
    fault: Fault, part: int, check_result: Callable[[InjectionResult], None]
) -> None:
    parts = 1 if fault in BATCH_FAULTS else 3

    check_result(inject_at_calls(maker(NAMED), NAMED, fault, lambda call: call.number % parts == part))


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("contract", OTHERS.values(), ids=OTHERS)
def test_no_fault_about_another_target_breaks_its_promise(
    contract: StartContract, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    """What comes before the target is the same for all of them, and is not result again."""
    check_result(inject_at_calls(maker(contract), contract, fault, lambda call: call.step in TARGET_STEPS))
