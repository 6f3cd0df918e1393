"""Decoding of single records: any error is attributed to its record, and later records are still read."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from treadle.definitions.errors import StoreError, UnreadableRecordError, is_passing

S = TypeVar("S")
R = TypeVar("R")

logger = logging.getLogger(__name__)

LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: no later time can be written as a date."""

UNREADABLE = "unreadable: "
"""The prefix of what lists show in place of a record that cannot be read."""

_SHOWN = 300


def reader(decode: Callable[[S], R], name: Callable[[S], str]) -> Callable[[S], R]:
    """Wrap a decoder so that all its errors on an invalid record become one type.

    A missing attribute, an attribute of another type, bytes that are not zlib, JSON nested too deeply: each
    raises a different exception, and no caller can know all of them. A `StoreError` is passed through,
    because it is about the store that did not answer and not about the record.

    Args:
        decode: decodes a record.
        name: returns the record's name for messages, from its key alone.

    Returns:
        The decoder, which raises `UnreadableRecordError`.
    """

    def read(record: S) -> R:
        try:
            return decode(record)
        except (StoreError, UnreadableRecordError):
            raise
        except Exception as error:
            is_noted = isinstance(record, Mapping) and "unreadable" in record
            raise UnreadableRecordError(name(record), reason_of(error), is_noted=is_noted) from error

    return read


def or_error(write: Callable[[], R]) -> R | Exception:
    """Return what a write of one record returns, or the error if it concerns that record alone."""
    try:
        return write()
    except Exception as error:
        if is_passing(error):
            raise
        return error


def each_readable(read: Callable[[S], R], records: Iterable[S]) -> Iterator[R]:
    """Yield the records that can be read, in order; log the key of each other one and skip it.

    Args:
        read: a decoder made by `reader`.
        records: any number.
    """
    for record in records:
        try:
            yield read(record)
        except UnreadableRecordError as error:
            logger.error("%s", error)  # noqa: TRY400 - its words say all; a stack for each would bury them


def reason_of(error: Exception) -> str:
    """Return the exception's class and message, truncated; escape characters that cannot be stored."""
    summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return summary[:_SHOWN].encode(errors="backslashreplace").decode()


def text(value: object) -> str:
    """Return the value; raise TypeError if it is not a string."""
    if not isinstance(value, str):
        raise _unexpected(value, "a string")
    return value


def text_or_none(value: object) -> str | None:
    """Return the value; raise TypeError if it is neither a string nor None."""
    return None if value is None else text(value)


def integer(value: object, least: int = 0, most: int = LATEST_MS) -> int:
    """Return the value as a whole number within bounds; booleans are not accepted.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(value, "a number")
    if not least <= value <= most or int(value) != value:
        msg = f"{value!r:.40} must be a whole number from {least} to {most}"
        raise ValueError(msg)
    return int(value)


def texts(value: object) -> dict[str, str]:
    """Return the value; raise TypeError if it is not an object whose values are all strings."""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _unexpected(value, "an object of strings")
    return value


def _unexpected(value: object, wanted: str) -> TypeError:
    return TypeError(f"{value!r:.80} is a {type(value).__name__}; it must be {wanted}")
