"""The bus events of PUBLISH's sample events."""

import boto3
import pytest

from tests.functional.conftest import Deployment, batch, sample
from treadle.adapters.dynamodb.models import RunModel
from treadle.model.assets import ended_runs_key

RUN = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e"
END = f"{RUN}/1/0/SUCCESS"


@pytest.fixture
def bus_queue(deployment: Deployment) -> None:
    """Let a queue receive everything on Treadle's bus."""
    deployment.subscribe()


def test_the_sample_of_the_runs_stream_is_reported_with_its_number(
    deployment: Deployment, bus_queue: None
) -> None:
    answer = deployment.invoke("engine/publish", sample("publish-runs-stream"))

    assert answer == {"batchItemFailures": []}
    [event] = deployment.bus_events()
    assert (event["source"], event["detail-type"]) == ("treadle", "Run Status Changed")
    detail = event["detail"]
    assert (detail["id"], detail["status"], detail["number"]) == (END, "SUCCESS", 1)
    assert (detail["job"], detail["namespace"]) == ("process_file", "123456789012/us-east-1/test")
    [stored] = deployment.stores.events.after(ended_runs_key("process_file"), 0, 10)
    assert stored.event_id == END


def test_the_sample_of_what_is_still_to_be_reported_is_reported_from_the_record(
    deployment: Deployment, bus_queue: None
) -> None:
    image = sample("publish-runs-stream")["Records"][0]["dynamodb"]["NewImage"]
    boto3.client("dynamodb").put_item(TableName=deployment.environment["TREADLE_RUNS_TABLE"], Item=image)

    assert deployment.invoke("engine/publish", sample("publish-retry")) == {"batchItemFailures": []}

    [event] = deployment.bus_events()
    assert event["detail"]["id"] == END


def test_a_run_that_is_named_without_statuses_is_reported_as_a_whole(
    deployment: Deployment, bus_queue: None
) -> None:
    """As after an operator's redrive of a record of the stream."""
    image = sample("publish-runs-stream")["Records"][0]["dynamodb"]["NewImage"]
    boto3.client("dynamodb").put_item(TableName=deployment.environment["TREADLE_RUNS_TABLE"], Item=image)

    deployment.invoke("engine/publish", batch({"treadle": "publish", "run_id": RUN}))

    assert [event["detail"]["status"] for event in deployment.bus_events()] == [
        "QUEUED",
        "STARTED",
        "SUCCESS",
    ]


def test_what_the_bus_does_not_take_waits_in_the_queue_and_counts_as_not_reported(
    deployment: Deployment, bus_queue: None, capsys: pytest.CaptureFixture[str]
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
