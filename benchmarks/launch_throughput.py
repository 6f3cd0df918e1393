"""The runs a second of DISPATCH and LAUNCH on DynamoDB Local, compared with bare conditional writes.

`python -m benchmarks.launch_throughput` prints it. A run needs one conditional put in DISPATCH, and a claim and a
record of its start in LAUNCH; the minimum for the same is three conditional writes with boto3. Treadle makes its writes
in batches of what one invocation gets.
The target and the queues are in this process. Batches are processed by one thread first, as the bare writes are; then by
as many as are deployed; then that in four processes, each with its own ticks.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import boto3

from benchmarks.figures import Figure, ratio, report_figures
from benchmarks.idle_tick import DynamoHarness
from tests.support.engine import JOB, sensor_of
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.results import RunRequest
from treadle.engine.messages import ChunkRequest, LaunchRequest, TickRequest
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.dispatcher import DISPATCH_WORKERS
from treadle.entrypoints.launcher import LAUNCH_WORKERS
from treadle.model.ticks import Tick

RUNS = 250
PROCESSES = 4
BATCH, STREAM_BATCH = 10, 100
"""How many messages of LAUNCH's queue, and records of the ticks' stream, one invocation gets."""

NOON = 1_795_370_400_000
GOAL_SHARE = 150
GOAL_CPU = 2


def bare_writes(table: str, runs: int) -> float:
    """Return the runs a second with three conditional writes each, in sequence."""
    client = boto3.client("dynamodb")
    names = [uuid4().hex for _ in range(runs)]
    began = time.perf_counter()
    for name in names:
        key = {"run_id": {"S": name}}
        client.put_item(TableName=table, Item=key, ConditionExpression="attribute_not_exists(run_id)")
        for attribute in ("claimed", "started"):
            client.update_item(
                TableName=table,
                Key=key,
                UpdateExpression=f"SET {attribute} = :now",
                ConditionExpression=f"attribute_not_exists({attribute})",
                ExpressionAttributeValues={":now": {"N": "1"}},
            )
    return runs / (time.perf_counter() - began)


def treadle_rate(tables: TableNames, runs: int, *, is_single: bool = False) -> float:
    """Return the runs a second, from a committed tick to the recorded starts.

    Args:
        tables: the names of the tables.
        runs: the number of requests of the tick.
        is_single: whether one thread processes them; otherwise as many as are deployed.
    """
    stores, tokens = DynamoStores(tables, RandomTokens()), RandomTokens()
    harness = DynamoHarness(stores=stores, tokens=tokens, workers=1 if is_single else DISPATCH_WORKERS)
    keys = [uuid4().hex for _ in range(runs)]
    name = f"watch_{uuid4().hex[:8]}"
    requests = [RunRequest(key, {"bucket": "watched", "key": f"incoming/{key}.csv"}) for key in keys]
    harness.leased(sensor_of(lambda: requests, name=name)).tick(NOON, Budget())
    [tick] = harness.ticks.latest(name, 2)
    began = time.perf_counter()
    carry_out(harness, tick, launch_workers=1 if is_single else LAUNCH_WORKERS)
    taken = time.perf_counter() - began
    assert len(harness.target.starts) == runs
    return runs / taken


def carry_out(harness: DynamoHarness, *ticks: Tick, launch_workers: int = 1) -> None:
    """Dispatch the requests of ticks, and launch the runs in batches, so many of each at a time."""
    grants: dict[str, Any] = {tick.sensor: JOB for tick in ticks}
    dispatcher, launcher = harness.dispatcher(**grants), harness.launcher(workers=launch_workers)
    for start in range(0, len(ticks), STREAM_BATCH):
        dispatcher.dispatch_many(ticks[start : start + STREAM_BATCH])
    for body in harness.chunks.drain():
        chunk = TickRequest.from_json(body)
        assert isinstance(chunk, ChunkRequest)
        dispatcher.dispatch_chunk(chunk)
    requests = [LaunchRequest.from_json(body) for body in harness.launches.drain()]
    for start in range(0, len(requests), BATCH):
        launcher.launch_many(requests[start : start + BATCH], 60)


def _with_processor_time(measured: Callable[[], float]) -> tuple[float, float]:
    """Return a rate, and the milliseconds of this process for a run: the store is another one."""
    began = time.process_time()
    rate = measured()
    return rate, 1000 * (time.process_time() - began) / RUNS


def _in_process(function: Callable[..., float], environment: dict[str, str], *arguments: Any) -> float:
    with patch.dict(os.environ, environment, clear=True):
        return function(*arguments)


def measure(endpoint: str) -> list[Figure]:
    """Measure all figures.

    Args:
        endpoint: DynamoDB's URL.
    """
    environment = local_aws(endpoint)
    with patch.dict(os.environ, environment, clear=True):
        tables = create_tables()
        # DynamoDB Local gets faster with use.
        bare_writes(tables.runs, RUNS)
        treadle_rate(tables, RUNS)
        # In turn, so that other load of the machine affects each of them.
        rounds = [
            (
                _with_processor_time(lambda: bare_writes(tables.runs, RUNS)),
                _with_processor_time(lambda: treadle_rate(tables, RUNS, is_single=True)),
                (treadle_rate(tables, RUNS), 0.0),
            )
            for _ in range(3)
        ]
    of_bare, of_single, of_ours = ([rate for rate, _ in each] for each in zip(*rounds, strict=True))
    bare, single, ours = max(of_bare), max(of_single), max(of_ours)
    bare_cpu, our_cpu = (min(each[place][1] for each in rounds) for place in (0, 1))
    with ProcessPoolExecutor(PROCESSES) as pool:
        together = [
            pool.submit(_in_process, treadle_rate, environment, tables, RUNS // 2) for _ in range(PROCESSES)
        ]
        side_by_side = sum(each.result() for each in together)
    return [
        Figure("three bare conditional writes for each run", bare, "runs/s"),
        Figure("DISPATCH and LAUNCH, one thread", single, "runs/s"),
        Figure(
            "as a share of the bare writes", 100 * ratio(of_single, of_bare), "%", GOAL_SHARE, at_most=False
        ),
        Figure("processor time of three bare writes", bare_cpu, "ms"),
        Figure("processor time of a run, with the evaluation that requests it", our_cpu, "ms"),
        Figure("bare writes, as a multiple of a run", bare_cpu / our_cpu, "times", GOAL_CPU, at_most=False),
        Figure("DISPATCH and LAUNCH, as many threads as deployed", ours, "runs/s"),
        Figure("as a multiple of one thread", ratio(of_ours, of_single), "times"),
        Figure(f"DISPATCH and LAUNCH, {PROCESSES} processes together", side_by_side, "runs/s"),
        Figure(f"{PROCESSES} processes, as a multiple of one", side_by_side / ours, "times"),
    ]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    with dynamodb_local(optimizes=True) as endpoint:
        return report_figures("Launch throughput on DynamoDB Local", measure(endpoint))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
