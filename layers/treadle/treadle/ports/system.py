"""Clock, random tokens, queues and dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """The time."""

    def now(self) -> int:
        """Milliseconds since the epoch."""


class IdGenerator(Protocol):
    """Unguessable names for owners of leases and claims."""

    def new(self) -> str:
        """36 characters, never given before."""


class DeadLetters(Protocol):
    """Where a record ends that cannot be processed, so that those behind it can."""

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Keep a record.

        Args:
            body: the record as it came.
            origin: which step could not process it.
            reason: why, in words for an operator.

        Raises:
            StoreError: if it could not be kept; the record must then not be acknowledged.
        """


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue.

    Attributes:
        message_id: its name.
        handle: by which it is deleted, or given back.
        body: as it came.
        attributes: what was written beside it, such as `origin` and `reason`.
        source: the ARN of the queue from which it was moved here after too many deliveries, if it was.
        project: in whose queue it is; "" for the engine's.
    """

    message_id: str
    handle: str
    body: str
    attributes: Mapping[str, str]
    source: str | None = None
    project: str = ""


class DeadLetterQueue(Protocol):
    """Where dead letters are read."""

    def receive(self) -> list[DeadLetter]:
        """Some letters, which nobody else is given for ten minutes; none if there are no more.

        Raises:
            StoreError: if the queue did not answer.
        """

    def count(self) -> int:
        """How many letters there are, those that somebody was given among them; about, where many write and read.

        Raises:
            StoreError: if the queue could not be asked.
        """

    def delete(self, letter: DeadLetter) -> None:
        """Take a letter out for good.

        Raises:
            StoreError: if the queue did not answer.
        """

    def give_back(self, letter: DeadLetter) -> None:
        """Let others be given the letter again at once; nothing happens to one that is gone.

        Raises:
            StoreError: if the queue did not answer.
        """


class BlobStore(Protocol):
    """Keeps what is too large for a record."""

    def put(self, key: str, body: bytes) -> None:
        """Keep a value, in place of one that has the key already.

        Raises:
            StoreError: if it could not be kept.
        """

    def get(self, key: str) -> bytes:
        """The value.

        Raises:
            StoreError: if there is none, or the store did not answer; says which and where.
        """


@dataclass(frozen=True, slots=True)
class BusEvent:
    """Something that others may want to hear of.

    Attributes:
        kind: the event's detail type, such as "Sensor Paused".
        detail: what happened, plain JSON; `id` in it is repeated by a redelivery.
    """

    kind: str
    detail: Mapping[str, object]


class Bus(Protocol):
    """Where Treadle tells of what happened."""

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Tell of all the events, at least once.

        Args:
            events: any number.

        Raises:
            StoreError: if one of them could not be told; others may have been.
        """


class Queue(Protocol):
    """A queue of small JSON messages."""

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Send all the messages, in as few requests as possible.

        Args:
            bodies: JSON objects.
            delay_seconds: 0 to 900, for all or for each; how long it stays invisible.

        Raises:
            StoreError: if one of them could not be sent; others may have been.
        """


class InboxQueue(Queue, Protocol):
    """A queue that a step takes its own messages from."""

    def postpone(self, handle: str, seconds: int) -> None:
        """Let a message that was received, and not handled, come again after a while.

        Args:
            handle: by which it was received.
            seconds: 0 to 43,200.

        Raises:
            StoreError: if the queue did not answer; the message then comes again when its time is up.
        """
