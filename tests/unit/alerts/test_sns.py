"""Alerts to SNS: what a subscriber of the topic receives."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.alerts import RUN_ID, failed_context
from treadle import DagsterInvalidDefinitionError, JobDefinition
from treadle.adapters import clients
from treadle.definitions.errors import AlertError
from treadle.integrations.alerts.sns import make_sns_on_run_failure_sensor

TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"


@pytest.fixture
def received() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives what the topic's subscriber has received."""
    with mock_aws():
        clients.forget()
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        sns.create_topic(Name="alerts")
        queue = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
        sns.subscribe(
            TopicArn=TOPIC, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:subscriber"
        )

        def messages() -> list[dict[str, Any]]:
            taken = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            return [json.loads(message["Body"]) for message in taken]

        yield messages
        clients.forget()


def test_default_message_reports_job_run_and_error(received: Callable[[], list[dict[str, Any]]]) -> None:
    make_sns_on_run_failure_sensor(TOPIC, webserver_base_url="https://runs.example.com")(failed_context())

    [message] = received()
    assert message["Subject"] == "Run failed: load"
    assert message["Message"].splitlines() == [
        "Job load failed!",
        f"Run ID: {RUN_ID}",
        'Error: Execution of run for "load" failed. States.TaskFailed: disk full',
        "",
        f"View run: https://runs.example.com/runs/{RUN_ID}",
    ]
    assert message["MessageAttributes"] == {
        "job_name": {"Type": "String", "Value": "load"},
        "status": {"Type": "String", "Value": "FAILURE"},
    }


def test_subject_is_one_line_of_a_hundred_ascii_characters(
    received: Callable[[], list[dict[str, Any]]],
) -> None:
    make_sns_on_run_failure_sensor(TOPIC)(failed_context("süß\n" + "x" * 200))
    make_sns_on_run_failure_sensor(TOPIC, subject_fn=lambda _context: "\n")(failed_context())

    first, second = (message["Subject"] for message in received())
    assert (first[:19], len(first)) == ("Run failed: s?? xxx", 100)
    assert second == "Run failed"


def test_message_is_cut_to_what_sns_takes(received: Callable[[], list[dict[str, Any]]]) -> None:
    make_sns_on_run_failure_sensor(TOPIC, lambda _context: "🚂" * 100_000)(failed_context())

    [message] = received()
    assert len(message["Message"].encode()) <= 250_000
    assert message["Message"].endswith("🚂…")


def test_topic_of_first_in_first_out_takes_a_repeated_event_once() -> None:
    with mock_aws():
        clients.forget()
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        fifo = {"FifoTopic": "true", "ContentBasedDeduplication": "false"}
        topic = sns.create_topic(Name="alerts.fifo", Attributes=fifo)["TopicArn"]
        queue = sqs.create_queue(QueueName="subscriber.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:123456789012:subscriber.fifo"
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})

        for _ in range(2):
            make_sns_on_run_failure_sensor(topic)(failed_context("a b"))

        taken = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        [message] = taken["Messages"]
        clients.forget()
    assert message["Attributes"]["MessageGroupId"] == "a_b"
    assert message["Attributes"]["MessageDeduplicationId"] == f"{RUN_ID}-1795586400000"


def test_topic_that_is_not_there_is_named(received: Callable[[], list[dict[str, Any]]]) -> None:
    with pytest.raises(AlertError, match=f"The topic {TOPIC}x did not accept the alert: .*NotFound"):
        make_sns_on_run_failure_sensor(f"{TOPIC}x")(failed_context())


def test_definition() -> None:
    load = JobDefinition("load")

    sensor = make_sns_on_run_failure_sensor(TOPIC, monitored_jobs=[load])

    assert (sensor.name, sensor.monitored_jobs) == ("sns_on_run_failure", (load,))
    assert sensor.description == "Reports each failed run by SNS (alerts)."
    with pytest.raises(DagsterInvalidDefinitionError, match="topic_arn is 'alerts'"):
        make_sns_on_run_failure_sensor("alerts")
