"""The queue that a step takes its messages from."""

from dataclasses import dataclass

from treadle.adapters.queues import SqsDeadLetters, SqsQueue
from treadle.bootstrap.settings import Settings
from treadle.ports.system import DeadLetters, InboxQueue


@dataclass(frozen=True, slots=True)
class Inbox:
    """A queue that a step takes its messages from.

    Attributes:
        origin: the step, as dead letters name it.
        queue: takes what is to be handled later.
        dead_letters: takes what cannot be handled.
    """

    origin: str
    queue: InboxQueue
    dead_letters: DeadLetters

    @classmethod
    def of(cls, origin: str, settings: Settings, name: str, *, is_needed: bool = True) -> "Inbox":
        """The queue whose URL a variable of the environment holds.

        Args:
            origin: the step.
            settings: of the environment.
            name: the variable's.
            is_needed: whether the step cannot do without a queue; else the variable may be missing.
        """
        url = settings.text(name, None if is_needed else "")
        letters = settings.text("TREADLE_DEAD_LETTER_QUEUE_URL")
        return cls(origin, SqsQueue(url), SqsDeadLetters(letters))
