"""JSON schemas that several operations share."""

from collections.abc import Mapping, Sequence
from typing import Any

from treadle.console.api import Schema

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
KEY: Schema = {"type": "string", "minLength": 1, "maxLength": 2048}
"""A run's, an asset's or an object's key."""


def limit(default: int, most: int) -> Schema:
    """Return the schema of a maximum number of results."""
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


def record(properties: Mapping[str, Schema], required: Sequence[str] | None = None) -> Schema:
    """Return the schema of an object with these properties and no others.

    Args:
        properties: schemas by name.
        required: the required properties; None for all.
    """
    names = list(properties if required is None else required)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": names,
        "additionalProperties": False,
    }


def list_of(schema: Schema) -> dict[str, Any]:
    """Return the schema of a list of any length."""
    return {"type": "array", "items": schema}
