"""Partition mappings: which partitions of a downstream asset use a partition of an upstream one."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.partitions.base import PartitionsDefinition
from treadle.definitions.partitions.static import StaticPartitionsDefinition
from treadle.definitions.partitions.time_windows import TimeWindowPartitionsDefinition


class PartitionMapping(ABC):
    """Which partitions of an asset belong to those of an asset that it depends on; base class of all kinds."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The mapping in words."""

    def validate_partition_mapping(  # noqa: B027 - most kinds need no check
        self,
        upstream_partitions_def: PartitionsDefinition,
        downstream_partitions_def: PartitionsDefinition | None,
    ) -> None:
        """Check that two assets' partitions can be mapped; by default all can.

        Raises:
            DagsterInvalidDefinitionError: if they cannot.
        """

    def downstream_keys(
        self, partition_key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        """Return the keys of the partitions that use a partition of the upstream asset, in order.

        Args:
            partition_key: of the upstream asset; one of a time window that does not exist belongs to none.
            upstream: the upstream asset's partitions.
            downstream: the downstream asset's partitions.

        Raises:
            DagsterInvalidDefinitionError: if they cannot be mapped.
            ValueError: if the key is not in the format of the upstream asset's keys.
        """
        if isinstance(upstream, TimeWindowPartitionsDefinition):
            start = upstream.time_window_for_partition_key(partition_key).start
            partition_key = upstream.get_partition_key_for_timestamp(start.timestamp())
            if not upstream.has_partition_key(partition_key):
                return []
        return self._mapped(partition_key, upstream, downstream)

    @abstractmethod
    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        """Return the same for a partition that exists, if it is one of a time window."""


@dataclass(frozen=True)
class AllPartitionMapping(PartitionMapping):
    """Each downstream partition uses all upstream partitions."""

    @property
    def description(self) -> str:
        """The mapping in words."""
        return "Each downstream partition depends on all partitions of the upstream asset."

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        del key, upstream
        return downstream.get_partition_keys()


@dataclass(frozen=True)
class IdentityPartitionMapping(PartitionMapping):
    """Each downstream partition uses the upstream partition with the same key."""

    @property
    def description(self) -> str:
        """The mapping in words."""
        return (
            "Assumes upstream and downstream assets share the same partitions definition. Maps each partition in the "
            "downstream asset to the same partition in the upstream asset."
        )

    def validate_partition_mapping(
        self,
        upstream_partitions_def: PartitionsDefinition,
        downstream_partitions_def: PartitionsDefinition | None,
    ) -> None:
        """Check that both are of the same kind.

        Raises:
            DagsterInvalidDefinitionError: if they are not.
        """
        if type(upstream_partitions_def) is not type(downstream_partitions_def):
            msg = (
                "Upstream and downstream partitions definitions must match, or a different partition mapping must be "
                f"provided. Got upstream definition {type(upstream_partitions_def)} and downstream definition "
                f"{type(downstream_partitions_def)}"
            )
            raise DagsterInvalidDefinitionError(msg)

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        return [key] if upstream == downstream or downstream.has_partition_key(key) else []


@dataclass(frozen=True)
class LastPartitionMapping(PartitionMapping):
    """Each downstream partition uses the last upstream partition."""

    @property
    def description(self) -> str:
        """The mapping in words."""
        return "Each downstream partition depends on the last partition of the upstream asset."

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        return downstream.get_partition_keys() if key == upstream.get_last_partition_key() else []


@dataclass(frozen=True)
class SpecificPartitionsPartitionMapping(PartitionMapping):
    """Each downstream partition uses the same few upstream partitions.

    Args:
        partition_keys: the keys of those.

    Raises:
        DagsterInvalidDefinitionError: if they are not a list of strings.
    """

    partition_keys: Sequence[str]

    def __post_init__(self) -> None:
        given: object = self.partition_keys
        if isinstance(given, str) or not _are_texts(given):
            msg = f"partition_keys of a SpecificPartitionsPartitionMapping must be a list of keys, not {shown(given)}."
            raise DagsterInvalidDefinitionError(msg)

    @property
    def description(self) -> str:
        """The mapping in words."""
        return (
            f"Each downstream partition depends on the following upstream partitions: {self.partition_keys}"
        )

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        del upstream
        return downstream.get_partition_keys() if key in self.partition_keys else []


@dataclass(frozen=True)
class StaticPartitionMapping(PartitionMapping):
    """A table between two static partitions definitions.

    Args:
        downstream_partition_keys_by_upstream_partition_key: by upstream key, one downstream key, or several.

    Raises:
        DagsterInvalidDefinitionError: if it is no such table.
    """

    downstream_partition_keys_by_upstream_partition_key: Mapping[str, str | Collection[str]]

    def __post_init__(self) -> None:
        given: object = self.downstream_partition_keys_by_upstream_partition_key
        if not isinstance(given, Mapping) or not all(
            isinstance(key, str) and _are_texts(keys) for key, keys in given.items()
        ):
            msg = f"A StaticPartitionMapping must be a dict of keys and lists of keys, not {shown(given)}."
            raise DagsterInvalidDefinitionError(msg)

    @property
    def description(self) -> str:
        """The mapping in words."""
        return (
            "Maps upstream partitions to their downstream dependencies according to the following mapping: \n"
            f"{self.downstream_partition_keys_by_upstream_partition_key}"
        )

    def validate_partition_mapping(
        self,
        upstream_partitions_def: PartitionsDefinition,
        downstream_partitions_def: PartitionsDefinition | None,
    ) -> None:
        """Check that both are static, and have the keys of the table.

        Raises:
            DagsterInvalidDefinitionError: if they do not.
        """
        known = {}
        given = {"Upstream": upstream_partitions_def, "Downstream": downstream_partitions_def}
        for what, definition in given.items():
            if not isinstance(definition, StaticPartitionsDefinition):
                msg = f"{what} partitions definition must be a StaticPartitionsDefinition"
                raise DagsterInvalidDefinitionError(msg)
            known[what] = definition.get_partition_keys()
        table = self.downstream_partition_keys_by_upstream_partition_key
        self._check("source", "upstream", table, known["Upstream"])
        self._check(
            "target", "downstream", {each for key in table for each in self._of(key)}, known["Downstream"]
        )

    def _check(self, what: str, side: str, keys: Iterable[str], known: Collection[str]) -> None:
        unknown = sorted(set(keys).difference(known))
        if unknown:
            msg = (
                f"mapping {what} partitions not in the {side} partitions definition: {shown(unknown)}. "
                "Map only keys that exist."
            )
            raise DagsterInvalidDefinitionError(msg)

    def _of(self, key: str) -> Collection[str]:
        keys = self.downstream_partition_keys_by_upstream_partition_key.get(key, ())
        return {keys} if isinstance(keys, str) else set(keys)

    def _mapped(
        self, key: str, upstream: PartitionsDefinition, downstream: PartitionsDefinition
    ) -> Sequence[str]:
        del upstream
        mapped = self._of(key)
        return [each for each in downstream.get_partition_keys() if each in mapped]


def _are_texts(values: object) -> bool:
    """Return whether a value is a collection of strings, as a string itself is."""
    return isinstance(values, Collection) and all(isinstance(each, str) for each in values)
