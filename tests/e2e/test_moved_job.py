"""A deployment moves a job to another state machine while runs are under way, and IAM denies what it does not grant."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.e2e.deployment import JOB, Deployed, eventually, launch_message, run_record
from tools import stack
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.unanswered import DENIED_ENDS_MS
from treadle.ports.runs import Run, Try, Unanswered

# Three deployments, on a machine that may be busy.
pytestmark = pytest.mark.timeout(900)

NAME = "moved"
MACHINES = ("moved-from", "moved-to")
WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3_600, "End": True}}}

STATES = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [STATES]}


@contextmanager
def state_machines(deployed: Deployed) -> Iterator[list[str]]:
    """Two, whose executions run until they are stopped."""
    client, iam = deployed.client("stepfunctions"), deployed.client("iam")
    role = iam.create_role(RoleName="moved-jobs", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    made = [
        client.create_state_machine(name=name, definition=json.dumps(WAITS), roleArn=role)["stateMachineArn"]
        for name in MACHINES
    ]
    try:
        yield made
    finally:
        for arn in made:
            client.delete_state_machine(stateMachineArn=arn)
        iam.delete_role(RoleName="moved-jobs")


def deploy(deployed: Deployed, machine: str, former: str) -> Deployed:
    """The stack whose job is there, and was there before."""
    overrides = [f"ProcessFileStateMachineArn={machine}", f'FormerJobArns="{former}"']
    stack.deploy(
        deployed.endpoint,
        arguments=["--stack-name", NAME, "--parameter-overrides", *overrides, "ExampleJob=off"],
    )
    return Deployed.at(deployed.endpoint, NAME)


def queued_run(there: Deployed, run: Run, *, message: bool = True) -> Run:
    """A run that waits for its launch, and its message."""
    there.stores.runs.create(run)
    if message:
        there.send("Launch", launch_message(run))
    return run


def reached(there: Deployed, run: Run, status: Status) -> Run:
    """The run, once it has the status."""

    def probe() -> Run | None:
        found = there.stores.runs.get(run.run_id)
        return found if found is not None and found.status is status else None

    found = eventually(probe, f"run {run.run_id} is {status}", seconds=90)
    assert found is not None
    return found


def stop(there: Deployed, run: Run) -> None:
    """End a run's execution, as somebody at its target does."""
    there.client("stepfunctions").stop_execution(executionArn=run.external_id)


def reconciled(there: Deployed, run: Run, **changes: object) -> Run:
    """The run after RECONCILE has come to it, as if it were time to."""
    found = there.stores.runs.get(run.run_id)
    assert found is not None
    there.stores.runs.replace(replace(found, next_at=int(time.time() * 1000) - 1, **changes))  # type: ignore[arg-type]
    there.invoke("Reconcile", {"treadle": "reconcile"})
    after = there.stores.runs.get(run.run_id)
    assert after is not None
    return after


def test_a_job_is_moved_under_load_first_with_its_former_address_kept_and_then_without(
    deployed: Deployed,
) -> None:
    with state_machines(deployed) as (old, new):
        there = deploy(deployed, old, "")
        there.schedule("Reconcile", enabled=False)
        heard, lost, stays = (queued_run(there, run_record()) for _ in range(3))
        started = {run.run_id: reached(there, run, Status.STARTED) for run in (heard, lost, stays)}
        now = int(time.time() * 1000)
        doubtful = queued_run(there, run_record(tried=Try("dead", now, old, "step_functions")), message=False)

        there = deploy(deployed, new, old)
        there.schedule("Reconcile", enabled=False)
        there.send("Launch", launch_message(doubtful))
        fresh = queued_run(there, run_record())

        assert reached(there, doubtful, Status.STARTED).target == old
        assert reached(there, fresh, Status.STARTED).target == new
        stop(there, started[heard.run_id])
        assert reached(there, heard, Status.CANCELED).target == old
        with there.without_events("FormerStateMachinesRule"):
            stop(there, started[lost.run_id])
            assert reconciled(there, lost).status is Status.CANCELED

        there = deploy(deployed, new, "")
        there.schedule("Reconcile", enabled=False)
        denied = reconciled(there, stays)

        assert denied.status is Status.STARTED
        assert denied.unanswered is not None
        assert "states:DescribeExecution" in denied.unanswered.reason
        aged = Unanswered(denied.unanswered.reason, denied.unanswered.since - DENIED_ENDS_MS, now)
        unknown = reconciled(there, stays, unanswered=aged)
        assert unknown.failure is not None
        assert (unknown.status, unknown.failure.error) == (Status.FAILURE, "OutcomeUnknownError")
        assert old.rpartition(":")[2] in unknown.failure.cause
        lateborn = queued_run(there, run_record(tried=Try("dead", now, old, "step_functions")))
        delayed = eventually(
            lambda: there.stores.runs.get(lateborn.run_id).delayed,  # type: ignore[union-attr]
            "the start in doubt is denied, and waits",
            seconds=90,
        )
        assert delayed is not None
        assert "AccessDenied" in delayed.reason
        assert there.dead_letters(JOB) == []
        assert there.executions(fresh) == [fresh.launch_id]
        there.close()
