"""Each target's events of its executions, parsed from the samples and from what rules leave of events."""

import json
from pathlib import Path
from typing import Any

import pytest

from treadle.adapters.status_events import parse_status_change
from treadle.adapters.targets import batch, glue, step_functions
from treadle.definitions.errors import UnknownEventError
from treadle.definitions.runs import StepFailure
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.recorder import StatusChange
from treadle.model.runs import Failure

EVENTS = Path(__file__).parents[2] / "events"
LAUNCH_ID = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e-1"
HERE = "us-east-1:123456789012"
SECOND = 1_795_370_400_000
"""18:00:00 of the samples' day; they are sent at 18:00:07."""


def bodies(name: str) -> list[dict[str, Any]]:
    """Return the events in a sample."""
    records = json.loads((EVENTS / f"record-{name}.json").read_text())["Records"]
    return [json.loads(record["body"]) for record in records]


def parsed(name: str, number: int = 0, /, **detail: Any) -> StatusChange:
    """Return what an event of a sample says, with other details."""
    event = bodies(name)[number]
    return parse_status_change({**event, "detail": {**event["detail"], **detail}})


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the event with details left out."""
    return {**event, "detail": {key: value for key, value in event["detail"].items() if key not in names}}


def test_every_sample_is_parsed() -> None:
    stems = {path.stem.removeprefix("record-") for path in EVENTS.glob("record-*.json")}
    names = sorted(stem for stem in stems if not stem.startswith("asset-"))

    kinds = {parse_status_change(event).kind for name in names for event in bodies(name)}

    assert kinds == {"batch", "ecs", "glue", "lambda", "report", "step_functions"}


def test_state_machines_execution_is_reported_with_its_times() -> None:
    running, succeeded = map(parse_status_change, bodies("execution-succeeded"))

    assert running == StatusChange(
        "step_functions",
        LAUNCH_ID,
        f"arn:aws:states:{HERE}:execution:process-file:{LAUNCH_ID}",
        f"arn:aws:states:{HERE}:stateMachine:process-file",
        Status.STARTED,
        1_795_370_406_123,
        1_795_370_406_123,
    )
    assert (succeeded.status, succeeded.time) == (Status.SUCCESS, 1_795_370_407_456)


@pytest.mark.parametrize(
    ("redrives", "date", "retry", "started_at"),
    [
        ("", "", 0, 1_795_370_406_123),
        ("null", "null", 0, 1_795_370_406_123),
        (0, None, 0, 1_795_370_406_123),
        ("2", "1795370409000", 2, 1_795_370_409_000),
        (2, "2026-11-22T18:00:09Z", 2, 1_795_370_409_000),
        ("2", "", 2, None),
    ],
)
def test_redriven_execution_is_tried_again_and_started_when_it_was_redriven(
    redrives: object, date: object, retry: int, started_at: int | None
) -> None:
    change = parsed(
        "execution-failed", status="RUNNING", redriveCount=redrives, redriveDate=date, stopDate=""
    )

    assert (change.retry, change.started_at) == (retry, started_at)
    assert change.time == (started_at or SECOND + 7_000)


def test_execution_without_redrive_count_was_never_redriven() -> None:
    [body, *_] = bodies("execution-failed")
    detail = {name: value for name, value in body["detail"].items() if not name.startswith("redrive")}

    assert parse_status_change({**body, "detail": detail}).retry == 0


def test_glue_run_has_its_jobs_address_and_no_name() -> None:
    address = f"arn:aws:glue:{HERE}:job/load"

    assert parsed("glue-job-succeeded") == StatusChange(
        "glue", None, f"{address}/jr_4d2c", address, Status.SUCCESS, SECOND + 7_000
    )


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")]
)
def test_glue_jobs_address_is_of_the_regions_partition(region: str, partition: str) -> None:
    event = {**bodies("glue-job-succeeded")[0], "region": region}

    assert parse_status_change(event).target == f"arn:{partition}:glue:{region}:123456789012:job/load"


def test_batch_job_is_reported_with_its_retry_and_the_attempts_that_failed() -> None:
    running, failed = map(parse_status_change, bodies("batch-job-failed"))

    assert (running.name, running.external_id) == (LAUNCH_ID, f"arn:aws:batch:{HERE}:job/8f1f")
    assert (running.target, running.status) == (f"arn:aws:batch:{HERE}:job-definition/load:3", Status.STARTED)
    assert (running.retry, running.failure, running.is_sure) == (1, None, True)
    assert (running.time, running.started_at) == (SECOND + 4_000, SECOND + 4_000)
    assert (failed.status, failed.retry, failed.time) == (Status.FAILURE, 1, SECOND + 7_000)
    assert failed.is_sure is False
    assert failed.failure is not None
    assert [step.step_key for step in failed.failure.steps] == ["attempt 1", "attempt 2"]


def test_ecs_task_is_reported_with_its_containers() -> None:
    message = "It ended with exit code 137: OutOfMemoryError: Container killed due to memory usage."

    change = parsed("ecs-task-stopped")

    assert (change.name, change.external_id) == (LAUNCH_ID, f"arn:aws:ecs:{HERE}:task/nightly/8f1f")
    assert (change.target, change.status) == (f"arn:aws:ecs:{HERE}:task-definition/load:3", Status.FAILURE)
    assert (change.started_at, change.time) == (SECOND + 2_500, SECOND + 6_750)
    assert change.failure is not None
    assert change.failure.error == "EssentialContainerExited"
    assert change.failure.steps == (StepFailure("main", "ContainerFailed", message),)


@pytest.mark.parametrize(
    ("code", "exits", "status", "is_sure"),
    [
        ("EssentialContainerExited", [0], Status.SUCCESS, True),
        ("EssentialContainerExited", [0, 0], Status.SUCCESS, True),
        ("EssentialContainerExited", [1], Status.FAILURE, True),
        ("EssentialContainerExited", [1, None], Status.FAILURE, True),
        ("EssentialContainerExited", [0, 1], Status.FAILURE, False),
        ("TaskFailedToStart", [0, None], Status.FAILURE, True),
        ("TaskFailedToStart", [], Status.FAILURE, True),
        ("UserInitiated", [0, 137], Status.CANCELED, True),
        ("", [0], Status.SUCCESS, True),
    ],
)
def test_ecs_task_is_certain_to_have_failed_only_if_no_container_succeeded(
    code: str, exits: list[int | None], status: Status, is_sure: bool
) -> None:
    containers = [
        {"name": f"c{number}", **({} if ended is None else {"exitCode": ended})}
        for number, ended in enumerate(exits)
    ]

    change = parsed("ecs-task-stopped", stopCode=code, containers=containers)

    assert (change.status, change.is_sure) == (status, is_sure)
    assert (change.failure is None) is (status is Status.SUCCESS)


def test_ecs_task_that_nobody_named_has_no_name_of_ours() -> None:
    assert parse_status_change(without(bodies("ecs-task-stopped")[0], "startedBy")).name == ""


@pytest.mark.parametrize("status", ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEPROVISIONING"])
def test_ecs_task_that_has_not_stopped_is_started(status: str) -> None:
    change = parsed("ecs-task-stopped", lastStatus=status, stoppedAt="", stopCode="", containers=[])

    assert (change.status, change.time, change.failure) == (Status.STARTED, SECOND + 2_500, None)


def test_invocation_is_reported_without_its_functions_alias() -> None:
    address = f"arn:aws:lambda:{HERE}:function:load"
    request = f"{address}/e2b9a1f0-6d0c-4b1e-9a52-8c1d6f5f7a10"

    assert parsed("lambda-success") == StatusChange(
        "lambda", LAUNCH_ID, request, address, Status.SUCCESS, SECOND + 7_000
    )


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({"errorType": "ValueError", "errorMessage": "bad"}, Failure("ValueError", "bad RetriesExhausted.")),
        (
            {"errorMessage": "2026 Task timed out after 3.00 seconds"},
            Failure("RetriesExhausted", "2026 Task timed out after 3.00 seconds"),
        ),
        ({"errorType": "", "errorMessage": "null"}, Failure("RetriesExhausted", "")),
        (None, Failure("RetriesExhausted", "")),
    ],
)
def test_failed_invocation_reports_its_error_else_the_condition(answer: object, failure: Failure) -> None:
    change = parsed("lambda-failure", responsePayload=answer)

    assert (change.status, change.failure) == (Status.FAILURE, failure)


def test_invocation_in_another_account_than_the_events_is_refused() -> None:
    event = {**bodies("lambda-success")[0], "account": "999999999999"}

    with pytest.raises(UnknownEventError, match="comes from account 999999999999"):
        parse_status_change(event)


def test_report_is_reported_with_its_message() -> None:
    assert parsed("report") == StatusChange(
        "report",
        LAUNCH_ID,
        "",
        "",
        Status.FAILURE,
        SECOND + 5_250,
        failure=Failure("ValueError", "bad row"),
    )


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        ("STARTED", None),
        ("SUCCESS", None),
        ("FAILURE", Failure("ReportedFailure", "")),
        ("CANCELED", Failure("ReportedCanceled", "")),
    ],
)
def test_report_without_a_message_still_gives_a_failure_its_name(
    status: str, failure: Failure | None
) -> None:
    event = without(bodies("report")[0], "error", "cause")
    change = parse_status_change({**event, "detail": {**event["detail"], "status": status}})

    assert (change.status, change.failure) == (Status(status), failure)


@pytest.mark.parametrize(
    "detail",
    [{"version": 2}, {"status": "QUEUED"}, {"status": "STARTING"}, {"time": "now"}, {"status": None}],
)
def test_report_of_another_form_is_refused(detail: dict[str, Any]) -> None:
    with pytest.raises(UnknownEventError, match="Run Status Report has a missing or malformed field"):
        parsed("report", **detail)


@pytest.mark.parametrize(
    ("name", "field", "statuses"),
    [
        ("execution-failed", "status", step_functions.STATUSES),
        ("glue-job-succeeded", "state", glue.STATUSES),
        ("batch-job-failed", "status", batch.STATUSES),
    ],
)
def test_statuses_are_those_of_the_target(name: str, field: str, statuses: dict[str, Status]) -> None:
    """So LAUNCH, RECORD and RECONCILE map one state to the same status."""
    assert {status: parsed(name, **{field: status}).status for status in statuses} == statuses
    with pytest.raises(UnknownEventError, match="status 'NEW' is not one of"):
        parsed(name, **{field: "NEW"})


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("execution-failed", "stateMachineArn"),
        ("glue-job-succeeded", "jobRunId"),
        ("batch-job-failed", "attempts"),
        ("ecs-task-stopped", "containers"),
        ("lambda-success", "requestPayload"),
        ("report", "launch_id"),
    ],
)
def test_event_that_lacks_a_field_is_refused(name: str, field: str) -> None:
    with pytest.raises(UnknownEventError, match="missing or malformed field"):
        parse_status_change(without(bodies(name)[0], field))


def test_event_of_another_service_is_refused_naming_those_that_are_known() -> None:
    with pytest.raises(UnknownEventError, match=r"aws\.x / Y; known types: aws\.states / .*treadle\.report"):
        parse_status_change({"source": "aws.x", "detail-type": "Y"})
