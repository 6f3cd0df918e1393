"""State of the engine itself: its identity, when it ran last, and which sensors are late."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """The engine that uses the tables.

    Attributes:
        engine_id: differs for each engine stack.
        seen_at: when RECONCILE ran last, in milliseconds, accurate to a few minutes.
    """

    engine_id: str
    seen_at: int


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


@dataclass(frozen=True, slots=True)
class LateSensor:
    """A sensor that did not tick when it should have.

    Attributes:
        name: the sensor's name.
        project: the stack that registered it.
        since: when it last ticked, was started or was registered, in milliseconds.
    """

    name: str
    project: str
    since: int


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
