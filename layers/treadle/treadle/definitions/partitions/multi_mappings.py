"""Mappings of partitions with several dimensions, and the mapping of two assets that declare none."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.partitions.base import PartitionsDefinition
from treadle.definitions.partitions.mappings import (
    AllPartitionMapping,
    IdentityPartitionMapping,
    PartitionMapping,
)
from treadle.definitions.partitions.multi import MultiPartitionKey, MultiPartitionsDefinition
from treadle.definitions.partitions.time_window_mapping import TimeWindowPartitionMapping
from treadle.definitions.partitions.time_windows import TimeWindowPartitionsDefinition


class DimensionDependency(NamedTuple):
    """How a dimension is mapped; the name of an asset with one dimension is None.

    Attributes:
        partition_mapping: the mapping.
        upstream_name: of the upstream asset's dimension.
        downstream_name: of the downstream asset's dimension.
    """

    partition_mapping: PartitionMapping
    upstream_name: str | None
    downstream_name: str | None


class _OfDimensions(PartitionMapping):
    """A mapping of each dimension; all keys of the dimensions that are not mapped belong together."""

    @abstractmethod
    def _dependencies(
        self, upstream: PartitionsDefinition, downstream: PartitionsDefinition | None
    ) -> Sequence[DimensionDependency]:
        """Return how dimensions are mapped.

        Raises:
            DagsterInvalidDefinitionError: if these partitions cannot be mapped.
        """

    def validate_partition_mapping(
        self,
        upstream_partitions_def: PartitionsDefinition,
        downstream_partitions_def: PartitionsDefinition | None,
    ) -> None:
        """Check that the dimensions can be mapped.

        Raises:
            DagsterInvalidDefinitionError: if they cannot.
        """
        for mapping, upstream, downstream in self._dependencies(
            upstream_partitions_def, downstream_partitions_def
        ):
            # Equal keys are enough in a dimension, as Dagster does not check the mappings of dimensions.
            if not isinstance(mapping, IdentityPartitionMapping):
                mapping.validate_partition_mapping(
                    _dimensions(upstream_partitions_def)[upstream],
                    _dimensions(downstream_partitions_def)[downstream],
                )

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        sources, targets = _dimensions(upstream), _dimensions(downstream)
        parts: dict[str | None, str] = {None: key}
        if isinstance(upstream, MultiPartitionsDefinition):
            parts.update(upstream.get_partition_key_from_str(key).dimension_keys)
        keys: dict[str | None, Sequence[str]] = {
            target: mapping.downstream_keys(parts[source], sources[source], targets[target])
            for mapping, source, target in self._dependencies(upstream, downstream)
        }
        names = list(targets)
        each = product(
            *(keys[name] if name in keys else targets[name].get_partition_keys() for name in names)
        )
        if None in targets:
            return [only for (only,) in each]
        return [MultiPartitionKey({str(k): v for k, v in zip(names, parts, strict=True)}) for parts in each]


@dataclass(frozen=True)
class MultiToSingleDimensionPartitionMapping(_OfDimensions):
    """Between partitions with two dimensions and those of one dimension: a key belongs to all keys that contain it.

    Args:
        partition_dimension_name: the name of the dimension; by default the one with the same partitions, or
            else the one with time windows if both have them.
    """

    partition_dimension_name: str | None = None

    @property
    def description(self) -> str:
        """The mapping in words."""
        return (
            "Assumes that the single-dimension partitions definition is a dimension of the multi-partitions "
            "definition. For a single-dimension partition key X, any multi-partition key with X in the matching "
            "dimension is a dependency."
        )

    def _dependencies(
        self, upstream: PartitionsDefinition, downstream: PartitionsDefinition | None
    ) -> Sequence[DimensionDependency]:
        found = _single_dependency(upstream, downstream, self.partition_dimension_name)
        if isinstance(found, str):
            raise DagsterInvalidDefinitionError(found)
        return [found]


@dataclass(frozen=True)
class DimensionPartitionMapping:
    """How one dimension of the upstream asset is mapped, in a `MultiPartitionMapping`.

    Args:
        dimension_name: the name of the downstream asset's dimension.
        partition_mapping: the mapping.
    """

    dimension_name: str
    partition_mapping: PartitionMapping

    def __post_init__(self) -> None:
        for name, kind in (("dimension_name", str), ("partition_mapping", PartitionMapping)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                msg = f"{name} of a DimensionPartitionMapping must be a {kind.__name__}, not {shown(value)}."
                raise DagsterInvalidDefinitionError(msg)


@dataclass(frozen=True)
class MultiPartitionMapping(_OfDimensions):
    """Between two partitions definitions with two dimensions each.

    All keys of the dimensions that are not named belong together.

    Args:
        downstream_mappings_by_upstream_dimension: by the name of an upstream dimension, how it is mapped.

    Raises:
        DagsterInvalidDefinitionError: if they are no such mapping.
    """

    downstream_mappings_by_upstream_dimension: Mapping[str, DimensionPartitionMapping]

    def __post_init__(self) -> None:
        given: object = self.downstream_mappings_by_upstream_dimension
        if not isinstance(given, Mapping) or not all(
            isinstance(name, str) and isinstance(each, DimensionPartitionMapping)
            for name, each in given.items()
        ):
            msg = (
                "A MultiPartitionMapping must be a dict of dimension names and DimensionPartitionMappings, not "
                f"{shown(given)}."
            )
            raise DagsterInvalidDefinitionError(msg)

    @property
    def description(self) -> str:
        """The mapping in words."""
        mapped = self.downstream_mappings_by_upstream_dimension.items()
        return "\n ".join(
            f"Upstream dimension '{name}' mapped to downstream dimension '{each.dimension_name}' using "
            f"{type(each.partition_mapping).__name__}."
            for name, each in mapped
        )

    def _dependencies(
        self, upstream: PartitionsDefinition, downstream: PartitionsDefinition | None
    ) -> Sequence[DimensionDependency]:
        if not isinstance(upstream, MultiPartitionsDefinition) or not isinstance(
            downstream, MultiPartitionsDefinition
        ):
            msg = "Both partitions defs provided to a MultiPartitionMapping must be multi-partitioned"
            raise DagsterInvalidDefinitionError(msg)
        mapped = self.downstream_mappings_by_upstream_dimension
        named = {
            "upstream": (list(mapped), upstream),
            "downstream": ([each.dimension_name for each in mapped.values()], downstream),
        }
        for what, (names, definition) in named.items():
            left = definition.partition_dimension_names
            for name in names:
                if name not in left:
                    msg = (
                        f"Dimension mapping has a{'n' if what == 'upstream' else ''} {what} dimension name that is not "
                        f"in the {what} partitions def, or is there twice: {name!r}. Its dimensions are "
                        f"{', '.join(definition.partition_dimension_names)}."
                    )
                    raise DagsterInvalidDefinitionError(msg)
                left.remove(name)
        return [
            DimensionDependency(each.partition_mapping, name, each.dimension_name)
            for name, each in mapped.items()
        ]


def inferred_mapping(
    upstream: PartitionsDefinition, downstream: PartitionsDefinition | None
) -> PartitionMapping:
    """Return the mapping between the partitions of two assets that declare none."""
    if downstream is None:
        return AllPartitionMapping()
    if not isinstance(_single_dependency(upstream, downstream), str):
        return MultiToSingleDimensionPartitionMapping()
    if isinstance(upstream, TimeWindowPartitionsDefinition) and isinstance(
        downstream, TimeWindowPartitionsDefinition
    ):
        return TimeWindowPartitionMapping()
    return IdentityPartitionMapping()


def _dimensions(definition: PartitionsDefinition | None) -> Mapping[str | None, PartitionsDefinition]:
    """Return the partitions of each dimension by its name; those of an asset with one, by None."""
    if definition is None:
        return {}
    if isinstance(definition, MultiPartitionsDefinition):
        return {each.name: each.partitions_def for each in definition.partitions_defs}
    return {None: definition}


def _single_dependency(
    upstream: PartitionsDefinition, downstream: PartitionsDefinition | None, name: str | None = None
) -> DimensionDependency | str:
    """Return how one dimension is mapped to partitions with one dimension, or why it cannot be inferred.

    Args:
        upstream: the upstream asset's partitions.
        downstream: the downstream asset's partitions.
        name: of the dimension, if it was given.
    """
    several = [each for each in (upstream, downstream) if isinstance(each, MultiPartitionsDefinition)]
    if len(several) != 1 or downstream is None:
        return (
            "Can only use MultiToSingleDimensionPartitionMapping when upstream asset is multipartitioned and the "
            f"downstream asset is single dimensional, or vice versa. Instead received {len(several)} "
            "multi-partitioned assets."
        )
    [multi] = several
    single = downstream if multi is upstream else upstream
    dimensions = [each for each in multi.partitions_defs if name in {None, each.name}]
    if not dimensions:
        return f"Provided partition dimension name {name} not found in multipartitions definition {multi}."
    mapping: PartitionMapping = IdentityPartitionMapping()
    found = [each for each in dimensions if each.partitions_def == single]
    if len(found) > 1:
        return (
            "partition dimension name must be specified when multiple dimensions of the MultiPartitionsDefinition "
            "match the single dimension partitions def"
        )
    if not found and isinstance(single, TimeWindowPartitionsDefinition):
        mapping = TimeWindowPartitionMapping()
        found = [
            each for each in dimensions if isinstance(each.partitions_def, TimeWindowPartitionsDefinition)
        ]
    if len(found) != 1:
        return (
            "MultiToSingleDimensionPartitionMapping can only be used when: \n(a) The single dimensional partitions "
            "definition is a dimension of the MultiPartitionsDefinition.\n(b) The single dimensional partitions "
            "definition is a TimeWindowPartitionsDefinition and the MultiPartitionsDefinition has a single time "
            "dimension."
        )
    [(dimension, _)] = found
    if multi is upstream:
        return DimensionDependency(mapping, dimension, None)
    return DimensionDependency(mapping, None, dimension)
