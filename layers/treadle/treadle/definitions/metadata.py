"""Metadata values, with Dagster's types and accessors."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidMetadata
from treadle.definitions.values import json_text

if TYPE_CHECKING:
    import builtins


def _check(name: str, value: object, *kinds: type, is_exact: bool = False) -> None:
    if value is None and not is_exact:
        return
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        msg = f'Param "{name}" is not a {names}. Got {shown(value)} which is type {type(value)}.'
        raise DagsterInvalidMetadata(msg)


class MetadataValue:
    """A metadata value; its static methods make values of each type.

    Attributes:
        value: the value itself.
        plain: the value as plain JSON, in which it is stored and sent.
        stored_type: the name of its type in storage.
    """

    value: Any
    stored_type: ClassVar[str] = ""

    @property
    def plain(self) -> Any:
        """The value as plain JSON."""
        return self.value

    @staticmethod
    def int(value: "builtins.int | None") -> "IntMetadataValue":
        """Return an integer."""
        return IntMetadataValue(value)

    @staticmethod
    def float(value: "builtins.float | None") -> "FloatMetadataValue":
        """Return a number."""
        return FloatMetadataValue(value)

    @staticmethod
    def bool(value: "builtins.bool | None") -> "BoolMetadataValue":
        """Return True or False."""
        return BoolMetadataValue(value)

    @staticmethod
    def text(text: str | None) -> "TextMetadataValue":
        """Return a text."""
        return TextMetadataValue(text)

    @staticmethod
    def md(data: str | None) -> "MarkdownMetadataValue":
        """Return a text in Markdown."""
        return MarkdownMetadataValue(data)

    @staticmethod
    def url(url: str | None) -> "UrlMetadataValue":
        """Return a URL."""
        return UrlMetadataValue(url)

    @staticmethod
    def json(data: Sequence[Any] | Mapping[str, Any] | None) -> "JsonMetadataValue":
        """Return plain JSON."""
        return JsonMetadataValue(data)

    @staticmethod
    def path(path: str | PathLike[str] | None) -> "PathMetadataValue":
        """Return the path of a file."""
        return PathMetadataValue(path)

    @staticmethod
    def notebook(path: str | PathLike[str] | None) -> "NotebookMetadataValue":
        """Return the path of a notebook."""
        return NotebookMetadataValue(path)

    @staticmethod
    def timestamp(value: "builtins.float | datetime") -> "TimestampMetadataValue":
        """Return a time.

        Args:
            value: seconds since the epoch as a float, or a datetime with a time zone.
        """
        if isinstance(value, datetime):
            if value.tzinfo is None:
                msg = (
                    "Datetime values provided to MetadataValue.timestamp must have timezones, but "
                    f"{value.isoformat()} does not."
                )
                raise DagsterInvalidMetadata(msg)
            value = value.timestamp()
        return TimestampMetadataValue(value)

    @staticmethod
    def dagster_run(run_id: str) -> "DagsterRunMetadataValue":
        """Return a reference to a run."""
        return DagsterRunMetadataValue(run_id)

    @staticmethod
    def asset(asset_key: AssetKey) -> "DagsterAssetMetadataValue":
        """Return a reference to an asset."""
        return DagsterAssetMetadataValue(asset_key)

    @staticmethod
    def null() -> "NullMetadataValue":
        """Return no value."""
        return NullMetadataValue()


@dataclass(frozen=True)
class IntMetadataValue(MetadataValue):
    """An integer.

    Args:
        value: the number.
    """

    value: int | None
    stored_type: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        _check("value", self.value, int)


@dataclass(frozen=True)
class FloatMetadataValue(MetadataValue):
    """A number.

    Args:
        value: the number, as a float.
    """

    value: float | None
    stored_type: ClassVar[str] = "float"

    def __post_init__(self) -> None:
        _check("value", self.value, float)


@dataclass(frozen=True)
class BoolMetadataValue(MetadataValue):
    """True or False.

    Args:
        value: one of them.
    """

    value: bool | None
    stored_type: ClassVar[str] = "bool"

    def __post_init__(self) -> None:
        _check("value", self.value, bool)


@dataclass(frozen=True)
class TimestampMetadataValue(MetadataValue):
    """A time.

    Args:
        value: seconds since the epoch, as a float.
    """

    value: float
    stored_type: ClassVar[str] = "timestamp"

    def __post_init__(self) -> None:
        _check("value", self.value, float, is_exact=True)


@dataclass(frozen=True)
class TextMetadataValue(MetadataValue):
    """A text.

    Args:
        text: the text.
    """

    text: str | None = ""  # type: ignore[assignment]
    stored_type: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        _check("text", self.text, str)

    @property
    def value(self) -> str:
        """The text; "" if there is none."""
        return self.text or ""


@dataclass(frozen=True)
class UrlMetadataValue(MetadataValue):
    """A URL.

    Args:
        url: the URL.
    """

    url: str | None = ""  # type: ignore[assignment]
    stored_type: ClassVar[str] = "url"

    def __post_init__(self) -> None:
        _check("url", self.url, str)

    @property
    def value(self) -> str:
        """The URL; "" if there is none."""
        return self.url or ""


@dataclass(frozen=True)
class MarkdownMetadataValue(MetadataValue):
    """A text in Markdown.

    Args:
        md_str: the text.
    """

    md_str: str | None = ""
    stored_type: ClassVar[str] = "md"

    def __post_init__(self) -> None:
        _check("md_str", self.md_str, str)

    @property
    def value(self) -> str:
        """The text; "" if there is none."""
        return self.md_str or ""


@dataclass(frozen=True, init=False)
class _FileMetadataValue(MetadataValue):
    fspath: str

    def __init__(self, path: str | PathLike[str] | None) -> None:
        _check("path", path, str, PathLike)
        object.__setattr__(self, "fspath", "" if path is None else fspath(path))

    @property
    def value(self) -> str:
        """The path."""
        return self.fspath

    @property
    def path(self) -> str:  # type: ignore[override]
        """The path."""
        return self.fspath


class PathMetadataValue(_FileMetadataValue):
    """The path of a file.

    Args:
        path: a string, or a `pathlib.Path`.
    """

    stored_type: ClassVar[str] = "path"


class NotebookMetadataValue(_FileMetadataValue):
    """The path of a notebook.

    Args:
        path: a string, or a `pathlib.Path`.
    """

    stored_type: ClassVar[str] = "notebook"


@dataclass(frozen=True)
class JsonMetadataValue(MetadataValue):
    """Plain JSON.

    Args:
        data: a list or an object.
    """

    data: Sequence[Any] | Mapping[str, Any] | None
    stored_type: ClassVar[str] = "json"

    def __post_init__(self) -> None:
        _check("data", self.data, Mapping, Sequence)
        # A copy, as Dagster makes one.
        object.__setattr__(
            self, "data", json.loads(json_text(self.data, "A metadata value", DagsterInvalidMetadata))
        )

    @property
    def value(self) -> Any:
        """The list or the object."""
        return self.data


@dataclass(frozen=True)
class DagsterRunMetadataValue(MetadataValue):
    """A reference to a run.

    Args:
        run_id: its id.
    """

    run_id: str
    stored_type: ClassVar[str] = "dagster_run"

    def __post_init__(self) -> None:
        _check("run_id", self.run_id, str, is_exact=True)

    @property
    def value(self) -> str:
        """The run's id."""
        return self.run_id


@dataclass(frozen=True)
class DagsterAssetMetadataValue(MetadataValue):
    """A reference to an asset.

    Args:
        asset_key: its key.
    """

    asset_key: AssetKey
    stored_type: ClassVar[str] = "asset"

    def __post_init__(self) -> None:
        _check("asset_key", self.asset_key, AssetKey, is_exact=True)

    @property
    def value(self) -> AssetKey:
        """The asset's key."""
        return self.asset_key

    @property
    def plain(self) -> str:
        """The asset's key as text."""
        return self.asset_key.to_escaped_user_string()


@dataclass(frozen=True)
class NullMetadataValue(MetadataValue):
    """No value."""

    stored_type: ClassVar[str] = "null"

    @property
    def value(self) -> None:
        """None."""
        return


def metadata_value(value: object) -> MetadataValue:
    """Return a value as Dagster types it; a `MetadataValue` stays as it is.

    Raises:
        DagsterInvalidMetadata: if no type fits.
    """
    if isinstance(value, MetadataValue):
        return value
    kinds: Sequence[tuple[Any, Any]] = (
        (str, TextMetadataValue),
        (float, FloatMetadataValue),
        (bool, BoolMetadataValue),
        (int, IntMetadataValue),
        ((list, dict), JsonMetadataValue),
        (PathLike, PathMetadataValue),
        (AssetKey, DagsterAssetMetadataValue),
    )
    for kind, make in kinds:
        if isinstance(value, kind):
            made: MetadataValue = make(value)
            return made
    if value is None:
        return NullMetadataValue()
    msg = f"Its type was {type(value)}. Consider wrapping the value with the appropriate MetadataValue type."
    raise DagsterInvalidMetadata(msg)


def normalized_metadata(metadata: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Return metadata by name, as Dagster types it.

    Args:
        metadata: by name, plain JSON, a path, an asset's key or a `MetadataValue`.

    Raises:
        DagsterInvalidMetadata: if a value has no type of metadata.
    """
    values = {}
    for name, value in metadata.items():
        try:
            values[str(name)] = metadata_value(value)
        except DagsterInvalidMetadata as error:
            msg = (
                f'Could not resolve the metadata value for "{name}" to a known type. {error} Metadata must be plain '
                "JSON or a MetadataValue."
            )
            raise DagsterInvalidMetadata(msg) from error
    return values


def plain_types(metadata: Mapping[str, MetadataValue]) -> dict[str, str]:
    """Return the types by name of the values whose plain JSON does not have them, for storage."""
    return {
        name: value.stored_type
        for name, value in metadata.items()
        if type(metadata_value(value.plain)) is not type(value)
    }


def typed_metadata(plain: Mapping[str, Any], types: Mapping[str, str] | None) -> dict[str, MetadataValue]:
    """Return stored metadata with its types.

    Args:
        plain: by name, plain JSON.
        types: from `plain_types`; a type that this version does not have is left out.

    Raises:
        DagsterInvalidMetadata: if a value does not fit its type.
    """
    known = {name: _TYPES[kind] for name, kind in (types or {}).items() if kind in _TYPES}
    return normalized_metadata({**plain, **{name: make(plain[name]) for name, make in known.items()}})


def _asset(text: str) -> MetadataValue:
    return DagsterAssetMetadataValue(AssetKey.from_escaped_user_string(text))


_TYPES: Mapping[str, Callable[[Any], MetadataValue]] = {
    "int": IntMetadataValue,
    "float": lambda value: FloatMetadataValue(None if value is None else float(value)),
    "bool": BoolMetadataValue,
    "url": UrlMetadataValue,
    "md": MarkdownMetadataValue,
    "path": PathMetadataValue,
    "notebook": NotebookMetadataValue,
    "json": JsonMetadataValue,
    "timestamp": lambda value: TimestampMetadataValue(float(value)),
    "dagster_run": DagsterRunMetadataValue,
    "asset": _asset,
}
