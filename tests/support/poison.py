"""Malformed messages and items, derived from valid ones."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

NO_MESSAGES: Mapping[str, str] = {
    "no JSON": "{",
    "empty": "",
    "a list": '[{"treadle": "launch"}]',
    "a string": '"launch"',
    "a number": "7",
    "null": "null",
    "deep lists": "[" * 5_000 + "]" * 5_000,
    "deep objects": '{"treadle": "launch", "detail": ' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}",
    "deep, and within Python's limit": '{"detail": ' + "[" * 150 + "]" * 150 + "}",
    "NaN": '{"treadle": "launch", "attempt": NaN}',
    "Infinity": '{"treadle": "launch", "attempt": -Infinity}',
    "a float beyond all": '{"treadle": "launch", "attempt": 1e999}',
    "an integer beyond all": '{"treadle": "launch", "attempt": ' + "9" * 5_000 + "}",
    "half a surrogate pair": '{"treadle": "launch", "run_id": "\\ud800"}',
    "half a pair as a name": '{"treadle": "launch", "\\udfff": 1}',
    "an empty object": "{}",
}
"""Messages that are valid in no queue of Treadle's."""

WRONG: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**70,
    "",
    "x",
    "x" * 3_000,
    "9999-12-31T23:59:59-14:00",
    "\ud800",
    "\x00",
    [],
    ["x", 1],
    {},
    {"x": {"y": []}},
)
"""Wrong values for any field."""


def mutations(message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the message without each of its fields, and with wrong values for it, with a description."""
    for path in _paths(message):
        name = ".".join(path)
        yield f"no {name}", _changed(message, path)
        for wrong in WRONG:
            yield f"{name}={wrong!r:.30}", _changed(message, path, wrong)


def _paths(value: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield (*prefix, name)
            yield from _paths(each, (*prefix, name))


_GONE = object()


def _changed(message: Mapping[str, Any], path: tuple[str, ...], value: Any = _GONE) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(message))
    parent = changed
    for name in path[:-1]:
        parent = parent[name]
    if value is _GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {"S": "x"},
    {"S": "[[1]]"},
    {"S": '{"x": 1}'},
    {"S": "[" * 5_000 + "]" * 5_000},
    {"N": "7"},
    {"N": "-1.5"},
    {"N": "1" + "0" * 37},
    {"B": b"no zlib"},
    {"BOOL": True},
    {"NULL": True},
    {"L": []},
    {"M": {}},
)


def damaged(
    item: Mapping[str, dict[str, Any]], *, keys: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield an item without each of its attributes, and with wrong values for it, with a description.

    Args:
        item: in DynamoDB's JSON.
        keys: attributes that stay, as a table or an index is keyed by them.
    """
    for name in item:
        if name in keys:
            continue
        yield f"no {name}", {each: value for each, value in item.items() if each != name}
        for wrong in _ATTRIBUTES:
            yield f"{name}={str(wrong)[:30]}", {**item, name: wrong}
