"""The stores of the engine's own record and of late sensors."""

from collections.abc import Mapping
from typing import Protocol

from treadle.model.engine_state import EngineRecord, LateSensor


class EngineStore(Protocol):
    """Stores which engine uses the tables, in an item that evaluators may read and not write."""

    def read(self) -> EngineRecord | None:
        """Return the engine that uses the tables; None if none has written its record yet.

        Raises:
            StoreError: if the store did not answer.
            UnreadableRecordError: if the record is damaged.
        """

    def write(self, record: EngineRecord) -> None:
        """Replace the stored record."""


class LateSensorStore(Protocol):
    """Stores which sensors were reported as late, so that each change is reported once."""

    def read(self) -> Mapping[str, LateSensor]:
        """Return the late sensors by name; none if the stored record is damaged."""

    def write(self, late: Mapping[str, LateSensor]) -> None:
        """Replace the stored late sensors.

        Args:
            late: by name.

        Raises:
            StoreError: if the store did not answer, or rejected the write.
        """
