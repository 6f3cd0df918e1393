"""Parsing of untrusted messages into JSON that can be stored, serialized again and traversed."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from treadle.definitions.errors import UnknownEventError

MAX_NESTING = 100
"""Levels of JSON in a message.

AWS's and Treadle's own stay far below, and Python's own limit is about 1,000.
"""

MAX_MESSAGE = 1_048_576
"""Bytes. SQS accepts no larger message (quotas of Amazon SQS), and neither do we from elsewhere."""

_HALF_PAIR = r"\\u[dD][89a-fA-F]"
"""How JSON writes one half of a surrogate pair; most messages have none and skip the check."""


def parse_message(body: str) -> Mapping[str, Any]:
    """Parse a message as a JSON object: valid Unicode, finite numbers, and nested at most `MAX_NESTING` deep.

    What passes can be serialized again, stored, and traversed by recursion.

    Args:
        body: the text, untrusted.

    Raises:
        UnknownEventError: if it is not such an object.
    """
    try:
        _check_size(body)
        value = json.loads(body, parse_constant=_no_number, parse_float=_finite)
        if body.count("[") + body.count("{") > MAX_NESTING:
            _check_nesting(value)
        if re.search(_HALF_PAIR, body) or not body.isascii():
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        msg = f"The message is not JSON: {str(error)[:200]}."
        raise UnknownEventError(msg.encode(errors="backslashreplace").decode()) from error
    if not isinstance(value, dict):
        msg = f"The message must be a JSON object, not a {type(value).__name__}."
        raise UnknownEventError(msg)
    return value


def _check_size(body: str) -> None:
    if len(body) > MAX_MESSAGE:
        msg = f"it has {len(body)} characters; the limit is {MAX_MESSAGE}"
        raise ValueError(msg)


def _no_number(name: str) -> None:
    msg = f"{name} is not a number"
    raise ValueError(msg)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        msg = f"{digits[:40]} is too large"
        raise ValueError(msg)
    return number


def _check_nesting(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_NESTING):
        level = [
            each
            for parent in level
            for each in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(each, dict | list)
        ]
        if not level:
            return
    msg = f"it is nested more than {MAX_NESTING} levels deep"
    raise ValueError(msg)
