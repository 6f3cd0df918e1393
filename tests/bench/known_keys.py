"""How fast a tick drops run keys that are taken, and that history makes it no slower, on DynamoDB Local.

`python -m tests.bench.known_keys` prints it: a tick asks for 10,000 runs that all exist. Cold is the first tick of a
process, connections and models included; warm is a later one. HISTORY=1000000 makes the long history as long as that
(DynamoDB Local takes in about a thousand records a second, so 100,000 is what there is time for otherwise).
"""

import itertools
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import boto3

from tests.bench.figures import Figure, tell
from tests.bench.idle_tick import DynamoHouse
from tests.support.house import RUN_IDS, sensor_of
from tests.support.metering import Meter, metered
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.results import RunRequest
from treadle.engine.evaluation import Budget
from treadle.engine.outcomes import Decision

KEYS = 10_000
LONG = int(os.environ.get("HISTORY", "100000"))
WARM_TICKS = 5
NOON = 1_795_370_400_000
BATCH, WRITERS = 25, 4
COLD_GOAL, WARM_GOAL, FLAT_GOAL, REQUESTS_GOAL = 3_000, 20_000, 10, KEYS / 100 + 3


def claim(tables: TableNames, run_ids: Sequence[str]) -> None:
    """Store runs as the filter sees them: taken for good."""
    client = boto3.client("dynamodb")

    def put(first: int) -> None:
        items = [
            {"run_id": {"S": run_id}, "attempt": {"N": "1"}, "attempts_allowed": {"N": "1"}}
            for run_id in run_ids[first : first + BATCH]
        ]
        left: Any = {tables.runs: [{"PutRequest": {"Item": item}} for item in items]}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(put, range(0, len(run_ids), BATCH)))


class Dropping:
    """Ticks that ask for the same 10,000 runs, which all exist.

    Args:
        tables: where.
        meter: counts requests.
    """

    def __init__(self, tables: TableNames, meter: Meter) -> None:
        self._meter = meter
        keys = [f"s3://watched/incoming/part-{number:05d}.csv#e" for number in range(KEYS)]
        claim(tables, [RUN_IDS.keyed("watch", key) for key in keys])
        house = DynamoHouse(stores=DynamoStores.of(tables, RandomTokens()), tokens=RandomTokens())
        self._requests = [RunRequest(key) for key in keys]
        self._ticks = house.leased(sensor_of(lambda: self._requests))
        self._minutes = itertools.count()

    def seconds(self) -> float:
        """What a tick takes."""
        self._meter.reset()
        began = time.perf_counter()
        outcome = self._ticks.tick(NOON + next(self._minutes) * 60_000, Budget())
        taken = time.perf_counter() - began
        assert (outcome.decision, outcome.count) == (Decision.SKIPPED, 0), outcome
        return taken

    @property
    def requests(self) -> int:
        """What the last tick asked of DynamoDB."""
        return len(self._meter.calls)


def measure(endpoint: str) -> list[Figure]:
    """What each took.

    Args:
        endpoint: of DynamoDB.
    """
    environment = local_aws(endpoint)
    with patch.dict(os.environ, environment, clear=True), metered() as meter:
        short = Dropping(create_tables(), meter)
        cold = short.seconds()
        long_tables = create_tables()
        long = Dropping(long_tables, meter)
        claim(long_tables, [RUN_IDS.keyed("others", str(number)) for number in range(LONG)])
        long.seconds()
        # By turns, so that whatever else this machine does falls on both.
        warm = [(short.seconds(), long.seconds()) for _ in range(WARM_TICKS)]
        requests = long.requests
    few, many = (min(each) for each in zip(*warm, strict=True))
    return [
        Figure("known keys, cold", KEYS / cold, "keys/s", COLD_GOAL, at_most=False),
        Figure("known keys, warm", KEYS / few, "keys/s", WARM_GOAL, at_most=False),
        Figure(f"{LONG:,} more keys in history, longer by", 100 * (many / few - 1), "%", FLAT_GOAL),
        Figure(f"requests of a tick with {KEYS:,} known keys", requests, "", REQUESTS_GOAL),
    ]


def main() -> int:
    """Entry point."""
    with dynamodb_local() as endpoint:
        return tell("Run keys that are taken, on DynamoDB Local", measure(endpoint))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
