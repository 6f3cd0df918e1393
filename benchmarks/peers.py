"""Treadle compared with Dagster in one run: `make bench-peers` installs Dagster into .tools/peers, and prints ratios.

Dagster's daemon uses SQLite in its own process, with a launcher that only records, and each figure is the better of two
settings: the default, and one file for the events of all runs. Its waits between two ticks are not included. Treadle
uses stores in memory to measure its own processor time, and DynamoDB Local, in another process, for launches, keys and
events.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

from benchmarks import run_events
from benchmarks.figures import Figure, report_figures
from benchmarks.known_keys import KnownKeyTicks, run_ids, tables_with_claimed_keys
from benchmarks.launch_throughput import treadle_rate
from benchmarks.tick_cpu import in_memory
from tests.support.tables import create_tables
from tools.dynamodb_local import dynamodb_local
from tools.project import ROOT, TOOLS, ToolError, local_aws, run_tool

PYTHON = TOOLS / "peers" / "bin" / "python"
LAUNCHES_GOAL = 5
LIBRARY = ROOT / "layers" / "treadle"
IMPORT = """
import re, sys, time
began = time.process_time()
{code}
taken = (time.process_time() - began) * 1000
memory = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print("FOUND", '{{"ms": %f, "mb": %f}}' % (taken, memory))
"""


def measured_by(interpreter: Path, *arguments: str) -> dict[str, float]:
    """Return the figures that another process measures.

    Raises:
        ToolError: if it fails.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": f"{LIBRARY}{os.pathsep}{ROOT}",
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [str(interpreter), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("FOUND "):
            found: dict[str, float] = json.loads(line.removeprefix("FOUND "))
            return found
    raise ToolError(f"{' '.join(arguments)[:80]} failed:\n{done.stderr[-3000:]}")


def imported(interpreter: Path, code: str) -> dict[str, float]:
    """Return the processor time and the memory of a process that imports something; the best of three."""
    found = [measured_by(interpreter, "-c", IMPORT.format(code=code)) for _ in range(3)]
    return {name: min(each[name] for each in found) for name in ("ms", "mb")}


def treadle_figures() -> dict[str, float]:
    """Measure Treadle."""
    keys = len(run_ids())
    with (
        tables_with_claimed_keys(0) as (endpoint, [tables]),
        patch.dict(os.environ, local_aws(endpoint), clear=True),
    ):
        ticks = KnownKeyTicks(tables)
        first = ticks.seconds()
        again = min(ticks.seconds() for _ in range(3))
    with dynamodb_local(optimizes=True) as endpoint, patch.dict(os.environ, local_aws(endpoint), clear=True):
        tables = create_tables()
        treadle_rate(tables, 1_000)  # DynamoDB Local gets faster with use.
        launches = max(treadle_rate(tables, 200) for _ in range(3))
        events = run_events.rates(tables)
    return events | {"launches": launches, "known_keys": keys / again, "keys_read": keys / first}


def pair(
    name: str, mine: float, theirs: float, unit: str, *, more_is_better: bool = False, goal: float = 1
) -> list[Figure]:
    """Return both figures, and their ratio with its goal."""
    ratio = mine / theirs if more_is_better else theirs / mine
    return [
        Figure(f"{name}: Treadle", mine, unit),
        Figure(f"{name}: Dagster", theirs, unit),
        Figure(f"{name}: better by", ratio, "times", goal, at_most=False),
    ]


def dagster_figures() -> dict[str, float]:
    """Measure Dagster, with the better of its two settings."""
    parts = ("idle", "launching", "reacting", "following")
    one, other = (
        measured_by(PYTHON, "-m", "benchmarks.dagster_side", setting, *parts)
        for setting in ("default", "consolidated")
    )
    better = {name: min if name.endswith("_ms") else max for name in one}
    return {name: better[name](one[name], other[name]) for name in one}


def measure() -> list[Figure]:
    """Measure all figures."""
    theirs = dagster_figures()
    mine = imported(Path(sys.executable), "from treadle import RunRequest, sensor")
    their_import = imported(PYTHON, "import dagster")
    found = treadle_figures()
    objects = measured_by(PYTHON, "-m", "benchmarks.dagster_side", "objects")
    counted = (
        ("launches", "launches", "runs/s", LAUNCHES_GOAL),
        ("known run keys, later ticks", "known_keys", "keys/s", 1),
        ("status events, the function returns nothing", "reacting", "events/s", 1),
        ("status events, each starts a run", "following", "events/s", 1),
    )
    return [
        *pair("processor time of an idle tick, without stores", in_memory(), theirs["idle_cpu_ms"], "ms"),
        *(
            figure
            for name, key, unit, goal in counted
            for figure in pair(name, found[key], theirs[key], unit, more_is_better=True, goal=goal)
        ),
        Figure("known run keys, all read from DynamoDB Local: Treadle", found["keys_read"], "keys/s"),
        *pair("import for a sensor's author: processor time", mine["ms"], their_import["ms"], "ms"),
        *pair("import for a sensor's author: memory", mine["mb"], their_import["mb"], "MB"),
        *pair("get_s3_keys among a million objects", objects["treadle_s"], objects["dagster_s"], "s"),
    ]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    if not PYTHON.exists():
        raise ToolError("Dagster is not installed. Run: make bench-peers")
    began = time.monotonic()
    missed = report_figures("Treadle compared with Dagster", measure())
    print(f"{time.monotonic() - began:.0f} s")
    return missed


if __name__ == "__main__":
    run_tool(main)
