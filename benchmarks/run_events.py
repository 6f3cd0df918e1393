"""How many events of runs a second a run status sensor takes, on DynamoDB Local, one process.

`python -m benchmarks.run_events` prints it: batches of ten, as the queue hands them out, evaluated, and then carried
out: a reaction is noted on its run, a request becomes a run that is launched. The target and the queues are in this
process.
"""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import uuid4

from benchmarks.figures import Figure, tell
from benchmarks.idle_tick import DynamoHarness
from benchmarks.launch_throughput import carry_out
from tests.support.engine import JOB, NAMESPACE
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import local_aws, run_tool
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.definitions.run_status_contexts import RunStatusSensorContext
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.instance.views import dagster_run
from treadle.engine.tick.evaluation import Budget
from treadle.model.runs import Run

EVENTS, BATCH = 200, 10
NOON = 1_795_370_400_000
SUCCESS = DagsterRunStatus.SUCCESS
job = JobDefinition(JOB)
Function = Callable[[RunStatusSensorContext], RunRequest | None]


def react(context: RunStatusSensorContext) -> None:
    """A reaction, as it returns nothing."""
    assert context.dagster_run.status is SUCCESS


def follow(context: RunStatusSensorContext) -> RunRequest:
    """A run that follows."""
    return RunRequest(context.dagster_run.run_id)


FUNCTIONS: Mapping[str, Function] = {"reacting": react, "following": follow}


def seconds(tables: TableNames, function: Function, events: int = EVENTS) -> float:
    """What it takes until all that the events ask for is done.

    Args:
        tables: where.
        function: the sensor's.
        events: how many.
    """
    name = f"watch_{uuid4().hex[:8]}"
    harness = DynamoHarness(stores=DynamoStores(tables, RandomTokens()), tokens=RandomTokens())
    definition = RunStatusSensorDefinition(
        name, SUCCESS, function, request_job=job, monitor_all_code_locations=True
    )
    taken_by = harness.events(definition)
    told = []
    for _ in range(events):
        run = Run(str(uuid4()), JOB, "upstream", None, "tick", "{}", {}, NOON, status=SUCCESS, ended_at=NOON)
        harness.runs.create(run)
        told.append(
            RunStatusEvent(dagster_run(run, NAMESPACE), SUCCESS, datetime.fromtimestamp(NOON / 1000, UTC))
        )
    began = time.perf_counter()
    for first in range(0, events, BATCH):
        batch = told[first : first + BATCH]
        batch_state = taken_by.load_batch_state(batch)
        for event in batch:
            taken_by.evaluate(event, batch_state, Budget())
    carry_out(harness, *harness.ticks.latest(name, events + 1))
    taken = time.perf_counter() - began
    assert len(harness.target.starts) == (events if function is follow else 0)
    return taken


def rates(tables: TableNames) -> dict[str, float]:
    """Events a second, by what the sensor's function does."""
    seconds(tables, follow, 20)
    return {
        name: EVENTS / min(seconds(tables, function) for _ in range(2))
        for name, function in FUNCTIONS.items()
    }


def main() -> int:
    """Entry point."""
    with dynamodb_local() as endpoint, patch.dict(os.environ, local_aws(endpoint), clear=True):
        found = rates(create_tables())
    return tell(
        "Events of runs, on DynamoDB Local",
        [
            Figure("the function returns nothing", found["reacting"], "events/s"),
            Figure(
                "the function asks for a run each time, which is launched", found["following"], "events/s"
            ),
        ],
    )


if __name__ == "__main__":
    run_tool(main)
