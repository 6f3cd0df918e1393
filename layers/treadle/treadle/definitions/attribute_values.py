"""Values of DynamoDB as a stream's records have them: plain Python values, and their JSON form."""

import base64
import binascii
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Json = Mapping[str, Any]

_MOST_DIGITS = 130
"""More than the magnitude of a number may have in DynamoDB ("Data types" in its developer guide)."""


def plain_attributes(attributes: Json) -> dict[str, Any]:
    """Return an item's attributes as plain values ("AttributeValue" in the DynamoDB Streams API reference).

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if an attribute has another form.
    """
    return {_text(name): _plain(value) for name, value in attributes.items()}


def typed_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as attributes in JSON, from which `plain_attributes` returns them again."""
    return {name: _typed(value) for name, value in values.items()}


def decoded_bytes(value: object) -> bytes:
    """Decode binary data.

    Raises:
        TypeError, ValueError: if it is not in Base64.
    """
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        msg = f"binary data is not in Base64: {error}"
        raise ValueError(msg) from error


def _plain(value: Json) -> Any:
    [(kind, given)] = value.items()
    return _KINDS[kind](given)


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"M": typed_attributes(value)}
    if isinstance(value, list | tuple):
        return {"L": [_typed(each) for each in value]}
    if isinstance(value, set | frozenset):
        members = [_typed(each) for each in value]
        kind = next(iter(members[0]))
        return {f"{kind}S": sorted(each[kind] for each in members)}
    kind, given = _scalar(value)
    return {kind: given}


def _scalar(value: Any) -> tuple[str, Any]:
    if value is None:
        return "NULL", True
    if isinstance(value, bool):
        return "BOOL", value
    if isinstance(value, bytes):
        return "B", base64.b64encode(value).decode()
    return ("S", value) if isinstance(value, str) else ("N", str(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r:.80} is not a text"
        raise TypeError(msg)
    return value


def _number(value: object) -> int | float | Decimal:
    """Return a number of DynamoDB, which has up to 38 digits, without losing any."""
    exact = Decimal(_text(value))
    if not exact.is_finite() or abs(exact.adjusted()) > _MOST_DIGITS:
        msg = f"a number is {value!r:.40}"
        raise ValueError(msg)
    if exact == exact.to_integral_value():
        return int(exact)
    return float(exact) if Decimal(repr(float(exact))) == exact else exact


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        msg = f"a truth value is {value!r:.40}"
        raise TypeError(msg)
    return value


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "S": _text,
    "N": _number,
    "B": decoded_bytes,
    "BOOL": _bool,
    "NULL": lambda _: None,
    "M": plain_attributes,
    "L": lambda values: [_plain(each) for each in values],
    "SS": lambda values: {_text(each) for each in values},
    "NS": lambda values: {_number(each) for each in values},
    "BS": lambda values: {decoded_bytes(each) for each in values},
}
