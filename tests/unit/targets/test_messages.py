"""Lambda, SQS and EventBridge: what the receiver gets, on moto; what the bus refuses, by its model."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.starts import LAUNCH_ID, RUN_ID, start_of, stubbed
from treadle.adapters.targets.event_bus import EventBridgeTarget
from treadle.adapters.targets.lambda_function import LambdaTarget
from treadle.adapters.targets.sqs import SqsTarget
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.model.targets import Start

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:load"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/jobs"


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def messages(url: str) -> list[dict[str, Any]]:
    answer = boto3.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    return [dict(message) for message in answer.get("Messages", [])]


def queue(name: str) -> tuple[str, str]:
    """URL and ARN of a new queue."""
    fifo = name.endswith(".fifo")
    made = boto3.client("sqs").create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})
    return made["QueueUrl"], f"arn:aws:sqs:us-east-1:123456789012:{name}"


def test_function_is_invoked_asynchronously_with_the_payload() -> None:
    start = start_of("lambda", FUNCTION)
    with stubbed("lambda", once=True) as stub:
        stub.add_response(
            "invoke",
            {"StatusCode": 202, "ResponseMetadata": {"RequestId": "r-1"}},
            {"FunctionName": FUNCTION, "InvocationType": "Event", "Payload": start.payload.encode()},
        )
        execution = LambdaTarget().start(start)

    assert (execution.external_id, execution.target) == (f"{FUNCTION}/r-1", FUNCTION)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ResourceNotFoundException", 404, LaunchRejectedError),
        ("RequestTooLargeException", 413, LaunchRejectedError),
        ("TooManyRequestsException", 429, LaunchDelayedError),
        ("ResourceConflictException", 409, LaunchDelayedError),
        ("KMSAccessDeniedException", 502, LaunchDeniedError),
        ("ServiceException", 500, LaunchUncertainError),
    ],
)
def test_refused_invocation_is_distinguished(code: str, status: int, error: type[Exception]) -> None:
    with stubbed("lambda", once=True) as stub:
        stub.add_client_error("invoke", code, "the message", status)
        with pytest.raises(error, match="the message") as refused:
            LambdaTarget().start(start_of("lambda", FUNCTION))

    assert type(refused.value) is error


def test_message_holds_the_payload_and_has_the_ids(aws: None) -> None:
    url, arn = queue("jobs")
    start = start_of("sqs", arn)

    execution = SqsTarget().start(start)

    [message] = messages(url)
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert message["Body"] == start.payload
    assert attributes == {"job": "nightly_load", "launch_id": LAUNCH_ID, "run_id": RUN_ID}
    assert execution.external_id == f"{arn}/{message['MessageId']}"


@pytest.mark.parametrize(("given", "group"), [("", "nightly_load"), ("all", "all")])
def test_fifo_queue_drops_the_same_start_sent_twice(aws: None, given: str, group: str) -> None:
    url, arn = queue("jobs.fifo")
    start = start_of("sqs", arn, message_group=given)

    SqsTarget().start(start)
    SqsTarget().start(start)

    [message] = messages(url)
    assert message["Attributes"]["MessageDeduplicationId"] == LAUNCH_ID
    assert message["Attributes"]["MessageGroupId"] == group


def test_queue_that_does_not_exist_is_rejected(aws: None) -> None:
    with pytest.raises(LaunchRejectedError, match="NightlyLoadArn"):
        SqsTarget().start(start_of("sqs", "arn:aws:sqs:us-east-1:123456789012:nowhere"))


@pytest.mark.parametrize("address", ["https://sqs.us-east-1.amazonaws.com/123456789012/jobs", "jobs"])
def test_address_of_a_queue_is_its_arn(address: str) -> None:
    with pytest.raises(LaunchRejectedError, match="Use the ARN of the queue"):
        SqsTarget().start(start_of("sqs", address))


def test_url_of_a_queue_is_requested_once() -> None:
    arn, url = "arn:aws:sqs:us-east-1:123456789012:jobs", "https://sqs/jobs"
    target, start = SqsTarget(), start_of("sqs", arn)
    with stubbed("sqs") as queries, stubbed("sqs", once=True) as stub:
        named = {"QueueName": "jobs", "QueueOwnerAWSAccountId": "123456789012"}
        queries.add_response("get_queue_url", {"QueueUrl": url}, named)
        for _ in range(2):
            stub.add_response("send_message", {"MessageId": "m"})
            target.start(start)


def bus_start(source: str = "orders", detail_type: str = "Load") -> Start:
    return start_of("eventbridge", BUS, source=source, detail_type=detail_type)


def test_event_reaches_a_rules_queue_with_the_payload_as_its_detail(aws: None) -> None:
    url, arn = queue("events")
    events: Any = boto3.client("events")
    events.create_event_bus(Name="jobs")
    events.put_rule(Name="all", EventBusName="jobs", EventPattern='{"source":["orders"]}')
    events.put_targets(Rule="all", EventBusName="jobs", Targets=[{"Id": "q", "Arn": arn}])
    start = bus_start()

    execution = EventBridgeTarget().start(start)

    [message] = messages(url)
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("orders", "Load")
    assert event["detail"] == json.loads(start.payload)
    assert execution.external_id == f"{BUS}/{event['id']}"


@pytest.mark.parametrize("source", ["treadle", "treadle.runs", "aws.states"])
def test_source_that_is_not_the_jobs_to_speak_for_is_refused(source: str) -> None:
    with pytest.raises(LaunchRejectedError, match=f"The source of job 'nightly_load' is '{source}'"):
        EventBridgeTarget().start(bus_start(source=source))


def test_missing_source_and_detail_type_are_named() -> None:
    with pytest.raises(LaunchRejectedError, match="the options source, detail_type"):
        EventBridgeTarget().start(bus_start(source="", detail_type=""))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ThrottlingException", LaunchDelayedError),
        ("InternalFailure", LaunchDelayedError),
        ("NotAuthorizedForSource", LaunchDeniedError),
        ("MalformedDetail", LaunchRejectedError),
    ],
)
def test_event_that_the_bus_did_not_take_was_not_put(code: str, error: type[Exception]) -> None:
    with stubbed("events", once=True) as stub:
        refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "the message"}]}
        stub.add_response("put_events", refused)
        with pytest.raises(error, match=f"{code}: the message"):
            EventBridgeTarget().start(bus_start())
