"""The stores that the simulation of faults rests on."""

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
        image: what the stream shows of a tick.
        read: the tick that an image shows.
        all_runs: every run record there is.
        is_anything_left: whether a tick waits for its dispatch, or a run for its end.
    """

    stores: Stores
    image: Callable[[Tick], dict[str, Any]]
    read: Callable[[dict[str, dict[str, Any]]], Tick]
    all_runs: Callable[[], list[Run]]
    is_anything_left: Callable[[], bool]


def in_memory() -> Backend:
    """Stores in memory."""
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
