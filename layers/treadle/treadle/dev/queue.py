"""A queue in this process, with delays and redeliveries as SQS has them."""

import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from treadle.ports.system import Clock

VISIBILITY_SECONDS = 30
"""The delay of a message that failed, unless the function has postponed it."""

BATCH = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a queue.

    Attributes:
        message_id: its id, and its receipt handle.
        body: JSON.
        due: when it may be received, in milliseconds.
        receives: how often it was received.
    """

    message_id: str
    body: str
    due: int
    receives: int = 0

    def record(self) -> dict[str, object]:
        """Return the record that Lambda passes to a function."""
        return {
            "messageId": self.message_id,
            "receiptHandle": self.message_id,
            "body": self.body,
            "attributes": {"ApproximateReceiveCount": str(self.receives)},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:local:000000000000:dev",
            "awsRegion": "local",
        }


class LocalQueue:
    """An `InboxQueue` in this process.

    Args:
        clock: the clock.
        changed: called after messages were sent.
        messages: what it contains at first.
    """

    def __init__(self, clock: Clock, changed: Callable[[], object], messages: Sequence[Message] = ()) -> None:
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._waiting = list(messages)
        self._received: dict[str, Message] = {}
        self._postponed: dict[str, int] = {}

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Send messages."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        now = self._clock.now()
        with self._lock:
            self._waiting += [
                Message(str(uuid.uuid4()), json.dumps(body), now + delay * 1000)
                for body, delay in zip(bodies, delays, strict=True)
            ]
        self._changed()

    def postpone(self, handle: str, seconds: int) -> None:
        """Defer the redelivery of a received message."""
        self._postponed[handle] = seconds

    def messages(self) -> list[Message]:
        """Return all messages, also those that were received and not deleted."""
        with self._lock:
            return [*self._received.values(), *self._waiting]

    def receive(self, limit: int = BATCH) -> list[Message]:
        """Receive messages that are due; each is to be deleted or given back."""
        now = self._clock.now()
        with self._lock:
            due = sorted((each for each in self._waiting if each.due <= now), key=lambda each: each.due)[
                :limit
            ]
            taken = {each.message_id for each in due}
            self._waiting = [each for each in self._waiting if each.message_id not in taken]
            received = [replace(each, receives=each.receives + 1) for each in due]
            self._received |= {each.message_id: each for each in received}
        return received

    def delete(self, message: Message) -> None:
        """Delete a received message."""
        with self._lock:
            self._received.pop(message.message_id, None)
            self._postponed.pop(message.message_id, None)

    def give_back(self, message: Message) -> None:
        """Let a received message be delivered again, later."""
        with self._lock:
            seconds = self._postponed.pop(message.message_id, VISIBILITY_SECONDS)
            self._received.pop(message.message_id, None)
            self._waiting.append(replace(message, due=self._clock.now() + seconds * 1000))

    def redeliver(self) -> None:
        """Let the messages that failed be delivered again now."""
        now = self._clock.now()
        with self._lock:
            self._waiting = [replace(each, due=now) if each.receives else each for each in self._waiting]
        self._changed()
