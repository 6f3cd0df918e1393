"""One fault injected at each call of RECONCILE while records are unreadable: nothing is lost."""

import json
from contextlib import suppress

import pytest

from tests.support.dispatching import committed
from tests.support.engine import EngineHarness
from tests.support.launching import NOON, RUN_ID, queue_run
from treadle.definitions.errors import StoreError
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS, RETRY_MS, Reconciled, Reconciler
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.testing.faults import Fault, Faults, faulty
from treadle.testing.system import InMemoryDeadLetters

FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.THROTTLED, Fault.REPEATED)


def unreadable_records() -> tuple[EngineHarness, InMemoryDeadLetters]:
    """Return an unreadable tick and an unreadable run, before a readable one of each."""
    harness, dead_letters = EngineHarness(), InMemoryDeadLetters()
    bad, _ = committed(harness, "a", number=1), committed(harness, "b", number=2)
    queue_run(harness)
    harness.tables.unreadable["watch", bad.tick_id] = "no zlib"
    harness.tables.unreadable[RUN_ID,] = "tags is a list"
    harness.clock.time = NOON + LAUNCH_DUE_MS + 1
    return harness, dead_letters


def reconcile(harness: EngineHarness, dead_letters: InMemoryDeadLetters, faults: Faults) -> Reconciled | None:
    made: Reconciler = harness.reconciler()
    made._ticks = faulty(made._ticks, "TickStore", faults)
    made._runs = faulty(made._runs, "RunStore", faults)
    made._dead_letters = faulty(dead_letters, "DeadLetters", faults)
    done: list[Reconciled] = []
    with suppress(StoreError):
        faults.run("RECONCILE", lambda: done.append(made.reconcile(50)))
    return done[0] if done else None


def calls() -> int:
    harness, dead_letters = unreadable_records()
    faults = Faults()
    assert reconcile(harness, dead_letters, faults) == Reconciled(dispatched=1, failed=2, unreadable=2)
    return len(faults.calls)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_at_any_call_loses_a_dead_letter_or_a_neighbor(fault: Fault) -> None:
    for number in range(1, calls() + 1):
        harness, dead_letters = unreadable_records()
        reconcile(harness, dead_letters, Faults({number: fault}))

        harness.clock.advance((RETRY_MS + DISPATCH_LATE_MS) / 1000 + 1)  # The wait of a tick after a fault.
        passes = [reconcile(harness, dead_letters, Faults()) for _ in range(2)]

        assert passes[-1] == Reconciled(), number
        about = [json.loads(each.body)["treadle"] for each in dead_letters.messages.values()]
        assert set(about) == {"dispatch", "reconcile"} or fault in {Fault.THROTTLED}, number
        assert len(about) <= 3, number
        assert all(
            tick.dispatched is not None or key in harness.tables.unreadable
            for key, tick in harness.tables.ticks.items()
        ), number
