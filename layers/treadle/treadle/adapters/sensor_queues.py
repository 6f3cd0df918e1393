"""The queues of registered sensors, for operators."""

from collections.abc import Callable, Iterator, Mapping

from treadle.adapters.queues import SqsDeadLetterQueue, SqsQueue
from treadle.adapters.stack import DeployedStack
from treadle.model.deployment import QUEUE_KIND, STREAM_KIND
from treadle.model.registry import Registry, SensorEntry
from treadle.operate.record_redrive import StreamSensorFunction
from treadle.operate.redrive_routes import Destination
from treadle.ports.deployment import Deployment
from treadle.ports.system import BlobStore, DeadLetterQueue, Queue


class SensorQueues(Mapping[str, Queue]):
    """The queue of each sensor that has its own, by name; read at each use, as a project may register another sensor at any time.

    Args:
        registered: returns the current registry.
        stack: the engine's stack.
    """

    def __init__(self, registered: Callable[[], Registry], stack: DeployedStack) -> None:
        self._registered = registered
        self._stack = stack

    def __getitem__(self, sensor: str) -> Queue:
        """Return the queue of a sensor."""
        return SqsQueue(self._entries()[sensor].queue)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the sensors that have a queue, in order."""
        return iter(self._entries())

    def __len__(self) -> int:
        """Return the number of sensors that have a queue."""
        return len(self._entries())

    def destinations(self) -> list[Destination]:
        """Return the queues to which dead letters can be redriven."""
        return [
            Destination(
                f"sensor {each.name}",
                self._stack.arn_of_queue(each.queue),
                SqsQueue(each.queue),
                each.function,
            )
            for each in self._entries().values()
        ]

    def functions(self, deployment: Deployment, blobs: BlobStore) -> list[Destination]:
        """Return the functions of stream sensors, to which dead letters can be redriven.

        Args:
            deployment: invokes them.
            blobs: has large records.
        """
        return [
            Destination(f"sensor {name}", "", StreamSensorFunction(deployment, name, blobs), each.function)
            for name, each in sorted(self._registered().sensors.items())
            if each.kind == STREAM_KIND
        ]

    def dead_letters(self) -> dict[str, DeadLetterQueue]:
        """Return the dead-letter queues of projects that have one, by project name."""
        urls: dict[str, str] = {}
        for each in self._registered().sensors.values():
            if each.dead_letters and each.dead_letters not in urls:
                urls[each.dead_letters] = each.project
        own = self._stack.queue_urls.get("DeadLetterQueue")
        return {project: SqsDeadLetterQueue(url) for url, project in sorted(urls.items()) if url != own}

    def _entries(self) -> dict[str, SensorEntry]:
        sensors = self._registered().sensors
        # To a queue that belongs to somebody else, Treadle sends nothing.
        own = {name: each for name, each in sensors.items() if each.queue and each.kind != QUEUE_KIND}
        return dict(sorted(own.items()))
