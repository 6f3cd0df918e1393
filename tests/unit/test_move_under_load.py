"""A job that moves while its runs are in every state: each ends once, or visibly as unknown."""

from collections.abc import Mapping
from dataclasses import replace

from tests.support.engine import ARN, JOB, RUN_IDS, EngineHarness
from tests.support.launching import NOON, RUN_ID, queue_run
from tests.support.moved_jobs import DENIED, HOUR, MOVED, NEW_ARN, MovableTarget, target_of
from treadle.definitions.errors import LaunchDelayedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.model.runs import Claim, Failure, PendingStart, Run

FAILURE = Failure("E", "c")
STATES = ("queued", "died", "in doubt", "refused", "started", "ended", "failed")
"""When the job moves: "died" was claimed by a launch that is gone; no event of the last two has arrived."""


def load_batch_state(harness: EngineHarness, run_id: str) -> None:
    """Handle a launch message."""
    harness.launcher().launch(LaunchRequest(run_id, 1, JOB), 30)


def runs_in_every_state(harness: EngineHarness, target: MovableTarget) -> Mapping[str, str]:
    """Return a run in each state, by its name."""
    runs = {state: RUN_IDS.keyed("watch", state) for state in STATES}
    template = queue_run(harness)
    del harness.tables.runs[RUN_ID]
    for state, run_id in runs.items():
        harness.tables.runs[run_id] = replace(template, run_id=run_id, run_key=state)
        target.loses = state == "in doubt"
        target.refusals = iter([LaunchDelayedError("busy")] if state == "refused" else [])
        if state == "died":
            pending_start = PendingStart("dead", NOON, ARN, "step_functions")
            harness.runs.claim(run_id, JOB, 1, Claim("dead", NOON + 90_000), pending_start)
        elif state != "queued":
            load_batch_state(harness, run_id)
    target.loses = False
    harness.launches.drain()
    target.finish(f"{ARN}:{runs['ended']}-1", Status.SUCCESS)
    target.finish(f"{ARN}:{runs['failed']}-1", Status.FAILURE, FAILURE)
    return runs


def live(harness: EngineHarness, target: MovableTarget) -> None:
    """Launch and reconcile each quarter of an hour for two days; what runs, runs for three hours, and no event comes."""
    for _ in range(200):
        harness.clock.advance(900)
        for message in harness.launches.drain():
            load_batch_state(harness, str(message["run_id"]))
        for external_id, execution in list(target.executions.items()):
            if not execution.status.is_finished and harness.clock.now() - execution.started_at > 3 * HOUR:
                target.finish(external_id, Status.SUCCESS)
        harness.reconciler().reconcile(50)


def ended(harness: EngineHarness, runs: Mapping[str, str]) -> dict[str, Run]:
    """Return the runs by state, each of which has ended."""
    found = {state: harness.tables.runs[run_id] for state, run_id in runs.items()}
    assert all(run.status.is_finished and run.next_at is None for run in found.values())
    return found


def test_with_permissions_on_the_former_address_each_run_ends_as_its_execution_did(
    harness: EngineHarness,
) -> None:
    target = target_of(harness)
    runs = runs_in_every_state(harness, target)

    harness.jobs = MOVED
    live(harness, target)

    found = ended(harness, runs)
    assert {state for state, run in found.items() if run.target == NEW_ARN} == {"queued", "refused"}
    assert found.pop("failed").failure == FAILURE
    assert {run.status for run in found.values()} == {Status.SUCCESS}
    assert {len(begun) for begun in target.begun.values()} == {1}


def test_without_permissions_on_the_former_address_what_was_tried_there_ends_as_unknown(
    harness: EngineHarness,
) -> None:
    target = target_of(harness)
    runs = runs_in_every_state(harness, target)

    harness.jobs = MOVED
    target.walls[ARN] = DENIED
    live(harness, target)

    found = ended(harness, runs)
    succeeded = {state for state, run in found.items() if run.status is Status.SUCCESS}
    unknown = {run.failure.error for run in found.values() if run.failure}
    assert succeeded == {"queued", "refused"}
    assert unknown == {"OutcomeUnknownError"}
    assert {run.replaceable_request_digest for run in found.values()} == {None}
    assert {len(begun) for begun in target.begun.values()} == {1}
