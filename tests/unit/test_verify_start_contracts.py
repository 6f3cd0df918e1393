"""`make verify-aws`, its rows of the start contract: what keeps a promise, what breaks one, and what is to be set."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tools.verify import start_contracts
from tools.verify.account import identify
from tools.verify.checks import starts
from tools.verify.lab import DidNotHoldError, Lab, NotTriedError
from tools.verify.stacks import Stacks
from tools.verify.start_contracts import ROWS, settings_of, start_of, verify
from treadle.adapters import clients
from treadle.adapters.targets.glue import GlueTarget
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.definitions.errors import LaunchRejectedError
from treadle.model.targets import Execution, Start
from treadle.testing.system import VirtualClock
from treadle.testing.targets import InMemoryTarget

ROLE = "arn:aws:iam::123456789012:role/machine"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an end that does not come."""
    for name in ("LISTING_SECONDS", "END_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(start_contracts, name, 0)


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        clients.forget()
        yield
        clients.forget()


def a_start() -> Start:
    [settings] = settings_of({"TREADLE_VERIFY_GLUE_JOB": "arn:glue"})
    return start_of(settings)


def the_lab(kind: str, **outputs: str) -> Lab:
    account = identify()
    return Lab(account, Stacks(account), f"start-{kind}", outputs)


def test_every_kind_has_a_row_and_a_check() -> None:
    assert set(ROWS) == set(KINDS)
    assert {check.name for check in starts.STARTS} == {f"start-{kind.replace('_', '-')}" for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("glue", ["TREADLE_VERIFY_GLUE_JOB"]),
        ("batch", ["TREADLE_VERIFY_BATCH_JOB_DEFINITION", "TREADLE_VERIFY_BATCH_QUEUE"]),
        ("ecs", ["TREADLE_VERIFY_ECS_TASK_DEFINITION", "TREADLE_VERIFY_ECS_CLUSTER"]),
    ],
)
def test_without_a_job_the_variables_are_named(aws: None, kind: str, variables: list[str]) -> None:
    with pytest.raises(NotTriedError) as caught:
        starts.contract(kind)(the_lab(kind))

    for variable in variables:
        assert variable in str(caught.value)


def test_job_that_a_variable_names_is_started(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    definition: Any = '{"StartAt":"Done","States":{"Done":{"Type":"Succeed"}}}'
    machines: Any = boto3.client("stepfunctions")
    made = machines.create_state_machine(name="load", definition=definition, roleArn=ROLE)
    monkeypatch.setenv("TREADLE_VERIFY_STEP_FUNCTIONS", made["stateMachineArn"])

    observed = starts.contract("step_functions")(the_lab("step_functions", Address="arn:another"))

    assert "the same start again found it" in observed
    assert machines.list_executions(stateMachineArn=made["stateMachineArn"])["executions"]


def test_job_of_the_check_itself_is_started(aws: None) -> None:
    boto3.client("sqs").create_queue(QueueName="jobs")

    lab = the_lab("sqs", Address="arn:aws:sqs:us-east-1:123456789012:jobs")

    assert "nothing more is promised" in starts.contract("sqs")(lab)


def test_refusing_target_does_not_hold(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_VERIFY_BATCH_JOB_DEFINITION", "load")

    with pytest.raises(DidNotHoldError, match="TREADLE_VERIFY_BATCH_QUEUE"):
        starts.contract("batch")(the_lab("batch"))


def test_second_execution_under_one_token_is_a_broken_promise() -> None:
    class Forgetful(InMemoryTarget):
        def start(self, start: Start) -> Execution:
            known = len(self.executions)
            self.begun.clear()
            execution = super().start(start)
            self.executions[f"{known}"] = execution
            return Execution(f"{known}", execution.target, execution.status, execution.started_at)

    with pytest.raises(DidNotHoldError, match="the same start again made 2 after 0"):
        verify(Forgetful(VirtualClock()), a_start())


def test_execution_that_is_never_listed_is_a_broken_promise() -> None:
    target = InMemoryTarget(VirtualClock(), GlueTarget.contract, listing_lag=1)

    with pytest.raises(DidNotHoldError, match="is not what the listing shows"):
        verify(target, a_start())


def test_execution_that_is_listed_keeps_the_promise() -> None:
    seen = verify(InMemoryTarget(VirtualClock(), GlueTarget.contract), a_start())

    assert seen[1:] == ["listed by its launch id after 0 s", "still STARTED after 0 s; look at it"]


def test_missing_option_is_named_by_its_variable() -> None:
    [settings] = settings_of(
        {"TREADLE_VERIFY_ECS_TASK_DEFINITION": "load", "TREADLE_VERIFY_ECS_CLUSTER": "c"}
    )

    with pytest.raises(LaunchRejectedError, match="TREADLE_VERIFY_ECS_CONTAINER"):
        LazyTargets()["ecs"].start(start_of(settings))
