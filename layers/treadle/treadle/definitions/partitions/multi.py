"""Partitions with two dimensions."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from itertools import product
from math import prod
from typing import Any, NamedTuple, cast

from treadle.definitions.bounds import shown
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
)
from treadle.definitions.partitions.base import PartitionKeyRange, PartitionsDefinition
from treadle.definitions.partitions.context import partition_loading_context
from treadle.definitions.partitions.dynamic import DynamicPartitionsDefinition
from treadle.definitions.partitions.static import StaticPartitionsDefinition
from treadle.definitions.partitions.time_windows import TimeWindow, TimeWindowPartitionsDefinition
from treadle.definitions.runs import PARTITION_TAG

_DELIMITER = "|"
_INVALID_CHARACTERS = frozenset("|,[]")


class PartitionDimensionDefinition(NamedTuple):
    """One dimension.

    Attributes:
        name: its name.
        partitions_def: its partitions.
    """

    name: str
    partitions_def: PartitionsDefinition


class PartitionDimensionKey(NamedTuple):
    """A key in one dimension.

    Attributes:
        dimension_name: the dimension's name.
        partition_key: the key.
    """

    dimension_name: str
    partition_key: str


class MultiPartitionKey(str):
    """The key of a partition with several dimensions: a string, the keys in the order of the dimensions' names.

    Args:
        keys_by_dimension: by the dimension's name, its key.

    Raises:
        DagsterInvalidInvocationError: if a name or a key is not a string.
    """

    __slots__ = ("dimension_keys",)
    dimension_keys: list[PartitionDimensionKey]

    def __new__(cls, keys_by_dimension: Mapping[str, str]) -> "MultiPartitionKey":
        """Make the string."""
        given: object = keys_by_dimension
        if not isinstance(given, Mapping) or not all(
            isinstance(each, str) for item in given.items() for each in item
        ):
            msg = f"MultiPartitionKey needs a mapping of dimension names to keys, not {shown(given)}. Give a dict."
            raise DagsterInvalidInvocationError(msg)
        keys = [PartitionDimensionKey(name, keys_by_dimension[name]) for name in sorted(keys_by_dimension)]
        made = super().__new__(cls, _DELIMITER.join(key.partition_key for key in keys))
        made.dimension_keys = keys
        return made

    def __getnewargs__(self) -> tuple[dict[str, str]]:  # type: ignore[override]  # pickled with its dimensions
        """Return what a copy is made of."""
        return (dict(self.keys_by_dimension),)

    @property
    def keys_by_dimension(self) -> Mapping[str, str]:
        """By the dimension's name, its key."""
        return dict(self.dimension_keys)


class MultiPartitionsDefinition(PartitionsDefinition):
    """The partitions of two definitions combined: each key of one with each key of the other.

    A key is both keys, in the order of the dimensions' names, such as `2026-11-22|eu`.

    Args:
        partitions_defs: by the dimension's name, its partitions.

    Raises:
        DagsterInvalidInvocationError: unless there are two dimensions.
        DagsterInvalidDefinitionError: if a dimension is not static, of time windows, or dynamic with a name;
            or if a static key contains one of `|,[]`.
    """

    def __init__(self, partitions_defs: Mapping[str, PartitionsDefinition]) -> None:
        given: object = partitions_defs
        if not isinstance(given, Mapping):
            msg = (
                f"partitions_defs must be a dict of names and partitions definitions, not {type(given).__name__}: "
                f"{shown(given)}."
            )
            raise DagsterInvalidDefinitionError(msg)
        if len(partitions_defs) != 2:
            msg = (
                f"Multi-partitions definitions have 2 partitions definitions, as in Dagster; this one has "
                f"{len(partitions_defs)}. Give two."
            )
            raise DagsterInvalidInvocationError(msg)
        for name, definition in partitions_defs.items():
            _check_dimension(name, definition)
        self._dimensions = [
            PartitionDimensionDefinition(name, partitions_defs[name]) for name in sorted(partitions_defs)
        ]

    @property
    def needs_store(self) -> bool:
        """Whether the keys of a dimension are stored."""
        return any(each.partitions_def.needs_store for each in self._dimensions)

    def validate_partition_definition(self) -> None:
        """Check that each dimension gives each of its partitions a key of its own.

        Raises:
            DagsterInvalidDefinitionError: if one does not.
        """
        for each in self._dimensions:
            each.partitions_def.validate_partition_definition()

    @property
    def partitions_defs(self) -> Sequence[PartitionDimensionDefinition]:
        """The dimensions, in the order of their names."""
        return self._dimensions

    @property
    def partition_dimension_names(self) -> list[str]:
        """The names of the dimensions, in order."""
        return [each.name for each in self._dimensions]

    def get_partitions_def_for_dimension(self, dimension_name: str) -> PartitionsDefinition:
        """Return the partitions of a dimension.

        Raises:
            DagsterInvalidInvocationError: if there is no such dimension.
        """
        for each in self._dimensions:
            if each.name == dimension_name:
                return each.partitions_def
        raise self._no_dimension(dimension_name)

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[MultiPartitionKey]:
        """Return all partition keys.

        Args:
            current_time: only time windows that have ended by then have keys; by default now.
            dynamic_partitions_store: an object with the keys of dynamic partitions.
        """
        with partition_loading_context(current_time, dynamic_partitions_store):
            keys = self._combined([each.partitions_def.get_partition_keys() for each in self._dimensions])
            return [key for key in keys if key.count(_DELIMITER) == len(self._dimensions) - 1]

    def get_partition_keys_in_range(
        self, partition_key_range: PartitionKeyRange, dynamic_partitions_store: Any = None
    ) -> Sequence[MultiPartitionKey]:
        """Return the partition keys whose keys in each dimension are in the range of that dimension.

        Args:
            partition_key_range: the range.
            dynamic_partitions_store: an object with the keys of dynamic partitions.

        Raises:
            DagsterInvalidInvocationError: if one of its ends does not exist.
        """
        with partition_loading_context(None, dynamic_partitions_store):
            start, end = map(self.get_partition_key_from_str, partition_key_range)
            ranges = [
                each.partitions_def.get_partition_keys_in_range(
                    PartitionKeyRange(start.keys_by_dimension[each.name], end.keys_by_dimension[each.name])
                )
                for each in self._dimensions
            ]
            return self._combined(ranges)

    def _combined(self, keys: Sequence[Sequence[str]]) -> list[MultiPartitionKey]:
        names = self.partition_dimension_names
        return [MultiPartitionKey(dict(zip(names, each, strict=True))) for each in product(*keys)]

    def get_first_partition_key(self) -> MultiPartitionKey | None:
        """Return the first partition key; None if there is none."""
        return self._of_each([each.partitions_def.get_first_partition_key() for each in self._dimensions])

    def get_last_partition_key(self) -> MultiPartitionKey | None:
        """Return the last partition key; None if there is none."""
        return self._of_each([each.partitions_def.get_last_partition_key() for each in self._dimensions])

    def _of_each(self, keys: Sequence[str | None]) -> MultiPartitionKey | None:
        existing = [key for key in keys if key is not None]
        return self._combined([[key] for key in existing])[0] if len(existing) == len(keys) else None

    def get_num_partitions(self) -> int:
        """Return the number of partitions."""
        return prod(each.partitions_def.get_num_partitions() for each in self._dimensions)

    def has_partition_key(self, partition_key: str) -> bool:
        """Return whether a partition has this key."""
        if partition_key.count(_DELIMITER) != len(self._dimensions) - 1:
            return False
        keys = self.get_partition_key_from_str(partition_key).keys_by_dimension
        return all(each.partitions_def.has_partition_key(keys[each.name]) for each in self._dimensions)

    def filter_valid_partition_keys(self, partition_keys: Set[str]) -> Set[str]:
        """Return those of the given keys that partitions have; each dimension looks up all of its own together."""
        left = {
            key: self.get_partition_key_from_str(key).keys_by_dimension
            for key in partition_keys
            if key.count(_DELIMITER) == len(self._dimensions) - 1
        }
        for name, definition in self._dimensions:
            valid = definition.filter_valid_partition_keys({keys[name] for keys in left.values()})
            left = {key: keys for key, keys in left.items() if keys[name] in valid}
        return set(left)

    def get_partition_key_from_str(self, partition_key_str: str) -> MultiPartitionKey:
        """Return the key with its dimensions.

        Raises:
            DagsterInvalidInvocationError: if the string has not one part for each dimension.
        """
        parts = partition_key_str.split(_DELIMITER)
        if len(parts) != len(self._dimensions):
            msg = (
                f"Expected {len(self._dimensions)} partition keys in partition key string {partition_key_str}, but "
                f"got {len(parts)}. Separate them by {_DELIMITER}."
            )
            raise DagsterInvalidInvocationError(msg)
        return MultiPartitionKey(dict(zip(self.partition_dimension_names, parts, strict=True)))

    def get_tags_for_partition_key(self, partition_key: str) -> Mapping[str, str]:
        """Return the tags of a run of this partition: one for the key, and one for each dimension.

        Raises:
            DagsterInvalidInvocationError: if the key has not one part for each dimension.
        """
        keys = self.get_partition_key_from_str(partition_key).keys_by_dimension
        dimensions = {f"{PARTITION_TAG}/{name}": key for name, key in keys.items()}
        return {**super().get_tags_for_partition_key(partition_key), **dimensions}

    @property
    def has_time_window_dimension(self) -> bool:
        """Whether a dimension has time windows."""
        return any(map(_has_windows, self._dimensions))

    @property
    def time_window_dimension(self) -> PartitionDimensionDefinition:
        """The dimension with time windows.

        Raises:
            DagsterInvalidInvocationError: unless there is exactly one.
        """
        found = list(filter(_has_windows, self._dimensions))
        if len(found) != 1:
            msg = f"Expected exactly one time window partitioned dimension, but there are {len(found)}."
            raise DagsterInvalidInvocationError(msg)
        return found[0]

    @property
    def primary_dimension(self) -> PartitionDimensionDefinition:
        """The dimension with time windows, if there is exactly one; otherwise the first one."""
        return self._sorted_dimensions()[0]

    @property
    def secondary_dimension(self) -> PartitionDimensionDefinition:
        """The other dimension."""
        return self._sorted_dimensions()[1]

    def _sorted_dimensions(self) -> list[PartitionDimensionDefinition]:
        """Return the dimensions, those with time windows first."""
        return sorted(self._dimensions, key=_has_windows, reverse=True)

    def time_window_for_partition_key(self, partition_key: str) -> TimeWindow:
        """Return the time window of a partition.

        Raises:
            DagsterInvalidInvocationError: unless exactly one dimension has time windows, or if the key has not
                one part for each dimension.
            ValueError: if its part for the time is not in the format of the keys.
        """
        dimension = self.time_window_dimension
        key = self.get_partition_key_from_str(partition_key).keys_by_dimension[dimension.name]
        return cast("TimeWindowPartitionsDefinition", dimension.partitions_def).time_window_for_partition_key(
            key
        )

    def get_multipartition_keys_with_dimension_value(
        self, dimension_name: str, dimension_partition_key: str
    ) -> Sequence[MultiPartitionKey]:
        """Return the keys that have a given key in one dimension.

        Raises:
            DagsterInvalidInvocationError: if there is no such dimension.
        """
        return self.get_multipartition_keys_with_dimension_values(dimension_name, [dimension_partition_key])

    def get_multipartition_keys_with_dimension_values(
        self, dimension_name: str, dimension_partition_keys: Sequence[str]
    ) -> Sequence[MultiPartitionKey]:
        """Return the keys that have one of the given keys in one dimension.

        Raises:
            DagsterInvalidInvocationError: if there is no such dimension.
        """
        if dimension_name not in self.partition_dimension_names:
            raise self._no_dimension(dimension_name)
        [other] = [each for each in self._dimensions if each.name != dimension_name]
        other_keys = other.partitions_def.get_partition_keys()
        return [
            MultiPartitionKey({dimension_name: key, other.name: other_key})
            for key, other_key in product(dimension_partition_keys, other_keys)
        ]

    def _no_dimension(self, name: str) -> DagsterInvalidInvocationError:
        names = ", ".join(self.partition_dimension_names)
        msg = f"Dimension {name} not found in MultiPartitionsDefinition: its dimensions are {names}."
        return DagsterInvalidInvocationError(msg)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MultiPartitionsDefinition) and self._dimensions == other._dimensions

    def __hash__(self) -> int:
        return hash(tuple(self._dimensions))

    def __str__(self) -> str:
        first, second = self._dimensions
        return (
            f"Multi-partitioned, with dimensions: \n{first.name.capitalize()}: {first.partitions_def} \n"
            f"{second.name.capitalize()}: {second.partitions_def}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dimensions={self._dimensions})"


def _has_windows(dimension: PartitionDimensionDefinition) -> bool:
    return isinstance(dimension.partitions_def, TimeWindowPartitionsDefinition)


def _check_dimension(name: str, definition: object) -> None:
    kinds = StaticPartitionsDefinition | TimeWindowPartitionsDefinition | DynamicPartitionsDefinition
    if not isinstance(definition, kinds):
        msg = (
            f"Invalid partitions definition type {type(definition)} of dimension {name}. Only the following partitions "
            "definition types are supported: static, of time windows, dynamic."
        )
        raise DagsterInvalidDefinitionError(msg)
    if isinstance(definition, DynamicPartitionsDefinition) and definition.name is None:
        msg = (
            f"DynamicPartitionsDefinition must have a name to be used in a MultiPartitionsDefinition: dimension {name} "
            "has none. Give it one."
        )
        raise DagsterInvalidDefinitionError(msg)
    if isinstance(definition, StaticPartitionsDefinition):
        found = [key for key in definition.get_partition_keys() if _INVALID_CHARACTERS & set(key)]
        if found:
            msg = (
                f"Invalid character in partition key for dimension {name}: {shown(found[0])}. A multi-partitions "
                "definition cannot contain partition keys with the following characters: |, [, ], ,"
            )
            raise DagsterInvalidDefinitionError(msg)
