"""What Dagster takes for the same work; runs under .tools/peers, and prints JSON. `benchmarks.peers` asks it.

Its daemon's own code, in this process, over its code server; an SQLite instance, as it is by default or with one file
for the events of all runs; a launcher that only records.
"""

import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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

{sensor}

defs = dg.Definitions(jobs=[load], sensors=[watch])
"""
SETTINGS = "minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING"
SENSOR = "@dg.sensor(job=load, " + SETTINGS + ")\ndef watch():\n    return {returned}"
RUN_STATUS_SENSOR = (
    "@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, monitor_all_code_locations=True, request_job=load, "
    + SETTINGS
    + ")\ndef watch(context):\n    with open({seen!r}, 'a') as file:\n        file.write('.')\n    return {returned}"
)
IDLE = SENSOR.format(returned="dg.SkipReason('none')")
ASKING = SENSOR.format(returned="[dg.RunRequest(run_key=str(number)) for number in range(KEYS)]")
IDLE_TICKS, KEYS, EVENTS = 100, 100, 20


class Daemon:
    """A sensor's daemon over an instance of its own.

    Args:
        instance: which.
        sensor: its code.
    """

    def __init__(self, instance: Any, sensor: str) -> None:
        from dagster._core.test_utils import create_test_daemon_workspace_context
        from dagster._core.workspace.load_target import PythonFileTarget

        code = LOAD.format(keys=KEYS, sensor=sensor)
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


@contextmanager
def instance(consolidated: bool) -> Iterator[Any]:
    """An instance whose launcher only records.

    Args:
        consolidated: whether one SQLite file keeps the events of all runs, which is Dagster's fastest setting;
            by default each run has its own.
    """
    from dagster._core.test_utils import instance_for_test

    overrides: dict[str, Any] = {
        "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    }
    with tempfile.TemporaryDirectory() as folder:
        if consolidated:
            overrides["event_log_storage"] = {
                "module": "dagster._core.storage.event_log",
                "class": "ConsolidatedSqliteEventLogStorage",
                "config": {"base_dir": folder},
            }
        with instance_for_test(overrides=overrides) as made:
            yield made


def idle(made: Any) -> dict[str, float]:
    """Processor time and time of a tick that finds nothing."""
    daemon = Daemon(made, IDLE)
    for _ in range(5):
        daemon.tick()
    began = time.process_time()
    seconds = [daemon.tick() for _ in range(IDLE_TICKS)]
    cpu = time.process_time() - began
    daemon.close()
    return {"idle_cpu_ms": cpu * 1000 / IDLE_TICKS, "idle_ms": sum(seconds) * 1000 / IDLE_TICKS}


def launching(made: Any) -> dict[str, float]:
    """Runs a second of a tick that asks for new ones, and keys a second of one that asks for known ones."""
    daemon = Daemon(made, ASKING)
    first, again = daemon.tick(), min(daemon.tick() for _ in range(3))
    runs = made.get_runs_count()
    daemon.close()
    assert runs == KEYS, runs
    return {"launches": KEYS / first, "known_keys": KEYS / again}


def reacting(made: Any) -> dict[str, float]:
    """Events of runs a second that a function takes which returns nothing."""
    return {"reacting": EVENTS / _told(made, "None", 0)}


def following(made: Any) -> dict[str, float]:
    """Events of runs a second that a function takes which asks for a run each time."""
    return {"following": EVENTS / _told(made, "dg.RunRequest(run_key=context.dagster_run.run_id)", EVENTS)}


def _told(made: Any, returned: str, asked: int) -> float:
    """The seconds that the daemon is at work until all events are taken, without what it waits between ticks."""
    from dagster import DagsterEvent, DagsterEventType
    from dagster._core.test_utils import create_run_for_test

    seen = Path(made.root_directory, "seen")
    seen.touch()
    daemon = Daemon(made, RUN_STATUS_SENSOR.format(returned=returned, seen=str(seen)))
    daemon.tick()  # It begins to look here.
    for _ in range(EVENTS):
        run = create_run_for_test(made, job_name="load")
        event = DagsterEvent(event_type_value=DagsterEventType.RUN_SUCCESS.value, job_name="load")
        made.report_dagster_event(event, run_id=run.run_id)
    seconds = 0.0
    while seen.stat().st_size < EVENTS:
        seconds += daemon.tick()
    daemon.close()
    assert made.get_runs_count() == EVENTS + asked, made.get_runs_count()
    return seconds


def objects() -> dict[str, float]:
    """Seconds that each `get_s3_keys` takes over the same bucket of a million objects."""
    from benchmarks.sweep_million import Measurement

    measurement = Measurement()
    measurement.helpers()
    mine, theirs = measurement.rows
    return {"treadle_s": mine.seconds, "dagster_s": theirs.seconds}


def main() -> int:
    """Entry point: "objects"; or "default" or "consolidated" and the names of what to measure."""
    logging.disable(logging.CRITICAL)
    setting, *parts = sys.argv[1:]
    found = objects() if setting == "objects" else {}
    for part in parts:
        with instance(setting == "consolidated") as made:
            found |= PARTS[part](made)
    print("FOUND", json.dumps(found))
    return 0


PARTS = {"idle": idle, "launching": launching, "reacting": reacting, "following": following}

if __name__ == "__main__":
    sys.exit(main())
