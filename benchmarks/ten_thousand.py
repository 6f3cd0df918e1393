"""One tick that requests 10,000 runs: the duration of its commit and its dispatch, and the memory, on DynamoDB Local.

`python -m benchmarks.ten_thousand` prints a table, and fails unless each run has exactly one launch message, within
256 MB, although everything is delivered twice. Queues and blobs are in this process; the steps run in sequence.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from typing import TypeVar
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, report_figures
from benchmarks.idle_tick import DynamoHarness
from tests.support.engine import sensor_of
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.definitions.results import RunRequest
from treadle.engine.messages import ChunkRequest, LaunchRequest, TickRequest
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.model.ticks import DispatchCounts, Tick
from treadle.testing.blobs import InMemoryBlobStore

T = TypeVar("T")

RUNS = 10_000
WORKERS = 8
"""The run records that DISPATCH writes at a time."""

MAX_MEGABYTES = 256
NOON = 1_795_370_400_000


@dataclass(frozen=True, slots=True)
class Phase:
    """The cost of one step.

    Attributes:
        name: the step's name.
        seconds: the duration.
        cpu: the processor time, in seconds.
        megabytes: the peak memory of this process until then.
    """

    name: str
    seconds: float
    cpu: float
    megabytes: float


def requests() -> list[RunRequest]:
    """Return requests like those of a sweep, with digests that do not compress."""
    found = []
    for number in range(RUNS):
        key = f"incoming/2026-11-22/part-{number:05d}.csv"
        etag = md5(key.encode(), usedforsecurity=False).hexdigest()
        config = {"bucket": "treadle-watched-bucket", "key": key, "etag": etag, "size": 1042}
        found.append(RunRequest(f"s3://treadle-watched-bucket/{key}#{etag}", config))
    return found


class Measurement:
    """Runs and measures the steps in order."""

    def __init__(self) -> None:
        self.blobs = InMemoryBlobStore()
        stores = DynamoStores(create_tables(), RandomTokens(), self.blobs)
        self.harness = DynamoHarness(stores=stores, workers=WORKERS)
        self.phases: list[Phase] = []

    def run(self) -> list[str]:
        """Measure, and return the problems of the result."""
        ticks = self.harness.leased(sensor_of(requests))
        outcome = self._timed("commit", lambda: ticks.tick(NOON, Budget()))
        if (outcome.decision, outcome.count) != (Decision.SUCCESS, RUNS):
            return [f"the tick did not commit {RUNS} requests: {outcome}"]
        chunks = self._timed("dispatch", self._dispatch)
        launches = [LaunchRequest.from_json(body) for body in self.harness.launches.drain()]
        self._timed("all chunks again", lambda: self._again(chunks))
        return self._problems(launches)

    def _timed(self, name: str, step: Callable[[], T]) -> T:
        began, cpu = time.perf_counter(), time.process_time()
        result = step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        megabytes = peak / 1024 / (1024 if sys.platform == "darwin" else 1)
        self.phases.append(Phase(name, time.perf_counter() - began, time.process_time() - cpu, megabytes))
        return result

    def _dispatch(self) -> list[ChunkRequest]:
        dispatcher = self.harness.dispatcher()
        dispatcher.dispatch(self._tick())
        requests = [TickRequest.from_json(body) for body in self.harness.chunks.drain()]
        chunks = [each for each in requests if isinstance(each, ChunkRequest)]
        for each in chunks:
            dispatcher.dispatch_chunk(each)
        return chunks

    def _again(self, chunks: list[ChunkRequest]) -> None:
        dispatcher = self.harness.dispatcher()
        for each in chunks:
            dispatcher.dispatch_chunk(each)

    def _tick(self) -> Tick:
        (tick,) = self.harness.ticks.latest("watch", 2)
        return tick

    def _problems(self, launches: list[LaunchRequest]) -> list[str]:
        found = []
        if not self.blobs.blobs:
            found.append("the requests fit into the tick's item, so no payload was measured")
        runs = {launch.run_id for launch in launches}
        if len(launches) != RUNS or len(runs) != RUNS or self.harness.launches.messages:
            later = len(self.harness.launches.messages)
            found.append(f"{len(launches)} launch messages for {len(runs)} runs, and {later} later")
        if self._tick().dispatched != DispatchCounts(RUNS):
            found.append(f"the tick has {self._tick().dispatched}")
        if self.phases[-1].megabytes > MAX_MEGABYTES:
            found.append(f"{self.phases[-1].megabytes:.0f} MB of memory, more than {MAX_MEGABYTES}")
        return found


def measure(endpoint: str) -> tuple[list[Phase], list[str]]:
    """Return the cost of each step, and the problems of the result.

    Args:
        endpoint: DynamoDB's URL.
    """
    environment = local_aws(endpoint)
    with patch.dict(os.environ, environment, clear=True):
        measurement = Measurement()
        problems = measurement.run()
    return measurement.phases, problems


def show(phases: list[Phase]) -> None:
    """Print the table."""
    table = Table(title=f"One tick that requests {RUNS:,} runs", title_justify="left")
    table.add_column("step", no_wrap=True)
    for column in ("seconds", "runs/s", "processor, s", "peak memory, MB"):
        table.add_column(column, justify="right")
    for phase in phases:
        numbers = (phase.seconds, RUNS / phase.seconds, phase.cpu, phase.megabytes)
        table.add_row(phase.name, *(f"{n:.1f}" if n < 100 else f"{n:.0f}" for n in numbers))
    Console(width=110).print(table)


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    with dynamodb_local(optimizes=True) as endpoint:
        phases, problems = measure(endpoint)
    show(phases)
    for problem in problems:
        print(f"WRONG: {problem}")
    if not problems:
        print(f"One launch was sent for each of {RUNS} runs; the second delivery of everything sent none.")
    rates = [Figure(f"{phase.name}: runs a second", RUNS / phase.seconds, "runs/s") for phase in phases]
    memory = Figure("peak memory of all steps together", phases[-1].megabytes, "MB", MAX_MEGABYTES)
    return report_figures(f"One tick that requests {RUNS:,} runs", [*rates, memory]) or bool(problems)


if __name__ == "__main__":
    run_tool(main)
