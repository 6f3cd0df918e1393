"""Tables of the fields of records: each field once, with how its value is read and written."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from pynamodb.models import Model

from treadle.adapters.dynamodb.models import whole
from treadle.model.records import text

Convert = Callable[[Any], Any]


def _unchanged(value: Any) -> Any:
    return value


class Field(NamedTuple):
    """A field of a record, stored in the attribute of that name of its model.

    Attributes:
        name: the name of both.
        decode: converts the attribute's value, which is None if there is none; raises if it is invalid.
        encode: converts the field's value; None is not stored.
    """

    name: str
    decode: Convert = _unchanged
    encode: Convert = _unchanged


def decoded(fields: Iterable[Field], model: Model) -> dict[str, Any]:
    """Return the values of a record's fields, by name."""
    values = model.attribute_values
    return {name: decode(values.get(name)) for name, decode, _ in fields}


def encoded(fields: Iterable[Field], record: object) -> dict[str, Any]:
    """Return the values of a model's attributes, by name."""
    return {name: encode(getattr(record, name)) for name, _, encode in fields}


def or_none(value: Any) -> Any:
    """Return the value, or None for an empty one, which is not stored."""
    return value or None


def whole_or_zero(value: float | None) -> int:
    """Validate a number; 0 is not stored."""
    return whole(value) or 0


def all_text(values: Iterable[object] | None) -> tuple[str, ...]:
    """Validate a list of strings; an empty one is not stored."""
    return tuple(map(text, values or ()))


def one(name: str, kind: Callable[..., object], /, **parts: Convert) -> Field:
    """Return an optional field whose value is stored as a JSON list of its parts.

    Args:
        name: the field's name.
        kind: the type of its value.
        parts: how each part is read, in the order in which they are stored.
    """
    decode, encode = _list_of(kind, parts)
    return Field(
        name,
        lambda stored: None if stored is None else decode(stored),
        lambda value: None if value is None else encode(value),
    )


def several(name: str, kind: Callable[..., object], /, **parts: Convert) -> Field:
    """Return a field with any number of such values."""
    decode, encode = _list_of(kind, parts)
    return Field(
        name,
        lambda stored: tuple(map(decode, stored or ())),
        lambda values: list(map(encode, values)) or None,
    )


def _list_of(kind: Callable[..., object], parts: Mapping[str, Convert]) -> tuple[Convert, Convert]:
    converts = tuple(parts.values())

    def decode(stored: Iterable[Any]) -> object:
        return kind(*(convert(part) for convert, part in zip(converts, stored, strict=True)))

    return decode, attrgetter(*parts)
