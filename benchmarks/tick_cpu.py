"""The processor time of an idle tick without the store: Treadle's own code, and DynamoDB's client.

`python -m benchmarks.tick_cpu` prints it. A sensor skips each minute with another reason:

- with stores in memory, whose own time is subtracted: the protocol and the author's function;
- as a whole Lambda handler with DynamoDB's client, whose requests get a response in this process: PynamoDB,
  botocore, logs and metrics in addition;
- and a handler that only logs one line, for comparison.
"""

import contextlib
import io
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from benchmarks.figures import Figure, report_figures
from tests.functional.conftest import LambdaContext
from tests.support.engine import EngineHarness, sensor_of
from tests.support.hooks import hooked
from tests.template.model import read
from tools.project import local_aws, run_tool
from treadle import SensorEvaluationContext, SkipReason, evaluator, sensor
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.handler import instrumented, logger

TICKS = 2_000
WARM_UP = 200
NOON = 1_795_370_400_000
MINUTE = 60_000
GOAL_MS = 2.0
NOWHERE = "http://127.0.0.1:9"
"""No request is sent there."""


@dataclass(slots=True)
class Timed:
    """A wrapper that measures the processor time of an object's methods.

    Attributes:
        inner: the object.
        seconds: the total so far.
    """

    inner: Any
    seconds: float = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return found(*arguments, **options)
            finally:
                self.seconds += time.process_time() - began

        return timed


def milliseconds_each(call: Callable[[int], object]) -> float:
    """Return the average processor time of a call.

    Args:
        call: called with its number.
    """
    for number in range(WARM_UP):
        call(number)
    began = time.process_time()
    for number in range(WARM_UP, WARM_UP + TICKS):
        call(number)
    return (time.process_time() - began) * 1000 / TICKS


def in_memory() -> float:
    """Measure an idle tick with stores in memory, without their time."""
    looks = itertools.count()
    harness = EngineHarness()
    ticks: Any = harness.leased(sensor_of(lambda: SkipReason(f"Nothing new after {next(looks)} looks.")))
    store = Timed(ticks._sensors)
    ticks._sensors = store

    def tick(number: int) -> None:
        nominal = NOON + number * MINUTE
        harness.clock.time = nominal
        if number == WARM_UP:
            store.seconds = 0.0
        ticks.tick(nominal, Budget())

    whole = milliseconds_each(tick)
    return whole - store.seconds * 1000 / TICKS


def as_handler() -> float:
    """Measure an idle tick as the whole handler, with DynamoDB's client but without DynamoDB."""
    function = read().evaluators()["new_objects"]
    unused = {
        name: name if name.endswith("_TABLE") else "0"
        for name in read().environment(function)
        if name.startswith("TREADLE_")
    }
    ours = {
        "TREADLE_INTERVAL_SECONDS": "0",
        "TREADLE_DEFAULT_STATUS": "RUNNING",
        "TREADLE_PAUSE_AFTER": "10",
        "TREADLE_KIND": "schedule",
    }
    looks = itertools.count()

    @sensor(job_name="none")
    def idle(context: SensorEvaluationContext) -> SkipReason:
        return SkipReason(f"Nothing new after {next(looks)} looks.")

    handler = evaluator(idle)

    def tick(number: int) -> None:
        minute, hour = number % 60, number // 60 % 24
        day = f"2026-11-{1 + number // 1440:02d}T{hour:02d}:{minute:02d}:00Z"
        answer = handler({"treadle": "tick", "nominal_time": day}, LambdaContext())
        assert answer["decision"] == "SKIPPED", answer

    with patch.dict(os.environ, {**local_aws(NOWHERE), **unused, **ours}, clear=True), answered():
        return milliseconds_each(tick)


def bare() -> float:
    """Measure a handler that logs one line."""
    handler = instrumented(lambda event, context: logger().info("Nothing new."))
    return milliseconds_each(lambda _: handler({}, LambdaContext()))


@contextlib.contextmanager
def answered() -> Any:
    """Return an empty response to each request of a DynamoDB client, and send none."""

    def answer(request: Any, **_: Any) -> Any:
        response: Any = AWSResponse(request.url, 200, HTTPHeaders(), None)
        response._content = b"{}"
        return response

    with hooked(("before-send.dynamodb.*", answer)):
        yield


def measure() -> list[Figure]:
    """Measure all figures."""
    with contextlib.redirect_stdout(io.StringIO()):
        ours, whole, least = in_memory(), as_handler(), bare()
    return [
        Figure("the protocol, without the time of its stores in memory", ours, "ms", GOAL_MS),
        Figure("the whole handler, with DynamoDB's client but without DynamoDB", whole, "ms"),
        Figure("a handler that logs one line", least, "ms"),
    ]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    return report_figures("Processor time of an idle tick", measure())


if __name__ == "__main__":
    run_tool(main)
