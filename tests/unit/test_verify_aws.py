"""`make verify-aws`: what it takes for a kept promise, what for a broken one, and what it asks to be set."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tools import verify_aws
from tools.verify_aws import ROWS, BrokenPromiseError, main, settings_of, start_of, verify
from treadle.adapters import clients
from treadle.adapters.targets.glue import GlueTarget
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.definitions.errors import LaunchRejectedError
from treadle.ports.launching import Execution, Start
from treadle.testing.system import VirtualClock
from treadle.testing.targets import InMemoryTarget

ROLE = "arn:aws:iam::123456789012:role/machine"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an end that does not come."""
    for name in ("LISTING_SECONDS", "END_SECONDS", "POLL_SECONDS"):
        monkeypatch.setattr(verify_aws, name, 0)


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        clients.forget()
        yield
        clients.forget()


def a_start() -> Start:
    [settings] = settings_of({"TREADLE_VERIFY_GLUE_JOB": "arn:glue"})
    return start_of(settings)


def test_every_kind_has_a_row() -> None:
    assert set(ROWS) == set(KINDS)


def test_without_any_variable_it_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 2

    said = capsys.readouterr().out
    for words in (
        "TREADLE_VERIFY_STEP_FUNCTIONS",
        "TREADLE_VERIFY_BATCH_QUEUE",
        "TREADLE_VERIFY_ECS_CLUSTER",
    ):
        assert words in said


def test_rows_whose_resources_are_named_are_run(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    definition: Any = '{"StartAt":"Done","States":{"Done":{"Type":"Succeed"}}}'
    machines: Any = boto3.client("stepfunctions")
    made = machines.create_state_machine(name="load", definition=definition, roleArn=ROLE)
    boto3.client("sqs").create_queue(QueueName="jobs")
    monkeypatch.setenv("TREADLE_VERIFY_STEP_FUNCTIONS", made["stateMachineArn"])
    monkeypatch.setenv("TREADLE_VERIFY_SQS_QUEUE", "arn:aws:sqs:us-east-1:123456789012:jobs")

    assert main() == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("step_functions")
    assert "the same start again found it" in first
    assert second.startswith("sqs")
    assert "nothing more is promised" in second


def test_one_refused_row_is_told_and_fails_the_whole(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TREADLE_VERIFY_BATCH_JOB_DEFINITION", "load")

    assert main() == 1

    said = capsys.readouterr().out
    assert "NOT KEPT" in said
    assert "TREADLE_VERIFY_BATCH_QUEUE" in said


def test_second_execution_under_one_token_is_a_broken_promise() -> None:
    class Forgetful(InMemoryTarget):
        def start(self, start: Start) -> Execution:
            known = len(self.executions)
            self.begun.clear()
            execution = super().start(start)
            self.executions[f"{known}"] = execution
            return Execution(f"{known}", execution.target, execution.status, execution.started_at)

    with pytest.raises(BrokenPromiseError, match="the same start again made 2 after 0"):
        verify(Forgetful(VirtualClock()), a_start())


def test_execution_that_is_never_listed_is_a_broken_promise() -> None:
    target = InMemoryTarget(VirtualClock(), GlueTarget.contract, listing_lag=1)

    with pytest.raises(BrokenPromiseError, match="is not what the listing shows"):
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
