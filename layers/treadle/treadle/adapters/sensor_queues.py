"""The queues of the registered sensors, as operators send to them."""

from collections.abc import Callable, Iterator, Mapping

from treadle.adapters.queues import SqsDeadLetterQueue, SqsQueue
from treadle.adapters.stack import DeployedStack
from treadle.operate.redrive_routes import Destination
from treadle.ports.registry import Registry, SensorEntry
from treadle.ports.system import DeadLetterQueue, Queue


class SensorQueues(Mapping[str, Queue]):
    """By sensor, its own queue; looked up at each use, as a project may register another sensor at any time.

    Args:
        registered: what is registered, as it is now.
        stack: the engine's.
    """

    def __init__(self, registered: Callable[[], Registry], stack: DeployedStack) -> None:
        self._registered = registered
        self._stack = stack

    def __getitem__(self, sensor: str) -> Queue:
        """The queue of a sensor that has one."""
        return SqsQueue(self._entries()[sensor].queue)

    def __iter__(self) -> Iterator[str]:
        """The names of the sensors that have a queue, in order."""
        return iter(self._entries())

    def __len__(self) -> int:
        """How many sensors have a queue."""
        return len(self._entries())

    def destinations(self) -> list[Destination]:
        """The queues, to which dead letters can go again."""
        return [
            Destination(
                f"sensor {each.name}",
                self._stack.arn_of_queue(each.queue),
                SqsQueue(each.queue),
                each.function,
            )
            for each in self._entries().values()
        ]

    def dead_letters(self) -> dict[str, DeadLetterQueue]:
        """The dead letters of each project that has a queue of its own, by its name."""
        urls: dict[str, str] = {}
        for each in self._registered().sensors.values():
            if each.dead_letters and each.dead_letters not in urls:
                urls[each.dead_letters] = each.project
        own = self._stack.queue_urls.get("DeadLetterQueue")
        return {project: SqsDeadLetterQueue(url) for url, project in sorted(urls.items()) if url != own}

    def _entries(self) -> dict[str, SensorEntry]:
        sensors = self._registered().sensors
        return {name: sensors[name] for name in sorted(sensors) if sensors[name].queue}
