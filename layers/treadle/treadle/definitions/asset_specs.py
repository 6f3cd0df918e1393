"""Which assets a job makes, and what is declared about them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

CoercibleToAssetKey: TypeAlias = AssetKey | str | Sequence[str]

DEFAULT_GROUP = "default"

_GROUP = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """An asset that a job makes.

    Args:
        key: the asset; a string or several stand for the key of these parts.
        deps: the assets that it is made from.
        description: for readers of the code.
        group_name: its group; "default" if no job declares another.

    Raises:
        InvalidReportError: if a key is invalid.
        DagsterInvalidDefinitionError: if another value is.
    """

    key: AssetKey
    deps: tuple[AssetKey, ...] = ()
    description: str | None = None
    group_name: str | None = None

    def __init__(
        self,
        key: CoercibleToAssetKey,
        *,
        deps: "Sequence[CoercibleToAssetKey | AssetSpec] | None" = None,
        description: str | None = None,
        group_name: str | None = None,
    ) -> None:
        object.__setattr__(self, "key", AssetKey.from_coercible(key))
        name = self.key.to_user_string()
        given: object = () if deps is None else deps
        if isinstance(given, str) or not isinstance(given, Sequence):
            msg = f"deps of asset {name} must be a list of assets, not {shown(given)}. Give a list."
            raise DagsterInvalidDefinitionError(msg)
        object.__setattr__(self, "deps", tuple(dict.fromkeys(map(key_of, given))))
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
