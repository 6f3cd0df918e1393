"""Batches: many items, for which a sensor's function is called once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from treadle.definitions.bounds import MAX_ID, MAX_RUN_KEY, byte_size, shown
from treadle.definitions.errors import DagsterInvalidDefinitionError, InvalidResultError

MAX_ITEMS = 5_000
"""The most items of a batch: its manifest is one item of a table."""

MAX_WAIT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Batch:
    """When items that wait form a batch: as soon as one of the limits is reached.

    Attributes:
        size: the most items of a batch.
        within: the longest time that an item waits.
        quiet: a batch is closed when no item has arrived for this time; None for no such limit.
        by: returns a text for an item, such as its customer; only items with the same text are in one batch.
        bytes: a batch is closed when its items have this size: objects their own, and others that of their content. None
            for no such limit.
    """

    size: int = 500
    within: timedelta = timedelta(minutes=5)
    quiet: timedelta | None = None
    by: Callable[[Any], str] | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            DagsterInvalidDefinitionError: with all problems at once.
        """
        problems = []
        by: object = self.by
        if not _is_number(self.size) or not 1 <= self.size <= MAX_ITEMS:
            problems.append(f"size must be a number from 1 to {MAX_ITEMS}, not {shown(self.size)}")
        if not _is_duration(self.within):
            problems.append(f"within must be a timedelta of 1 second to 7 days, not {shown(self.within)}")
        elif self.quiet is not None and not (_is_duration(self.quiet) and self.quiet < self.within):
            problems.append(
                f"quiet must be a timedelta of at least 1 second, and shorter than within, not {shown(self.quiet)}"
            )
        if self.bytes is not None and (not _is_number(self.bytes) or self.bytes < 1):
            problems.append(f"bytes must be a number from 1, not {shown(self.bytes)}")
        if by is not None and not callable(by):
            problems.append(f"by must be a function of an item, not {shown(by)}")
        if problems:
            msg = f"A batch cannot have these limits: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)

    @property
    def within_ms(self) -> int:
        """The longest time that an item waits, in milliseconds."""
        return self.within // timedelta(milliseconds=1)

    @property
    def quiet_ms(self) -> int | None:
        """The time without arrivals that closes a batch, in milliseconds."""
        return None if self.quiet is None else self.quiet // timedelta(milliseconds=1)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    return isinstance(value, timedelta) and timedelta(seconds=1) <= value <= MAX_WAIT


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What is stored of an item beside its content.

    Attributes:
        identity: what identifies it, for as long as the sensor exists: the run key that it would have by itself.
        by: the value of `Batch.by`; "" without it.
        size: what it adds to the limit in bytes.
        value: the item as it will be evaluated.
    """

    identity: str
    by: str
    size: int
    value: Any


def item_facts(sensor: str, batch: Batch, identity: object, value: Any, size: int) -> ItemFacts:
    """Return what is stored of an item.

    Args:
        sensor: the sensor's name, for errors.
        batch: the sensor's batches.
        identity: what the item's identity function returned, or its own run key.
        value: the item.
        size: what it adds to the limit in bytes.

    Raises:
        InvalidResultError: if identity or `by` is no text, or too long.
    """
    by: object = "" if batch.by is None else batch.by(value)
    for name, text, least, most in (("identity", identity, 1, MAX_RUN_KEY), ("by", by, 0, MAX_ID)):
        if not isinstance(text, str) or not least <= byte_size(text) <= most:
            msg = (
                f"Sensor {sensor}: {name} returned {shown(text)} for an item of a batch. Return a text of {least} to {most} "
                "bytes."
            )
            raise InvalidResultError(msg)
    return ItemFacts(str(identity), str(by), size, value)
