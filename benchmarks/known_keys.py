"""How fast a tick filters claimed run keys, with a short and a long history, on DynamoDB Local.

`python -m benchmarks.known_keys` prints it: a tick requests 10,000 runs that all exist. The first tick of a process
includes its client and connections. A later one has the keys in its cache, or must read all of them if the sensor was
edited: then DynamoDB Local's speed is the limit, so the speed of boto3 alone is measured, too.
The records are written into DynamoDB Local's database file: by its API, a million of them would take hours.
"""

import contextlib
import itertools
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import boto3

from benchmarks.figures import Figure, ratio, report_figures
from benchmarks.idle_tick import DynamoHarness
from tests.support.dynamodb_meter import Meter, metered
from tests.support.engine import RUN_IDS, sensor_of
from tests.support.tables import create_tables
from tools.dynamodb_local import FILE, dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.results import RunRequest
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.model.sensors import Edit

KEYS = 10_000
LONG = 1_000_000
COLD_TICKS, WARM_TICKS, CACHED_TICKS = 3, 5, 15
COLD_GOAL, WARM_GOAL, FLAT_GOAL, REQUESTS_GOAL = 0.7, 6, 10, KEYS / 100 + 3
"""The first two are multiples of boto3 alone in the same run; then percent, and requests."""


def run_keys() -> list[str]:
    """Return the run keys that the ticks request."""
    return [f"s3://watched/incoming/part-{number:05d}.csv#e" for number in range(KEYS)]


def run_ids() -> list[str]:
    """Return the runs of these keys."""
    return [RUN_IDS.keyed("watch", key) for key in run_keys()]


@contextmanager
def tables_with_claimed_keys(*others: int) -> Iterator[tuple[str, list[TableNames]]]:
    """Run DynamoDB Local with tables in which all the keys are final.

    Args:
        others: the number of other keys in each set of tables.

    Returns:
        the endpoint, and the tables.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            dynamodb_local(kept_in=folder) as endpoint,
            patch.dict(os.environ, local_aws(endpoint), clear=True),
        ):
            made = [create_tables() for _ in others]
        with contextlib.closing(sqlite3.connect(folder / FILE)) as database, database:
            for tables, count in zip(made, others, strict=True):
                history = (
                    str(UUID(bytes=md5(b"%d" % number, usedforsecurity=False).digest()))
                    for number in range(count)
                )
                # Sorted, so that all of its indexes grow at their end.
                rows = map(_row, sorted(itertools.chain(run_ids(), history)))
                database.executemany(
                    f'INSERT INTO "{tables.runs}" (hashKey, hashValue, itemSize, ObjectJSON) VALUES (?, ?, ?, ?)',
                    rows,
                )
        with dynamodb_local(optimizes=True, kept_in=folder) as endpoint:
            yield endpoint, made


def _row(run_id: str) -> tuple[bytes, bytes, int, bytes]:
    """Return a run's record as DynamoDB Local stores it, except for the hash, by which it orders scans."""
    key = run_id.encode()
    record = (
        b'{"run_id":{"S":"%b"},"attempt":{"N":"1"},"attempts_allowed":{"N":"1"},"settled":{"BOOL":true}}'
        % key
    )
    return key, UUID(run_id).bytes, len(record), record


class KnownKeyTicks:
    """Ticks that request the same 10,000 runs, which all exist.

    Args:
        tables: the names of the tables.
        first: the number of the first tick.
    """

    def __init__(self, tables: TableNames, first: int = 0) -> None:
        self._harness = DynamoHarness(stores=DynamoStores(tables, RandomTokens()), tokens=RandomTokens())
        self._harness.clock.advance(first * 60)
        requests = [RunRequest(key) for key in run_keys()]
        self._ticks = self._harness.leased(sensor_of(lambda: requests))

    def seconds(self) -> float:
        """Return the duration of a tick."""
        began = time.perf_counter()
        outcome = self._ticks.tick(self._harness.clock.now(), Budget())
        taken = time.perf_counter() - began
        self._harness.clock.advance(60)
        assert (outcome.decision, outcome.count) == (Decision.SKIPPED, 0), outcome
        return taken

    def uncached_seconds(self) -> float:
        """Return the duration of a tick after the sensor was edited."""
        self.clear_cache()
        return self.seconds()

    def clear_cache(self) -> None:
        """Edit the sensor, so that its next tick reads all keys."""
        self._harness.sensors.edit("watch", Edit(0, "bench", freed_key=""))


def first_seconds(tables: TableNames, environment: dict[str, str], minute: int) -> float:
    """Return the duration of the first tick of this process."""
    with patch.dict(os.environ, environment, clear=True):
        return KnownKeyTicks(tables, minute).seconds()


def cold_seconds(tables: TableNames, environment: dict[str, str], minute: int) -> float:
    """Return the duration of the first tick of a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(first_seconds, tables, environment, minute).result()


def boto3_seconds(table: str) -> float:
    """Return the duration of reading the same keys with boto3 alone, a hundred per request, in sequence."""
    client, ids = boto3.client("dynamodb"), run_ids()
    batches = [ids[first : first + 100] for first in range(0, KEYS, 100)]
    began = time.perf_counter()
    for batch in batches:
        keys: Any = [{"run_id": {"S": run_id}} for run_id in batch]
        answer = client.batch_get_item(RequestItems={table: {"Keys": keys}})
        assert len(answer["Responses"][table]) == len(batch)
    return time.perf_counter() - began


def counted(meter: Meter, tick: Any) -> int:
    """Return the number of requests of a tick."""
    meter.reset()
    tick()
    return len(meter.calls)


def measure(endpoint: str, few_tables: TableNames, many_tables: TableNames) -> list[Figure]:
    """Measure all figures.

    Args:
        endpoint: DynamoDB's URL.
        few_tables: the tables with only these keys.
        many_tables: the tables with a long history.
    """
    environment = local_aws(endpoint)
    with patch.dict(os.environ, environment, clear=True), metered() as meter:
        boto3_seconds(few_tables.runs)  # DynamoDB Local gets faster with use.
        _, *cold = (cold_seconds(few_tables, environment, minute) for minute in range(COLD_TICKS + 1))
        few, many = KnownKeyTicks(few_tables, COLD_TICKS + 1), KnownKeyTicks(many_tables)
        many.seconds()
        many.clear_cache()
        uncached = counted(meter, many.seconds)
        cached = counted(meter, many.seconds)
        few.seconds()
        warm = min(few.seconds() for _ in range(CACHED_TICKS))
        # In turn, so that other load of the machine affects each of them.
        rounds = [
            (few.uncached_seconds(), many.uncached_seconds(), boto3_seconds(few_tables.runs))
            for _ in range(WARM_TICKS)
        ]
    short, long, bare = zip(*rounds, strict=True)
    alone, first = statistics.median(bare), statistics.median(cold)
    return [
        Figure("boto3 alone reads all, in sequence", KEYS / alone, "keys/s"),
        Figure("first tick of a process, reads all", KEYS / first, "keys/s"),
        Figure(
            "its speed as a multiple of boto3 alone, first tick",
            alone / first,
            "times",
            COLD_GOAL,
            at_most=False,
        ),
        Figure("later tick, all cached", KEYS / warm, "keys/s"),
        Figure(
            "its speed as a multiple of boto3 alone, later tick",
            alone / warm,
            "times",
            WARM_GOAL,
            at_most=False,
        ),
        Figure("tick after an edit of the sensor, reads all", KEYS / min(short), "keys/s"),
        Figure(
            f"{LONG:,} more keys in history, all read: longer by",
            100 * (ratio(long, short) - 1),
            "%",
            FLAT_GOAL,
        ),
        Figure(f"requests of a tick with {KEYS:,} known keys, all read", uncached, "", REQUESTS_GOAL),
        Figure(f"requests of a tick with {KEYS:,} known keys, all cached", cached, "", 2),
    ]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    with tables_with_claimed_keys(0, LONG) as (endpoint, tables):
        return report_figures("Claimed run keys, on DynamoDB Local", measure(endpoint, *tables))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
