"""Measures Dagster with the same work; runs under .tools/peers for `benchmarks.peers`, and prints JSON.

It uses the daemon's code in this process, with its code server, an SQLite instance, by default or with one file for the
events of all runs, and a launcher that only records.
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
REQUESTING = SENSOR.format(returned="[dg.RunRequest(run_key=str(number)) for number in range(KEYS)]")
IDLE_TICKS, KEYS, EVENTS = 100, 100, 20


class Daemon:
    """A sensor's daemon with its own instance.

    Args:
        instance: the instance.
        sensor: the code of the sensor.
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
        """Run the daemon once, a minute later, and return the seconds that it takes."""
        from dagster._core.test_utils import freeze_time
        from dagster._daemon.sensor import execute_sensor_iteration

        self._time += timedelta(minutes=1)
        with freeze_time(self._time):
            began = time.perf_counter()
            list(execute_sensor_iteration(self.context, self._logger, None, None))
            return time.perf_counter() - began

    def close(self) -> None:
        """Close the workspace."""
        self._workspace.__exit__(None, None, None)
        self._folder.cleanup()


@contextmanager
def instance(consolidated: bool) -> Iterator[Any]:
    """Create an instance whose launcher only records.

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
    """Return the processor time and the duration of a tick that skips."""
    daemon = Daemon(made, IDLE)
    for _ in range(5):
        daemon.tick()
    began = time.process_time()
    seconds = [daemon.tick() for _ in range(IDLE_TICKS)]
    cpu = time.process_time() - began
    daemon.close()
    return {"idle_cpu_ms": cpu * 1000 / IDLE_TICKS, "idle_ms": sum(seconds) * 1000 / IDLE_TICKS}


def launching(made: Any) -> dict[str, float]:
    """Return runs a second of a tick that requests new runs, and keys a second of one with known keys."""
    daemon = Daemon(made, REQUESTING)
    first, again = daemon.tick(), min(daemon.tick() for _ in range(3))
    runs = made.get_runs_count()
    daemon.close()
    assert runs == KEYS, runs
    return {"launches": KEYS / first, "known_keys": KEYS / again}


def reacting(made: Any) -> dict[str, float]:
    """Return the status events a second of a function that returns nothing."""
    return {"reacting": EVENTS / _event_seconds(made, "None", 0)}


def following(made: Any) -> dict[str, float]:
    """Return the status events a second of a function that requests a run each time."""
    return {
        "following": EVENTS
        / _event_seconds(made, "dg.RunRequest(run_key=context.dagster_run.run_id)", EVENTS)
    }


def _event_seconds(made: Any, returned: str, runs: int) -> float:
    """Return the seconds until the daemon has processed all events, without its waits between ticks."""
    from dagster import DagsterEvent, DagsterEventType
    from dagster._core.test_utils import create_run_for_test

    seen = Path(made.root_directory, "seen")
    seen.touch()
    daemon = Daemon(made, RUN_STATUS_SENSOR.format(returned=returned, seen=str(seen)))
    daemon.tick()  # Its cursor begins here.
    for _ in range(EVENTS):
        run = create_run_for_test(made, job_name="load")
        event = DagsterEvent(event_type_value=DagsterEventType.RUN_SUCCESS.value, job_name="load")
        made.report_dagster_event(event, run_id=run.run_id)
    seconds = 0.0
    while seen.stat().st_size < EVENTS:
        seconds += daemon.tick()
    daemon.close()
    assert made.get_runs_count() == EVENTS + runs, made.get_runs_count()
    return seconds


def objects() -> dict[str, float]:
    """Return the seconds of each `get_s3_keys` with the same bucket of a million objects."""
    from benchmarks.sweep_million import Measurement

    measurement = Measurement()
    measurement.helpers()
    mine, theirs = measurement.rows
    return {"treadle_s": mine.seconds, "dagster_s": theirs.seconds}


def main() -> int:
    """Measure "objects"; or, with "default" or "consolidated", the named parts."""
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
