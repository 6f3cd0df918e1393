"""What all partition definitions have in common."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from treadle.definitions.bounds import MAX_REFUSAL, SHORT, fit, shown
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterUnknownPartitionError,
)
from treadle.definitions.partitions.context import PartitionLoadingContext, partition_loading_context
from treadle.definitions.runs import PARTITION_TAG

_INVALID_SUBSTRINGS = ("...", "\a", "\b", "\f", "\n", "\r", "\t", "\v", "\0")


class PartitionKeyRange(NamedTuple):
    """A range of partitions.

    Attributes:
        start: the first partition key.
        end: the last partition key, which is part of the range.
    """

    start: str
    end: str


class PartitionsDefinition(ABC):
    """A set of partitions, of a job or an asset; base class of all kinds."""

    @property
    def needs_store(self) -> bool:
        """Whether the keys are stored, rather than known from code and time."""
        return False

    @abstractmethod
    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        """Return all partition keys.

        Args:
            current_time: for partitions of time windows: only windows that have ended by then have keys. By
                default now.
            dynamic_partitions_store: for dynamic partitions: an object with their keys.
        """

    def validate_partition_definition(self) -> None:  # noqa: B027 - most kinds need no check
        """Check that each partition has a key of its own; a job does so for its partitions."""

    def get_first_partition_key(self) -> str | None:
        """Return the first partition key; None if there is none."""
        keys = self.get_partition_keys()
        return keys[0] if keys else None

    def get_last_partition_key(self) -> str | None:
        """Return the last partition key; None if there is none."""
        keys = self.get_partition_keys()
        return keys[-1] if keys else None

    def get_partition_keys_in_range(self, partition_key_range: PartitionKeyRange) -> Sequence[str]:
        """Return the partition keys of a range, both ends included.

        Raises:
            DagsterInvalidInvocationError: if one of its ends does not exist.
        """
        start, end = partition_key_range
        missing = [key for key in (start, end) if not self.has_partition_key(key)]
        if missing:
            msg = (
                f"Partition range {start} to {end} is not a valid range. Nonexistent partition keys: {missing}. "
                "Give keys that exist."
            )
            raise DagsterInvalidInvocationError(msg)
        if start == end:
            return [start]
        keys = self.get_partition_keys()
        return keys[keys.index(start) : keys.index(end) + 1]

    def get_num_partitions(self) -> int:
        """Return the number of partitions."""
        return len(self.get_partition_keys())

    def has_partition_key(self, partition_key: str) -> bool:
        """Return whether a partition has this key."""
        return partition_key in self.get_partition_keys()

    def filter_valid_partition_keys(self, partition_keys: Set[str]) -> Set[str]:
        """Return those of the given keys that partitions have."""
        return {key for key in partition_keys if self.has_partition_key(key)}

    def filter_later_partition_keys(self, partition_keys: Set[str], partition_key: str) -> Set[str]:
        """Return those of the given keys whose partitions come after a partition.

        Raises:
            DagsterInvalidInvocationError: if no partition has its key.
        """
        keys = self.get_partition_keys()
        if partition_key not in keys:
            msg = (
                f"No partitions come after {shown(partition_key)}: no partition has this key; {self._extent()}. Give "
                "a key that exists."
            )
            raise DagsterInvalidInvocationError(msg)
        return partition_keys & set(keys[keys.index(partition_key) + 1 :])

    def validate_partition_key(
        self, partition_key: str, context: PartitionLoadingContext | None = None
    ) -> None:
        """Check that a partition has this key.

        Args:
            partition_key: the key.
            context: the time and the store, if they are not those of `partition_loading_context`.

        Raises:
            DagsterUnknownPartitionError: if none has.
        """
        with partition_loading_context(new_ctx=context):
            problems = key_problems(self, {partition_key})
        if problems:
            raise DagsterUnknownPartitionError(problems[partition_key])

    def get_tags_for_partition_key(self, partition_key: str) -> Mapping[str, str]:
        """Return the tags of a run of this partition."""
        return {PARTITION_TAG: str(partition_key)}

    def __str__(self) -> str:
        return ", ".join(f"'{key}'" for key in self.get_partition_keys())

    def _extent(self) -> str:
        """Return which keys there are, for the message of an error."""
        first, last = self.get_first_partition_key(), self.get_last_partition_key()
        return "it has no partitions" if first is None else f"its keys are {first} to {last}"


def key_problems(partitions_def: PartitionsDefinition, partition_keys: Set[str]) -> dict[str, str]:
    """Return, for each of these keys that no partition has, the reason."""
    unknown = partition_keys - partitions_def.filter_valid_partition_keys(partition_keys)
    if not unknown:
        return {}
    extent = fit(partitions_def._extent(), MAX_REFUSAL)  # noqa: SLF001
    return {
        key: f"Could not find a partition with key `{fit(key, SHORT)}` in {type(partitions_def).__name__}: "
        f"{extent}. Request one of its keys, or change the definition."
        for key in unknown
    }


def check_keys(keys: Sequence[str]) -> None:
    """Check the keys that an author has listed.

    Raises:
        DagsterInvalidDefinitionError: if a key is not a string, contains what no key may contain, or is there
            twice.
    """
    for key in keys:
        given: object = key
        if not isinstance(given, str):
            msg = f"Partition keys must be strings, not {type(given).__name__}: {shown(given)}. Give a list of strings."
            raise DagsterInvalidDefinitionError(msg)
        found = [part for part in _INVALID_SUBSTRINGS if part in key]
        if found:
            msg = f"{found} are invalid substrings in a partition key: {shown(key)}. Leave them out."
            raise DagsterInvalidDefinitionError(msg)
    twice = [key for key, number in Counter(keys).items() if number > 1]
    if twice:
        msg = f"Partition keys must be unique. Duplicate instances of partition keys: {shown(twice)}. List each key once."
        raise DagsterInvalidDefinitionError(msg)
