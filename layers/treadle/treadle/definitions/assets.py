"""Materializations of assets, in Dagster's form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.bounds import MAX_PARTITION_KEY, byte_size, shown
from treadle.definitions.errors import InvalidReportError
from treadle.definitions.metadata import MetadataValue, normalized_metadata, plain_types, typed_metadata
from treadle.definitions.values import json_text, tag_texts, unicode_problem

ASSET_MATERIALIZATION = "ASSET_MATERIALIZATION"

MAX_METADATA = 64 * 1_024
"""Bytes of UTF-8: an asset event with all of its metadata fits into one EventBridge event."""


@dataclass(frozen=True)
class AssetMaterialization:
    """The event that an asset was updated.

    Args:
        asset_key: the asset; a string or several stand for the key of these parts.
        description: free text.
        metadata: by name, plain JSON, a path, an `AssetKey` or a `MetadataValue`; at most 64 KiB in total, with the
            description and the tags.
        partition: its partition that was updated.
        tags: of the materialization.

    Raises:
        InvalidReportError: if the key, the metadata or a tag is invalid or too large.
    """

    asset_key: AssetKey
    description: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    partition: str | None = None
    tags: Mapping[str, str] | None = None

    def __init__(
        self,
        asset_key: AssetKey | str | Sequence[str],
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        partition: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        key = AssetKey.from_coercible(asset_key)
        object.__setattr__(self, "asset_key", key)
        object.__setattr__(self, "description", description)
        given: object = metadata or {}
        if not isinstance(given, Mapping):
            msg = f"{self._of('Metadata')} must be a mapping, not {shown(given)}."
            raise InvalidReportError(msg)
        values = normalized_metadata(given)
        if len(values) < len(given):
            msg = (
                f"{self._of('Metadata')} has two entries with the same name once it is written as a string: "
                f"{shown(dict(given))}. Give each its own."
            )
            raise InvalidReportError(msg)
        object.__setattr__(self, "metadata", values)
        object.__setattr__(self, "partition", partition)
        object.__setattr__(self, "tags", None if tags is None else _checked_tags(tags, self._of("tags")))
        self._check()
        dimensions = {
            name.removeprefix(_DIMENSION): value
            for name, value in (tags or {}).items()
            if name.startswith(_DIMENSION)
        }
        if dimensions:
            # Imported here, as most assets have no partitions of several dimensions.
            from treadle.definitions.partitions.multi import MultiPartitionKey

            object.__setattr__(self, "partition", MultiPartitionKey(dimensions))

    def _of(self, what: str) -> str:
        return f"{what} of asset {self.asset_key.to_escaped_user_string()}"

    def _check(self) -> None:
        texts: dict[str, object] = {"description": self.description, "partition": self.partition}
        for name, text in texts.items():
            if text is not None and not isinstance(text, str):
                msg = f"{self._of(name)} must be a string, not {shown(text)}."
                raise InvalidReportError(msg)
            if text is not None:
                object.__setattr__(self, name, str.__str__(text))  # Only the text of an enum member.
            problem = unicode_problem(text) if text else None
            if problem is not None:
                msg = f"{self._of(name)} {problem}"
                raise InvalidReportError(msg)
        if self.partition is not None and not 1 <= byte_size(self.partition) <= MAX_PARTITION_KEY:
            msg = f"{self._of('The partition')} must have 1 to {MAX_PARTITION_KEY} bytes."
            raise InvalidReportError(msg)
        what = self._of("Metadata")
        size = byte_size(json_text([self.plain_metadata, self.description], what, InvalidReportError))
        if optional := self.optional_fields:
            size += byte_size(json_text(optional, what, InvalidReportError))
        if size > MAX_METADATA:
            msg = (
                f"{self._of('Metadata')} has {size} bytes; the limit is {MAX_METADATA}. Store large values "
                "elsewhere and give their location."
            )
            raise InvalidReportError(msg)

    @classmethod
    def stored(
        cls,
        asset_key: AssetKey,
        description: str | None,
        metadata: Mapping[str, Any],
        partition: str | None,
        metadata_types: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> "AssetMaterialization":
        """Return a materialization as it was before it was stored or sent as plain JSON.

        Args:
            asset_key: the asset.
            description: free text.
            metadata: from `plain_metadata`.
            partition: its partition.
            metadata_types: from `optional_fields`, as `tags`.
            tags: of the materialization.

        Raises:
            InvalidReportError: if a part is invalid or too large.
        """
        return cls(asset_key, description, typed_metadata(metadata, metadata_types), partition, tags)

    @staticmethod
    def file(
        path: str,
        description: str | None = None,
        asset_key: AssetKey | str | Sequence[str] | None = None,
    ) -> "AssetMaterialization":
        """Return the materialization of a file.

        Args:
            path: its path, also the asset's key unless one is given.
            description: free text.
            asset_key: the asset.
        """
        return AssetMaterialization(asset_key or path, description, {"path": MetadataValue.path(path)})

    def with_metadata(self, metadata: Mapping[str, Any] | None) -> "AssetMaterialization":
        """Return the same materialization with other metadata."""
        return AssetMaterialization(self.asset_key, self.description, metadata, self.partition, self.tags)

    @property
    def label(self) -> str:
        """The parts of the asset's key, joined by spaces."""
        return " ".join(self.asset_key.parts)

    @property
    def plain_metadata(self) -> dict[str, Any]:
        """The metadata as plain JSON."""
        return {name: each.plain for name, each in self.metadata.items()}

    @property
    def optional_fields(self) -> dict[str, dict[str, str]]:
        """What is stored and sent beside the plain metadata, if there is any: the types that it lacks, and tags."""
        types = plain_types(self.metadata)
        return {
            **({"metadata_types": types} if types else {}),
            **({} if self.tags is None else {"tags": dict(self.tags)}),
        }


def _checked_tags(given: object, what: str) -> dict[str, str]:
    tags = tag_texts(given, InvalidReportError)
    for name, value in dict(given).items():  # type: ignore[call-overload]
        if not (isinstance(name, str) and isinstance(value, str) and _is_tag(name, value)):
            msg = (
                f"{what} cannot contain {shown(name)}: {shown(value)}. A tag's name and value are strings of up to 63 "
                "letters, digits, '_', '-' and '.'; the name may have a namespace of such characters before a '/'."
            )
            raise InvalidReportError(msg)
    return tags


def _is_tag(name: str, value: str) -> bool:
    if name in _SYSTEM_TAGS or name.startswith(_SYSTEM_PREFIXES):
        return True
    return _TAG_NAME.fullmatch(name) is not None and _TAG_VALUE.fullmatch(value) is not None


_DIMENSION = "dagster/partition/"
_SYSTEM_TAGS = {
    "dagster/code_version",
    "dagster/data_version",
    "dagster/logical_version",
    "dagster/reporting_user",
}
_SYSTEM_PREFIXES = (
    _DIMENSION,
    "dagster/input_data_version",
    "dagster/input_event_pointer",
    "dagster/input_logical_version",
)
_TAG_NAME = re.compile(r"([A-Za-z0-9_.-]{1,63}/|dagster/kind/)?[A-Za-z0-9_.-]{1,63}")
_TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class AssetMaterialized:
    """The event that an asset's materialization was recorded; published once for each event id.

    Attributes:
        materialization: what was updated.
        event_id: the same in a redelivery.
        storage_id: its number among the events of its asset, in the order of recording.
        time: when the asset was updated.
        run_id: the run that updated it, if known.
        depth: the number of runs, and ticks that reported assets, that led to it, one after the other.
        location: the engine to which it was reported, as `account/region/namespace`.
    """

    materialization: AssetMaterialization
    event_id: str
    storage_id: int
    time: datetime
    run_id: str | None = None
    depth: int = 0
    location: str = ""

    @property
    def asset_key(self) -> AssetKey:
        """The asset."""
        return self.materialization.asset_key

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in a redelivery of the event."""
        return ("asset", self.asset_key.to_escaped_user_string(), self.event_id)

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        partition = self.materialization.partition
        of = f" of partition {partition}" if partition else ""
        return f"Asset {self.asset_key.to_escaped_user_string()}: materialization {self.storage_id}{of}"
