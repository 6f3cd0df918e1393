"""How a world of faults lives: what can happen happens, time moves on, and what failed comes again."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from tests.faults.cloud import Held, SimulatedQueue
from treadle.testing.faults import Faults
from treadle.testing.system import VirtualClock


class RestlessError(Exception):
    """The world did not come to rest."""


class Living:
    """A world, step by step.

    Attributes:
        clock: the time.
        faults: strike.
        began_at: when it began.
        end_ms: what has not come to rest so long after that never will.
    """

    __slots__ = ()
    end_ms: ClassVar[int] = 72 * 3_600_000

    clock: VirtualClock
    faults: Faults
    began_at: int

    def _happen(self) -> None:
        """Let everything happen that can happen now."""
        raise NotImplementedError

    def _upcoming(self) -> Iterator[int]:
        """When something is to happen."""
        raise NotImplementedError

    def live(self, until: int | None = None) -> None:
        """Let everything happen.

        Args:
            until: when to stop; None for as soon as nothing more can happen.

        Raises:
            RestlessError: if things do not come to an end.
        """
        while True:
            self._happen()
            upcoming = min(self._upcoming(), default=None)
            if until is not None and (upcoming is None or upcoming > until):
                self.clock.time = max(self.clock.time, until)
                return
            if upcoming is None:
                return
            if upcoming - self.began_at > self.end_ms:
                msg = "The world does not come to rest."
                raise RestlessError(msg)
            self.clock.time = max(self.clock.time, upcoming)

    def _receive(self, step: str, queue: SimulatedQueue, handle: Callable[[dict[str, Any]], Any]) -> None:
        while batch := queue.receive():
            answers: list[dict[str, Any]] = []
            event = {"Records": [_sqs_record(index, message) for index, message in enumerate(batch)]}
            if not self.faults.run(step, lambda: answers.append(handle(event))):  # noqa: B023
                continue  # The whole batch comes again once it is visible.
            failed = {failure["itemIdentifier"] for failure in answers[0]["batchItemFailures"]}
            for index, message in enumerate(batch):
                if str(index) not in failed:
                    queue.delete(message)


def _sqs_record(index: int, message: Held) -> dict[str, Any]:
    return {
        "messageId": str(index),
        "receiptHandle": str(id(message)),
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "eventSource": "aws:sqs",
    }
