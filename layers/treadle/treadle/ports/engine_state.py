"""What an engine notes beside the states of sensors: which engine it is and that it runs, and which sensors are late."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """Which engine reads the tables.

    Attributes:
        engine_id: the engine's; another one for each engine stack.
        seen_at: when RECONCILE ran last, to some minutes, in milliseconds.
    """

    engine_id: str
    seen_at: int


class EngineStore(Protocol):
    """Keeps which engine reads the tables, where evaluators may read it, and write nothing."""

    def read(self) -> EngineRecord | None:
        """Which engine reads the tables; None if none has noted itself yet.

        Raises:
            StoreError: if the store did not answer.
            UnreadableRecordError: if the record is damaged.
        """

    def write(self, record: EngineRecord) -> None:
        """Note it in place of what stands there.

        Args:
            record: which engine.

        Raises:
            StoreError: if the store did not answer.
        """


@dataclass(frozen=True, slots=True)
class LateSensor:
    """A sensor that has not ticked when it should have.

    Attributes:
        name: the sensor's.
        project: the stack that registered it.
        since: when it last ticked, was started or was registered, in milliseconds.
    """

    name: str
    project: str
    since: int


class LateSensorStore(Protocol):
    """Keeps which sensors were announced as late, so that each change is announced once."""

    def read(self) -> Mapping[str, LateSensor]:
        """The late sensors by name; none if what stands there is damaged.

        Raises:
            StoreError: if the store did not answer.
        """

    def write(self, late: Mapping[str, LateSensor]) -> None:
        """Keep these in place of those.

        Args:
            late: by name.

        Raises:
            StoreError: if the store did not answer, or rejected it.
        """
