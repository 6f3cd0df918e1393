"""How long from an object's upload to the start of its execution, on a local cloud: seconds.

`python -m benchmarks.event_to_execution` uses the local cloud that is up, or one of its own.
Exit status 1 if the median misses its goal. A local cloud proves the wiring, not AWS's timing.
"""

import contextlib
import sys
import time
from collections.abc import Iterator

from benchmarks.figures import seconds_told
from tests.e2e.deployment import Deployed, eventually, fresh_key, pointing_at
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.ministack import LocalCloud, configured_port
from tools.project import ToolError, run_tool
from treadle.model.runs import Run

UPLOADS = 50
GOAL_SECONDS = 5.0


def seconds_to_start(deployed: Deployed) -> float:
    """Upload one object; the seconds until Step Functions says that its execution started."""
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
    """The stack that `make up` deployed, else one for the time of this measurement."""
    standing = LocalCloud(configured_port())
    with contextlib.ExitStack() as exits:
        with contextlib.suppress(ToolError):
            if standing.is_ours():
                stack.outputs(standing.endpoint, stack.stack_name())
                exits.enter_context(pointing_at(standing.endpoint))
                yield exits.enter_context(contextlib.closing(Deployed.at(standing.endpoint)))
                return
        cloud = exits.enter_context(temporary_cloud())
        exits.enter_context(pointing_at(cloud.endpoint))
        stack.build_engine(cloud.endpoint)
        stack.build(cloud.endpoint)
        stack.deploy_engine(cloud.endpoint)
        stack.deploy(cloud.endpoint)
        made = exits.enter_context(contextlib.closing(Deployed.at(cloud.endpoint)))
        # Else the first object's request is held until its job is registered.
        eventually(lambda: made.stores.registry.read().jobs, "the registry has the stack's jobs", seconds=120)
        yield made


def main() -> int:
    """Measure and print; 1 if the goal is missed."""
    with deployment() as deployed:
        first = seconds_to_start(deployed)
        taken = [seconds_to_start(deployed) for _ in range(UPLOADS)]
    title = "From an object's upload to the start of its execution, on a local cloud"
    return seconds_told(title, first, taken, GOAL_SECONDS)


if __name__ == "__main__":
    # Shown line by line also where the output is a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
