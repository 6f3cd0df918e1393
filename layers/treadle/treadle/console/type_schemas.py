"""JSON schemas of the API's responses, derived from the types of their values."""

import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from treadle.console.api import Schema
from treadle.definitions.assets import AssetMaterialization, AssetObservation
from treadle.definitions.runs import StepFailure

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}

_NAMED = {each.__name__: each for each in (AssetMaterialization, AssetObservation, StepFailure)}
"""Types that the records' modules import for type checking only."""


def shape(kind: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of a value as `operate/views.py` converts it.

    Args:
        kind: a dataclass, an enumeration, or a type made of these and plain types.
        without: names of a dataclass's fields that are not shown.
    """
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind, localns=_NAMED)
        shown = [field.name for field in fields(kind) if field.name not in without]
        properties = {name: shape(hints[name]) for name in shown}
        return {"type": "object", "properties": properties, "required": shown, "additionalProperties": False}
    return _made_of(typing.get_origin(kind), typing.get_args(kind))


def _made_of(origin: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    if origin in {typing.Union, types.UnionType}:
        return {"anyOf": [shape(each) for each in arguments]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": shape(arguments[1])}
    if isinstance(origin, type) and issubclass(origin, Collection):
        return {"type": "array", "items": shape(arguments[0])}
    return {}  # Anything.


def with_properties(base: Schema, **properties: Schema) -> dict[str, Any]:
    """Return an object's schema with further properties, which are required."""
    return {
        **base,
        "properties": {**base["properties"], **properties},
        "required": [*base["required"], *(name for name in properties if name not in base["required"])],
    }
