"""One fault at the calls of the flow over DynamoDB's stores, and at the requests behind them.

Moto takes its time, so each call meets every other kind of fault, in turns, and each request one of them.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.flow import MIDDLING
from tests.faults.invariants import CHECKS, committed, violations
from tests.faults.walk import EVERYWHERE, IN_BATCHES, Walked, calls_of, strike, walk
from tests.faults.world import World
from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.testing.faults import Call, Fault, Faults
from treadle.testing.targets import NAMED

# A walk is many worlds, and the machine may be busy.
pytestmark = pytest.mark.timeout(900)

FAULTS = (*EVERYWHERE, *IN_BATCHES)
BY_REQUEST = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.REPEATED, Fault.THROTTLED)
"""The SDK sends a request again by itself whose answer is lost: that is the one which is sent twice."""


def maker(tables: Tables, *, each_request: bool = False) -> Callable[[Faults], World]:
    """Return a function that makes worlds on the tables."""

    def make(faults: Faults) -> World:
        return World(
            flow=MIDDLING, faults=faults, backend=on_dynamodb(tables, faults, each_request=each_request)
        )

    return make


def test_without_faults_all_invariants_hold_and_outcomes_are_kept_apart(tables: Tables) -> None:
    world = maker(tables)(Faults())

    world.live()

    assert violations(world) == []
    assert {"BlobStore.put", "BlobStore.get"} <= {call.site for call in world.faults.calls}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_at_any_call_breaks_an_invariant(
    tables: Tables, fault: Fault, hold: Callable[[Walked], None]
) -> None:
    turn = FAULTS.index(fault)

    def where(call: Call) -> bool:
        return fault in IN_BATCHES or (call.number + turn) % 2 == 0 or call.port == "BlobStore"

    hold(walk(maker(tables), NAMED, fault, where))


@pytest.mark.parametrize("fault", BY_REQUEST)
def test_no_fault_at_any_request_breaks_an_invariant(
    tables: Tables, fault: Fault, hold: Callable[[Walked], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What took effect without an answer is not witnessed, so only what stands at the end is checked."""
    for name in ("I4", "I5", "I6", "I7", "I8", "I9"):
        monkeypatch.delitem(CHECKS, name)
    monkeypatch.setitem(CHECKS, "I4", _each_batch_once)
    make, turn = maker(tables, each_request=True), BY_REQUEST.index(fault)
    requests = [call for call in calls_of(make) if call.port == "DynamoDB"]
    walked = Walked()

    for request in requests:
        if (request.number + turn) % len(BY_REQUEST) == 0:
            walked += strike(make, {request.number: fault})

    hold(walked)


def _each_batch_once(world: World) -> Iterator[str]:
    """Yield each batch that was not requested by exactly one tick: cursor and requests are durable together."""
    requested = sorted(str([request.run_key for request in tick.requests]) for tick in committed(world))
    wanted = sorted(
        [
            *(str(list(batch)) for batch in world.flow.batches),
            *(f"['s3://watched/{key}#e1']" for key in world.flow.objects),
        ]
    )
    if requested != wanted:
        yield f"ticks request {requested} instead of {wanted}"
