"""Jobs that write objects into watched buckets, in the deployment in memory."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import SensorDefinition
from treadle.integrations.s3 import s3_sensor
from treadle.model.runs import Run
from treadle.testing import TreadleInstance

BUCKET = "lake"
MINUTE = 60_000
Write = tuple[int, str]
"""How many milliseconds after the start of a run an object is written, and its key."""


def watching(name: str, prefix: str) -> SensorDefinition:
    """Return a sensor that requests a run for each object under a prefix."""

    def function() -> RunRequest:
        return RunRequest()

    return s3_sensor(BUCKET, prefix=prefix, name=name, job_name="load")(function)


@dataclass(slots=True)
class WritingJobs:
    """Lets time pass: objects are stored, and runs write others and end.

    Attributes:
        instance: the deployment.
        writes: returns what a run writes.
        lasts: returns how long a run lasts, in milliseconds.
        latency: how many milliseconds pass before an object's event arrives.
    """

    instance: TreadleInstance
    writes: Callable[[Run], Iterable[Write]]
    lasts: Callable[[Run], int] = lambda run: MINUTE
    latency: int = 1_500
    held: int = 0
    _order: "count[int]" = field(default_factory=count)
    _due: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)

    def put(self, key: str, after: int = 0) -> None:
        """Store an object from outside.

        Args:
            key: the object's key.
            after: in how many milliseconds.
        """
        self._in(after, lambda: self._store(key))

    def go(self, most: int = 100_000) -> int:
        """Let time pass until nothing is due, or there are too many runs; return how many there are."""
        while self._due and len(self.instance._tables.runs) < most:
            time, _, act = heapq.heappop(self._due)
            self.instance.clock.time = max(self.instance.clock.time, time)
            act()
        return len(self.instance._tables.runs)

    def follow(self, runs: Iterable[Run]) -> None:
        """Let started runs write and end."""
        for run in runs:
            for after, key in self.writes(run):
                self._in(after, lambda key=key: self._store(key))  # type: ignore[misc]
            self._in(self.lasts(run), lambda run=run: self._finish(run))  # type: ignore[misc]

    def _in(self, after: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.instance.clock.now() + after, next(self._order), act))

    def _store(self, key: str) -> None:
        event = self.instance.objects.put(BUCKET, key, key.encode())
        self._in(self.latency, lambda: self._arrived(self.instance.send(event).values()))

    def _arrived(self, results: Iterable[object]) -> None:
        for result in results:
            self.held += result.tick.held_requests if result.tick else 0  # type: ignore[attr-defined]
            self.follow(result.runs)  # type: ignore[attr-defined]

    def _finish(self, run: Run) -> None:
        self.instance.finish_run(self.instance._tables.runs[run.run_id])
