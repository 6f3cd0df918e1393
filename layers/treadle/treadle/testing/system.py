"""A controllable clock, sequential tokens, and inspectable queues."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from treadle.model.messages import DeadLetter


@dataclass(slots=True)
class VirtualClock:
    """A clock that moves only when a test moves it.

    Attributes:
        time: milliseconds since the epoch.
    """

    time: int = 1_795_370_400_000

    def now(self) -> int:
        """Return the current time."""
        return self.time

    def advance(self, seconds: float) -> int:
        """Advance the clock.

        Args:
            seconds: by how much.

        Returns:
            The new time, in milliseconds.
        """
        self.time += round(seconds * 1000)
        return self.time


class SequentialIds:
    """Tokens in a known order."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def new(self) -> str:
        """Return the next token, 36 characters."""
        return f"{next(self._count):036d}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was sent."""

    body: Mapping[str, object]
    delay_seconds: int


@dataclass(slots=True)
class InMemoryQueue:
    """Collects messages.

    Attributes:
        messages: all that were sent, in order.
    """

    messages: list[Message] = field(default_factory=list)

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Append messages, after JSON serialization."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        self.messages += [
            Message(json.loads(json.dumps(body)), delay) for body, delay in zip(bodies, delays, strict=True)
        ]

    def drain(self) -> list[Mapping[str, object]]:
        """Remove and return all messages."""
        bodies = [message.body for message in self.messages]
        self.messages.clear()
        return bodies

    def postpone(self, handle: str, seconds: int) -> None:
        """Do nothing: drained messages are not received."""


@dataclass(slots=True)
class InMemoryDeadLetters:
    """A `DeadLetters` and its `DeadLetterQueue`.

    Attributes:
        messages: all messages, including those in flight, by id.
        held: the ids of those in flight.
    """

    messages: dict[str, DeadLetter] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Store a record."""
        self.add(body, {"origin": origin, "reason": reason})

    def add(self, body: str, attributes: Mapping[str, str], source: str | None = None) -> None:
        """Store a dead letter as written by AWS or a component."""
        name = f"letter-{next(self._count)}"
        self.messages[name] = DeadLetter(name, f"handle of {name}", body, dict(attributes), source)

    def count(self) -> int:
        """Return the number of dead letters."""
        return len(self.messages)

    def receive(self) -> list[DeadLetter]:
        """Receive up to ten messages that are not in flight."""
        found = [dead_letter for name, dead_letter in self.messages.items() if name not in self.held][:10]
        self.held |= {dead_letter.message_id for dead_letter in found}
        return found

    def delete(self, dead_letter: DeadLetter) -> None:
        """Delete a message."""
        self.messages.pop(dead_letter.message_id, None)
        self.held.discard(dead_letter.message_id)

    def give_back(self, dead_letter: DeadLetter) -> None:
        """Make a message visible again."""
        self.held.discard(dead_letter.message_id)
