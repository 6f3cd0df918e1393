"""What all targets have in common: each sends a start once, and distinguishes what its answer means."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.aws_server import Answer, AwsServer, aws_server
from tests.support.starts import start_of
from tools.processes import free_port
from treadle.adapters.clients import client
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.model.targets import UNANSWERING, Start, StartContract

HOUR, DAY = 3_600_000, 86_400_000


@dataclass(frozen=True)
class Row:
    """How a kind is started.

    Attributes:
        start: of a job.
        operation: the call that starts.
        before: the call before it, and the response.
    """

    start: Start
    operation: str
    before: tuple[str, Answer] | None = None


ROWS = {
    "step_functions": Row(
        start_of("step_functions", "arn:aws:states:us-east-1:123456789012:stateMachine:load"),
        "StartExecution",
        (
            "DescribeStateMachine",
            (
                200,
                {
                    "stateMachineArn": "arn",
                    "name": "load",
                    "definition": "{}",
                    "roleArn": "role",
                    "type": "STANDARD",
                    "creationDate": 1,
                },
            ),
        ),
    ),
    "glue": Row(start_of("glue", "arn:aws:glue:us-east-1:123456789012:job/load"), "StartJobRun"),
    "batch": Row(
        start_of("batch", "arn:aws:batch:us-east-1:123456789012:job-definition/load:1", queue="q"),
        "submitjob",
    ),
    "ecs": Row(
        start_of(
            "ecs",
            "arn:aws:ecs:us-east-1:123456789012:task-definition/load:1",
            cluster="c",
            container="main",
            subnets="subnet-1",
        ),
        "RunTask",
    ),
    "lambda": Row(start_of("lambda", "arn:aws:lambda:us-east-1:123456789012:function:load"), "invocations"),
    "sqs": Row(
        start_of("sqs", "arn:aws:sqs:us-east-1:123456789012:load"),
        "SendMessage",
        ("GetQueueUrl", (200, {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/load"})),
    ),
    "eventbridge": Row(
        start_of(
            "eventbridge",
            "arn:aws:events:us-east-1:123456789012:event-bus/jobs",
            source="orders",
            detail_type="Load",
        ),
        "PutEvents",
    ),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    with aws_server() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


def started(server: AwsServer, kind: str, answer: Answer) -> LaunchError:
    """Return the error of a start that is answered so."""
    row = ROWS[kind]
    server.answers = dict([row.before] if row.before else [])
    server.answers[row.operation] = answer
    with pytest.raises(LaunchError) as refused:
        LazyTargets()[kind].start(row.start)
    assert server.operations.count(row.operation) == 1
    return refused.value


def test_every_kind_has_a_row() -> None:
    assert set(ROWS) == set(KINDS) == set(LazyTargets())
    assert len(LazyTargets()) == len(KINDS)


@pytest.mark.parametrize(
    ("kind", "contract"),
    [
        ("step_functions", StartContract(token_ms=89 * DAY, listing_ms=89 * DAY, lists=True)),
        ("glue", StartContract(listing_ms=DAY, lists=True)),
        ("batch", StartContract(listing_ms=DAY, lists=True)),
        ("lambda", StartContract(describes=False)),
        ("sqs", StartContract(describes=False)),
        ("eventbridge", StartContract(describes=False)),
    ],
)
def test_contract_is_what_its_service_promises(kind: str, contract: StartContract) -> None:
    assert LazyTargets()[kind].contract == contract


def test_ecs_token_is_trusted_for_less_than_it_lives_after_a_task_that_ends_at_once() -> None:
    contract = LazyTargets()["ecs"].contract

    assert contract.token_ms is not None
    assert HOUR - 600_000 <= contract.token_ms <= HOUR - 60_000
    assert (contract.listing_ms, contract.describes) == (None, True)


@pytest.mark.parametrize("kind", KINDS)
def test_start_whose_answer_never_came_was_sent_once_and_is_uncertain(server: AwsServer, kind: str) -> None:
    assert isinstance(started(server, kind, None), LaunchUncertainError)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [500, 503])
def test_start_that_the_service_failed_on_was_sent_once_and_is_uncertain(
    server: AwsServer, kind: str, status: int
) -> None:
    error = started(server, kind, (status, {"__type": "ServiceUnavailable", "message": "sorry"}))

    assert isinstance(error, LaunchUncertainError)


@pytest.mark.parametrize("kind", KINDS)
def test_throttled_start_was_sent_once_and_comes_again(server: AwsServer, kind: str) -> None:
    error = started(server, kind, (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}))

    assert isinstance(error, LaunchDelayedError)
    assert "NightlyLoadArn" in str(error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "code"), [(400, "AccessDeniedException"), (403, "Whatever")], ids=["by code", "by status"]
)
def test_start_without_the_right_to_it_is_denied(
    server: AwsServer, kind: str, status: int, code: str
) -> None:
    error = started(server, kind, (status, {"__type": code, "message": "not authorized"}))

    assert isinstance(error, LaunchDeniedError)


@pytest.mark.parametrize("kind", KINDS)
def test_start_that_the_service_takes_for_wrong_is_rejected(server: AwsServer, kind: str) -> None:
    error = started(server, kind, (400, {"__type": "SomethingInvalid", "message": "no such thing"}))

    assert isinstance(error, LaunchRejectedError)
    assert "no such thing" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_start_that_conflicts_is_uncertain_or_comes_again(server: AwsServer, kind: str) -> None:
    error = started(server, kind, (409, {"__type": "SomeConflict", "message": "another is under way"}))

    assert isinstance(error, LaunchUncertainError)


@pytest.mark.parametrize("kind", KINDS)
def test_start_that_reached_nobody_was_not_made(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(LaunchDelayedError):
        LazyTargets()[kind].start(ROWS[kind].start)


@pytest.mark.parametrize("kind", KINDS)
def test_start_without_credentials_was_not_made(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    with pytest.raises((LaunchDeniedError, LaunchDelayedError)):
        LazyTargets()[kind].start(ROWS[kind].start)


@pytest.mark.parametrize("kind", ["lambda", "sqs", "eventbridge"])
def test_target_that_reports_nothing_says_so(kind: str) -> None:
    target = LazyTargets()[kind]

    assert target.resolve(ROWS[kind].start) is None
    with pytest.raises(LaunchRejectedError, match="has no status to query"):
        target.describe("arn/1", "")
    with pytest.raises(LaunchRejectedError, match="cannot be canceled"):
        target.cancel("arn/1", "")


def test_targets_are_made_once_and_one_that_is_unknown_is_missing() -> None:
    targets = LazyTargets()

    assert targets["glue"] is targets["glue"]
    assert targets.get("mainframe") is None


def test_client_that_sends_once_is_another_than_the_one_that_tries_again() -> None:
    once, again = client("glue", once=True), client("glue")

    assert once.meta.config.retries["total_max_attempts"] == 1
    assert again.meta.config.retries["total_max_attempts"] == 4
    assert client("glue", once=True) is once


def test_kinds_that_cannot_be_queried_are_known_without_loading_them() -> None:
    assert {kind for kind, target in LazyTargets().items() if not target.contract.describes} == UNANSWERING


@pytest.mark.parametrize("kind", KINDS)
def test_kind_that_lists_nothing_says_so(kind: str) -> None:
    target = LazyTargets()[kind]
    if target.contract.lists:
        return

    with pytest.raises(LaunchRejectedError, match="listed"):
        target.recent(ROWS[kind].start.settings, 0)
