"""What failures in a row do to a scheduled sensor: it slows down, and at last it is paused."""

from dataclasses import dataclass

FAILURES_BEFORE_BACKOFF = 3
"""Failures in a row after which each further one doubles the wait."""

MAX_WAIT_MS = 3_600_000
MIN_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """How failures in a row are met.

    Attributes:
        interval: the sensor's, in milliseconds.
        pause_after: failures in a row after which the sensor is paused; 0 for never.
    """

    interval: int
    pause_after: int = 0

    def resume_at(self, streak: int, now: int) -> int | None:
        """The time before which no tick is due; None where the interval alone decides.

        Args:
            streak: failures in a row.
            now: when the last of them ended.
        """
        if streak < FAILURES_BEFORE_BACKOFF:
            return None
        wait = max(self.interval, MIN_WAIT_MS) * (1 << min(streak - FAILURES_BEFORE_BACKOFF + 1, 30))
        return now + min(wait, max(MAX_WAIT_MS, self.interval))

    def pause(self, streak: int, words: str) -> str | None:
        """Why the sensor is to be paused; None if it is not.

        Args:
            streak: failures in a row.
            words: of the last of them.
        """
        if not self.pause_after or streak < self.pause_after:
            return None
        return f"Paused after {streak} failures in a row; start it again. The last one: {words}"[:1_000]
