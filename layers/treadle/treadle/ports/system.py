"""Clock, random tokens, queues and dead letters."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from treadle.model.messages import BusEvent, DeadLetter


class Clock(Protocol):
    """A clock."""

    def now(self) -> int:
        """Return the current time in milliseconds since the epoch."""


class IdGenerator(Protocol):
    """A generator of unguessable tokens for owners of leases and claims."""

    def new(self) -> str:
        """Return a token of 36 characters that was never returned before."""


class DeadLetters(Protocol):
    """The destination of records that cannot be processed, so that the records after them can be."""

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Send a record to the dead-letter queue.

        Args:
            body: the record as it was received.
            origin: the component that could not process it.
            reason: why, for an operator.

        Raises:
            StoreError: if it could not be sent; the record must then not be acknowledged.
        """


class DeadLetterQueue(Protocol):
    """Reads dead letters."""

    def receive(self) -> list[DeadLetter]:
        """Receive some dead letters, which stay invisible to others for ten minutes; none if none is left."""

    def count(self) -> int:
        """Return the approximate number of dead letters, including those received and not yet deleted."""

    def delete(self, dead_letter: DeadLetter) -> None:
        """Delete a dead letter."""

    def give_back(self, dead_letter: DeadLetter) -> None:
        """Make a received dead letter visible to others again at once; do nothing if it is gone."""


class BlobStore(Protocol):
    """Stores values that are too large for a record."""

    def put(self, key: str, body: bytes) -> None:
        """Store a value, replacing an existing one."""

    def get(self, key: str) -> bytes:
        """Return the value.

        Raises:
            StoreError: if there is none, or the store did not answer; names the key and its location.
        """

    def address(self, key: str) -> str:
        """Return the address of a value for others than Treadle, as a URL. No call of the store."""

    def exists(self, key: str) -> bool:
        """Return whether there is a value, without reading it.

        Raises:
            StoreError: if the store did not answer.
        """


class Bus(Protocol):
    """The bus on which Treadle publishes events."""

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Publish all the events, at least once.

        Raises:
            StoreError: if one of them could not be published; others may have been.
        """


class Functions(Protocol):
    """The functions of sensors."""

    def invoke(self, function: str, event: Mapping[str, object]) -> None:
        """Invoke a function, and do not wait for it.

        Args:
            function: its name.
            event: a JSON object.

        Raises:
            StoreError: if it could not be invoked.
        """


class Queue(Protocol):
    """A queue of small JSON messages."""

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Send all the messages, in as few requests as possible.

        Args:
            bodies: JSON objects.
            delay_seconds: how long each message stays invisible, 0 to 900; one value for all, or one for
                each.

        Raises:
            StoreError: if one of them could not be sent; others may have been.
        """


class InboxQueue(Queue, Protocol):
    """A queue from which a component receives its own messages."""

    def postpone(self, handle: str, seconds: int) -> None:
        """Defer the redelivery of a message that was received and not handled.

        Args:
            handle: its receipt handle.
            seconds: 0 to 43,200.

        Raises:
            StoreError: if the queue did not answer; the message is then redelivered after its visibility
                timeout.
        """
