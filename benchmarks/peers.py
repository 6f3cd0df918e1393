"""Treadle beside Dagster, measured in one run: `make bench-peers` installs Dagster into .tools/peers, and prints ratios.

Dagster's daemon works over SQLite in its own process, with a launcher that only records, and each figure is its best of
two settings: as it is by default, and with one file for the events of all runs. The seconds that it waits between two
ticks are not in it. Treadle works over stores in memory for its own processor time, and over DynamoDB Local, an engine
in another process, for launches, keys and events.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

from benchmarks import run_events
from benchmarks.figures import Figure, tell
from benchmarks.known_keys import Dropping, remembering, run_ids
from benchmarks.launch_throughput import treadles
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


def asked(interpreter: Path, *arguments: str) -> dict[str, float]:
    """What another process has found.

    Raises:
        ToolError: if it did not come through.
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
    raise ToolError(f"{' '.join(arguments)[:80]} did not come through:\n{done.stderr[-3000:]}")


def imported(interpreter: Path, code: str) -> dict[str, float]:
    """Processor time and memory of a process that imports something; the best of three."""
    found = [asked(interpreter, "-c", IMPORT.format(code=code)) for _ in range(3)]
    return {name: min(each[name] for each in found) for name in ("ms", "mb")}


def ours() -> dict[str, float]:
    """What Treadle takes."""
    keys = len(run_ids())
    with remembering(0) as (endpoint, [tables]), patch.dict(os.environ, local_aws(endpoint), clear=True):
        dropping = Dropping(tables)
        first = dropping.seconds()
        again = min(dropping.seconds() for _ in range(3))
    with dynamodb_local(optimizes=True) as endpoint, patch.dict(os.environ, local_aws(endpoint), clear=True):
        tables = create_tables()
        treadles(tables, 1_000)  # DynamoDB Local gets faster with use.
        launches = max(treadles(tables, 200) for _ in range(3))
        events = run_events.rates(tables)
    return events | {"launches": launches, "known_keys": keys / again, "keys_asked": keys / first}


def pair(
    name: str, mine: float, theirs: float, unit: str, *, more_is_better: bool = False, goal: float = 1
) -> list[Figure]:
    """Both, and by how much Treadle's is better; by at least the goal, as it should be."""
    ratio = mine / theirs if more_is_better else theirs / mine
    return [
        Figure(f"{name}: Treadle", mine, unit),
        Figure(f"{name}: Dagster", theirs, unit),
        Figure(f"{name}: better by", ratio, "times", goal, at_most=False),
    ]


def dagsters() -> dict[str, float]:
    """What Dagster takes, at the better of its two settings."""
    parts = ("idle", "launching", "reacting", "following")
    one, other = (
        asked(PYTHON, "-m", "benchmarks.dagster_side", setting, *parts)
        for setting in ("default", "consolidated")
    )
    better = {name: min if name.endswith("_ms") else max for name in one}
    return {name: better[name](one[name], other[name]) for name in one}


def measure() -> list[Figure]:
    """Each, one after the other."""
    theirs = dagsters()
    mine = imported(Path(sys.executable), "from treadle import RunRequest, sensor")
    their_import = imported(PYTHON, "import dagster")
    found = ours()
    objects = asked(PYTHON, "-m", "benchmarks.dagster_side", "objects")
    counted = (
        ("launches", "launches", "runs/s", LAUNCHES_GOAL),
        ("known run keys, later ticks", "known_keys", "keys/s", 1),
        ("events of runs, the function returns nothing", "reacting", "events/s", 1),
        ("events of runs, each starts a run", "following", "events/s", 1),
    )
    return [
        *pair("processor time of an idle tick, without stores", in_memory(), theirs["idle_cpu_ms"], "ms"),
        *(
            figure
            for name, key, unit, goal in counted
            for figure in pair(name, found[key], theirs[key], unit, more_is_better=True, goal=goal)
        ),
        Figure("known run keys, all asked of DynamoDB Local: Treadle", found["keys_asked"], "keys/s"),
        *pair("import for a sensor's author: processor time", mine["ms"], their_import["ms"], "ms"),
        *pair("import for a sensor's author: memory", mine["mb"], their_import["mb"], "MB"),
        *pair("get_s3_keys among a million objects", objects["treadle_s"], objects["dagster_s"], "s"),
    ]


def main() -> int:
    """Entry point."""
    if not PYTHON.exists():
        raise ToolError("Dagster is not there to be measured. Bring it: make bench-peers")
    began = time.monotonic()
    missed = tell("Treadle beside Dagster", measure())
    print(f"{time.monotonic() - began:.0f} s")
    return missed


if __name__ == "__main__":
    run_tool(main)
