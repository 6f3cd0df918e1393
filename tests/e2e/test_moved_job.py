"""A deployment moves a job to another state machine while runs are under way, and IAM denies what it does not grant."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import STEPS, Deployed, deploy_beside, edit, eventually, launch_message, run_record
from tests.support.project import run
from tools import stack
from tools.project_copy import copy_of_project
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.run_state import OVERDUE_MS
from treadle.engine.record.unreachable_runs import DENIED_ENDS_MS
from treadle.model.runs import PendingStart, Run, Unanswered

# Three deployments, on a machine that may be busy.
pytestmark = pytest.mark.timeout(900)

NAME, JOB = "moved", "load_orders"
PATIENCE = 120
"""Seconds, on a machine that has much else to do."""
MACHINES = ("moved-from", "moved-to")
WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3_600, "End": True}}}

STATES = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [STATES]}


@contextmanager
def state_machines(deployed: Deployed) -> Iterator[list[str]]:
    """Create two state machines whose executions run until they are stopped."""
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


def write_project(folder: Path, machine: str) -> Path:
    """Return a project with a job that starts the state machine, as `treadle new job` writes it."""
    project = copy_of_project(folder)
    made = run("new", "job", JOB, "--arn", machine, "--root", project)
    assert made.exit_code == 0, made.output
    return project


def deploy(project: Path, endpoint: str, edits: Mapping[str, str]) -> Deployed:
    """Deploy the project again with an edited template, and let RECONCILE read its entries."""
    edit(project / "template.yaml", edits)
    stack.build(endpoint, project)
    values = [f"Engine=/treadle/{NAME}/v1", "LogRetentionDays=1"]
    stack.deploy(endpoint, project, ["--stack-name", NAME, "--parameter-overrides", *values])
    return Deployed.at(endpoint, NAME)


def keeping(old: str, new: str) -> dict[str, str]:
    """Return the edits that move the job and keep its former address, as docs/operations.md shows them."""
    was, now = executions(old), executions(new)
    return {
        f"Resource: !Sub '{old}', Condition": f"Resource: ['{new}', '{old}'], Condition",
        f"Resource: [!Sub '{old}', !Sub '{was}']": f"Resource: ['{new}', '{now}', '{old}', '{was}']",
        f'"arn":"{old}"': f'"arn":"{new}","former":"{old}"',
    }


def forgetting(old: str, new: str) -> dict[str, str]:
    """Return the edits that take the former address out again."""
    was, now = executions(old), executions(new)
    return {
        f"Resource: ['{new}', '{old}'], Condition": f"Resource: '{new}', Condition",
        f"Resource: ['{new}', '{now}', '{old}', '{was}']": f"Resource: ['{new}', '{now}']",
        f'"arn":"{new}","former":"{old}"': f'"arn":"{new}"',
    }


def executions(machine: str) -> str:
    """Return all executions of a state machine, as a policy names them."""
    return f"{machine.replace(':stateMachine:', ':execution:')}:*"


def registered(there: Deployed, machine: str, *former: str) -> None:
    """Wait until the engine has the job's entry as it was deployed."""

    def probe() -> bool:
        entry = there.stores.registry.read().jobs.get(JOB)
        return entry is not None and (entry.settings.arn, entry.settings.former) == (machine, former)

    eventually(probe, "the job's entry is registered", seconds=PATIENCE)


def under_way(there: Deployed) -> list[dict[str, Any]]:
    """Return the doctor's findings on runs in progress."""
    done = run("doctor", "--stack", there.name, "--json")
    return [each for each in json.loads(done.stdout) if each["check"] == "runs under way"]


def queued_run(there: Deployed, run: Run, *, message: bool = True) -> Run:
    """Return a run that waits for its launch, and its message."""
    there.stores.runs.create(run)
    if message:
        there.send("Launch", launch_message(run))
    return run


def reached(there: Deployed, run: Run, status: Status) -> Run:
    """Return the run, once it has the status."""

    def probe() -> Run | None:
        found = there.stores.runs.get(run.run_id)
        return found if found is not None and found.status is status else None

    found = eventually(probe, f"run {run.run_id} is {status}", seconds=PATIENCE)
    assert found is not None
    return found


def stop(there: Deployed, run: Run) -> None:
    """End a run's execution, as somebody at its target does."""
    there.client("stepfunctions").stop_execution(executionArn=run.external_id)


def reconciled(there: Deployed, run: Run, **changes: object) -> Run:
    """Return the run after RECONCILE has checked it, as if it were due: its first check is an hour after its start."""
    found = there.stores.runs.get(run.run_id)
    assert found is not None
    assert found.started_at is not None
    due = replace(found, next_at=int(time.time() * 1000) - 1, started_at=found.started_at - OVERDUE_MS)
    there.stores.runs.replace(replace(due, **changes))  # type: ignore[arg-type]
    there.invoke("Reconcile", {"treadle": "reconcile"})
    after = there.stores.runs.get(run.run_id)
    assert after is not None
    return after


def test_a_job_is_moved_under_load_first_with_its_former_address_kept_and_then_without(
    deployed: Deployed, tmp_path: Path
) -> None:
    with state_machines(deployed) as (old, new):
        project = write_project(tmp_path, old)
        there = deploy_beside(deployed.endpoint, project, NAME, {})
        there.schedule("Reconcile", enabled=False)
        there.schedule("NewObjects", enabled=False)
        registered(there, old)
        reported, lost, stays = (queued_run(there, run_record(job=JOB)) for _ in range(3))
        started = {each.run_id: reached(there, each, Status.STARTED) for each in (reported, lost, stays)}
        now = int(time.time() * 1000)
        pending_start = PendingStart("dead", now, old, "step_functions")
        doubtful = queued_run(there, run_record(job=JOB, pending_start=pending_start), message=False)

        there = deploy(project, deployed.endpoint, keeping(old, new))
        registered(there, new, old)
        there.restart(*map(str.capitalize, STEPS))  # No process uses an older copy of the registry.
        there.send("Launch", launch_message(doubtful))
        fresh = queued_run(there, run_record(job=JOB))

        assert reached(there, doubtful, Status.STARTED).target == old
        assert reached(there, fresh, Status.STARTED).target == new
        [kept] = under_way(there)
        assert (
            kept["severity"],
            f"the entry of job {JOB} lists it as a former target" in kept["message"],
        ) == (
            "ok",
            True,
        )
        stop(there, started[reported.run_id])
        assert reached(there, reported, Status.CANCELED).target == old
        with there.without_events("StepFunctionsRule"):
            stop(there, started[lost.run_id])
            assert reconciled(there, lost).status is Status.CANCELED

        there = deploy(project, deployed.endpoint, forgetting(old, new))
        registered(there, new)
        denied = reconciled(there, stays)

        assert denied.status is Status.STARTED
        assert denied.unanswered is not None
        assert "states:DescribeExecution" in denied.unanswered.reason
        moved, unanswered = under_way(there)
        assert f'Add {old} to "former" in the entry of job {JOB}' in moved["advice"]
        assert "states:DescribeExecution" in unanswered["message"]
        aged = Unanswered(denied.unanswered.reason, denied.unanswered.since - DENIED_ENDS_MS, now)
        unknown = reconciled(there, stays, unanswered=aged)
        assert unknown.failure is not None
        assert (unknown.status, unknown.failure.error) == (Status.FAILURE, "OutcomeUnknownError")
        assert old.rpartition(":")[2] in unknown.failure.cause
        lateborn = queued_run(
            there, run_record(job=JOB, pending_start=replace(pending_start, at=int(time.time() * 1000)))
        )
        delayed = eventually(
            lambda: there.stores.runs.get(lateborn.run_id).delayed,  # type: ignore[union-attr]
            "the start in doubt is denied, and waits",
            seconds=PATIENCE,
        )
        assert delayed is not None
        assert "AccessDenied" in delayed.reason
        assert there.dead_letters(JOB) == []
        listed = there.client("stepfunctions").list_executions(stateMachineArn=new)["executions"]
        assert [each["name"] for each in listed] == [fresh.launch_id]
        there.close()
