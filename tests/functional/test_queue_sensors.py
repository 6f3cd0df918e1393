"""A queue sensor as it is deployed: the tick is committed before the message is done, and nothing is sent anywhere."""

from typing import Any

import pytest

from tests.functional.conftest import ON_BOTH, Deployment, LambdaContext
from treadle import JobDefinition, QueueSensorContext, RunRequest, TickStatus, queue_sensor
from treadle.model.ticks import Tick
from treadle.operate.sensors import SensorOperations
from treadle.testing.system import VirtualClock


@queue_sensor("ignored", job=JobDefinition("process_file"))
def queued(context: QueueSensorContext) -> RunRequest:
    """A run for each message."""
    if context.message.text == "bad":
        raise ValueError("no such order")
    return RunRequest(run_config={"text": context.message.text})


@pytest.fixture
def started(deployment: Deployment) -> Deployment:
    """The sensor as the template deploys it."""
    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
    deployment.setenv(TREADLE_DEFAULT_STATUS="RUNNING", TREADLE_KIND="queue")
    deployment.handlers["queued"] = deployment.evaluator(queued)
    return deployment


def record(message_id: str, body: str = "text", receives: int = 1) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": "1767000000000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:own",
    }


def deliver(deployment: Deployment, *records: dict[str, Any]) -> list[str]:
    """Hand messages to the function, as Lambda does, and return the ids of those that return to their queue."""
    answer = deployment.handlers["queued"]({"Records": list(records)}, LambdaContext())
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def ticks(deployment: Deployment) -> list[Tick]:
    return deployment.stores.ticks.latest("queued", 10)


def nothing_sent(deployment: Deployment) -> bool:
    return not deployment.messages("own") and not deployment.messages("dead")


@ON_BOTH
def test_each_message_is_a_tick_however_often_it_comes(started: Deployment) -> None:
    for _ in range(3):
        assert deliver(started, record("m-1"), record("m-2", "{}")) == []

    requests = {request.run_key: request.run_config for tick in ticks(started) for request in tick.requests}
    assert requests == {"m-1": '{"text":"text"}', "m-2": '{"text":"{}"}'}
    assert len(ticks(started)) == 2
    assert nothing_sent(started)


@ON_BOTH
def test_message_at_which_the_function_fails_returns_however_often_it_was_received(
    started: Deployment,
) -> None:
    assert deliver(started, record("m-1", "bad", receives=100), record("m-2")) == ["m-1"]

    assert sorted(tick.status for tick in ticks(started)) == [TickStatus.FAILURE, TickStatus.SUCCESS]
    assert nothing_sent(started)


@ON_BOTH
def test_stopped_sensor_takes_no_message_and_evaluates_all_after_its_start(started: Deployment) -> None:
    operations = SensorOperations(started.stores.sensors, VirtualClock())
    operations.stop("queued", "ann")
    assert deliver(started, record("m-1"), record("m-2")) == ["m-1", "m-2"]
    assert ticks(started) == []

    started.handlers["queued"] = started.evaluator(queued)
    operations.start("queued", queued.default_status, "ann")
    assert deliver(started, record("m-1"), record("m-2")) == []

    assert len(ticks(started)) == 2
    assert nothing_sent(started)


@ON_BOTH
def test_preview_evaluates_a_sample_message_and_commits_nothing(started: Deployment) -> None:
    sample = {"treadle": "preview", "event": {"Records": [record("m-1")]}}

    previewed = started.handlers["queued"](sample, LambdaContext())

    assert [each["run_key"] for each in previewed["requests"]] == ["m-1"]
    assert ticks(started) == []
