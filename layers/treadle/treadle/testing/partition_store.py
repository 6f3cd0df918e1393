"""The store of dynamic partitions in memory: the same order of changes, verified by the same contract tests."""

from collections.abc import Collection, Sequence

from treadle.model.partitions import ChangeTime, PartitionChange, StoredPartition
from treadle.testing.tables import InMemoryTables


class InMemoryPartitionStore:
    """A `PartitionStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def partitions(self, partitions_def_name: str) -> list[StoredPartition]:
        """Return all keys of a set."""
        found = self._tables.partitions.get(partitions_def_name, {})
        added = sorted((place, key, time) for key, (time, place) in found.items() if place is not None)
        return [StoredPartition(key, place[0], time.by) for place, key, time in added]

    def existing(self, partitions_def_name: str, partition_keys: Collection[str]) -> set[str]:
        """Return those of the keys that a set has."""
        return {each.partition_key for each in self.partitions(partitions_def_name)} & set(partition_keys)

    def apply(self, changes: Sequence[PartitionChange], time: ChangeTime) -> None:
        """Apply changes, unless the same or later ones were applied before."""
        with self._tables.lock:
            for change in changes:
                found = self._tables.partitions.setdefault(change.partitions_def_name, {})
                changed, place = found.get(change.partition_key, (None, None))
                if changed is None or changed.text < time.text:
                    added = (place or (time.at, change.position)) if change.exists else None
                    found[change.partition_key] = time, added
