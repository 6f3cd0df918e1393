"""Batch jobs: on moto where it knows enough, else with answers that are checked against Batch's model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.starts import LAUNCH_ID, NOON, RUN_ID, start_of, stubbed, values_of
from treadle.adapters.targets import batch
from treadle.adapters.targets.batch import BatchTarget
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.runs import StepFailure
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.model.targets import Execution, Start

DEFINITION = "arn:aws:batch:us-east-1:123456789012:job-definition/load:3"
QUEUE = "arn:aws:batch:us-east-1:123456789012:job-queue/nightly"
JOB = "arn:aws:batch:us-east-1:123456789012:job/8f1f"
ENVIRONMENT = {
    "TREADLE_LAUNCH_ID": LAUNCH_ID,
    "TREADLE_RUN_CONFIG": '{"a":1}',
    "TREADLE_RUN_ID": RUN_ID,
    "TREADLE_TAGS": '{"t":"1"}',
}


def start(**options: Any) -> Start:
    return start_of("batch", DEFINITION, **{"queue": QUEUE, **options})


def job_of(status: str, **fields: Any) -> dict[str, Any]:
    """Return a job as Batch reports it."""
    response = {"jobArn": JOB, "jobId": "8f1f", "jobName": LAUNCH_ID, "jobDefinition": DEFINITION}
    return {
        **response,
        "jobQueue": QUEUE,
        "status": status,
        "createdAt": NOON,
        "startedAt": NOON + 5,
        **fields,
    }


@dataclass(frozen=True)
class Deployed:
    """A queue and a definition on moto."""

    queue: str
    definition: str

    def start(self, **options: Any) -> Start:
        return start_of("batch", self.definition, queue=self.queue, **options)


@pytest.fixture
def deployed() -> Iterator[Deployed]:
    with mock_aws(config={"batch": {"use_docker": False}}):
        role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        client: Any = boto3.client("batch")
        where = client.create_compute_environment(
            computeEnvironmentName="machines", type="UNMANAGED", state="ENABLED", serviceRole=role
        )
        order = [{"order": 1, "computeEnvironment": where["computeEnvironmentArn"]}]
        queue = client.create_job_queue(
            jobQueueName="queue", state="ENABLED", priority=1, computeEnvironmentOrder=order
        )
        container = {"image": "busybox", "vcpus": 1, "memory": 128, "command": ["true"]}
        definition = client.register_job_definition(
            jobDefinitionName="load", type="container", containerProperties=container
        )
        yield Deployed(queue["jobQueueArn"], definition["jobDefinitionArn"])


def test_job_has_the_launch_id_as_its_name_and_the_run_in_its_environment(deployed: Deployed) -> None:
    started = BatchTarget().start(deployed.start())

    client: Any = boto3.client("batch")
    [job] = client.describe_jobs(jobs=[started.external_id.rpartition("/")[2]])["jobs"]
    assert (job["jobName"], job["jobQueue"], job["jobArn"]) == (
        LAUNCH_ID,
        deployed.queue,
        started.external_id,
    )
    environment = {each["name"]: each["value"] for each in job["container"]["environment"]}
    assert environment.items() >= ENVIRONMENT.items()
    assert (started.target, started.status) == (deployed.definition, Status.STARTED)


def test_job_is_found_by_the_launch_id_and_another_attempts_is_not(deployed: Deployed) -> None:
    target = BatchTarget()
    other = replace(deployed.start(), launch_id=f"{RUN_ID}-11")
    assert target.resolve(deployed.start()) is None
    target.start(other)

    assert target.resolve(deployed.start()) is None
    started = target.start(deployed.start())
    found = target.resolve(deployed.start())

    assert found is not None
    assert found.external_id == started.external_id


def test_job_that_batch_does_not_know_is_gone(deployed: Deployed) -> None:
    with pytest.raises(LaunchRejectedError, match="does not know job"):
        BatchTarget().describe(JOB)


def test_job_is_submitted_to_its_queue_with_listed_values_as_parameters() -> None:
    config = {"day": "2026-11-25", "limit": 5, "command": ["rm"], "image": "evil"}
    wanted = start(config=config, arguments="day,limit")
    environment = {**ENVIRONMENT, "TREADLE_RUN_CONFIG": wanted.run_config}
    with stubbed("batch", once=True) as stub:
        stub.add_response(
            "submit_job",
            {"jobArn": JOB, "jobName": LAUNCH_ID, "jobId": "8f1f"},
            {
                "jobName": LAUNCH_ID,
                "jobQueue": QUEUE,
                "jobDefinition": DEFINITION,
                "parameters": {"day": "2026-11-25", "limit": "5"},
                "containerOverrides": {
                    "environment": [{"name": name, "value": value} for name, value in environment.items()]
                },
            },
        )
        started = BatchTarget().start(wanted)

    assert started.external_id == JOB


@pytest.mark.parametrize("queue", ["", "  "])
def test_missing_queue_is_named(queue: str) -> None:
    with pytest.raises(LaunchRejectedError, match="its registry entry lacks the option queue"):
        BatchTarget().start(start(queue=queue))


@pytest.mark.parametrize("name", ["treadle", "Treadle_run_config"])
def test_parameter_of_treadles_own_name_is_refused(name: str) -> None:
    with pytest.raises(LaunchRejectedError, match=f"The arguments of job 'nightly_load' list {name!r}"):
        BatchTarget().start(start(arguments=name))


def test_value_that_the_command_would_take_for_an_option_is_refused() -> None:
    with pytest.raises(LaunchRejectedError, match="begins with a hyphen"):
        BatchTarget().start(start(config={"key": "--endpoint-url=http://evil"}, arguments="key"))


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ClientException", 400, LaunchRejectedError),
        ("ServerException", 500, LaunchUncertainError),
        ("TooManyRequestsException", 429, LaunchDelayedError),
        ("AccessDeniedException", 403, LaunchDeniedError),
    ],
)
def test_refused_start_is_distinguished(code: str, status: int, error: type[Exception]) -> None:
    with stubbed("batch", once=True) as stub:
        stub.add_client_error("submit_job", code, "the message", status)
        with pytest.raises(error, match="the message") as refused:
            BatchTarget().start(start())

    assert type(refused.value) is error


@pytest.mark.parametrize(
    ("address", "is_found"),
    [
        (DEFINITION, True),
        (DEFINITION.removesuffix(":3"), True),
        ("load", True),
        ("load:3", True),
        ("load:2", False),
        ("other", False),
        (DEFINITION.replace("load:3", "load:4"), False),
        (DEFINITION.replace("123456789012", "999999999999"), False),
    ],
)
def test_only_a_job_of_the_definition_is_the_attempt(address: str, is_found: bool) -> None:
    named = [{"name": "JOB_NAME", "values": [LAUNCH_ID]}]
    summary = {name: value for name, value in job_of("RUNNING").items() if name != "jobQueue"}
    with stubbed("batch") as stub:
        stub.add_response(
            "list_jobs",
            {"jobSummaryList": [{**summary, "jobName": LAUNCH_ID.upper()}], "nextToken": "more"},
            {"jobQueue": QUEUE, "filters": named},
        )
        stub.add_response(
            "list_jobs",
            {"jobSummaryList": [summary]},
            {"jobQueue": QUEUE, "filters": named, "nextToken": "more"},
        )
        found = BatchTarget().resolve(start_of("batch", address, queue=QUEUE))

    expected = Execution(JOB, address, Status.STARTED, NOON + 5, launch_id=LAUNCH_ID)
    assert found == (expected if is_found else None)


def test_listing_without_end_finds_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "PAGES", 1)
    with stubbed("batch") as stub:
        stub.add_response("list_jobs", {"jobSummaryList": [], "nextToken": "more"})
        with pytest.raises(LaunchDelayedError, match="than can be listed"):
            BatchTarget().resolve(start())


@pytest.mark.parametrize("code", ["ClientException", "ServerException", "TooManyRequestsException"])
def test_listing_that_is_not_answered_finds_nothing_out(code: str) -> None:
    with stubbed("batch") as stub:
        stub.add_client_error("list_jobs", code)
        with pytest.raises(LaunchDelayedError):
            BatchTarget().resolve(start())


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        ("SUBMITTED", {}, Status.STARTED),
        ("PENDING", {}, Status.STARTED),
        ("RUNNABLE", {}, Status.STARTED),
        ("STARTING", {}, Status.STARTED),
        ("RUNNING", {}, Status.STARTED),
        ("SUCCEEDED", {"stoppedAt": NOON + 9}, Status.SUCCESS),
        ("FAILED", {"stoppedAt": NOON + 9}, Status.FAILURE),
        ("FAILED", {"stoppedAt": NOON + 9, "isTerminated": True}, Status.CANCELED),
        ("FAILED", {"stoppedAt": NOON + 9, "isCancelled": True}, Status.CANCELED),
    ],
)
def test_job_stands_as_batch_says(status: str, fields: dict[str, Any], expected: Status) -> None:
    with stubbed("batch") as stub:
        stub.add_response("describe_jobs", {"jobs": [job_of(status, **fields)]}, {"jobs": ["8f1f"]})
        execution = BatchTarget().describe(JOB)

    assert (execution.status, execution.started_at) == (expected, NOON + 5)
    assert execution.ended_at == (NOON + 9 if expected.is_finished else None)
    assert (execution.failure is None) is (expected in {Status.STARTED, Status.SUCCESS})


def test_failed_job_reports_its_reasons_and_exit_code() -> None:
    attempts = [
        {"container": {"exitCode": 3}, "statusReason": "Essential container in task exited"},
        {"container": {"exitCode": 137, "reason": "OutOfMemoryError: Container killed"}},
    ]
    response = job_of(
        "FAILED", stoppedAt=NOON + 9, statusReason="Essential container in task exited", attempts=attempts
    )
    with stubbed("batch") as stub:
        stub.add_response("describe_jobs", {"jobs": [response]})
        failure = BatchTarget().describe(JOB).failure

    message = (
        "Essential container in task exited OutOfMemoryError: Container killed Exit code 137. Attempt 2."
    )
    steps = (
        StepFailure("attempt 1", "AttemptFailed", "Essential container in task exited Exit code 3."),
        StepFailure("attempt 2", "AttemptFailed", "OutOfMemoryError: Container killed Exit code 137."),
    )
    assert failure == Failure("JobFailed", message, steps=steps)


@pytest.mark.parametrize(
    ("status", "ended", "retry"),
    [
        ("RUNNABLE", [], 0),
        ("RUNNING", [], 0),
        ("RUNNABLE", [1], 0),
        ("RUNNING", [1], 1),
        ("RUNNING", [1, 0], 1),
        ("SUCCEEDED", [1], 0),
        ("SUCCEEDED", [1, 1], 1),
        ("FAILED", [], 0),
        ("FAILED", [1], 0),
        ("FAILED", [1, 1], 1),
        ("FAILED", [1, 0], 1),
    ],
)
def test_retries_are_counted_so_that_the_end_is_never_behind_what_ran(
    status: str, ended: list[int], retry: int
) -> None:
    """A job may be terminated while it waits for its next attempt; one that runs may be listed or not."""
    attempts = [{"container": {}, **({"stoppedAt": NOON} if each else {})} for each in ended]
    with stubbed("batch") as stub:
        stub.add_response("describe_jobs", {"jobs": [job_of(status, attempts=attempts)]})
        assert BatchTarget().describe(JOB).retry == retry


def test_job_that_never_ran_has_the_time_of_its_making() -> None:
    with stubbed("batch") as stub:
        stub.add_response("describe_jobs", {"jobs": [job_of("FAILED", startedAt=0)]})
        execution = BatchTarget().describe(JOB)

    assert (execution.started_at, execution.ended_at) == (NOON, NOON)


def test_every_status_of_the_model_has_its_own_here() -> None:
    assert values_of("batch", "JobStatus") == set(batch.STATUSES)


def test_job_is_canceled_with_a_reason() -> None:
    with stubbed("batch") as stub:
        expected_params = {"jobId": "8f1f", "reason": "Canceled by an operator of Treadle."}
        stub.add_response("terminate_job", {}, expected_params)
        BatchTarget().cancel(JOB)


@pytest.mark.parametrize(
    ("code", "error"), [("ClientException", LaunchRejectedError), ("ServerException", LaunchDelayedError)]
)
def test_job_that_cannot_be_canceled_says_why(code: str, error: type[Exception]) -> None:
    with stubbed("batch") as stub:
        stub.add_client_error("terminate_job", code, "the message")
        with pytest.raises(error, match="the message"):
            BatchTarget().cancel(JOB)


def listed(job_id: str, **fields: Any) -> dict[str, Any]:
    """Return a job as a list reports it: neither its queue nor its attempts."""
    response = job_of("RUNNING", jobId=job_id, jobArn=JOB.replace("8f1f", job_id), **fields)
    return {name: value for name, value in response.items() if name != "jobQueue"}


def test_recent_jobs_are_those_of_the_definition_as_they_are_described() -> None:
    made = [{"name": "AFTER_CREATED_AT", "values": [str(NOON - 1)]}]
    foreign = DEFINITION.replace("load:3", "other:1")
    again = job_of("RUNNING", jobId="a", attempts=[{"container": {}, "stoppedAt": NOON + 3}])
    with stubbed("batch") as stub:
        page = [listed("a"), listed("b", jobDefinition=foreign), listed("gone")]
        expected_params: dict[str, Any] = {"jobQueue": QUEUE, "filters": made}
        stub.add_response("list_jobs", {"jobSummaryList": page, "nextToken": "more"}, expected_params)
        stub.add_response("describe_jobs", {"jobs": [again]}, {"jobs": ["a", "gone"]})
        page = [listed("c", jobDefinition=foreign)]
        stub.add_response("list_jobs", {"jobSummaryList": page}, {**expected_params, "nextToken": "more"})
        found = list(BatchTarget().recent(start().settings, NOON))

    assert [(each.at, each.execution.retry, each.execution.status) for each in found] == [
        (NOON, 1, Status.STARTED)
    ]


def test_last_page_of_a_listing_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "PAGES", 1)
    with stubbed("batch") as stub:
        stub.add_response("list_jobs", {"jobSummaryList": []})
        assert BatchTarget().resolve(start()) is None
