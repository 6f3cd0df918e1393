"""The seconds from the end of an execution to the start of the next one, which a run status sensor requests.

`python -m benchmarks.end_to_next_start` creates a local cloud.
The exit status is 1 if the median misses its goal. A local cloud tests the wiring, not AWS's latency.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import report_seconds
from tests.e2e.deployment import Deployed, eventually, pointing_at
from tests.e2e.job_chain import LOAD, REPORT, deploy_sensors_of_runs, start
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project import run_tool
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run

TIMES = 50
GOAL_SECONDS = 4.0


def seconds_to_next_start(deployed: Deployed) -> float:
    """Run the first job, and return the seconds from its end to the next start, by Step Functions' times."""
    [first] = start(deployed, LOAD, fail=lambda _: False)

    def probe() -> list[Run]:
        found = deployed.stores.runs.find(RunQuery(job=REPORT, limit=5))
        return [run for run in found if (run.run_key or "").startswith(first.run_id) and run.external_id]

    [second] = eventually(probe, f"{REPORT} was started after {first.run_id}", seconds=180, pause=0.05)
    done = deployed.stores.runs.get(first.run_id)
    assert done is not None
    return _described(deployed, second, "startDate") - _described(deployed, done, "stopDate")


def _described(deployed: Deployed, run: Run, field: str) -> float:
    client: Any = deployed.client("stepfunctions")
    return float(client.describe_execution(executionArn=run.external_id)[field].timestamp())


def main() -> int:
    """Measure and print; return 1 if the goal is missed."""
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        cloud = exits.enter_context(temporary_cloud())
        exits.enter_context(pointing_at(cloud.endpoint))
        stack.build_engine(cloud.endpoint)
        deployed = exits.enter_context(contextlib.closing(deploy_sensors_of_runs(cloud.endpoint, folder)))
        # Otherwise the first run is held until its job is registered.
        eventually(
            lambda: deployed.stores.registry.read().jobs, "the registry has the stack's jobs", seconds=120
        )
        first = seconds_to_next_start(deployed)
        taken = []
        for _ in range(TIMES):
            taken.append(seconds_to_next_start(deployed))
            time.sleep(0.2)
    title = "From the end of an execution to the start of the next one, on a local cloud"
    return report_seconds(title, first, taken, GOAL_SECONDS)


if __name__ == "__main__":
    # Shown line by line also where the output is a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
