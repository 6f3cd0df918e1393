"""Checks of values from author code, made when the value is created; a valid value can be stored and sent."""

import json
from collections.abc import Mapping
from typing import Any

from treadle.definitions.bounds import MAX_LEVELS, shown
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import InvalidResultError, TreadleError

Refusal = type[TreadleError]


def text_value(
    value: object, what: str, refusal: Refusal = InvalidResultError, *, wanted: str = "a string or None"
) -> str:
    """Return the value as plain text.

    Args:
        value: as it was given.
        what: its name, for the message.
        refusal: the error for any other value.
        wanted: what it must be, for the message; None itself is never given.

    Raises:
        InvalidResultError: or the type of `refusal`, if it is not a string, or not valid Unicode.
    """
    if not isinstance(value, str):
        msg = f"{what} must be {wanted}, not {type(value).__name__}: {shown(value)}. Write it as a string."
        raise refusal(msg)
    text = str.__str__(value)  # Only the text of a string's subclass, such as an enum member.
    problem = unicode_problem(text)
    if problem:
        msg = f"{what} {problem}"
        raise refusal(msg)
    return text


def unicode_problem(text: str) -> str | None:
    """Return why a text cannot be encoded as UTF-8; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"cannot be written as UTF-8: {shown(text)} has a lone surrogate at position "
            f"{error.start}, as in a file name that is not UTF-8. Replace it, for example with "
            "text.encode(errors='replace').decode()."
        )
    return None


def json_text(value: Any, what: str, refusal: Refusal = InvalidResultError) -> str:
    """Return the value's canonical JSON.

    Args:
        value: as it was given.
        what: its name, for the message.
        refusal: the error for a value that is not plain JSON.

    Raises:
        InvalidResultError: or the type of `refusal`, if it is not plain JSON, has a text that is not valid
            Unicode, or more levels than can be stored.
    """
    try:
        text = canonical_json(value)
        text.encode()  # A lone surrogate passes as JSON until it is to be sent.
        if text.count("[") + text.count("{") > MAX_LEVELS:
            _check_levels(json.loads(text))
    except RecursionError as error:
        msg = f"{what} has more than {MAX_LEVELS} levels of lists and objects. Make it flatter."
        raise refusal(msg) from error
    except (TypeError, ValueError) as error:
        msg = f"{what} must be plain JSON (str, int, float, bool, None, list, dict with str keys): {error}."
        raise refusal(msg) from error
    return text


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MAX_LEVELS):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for parts in inner for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise RecursionError


def tag_texts(tags: object, refusal: Refusal = InvalidResultError) -> dict[str, str]:
    """Return tags as they are put on a run: text; a value that is not a string is written as JSON.

    Args:
        tags: as they were given.
        refusal: the error for invalid tags.

    Raises:
        InvalidResultError: or the type of `refusal`, if they are not a mapping, two have the same name, or
            one is not valid Unicode or not plain JSON.
    """
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        msg = f"tags must be a mapping, not {type(tags).__name__}: {shown(tags)}. Give a dict of strings."
        raise refusal(msg)
    texts = {_tag_name(name, refusal): _tag_value(name, value, refusal) for name, value in tags.items()}
    if len(texts) < len(tags):
        msg = f"Two tags have the same name once it is written as a string: {shown(dict(tags))}. Give each its own."
        raise refusal(msg)
    return texts


def _tag_name(name: object, refusal: Refusal) -> str:
    return text_value(name if isinstance(name, str) else str(name), "The name of a tag", refusal)


def _tag_value(name: object, value: object, refusal: Refusal) -> str:
    if isinstance(value, str) and value.isascii():
        return str.__str__(value)
    text = json_text(value, f"Tag {shown(name)}", refusal)
    return str.__str__(value) if isinstance(value, str) else text
