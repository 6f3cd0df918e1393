"""What an engine notes beside the states of sensors, in memory."""

from collections.abc import Mapping

from treadle.ports.engine_state import EngineRecord, LateSensor
from treadle.testing.stores import InMemoryTables


class InMemoryEngineStore:
    """An `EngineStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def read(self) -> EngineRecord | None:
        """Which engine reads the tables."""
        return self._tables.engine

    def write(self, record: EngineRecord) -> None:
        """Note it."""
        self._tables.engine = record


class InMemoryLateSensorStore:
    """A `LateSensorStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def read(self) -> Mapping[str, LateSensor]:
        """The late sensors by name."""
        return dict(self._tables.late)

    def write(self, late: Mapping[str, LateSensor]) -> None:
        """Keep these."""
        self._tables.late = dict(late)
