"""What pools guarantee in every store: a slot has one holder, and slots and queues change only with run records."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb.runs import DynamoRunStore
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.pools import (
    BEYOND,
    LAST_TURN,
    MINUTE_MS,
    Holder,
    Overlap,
    PoolState,
    PoolWait,
    Slot,
    StartSlot,
    Waiter,
    order_of,
)
from treadle.model.runs import Claim, PendingStart, Run
from treadle.ports.pools import SlotTakenError

NOW = 1_795_348_800_000
POOL = "warehouse"


def run(run_id: str = "r1", **fields: Any) -> Run:
    given = {"pools": (POOL,), "reached": {"1/0": {"QUEUED": NOW}}, **fields}
    return Run(run_id, "process", "files", run_id, "t1", "{}", {}, NOW, **given)


def waiting(run_id: str = "r1", order: str = "b", pool: str = POOL) -> Run:
    return run(run_id, waiting=PoolWait(pool, order, NOW))


def granted(record: Run, *slots: Slot) -> Run:
    return replace(record, waiting=None, slots=slots or (Slot(POOL, 1, 1),), next_at=NOW)


def create(stores: Stores, record: Run) -> Run:
    assert stores.runs.create(record) is None
    return record


def change(stores: Stores, after: Run, before: Run) -> Run:
    assert stores.runs.replace(after, before) is None
    return replace(after, revision=after.revision + 1)


def test_run_that_waits_joins_the_queue_in_its_order(stores: Stores) -> None:
    record = create(stores, waiting("r1", "b"))
    create(stores, waiting("r2", "a"))
    create(stores, waiting("r3", "c"))
    create(stores, waiting("r4", "a", "other"))

    assert stores.runs.get("r1") == record
    assert stores.pools.waiters(POOL, 2) == [Waiter("r2", "a"), Waiter("r1", "b")]
    assert stores.pools.waiters("other", 9) == [Waiter("r4", "a")]


def test_second_creation_joins_no_queue(stores: Stores) -> None:
    record = create(stores, waiting())

    assert stores.runs.create(waiting(order="a")) == record

    assert stores.pools.waiters(POOL, 9) == [Waiter("r1", "b")]


def test_slot_is_stored_with_the_time_of_its_grant(stores: Stores) -> None:
    create(stores, granted(run(), Slot(POOL, 1, 1, NOW + 7)))

    stored = stores.runs.get("r1")
    assert stored is not None
    assert [slot.granted_at for slot in stored.slots] == [NOW + 7]


def test_grant_takes_the_slots_and_leaves_the_queue(stores: Stores) -> None:
    record = create(stores, waiting())
    slots = Slot(POOL, 1, 1), Slot("other", 7, 1)

    after = change(stores, granted(record, *slots), record)

    assert stores.runs.get("r1") == after
    assert stores.pools.holders(POOL) == [Holder(1, "r1-1")]
    assert stores.pools.holders("other") == [Holder(7, "r1-1")]
    assert stores.pools.holders(POOL)[0].run_id == "r1"
    assert stores.pools.waiters(POOL, 9) == []


def test_slot_that_another_run_holds_is_not_taken_and_nothing_is_written(stores: Stores) -> None:
    first, second = create(stores, waiting("r1", "a")), create(stores, waiting("r2", "b"))
    change(stores, granted(first), first)

    # The free one comes first: none of both is taken.
    with pytest.raises(SlotTakenError, match="r2"):
        stores.runs.replace(granted(second, Slot("other", 1, 1), Slot(POOL, 1, 1)), second)

    assert stores.runs.get("r2") == second
    assert stores.pools.holders(POOL) == [Holder(1, "r1-1")]
    assert stores.pools.holders("other") == []
    assert stores.pools.waiters(POOL, 9) == [Waiter("r2", "b")]


def test_changed_record_takes_no_slot(stores: Stores) -> None:
    record = create(stores, waiting())
    current = change(stores, replace(record, tags={"a": "b"}), record)

    assert stores.runs.replace(granted(record), record) == current

    assert stores.pools.holders(POOL) == []
    assert stores.pools.waiters(POOL, 9) == [Waiter("r1", "b")]


def test_slot_can_be_taken_again_after_it_was_returned(stores: Stores) -> None:
    first, second = create(stores, waiting("r1", "a")), create(stores, waiting("r2", "b"))
    held = change(stores, granted(first), first)

    change(stores, replace(held, slots=(), status=Status.SUCCESS), held)

    assert stores.pools.holders(POOL) == []
    change(stores, granted(second), second)
    assert stores.pools.holders(POOL) == [Holder(1, "r2-1")]


def test_slot_is_returned_only_by_its_holder(stores: Stores) -> None:
    """The record of the first run names a slot that by now, after an edit by hand, another run holds."""
    first, second = create(stores, waiting("r1", "a")), create(stores, waiting("r2", "b"))
    held = replace(first, waiting=None, slots=(Slot(POOL, 1, 1),))
    change(stores, granted(second), second)

    # Its end is recorded nevertheless.
    change(stores, replace(held, slots=(), status=Status.SUCCESS), held)

    assert stores.pools.holders(POOL) == [Holder(1, "r2-1")]
    ended = stores.runs.get("r1")
    assert ended is not None
    assert ended.status is Status.SUCCESS


def test_attempts_of_a_run_hold_and_return_slots_of_their_own(stores: Stores) -> None:
    """The first attempt is in doubt while the second one holds a slot: its late end returns its own."""
    record = create(stores, waiting())
    held = change(stores, granted(record), record)
    both = change(stores, replace(held, attempt=2, slots=(Slot(POOL, 1, 1), Slot(POOL, 2, 2))), held)

    assert stores.pools.holders(POOL) == [Holder(1, "r1-1"), Holder(2, "r1-2")]

    change(stores, replace(both, slots=(Slot(POOL, 2, 2),)), both)
    assert stores.pools.holders(POOL) == [Holder(2, "r1-2")]


def test_any_number_of_runs_hold_slots_beyond_the_limit(stores: Stores) -> None:
    beyond = Slot(POOL, BEYOND, 1)
    first = create(stores, run("r1", slots=(beyond,), status=Status.STARTED))
    second = create(stores, run("r2"))
    both = change(stores, replace(second, slots=(beyond,)), second)

    assert stores.pools.holders(POOL) == [Holder(BEYOND, "r1-1"), Holder(BEYOND, "r2-1")]

    change(stores, replace(first, slots=()), first)
    assert stores.pools.holders(POOL) == [Holder(BEYOND, "r2-1")]
    change(stores, replace(both, slots=()), both)
    assert stores.pools.holders(POOL) == []


STARTS = "starts:job:process"


def start(stores: Stores, record: Run, at: int, number: int = 1, *slots: Slot) -> Run:
    """Grant a waiting run a start, and slots."""
    after = replace(record, waiting=None, slots=slots, starts=(StartSlot(STARTS, number, at),))
    return change(stores, after, record)


def test_slot_of_a_start_is_free_again_after_a_minute_and_not_before(stores: Stores) -> None:
    first = create(stores, waiting("r1", "a", STARTS))
    second = create(stores, waiting("r2", "b", STARTS))
    granted_first = start(stores, first, NOW)

    with pytest.raises(SlotTakenError, match="r2"):
        start(stores, second, NOW + MINUTE_MS - 1)

    assert stores.runs.get("r2") == second
    assert stores.pools.waiters(STARTS, 9) == [Waiter("r2", "b")]
    assert stores.runs.get("r1") == granted_first
    assert stores.pools.holders(STARTS) == [Holder(1, "r1-1", NOW)]
    assert [stores.pools.holders(STARTS)[0].is_held(NOW + ms) for ms in (MINUTE_MS - 1, MINUTE_MS)] == [
        True,
        False,
    ]

    start(stores, second, NOW + MINUTE_MS)

    assert stores.pools.holders(STARTS) == [Holder(1, "r2-1", NOW + MINUTE_MS)]
    assert stores.pools.waiters(STARTS, 9) == []


def test_start_is_granted_only_with_all_slots(stores: Stores) -> None:
    first, second = create(stores, waiting("r1", "a")), create(stores, waiting("r2", "b"))
    change(stores, granted(first), first)

    with pytest.raises(SlotTakenError, match="r2"):
        start(stores, second, NOW, 1, Slot("other", 1, 1), Slot(POOL, 1, 1))

    assert stores.pools.holders(STARTS) == stores.pools.holders("other") == []
    assert stores.runs.get("r2") == second
    start(stores, second, NOW, 2, Slot("other", 1, 1))
    assert stores.pools.holders(STARTS) == [Holder(2, "r2-1", NOW)]
    assert stores.pools.holders("other") == [Holder(1, "r2-1")]


def test_end_of_a_run_returns_no_start(stores: Stores) -> None:
    record = create(stores, waiting("r1", "a", STARTS))
    started = start(stores, record, NOW)

    change(stores, replace(started, starts=(), status=Status.SUCCESS), started)

    assert stores.pools.holders(STARTS) == [Holder(1, "r1-1", NOW)]


def test_start_of_the_next_attempt_takes_a_slot_of_its_own(stores: Stores) -> None:
    record = create(stores, waiting("r1", "a", STARTS))
    started = start(stores, record, NOW)
    again = replace(started, attempt=2, starts=(), waiting=PoolWait(STARTS, "c", NOW))

    start(stores, change(stores, again, started), NOW + 1, 2)

    assert stores.pools.holders(STARTS) == [Holder(1, "r1-1", NOW), Holder(2, "r1-2", NOW + 1)]


FIRST, SECOND = "!00000000001", "!00000000002"
PLACES = {name: order_of(0, NOW + since, 0, name) for since, name in enumerate(("r1", "r2", "r3", "r4"))}


def in_turn(run_id: str, turn: str) -> Run:
    record = run(run_id, turns={POOL: turn}) if turn else run(run_id)
    return replace(record, waiting=PoolWait(POOL, PLACES[run_id], NOW))


def test_queue_that_takes_turns_is_ordered_by_turn_and_then_by_age(stores: Stores) -> None:
    for run_id, turn in (("r1", SECOND), ("r2", ""), ("r3", FIRST), ("r4", SECOND)):
        create(stores, in_turn(run_id, turn))

    found = stores.pools.waiters(POOL, 9)
    assert [(each.run_id, each.turn, each.since) for each in found] == [
        ("r3", FIRST, NOW + 2),
        ("r1", SECOND, NOW),
        ("r4", SECOND, NOW + 3),
        ("r2", LAST_TURN, NOW + 1),
    ]
    after = [each.run_id for each in stores.pools.waiters(POOL, 9, found[0].after(FIRST))]
    assert after == ["r1", "r4", "r2"]
    assert [each.run_id for each in stores.pools.waiters(POOL, 1, found[0].after(SECOND))] == ["r2"]
    assert stores.pools.waiters(POOL, 9, found[0].after(LAST_TURN)) == []


def test_grant_in_turn_is_noted_with_it(stores: Stores) -> None:
    first, second = create(stores, in_turn("r1", SECOND)), create(stores, in_turn("r2", FIRST))
    assert stores.pools.last_turn(POOL) == ""

    held = change(stores, granted(first), first)
    assert stores.pools.last_turn(POOL) == SECOND
    assert stores.runs.get("r1") == held
    assert [each.run_id for each in stores.pools.waiters(POOL, 9)] == ["r2"]

    # Neither a change of its place, nor its end, is a grant.
    moved = change(stores, replace(second, waiting=PoolWait("other", PLACES["r2"], NOW)), second)
    change(stores, replace(moved, waiting=None, status=Status.CANCELED), moved)
    third = create(stores, in_turn("r3", FIRST))
    change(stores, replace(third, waiting=None, status=Status.CANCELED), third)
    change(stores, replace(held, slots=(), status=Status.SUCCESS), held)
    assert stores.pools.last_turn(POOL) == SECOND
    assert stores.pools.waiters(POOL, 9) == []


def test_turn_that_another_run_was_granted_is_not_noted_by_a_refused_grant(stores: Stores) -> None:
    first, second = create(stores, in_turn("r1", FIRST)), create(stores, in_turn("r2", SECOND))
    change(stores, granted(first), first)

    with pytest.raises(SlotTakenError):
        stores.runs.replace(granted(second), second)

    assert stores.pools.last_turn(POOL) == FIRST


def test_run_without_a_turn_is_granted_in_the_last_one(stores: Stores) -> None:
    """It has waited since before its pool took turns, at a place without one."""
    record = create(stores, in_turn("r1", ""))

    held = change(stores, replace(granted(record), turns={POOL: LAST_TURN}), record)

    assert stores.pools.last_turn(POOL) == LAST_TURN
    assert stores.pools.waiters(POOL, 9) == []
    again = change(
        stores, replace(held, slots=(), attempt=2, waiting=PoolWait(POOL, PLACES["r2"], NOW)), held
    )
    [waiter] = stores.pools.waiters(POOL, 9)
    assert (waiter.turn, waiter.since, waiter.has_turn) == (LAST_TURN, NOW + 1, False)
    change(stores, replace(again, waiting=None, status=Status.CANCELED), again)
    assert stores.pools.waiters(POOL, 9) == []


def test_run_moves_to_the_queue_of_another_pool(stores: Stores) -> None:
    record = create(stores, waiting())

    change(stores, replace(record, waiting=PoolWait("other", "b", NOW)), record)

    assert stores.pools.waiters(POOL, 9) == []
    assert stores.pools.waiters("other", 9) == [Waiter("r1", "b")]


def test_write_of_a_record_changes_no_slot_that_it_keeps(stores: Stores) -> None:
    record = create(stores, waiting())
    held = change(stores, granted(record), record)

    change(stores, replace(held, status=Status.STARTED), held)

    assert stores.pools.holders(POOL) == [Holder(1, "r1-1")]


def test_same_attempt_is_granted_a_slot_again_after_it_returned_to_the_queue(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction has a token of its own: under a repeated one, DynamoDB reports success and writes nothing."""
    tokens: list[str] = []
    if isinstance(stores.runs, DynamoRunStore):
        transact = stores.runs._database.transact

        def watched(writes: Any, token: str) -> Any:
            tokens.append(token)
            return transact(writes, token)

        monkeypatch.setattr(type(stores.runs._database), "transact", lambda _, *args: watched(*args))
    record = create(stores, waiting())

    for _ in range(3):
        held = change(stores, granted(record), record)
        assert stores.pools.holders(POOL) == [Holder(1, "r1-1")]
        record = change(stores, replace(held, slots=(), waiting=PoolWait(POOL, "b", NOW)), held)
        assert stores.pools.holders(POOL) == []
        assert stores.pools.waiters(POOL, 9) == [Waiter("r1", "b")]

    assert len(set(tokens)) == len(tokens)


def test_claim_of_a_run_that_waits_is_refused(stores: Stores) -> None:
    record = create(stores, waiting())
    claim, start = Claim("me", NOW + 100), PendingStart("me", NOW, "arn:y")

    assert stores.runs.claim("r1", "process", 1, claim, start) == record
    change(stores, granted(record), record)
    claimed = stores.runs.claim("r1", "process", 1, claim, start)

    assert claimed is not None
    assert claimed.claim == claim


def test_runs_in_progress_are_paged_over_all_shards(stores: Stores) -> None:
    names = {f"run-{number}" for number in range(25)}
    for number, name in enumerate(sorted(names)):
        create(stores, run(name, next_at=NOW + number % 3))
    create(stores, waiting("waits"))
    create(stores, run("ended", status=Status.SUCCESS))

    assert set(pages(stores, 7)) == names
    assert sorted(pages(stores, 7)) == sorted(pages(stores, 100)) == sorted(names)
    assert len(stores.runs.in_progress(7)[0]) == 7
    assert stores.runs.in_progress(100)[1] is None


def pages(stores: Stores, limit: int) -> Iterator[str]:
    token = None
    while True:
        found, token = stores.runs.in_progress(limit, token)
        assert len(found) <= limit
        yield from found
        if token is None:
            return


def test_note_of_a_queue_is_forgotten_only_with_its_token(stores: Stores) -> None:
    stores.pools.note_queue(POOL, "t1")
    stores.pools.note_queue("other=a", "t2")
    stores.pools.note_queue(POOL, "t3")

    stores.pools.forget_queue(POOL, "t1")
    assert stores.pools.queues() == {POOL: "t3", "other=a": "t2"}

    stores.pools.forget_queue(POOL, "t3")
    stores.pools.forget_queue(POOL, "t3")
    assert stores.pools.queues() == {"other=a": "t2"}


def test_declared_pool_comes_back(stores: Stores) -> None:
    state = PoolState("p", 3, {"premium": 9}, closed_until=NOW)

    stores.pools.declare([state, PoolState("q", 0)], [])

    assert stores.pools.state("p") == state
    assert stores.pools.state("r") is None
    assert stores.pools.states() == {"p": state, "q": PoolState("q", 0)}
    assert [state.limit_of(key) for key in ("p", "p=premium", "p=other")] == [3, 9, 3]


def test_declaration_keeps_what_is_not_declared(stores: Stores) -> None:
    """An operator's limit, and the time until which the pool is closed, unless it is closed for longer."""
    stores.pools.declare([PoolState("p", 3, closed_until=NOW)], [])
    stores.pools.set_override("p", 1, "ann", NOW)

    stores.pools.declare([PoolState("p", 5, {"a": 2})], [])
    assert stores.pools.state("p") == PoolState("p", 5, {"a": 2}, 1, NOW, "ann", NOW)

    stores.pools.declare([PoolState("p", 4, closed_until=NOW + 9)], [])
    assert stores.pools.state("p") == PoolState("p", 4, {}, 1, NOW + 9, "ann", NOW)


def test_removed_pool_is_gone_with_the_limit_of_its_operator(stores: Stores) -> None:
    stores.pools.declare([PoolState("p", 3), PoolState("q", 1)], [])
    stores.pools.set_override("p", 1, "ann", NOW)

    stores.pools.declare([], ["p", "never"])
    assert stores.pools.states() == {"q": PoolState("q", 1)}

    stores.pools.declare([PoolState("p", 2)], [])
    assert stores.pools.state("p") == PoolState("p", 2)


def test_limit_of_an_operator_applies_until_it_is_removed(stores: Stores) -> None:
    stores.pools.declare([PoolState("p", 3, {"a": 5})], [])

    limited = stores.pools.set_override("p", 0, "ann", NOW)
    assert limited == stores.pools.state("p") == PoolState("p", 3, {"a": 5}, 0, None, "ann", NOW)
    assert [limited.limit_of("p"), limited.limit_of("p=a")] == [0, 0]

    assert stores.pools.set_override("p", None, "ann", NOW) == PoolState("p", 3, {"a": 5})
    assert stores.pools.set_override("unknown", 1, "ann", NOW) is None
    assert set(stores.pools.states()) == {"p"}


def test_pool_is_opened_only_if_it_was_not_closed_again(stores: Stores) -> None:
    closed = PoolState("p", 3, closed_until=NOW)
    stores.pools.declare([closed], [])
    stores.pools.declare([replace(closed, closed_until=NOW + 1)], [])

    assert not stores.pools.open(closed)
    assert stores.pools.state("p") == replace(closed, closed_until=NOW + 1)

    assert stores.pools.open(replace(closed, closed_until=NOW + 1))
    assert stores.pools.state("p") == PoolState("p", 3)
    assert not stores.pools.open(closed)
    assert not stores.pools.open(replace(closed, name="unknown"))
    assert stores.pools.state("unknown") is None


def test_next_attempt_takes_over_a_slot(stores: Stores) -> None:
    record = create(stores, waiting())
    first = change(stores, granted(record), record)
    other = create(stores, waiting("r2"))

    second = change(stores, replace(first, attempt=2, slots=(Slot(POOL, 1, 2),)), first)

    assert stores.pools.holders(POOL) == [Holder(1, "r1-2")]
    with pytest.raises(SlotTakenError):
        stores.runs.replace(granted(other), other)
    change(stores, replace(second, slots=()), second)
    assert stores.pools.holders(POOL) == []


def test_slot_that_another_run_holds_is_not_passed_on(stores: Stores) -> None:
    record = create(stores, waiting())
    change(stores, granted(record), record)
    other = create(stores, run("r2", slots=(Slot("other", 1, 1),)))
    before = replace(other, slots=(Slot(POOL, 1, 1),))

    change(stores, replace(other, attempt=2, slots=(Slot(POOL, 1, 2),)), before)

    assert stores.pools.holders(POOL) == [Holder(1, "r1-1")]


def test_latest_run_is_named_only_instead_of_the_one_that_was_read(stores: Stores) -> None:
    assert stores.pools.latest(POOL) == ""

    assert stores.pools.set_latest(POOL, "a", "")
    assert not stores.pools.set_latest(POOL, "b", "")
    assert not stores.pools.set_latest(POOL, "c", "b")
    assert stores.pools.set_latest(POOL, "c", "a")

    assert stores.pools.latest(POOL) == "c"
    assert stores.pools.latest("other") == ""
    assert stores.pools.holders(POOL) == []
    assert stores.pools.waiters(POOL, 9) == []


@pytest.mark.parametrize("overlap", Overlap)
def test_overlap_comes_back(stores: Stores, overlap: Overlap) -> None:
    kept = None if overlap is Overlap.QUEUE else overlap
    record = create(stores, run(overlap=kept))
    stores.pools.declare([PoolState(POOL, 1, overlap=overlap)], ())

    assert stores.runs.get("r1") == record
    assert stores.pools.state(POOL) == PoolState(POOL, 1, overlap=overlap)
    stores.pools.declare([PoolState(POOL, 1)], ())
    assert stores.pools.states() == {POOL: PoolState(POOL, 1)}
