"""The seconds from an object's upload to the start of its execution, on a local cloud.

`python -m benchmarks.event_to_execution` uses the running local cloud, or creates one.
The exit status is 1 if the median misses its goal. A local cloud tests the wiring, not AWS's latency.
"""

import contextlib
import sys
import time
from collections.abc import Iterator

from benchmarks.figures import report_seconds
from tests.e2e.deployment import Deployed, eventually, fresh_key, pointing_at
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.ministack import LocalCloud, configured_port
from tools.project import ToolError, run_tool
from treadle.model.runs import Run

UPLOADS = 25
"""Thirty objects in a row that each follow on a run of the one before would look like a loop, and be held."""

GOAL_SECONDS = 5.0


def seconds_to_start(deployed: Deployed) -> float:
    """Upload an object, and return the seconds to the start of its execution, by Step Functions' time."""
    key = fresh_key("bench")
    put_at = time.time()
    deployed.upload(key)

    def probe() -> list[Run]:
        return [run for run in deployed.runs_of(key) if run.started_at is not None]

    [run] = eventually(probe, f"the execution for {key} started", seconds=60, pause=0.05)
    described = deployed.client("stepfunctions").describe_execution(executionArn=run.external_id)
    return float(described["startDate"].timestamp()) - put_at


@contextlib.contextmanager
def deployment() -> Iterator[Deployed]:
    """Return the stack that `make up` deployed, or deploy one for this measurement."""
    existing = LocalCloud(configured_port())
    with contextlib.ExitStack() as exits:
        with contextlib.suppress(ToolError):
            if existing.is_ours():
                stack.outputs(existing.endpoint, stack.stack_name())
                exits.enter_context(pointing_at(existing.endpoint))
                yield exits.enter_context(contextlib.closing(Deployed.at(existing.endpoint)))
                return
        cloud = exits.enter_context(temporary_cloud())
        exits.enter_context(pointing_at(cloud.endpoint))
        stack.build_engine(cloud.endpoint)
        stack.build(cloud.endpoint)
        stack.deploy_engine(cloud.endpoint)
        stack.deploy(cloud.endpoint)
        made = exits.enter_context(contextlib.closing(Deployed.at(cloud.endpoint)))
        # Otherwise the first object's request is held until its job is registered.
        eventually(lambda: made.stores.registry.read().jobs, "the registry has the stack's jobs", seconds=120)
        yield made


def main() -> int:
    """Measure and print; return 1 if the goal is missed."""
    with deployment() as deployed:
        first = seconds_to_start(deployed)
        taken = [seconds_to_start(deployed) for _ in range(UPLOADS)]
    title = "From an object's upload to the start of its execution, on a local cloud"
    return report_seconds(title, first, taken, GOAL_SECONDS)


if __name__ == "__main__":
    # Shown line by line also where the output is a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
