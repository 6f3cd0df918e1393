"""What every `PartitionStore` guarantees: the latest change of a key applies, however often changes are applied."""

from itertools import permutations

import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb.partitions import DynamoPartitionStore
from treadle.model.partitions import ChangeTime, PartitionChange, StoredPartition
from treadle.ports.partitions import DELETED_SECONDS

SET = "fruits"


def added(*keys: str, name: str = SET) -> list[PartitionChange]:
    return [PartitionChange(name, key, exists=True, position=position) for position, key in enumerate(keys)]


def deleted(*keys: str) -> list[PartitionChange]:
    return [PartitionChange(SET, key, exists=False, position=position) for position, key in enumerate(keys)]


def keys_of(stores: Stores, name: str = SET) -> list[str]:
    return [each.partition_key for each in stores.partitions.partitions(name)]


def test_unknown_set_has_no_keys(stores: Stores) -> None:
    assert keys_of(stores) == []
    assert stores.partitions.existing(SET, ["apple"]) == set()


def test_keys_are_listed_in_the_order_in_which_they_were_added(stores: Stores) -> None:
    stores.partitions.apply(added("pear", "apple"), ChangeTime(1, "a"))
    stores.partitions.apply(added("banana", "äpfel |%2B"), ChangeTime(2, "a"))
    stores.partitions.apply(added("other", name="animals"), ChangeTime(1, "a"))

    assert stores.partitions.partitions(SET) == [
        StoredPartition("pear", 1, "a"),
        StoredPartition("apple", 1, "a"),
        StoredPartition("banana", 2, "a"),
        StoredPartition("äpfel |%2B", 2, "a"),
    ]
    assert stores.partitions.existing(SET, ["apple", "other", "äpfel |%2B"]) == {"apple", "äpfel |%2B"}


def test_key_that_is_added_again_keeps_its_place_and_one_that_was_deleted_comes_last(stores: Stores) -> None:
    stores.partitions.apply(added("a", "b", "c"), ChangeTime(1))

    stores.partitions.apply(deleted("b"), ChangeTime(2))
    stores.partitions.apply(added("b", "a"), ChangeTime(3))

    assert keys_of(stores) == ["a", "c", "b"]


def test_many_keys_are_listed_completely(stores: Stores) -> None:
    keys = [f"key-{number:03d}" for number in range(230)]

    stores.partitions.apply(added(*keys), ChangeTime(1))

    assert keys_of(stores) == keys
    assert stores.partitions.existing(SET, keys) == set(keys)


CHANGES = ((added("k"), 1), (deleted("k"), 2), (added("k"), 3), (deleted("k"), 4))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_latest_change_applies_in_whatever_order_and_however_often(stores: Stores, number: int) -> None:
    for turn, order in enumerate(permutations(CHANGES[:number])):
        for changes, at in (*order, *order):
            own = [PartitionChange(f"{SET}-{turn}", "k", each.exists) for each in changes]
            stores.partitions.apply(own, ChangeTime(at))

    sets = [keys_of(stores, f"{SET}-{turn}") for turn in range(turn + 1)]
    assert sets == [["k"] if number == 3 else []] * len(sets)


def test_changes_of_one_millisecond_are_ordered_by_who_made_them(stores: Stores) -> None:
    for first, second in ((0, 1), (1, 0)):
        both = [(added(f"k{first}"), ChangeTime(5, "b/1")), (deleted(f"k{first}"), ChangeTime(5, "a/9"))]
        for changes, time in (both[first], both[second]):
            stores.partitions.apply(changes, time)

    assert sorted(keys_of(stores)) == ["k0", "k1"]


def test_times_of_different_lengths_are_ordered_as_numbers(stores: Stores) -> None:
    stores.partitions.apply(deleted("k"), ChangeTime(10))

    stores.partitions.apply(added("k"), ChangeTime(9))

    assert keys_of(stores) == []


def test_deleted_key_is_remembered_until_no_earlier_change_can_come(stores: Stores) -> None:
    if not isinstance(stores.partitions, DynamoPartitionStore):
        pytest.skip("memory has no time to live")
    stores.partitions.apply([*added("kept"), *deleted("gone")], ChangeTime(5_000))
    stores.partitions.apply(deleted("back"), ChangeTime(5_000))
    stores.partitions.apply(added("back"), ChangeTime(6_000))

    pages = stores.partitions._database.pages(stores.partitions._table, "#partitions/fruits")
    expiring = {item["item"]["S"]: item.get("expires_at") for page in pages for item in page}

    assert expiring == {"kept": None, "back": None, "gone": {"N": str(5 + DELETED_SECONDS)}}
