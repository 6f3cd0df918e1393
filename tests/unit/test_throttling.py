"""Throttling is no failure: a throttled message is redelivered, and never becomes a dead letter."""

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.support.engine import EngineHarness, sensor_of
from treadle.adapters import blobs, queues
from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.queues import SqsQueue
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import StoreError, StoreThrottledError
from treadle.definitions.results import RunRequest
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.entrypoints.handler import SEND_TRIES, process_queue
from treadle.testing.faults import Fault, Faults, faulty
from treadle.testing.system import InMemoryQueue

NOON = 1_795_370_400_000


def test_throttled_tick_gives_its_lease_back_and_counts_as_no_failure(harness: EngineHarness) -> None:
    """Else the next tick would wait for the lease to run out, and record a death."""
    faults = Faults({3: Fault.THROTTLED})
    sensors = faulty(harness.sensors, "SensorStore", faults)
    settings = TickSettings(0, DefaultSensorStatus.RUNNING)
    ticks = (
        harness.engine_with(sensors=sensors).sensor(sensor_of(lambda: RunRequest("k")), settings).scheduled
    )

    with pytest.raises(StoreThrottledError):
        faults.run("tick", lambda: ticks.tick(NOON, Budget(60)))
    harness.clock.advance(1)
    ticks.tick(NOON + 1_000, Budget(60))

    assert [tick.status for tick in harness.tick_records()] == [TickStatus.SUCCESS]
    assert harness.state().failure_streak == 0


@pytest.mark.parametrize("throttled", [0, 1, SEND_TRIES - 1])
def test_message_that_met_a_throttled_store_is_sent_again_though_the_queue_is_throttled_too(
    throttled: int,
) -> None:
    queue = InMemoryQueue()
    faults = Faults(dict.fromkeys(range(1, throttled + 1), Fault.THROTTLED))

    answers: list[object] = []
    inbox = Inbox("launch", faulty(queue, "Queue", faults), _None())

    faults.run("launch", lambda: answers.append(process_queue(message({"a": 1}), busy, inbox)))

    assert answers == [{"batchItemFailures": []}]
    assert len(faults.injected) == throttled
    assert [sent.body for sent in queue.messages] == [{"a": 1, "hops": 1}]


def test_message_that_cannot_be_sent_again_stays_in_its_queue() -> None:
    faults = Faults(dict.fromkeys(range(1, SEND_TRIES + 1), Fault.THROTTLED))
    inbox = Inbox("launch", faulty(InMemoryQueue(), "Queue", faults), _None())

    answers: list[object] = []

    faults.run("launch", lambda: answers.append(process_queue(message({}), busy, inbox)))

    assert answers == [{"batchItemFailures": [{"itemIdentifier": "m"}]}]


def message(body: dict[str, object]) -> dict[str, Any]:
    """Return a batch of one message."""
    record = {
        "messageId": "m",
        "body": json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
    }
    return {"Records": [record]}


def busy(body: object) -> None:
    """Raise as a step whose store is throttled does."""
    msg = "too much to do"
    raise StoreThrottledError(msg)


class _None:
    """A dead-letter queue that fails the test when it is used."""

    def send(self, body: str, *, origin: str, reason: str) -> None:
        pytest.fail(f"{origin} buried {body}: {reason}")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestThrottled", StoreThrottledError),
        ("ThrottlingException", StoreThrottledError),
        ("KMS.ThrottlingException", StoreThrottledError),
        ("InternalError", StoreError),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_queue_says_whether_it_is_throttled(
    monkeypatch: pytest.MonkeyPatch, code: str, kind: type[StoreError], whole: bool
) -> None:
    sqs = boto3.client("sqs")
    monkeypatch.setattr(queues, "client", lambda service: sqs)
    with Stubber(sqs) as stubber:
        if whole:
            stubber.add_client_error("send_message_batch", code)
        else:
            failed = [{"Id": "0", "Code": code, "SenderFault": False}]
            stubber.add_response("send_message_batch", {"Successful": [], "Failed": failed})

        with pytest.raises(StoreError) as raised:
            SqsQueue("https://sqs.us-east-1.amazonaws.com/123456789012/q").send([{}])

    assert raised.type is kind


@pytest.mark.parametrize(("code", "kind"), [("SlowDown", StoreThrottledError), ("NoSuchBucket", StoreError)])
def test_bucket_says_whether_it_is_throttled(
    monkeypatch: pytest.MonkeyPatch, code: str, kind: type[StoreError]
) -> None:
    s3 = boto3.client("s3")
    monkeypatch.setattr(blobs, "client", lambda service: s3)
    with Stubber(s3) as stubber:
        stubber.add_client_error("put_object", code)

        with pytest.raises(StoreError) as raised:
            S3BlobStore("outcomes").put("k", b"v")

    assert raised.type is kind
