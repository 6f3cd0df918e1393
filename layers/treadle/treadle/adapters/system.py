"""The real clock and real random tokens."""

import time
import uuid


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class RandomTokens:
    """Random UUIDs."""

    def new(self) -> str:
        """36 characters, never given before."""
        return str(uuid.uuid4())
