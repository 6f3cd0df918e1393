"""Large run configs: whatever fails, each committed request refers to a stored object, and nothing else starts."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import CALL_FAULTS, CONTRACTS, InjectionResult, Timeline, inject_at_each
from tests.faults.invariants import committed, executions, violations
from tests.faults.scenario import LARGE
from tests.support.replaced_stores import ReplacedStores
from treadle.definitions.payloads import reference_in
from treadle.testing.faults import Call, Fault, Faults, faulty

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(600)

DESCRIBED = [name for name, contract in CONTRACTS.items() if contract.describes]


class LargeSimulation(EngineSimulation):
    """The engine's simulation, with faults at the store of payloads as well."""

    __slots__ = ()

    def _faulted(self) -> Any:
        stores: Any = super()._faulted()
        blobs = faulty(self.backend.stores.blobs, "BlobStore", self.faults, only={"put", "exists"})
        return ReplacedStores(stores, blobs=blobs)


def lost_payloads(simulation: EngineSimulation) -> list[str]:
    """Return the run keys of requests whose run config is not stored, or is another one."""
    lost, stores = [], simulation.backend.stores
    for tick in committed(simulation):
        for request in tick.requests:
            reference = reference_in(request.run_config)
            assert reference is not None
            key = reference.url.removeprefix(stores.blobs.address(""))
            if not (stores.blobs.exists(key) and reference.is_of(stores.blobs.get(key))):
                lost.append(str(request.run_key))
    return lost


def violations_with_payloads(simulation: LargeSimulation) -> list[str]:
    """Return the violated invariants, and what committed requests refer to in vain."""
    return [*violations(simulation), *(f"I2: {key} has no payload" for key in lost_payloads(simulation))]


def make(contract: str = "named") -> Callable[[Faults], LargeSimulation]:
    return lambda faults: LargeSimulation(CONTRACTS[contract], LARGE, faults)


def stored(simulation: EngineSimulation) -> list[int]:
    """Return which batches' run configs are stored."""
    blobs: dict[str, bytes] = simulation.backend.stores.blobs.blobs  # type: ignore[attr-defined]
    return sorted(json.loads(each)["batch"] for each in blobs.values())


def is_about_payloads(call: Call) -> bool:
    """Return whether a call may concern a payload: from the evaluation to the commit, or at a start."""
    return call.port == "BlobStore" or call.step in {"TICK", "SLOT", "LAUNCH"}


@pytest.mark.parametrize("contract", DESCRIBED)
def test_each_attempt_starts_with_the_same_reference(contract: str) -> None:
    simulation = make(contract)(Faults())

    simulation.run()

    sites = [call.site for call in simulation.faults.calls]
    assert violations_with_payloads(simulation) == []
    assert [len(begun) for begun in executions(simulation).values()] == [1, 1, 1, 1]
    assert (sites.count("BlobStore.put"), sites.count("BlobStore.exists")) == (2, 4)
    assert stored(simulation) == [0, 1]


@pytest.mark.parametrize("fault", CALL_FAULTS)
def test_nothing_is_lost_or_started_twice_wherever_a_function_dies(
    fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    timeline = Timeline(make())

    check_result(inject_at_each(timeline, fault, violations_with_payloads, where=is_about_payloads))


@pytest.mark.parametrize("fault", [Fault.KILL_AFTER, Fault.ANSWER_LOST])
def test_payload_that_was_stored_without_its_tick_starts_nothing_and_is_stored_again_as_the_same_object(
    fault: Fault,
) -> None:
    calls = _calls()
    [number, _] = [call.number for call in calls if call.site == "BlobStore.put"]
    simulation = make()(Faults({number: fault}))
    before: list[list[int]] = []
    simulation.trace.on_tick = _after(simulation.trace.on_tick, lambda: before.append(stored(simulation)))

    simulation.run()

    # The tick was committed once, after the object had been stored a second time.
    assert violations_with_payloads(simulation) == []
    assert before[0] == [0]
    assert stored(simulation) == [0, 1]
    assert [call.site for call in simulation.faults.calls].count("BlobStore.put") == 3


def _after(first: Callable[[Any], None], then: Callable[[], None]) -> Callable[[Any], None]:
    def both(tick: Any) -> None:
        first(tick)
        then()

    return both


def _calls() -> list[Call]:
    simulation = make()(Faults())
    simulation.run()
    return simulation.faults.calls
