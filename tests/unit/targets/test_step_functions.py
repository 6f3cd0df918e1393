"""Step Functions on moto, and what it does not know with answers that are checked against the model."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.starts import LAUNCH_ID, start_of, stubbed, values_of
from treadle.adapters.targets.step_functions import STATUSES, StepFunctionsTarget
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status

ROLE = "arn:aws:iam::123456789012:role/machine"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:load"


def machine(kind: str, name: str = "load") -> str:
    """The ARN of a new state machine."""
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

    with pytest.raises(LaunchRejectedError, match="somebody else took its name"):
        target.start(start)


def test_attempt_that_was_never_started_is_not_found(aws: None) -> None:
    assert StepFunctionsTarget().resolve(start_of("step_functions", machine("STANDARD"))) is None


def test_express_state_machine_is_refused_before_it_is_started(aws: None) -> None:
    arn = machine("EXPRESS")

    with pytest.raises(LaunchRejectedError, match=r"\(NightlyLoadArn\) is an Express state machine"):
        StepFunctionsTarget().start(start_of("step_functions", arn))

    assert executions(arn) == []


def type_of(kind: str) -> dict[str, Any]:
    told = {"stateMachineArn": MACHINE, "name": "load", "definition": "{}", "roleArn": ROLE}
    return {**told, "type": kind, "creationDate": 1}


def test_type_of_a_state_machine_is_asked_for_once(aws: None) -> None:
    arn, target = machine("STANDARD"), StepFunctionsTarget()
    with stubbed("stepfunctions") as asked:
        asked.add_response("describe_state_machine", type_of("STANDARD"), {"stateMachineArn": arn})
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
    with stubbed("stepfunctions") as asked, stubbed("stepfunctions", once=True):
        asked.add_client_error("describe_state_machine", code, "the words")
        with pytest.raises(error, match=r"NightlyLoadArn.*the words"):
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
