"""The chunks in which DISPATCH processes a tick with many requests, so that each fits into one invocation."""

from collections.abc import Sequence
from typing import TypeVar

from treadle.model.ticks import Tick

T = TypeVar("T")

CHUNK_SIZE = 500
"""The maximum size of a chunk; a tick with more requests is dispatched in chunks."""


def chunk_count(tick: Tick) -> int:
    """Return a tick's number of chunks: fixed by the first chunk processed, even if `CHUNK_SIZE` changes."""
    if tick.slicing:
        return tick.slicing.of
    return sum(-(-number // CHUNK_SIZE) for number in (tick.partition_change_count, len(tick.requests)))


def partition_chunk_count(tick: Tick, of: int) -> int:
    """Return how many of a tick's chunks, the first ones, change dynamic partitions; the others start runs.

    Args:
        tick: the tick.
        of: the number of chunks, of which it depends alone, so that it stays the same, too.
    """
    changes, runs = tick.partition_change_count, len(tick.requests)
    if not changes or not runs:
        return of if changes else 0
    return min(max(1, of * changes // (changes + runs)), of - 1)


def chunk(requests: Sequence[T], index: int, of: int) -> Sequence[T]:
    """Return one chunk; chunks are disjoint, as even as possible, and cover all requests.

    Args:
        requests: the tick's requests.
        index: the chunk's number, from 0.
        of: the number of chunks.
    """
    return requests[len(requests) * index // of : len(requests) * (index + 1) // of]
