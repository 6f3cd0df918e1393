"""Step Functions on moto, and what it does not know with answers that are checked against the model."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.support.starts import LAUNCH_ID, start_of, stubbed, values_of
from treadle.adapters.targets import step_functions
from treadle.adapters.targets.step_functions import STATUSES, StepFunctionsTarget
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status

ROLE = "arn:aws:iam::123456789012:role/machine"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:load"


def machine(kind: str, name: str = "load") -> str:
    """Return the ARN of a new state machine."""
    client: Any = boto3.client("stepfunctions")
    definition = '{"StartAt":"Done","States":{"Done":{"Type":"Succeed"}}}'
    made = client.create_state_machine(name=name, definition=definition, roleArn=ROLE, type=kind)
    return str(made["stateMachineArn"])


def executions(arn: str) -> list[str]:
    found = boto3.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
    return [each["name"] for each in found]


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def test_same_start_again_finds_the_execution_and_starts_none(aws: None) -> None:
    arn, target = machine("STANDARD"), StepFunctionsTarget()
    start = start_of("step_functions", arn)

    first, second = target.start(start), target.start(start)

    assert executions(arn) == [LAUNCH_ID]
    assert first.external_id == second.external_id
    assert target.resolve(start) == second


def test_name_that_somebody_else_took_is_not_ours(aws: None) -> None:
    arn, target = machine("STANDARD"), StepFunctionsTarget()
    start = start_of("step_functions", arn)
    target.start(replace(start, payload='{"else":1}'))

    with pytest.raises(LaunchRejectedError, match="something other than Treadle started it under this name"):
        target.start(start)


def test_attempt_that_was_never_started_is_not_found(aws: None) -> None:
    assert StepFunctionsTarget().resolve(start_of("step_functions", machine("STANDARD"))) is None


def test_express_state_machine_is_refused_before_it_is_started(aws: None) -> None:
    arn = machine("EXPRESS")

    with pytest.raises(LaunchRejectedError, match=r"\(NightlyLoadArn\) is an Express state machine"):
        StepFunctionsTarget().start(start_of("step_functions", arn))

    assert executions(arn) == []


def type_of(kind: str) -> dict[str, Any]:
    response = {"stateMachineArn": MACHINE, "name": "load", "definition": "{}", "roleArn": ROLE}
    return {**response, "type": kind, "creationDate": 1}


def test_type_of_a_state_machine_is_requested_once(aws: None) -> None:
    arn, target = machine("STANDARD"), StepFunctionsTarget()
    with stubbed("stepfunctions") as queries:
        queries.add_response("describe_state_machine", type_of("STANDARD"), {"stateMachineArn": arn})
        target.start(start_of("step_functions", arn))
        target.start(replace(start_of("step_functions", arn), launch_id="other"))

    assert len(executions(arn)) == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("StateMachineDoesNotExist", LaunchRejectedError),
        ("AccessDeniedException", LaunchDeniedError),
        ("ThrottlingException", LaunchDelayedError),
    ],
)
def test_state_machine_whose_type_is_not_known_is_not_started(code: str, error: type[Exception]) -> None:
    with stubbed("stepfunctions") as queries, stubbed("stepfunctions", once=True):
        queries.add_client_error("describe_state_machine", code, "the message")
        with pytest.raises(error, match=r"NightlyLoadArn.*the message"):
            StepFunctionsTarget().start(start_of("step_functions", MACHINE))


def test_execution_is_described_and_canceled(aws: None) -> None:
    target = StepFunctionsTarget()
    started = target.start(start_of("step_functions", machine("STANDARD")))
    assert target.describe(started.external_id).status is Status.STARTED

    target.cancel(started.external_id)

    ended = target.describe(started.external_id)
    assert (ended.status, ended.target) == (Status.CANCELED, started.target)
    assert ended.ended_at is not None
    assert ended.failure is not None


@pytest.mark.parametrize("method", ["describe", "cancel"])
def test_execution_that_does_not_exist_is_gone(aws: None, method: str) -> None:
    arn = f"{machine('STANDARD').replace(':stateMachine:', ':execution:')}:{LAUNCH_ID}"

    with pytest.raises(LaunchRejectedError):
        getattr(StepFunctionsTarget(), method)(arn)


def test_every_status_of_the_model_has_its_own_here() -> None:
    assert values_of("stepfunctions", "ExecutionStatus") == set(STATUSES)


def response(name: str, status: str, began: int, ended: int | None = None, **fields: Any) -> dict[str, Any]:
    """Return an execution as a list reports it, its times in seconds."""
    arn = MACHINE.replace(":stateMachine:", ":execution:")
    item = {"executionArn": f"{arn}:{name}", "stateMachineArn": MACHINE, "name": name, "status": status}
    times = {"startDate": began, **({"stopDate": ended} if ended else {}), **fields}
    dates = {name: moment(value) if name.endswith("Date") else value for name, value in times.items()}
    return {**item, **dates}


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def lists_of(
    stub: Stubber, status: str, items: list[dict[str, Any]], token: str | None = None, after: str = ""
) -> None:
    expected = {"stateMachineArn": MACHINE, "statusFilter": status, "maxResults": step_functions.PAGE}
    answer = {"executions": items, **({"nextToken": token} if token else {})}
    stub.add_response("list_executions", answer, {**expected, **({"nextToken": after} if after else {})})


def test_recent_executions_come_by_their_end_or_their_start_whichever_they_have() -> None:
    """Step Functions sorts those that have ended by their end: a long one is news when it ends."""
    redriven = response("redriven", "RUNNING", 1, redriveCount=1, redriveDate=140)
    with stubbed("stepfunctions") as stub:
        lists_of(stub, "RUNNING", [redriven, response("old", "RUNNING", 99)], "unread")
        lists_of(stub, "SUCCEEDED", [response("long", "SUCCEEDED", 5, 150)], "more")
        lists_of(stub, "FAILED", [response("failed", "FAILED", 120, 130)])
        lists_of(stub, "TIMED_OUT", [])
        lists_of(stub, "ABORTED", [])
        lists_of(
            stub,
            "SUCCEEDED",
            [response("older", "SUCCEEDED", 3, 100), response("x", "SUCCEEDED", 3, 99)],
            "n",
            "more",
        )
        settings = start_of("step_functions", MACHINE).settings
        found = list(StepFunctionsTarget().recent(settings, 100_000))

    assert [(each.execution.launch_id, each.at, each.execution.status) for each in found] == [
        ("long", 150_000, Status.SUCCESS),
        ("redriven", 140_000, Status.STARTED),
        ("failed", 130_000, Status.FAILURE),
        ("older", 100_000, Status.SUCCESS),
    ]
    assert [(each.execution.started_at, each.execution.retry) for each in found[:2]] == [
        (5_000, 0),
        (140_000, 1),
    ]


def test_recent_executions_of_a_state_machine_are_listed_on_moto(aws: None) -> None:
    target, arn = StepFunctionsTarget(), machine("STANDARD")
    execution = target.start(start_of("step_functions", arn))

    [found] = target.recent(start_of("step_functions", arn).settings, execution.started_at)

    assert found.execution == target.describe(execution.external_id)
    assert list(target.recent(start_of("step_functions", arn).settings, execution.started_at + 60_000)) == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("StateMachineDoesNotExist", LaunchRejectedError),
        ("StateMachineTypeNotSupported", LaunchRejectedError),
        ("AccessDeniedException", LaunchDeniedError),
        ("ThrottlingException", LaunchDelayedError),
    ],
)
def test_listing_that_is_refused_says_why(code: str, error: type[Exception]) -> None:
    with stubbed("stepfunctions") as stub:
        stub.add_client_error("list_executions", code, "the message")
        with pytest.raises(error, match=r"NightlyLoadArn.*the message"):
            next(StepFunctionsTarget().recent(start_of("step_functions", MACHINE).settings, 0))
