"""Which assets a job makes, and what is declared about them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvariantViolationError

if TYPE_CHECKING:
    from treadle.definitions.partitions.base import PartitionsDefinition
    from treadle.definitions.partitions.mappings import PartitionMapping

CoercibleToAssetKey: TypeAlias = AssetKey | str | Sequence[str]

DEFAULT_GROUP = "default"

_GROUP = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class AssetDep:
    """An asset that another one is made from.

    Args:
        asset: the asset; a string or several stand for the key of these parts.
        partition_mapping: which partitions are made from which; by default the one for the partitions of both.

    Raises:
        InvalidReportError: if the key is invalid.
        DagsterInvalidDefinitionError: if the mapping is none.
    """

    asset_key: AssetKey
    partition_mapping: "PartitionMapping | None" = None

    def __init__(
        self,
        asset: "CoercibleToAssetKey | AssetSpec",
        *,
        partition_mapping: "PartitionMapping | None" = None,
    ) -> None:
        object.__setattr__(self, "asset_key", key_of(asset))
        if partition_mapping is not None:
            # Imported here, as most assets need none.
            from treadle.definitions.partitions.mappings import PartitionMapping

            given: object = partition_mapping
            if not isinstance(given, PartitionMapping):
                msg = (
                    f"partition_mapping of the dependency on asset {self.asset_key.to_user_string()} must be a "
                    f"PartitionMapping, not {shown(given)}."
                )
                raise DagsterInvalidDefinitionError(msg)
        object.__setattr__(self, "partition_mapping", partition_mapping)


CoercibleToAssetDep: TypeAlias = "CoercibleToAssetKey | AssetSpec | AssetDep"


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """What is declared about an asset.

    Args:
        key: the asset; a string or several stand for the key of these parts.
        deps: the assets that it is made from.
        description: for readers of the code.
        group_name: its group; "default" if no job declares another.
        partitions_def: its partitions.

    Raises:
        InvalidReportError: if a key is invalid.
        DagsterInvalidDefinitionError: if another value is.
        DagsterInvariantViolationError: if it depends on an asset in two ways.
    """

    key: AssetKey
    deps: tuple[AssetDep, ...] = ()
    description: str | None = None
    group_name: str | None = None
    partitions_def: "PartitionsDefinition | None" = None

    def __init__(
        self,
        key: CoercibleToAssetKey,
        *,
        deps: "Sequence[CoercibleToAssetDep] | None" = None,
        description: str | None = None,
        group_name: str | None = None,
        partitions_def: "PartitionsDefinition | None" = None,
    ) -> None:
        object.__setattr__(self, "key", AssetKey.from_coercible(key))
        name = self.key.to_user_string()
        object.__setattr__(self, "deps", _deps_of(name, () if deps is None else deps))
        for what, text in (("description", description), ("group_name", group_name)):
            value: object = text
            if value is not None and not isinstance(value, str):
                msg = f"{what} of asset {name} must be a string, not {shown(value)}. Write it as a string."
                raise DagsterInvalidDefinitionError(msg)
        if group_name is not None and _GROUP.fullmatch(group_name) is None:
            msg = (
                f"{group_name!r} is not a valid asset group name: use letters, digits and underscores, with '/' "
                "between its parts."
            )
            raise DagsterInvalidDefinitionError(msg)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "group_name", group_name)
        if partitions_def is not None:
            # Imported here, as most assets have no partitions.
            from treadle.definitions.partitions.base import PartitionsDefinition

            given: object = partitions_def
            if not isinstance(given, PartitionsDefinition):
                msg = f"partitions_def of asset {name} must be a PartitionsDefinition, not {shown(given)}."
                raise DagsterInvalidDefinitionError(msg)
            given.validate_partition_definition()
        object.__setattr__(self, "partitions_def", partitions_def)


def _deps_of(name: str, given: object) -> tuple[AssetDep, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        msg = f"deps of asset {name} must be a list of assets, not {shown(given)}. Give a list."
        raise DagsterInvalidDefinitionError(msg)
    found: dict[AssetKey, AssetDep] = {}
    for each in given:
        dep = each if isinstance(each, AssetDep) else AssetDep(each)
        if found.setdefault(dep.asset_key, dep) != dep:
            msg = (
                f"Cannot set a dependency on asset {dep.asset_key} more than once for spec {name}. Give it one "
                "partition_mapping."
            )
            raise DagsterInvariantViolationError(msg)
    return tuple(found.values())


def key_of(asset: CoercibleToAssetKey | AssetSpec) -> AssetKey:
    """Return the key of an asset that is given by it, or by its spec."""
    return asset.key if isinstance(asset, AssetSpec) else AssetKey.from_coercible(asset)


def specs_of(assets: object, job_name: str) -> tuple[AssetSpec, ...]:
    """Return the specs of a job's `assets`.

    Args:
        assets: as given.
        job_name: the job, for the error.

    Raises:
        InvalidReportError: if a key is invalid.
        DagsterInvalidDefinitionError: if it is not a list, or names an asset twice.
    """
    if isinstance(assets, str) or not isinstance(assets, Sequence):
        msg = f"assets of job {job_name} must be a list of asset keys or AssetSpecs, not {shown(assets)}. Give a list."
        raise DagsterInvalidDefinitionError(msg)
    specs = tuple(each if isinstance(each, AssetSpec) else AssetSpec(each) for each in assets)
    repeated = [spec for index, spec in enumerate(specs) if spec.key in {each.key for each in specs[:index]}]
    if repeated:
        names = ", ".join(spec.key.to_user_string() for spec in repeated)
        msg = f"assets of job {job_name} names {names} more than once. Name each asset once."
        raise DagsterInvalidDefinitionError(msg)
    return specs


def partitions_of(
    specs: Sequence[AssetSpec], job_name: str, partitions_def: "PartitionsDefinition | None"
) -> "PartitionsDefinition | None":
    """Return the partitions of the job that makes assets: those that its assets have, if any has.

    Args:
        specs: the assets.
        job_name: the job, for the error.
        partitions_def: the job's, if it was given.

    Raises:
        DagsterInvalidDefinitionError: if an asset has others than the job, or than another asset.
    """
    for spec in specs:
        if spec.partitions_def is None:
            continue
        if partitions_def is None:
            partitions_def = spec.partitions_def
        if partitions_def != spec.partitions_def:
            msg = (
                f"The assets of job {job_name} have different partitions: asset {spec.key.to_user_string()} has "
                f"{spec.partitions_def!r}, and the job or another asset has {partitions_def!r}. Declare them as the "
                "assets of two jobs."
            )
            raise DagsterInvalidDefinitionError(msg)
    return partitions_def
