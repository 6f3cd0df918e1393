"""The chunks in which DISPATCH processes a tick with many requests, so that each fits into one invocation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from treadle.model.ticks import Tick

T = TypeVar("T")

CHUNK_SIZE = 500
"""The maximum size of a chunk; a tick with more requests is dispatched in chunks."""


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """A request to dispatch one chunk of a tick.

    Attributes:
        sensor: the sensor's name.
        tick_id: the tick's id.
        index: the chunk's number, from 0.
        of: the tick's number of chunks.
    """

    sensor: str
    tick_id: str
    index: int
    of: int


@dataclass(frozen=True, slots=True)
class TickRequest:
    """A request to dispatch a whole tick."""

    sensor: str
    tick_id: str


def chunk_count(tick: Tick) -> int:
    """Return a tick's number of chunks: fixed by the first chunk processed, even if `CHUNK_SIZE` changes."""
    return tick.slicing.of if tick.slicing else -(-len(tick.requests) // CHUNK_SIZE)


def chunk(requests: Sequence[T], index: int, of: int) -> Sequence[T]:
    """Return one chunk; chunks are disjoint, as even as possible, and cover all requests.

    Args:
        requests: the tick's requests.
        index: the chunk's number, from 0.
        of: the number of chunks.
    """
    return requests[len(requests) * index // of : len(requests) * (index + 1) // of]


def chunk_message(tick: Tick, index: int, of: int) -> dict[str, object]:
    """Return the message that requests DISPATCH to process one chunk."""
    return {
        "treadle": "dispatch",
        "sensor": tick.sensor,
        "tick_id": tick.tick_id,
        "slice": index,
        "of": of,
    }


def tick_message(sensor: str, tick_id: str) -> dict[str, object]:
    """Return the message that requests DISPATCH to process a whole tick again."""
    return {"treadle": "dispatch", "sensor": sensor, "tick_id": tick_id}
