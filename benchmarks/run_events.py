"""The status events a second of a run status sensor, on DynamoDB Local, in one process.

`python -m benchmarks.run_events` prints it: batches of ten, as the queue delivers them, are evaluated, and then
dispatched: a reaction is recorded in its run, a request becomes a run that is launched. The target and the queues are
in this process.
"""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import uuid4

from benchmarks.figures import Figure, report_figures
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
    """Return nothing: a reaction."""
    assert context.dagster_run.status is SUCCESS


def follow(context: RunStatusSensorContext) -> RunRequest:
    """Request a run."""
    return RunRequest(context.dagster_run.run_id)


FUNCTIONS: Mapping[str, Function] = {"reacting": react, "following": follow}


def seconds(tables: TableNames, function: Function, events: int = EVENTS) -> float:
    """Return the duration from the first event to the last launch.

    Args:
        tables: the names of the tables.
        function: the sensor's function.
        events: the number of events.
    """
    name = f"watch_{uuid4().hex[:8]}"
    harness = DynamoHarness(stores=DynamoStores(tables, RandomTokens()), tokens=RandomTokens())
    definition = RunStatusSensorDefinition(
        name, SUCCESS, function, request_job=job, monitor_all_code_locations=True
    )
    evaluation = harness.events(definition)
    published = []
    for _ in range(events):
        run = Run(str(uuid4()), JOB, "upstream", None, "tick", "{}", {}, NOON, status=SUCCESS, ended_at=NOON)
        harness.runs.create(run)
        published.append(
            RunStatusEvent(dagster_run(run, NAMESPACE), SUCCESS, datetime.fromtimestamp(NOON / 1000, UTC))
        )
    began = time.perf_counter()
    for first in range(0, events, BATCH):
        batch = published[first : first + BATCH]
        outcomes = evaluation.evaluate_many(batch, evaluation.load_batch_state(batch), Budget)
        assert not any(isinstance(each, Exception) for each in outcomes)
    carry_out(harness, *harness.ticks.latest(name, events + 1))
    taken = time.perf_counter() - began
    assert len(harness.target.starts) == (events if function is follow else 0)
    return taken


def rates(tables: TableNames) -> dict[str, float]:
    """Return the events a second, by function."""
    seconds(tables, follow, 20)
    return {
        name: EVENTS / min(seconds(tables, function) for _ in range(2))
        for name, function in FUNCTIONS.items()
    }


def main() -> int:
    """Measure and print."""
    with dynamodb_local() as endpoint, patch.dict(os.environ, local_aws(endpoint), clear=True):
        found = rates(create_tables())
    return report_figures(
        "Status events, on DynamoDB Local",
        [
            Figure("the function returns nothing", found["reacting"], "events/s"),
            Figure(
                "the function requests a run each time, which is launched", found["following"], "events/s"
            ),
        ],
    )


if __name__ == "__main__":
    run_tool(main)
