"""Event patterns: EventBridge's language for which events a rule matches.

"Comparison operators for use in event patterns" in the EventBridge User Guide describes it. `make verify-aws` compares
this module's results with those of EventBridge's TestEventPattern.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

Json: TypeAlias = Any
"""A value of parsed JSON."""

FIELDS = frozenset(
    (
        "version",
        "id",
        "detail-type",
        "source",
        "account",
        "time",
        "region",
        "resources",
        "detail",
        "replay-name",
    )
)
"""The fields of an event; a pattern that names another one matches nothing."""

OR = "$or"

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    "=": lambda value, limit: value == limit,
    ">=": lambda value, limit: value >= limit,
    ">": lambda value, limit: value > limit,
}


class EventPattern:
    """A pattern.

    Args:
        pattern: in EventBridge's form, as parsed JSON.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once, if EventBridge would not accept it, or it has an
            operator that is not known here.
    """

    def __init__(self, pattern: Mapping[str, Json]) -> None:
        problems = list(_problems(pattern, "the pattern"))
        if isinstance(pattern, Mapping):
            unknown = [name for name in pattern if name not in {*FIELDS, OR}]
            problems += [
                f"{name!r} is no field of an event: use {', '.join(sorted(FIELDS))}" for name in unknown
            ]
        if problems:
            msg = f"The event pattern cannot be used: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)
        self.pattern = pattern

    def matches(self, event: Mapping[str, Json]) -> bool:
        """Return whether the pattern matches an event, given as EventBridge's JSON."""
        return _matches(self.pattern, event)


def _problems(pattern: Json, where: str) -> Iterator[str]:
    if not isinstance(pattern, Mapping):
        yield f"{where} is {shown(pattern)}, and must be an object of fields"
        return
    if not pattern:
        yield f"{where} has no fields"
    for name, expected in pattern.items():
        inside = name if where == "the pattern" else f"{where}.{name}"
        if name == OR:
            if not isinstance(expected, list) or len(expected) < 2:
                yield f"{inside} must be a list of two patterns or more"
            else:
                for each in expected:
                    yield from _problems(each, inside)
        elif isinstance(expected, Mapping):
            yield from _problems(expected, inside)
        elif not isinstance(expected, list) or not expected:
            yield f"{inside} is {shown(expected)}, and must be a list of values or an object of fields"
        else:
            for each in expected:
                yield from _problems_of_matcher(each, inside)


def _problems_of_matcher(matcher: Json, where: str) -> Iterator[str]:
    if matcher is None or isinstance(matcher, str | int | float):
        return
    if not isinstance(matcher, Mapping) or len(matcher) != 1:
        yield f"{where} has {shown(matcher)}, and must have values, or objects with one operator"
        return
    [(operator, operand)] = matcher.items()
    check = _OPERANDS.get(operator)
    if check is None:
        yield f"{where} has the unknown operator {operator!r}: use {', '.join(sorted(_OPERANDS))}"
    elif not check(operand):
        yield f"{where} gives operator {operator!r} {shown(operand)}, which it does not accept"


def _is_text(operand: Json) -> bool:
    return isinstance(operand, str)


def _is_number(operand: Json) -> bool:
    return isinstance(operand, int | float) and not isinstance(operand, bool)


def _is_affix(operand: Json) -> bool:
    return _is_text(operand) or (
        isinstance(operand, Mapping)
        and list(operand) == [_IGNORING_CASE]
        and _is_text(operand[_IGNORING_CASE])
    )


def _is_texts(operand: Json) -> bool:
    return _is_text(operand) or (isinstance(operand, list) and bool(operand) and all(map(_is_text, operand)))


def _is_excluded(operand: Json) -> bool:
    if isinstance(operand, Mapping):
        return len(operand) == 1 and all(
            name in _EXCLUDABLE and _is_texts(value) for name, value in operand.items()
        )
    values = operand if isinstance(operand, list) else [operand]
    return bool(values) and (all(map(_is_text, values)) or all(map(_is_number, values)))


def _is_range(operand: Json) -> bool:
    if not isinstance(operand, list) or len(operand) not in {2, 4}:
        return False
    return all(each in _COMPARED for each in operand[::2]) and all(map(_is_number, operand[1::2]))


def _is_network(operand: Json) -> bool:
    from ipaddress import ip_network

    try:
        return isinstance(operand, str) and "/" in operand and ip_network(operand, strict=False) is not None
    except ValueError:
        return False


_IGNORING_CASE = "equals-ignore-case"
_EXCLUDABLE = frozenset(("prefix", "suffix", _IGNORING_CASE, "wildcard"))

_OPERANDS: Mapping[str, Callable[[Json], bool]] = {
    "prefix": _is_affix,
    "suffix": _is_affix,
    _IGNORING_CASE: _is_text,
    "wildcard": _is_text,
    "anything-but": _is_excluded,
    "numeric": _is_range,
    "cidr": _is_network,
    "exists": lambda operand: isinstance(operand, bool),
}


def _matches(pattern: Mapping[str, Json], value: Mapping[str, Json]) -> bool:
    return all(
        any(_matches(each, value) for each in expected)
        if name == OR
        else _field_matches(expected, value.get(name, _ABSENT))
        for name, expected in pattern.items()
    )


_ABSENT: Any = object()


def _field_matches(expected: Json, value: Json) -> bool:
    if isinstance(expected, Mapping):
        # Of a list of objects, one must have all fields. A missing object is one without fields.
        objects = [each for each in _flat(value) if isinstance(each, Mapping)] or [{}]
        return any(_matches(expected, each) for each in objects)
    leaves = [each for each in _flat(value) if not isinstance(each, Mapping)]
    return any(_leaf_matches(each, leaves) for each in expected)


def _flat(value: Json) -> Iterator[Json]:
    """Yield a value, or the values of a list and of the lists in it; nothing if it is absent."""
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif value is not _ABSENT:
        yield value


def _leaf_matches(matcher: Json, leaves: list[Json]) -> bool:
    if isinstance(matcher, Mapping) and "exists" in matcher:
        return bool(leaves) is matcher["exists"]
    return any(_value_matches(matcher, each) for each in leaves)


def _value_matches(matcher: Json, value: Json) -> bool:
    if not isinstance(matcher, Mapping):
        return type(value) is type(matcher) and bool(value == matcher)
    [(operator, operand)] = matcher.items()
    if operator == "numeric":
        pairs = zip(operand[::2], operand[1::2], strict=True)
        return _is_number(value) and all(_COMPARED[sign](value, limit) for sign, limit in pairs)
    if operator == "anything-but":
        if isinstance(operand, Mapping):
            [(excluding, given)] = operand.items()
            return not any(_text_matches(excluding, each, value) for each in _flat(given))
        return not any(_value_matches(each, value) for each in _flat(operand))
    return _text_matches(operator, operand, value)


def _text_matches(operator: str, operand: Json, value: Json) -> bool:
    if not isinstance(value, str):
        return False
    given, seen = str(operand[_IGNORING_CASE] if isinstance(operand, Mapping) else operand), str(value)
    if operator == _IGNORING_CASE or isinstance(operand, Mapping):
        given, seen = given.lower(), seen.lower()
    match operator:
        case "prefix":
            return seen.startswith(given)
        case "suffix":
            return seen.endswith(given)
        case "wildcard":
            return re.fullmatch(_wildcard(given), seen, re.DOTALL) is not None
        case "cidr":
            return _is_in_network(given, seen)
    return seen == given


def _wildcard(text: str) -> str:
    """Return the regular expression of a text with wildcards."""
    return "".join(".*" if part == "*" else re.escape(part[-1]) for part in wildcard_parts(text))


def wildcard_parts(text: str) -> list[str]:
    """Split a text with wildcards into characters; a backslash escapes `*` and itself, and stays before it."""
    return re.findall(r"\\[*\\]|.", text, re.DOTALL)


def _is_in_network(network: str, value: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(value) in ip_network(network, strict=False)
    except ValueError:
        return False
