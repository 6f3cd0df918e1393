"""The queue from which a component receives its messages."""

from dataclasses import dataclass

from treadle.adapters.queues import SqsDeadLetters, SqsQueue
from treadle.bootstrap.settings import Settings
from treadle.ports.system import DeadLetters, InboxQueue


@dataclass(frozen=True, slots=True)
class Inbox:
    """A component's queue, with its dead-letter queue.

    Attributes:
        origin: the component, as dead letters name it.
        queue: the queue, also for messages to handle later.
        dead_letters: the destination of what cannot be handled.
    """

    origin: str
    queue: InboxQueue
    dead_letters: DeadLetters

    @classmethod
    def of(cls, origin: str, settings: Settings, name: str, *, is_needed: bool = True) -> "Inbox":
        """Return the queue whose URL is in an environment variable.

        Args:
            origin: the component.
            settings: the environment's settings.
            name: the variable's name.
            is_needed: False if the component works without a queue, and the variable may be missing.
        """
        url = settings.text(name, None if is_needed else "")
        dead_letter_url = settings.text("TREADLE_DEAD_LETTER_QUEUE_URL")
        return cls(origin, SqsQueue(url), SqsDeadLetters(dead_letter_url))
