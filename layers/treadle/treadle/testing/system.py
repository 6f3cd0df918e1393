"""A clock that a test moves, tokens that count, and queues that can be looked into."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from treadle.ports.system import DeadLetter


@dataclass(slots=True)
class VirtualClock:
    """Stands still until it is moved.

    Attributes:
        time: milliseconds since the epoch.
    """

    time: int = 1_795_370_400_000

    def now(self) -> int:
        """The time it was last moved to."""
        return self.time

    def advance(self, seconds: float) -> int:
        """Move on.

        Args:
            seconds: how far.

        Returns:
            The time afterwards, in milliseconds.
        """
        self.time += round(seconds * 1000)
        return self.time


class SequentialIds:
    """Tokens in a known order."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def new(self) -> str:
        """The next token, 36 characters."""
        return f"{next(self._count):036d}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was sent."""

    body: Mapping[str, object]
    delay_seconds: int


@dataclass(slots=True)
class InMemoryQueue:
    """Keeps what is sent.

    Attributes:
        messages: all that were sent, in order.
    """

    messages: list[Message] = field(default_factory=list)

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Keep the messages, as JSON would bring them."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        self.messages += [
            Message(json.loads(json.dumps(body)), delay) for body, delay in zip(bodies, delays, strict=True)
        ]

    def drain(self) -> list[Mapping[str, object]]:
        """Take all messages out."""
        bodies = [message.body for message in self.messages]
        self.messages.clear()
        return bodies

    def postpone(self, handle: str, seconds: int) -> None:
        """Nothing: what is drained here is not received."""


@dataclass(slots=True)
class InMemoryDeadLetters:
    """A `DeadLetters` and the `DeadLetterQueue` on it.

    Attributes:
        letters: those that are there, whether or not somebody was given them, by their names.
        held: the names of those that somebody was given.
    """

    letters: dict[str, DeadLetter] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Keep a record."""
        self.add(body, {"origin": origin, "reason": reason})

    def add(self, body: str, attributes: Mapping[str, str], source: str | None = None) -> None:
        """Keep a letter as AWS or a step writes it."""
        name = f"letter-{next(self._count)}"
        self.letters[name] = DeadLetter(name, f"handle of {name}", body, dict(attributes), source)

    def count(self) -> int:
        """How many letters there are."""
        return len(self.letters)

    def receive(self) -> list[DeadLetter]:
        """Ten letters at most that nobody was given."""
        found = [letter for name, letter in self.letters.items() if name not in self.held][:10]
        self.held |= {letter.message_id for letter in found}
        return found

    def delete(self, letter: DeadLetter) -> None:
        """Take a letter out."""
        self.letters.pop(letter.message_id, None)
        self.held.discard(letter.message_id)

    def give_back(self, letter: DeadLetter) -> None:
        """Let it be received again."""
        self.held.discard(letter.message_id)
