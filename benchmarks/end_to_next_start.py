"""How long from the end of an execution to the start of the one that follows it: seconds.

`python -m benchmarks.end_to_next_start` uses a local cloud of its own.
Exit status 1 if the median misses its goal. A local cloud proves the wiring, not AWS's timing.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import seconds_told
from tests.e2e.deployment import Deployed, eventually, pointing_at
from tests.e2e.following import LOAD, REPORT, deploy_sensors_of_runs, start
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project import run_tool
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run

TIMES = 50
GOAL_SECONDS = 4.0


def seconds_to_next_start(deployed: Deployed) -> float:
    """Run the first job; the seconds from its end to the start of the other, as Step Functions tells them."""
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
    """Measure and print; 1 if the goal is missed."""
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        cloud = exits.enter_context(temporary_cloud())
        exits.enter_context(pointing_at(cloud.endpoint))
        stack.build_engine(cloud.endpoint)
        deployed = exits.enter_context(contextlib.closing(deploy_sensors_of_runs(cloud.endpoint, folder)))
        # Else the first run is delayed until its job is registered.
        eventually(
            lambda: deployed.stores.registry.read().jobs, "the registry has the stack's jobs", seconds=120
        )
        first = seconds_to_next_start(deployed)
        taken = []
        for _ in range(TIMES):
            taken.append(seconds_to_next_start(deployed))
            time.sleep(0.2)
    title = "From the end of an execution to the start of the one that follows, on a local cloud"
    return seconds_told(title, first, taken, GOAL_SECONDS)


if __name__ == "__main__":
    # Shown line by line also where the output is a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
