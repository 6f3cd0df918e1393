"""The names of assets, in Dagster's form."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from treadle.definitions.bounds import byte_size, shown
from treadle.definitions.errors import InvalidReportError
from treadle.definitions.values import text_value

MAX_KEY = 1_024


@dataclass(frozen=True, order=True)
class AssetKey:
    """The name of an asset.

    Args:
        path: its parts, or its only part.

    Attributes:
        parts: its parts.

    Raises:
        InvalidReportError: if there is no part, a part is empty or not valid Unicode, the key begins with
            "#", or it has more than 1,024 bytes.
    """

    parts: tuple[str, ...]

    def __init__(self, path: str | Sequence[str]) -> None:
        given: object = path
        parts: tuple[object, ...] = ()
        if isinstance(given, str | Sequence):
            parts = (given,) if isinstance(given, str) else tuple(given)
        if not parts or not all(isinstance(part, str) and part for part in parts):
            msg = f"An asset key must be one or more strings that are not empty, not {shown(path)}."
            raise InvalidReportError(msg)
        texts = tuple(text_value(part, "An asset's key", InvalidReportError) for part in parts)
        object.__setattr__(self, "parts", texts)
        text = self.to_escaped_user_string()
        if text.startswith("#") or byte_size(text) > MAX_KEY:
            msg = (
                f"The asset key {text[:80]!r} cannot be stored: it must not begin with '#' or exceed "
                f"{MAX_KEY} bytes."
            )
            raise InvalidReportError(msg)

    @property
    def path(self) -> list[str]:
        """The parts as a list."""
        return list(self.parts)

    @classmethod
    def from_coercible(cls, arg: "AssetKey | str | Sequence[str]") -> "AssetKey":
        """Return the key of these parts, or of this only part; a key stays as it is."""
        return arg if isinstance(arg, AssetKey) else cls(arg)

    @classmethod
    def from_user_string(cls, asset_key_string: str) -> Self:
        """Parse parts joined by "/"."""
        return cls(asset_key_string.split("/"))

    @classmethod
    def from_escaped_user_string(cls, asset_key_string: str) -> Self:
        r"""Parse a key that `to_escaped_user_string` wrote.

        Args:
            asset_key_string: parts joined by "/"; within a part, "/" is written "\/" and "\" is written "\\".

        Raises:
            InvalidReportError: if it is not a key.
        """
        if "\\" not in asset_key_string:
            return cls.from_user_string(asset_key_string)
        parts = [""]
        for escaped, slash, plain in re.findall(r"\\(.?)|(/)|([^\\/]+)", asset_key_string, re.DOTALL):
            if slash:
                parts.append("")
            elif plain or escaped in {"/", "\\"}:
                parts[-1] += plain or escaped
            else:
                msg = (
                    f"The asset key {asset_key_string[:80]!r} has a backslash that escapes neither '/' nor a "
                    "backslash. Write a backslash twice."
                )
                raise InvalidReportError(msg)
        return cls(parts)

    def to_user_string(self) -> str:
        """Return the parts joined by "/"."""
        return "/".join(self.parts)

    def to_escaped_user_string(self) -> str:
        r"""Return the parts joined by "/", with "/" as "\/" and "\" as "\\" within a part: one text for each key."""
        return "/".join(part.replace("\\", r"\\").replace("/", r"\/") for part in self.parts)

    def to_string(self) -> str:
        """Return the parts as JSON."""
        return json.dumps(self.path)

    def to_python_identifier(self, suffix: str | None = None) -> str:
        """Return the parts, and the suffix, joined by "__", with "_" for "-" and "."."""
        parts = self.parts if suffix is None else (*self.parts, suffix)
        return "__".join(parts).replace("-", "_").replace(".", "_")

    def has_prefix(self, prefix: Sequence[str]) -> bool:
        """Return whether the first parts are these; as in Dagster, only a list is a prefix."""
        return self.path[: len(prefix)] == prefix

    def with_prefix(self, prefix: str | Sequence[str]) -> "AssetKey":
        """Return the key with more parts, or one, before its own."""
        return AssetKey([*([prefix] if isinstance(prefix, str) else prefix), *self.parts])

    def __str__(self) -> str:
        return f"AssetKey({self.path!r})"

    def __repr__(self) -> str:
        return str(self)
