"""The stores that the world of faults rests on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treadle.ports.runs import Run, RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.ticks import Tick, TickStore
from treadle.testing.stores import (
    InMemoryRunStore,
    InMemorySensorStore,
    InMemoryTables,
    InMemoryTickStore,
)


@dataclass(frozen=True, slots=True)
class Backend:
    """One deployment's stores.

    Attributes:
        sensors: the sensors' states.
        ticks: the tick records.
        runs: the run records.
        image: what the stream shows of a tick.
        read: the tick that an image shows.
        all_runs: every run record there is.
    """

    sensors: SensorStore
    ticks: TickStore
    runs: RunStore
    image: Callable[[Tick], dict[str, Any]]
    read: Callable[[dict[str, dict[str, Any]]], Tick]
    all_runs: Callable[[], list[Run]]


def in_memory() -> Backend:
    """Stores in memory."""
    tables = InMemoryTables()
    images: list[Tick] = []

    def image(tick: Tick) -> dict[str, Any]:
        images.append(tick)
        return {"image": {"N": str(len(images) - 1)}}

    def read(item: dict[str, dict[str, Any]]) -> Tick:
        return images[int(item["image"]["N"])]

    return Backend(
        InMemorySensorStore(tables),
        InMemoryTickStore(tables),
        InMemoryRunStore(tables),
        image,
        read,
        lambda: list(tables.runs.values()),
    )
