"""The event that a deadline was reached."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The event that a job should have succeeded by now.

    Attributes:
        time: the deadline, in the time zone in which it is shown.
    """

    time: datetime
    depth: ClassVar[int] = 0

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in a redelivery; each sensor has its own ticks."""
        return ("deadline", str(int(self.time.timestamp() * 1000)))

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        return f"Deadline {self.time:%Y-%m-%d %H:%M:%S %Z}"
