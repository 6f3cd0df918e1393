"""Helpers of the tests of Dagster's windows."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from tests.support.engine import JOB, JOBS
from treadle import JobDefinition, RunRequest, SensorEvaluationContext, SensorResult
from treadle.adapters.system import RandomTokens
from treadle.engine.launch.launcher import Launcher
from treadle.engine.messages import LaunchRequest
from treadle.ports.runs import RunStore
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.system import InMemoryQueue, VirtualClock
from treadle.testing.targets import InMemoryTarget

T = TypeVar("T")

load = JobDefinition(JOB, run_config_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
"""Takes an integer "n", if given."""


def at_once(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Call all functions at the same time, and return their values."""
    barrier = threading.Barrier(len(functions))

    def call(function: Callable[[], T]) -> T:
        barrier.wait(30)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


def launch_all(
    runs: RunStore, queue: InMemoryQueue, target: InMemoryTarget, clock: VirtualClock, at_a_time: int = 1
) -> None:
    """Process every launch message, each by several launches at a time."""
    launcher = Launcher(
        runs, queue, JOBS, {"step_functions": target}, clock, RandomTokens(), InMemoryBlobStore()
    )
    for body in queue.drain():
        request = LaunchRequest.from_json(body)
        at_once([partial(launcher.launch, request, 60.0)] * at_a_time)


def counting(context: SensorEvaluationContext) -> SensorResult:
    """Return a run without key for each number, and the number as cursor."""
    number = int(context.cursor or 0) + 1
    return SensorResult([RunRequest(run_config={"n": number})], cursor=str(number))


def numbers_started(target: InMemoryTarget) -> list[int]:
    """Return the numbers that runs were started with, each as often as it was."""
    return sorted(json.loads(text)["run_config"]["n"] for text in target.payloads.values())
