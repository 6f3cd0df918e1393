"""Lists and repairs stored sets of dynamic partitions."""

from collections.abc import Sequence

from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.partitions.requests import set_keys, set_name
from treadle.engine.identity import timestamp
from treadle.engine.instance.stored_partitions import StoredPartitions
from treadle.model.partitions import ChangeTime, StoredPartition
from treadle.ports.partitions import PartitionStore
from treadle.ports.system import Clock


class PartitionOperations:
    """Reads sets of dynamic partitions, and adds and deletes their keys."""

    def __init__(self, store: PartitionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def store(self, by: str) -> StoredPartitions:
        """Return the sets as a `dynamic_partitions_store`, which an operator uses."""
        return StoredPartitions(self._store, lambda: ChangeTime(self._clock.now(), by))

    def partitions(self, partitions_def_name: str) -> list[StoredPartition]:
        """Return the keys of a set, in the order in which they were added.

        Raises:
            StoreError: if the store did not respond.
        """
        return self._store.partitions(set_name(partitions_def_name))

    def add(self, partitions_def_name: str, partition_keys: Sequence[str], by: str) -> list[StoredPartition]:
        """Add keys to a set at once.

        Args:
            partitions_def_name: the set's name.
            partition_keys: the keys; one that exists stays where it is.
            by: the operator.

        Returns:
            The keys of the set afterwards.

        Raises:
            InvalidResultError: if the name or a key cannot be stored.
            CommandRefusedError: if a later change has deleted one of them.
            StoreError: if the store did not respond.
        """
        return self._change(partitions_def_name, partition_keys, by, exists=True)

    def delete(
        self, partitions_def_name: str, partition_keys: Sequence[str], by: str
    ) -> list[StoredPartition]:
        """Delete keys from a set at once; one that does not exist is ignored.

        Arguments, result and errors are those of `add`.
        """
        return self._change(partitions_def_name, partition_keys, by, exists=False)

    def _change(
        self, partitions_def_name: str, partition_keys: Sequence[str], by: str, *, exists: bool
    ) -> list[StoredPartition]:
        name, keys = set_name(partitions_def_name), set_keys(partition_keys)
        now = self._clock.now()
        StoredPartitions(self._store, lambda: ChangeTime(now, by)).change(name, keys, exists=exists)
        after = self._store.partitions(name)
        found = {each.partition_key for each in after}
        # Such as with a clock that is behind: of two changes, the later one applies.
        unchanged = [key for key in keys if (key in found) is not exists]
        if unchanged:
            msg = (
                f"{len(unchanged)} of {len(keys)} keys of {name!r}, the first of them {unchanged[0]!r}, were not "
                f"{'added' if exists else 'deleted'}: they were changed later than {timestamp(now)}, the time of this "
                "machine. Check its clock, and repeat the command."
            )
            raise CommandRefusedError(msg)
        return after
