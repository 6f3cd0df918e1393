"""A run that waits for LAUNCH, and its message."""

from dataclasses import replace

from tests.support.engine import JOB, RUN_IDS, EngineHarness
from treadle.definitions.errors import LaunchError
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Outcome
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.model.runs import Run

NOON = 1_795_370_400_000
RUN_ID = RUN_IDS.keyed("watch", "k")
SECONDS = 30


def queue_run(harness: EngineHarness) -> Run:
    """Return a run that DISPATCH has just recorded."""
    run = Run(
        RUN_ID,
        JOB,
        "watch",
        "k",
        "tick",
        '{"a":1}',
        {"t": "1"},
        NOON,
        partition_key="p",
        reached={"1/0": {"QUEUED": NOON}},
        next_at=NOON + LAUNCH_DUE_MS,
    )
    harness.tables.runs[RUN_ID] = run
    return run


def queue_runs(harness: EngineHarness, number: int) -> list[LaunchRequest]:
    """Return the messages of so many runs that DISPATCH has just recorded."""
    template = queue_run(harness)
    del harness.tables.runs[RUN_ID]
    runs = [replace(template, run_id=RUN_IDS.keyed("watch", f"k{each}")) for each in range(number)]
    harness.tables.runs.update({run.run_id: run for run in runs})
    return [LaunchRequest.of(run) for run in runs]


def launch(harness: EngineHarness, attempt: int = 1) -> Outcome:
    """Process the message of an attempt."""
    return harness.launcher().launch(LaunchRequest(RUN_ID, attempt, JOB), SECONDS)


def refuse(harness: EngineHarness, *refusals: LaunchError) -> None:
    """Make the next starts fail."""
    harness.target.refusals = iter(refusals)


def resent(harness: EngineHarness) -> list[tuple[object, int]]:
    """Return the messages that were sent again, with their delays."""
    return [(message.body, message.delay_seconds) for message in harness.launches.messages]


MESSAGE = {"treadle": "launch", "run_id": RUN_ID, "attempt": 1, "job": JOB}
