"""Pools as they are read: which slots are free, whether they are full, and which runs still wait."""

from dataclasses import replace

import pytest

from tests.support.launching import NOON
from treadle.engine.pools.queues import Pool, free_slots, waiting_runs
from treadle.model.pools import Holder, PoolState, PoolWait, Waiter
from treadle.model.runs import Run
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.tables import InMemoryTables

HELD = [Holder(1, "a-1"), Holder(3, "b-1")]


def test_pool_that_is_not_declared_any_more_has_a_hundred_free_slots() -> None:
    assert free_slots(None, "apis", [1, 3]) == [2, *range(4, 103)]


@pytest.mark.parametrize(
    ("state", "is_full"),
    [
        (PoolState("apis", 2), True),
        (PoolState("apis", 3), False),
        (PoolState("apis", 0), False),
        (PoolState("apis", 2, closed_until=NOON), False),
        (None, False),
    ],
    ids=["full", "free", "paused", "closed", "not declared"],
)
def test_pool_is_full_if_runs_in_progress_hold_all_slots(state: PoolState | None, *, is_full: bool) -> None:
    assert Pool("apis", state, HELD).is_full is is_full


def test_only_runs_that_still_wait_at_their_entry_of_the_queue_are_found() -> None:
    run = Run("", "load", "watch", "k", "tick", "{}", {}, NOON)
    waits = [PoolWait("apis", "1", NOON), PoolWait("apis", "9", NOON), PoolWait("zoo", "3", NOON), None]
    tables = InMemoryTables()
    for number, wait in enumerate(waits, 1):
        tables.runs[str(number)] = replace(run, run_id=str(number), waiting=wait)
    waiters = [Waiter(str(number), str(number)) for number in range(1, 6)]

    found = waiting_runs(InMemoryRunStore(tables), "apis", waiters)

    assert [(each.run.run_id, each.wait) for each in found] == [("1", waits[0])]
