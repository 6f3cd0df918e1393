"""The stored dynamic partitions, changed at once rather than with a tick: for operators, and for tests."""

from collections.abc import Callable, Sequence, Set
from typing import Protocol

from treadle.definitions.partitions.requests import keys_to_find, set_keys, set_name
from treadle.model.partitions import ChangeTime, PartitionChange
from treadle.ports.partitions import PartitionStore


class DynamicPartitions(Protocol):
    """The part of an instance that is about dynamic partitions; `DagsterInstance` describes the methods."""

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a set."""

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a set has a key."""

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> Set[str]:
        """Return those of the keys that a set has."""

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add keys to a set."""

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a key from a set."""


class StoredPartitions:
    """A `dynamic_partitions_store`.

    Args:
        store: stores the keys.
        time: returns when and by whom a change is made.
    """

    def __init__(self, store: PartitionStore, time: Callable[[], ChangeTime]) -> None:
        self._store = store
        self._time = time

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a set, in the order in which they were added."""
        return [each.partition_key for each in self._store.partitions(set_name(partitions_def_name))]

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a set has a key."""
        return bool(self.get_existing_dynamic_partitions(partitions_def_name, [partition_key]))

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> set[str]:
        """Return those of the keys that a set has."""
        return self._store.existing(set_name(partitions_def_name), keys_to_find(partition_keys))

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add keys to a set."""
        self.change(partitions_def_name, partition_keys, exists=True)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a key from a set."""
        self.change(partitions_def_name, [partition_key], exists=False)

    def change(self, partitions_def_name: str, partition_keys: Sequence[str], *, exists: bool) -> None:
        """Add or delete keys.

        Raises:
            InvalidResultError: if the name or a key cannot be stored.
            StoreError: if the store did not answer.
        """
        name = set_name(partitions_def_name)
        changes = [
            PartitionChange(name, key, exists, position)
            for position, key in enumerate(set_keys(partition_keys))
        ]
        self._store.apply(changes, self._time())
