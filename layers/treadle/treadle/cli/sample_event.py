"""A sample event that a pattern matches, for the scaffold of an event sensor, and values as Python code."""

import json
from collections.abc import Mapping
from typing import Any

from treadle.definitions.event_pattern import OR, EventPattern, wildcard_parts

_WIDTH = 80
"""Longer collections are written on several lines; the formatter leaves them as they are, for their last comma."""

_ENVELOPE: Mapping[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Something Happened",
    "source": "my.application",
    "account": "123456789012",
    "time": "2026-11-22T18:00:05Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}

OTHER: Mapping[str, str] = {"source": "another.source", "detail-type": "Something Else"}
"""What distinguishes another event, in the test of a sensor."""

_UNGIVEN = frozenset(("id", "time", "replay-name"))
"""Fields that a test does not choose."""


def sample_event(pattern: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with the values that a pattern names; of values that a pattern excludes, it invents others.

    Args:
        pattern: an event pattern.
    """
    return {**_ENVELOPE, **_object(pattern)}


def arguments_of(event: Mapping[str, Any], pattern: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `TreadleInstance.put_event` needs to put a sample event that the pattern matches.

    Args:
        event: the sample event.
        pattern: the pattern.
    """
    named = [name for name in ("account", "region", "resources") if name in _fields(pattern)]
    needed = {"source": event["source"], "detail_type": event["detail-type"], "detail": event["detail"]}
    return needed | {name: event[name] for name in named}


def is_derivable(pattern: Mapping[str, Any]) -> bool:
    """Return whether a sample event matches the pattern, whatever its id and time."""
    return _UNGIVEN.isdisjoint(_fields(pattern)) and EventPattern(pattern).matches(sample_event(pattern))


def is_selective(pattern: Mapping[str, Any]) -> bool:
    """Return whether the pattern does not match just any event."""
    return not EventPattern(pattern).matches({**_ENVELOPE, **OTHER})


def _fields(pattern: Mapping[str, Any]) -> set[str]:
    """Return the fields of an event that a pattern names."""
    return {*pattern, *(name for each in pattern.get(OR, ()) for name in _fields(each))}


def _object(pattern: Mapping[str, Any], begun: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an object with the fields of a pattern, beside those that another part of it has given."""
    found = dict(begun or {})
    for name, expected in pattern.items():
        if name == OR:
            found = _object(expected[0], found)
        elif isinstance(expected, Mapping):
            found[name] = _object(expected, found.get(name))
        elif expected[0] != {"exists": False}:
            value = _value(expected[0])
            found[name] = [value] if name == "resources" else value
    return found


def _value(matcher: Any) -> Any:
    if not isinstance(matcher, Mapping):
        return matcher
    [(operator, operand)] = matcher.items()
    match operator:
        case "numeric":
            return _number(operand)
        case "wildcard":
            return "".join("any" if part == "*" else part[-1] for part in wildcard_parts(operand))
        case "cidr":
            return operand.partition("/")[0]
        case "exists" | "anything-but":
            return "any"
    return operand if isinstance(operand, str) else operand["equals-ignore-case"]


def _number(bounds: list[Any]) -> Any:
    limits = dict(zip(bounds[::2], bounds[1::2], strict=True))
    least, most = limits.get(">", limits.get(">=")), limits.get("<", limits.get("<="))
    if "=" in limits:
        return limits["="]
    if least is None:
        return most - 1 if most is not None else 0
    return least + 1 if most is None else (least + most) / 2


def literal(value: Any, indent: int = 0, before: int = _WIDTH) -> str:
    """Return a value of JSON as Python code, as the project's formatter lays it out.

    Args:
        value: parsed JSON.
        indent: of the line on which it begins.
        before: the number of characters before it on that line; by default, no collection fits behind them.
    """
    line = _line(value)
    if not value or not isinstance(value, dict | list) or before + len(line) <= _WIDTH:
        return line
    inner, outer = indent + 4, " " * indent
    if isinstance(value, dict):
        named = [(f"{_line(name)}: ", each) for name, each in value.items()]
        rows = [f"{name}{literal(each, inner, inner + len(name))}" for name, each in named]
    else:
        rows = [literal(each, inner, inner) for each in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([begin, *(f"{' ' * inner}{row}," for row in rows), f"{outer}{end}"])


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_line(name)}: {_line(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_line, value)) + "]"
    if isinstance(value, str) and '"' not in value:
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
