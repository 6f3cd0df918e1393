"""The slices in which DISPATCH takes a tick with many requests, so that each fits into one invocation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from treadle.ports.ticks import Tick

T = TypeVar("T")

CHUNK_SIZE = 500
"""A tick with more requests than these is dispatched in slices of so many at most."""


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Which slice of which tick is to be dispatched.

    Attributes:
        sensor: whose tick.
        tick_id: which tick.
        index: of the slice, from 0.
        of: how many slices the tick has.
    """

    sensor: str
    tick_id: str
    index: int
    of: int


@dataclass(frozen=True, slots=True)
class TickRequest:
    """Which tick is to be dispatched, all of it.

    Attributes:
        sensor: whose tick.
        tick_id: which tick.
    """

    sensor: str
    tick_id: str


def chunk_count(tick: Tick) -> int:
    """How many slices a tick has: as many as its first one said, however large they are now."""
    return tick.slicing.of if tick.slicing else -(-len(tick.requests) // CHUNK_SIZE)


def chunk(requests: Sequence[T], index: int, of: int) -> Sequence[T]:
    """One of the slices, which are disjoint, as even as can be, and all requests together.

    Args:
        requests: the tick's.
        index: which slice, from 0.
        of: how many there are.
    """
    return requests[len(requests) * index // of : len(requests) * (index + 1) // of]


def chunk_message(tick: Tick, index: int, of: int) -> dict[str, object]:
    """The message that asks DISPATCH for one slice."""
    return {
        "treadle": "dispatch",
        "sensor": tick.sensor,
        "tick_id": tick.tick_id,
        "slice": index,
        "of": of,
    }


def tick_message(sensor: str, tick_id: str) -> dict[str, object]:
    """The message that asks DISPATCH for a whole tick, once more."""
    return {"treadle": "dispatch", "sensor": sensor, "tick_id": tick_id}
