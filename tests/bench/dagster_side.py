"""What Dagster takes for the same work; runs under .tools/peers, and prints JSON. `tests.bench.peers` asks it.

Its daemon's own code, in this process, over its code server; an SQLite instance as it is by
default, which is not its fastest; a launcher that only records.
"""

import json
import logging
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

LOAD = """
import dagster as dg

KEYS = {keys}

@dg.op
def work(): ...

@dg.job
def load():
    work()

@dg.sensor(job=load, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def watch():
    {body}

defs = dg.Definitions(jobs=[load], sensors=[watch])
"""
IDLE_TICKS, KEYS = 100, 100


class Daemon:
    """A sensor's daemon over an instance of its own.

    Args:
        body: of the sensor's function.
        instance: which.
    """

    def __init__(self, instance: Any, body: str = "") -> None:
        from dagster._core.test_utils import create_test_daemon_workspace_context
        from dagster._core.workspace.load_target import PythonFileTarget

        code = LOAD.format(keys=KEYS, body=body or "return dg.SkipReason('none')")
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name, "definitions.py")
        path.write_text(code)
        target = PythonFileTarget(str(path), attribute=None, working_directory=None, location_name=None)
        self._workspace = create_test_daemon_workspace_context(
            workspace_load_target=target, instance=instance
        )
        self.context = self._workspace.__enter__()
        self._time = datetime.now().astimezone()
        self._logger = logging.getLogger("bench")

    def tick(self) -> float:
        """One pass of the daemon, a minute later; the seconds that it takes."""
        from dagster._core.test_utils import freeze_time
        from dagster._daemon.sensor import execute_sensor_iteration

        self._time += timedelta(minutes=1)
        with freeze_time(self._time):
            began = time.perf_counter()
            list(execute_sensor_iteration(self.context, self._logger, None, None))
            return time.perf_counter() - began

    def close(self) -> None:
        """End it."""
        self._workspace.__exit__(None, None, None)
        self._folder.cleanup()


def instance() -> Any:
    """An instance whose launcher only records."""
    from dagster._core.test_utils import instance_for_test

    recording = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    return instance_for_test(overrides={"run_launcher": recording})


def idle() -> dict[str, float]:
    """Processor time and time of a tick that finds nothing."""
    with instance() as made:
        daemon = Daemon(made)
        for _ in range(5):
            daemon.tick()
        began = time.process_time()
        seconds = [daemon.tick() for _ in range(IDLE_TICKS)]
        cpu = time.process_time() - began
        daemon.close()
    return {"idle_cpu_ms": cpu * 1000 / IDLE_TICKS, "idle_ms": sum(seconds) * 1000 / IDLE_TICKS}


def launching() -> dict[str, float]:
    """Runs a second of a tick that asks for new ones, and keys a second of one that asks for known ones."""
    body = "return [dg.RunRequest(run_key=str(number)) for number in range(KEYS)]"
    with instance() as made:
        daemon = Daemon(made, body)
        first, again = daemon.tick(), min(daemon.tick() for _ in range(3))
        runs = made.get_runs_count()
        daemon.close()
    assert runs == KEYS, runs
    return {"launches": KEYS / first, "known_keys": KEYS / again}


def objects() -> dict[str, float]:
    """Seconds that each `get_s3_keys` takes over the same bucket of a million objects."""
    from tests.bench.sweep_million import Measurement

    measurement = Measurement()
    measurement.helpers()
    mine, theirs = measurement.rows
    return {"treadle_s": mine.seconds, "dagster_s": theirs.seconds}


def main() -> int:
    """Entry point: the names of what to measure."""
    logging.disable(logging.CRITICAL)
    found: dict[str, float] = {}
    for part in sys.argv[1:]:
        found |= {"idle": idle, "launching": launching, "objects": objects}[part]()
    print("FOUND", json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
