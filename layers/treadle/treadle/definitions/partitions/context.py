"""The time and the store with which partition definitions list their keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple


class PartitionLoadingContext(NamedTuple):
    """What the keys of a partitions definition depend on.

    Attributes:
        effective_dt: the current time.
        dynamic_partitions_store: lists the keys of dynamic partitions; None if there is none.
    """

    effective_dt: datetime
    dynamic_partitions_store: Any = None


_current: ContextVar[PartitionLoadingContext | None] = ContextVar("partition_loading_context", default=None)


@contextmanager
def partition_loading_context(
    effective_dt: datetime | None = None,
    dynamic_partitions_store: Any = None,
    *,
    new_ctx: PartitionLoadingContext | None = None,
) -> Iterator[PartitionLoadingContext]:
    """Set the time and the store with which partition definitions list their keys in a `with` block.

    At a tick, the time is that of the evaluation's start.

    Args:
        effective_dt: the current time; by default that of the block around this one, or now.
        dynamic_partitions_store: lists the keys of dynamic partitions; by default that of the block around
            this one.
        new_ctx: both, in place of the other arguments.
    """
    outer = current_context()
    inner = new_ctx or PartitionLoadingContext(
        effective_dt or outer.effective_dt, dynamic_partitions_store or outer.dynamic_partitions_store
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def current_context() -> PartitionLoadingContext:
    """Return what the innermost `with` block has set; outside of any, the current time."""
    return _current.get() or PartitionLoadingContext(datetime.now(UTC))
