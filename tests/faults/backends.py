"""The stores of the engine's simulation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treadle.engine.assembly import Stores
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.testing.stores import InMemoryStores


@dataclass(frozen=True, slots=True)
class Backend:
    """One deployment's stores.

    Attributes:
        stores: the stores.
        image: returns the stream's image of a tick.
        read: returns the tick of an image.
        all_runs: returns all run records.
        is_anything_left: returns whether a tick is pending, or a run is not final.
    """

    stores: Stores
    image: Callable[[Tick], dict[str, Any]]
    read: Callable[[dict[str, dict[str, Any]]], Tick]
    all_runs: Callable[[], list[Run]]
    is_anything_left: Callable[[], bool]


def in_memory() -> Backend:
    """Return stores in memory."""
    stores = InMemoryStores()
    tables = stores.tables
    images: list[Tick] = []

    def image(tick: Tick) -> dict[str, Any]:
        images.append(tick)
        return {"image": {"N": str(len(images) - 1)}}

    def read(item: dict[str, dict[str, Any]]) -> Tick:
        return images[int(item["image"]["N"])]

    def is_anything_left() -> bool:
        pending = (tick.requests and tick.dispatched is None for tick in tables.ticks.values())
        return any(pending) or any(run.next_at is not None for run in tables.runs.values())

    return Backend(stores, image, read, lambda: list(tables.runs.values()), is_anything_left)
