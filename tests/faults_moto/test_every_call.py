"""One fault injected at the calls of the flow on DynamoDB's stores, and at their requests.

Moto is slow, so every second kind of fault is injected at each call, in turn, and one kind at each request.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import (
    BATCH_FAULTS,
    CALL_FAULTS,
    InjectionResult,
    Timeline,
    inject,
    inject_at_calls,
)
from tests.faults.invariants import CHECKS, committed, violations
from tests.faults.scenario import MEDIUM
from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.testing.faults import Call, Fault, Faults
from treadle.testing.targets import NAMED

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(900)

FAULTS = (*CALL_FAULTS, *BATCH_FAULTS)
BY_REQUEST = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.REPEATED, Fault.THROTTLED)
"""The SDK resends a request whose response is lost: that is the fault `REPEATED`."""


def maker(tables: Tables, *, each_request: bool = False) -> Callable[[Faults], EngineSimulation]:
    """Return a function that creates simulations on the tables."""

    def make(faults: Faults) -> EngineSimulation:
        return EngineSimulation(
            scenario=MEDIUM, faults=faults, backend=on_dynamodb(tables, faults, each_request=each_request)
        )

    return make


def test_without_faults_all_invariants_hold_and_outcomes_are_kept_apart(tables: Tables) -> None:
    simulation = maker(tables)(Faults())

    simulation.run()

    assert violations(simulation) == []
    assert {"BlobStore.put", "BlobStore.get"} <= {call.site for call in simulation.faults.calls}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_at_any_call_breaks_an_invariant(
    tables: Tables, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    turn = FAULTS.index(fault)

    def where(call: Call) -> bool:
        return fault in BATCH_FAULTS or (call.number + turn) % 2 == 0 or call.port == "BlobStore"

    check_result(inject_at_calls(Timeline(maker(tables), resumes=False), NAMED, fault, where))


@pytest.mark.parametrize("fault", BY_REQUEST)
def test_no_fault_at_any_request_breaks_an_invariant(
    tables: Tables,
    fault: Fault,
    check_result: Callable[[InjectionResult], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Effects whose response is lost are not in the trace, so only the final state is checked."""
    for name in ("I4", "I5", "I6", "I7", "I8", "I9"):
        monkeypatch.delitem(CHECKS, name)
    monkeypatch.setitem(CHECKS, "I4", _each_batch_once)
    make, turn = maker(tables, each_request=True), BY_REQUEST.index(fault)
    timeline = Timeline(make, resumes=False)
    requests = [call for call in timeline.calls if call.port == "DynamoDB"]
    result = InjectionResult()

    for request in requests:
        if (request.number + turn) % len(BY_REQUEST) == 0:
            result += inject(timeline, {request.number: fault}, violations)

    check_result(result)


def _each_batch_once(simulation: EngineSimulation) -> Iterator[str]:
    """Check that exactly one tick requested each batch: cursor and requests are committed together."""
    requested = sorted(str([request.run_key for request in tick.requests]) for tick in committed(simulation))
    wanted = sorted(
        [
            *(str(list(batch)) for batch in simulation.scenario.batches),
            *(f"['s3://watched/{key}#e1']" for key in simulation.scenario.objects),
        ]
    )
    if requested != wanted:
        yield f"ticks request {requested} instead of {wanted}"
