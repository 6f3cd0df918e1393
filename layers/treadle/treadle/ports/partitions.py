"""The store of the keys of dynamic partitions."""

from collections.abc import Collection, Sequence
from typing import Protocol

from treadle.model.partitions import ChangeTime, PartitionChange, StoredPartition


class PartitionStore(Protocol):
    """Stores sets of keys by name; reads are strongly consistent."""

    def partitions(self, partitions_def_name: str) -> list[StoredPartition]:
        """Return all keys of a set, in the order in which they were added; none of an unknown set.

        Raises:
            StoreError: if the store did not answer.
        """

    def existing(self, partitions_def_name: str, partition_keys: Collection[str]) -> set[str]:
        """Return those of the keys that a set has; a request reads up to a hundred.

        Raises:
            StoreError: if the store did not answer.
        """

    def apply(self, changes: Sequence[PartitionChange], time: ChangeTime) -> None:
        """Apply changes, each unless the same or a later one of its key was applied before.

        So the latest change of a key applies in whatever order, and however often, changes are applied. A key that
        exists keeps its place in the order. A deleted key is remembered for `DELETED_SECONDS`.

        Raises:
            StoreError: if the store did not answer; some changes may have been applied. It is safe to retry.
        """


DELETED_SECONDS = 90 * 86_400
"""As long as ticks are kept after their dispatch: no change from before the deletion is applied after that time."""
