"""Jobs in another account: their runs follow what is reported from there, and are queried every few minutes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.engine import JOB, JOBS, EngineHarness
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from treadle.adapters.status_events import parse_status_change
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile.reconciler import Reconciled
from treadle.engine.record.arns import is_elsewhere
from treadle.engine.record.recorder import StatusChange
from treadle.engine.record.run_state import ELSEWHERE_MS, LAUNCH_DUE_MS, OVERDUE_MS

EVENTS = Path(__file__).parents[2] / "events"
OWN, OTHER = "123456789012", "210987654321"
ARN = f"arn:aws:states:us-east-1:{OTHER}:stateMachine:process-file"
EXECUTION = f"arn:aws:states:us-east-1:{OTHER}:execution:process-file:{RUN_ID}-1"


@pytest.fixture
def elsewhere(harness: EngineHarness) -> EngineHarness:
    """An engine whose job is in another account; a run of it waits for its launch."""
    role = f"arn:aws:iam::{OTHER}:role/treadle/main/us-east-1/job/x"
    harness.jobs = {JOB: replace(JOBS[JOB], arn=ARN, role=role)}
    queue_run(harness)
    return harness


def reported(number: int) -> StatusChange:
    """Return an event of the sample as the other account's rule passes it on, of this test's run."""
    record = json.loads((EVENTS / "record-execution-succeeded.json").read_text())["Records"][number]
    body = record["body"].replace(OWN, OTHER).replace("6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e", RUN_ID)
    event = json.loads(body)
    assert event["account"] == OTHER
    return parse_status_change(event)


def test_run_follows_the_events_of_its_jobs_account(elsewhere: EngineHarness) -> None:
    launch(elsewhere)
    elsewhere.clock.advance(8)

    for number in (0, 1):
        assert elsewhere.recorder().record(reported(number)).decision is Decision.RECORDED

    run = elsewhere.only_run()
    assert (run.status, run.target, run.next_at) == (Status.SUCCESS, ARN, None)


def test_event_of_the_same_name_in_the_own_account_is_foreign(elsewhere: EngineHarness) -> None:
    launch(elsewhere)
    change = reported(1)
    here = replace(
        change,
        target=change.target.replace(OTHER, OWN),
        external_id=change.external_id.replace(OTHER, OWN),
    )

    assert elsewhere.recorder().record(here).decision is Decision.FOREIGN
    assert elsewhere.only_run().status is Status.STARTED


def test_run_in_another_account_is_queried_every_five_minutes(elsewhere: EngineHarness) -> None:
    """Whether rules deliver its events from there cannot be seen from here."""
    launch(elsewhere)
    assert elsewhere.only_run().next_at == NOON + ELSEWHERE_MS

    elsewhere.clock.time = NOON + ELSEWHERE_MS
    assert elsewhere.reconciler().reconcile(50) == Reconciled(described=1)
    assert elsewhere.only_run().next_at == NOON + 2 * ELSEWHERE_MS

    elsewhere.target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    elsewhere.clock.time = NOON + 2 * ELSEWHERE_MS
    assert elsewhere.reconciler().reconcile(50) == Reconciled(described=1)
    assert elsewhere.only_run().status is Status.SUCCESS


def test_event_of_a_run_in_another_account_puts_its_next_check_off_by_five_minutes_at_most(
    elsewhere: EngineHarness,
) -> None:
    launch(elsewhere)
    elsewhere.clock.advance(1)
    began = replace(reported(0), time=NOON - 1_000, started_at=NOON - 1_000)

    elsewhere.recorder().record(began)

    run = elsewhere.only_run()
    assert run.started_at == NOON - 1_000
    assert run.next_at == NOON + 1_000 + ELSEWHERE_MS


def test_run_in_the_own_account_is_queried_after_an_hour(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)
    harness.clock.time = NOON + LAUNCH_DUE_MS

    assert harness.reconciler().reconcile(50) == Reconciled()

    assert harness.only_run().next_at == NOON + OVERDUE_MS


@pytest.mark.parametrize(
    ("address", "is_there"),
    [(ARN, True), (ARN.replace(OTHER, OWN), False), ("load", False), ("", False), (None, False)],
)
def test_address_is_elsewhere_if_its_arn_names_another_account(address: str | None, is_there: bool) -> None:
    assert is_elsewhere(address, f"{OWN}/us-east-1/treadle") is is_there
    assert not is_elsewhere(address, "")
