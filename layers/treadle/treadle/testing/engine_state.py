"""Engine-wide records in memory."""

from collections.abc import Mapping

from treadle.model.engine_state import EngineRecord, LateSensor
from treadle.testing.tables import InMemoryTables


class InMemoryEngineStore:
    """An `EngineStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def read(self) -> EngineRecord | None:
        """Return which engine uses the tables."""
        return self._tables.engine

    def write(self, record: EngineRecord) -> None:
        """Store the record."""
        self._tables.engine = record


class InMemoryLateSensorStore:
    """A `LateSensorStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def read(self) -> Mapping[str, LateSensor]:
        """Return the late sensors by name."""
        return dict(self._tables.late)

    def write(self, late: Mapping[str, LateSensor]) -> None:
        """Store these."""
        self._tables.late = dict(late)
