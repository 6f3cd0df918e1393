"""The event loop of a simulation: run what is due, advance the clock, and redeliver what failed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from tests.faults.simulated_aws import QueuedMessage, SimulatedDeadLetters, SimulatedQueue
from tests.support.engine import NAMESPACE
from tests.support.replaced_stores import ReplacedStores
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import StoreError
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.entrypoints.evaluator import EvaluatorParts
from treadle.ports.system import DeadLetters, InboxQueue
from treadle.testing.faults import Faults, faulty
from treadle.testing.system import SequentialIds, VirtualClock

PORTS = {
    "sensors": "SensorStore",
    "ticks": "TickStore",
    "runs": "RunStore",
    "events": "EventStore",
    "registry": "RegistryStore",
}
"""The stores at which faults are injected, by attribute."""

PROJECT = "shop"
"""The owner of the sensors."""


class NotQuiescentError(Exception):
    """The simulation does not end."""


class Simulation:
    """A simulation of components, with injected faults.

    Attributes:
        clock: the time.
        faults: injects the faults.
        dead_letters: the dead letters.
        began_at: the time of the beginning.
        end_ms: the duration after which it counts as endless.
        ports: the stores at which faults are injected.
    """

    __slots__ = ()
    end_ms: ClassVar[int] = 72 * 3_600_000
    ports: ClassVar[Mapping[str, str]] = PORTS

    clock: VirtualClock
    faults: Faults
    dead_letters: SimulatedDeadLetters
    began_at: int
    _tokens: SequentialIds

    def _run_due(self) -> None:
        """Run everything that is due."""
        raise NotImplementedError

    def _next_times(self) -> Iterator[int]:
        """Yield the times of all future events."""
        raise NotImplementedError

    def run(self, until: int | None = None) -> None:
        """Run the simulation.

        Args:
            until: the time at which to stop; None for the end.

        Raises:
            NotQuiescentError: if it does not end.
        """
        while self.step(until):
            pass

    def step(self, until: int | None = None) -> bool:
        """Run what is due, and advance the clock to what is due next.

        Args:
            until: the time at which to stop; None for the end.

        Returns:
            False if that is reached.

        Raises:
            NotQuiescentError: if the simulation does not end.
        """
        self._run_due()
        upcoming = min(self._next_times(), default=None)
        if until is not None and (upcoming is None or upcoming > until):
            self.clock.time = max(self.clock.time, until)
            return False
        if upcoming is None:
            return False
        if upcoming - self.began_at > self.end_ms:
            msg = "The simulation does not end."
            raise NotQuiescentError(msg)
        self.clock.time = max(self.clock.time, upcoming)
        return True

    def _stores(self) -> Any:
        """Return the stores, without faults."""
        raise NotImplementedError

    @property
    def engine(self) -> Assembly:
        """The assembly of the engine's components, with faults at the stores."""
        return Assembly(self._faulted(), self.clock, self._tokens, NAMESPACE)

    def _faulted(self) -> Any:
        stores = self._stores()
        faulted = {
            name: faulty(getattr(stores, name), port, self.faults) for name, port in self.ports.items()
        }
        return ReplacedStores(stores, **faulted)

    def _queue(self, queue: SimulatedQueue) -> InboxQueue:
        sending: InboxQueue = queue
        return faulty(sending, "Queue", self.faults)

    def _inbox(self, origin: str, queue: SimulatedQueue) -> Inbox:
        dead_letters: DeadLetters = self.dead_letters
        return Inbox(
            origin, self._queue(queue), faulty(dead_letters, "DeadLetters", self.faults, throttled=StoreError)
        )

    def _evaluator(
        self, definition: SensorDefinition, queue: SimulatedQueue, interval: int = 0
    ) -> EvaluatorParts:
        """Return the components that evaluate a sensor."""
        settings = TickSettings(interval * 1000, DefaultSensorStatus.RUNNING, project=PROJECT)
        inbox = self._inbox(f"sensor {definition.name}", queue)
        sensor = self.engine.sensor(definition, settings, queue=inbox.queue)
        return EvaluatorParts(sensor, inbox, self.clock)

    def _receive(self, step: str, queue: SimulatedQueue, handle: Callable[[dict[str, Any]], Any]) -> None:
        while batch := queue.receive():
            answers: list[dict[str, Any]] = []
            event = {"Records": [_sqs_record(index, message) for index, message in enumerate(batch)]}
            if not self.faults.run(step, lambda: answers.append(handle(event))):  # noqa: B023
                continue  # The whole batch is redelivered.
            failed = {failure["itemIdentifier"] for failure in answers[0]["batchItemFailures"]}
            for index, message in enumerate(batch):
                if str(index) not in failed:
                    queue.delete(message)


def _sqs_record(index: int, message: QueuedMessage) -> dict[str, Any]:
    return {
        "messageId": str(index),
        "receiptHandle": str(id(message)),
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "eventSource": "aws:sqs",
    }
