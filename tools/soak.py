"""`make soak`: a sensor at 15 s on a local cloud must tick four times a minute, until it is stopped."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project import ToolError, local_aws, run_tool
from tools.project_copy import copy_of_project
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.operate.sensors import SensorOperations

STACK = "treadle-soak"
SENSOR = "new_objects"
INTERVAL = 15
MINUTES = 5
TOLERANCE = 3.0


@dataclass(slots=True)
class Watch:
    """Observations of a sensor's ticks.

    Attributes:
        late: for each tick how many seconds after its scheduled time it ended.
        last: the scheduled time of the last one, in milliseconds.
    """

    late: list[float] = field(default_factory=list)
    last: int = 0


def watch(stores: DynamoStores, seen: Watch, seconds: float) -> None:
    """Record every tick that ends within a number of seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        state = stores.sensors.get(SENSOR)
        scheduled_for, ended = state.last_scheduled_for, state.last_completion
        if (
            scheduled_for is not None
            and ended is not None
            and scheduled_for > seen.last
            and ended >= scheduled_for
        ):
            seen.last = scheduled_for
            seen.late.append((ended - scheduled_for) / 1000)
        time.sleep(0.2)


def main() -> int:
    """Run `python -m tools.soak`."""
    with temporary_cloud() as cloud:
        print("soak: building and deploying …", flush=True)
        stack.build_engine(cloud.endpoint)
        stack.deploy_engine(cloud.endpoint)
        with TemporaryDirectory(prefix="treadle-soak-") as folder:
            project = write_project(Path(folder))
            stack.build(cloud.endpoint, project)
            stack.deploy(cloud.endpoint, project, ["--stack-name", STACK])
        parts = stack.contract(cloud.endpoint, STACK)
        os.environ.update(local_aws(cloud.endpoint))
        tables = (parts[f"{name}_table"] for name in ("sensors", "ticks", "runs", "events"))
        stores = DynamoStores(TableNames(*tables), RandomTokens())
        return judge(stores)


def write_project(folder: Path) -> Path:
    """Write a copy of the project whose sensor ticks at the interval."""
    project = copy_of_project(folder)
    path = project / "template.yaml"
    text = path.read_text()
    for before in ("TREADLE_INTERVAL_SECONDS: '300'", '"interval":"300"'):
        if text.count(before) != 1:
            raise ToolError(f"{before!r} is not once in template.yaml.")
        text = text.replace(before, before.replace("300", str(INTERVAL)))
    path.write_text(text)
    return project


def judge(stores: DynamoStores) -> int:
    """Observe ticks for five minutes from the next full minute, stop the sensor, observe on; 0 if good."""
    watch(stores, Watch(), 60 - time.time() % 60 + 60)
    seen = Watch(last=int(time.time() * 1000) // 60_000 * 60_000 - 1)
    print(f"soak: watching for {MINUTES} minutes", flush=True)
    watch(stores, seen, MINUTES * 60)
    expected = MINUTES * 60 // INTERVAL
    print(
        f"soak: {len(seen.late)} ticks of {expected}, at most {max(seen.late, default=0):.1f} s after their time"
    )
    SensorOperations(stores.sensors, SystemClock()).stop(SENSOR, "soak")
    watch(stores, seen, INTERVAL)
    after = Watch(last=seen.last)
    watch(stores, after, 60 + INTERVAL)
    print(f"soak: {len(after.late)} ticks later than {INTERVAL} s after it was stopped")
    if abs(len(seen.late) - expected) > 1 or max(seen.late, default=99) > TOLERANCE or after.late:
        msg = f"expected {expected} ticks within {TOLERANCE:g} s of their time, and none once stopped."
        raise ToolError(msg)
    return 0


if __name__ == "__main__":
    run_tool(main)
