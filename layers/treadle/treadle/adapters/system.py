"""The system clock and random tokens."""

import time
import uuid


class SystemClock:
    """The system clock."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class RandomTokens:
    """Random UUIDs."""

    def new(self) -> str:
        """Return a unique token of 36 characters."""
        return str(uuid.uuid4())
