"""The engine's identity and heartbeat, and the sensors that are late."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """The engine that uses the tables.

    Attributes:
        engine_id: differs for each engine stack.
        seen_at: when RECONCILE ran last, in milliseconds, accurate to a few minutes.
    """

    engine_id: str
    seen_at: int


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
