"""What the bus hears of PUBLISH's sample events."""

import json
from typing import Any

import boto3
import pytest

from tests.functional.conftest import Deployment, batch, sample
from treadle.adapters.dynamodb.models import RunModel
from treadle.model.assets import ended_runs_key

RUN = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e"
END = f"{RUN}/1/0/SUCCESS"


@pytest.fixture
def heard(deployment: Deployment) -> str:
    """URL of a queue that hears everything on Treadle's bus."""
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventBusName="treadle", EventPattern=json.dumps({"source": ["treadle"]}))
    events.put_targets(Rule="all", EventBusName="treadle", Targets=[{"Id": "heard", "Arn": arn}])
    deployment.queues["heard"] = url
    return url


def told(deployment: Deployment) -> list[dict[str, Any]]:
    """What the bus has told since this was last asked."""
    return [json.loads(message["Body"]) for message in deployment.messages("heard")]


def test_the_sample_of_the_runs_stream_is_told_with_its_number(deployment: Deployment, heard: str) -> None:
    answer = deployment.invoke("engine/publish", sample("publish-runs-stream"))

    assert answer == {"batchItemFailures": []}
    [event] = told(deployment)
    assert (event["source"], event["detail-type"]) == ("treadle", "Run Status Changed")
    detail = event["detail"]
    assert (detail["id"], detail["status"], detail["number"]) == (END, "SUCCESS", 1)
    assert (detail["job"], detail["namespace"]) == ("process_file", "123456789012/us-east-1/test")
    [stored] = deployment.stores.events.after(ended_runs_key("process_file"), 0, 10)
    assert stored.event_id == END


def test_the_sample_of_what_is_still_to_be_told_is_told_from_the_record(
    deployment: Deployment, heard: str
) -> None:
    image = sample("publish-runs-stream")["Records"][0]["dynamodb"]["NewImage"]
    boto3.client("dynamodb").put_item(TableName=deployment.environment["TREADLE_RUNS_TABLE"], Item=image)

    assert deployment.invoke("engine/publish", sample("publish-retry")) == {"batchItemFailures": []}

    [event] = told(deployment)
    assert event["detail"]["id"] == END


def test_a_run_that_is_named_without_statuses_is_told_of_as_a_whole(
    deployment: Deployment, heard: str
) -> None:
    """As an operator's redrive of a record of the stream asks for."""
    image = sample("publish-runs-stream")["Records"][0]["dynamodb"]["NewImage"]
    boto3.client("dynamodb").put_item(TableName=deployment.environment["TREADLE_RUNS_TABLE"], Item=image)

    deployment.invoke("engine/publish", batch({"treadle": "publish", "run_id": RUN}))

    assert [event["detail"]["status"] for event in told(deployment)] == ["QUEUED", "STARTED", "SUCCESS"]


def test_what_the_bus_does_not_take_waits_in_the_queue_and_counts_as_not_told(
    deployment: Deployment, heard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.setenv(TREADLE_BUS_NAME="there-is-no-such-bus")

    answer = deployment.invoke("engine/publish", sample("publish-runs-stream"))

    assert answer == {"batchItemFailures": []}
    counted = boto3.client("sqs").get_queue_attributes(
        QueueUrl=deployment.queues["publish"], AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )
    assert counted["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"
    assert deployment.messages("dead") == []
    assert "StatusesPublished" not in capsys.readouterr().out


def test_the_sample_is_a_record_as_the_library_writes_it() -> None:
    for image in ("NewImage", "OldImage"):
        item = sample("publish-runs-stream")["Records"][0]["dynamodb"][image]

        assert RunModel.from_raw_data(item).serialize() == item
