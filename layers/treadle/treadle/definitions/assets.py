"""Materializations and observations of assets, in Dagster's form."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.bounds import MAX_PARTITION_KEY, byte_size, shown
from treadle.definitions.errors import InvalidReportError
from treadle.definitions.metadata import MetadataValue, normalized_metadata, plain_types, typed_metadata
from treadle.definitions.values import json_text, tag_texts, unicode_problem

ASSET_MATERIALIZATION = "ASSET_MATERIALIZATION"
ASSET_OBSERVATION = "ASSET_OBSERVATION"

MAX_METADATA = 64 * 1_024
"""Bytes of UTF-8: an asset event with all of its metadata fits into one EventBridge event."""


@dataclass(frozen=True)
class EventWithMetadata:
    """What a materialization and an observation have in common."""

    kind: ClassVar[str]
    noun: ClassVar[str]
    _no_tags: ClassVar[Mapping[str, str] | None] = None

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
        given_tags = self._no_tags if tags is None else tags
        checked = None if given_tags is None else _checked_tags(given_tags, self._of("tags"))
        object.__setattr__(self, "tags", checked)
        self._check()

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
    ) -> Self:
        """Return an event as it was before it was stored or sent as plain JSON.

        Args:
            asset_key: the asset.
            description: free text.
            metadata: from `plain_metadata`.
            partition: its partition.
            metadata_types: from `optional_fields`, as `tags`.
            tags: of the event.

        Raises:
            InvalidReportError: if a part is invalid or too large.
        """
        return cls(asset_key, description, typed_metadata(metadata, metadata_types), partition, tags)

    def with_metadata(self, metadata: Mapping[str, Any] | None) -> Self:
        """Return the same event with other metadata."""
        return type(self)(self.asset_key, self.description, metadata, self.partition, self.tags)

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
            **({} if self.tags is None or self.tags == self._no_tags else {"tags": dict(self.tags)}),
        }


class AssetMaterialization(EventWithMetadata):
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

    kind = ASSET_MATERIALIZATION
    noun = "materialization"

    def _check(self) -> None:
        super()._check()
        dimensions = {
            name.removeprefix(_DIMENSION): value
            for name, value in (self.tags or {}).items()
            if name.startswith(_DIMENSION)
        }
        if dimensions:
            # Imported here, as most assets have no partitions of several dimensions.
            from treadle.definitions.partitions.multi import MultiPartitionKey

            object.__setattr__(self, "partition", MultiPartitionKey(dimensions))

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


class AssetObservation(EventWithMetadata):
    """The event that something was noticed about an asset, such as its number of rows, without an update of it.

    It is recorded and can be queried, and triggers no sensor.

    Args:
        asset_key: the asset; a string or several stand for the key of these parts.
        description: free text.
        metadata: by name, plain JSON, a path, an `AssetKey` or a `MetadataValue`; at most 64 KiB in total, with the
            description and the tags.
        partition: its partition that was observed.
        tags: of the observation.

    Raises:
        InvalidReportError: if the key, the metadata or a tag is invalid or too large.
    """

    kind = ASSET_OBSERVATION
    noun = "observation"
    _no_tags: ClassVar[Mapping[str, str] | None] = {}
    tags: Mapping[str, str]

    @property
    def data_version(self) -> str | None:
        """The version of the data that was observed: the tag `dagster/data_version`."""
        return self.tags.get(DATA_VERSION_TAG)


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


DATA_VERSION_TAG = "dagster/data_version"
_DIMENSION = "dagster/partition/"
_SYSTEM_TAGS = {
    "dagster/code_version",
    DATA_VERSION_TAG,
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


ReportedEvent = AssetMaterialization | AssetObservation


@dataclass(frozen=True, slots=True)
class RecordedAssetEvent:
    """The event that a materialization or an observation was recorded; published once for each event id.

    Attributes:
        reported: what was reported.
        event_id: the same in a redelivery.
        storage_id: its number among the materializations, or the observations, of its asset, in the order of
            recording.
        time: when it happened.
        run_id: the run that did it, if known.
        depth: the number of runs, and ticks that reported assets, that led to it, one after the other.
        location: the engine to which it was reported, as `account/region/namespace`.
    """

    reported: ReportedEvent
    event_id: str
    storage_id: int
    time: datetime
    run_id: str | None = None
    depth: int = 0
    location: str = ""

    @property
    def asset_key(self) -> AssetKey:
        """The asset."""
        return self.reported.asset_key

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        partition = self.reported.partition
        of = f" of partition {partition}" if partition else ""
        return f"Asset {self.asset_key.to_escaped_user_string()}: {self.reported.noun} {self.storage_id}{of}"


@dataclass(frozen=True, slots=True)
class AssetMaterialized(RecordedAssetEvent):
    """The event that a materialization was recorded. Sensors evaluate it."""

    reported: AssetMaterialization

    @property
    def materialization(self) -> AssetMaterialization:
        """The materialization."""
        return self.reported

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in a redelivery of the event."""
        return ("asset", self.asset_key.to_escaped_user_string(), self.event_id)

    @property
    def item_identity(self) -> str:
        """What identifies it as an item of a batch."""
        return f"{self.asset_key.to_escaped_user_string()}/{self.event_id}"


@dataclass(frozen=True, slots=True)
class AssetObserved(RecordedAssetEvent):
    """The event that an observation was recorded. No sensor evaluates it."""

    reported: AssetObservation


RecordedEvent = AssetMaterialized | AssetObserved


def recorded_as(event: ReportedEvent) -> Callable[..., RecordedEvent]:
    """Return the class of a recorded event."""
    return AssetMaterialized if isinstance(event, AssetMaterialization) else AssetObserved
