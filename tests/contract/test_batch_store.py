"""Batches: an item is accepted once, and is in one batch, whatever is sent, repeated or lost (I14)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from tests.contract.conftest import AT_THE_SAME_TIME, Stores
from treadle.definitions.errors import ItemTooLargeError, LeaseLostError
from treadle.definitions.status import TickStatus
from treadle.model.batches import (
    MAX_CONTENT,
    NO_FAILURES,
    BatchCommit,
    BatchFailures,
    BatchItem,
    BatchLease,
    LedgerEntry,
    Manifest,
    Member,
    WaitingItems,
    by_key,
)
from treadle.model.ticks import Tick, TickKind

NOW = 1_795_370_400_000
SENSOR = "batched"
WITHIN, QUIET = 300_000, 30_000
KEY = by_key("")


def item(name: str, by: str = "", at: int = NOW, content: str = '"x"') -> BatchItem:
    return BatchItem(name, by, at, 10, content)


def accept(stores: Stores, *items: BatchItem) -> list[LedgerEntry | Exception | None]:
    found = stores.batches.accept(SENSOR, items)
    for by in {each.by for each in items}:
        stores.batches.open(SENSOR, by, NOW, WITHIN, None)
    return found


def acquired(stores: Stores, owner: str = "closer", now: int = NOW, by: str = "") -> BatchLease:
    lease = stores.batches.acquire(SENSOR, by_key(by), owner, now, now + 60_000)
    assert lease is not None
    return lease


def tick(name: str, status: TickStatus = TickStatus.SUCCESS) -> Tick:
    return Tick(SENSOR, name, TickKind.EVENT, status, NOW, NOW, NOW, owner="closer")


def commit(stores: Stores, lease: BatchLease, items: Sequence[BatchItem], name: str = "2026-1") -> Manifest:
    manifest = Manifest(SENSOR, lease.by, name, tuple(sorted(each.member for each in items)))
    stores.batches.commit(lease, BatchCommit(tick(name), NO_FAILURES, manifest))
    return manifest


def waiting(stores: Stores, by: str = "", limit: int = 100) -> list[str]:
    return [each.identity for each in stores.batches.waiting(SENSOR, by_key(by), limit)[0]]


def test_item_is_accepted_once_and_its_first_acceptance_stays(stores: Stores) -> None:
    assert accept(stores, item("a", "first")) == [None]

    [known] = accept(stores, item("a", "second", NOW + 1))

    assert known == LedgerEntry(item("a").key, "first", NOW)
    assert stores.batches.known(SENSOR, ["a", "b"]) == {"a": known}
    assert waiting(stores, "first") == ["a"]
    assert waiting(stores, "second") == []


def test_item_that_is_too_large_is_not_accepted_and_the_others_are(stores: Stores) -> None:
    fits, large = (Random(1).randbytes(size).hex() for size in (MAX_CONTENT // 2, MAX_CONTENT))

    before, error, after = accept(
        stores, item("fits", content=fits), item("large", content=large), item("small", at=NOW + 1)
    )

    assert (before, after) == (None, None)
    assert isinstance(error, ItemTooLargeError)
    assert "Send a reference to its content instead" in str(error)
    assert waiting(stores) == ["fits", "small"]
    assert stores.batches.known(SENSOR, ["large"]) == {}


def test_items_that_wait_are_returned_by_time_with_their_content(stores: Stores) -> None:
    items = [item(f"item {number}", at=NOW + 9 - number, content=f'"{number}"') for number in range(10)]
    accept(stores, *items)

    found, is_all = stores.batches.waiting(SENSOR, KEY, 10)

    assert (found, is_all) == (items[::-1], True)


def test_limit_returns_the_oldest_items(stores: Stores) -> None:
    items = [item(f"item {number}", at=NOW + number) for number in range(300)]
    accept(stores, *items)

    found, is_all = stores.batches.waiting(SENSOR, KEY, 20)

    assert [each.identity for each in found] == [f"item {number}" for number in range(20)]
    assert not is_all


def test_sensors_and_values_of_by_have_batches_of_their_own(stores: Stores) -> None:
    accept(stores, item("a", "one"), item("b", "two"))
    stores.batches.accept("other", [item("a", "one")])

    assert (waiting(stores, "one"), waiting(stores, "two")) == (["a"], ["b"])


def test_only_one_closer_has_the_lease_until_it_expires(stores: Stores) -> None:
    accept(stores, item("a"))
    first = acquired(stores)

    assert stores.batches.acquire(SENSOR, KEY, "second", NOW + 60_000, NOW + 120_000) is None
    second = acquired(stores, "second", NOW + 60_001)

    assert (first.epoch, second.epoch) == (1, 2)
    assert not first.before.has_died
    assert second.before.has_died


def test_nothing_is_acquired_before_an_item_was_accepted(stores: Stores) -> None:
    assert stores.batches.acquire(SENSOR, KEY, "closer", NOW, NOW + 60_000) is None


def test_closer_without_the_lease_commits_nothing(stores: Stores) -> None:
    accept(stores, item("a"))
    old = acquired(stores)
    new = acquired(stores, "second", NOW + 60_001)

    with pytest.raises(LeaseLostError):
        commit(stores, old, [item("a")])
    assert stores.ticks.get(SENSOR, "2026-1") is None
    assert stores.batches.manifest(SENSOR, "2026-1") is None
    commit(stores, new, [item("a")], "2026-2")
    assert stores.batches.manifest(SENSOR, "2026-1") is None


def test_same_owner_with_another_epoch_commits_nothing(stores: Stores) -> None:
    accept(stores, item("a"))
    old = acquired(stores)
    acquired(stores, "closer", NOW + 60_001)

    with pytest.raises(LeaseLostError):
        commit(stores, old, [item("a")])


def test_tick_that_exists_is_not_replaced(stores: Stores) -> None:
    accept(stores, item("a"))
    lease = acquired(stores)
    commit(stores, lease, [item("a")])

    with pytest.raises(LeaseLostError):
        commit(stores, lease, [])


def test_committed_batch_is_unmarked_until_its_items_are_marked(stores: Stores) -> None:
    accept(stores, item("a"), item("b"), item("c", at=NOW + 1))
    lease = acquired(stores)
    manifest = commit(stores, lease, [item("a"), item("b")])

    assert stores.batches.manifest(SENSOR, "2026-1") == manifest
    next_lease = acquired(stores, "second", NOW + 60_001)
    assert next_lease.before.unmarked == "2026-1"
    assert not next_lease.before.has_died
    stores.batches.mark(manifest, manifest.members)
    stores.batches.marked(next_lease)

    assert waiting(stores) == ["c"]
    assert stores.batches.known(SENSOR, ["a", "c"]) == {
        "a": LedgerEntry(item("a").key, "", NOW, "2026-1"),
        "c": LedgerEntry(item("c").key, "", NOW + 1),
    }
    assert acquired(stores, "third", NOW + 120_002).before.unmarked is None


def test_marking_again_and_by_an_old_closer_changes_nothing(stores: Stores) -> None:
    accept(stores, item("a"))
    manifest = commit(stores, acquired(stores), [item("a")])
    stores.batches.mark(manifest, manifest.members)
    accept(stores, item("b"))
    before = stores.batches.known(SENSOR, ["a", "b"])

    stores.batches.mark(manifest, manifest.members)

    assert stores.batches.known(SENSOR, ["a", "b"]) == before
    assert waiting(stores) == ["b"]
    [known] = accept(stores, item("a"))
    assert isinstance(known, LedgerEntry)
    assert known.tick_id == "2026-1"
    assert waiting(stores) == ["b"]


def test_old_closer_does_not_record_that_a_later_batch_is_marked(stores: Stores) -> None:
    accept(stores, item("a"))
    old = acquired(stores)
    commit(stores, acquired(stores, "second", NOW + 60_001), [item("a")])

    stores.batches.marked(old)

    assert acquired(stores, "third", NOW + 120_002).before.unmarked == "2026-1"


def test_item_that_was_set_aside_is_noted(stores: Stores) -> None:
    accept(stores, item("a"))
    lease = acquired(stores)
    manifest = Manifest(SENSOR, "", "2026-1", (item("a").member,), set_aside=True)
    stores.batches.commit(lease, BatchCommit(tick("2026-1", TickStatus.SKIPPED), NO_FAILURES, manifest))
    stores.batches.mark(manifest, manifest.members)

    assert stores.batches.manifest(SENSOR, "2026-1") == manifest
    assert stores.batches.known(SENSOR, ["a"])["a"].set_aside
    assert waiting(stores) == []


def test_failure_leaves_the_items_and_is_remembered(stores: Stores) -> None:
    accept(stores, item("a"))
    failures = BatchFailures(5, NOW + 1, 250, Member(NOW, item("a").key), may_set_aside=True, reason="é")

    stores.batches.commit(acquired(stores), BatchCommit(tick("2026-1", TickStatus.FAILURE), failures))

    assert stores.ticks.get(SENSOR, "2026-1") == tick("2026-1", TickStatus.FAILURE)
    lease = acquired(stores, "second", NOW + 60_001)
    assert lease.before.failures == failures
    assert waiting(stores) == ["a"]
    commit(stores, lease, [item("a")], "2026-2")
    assert acquired(stores, "third", NOW + 120_002).before.failures == NO_FAILURES


def due(stores: Stores, now: int = NOW + 10 * WITHIN) -> list[int]:
    return [each.due for each in stores.batches.due(now, 100) if each.sensor == SENSOR]


def test_first_item_makes_its_batch_due_in_time(stores: Stores) -> None:
    stores.batches.accept(SENSOR, [item("a", "x")])

    stores.batches.open(SENSOR, "x", NOW, WITHIN, None)
    stores.batches.open(SENSOR, "x", NOW + 10_000, WITHIN, None)

    [found] = stores.batches.due(NOW + WITHIN, 100)
    assert (found.sensor, found.key, found.due) == (SENSOR, by_key("x"), NOW + WITHIN)
    assert stores.batches.due(NOW + WITHIN - 1, 100) == []


def test_arrivals_move_the_time_of_a_quiet_batch_every_few_seconds_up_to_its_longest_wait(
    stores: Stores,
) -> None:
    found = []
    for at in (0, 4_999, 5_000, 290_000):
        stores.batches.open(SENSOR, "", NOW + at, WITHIN, QUIET)
        found += due(stores)

    assert [each - NOW for each in found] == [QUIET, QUIET, 5_000 + QUIET, WITHIN]


def test_batch_that_may_be_full_is_due_at_once(stores: Stores) -> None:
    stores.batches.open(SENSOR, "", NOW, WITHIN, None)

    stores.batches.open(SENSOR, "", NOW + 1, WITHIN, None, at_once=True)

    assert due(stores) == [NOW + 1]


def test_batch_is_due_after_the_lease_of_a_closer_that_may_die(stores: Stores) -> None:
    accept(stores, item("a"))

    acquired(stores)

    assert due(stores) == [NOW + 60_001]


def test_nothing_is_due_after_the_last_item_has_left(stores: Stores) -> None:
    accept(stores, item("a"))
    lease = acquired(stores)

    stores.batches.finish(lease, None, NOW)

    assert due(stores) == []
    assert stores.batches.states(SENSOR) == []
    assert acquired(stores, "second").before.owner is None


def test_item_accepted_while_a_batch_is_closed_keeps_it_due(stores: Stores) -> None:
    """The closer may have read before the item was accepted: what it has not seen must not be forgotten."""
    accept(stores, item("a"))
    lease = acquired(stores)
    stores.batches.open(SENSOR, "", NOW + 1_000, WITHIN, None)

    stores.batches.finish(lease, None, NOW)

    assert due(stores) == [NOW + 60_001]
    assert acquired(stores, "second", NOW + 1).before.owner is None


def test_earlier_time_of_what_is_left_counts(stores: Stores) -> None:
    accept(stores, item("a"))
    lease = acquired(stores)
    stores.batches.open(SENSOR, "", NOW + 1_000, WITHIN, None)

    stores.batches.finish(lease, NOW + 5, NOW)

    assert due(stores) == [NOW + 5]


def test_earlier_time_of_an_item_accepted_meanwhile_counts(stores: Stores) -> None:
    accept(stores, item("a"))
    lease = acquired(stores)
    stores.batches.open(SENSOR, "", NOW + 1, WITHIN, None, at_once=True)

    stores.batches.finish(lease, NOW + 5_000, NOW)

    assert due(stores) == [NOW + 1]
    assert stores.batches.acquire(SENSOR, KEY, "second", NOW + 2, NOW + 3) is not None


def test_old_closer_changes_nothing_when_it_ends(stores: Stores) -> None:
    accept(stores, item("a"))
    old = acquired(stores)
    acquired(stores, "second", NOW + 60_001)

    stores.batches.finish(old, None, NOW)
    stores.batches.finish(old, NOW, NOW)

    assert due(stores) == [NOW + 120_002]
    assert stores.batches.acquire(SENSOR, KEY, "third", NOW + 60_002, NOW + 60_003) is None


def test_open_batches_are_listed_with_what_they_wait_for(stores: Stores) -> None:
    accept(stores, item("a", "one"), item("b", "two"))

    found = stores.batches.states(SENSOR)

    assert sorted(each.by for each in found) == ["one", "two"]
    assert {(each.first_at, each.due) for each in found} == {(NOW, NOW + WITHIN)}


def test_items_that_wait_are_counted_for_each_batch(stores: Stores) -> None:
    accept(stores, item("a", "one", at=NOW + 5), item("b", "one", at=NOW + 2), item("c", "two"))

    assert stores.batches.count(SENSOR, by_key("one")) == WaitingItems(2, 20, NOW + 2, is_more=False)
    assert stores.batches.count(SENSOR, by_key("none")) == WaitingItems(0, 0, None, is_more=False)
    manifest = commit(stores, acquired(stores, by="one"), [item("b", "one", at=NOW + 2)])
    stores.batches.mark(manifest, manifest.members)
    assert stores.batches.count(SENSOR, by_key("one")) == WaitingItems(1, 10, NOW + 5, is_more=False)


def test_batches_are_no_ticks(stores: Stores) -> None:
    accept(stores, item("a"))
    manifest = commit(stores, acquired(stores), [item("a")])
    stores.batches.mark(manifest, manifest.members)

    assert [each.tick_id for each in stores.ticks.latest(SENSOR, 10)] == ["2026-1"]
    assert stores.ticks.pending(NOW * 2, 10) == []


@pytest.mark.parametrize("name", ["é", "x" * 2_000, "#", "a/b", "\x00", "\ud800"])
def test_any_text_identifies_an_item(stores: Stores, name: str) -> None:
    by = name[:500].encode(errors="replace").decode()
    given = item(name.encode(errors="replace").decode(), by)

    assert accept(stores, given) == [None]
    assert stores.batches.waiting(SENSOR, by_key(by), 10) == ([given], True)


def test_marks_hundreds_of_items(stores: Stores) -> None:
    items = [item(f"item {number}", at=NOW + number) for number in range(240)]
    accept(stores, *items)

    manifest = commit(stores, acquired(stores), items)
    stores.batches.mark(manifest, manifest.members)

    assert waiting(stores) == []
    known = stores.batches.known(SENSOR, [each.identity for each in items])
    assert {each.tick_id for each in known.values()} == {"2026-1"}
    assert len(known) == 240


@AT_THE_SAME_TIME
def test_concurrent_deliveries_are_one_item(stores: Stores) -> None:
    def deliver(number: int) -> bool:
        return stores.batches.accept(SENSOR, [item("a", f"by {number}", NOW + number)]) == [None]

    with ThreadPoolExecutor(4) as threads:
        accepted = list(threads.map(deliver, range(8)))

    assert sum(accepted) == 1
    assert sum(len(waiting(stores, f"by {number}")) for number in range(8)) == 1


@AT_THE_SAME_TIME
def test_concurrent_closers_get_one_lease(stores: Stores) -> None:
    accept(stores, item("a"))

    with ThreadPoolExecutor(4) as threads:
        leases = list(
            threads.map(
                lambda number: stores.batches.acquire(SENSOR, KEY, f"closer {number}", NOW, NOW + 60_000),
                range(8),
            )
        )

    assert sum(each is not None for each in leases) == 1
