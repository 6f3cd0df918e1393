"""A clock that a test moves, tokens that count, and queues that can be looked into."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


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


class CountingTokens:
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
