"""Events for the bus, and dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message in a dead-letter queue.

    Attributes:
        message_id: its id.
        handle: the receipt handle by which it is deleted or released.
        body: as it was received.
        attributes: its message attributes, such as `origin` and `reason`.
        source: the ARN of the queue from which it was moved after too many deliveries, if it was.
        project: the project whose queue it is in; "" for the engine's.
    """

    message_id: str
    handle: str
    body: str
    attributes: Mapping[str, str]
    source: str | None = None
    project: str = ""


@dataclass(frozen=True, slots=True)
class BusEvent:
    """An event for the bus.

    Attributes:
        kind: the event's detail type, such as "Sensor Paused".
        detail: what happened, plain JSON; its `id` is the same on a redelivery.
    """

    kind: str
    detail: Mapping[str, object]
