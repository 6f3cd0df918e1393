"""One fault at every call of the whole flow, for each kind of target."""

from collections.abc import Callable

import pytest

from tests.faults.flow import GRANTED_LATE
from tests.faults.invariants import committed, violations
from tests.faults.walk import ABOUT_TARGETS, CONTRACTS, EVERYWHERE, IN_BATCHES, Walked, calls_of, walk
from tests.faults.world import World
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

# A walk is many worlds, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

OTHERS = {name: contract for name, contract in CONTRACTS.items() if contract is not NAMED}

NOT_IN_THE_FLOW = {
    "RunStore.find": "read by sensors",
    "RunStore.put_poll_checkpoint": "walked in test_observing.py",
    "RunStore.poll_checkpoint": "walked in test_observing.py",
    "RunStore.get_many": "walked in test_every_call_of_telling.py",
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
    "Target.recent": "walked in test_observing.py",
}


def maker(contract: StartContract) -> Callable[[Faults], World]:
    """Makes worlds with a kind of target."""
    return lambda faults: World(contract, faults=faults)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_without_faults_all_invariants_hold(contract: StartContract) -> None:
    world = maker(contract)(Faults())

    world.live()

    assert violations(world) == []
    assert len(world.backend.all_runs()) == 13
    assert {run.job for run in world.backend.all_runs()} == {JOB, GRANTED_LATE}
    assert sum(tick.dispatched.refused for tick in committed(world) if tick.dispatched) == 2
    assert len(world.dead_letters.kept) == 5


def test_the_flow_reaches_every_method_of_the_ports() -> None:
    ports = (SensorStore, TickStore, RunStore, RegistryStore, EntrySource, Queue, Target, DeadLetters)
    methods = {f"{port.__name__}.{name}" for port in ports for name in vars(port) if not name.startswith("_")}

    reached = {call.site for contract in CONTRACTS.values() for call in calls_of(maker(contract))}

    assert reached == methods - set(NOT_IN_THE_FLOW)


PARTS = [(fault, part) for fault in EVERYWHERE for part in (0, 1, 2)] + [(fault, 0) for fault in IN_BATCHES]


@pytest.mark.parametrize(("fault", "part"), PARTS)
def test_no_fault_at_any_call_breaks_an_invariant(
    fault: Fault, part: int, hold: Callable[[Walked], None]
) -> None:
    parts = 1 if fault in IN_BATCHES else 3

    hold(walk(maker(NAMED), NAMED, fault, lambda call: call.number % parts == part))


@pytest.mark.parametrize("fault", EVERYWHERE)
@pytest.mark.parametrize("contract", OTHERS.values(), ids=OTHERS)
def test_no_fault_about_another_target_breaks_its_promise(
    contract: StartContract, fault: Fault, hold: Callable[[Walked], None]
) -> None:
    """What comes before the target is the same for all of them, and is not walked again."""
    hold(walk(maker(contract), contract, fault, lambda call: call.step in ABOUT_TARGETS))
