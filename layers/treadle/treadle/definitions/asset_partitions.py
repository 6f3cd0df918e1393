"""What is declared about the partitions of a sensor's assets."""

from typing import TYPE_CHECKING

from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvalidInvocationError

# A sensor whose assets have no partitions loads nothing of them.
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.definitions.asset_key import AssetKey
    from treadle.definitions.asset_specs import AssetSpec
    from treadle.definitions.partitions.base import PartitionsDefinition
    from treadle.definitions.partitions.mappings import PartitionMapping


class AssetPartitions:
    """The partitions of assets, and how they are mapped.

    Args:
        specs: of those assets of which something is declared.

    Attributes:
        specs: the same.

    Raises:
        DagsterInvalidDefinitionError: if two specs of an asset contradict each other, or the partitions of an
            asset cannot be mapped to those of an asset that is made from it.
    """

    def __init__(self, specs: "Iterable[AssetSpec]" = ()) -> None:
        self.specs = tuple(specs)
        self._definitions: dict[AssetKey, PartitionsDefinition | None] = {}
        self._mappings: dict[tuple[AssetKey, AssetKey], PartitionMapping] = {}
        for spec in self.specs:
            known, given = self._definitions.get(spec.key), spec.partitions_def
            if known is not None and given is not None and known != given:
                raise _contradiction(spec.key, "partitions_def", known, given)
            self._definitions[spec.key] = given if known is None else known
            for dep in spec.deps:
                mapping = dep.partition_mapping
                if (
                    mapping is not None
                    and self._mappings.setdefault((dep.asset_key, spec.key), mapping) != mapping
                ):
                    other = self._mappings[dep.asset_key, spec.key]
                    raise _contradiction(spec.key, "partition_mapping", other, mapping)
        for spec in self.specs:
            for dep in spec.deps:
                self._check_mapping(dep.asset_key, spec.key)

    def _check_mapping(self, upstream: "AssetKey", downstream: "AssetKey") -> None:
        partitions_def = self._definitions.get(upstream)
        if partitions_def is None:
            return
        try:
            mapping = self._mapping(upstream, downstream)
            mapping.validate_partition_mapping(partitions_def, self._definitions[downstream])
        except DagsterInvalidDefinitionError as error:
            msg = f"Invalid partition mapping from {downstream.to_user_string()} to {upstream.to_user_string()}: {error}"
            raise DagsterInvalidDefinitionError(msg) from error

    def _mapping(self, upstream: "AssetKey", downstream: "AssetKey") -> "PartitionMapping":
        declared = self._mappings.get((upstream, downstream))
        if declared is not None:
            return declared
        # Imported here, as most assets have no partitions.
        from treadle.definitions.partitions.multi_mappings import inferred_mapping

        partitions_def = self._definitions[upstream]
        assert partitions_def is not None  # Only partitions are mapped.
        return inferred_mapping(partitions_def, self._definitions[downstream])

    def also(self, other: "AssetPartitions") -> "AssetPartitions":
        """Return what is declared here or there.

        Raises:
            DagsterInvalidDefinitionError: if both contradict each other.
        """
        if not self.specs or not other.specs:
            return self if self.specs else other
        return AssetPartitions((*self.specs, *other.specs))

    def is_declared(self, key: "AssetKey") -> bool:
        """Return whether anything is declared about an asset."""
        return key in self._definitions

    def definition(self, key: "AssetKey") -> "PartitionsDefinition | None":
        """Return an asset's partitions; None if it has none, or none are known."""
        return self._definitions.get(key)

    def downstream_keys(self, partition_key: str, upstream: "AssetKey", downstream: "AssetKey") -> list[str]:
        """Return the keys of the partitions of an asset that are made from a partition of another one.

        Args:
            partition_key: of the upstream asset.
            upstream: the asset that is used.
            downstream: the asset that is made.

        Raises:
            DagsterInvalidInvocationError: if one of them has no partitions.
            DagsterInvalidDefinitionError: if the time windows of both are in different time zones.
            ValueError: if the key is not in the format of the upstream asset's keys.
        """
        found = []
        for key in (downstream, upstream):
            partitions_def = self._definitions.get(key)
            if partitions_def is None:
                msg = f"Asset key {key} is not partitioned. Cannot get partition keys."
                raise DagsterInvalidInvocationError(msg)
            found.append(partitions_def)
        target, source = found
        return list(self._mapping(upstream, downstream).downstream_keys(partition_key, source, target))


def _contradiction(key: "AssetKey", what: str, known: object, other: object) -> DagsterInvalidDefinitionError:
    msg = f"Asset {key.to_user_string()} has two values of {what}: {known!r} and {other!r}. Declare it once."
    return DagsterInvalidDefinitionError(msg)
