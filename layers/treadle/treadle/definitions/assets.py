"""Assets: keys, materializations, metadata, in Dagster's form."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from treadle.definitions.bounds import MAX_PARTITION_KEY, byte_size, shown
from treadle.definitions.errors import InvalidReportError
from treadle.definitions.values import json_text, text_value, unicode_problem

ASSET_MATERIALIZATION = "ASSET_MATERIALIZATION"

MAX_KEY = 1_024
MAX_PARTITION = MAX_PARTITION_KEY
MAX_METADATA = 64 * 1_024
"""Bytes of UTF-8: an asset event with all of its metadata fits into one EventBridge event."""


@dataclass(frozen=True, order=True)
class AssetKey:
    """The name of an asset.

    Args:
        path: its parts, or its only part.

    Raises:
        InvalidReportError: if there is no part, a part is empty or not valid Unicode, the key begins with
            "#", or it has more than 1,024 bytes.
    """

    path: tuple[str, ...]

    def __init__(self, path: str | Sequence[str]) -> None:
        given: object = path
        parts: tuple[object, ...] = ()
        if isinstance(given, str | Sequence):
            parts = (given,) if isinstance(given, str) else tuple(given)
        if not parts or not all(isinstance(part, str) and part for part in parts):
            msg = f"An asset key must be one or more strings that are not empty, not {shown(path)}."
            raise InvalidReportError(msg)
        texts = tuple(text_value(part, "An asset's key", InvalidReportError) for part in parts)
        object.__setattr__(self, "path", texts)
        text = self.to_user_string()
        if text.startswith("#") or any("\\" in part for part in self.path) or not _fits(text, MAX_KEY):
            msg = (
                f"The asset key {text[:80]!r} cannot be stored: it must not begin with '#', contain "
                f"a backslash or exceed {MAX_KEY} bytes."
            )
            raise InvalidReportError(msg)

    @classmethod
    def from_user_string(cls, text: str) -> Self:
        r"""Parse a key that `to_user_string` wrote.

        Args:
            text: parts joined by "/"; a "/" within a part is written "\/".

        Raises:
            InvalidReportError: if it is not a key.
        """
        return cls([part.replace(r"\/", "/") for part in re.split(r"(?<!\\)/", text)])

    def to_user_string(self) -> str:
        r"""Return the parts joined by "/"; a "/" within a part is written "\/"."""
        return "/".join(part.replace("/", r"\/") for part in self.path)

    def __str__(self) -> str:
        return f"AssetKey({list(self.path)!r})"

    def __repr__(self) -> str:
        return str(self)


def _fits(text: str, size: int) -> bool:
    return byte_size(text) <= size


@dataclass(frozen=True, slots=True)
class MetadataValue:
    """A metadata value as plain JSON; Dagster's constructors all store only the value.

    Attributes:
        value: plain JSON.
    """

    value: Any

    @classmethod
    def of(cls, value: object) -> Self:
        """Wrap a value, unless it is wrapped already."""
        return value if isinstance(value, cls) else cls(value)

    @classmethod
    def int(cls, value: Any) -> Self:
        """Return an integer."""
        return cls(value)

    @classmethod
    def float(cls, value: Any) -> Self:
        """Return a number."""
        return cls(value)

    @classmethod
    def bool(cls, value: Any) -> Self:
        """Return True or False."""
        return cls(value)

    @classmethod
    def text(cls, value: Any) -> Self:
        """Return a text."""
        return cls(value)

    @classmethod
    def md(cls, value: Any) -> Self:
        """Return a text in Markdown."""
        return cls(value)

    @classmethod
    def url(cls, value: Any) -> Self:
        """Return a URL."""
        return cls(value)

    @classmethod
    def json(cls, value: Any) -> Self:
        """Return plain JSON."""
        return cls(value)

    @classmethod
    def path(cls, value: Any) -> Self:
        """Return the path of a file."""
        return cls(str(value))


@dataclass(frozen=True)
class AssetMaterialization:
    """The event that an asset was updated.

    Args:
        asset_key: the asset; a string or several stand for the key of these parts.
        description: free text.
        metadata: by name, plain JSON or a `MetadataValue`; at most 64 KiB in total.
        partition: its partition that was updated.

    Raises:
        InvalidReportError: if the key or the metadata is invalid or too large.
    """

    asset_key: AssetKey
    description: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    partition: str | None = None

    def __init__(
        self,
        asset_key: AssetKey | str | Sequence[str],
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        partition: str | None = None,
    ) -> None:
        key = asset_key if isinstance(asset_key, AssetKey) else AssetKey(asset_key)
        object.__setattr__(self, "asset_key", key)
        object.__setattr__(self, "description", description)
        given: object = metadata or {}
        if not isinstance(given, Mapping):
            msg = f"Metadata of asset {key.to_user_string()} must be a mapping, not {shown(given)}."
            raise InvalidReportError(msg)
        values = {str(name): MetadataValue.of(value) for name, value in given.items()}
        if len(values) < len(given):
            msg = (
                f"Metadata of asset {key.to_user_string()} has two entries with the same name once it is written as "
                f"a string: {shown(dict(given))}. Give each its own."
            )
            raise InvalidReportError(msg)
        object.__setattr__(self, "metadata", values)
        object.__setattr__(self, "partition", partition)
        self._check()

    def _check(self) -> None:
        texts: dict[str, object] = {"description": self.description, "partition": self.partition}
        for name, text in texts.items():
            if text is not None and not isinstance(text, str):
                msg = (
                    f"{name} of asset {self.asset_key.to_user_string()} must be a string, not {shown(text)}."
                )
                raise InvalidReportError(msg)
            if text is not None:
                object.__setattr__(self, name, str.__str__(text))  # Only the text of an enum member.
            problem = unicode_problem(text) if text else None
            if problem is not None:
                msg = f"{name} of asset {self.asset_key.to_user_string()} {problem}"
                raise InvalidReportError(msg)
        if self.partition is not None and not (self.partition and _fits(self.partition, MAX_PARTITION)):
            msg = (
                f"The partition of asset {self.asset_key.to_user_string()} must have 1 to "
                f"{MAX_PARTITION} bytes."
            )
            raise InvalidReportError(msg)
        what = f"Metadata of asset {self.asset_key.to_user_string()}"
        size = byte_size(json_text([self.plain_metadata, self.description], what, InvalidReportError))
        if size > MAX_METADATA:
            msg = (
                f"Metadata of asset {self.asset_key.to_user_string()} has {size} bytes; the limit "
                f"is {MAX_METADATA}. Store large values elsewhere and give their location."
            )
            raise InvalidReportError(msg)

    @property
    def plain_metadata(self) -> dict[str, Any]:
        """The metadata as plain JSON."""
        return {name: each.value for name, each in self.metadata.items()}


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
        return ("asset", self.asset_key.to_user_string(), self.event_id)

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        partition = self.materialization.partition
        of = f" of partition {partition}" if partition else ""
        return f"Asset {self.asset_key.to_user_string()}: materialization {self.storage_id}{of}"
