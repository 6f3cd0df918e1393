"""Backoff of scheduled sensors: after several consecutive failures they slow down, and finally are paused."""

from dataclasses import dataclass

FAILURES_BEFORE_BACKOFF = 3
"""The number of consecutive failures after which each further one doubles the wait."""

MAX_WAIT_MS = 3_600_000
MIN_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """The response to consecutive failures.

    Attributes:
        interval: the sensor's interval in milliseconds.
        pause_after: consecutive failures after which the sensor is paused; 0 for never.
    """

    interval: int
    pause_after: int = 0

    def resume_at(self, streak: int, now: int) -> int | None:
        """Return the time before which no tick is due; None if only the interval decides.

        Args:
            streak: consecutive failures.
            now: when the last of them ended.
        """
        if streak < FAILURES_BEFORE_BACKOFF:
            return None
        wait = max(self.interval, MIN_WAIT_MS) * (1 << min(streak - FAILURES_BEFORE_BACKOFF + 1, 30))
        return now + min(wait, max(MAX_WAIT_MS, self.interval))

    def pause(self, streak: int, message: str) -> str | None:
        """Return why the sensor is to be paused; None if it is not.

        Args:
            streak: consecutive failures.
            message: the last one's message.
        """
        if not self.pause_after or streak < self.pause_after:
            return None
        return f"Paused after {streak} failures in a row. Start it again. Last failure: {message}"[:1_000]
