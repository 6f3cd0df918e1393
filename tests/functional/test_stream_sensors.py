"""A stream sensor as it is deployed: nothing is passed that was neither evaluated nor given up, and dead letters return."""

import base64
import json
from typing import Any

import pytest

from tests.functional.conftest import ON_BOTH, Deployment, LambdaContext
from treadle import JobDefinition, RunRequest, StreamSensorContext, TickStatus, stream_sensor
from treadle.adapters.blobs import S3BlobStore
from treadle.definitions.errors import CommandRefusedError
from treadle.engine.tick.given_up_records import MAX_DEAD_LETTER
from treadle.model.ticks import Tick
from treadle.operate.record_redrive import StreamSensorFunction
from treadle.operate.sensors import SensorOperations
from treadle.testing.system import VirtualClock

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
BAD: set[bytes] = set()


@stream_sensor("ignored", max_attempts=2, job=JobDefinition("process_file"))
def streamed(context: StreamSensorContext) -> RunRequest:
    """A run for each record."""
    if context.record.data in BAD:
        raise ValueError("no such order")
    return RunRequest(run_config={"size": len(context.record.data)})


@pytest.fixture
def started(deployment: Deployment) -> Deployment:
    """The sensor as the template deploys it: without a queue."""
    for name in ("TREADLE_INTERVAL_SECONDS", "TREADLE_QUEUE_URL"):
        deployment.monkeypatch.delenv(name, raising=False)
    deployment.setenv(TREADLE_DEFAULT_STATUS="RUNNING", TREADLE_KIND="stream", TREADLE_STREAM_ARN=STREAM)
    deployment.handlers["streamed"] = deployment.evaluator(streamed)
    BAD.clear()
    return deployment


def record(number: int, data: bytes = b"text", key: str = "k") -> dict[str, Any]:
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": str(number),
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": 1767000000.123,
        },
        "eventSource": "aws:kinesis",
        "eventID": f"shardId-000000000006:{number}",
        "eventName": "aws:kinesis:record",
        "eventSourceARN": STREAM,
    }


def deliver(deployment: Deployment, *records: dict[str, Any]) -> list[str]:
    """Hand records to the function, as Lambda does, and return the numbers in its response."""
    answer = deployment.handlers["streamed"]({"Records": list(records)}, LambdaContext())
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def ticks(deployment: Deployment) -> list[Tick]:
    return deployment.stores.ticks.latest("streamed", 200)


class Function:
    """Invokes the function directly, as `treadle dlq redrive` does."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def invoke(self, sensor: str, event: Any, *, seconds: int | None = None) -> Any:
        """Invoke it with an event that has passed through JSON."""
        del seconds
        return self.deployment.handlers[sensor](json.loads(json.dumps(event)), LambdaContext())


def redrive(deployment: Deployment, bucket: str) -> None:
    """Redrive the dead letters."""
    function: Any = Function(deployment)
    queue = StreamSensorFunction(function, "streamed", S3BlobStore(bucket))
    for each in deployment.messages("dead"):
        queue.send([json.loads(each["Body"])])


@ON_BOTH
def test_each_record_is_a_tick_however_often_it_is_delivered(started: Deployment) -> None:
    for _ in range(3):
        assert deliver(started, record(1), record(2, b"{}")) == []

    requests = {request.run_key: request.run_config for tick in ticks(started) for request in tick.requests}
    assert requests == {
        f"{STREAM}/shardId-000000000006:1": '{"size":4}',
        f"{STREAM}/shardId-000000000006:2": '{"size":2}',
    }
    assert len(ticks(started)) == 2
    assert not started.messages("dead")


@ON_BOTH
def test_stopped_sensor_takes_no_record_and_evaluates_all_after_its_start(started: Deployment) -> None:
    operations = SensorOperations(started.stores.sensors, VirtualClock())
    operations.stop("streamed", "ann")
    assert deliver(started, record(1), record(2)) == ["1"]
    assert ticks(started) == []

    started.handlers["streamed"] = started.evaluator(streamed)
    operations.start("streamed", streamed.default_status, "ann")
    assert deliver(started, record(1), record(2)) == []

    assert len(ticks(started)) == 2


@pytest.mark.parametrize("size", [3, MAX_DEAD_LETTER])
def test_record_that_was_given_up_is_evaluated_when_its_dead_letter_is_redriven(
    started: Deployment, size: int
) -> None:
    bad = b"x" * size
    BAD.add(bad)
    assert deliver(started, record(1, bad), record(2)) == ["1"]
    assert deliver(started, record(1, bad), record(2)) == []
    statuses = {tick.status for tick in ticks(started)}
    assert statuses == {TickStatus.FAILURE, TickStatus.SUCCESS}
    bucket = started.environment["TREADLE_OUTCOMES_BUCKET"]

    BAD.clear()
    redrive(started, bucket)

    assert sorted(request.run_config for tick in ticks(started) for request in tick.requests) == sorted(
        [f'{{"size":{size}}}', '{"size":4}']
    )


def test_dead_letter_of_a_stopped_sensor_is_not_evaluated(started: Deployment) -> None:
    BAD.add(b"bad")
    assert [deliver(started, record(1, b"bad")) for _ in range(2)] == [["1"], []]
    BAD.clear()
    SensorOperations(started.stores.sensors, VirtualClock()).stop("streamed", "ann")
    started.handlers["streamed"] = started.evaluator(streamed)

    with pytest.raises(CommandRefusedError, match="is stopped; the record stays in its stream"):
        redrive(started, started.environment["TREADLE_OUTCOMES_BUCKET"])


@ON_BOTH
def test_preview_evaluates_a_sample_record_and_commits_nothing(started: Deployment) -> None:
    sample = {"treadle": "preview", "event": {"Records": [record(1)]}}

    previewed = started.handlers["streamed"](sample, LambdaContext())

    assert [each["run_key"] for each in previewed["requests"]] == [f"{STREAM}/shardId-000000000006:1"]
    assert ticks(started) == []
