"""What Dagster takes for the same work; runs under .tools/peers, and prints JSON. `tests.bench.peers` asks it.

Its daemon's own code, in this process, over its code server; an SQLite instance; a launcher that only records.
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

@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, default_status={status})
def after(context):
    print("EVENT")

defs = dg.Definitions(jobs=[load], sensors=[{sensor}])
"""
IDLE_TICKS, KEYS, EVENTS = 100, 100, 60


class Daemon:
    """A sensor's daemon over an instance of its own.

    Args:
        body: of the sensor's function.
        sensor: which sensor is there: "watch" or "after".
    """

    def __init__(self, instance: Any, body: str = "", sensor: str = "watch") -> None:
        from dagster._core.test_utils import create_test_daemon_workspace_context
        from dagster._core.workspace.load_target import PythonFileTarget

        running = "dg.DefaultSensorStatus.RUNNING" if sensor == "after" else "dg.DefaultSensorStatus.STOPPED"
        code = LOAD.format(
            keys=KEYS, body=body or "return dg.SkipReason('none')", status=running, sensor=sensor
        )
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


def events() -> dict[str, float]:
    """Status events that one tick of a run status sensor takes."""
    from dagster import DagsterRunStatus
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.test_utils import create_run_for_test

    with instance() as made:
        daemon = Daemon(made, sensor="after")
        daemon.tick()
        for _ in range(EVENTS):
            run = create_run_for_test(made, job_name="load", status=DagsterRunStatus.STARTED)
            made.report_dagster_event(
                DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, "load", message="done"), run.run_id
            )
        ticks = 0
        while ticks < EVENTS:
            daemon.tick()
            ticks += 1
            cursor = next(iter(made.all_instigator_state()))
            last = made.get_ticks(cursor.instigator_origin_id, cursor.selector_id, limit=1)[0]
            if last.status.value == "SKIPPED" and not last.origin_run_ids:
                break
        daemon.close()
    return {"events_a_tick": EVENTS / max(1, ticks - 1)}


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
        found |= {"idle": idle, "launching": launching, "events": events, "objects": objects}[part]()
    print("FOUND", json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
