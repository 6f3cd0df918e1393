"""Partitions with a fixed list of keys."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.partitions.base import PartitionsDefinition, check_keys


class StaticPartitionsDefinition(PartitionsDefinition):
    """A fixed set of partitions.

    Args:
        partition_keys: all keys, in order.

    Raises:
        DagsterInvalidDefinitionError: if a key is not a string, occurs twice, or contains `...` or a control
            character such as a tab.
    """

    def __init__(self, partition_keys: Sequence[str]) -> None:
        given: object = partition_keys
        if not isinstance(given, Iterable):
            msg = f"partition_keys must be a list of strings, not {type(given).__name__}: {shown(given)}."
            raise DagsterInvalidDefinitionError(msg)
        keys = list(partition_keys)
        check_keys(keys)
        # A string counts as its letters, and is returned as it is, as in Dagster.
        self._keys = partition_keys if isinstance(partition_keys, str) else keys
        self._known = frozenset(keys)

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        """Return all partition keys; the arguments have no effect."""
        del current_time, dynamic_partitions_store
        return self._keys

    def has_partition_key(self, partition_key: str) -> bool:
        """Return whether a partition has this key."""
        return partition_key in self._known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StaticPartitionsDefinition) and self._keys == other._keys

    def __hash__(self) -> int:
        return hash(tuple(self._keys))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(partition_keys={self._keys})"
