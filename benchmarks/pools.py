"""`make bench-pools`: one tick that requests thousands of runs of a concurrency pool, on a local cloud.

Each run is an execution of Step Functions that waits for some seconds: half to one and a half times the mean. When
executions were in progress is read from Step Functions' own list; what the engine requested of DynamoDB is noted by the
local cloud (`benchmarks.pool_ministack`). With `--faults`, a fifth of all messages in queues are lost, and functions are
killed in the middle of invocations. The exit status is 1 if a goal is missed. A local cloud tests the protocol, not AWS's
latency.
"""

import argparse
import bisect
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import pool_ministack
from benchmarks.figures import Figure, report_figures
from tests.e2e.deployment import Deployed, as_text, deploy_beside, eventually, pointing_at, without_sensors
from tests.support.project import run
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project import ROOT, ToolError, run_tool
from tools.project_copy import copy_of_project
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.launcher import TAKEOVER_MARGIN_MS
from treadle.engine.pools.pool_checks import CHECKED_MS, PASS_MS
from treadle.engine.record.run_state import MESSAGE_LOST_MS

REQUESTS, LIMIT, SECONDS = 10_000, 20, 10
NAME, JOB, POOL, SENSOR = "treadle-pools", "load", "slots", "burst"
GRANT = '"grant"'
"""What the messages contain that let DISPATCH grant slots."""

LOST_SHARE, KILL_SECONDS = 0.2, 15.0
POLL_SECONDS = 5.0
TIMEOUT_MS, VISIBILITY_MS = 60_000, 360_000
"""Of the engine's functions and their queues."""

REPAIR_SECONDS = (max(MESSAGE_LOST_MS, CHECKED_MS, TIMEOUT_MS + TAKEOVER_MARGIN_MS) + 2 * PASS_MS) / 1000
"""The time in which RECONCILE finds what a lost message or a killed function has left."""

REDELIVERY_SECONDS = (VISIBILITY_MS + PASS_MS) / 1000
"""The time in which what a killed function was processing is processed again."""

WAIT = {"Type": "Wait", "SecondsPath": "$.run_config.seconds", "End": True}
MACHINE = {"StartAt": "Wait", "States": {"Wait": WAIT}}
CODE = '''"""A burst of requests."""

from treadle import JobDefinition, RunRequest, SensorEvaluationContext, evaluator, sensor

load = JobDefinition("load")


@sensor(job=load)
def burst(context: SensorEvaluationContext) -> list[RunRequest]:
    """Request many runs at once."""
    return [RunRequest(f"request-{number}", {"seconds": seconds}) for number, seconds in enumerate(DURATIONS)]


handler = evaluator(burst)
'''


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution, as Step Functions lists it; times in seconds.

    Attributes:
        name: the launch id.
        start: when it started.
        stop: when it ended.
        status: how.
    """

    name: str
    start: float
    stop: float
    status: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A slot that an attempt held, by the requests to DynamoDB; times in seconds.

    Attributes:
        slot: the slot.
        run_id: the run.
        taken: when it was taken.
        returned: when it was returned; None if it was not.
    """

    slot: str
    run_id: str
    taken: float
    returned: float | None


# ---- The deployment


def durations(requests: int, mean: int) -> list[int]:
    """Return the seconds for which each execution waits: all whole numbers around the mean, in turn and mixed."""
    number = mean + 1
    return [mean - mean // 2 + (7 * each) % number for each in range(requests)]


@contextlib.contextmanager
def deployment(waits: Sequence[int], limit: int, variables: Mapping[str, str]) -> Iterator[Deployed]:
    """Deploy the sensor, its job and the pool to a local cloud.

    Args:
        waits: the seconds of each run that the sensor requests.
        limit: of the pool.
        variables: of the cloud's environment.
    """
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        with patch.dict(os.environ, variables):
            cloud = exits.enter_context(temporary_cloud(script=ROOT / "benchmarks" / "pool_ministack.py"))
        exits.enter_context(pointing_at(cloud.endpoint))
        stack.build_engine(cloud.endpoint)
        project = copy_of_project(folder)
        without_sensors(project)
        for command in (
            ("new", "pool", POOL, "--limit", str(limit)),
            ("new", "job", JOB, "--pool", POOL),
            ("new", "sensor", SENSOR, "--job", JOB),
        ):
            done = run(*command, "--root", project)
            if done.exit_code:
                raise ToolError(f"treadle {' '.join(command)} failed:\n{done.output}")
        (project / f"functions/sensors/{SENSOR}/app.py").write_text(CODE.replace("DURATIONS", str(waits)))
        stack.create_machines(cloud.endpoint, (JOB,), MACHINE)
        made = exits.enter_context(contextlib.closing(deploy_beside(cloud.endpoint, project, NAME, {})))
        made.schedule("Burst", enabled=False)
        yield made


def is_open(deployed: Deployed) -> bool:
    """Return whether the pool is declared, and starts runs."""
    state = deployed.stores.pools.state(POOL)
    return state is not None and state.closed_until is None


def has_ticked(deployed: Deployed) -> bool:
    """Return whether the sensor has requested its runs now; its function may be killed meanwhile."""
    answer = deployed.invoke("Burst", {"treadle": "tick", "nominal_time": as_text(int(time.time() * 1000))})
    return not answer.failed and answer.value["decision"] == "SUCCESS"


def executions(deployed: Deployed) -> list[Execution]:
    """Return all executions of the job that have ended."""
    client = deployed.client("stepfunctions")
    [machine] = [
        each["stateMachineArn"]
        for each in client.list_state_machines()["stateMachines"]
        if each["name"] == JOB
    ]
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=machine, PaginationConfig={"PageSize": 1000}
    )
    return [
        Execution(each["name"], each["startDate"].timestamp(), each["stopDate"].timestamp(), each["status"])
        for page in pages
        for each in page["executions"]
        if each.get("stopDate")
    ]


def followed(deployed: Deployed, requests: int, patience: float) -> list[Execution]:
    """Return the executions, once as many have ended as were requested."""
    deadline, known, shown = time.monotonic() + patience, list[Execution](), 0.0
    while len(known) < requests and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        known = executions(deployed)
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"{len(known)} of {requests} executions have ended …", file=sys.stderr, flush=True)
    return known


# ---- What the times say


def most_at_once(found: Sequence[Execution]) -> int:
    """Return the highest number of executions in progress at a time; one that ends when another starts is not counted."""
    changes = sorted([(each.start, 1) for each in found] + [(each.stop, -1) for each in found])
    number = most = 0
    for _, change in changes:
        number += change
        most = max(most, number)
    return most


def to_next_starts(found: Sequence[Execution], limit: int) -> list[float]:
    """Return the seconds from each end to the start that took its place: of the first to end, the first to start."""
    starts, stops = sorted(each.start for each in found), sorted(each.stop for each in found)
    return [start - stop for start, stop in zip(starts[limit:], stops, strict=False)]


def busy_slots(found: Sequence[Execution], limit: int) -> float:
    """Return the average number of executions in progress while runs wait: from the first full pool to the last start."""
    starts = sorted(each.start for each in found)
    since, until = starts[min(limit, len(starts)) - 1], starts[-1]
    busy = sum(max(0.0, min(each.stop, until) - max(each.start, since)) for each in found)
    return busy / (until - since) if until > since else float(limit)


def share_of_ideal(found: Sequence[Execution], waits: Sequence[int], limit: int) -> float:
    """Return the total time as a multiple of the time that it takes if all slots are busy without a pause."""
    total = max(each.stop for each in found) - min(each.start for each in found)
    return total / (sum(waits) / limit)


# ---- What was requested of DynamoDB


def noted(path: Path) -> list[dict[str, Any]]:
    """Return what the local cloud has noted, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def grants(notes: Sequence[Mapping[str, Any]]) -> list[Grant]:
    """Return the slots that were taken and returned."""
    held: dict[str, tuple[str, float]] = {}
    found: list[Grant] = []
    for each in notes:
        changed = each.get("is_done") and any(" slot/" in key for key in each["keys"])
        if each["what"] != "TransactWriteItems" or not changed:
            continue
        [run_id] = [key[1:] for key in each["keys"] if " " not in key]
        for key in each["keys"]:
            if " slot/" not in key:
                continue
            if key[0] == "+":
                held[key[1:]] = run_id, each["at"]
            elif key[1:] in held:
                of_run, taken = held.pop(key[1:])
                found.append(Grant(key[1:], of_run, taken, each["at"]))
    return found + [Grant(key, run_id, taken, None) for key, (run_id, taken) in held.items()]


def requests_while_waiting(notes: Sequence[Mapping[str, Any]], limit: int) -> int:
    """Return how many requests named a run that only waited: behind as many others as the pool has slots.

    Those at the front of the queue are read by whoever grants slots.
    """
    first = {each.run_id: each.taken for each in reversed(grants(notes))}
    taken = sorted(first.values())
    created: set[str] = set()
    found = 0
    for each in notes:
        for key in each.get("keys", ()):
            run_id = key.lstrip("+-")
            if run_id in created:
                ahead = bisect.bisect_left(taken, first[run_id]) - bisect.bisect_right(taken, each["at"])
                found += ahead >= limit
            elif key[0] == "+" and run_id in first and each["is_done"]:
                created.add(run_id)
    return found


def late_slots(notes: Sequence[Mapping[str, Any]], found: Sequence[Execution]) -> list[str]:
    """Return the slots that were not used for longer than their faults explain: before a start, after an end, or free."""
    of_run = {each.name.rpartition("-")[0]: each for each in found}
    faults: dict[str, list[float]] = defaultdict(list)
    for each in notes:
        if each["what"] in {pool_ministack.LOST_MESSAGE, pool_ministack.FAILED_MESSAGE}:
            faults[each["body"]].append(each["at"])
    last_start = max(each.start for each in found)
    by_slot: dict[str, list[Grant]] = defaultdict(list)
    for grant in grants(notes):
        by_slot[grant.slot].append(grant)

    passes: list[float] = [each["at"] for each in notes if "Reconcile" in each.get("function", "")]

    def bound(of: str, since: float, until: float) -> float:
        killed = sum(since <= at <= until for at in passes) * PASS_MS / 1000
        number = sum(since - 1 <= at <= until for body, times in faults.items() if of in body for at in times)
        return REPAIR_SECONDS + killed + number * (REPAIR_SECONDS + REDELIVERY_SECONDS)

    late = []
    for slot, of_slot in by_slot.items():
        ordered = sorted(of_slot, key=lambda each: each.taken)
        for grant, after in zip(ordered, [*ordered[1:], None], strict=True):
            execution = of_run.get(grant.run_id)
            if execution is None:
                late.append(f"{slot} of {grant.run_id} was never used")
                continue
            # Once nobody waits, RECONCILE looks for a lost end after an hour only.
            returned = max(execution.stop, last_start) if grant.returned is None else grant.returned
            next_use = after.taken if after is not None else last_start
            for what, since, until, of in (
                ("was held before a start", grant.taken, execution.start, grant.run_id),
                (
                    "was held after an end",
                    execution.stop,
                    min(returned, max(execution.stop, last_start)),
                    grant.run_id,
                ),
                ("was free", returned, min(next_use, last_start), GRANT),
            ):
                if until - since > bound(of, since, until):
                    late.append(f"{slot} of {grant.run_id} {what} for {until - since:.0f} s")
    return late


# ---- The measurement


def figures(
    notes: Sequence[Mapping[str, Any]],
    found: Sequence[Execution],
    waits: Sequence[int],
    limit: int,
    unfinished: int,
    *,
    faults: bool,
) -> list[Figure]:
    """Return what was measured.

    Args:
        notes: of the local cloud.
        found: the executions.
        waits: the seconds of each.
        limit: of the pool.
        unfinished: how many runs have not succeeded after one attempt, or still hold a slot.
        faults: whether messages were lost, and functions killed.
    """
    gaps = sorted(to_next_starts(found, limit))
    median, high = (statistics.median(gaps), gaps[math.ceil(0.99 * len(gaps)) - 1]) if gaps else (0.0, 0.0)
    common = [
        Figure("executions in progress at once, at most", most_at_once(found), "", limit),
        Figure("runs that have not ended, or not once", float(unfinished), "", 0),
    ]
    rest = [
        Figure("from an end to the next start, median", median, "s", None if faults else 1),
        Figure("from an end to the next start, p99", high, "s", None if faults else 5),
        Figure(
            "busy slots while runs wait",
            busy_slots(found, limit),
            "",
            None if faults else 0.9 * limit,
            at_most=False,
        ),
        Figure(
            "total time, as a multiple of the ideal",
            share_of_ideal(found, waits, limit),
            "times",
            None if faults else 1.15,
        ),
    ]
    if faults:
        late = late_slots(notes, found)
        for each in late:
            print(f"LATE: {each}")
        kinds = [each["what"] for each in notes]
        rest += [
            Figure("messages lost", kinds.count(pool_ministack.LOST_MESSAGE), ""),
            Figure("functions killed", kinds.count("function killed"), ""),
            Figure("slots that were recovered after their bound", float(len(late)), "", 0),
        ]
    else:
        waiting = requests_while_waiting(notes, limit)
        rest.append(Figure("requests to DynamoDB for runs that only wait", float(waiting), "", 0))
    return common + rest


def unfinished_runs(deployed: Deployed, found: Sequence[Execution], requests: int, *, faults: bool) -> int:
    """Return how many runs have not exactly one execution that succeeded, and a record of that; and how many slots are held."""
    names = {each.name.rpartition("-")[0] for each in found if each.status == "SUCCEEDED"}

    def left() -> int:
        runs = deployed.stores.runs.get_many(names).values()
        done = sum((run.status, run.attempt, run.slots) == (Status.SUCCESS, 1, ()) for run in runs)
        return requests - done + len(deployed.stores.pools.holders(POOL)) + abs(len(found) - len(names))

    if faults:
        # The last ends may be lost, and RECONCILE looks for them after an hour, as nobody waits for the slots any more.
        return requests - len(names) + abs(len(found) - len(names))
    with contextlib.suppress(AssertionError):
        eventually(
            lambda: not left(),
            "all runs have ended",
            seconds=2 * REPAIR_SECONDS + REDELIVERY_SECONDS,
            pause=5,
        )
    return left()


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--limit", type=int, default=LIMIT)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="the mean duration of an execution")
    parser.add_argument("--faults", action="store_true", help="lose messages, and kill functions")
    given = parser.parse_args()
    waits = durations(given.requests, given.seconds)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        trace.touch()
        variables = {pool_ministack.TRACE: str(trace)}
        if given.faults:
            variables |= {
                pool_ministack.LOST: str(LOST_SHARE),
                pool_ministack.KILL_SECONDS: str(KILL_SECONDS),
            }
        with deployment(waits, given.limit, variables) as deployed:
            eventually(lambda: is_open(deployed), "the pool is open", seconds=900, pause=5)
            done = run("sensor", "start", SENSOR, "--stack", NAME)
            if done.exit_code:
                raise ToolError(f"The sensor was not started:\n{done.output}")
            eventually(lambda: has_ticked(deployed), "the sensor has ticked", seconds=900, pause=5)
            ideal = sum(waits) / given.limit
            found = followed(deployed, given.requests, 600 + ideal * (20 if given.faults else 3))
            unfinished = unfinished_runs(deployed, found, given.requests, faults=given.faults)
        notes = noted(trace)
    title = (
        f"{given.requests:,} requests for a pool of {given.limit}, each an execution of {min(waits)} to {max(waits)} s"
        f"{', with lost messages and killed functions' if given.faults else ''}"
    )
    return report_figures(title, figures(notes, found, waits, given.limit, unfinished, faults=given.faults))


if __name__ == "__main__":
    # Shown line by line also where the output is a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_tool(main)
