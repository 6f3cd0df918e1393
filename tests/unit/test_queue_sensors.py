"""Queue sensors: each message is evaluated until its tick is committed, and answered with done or failed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    JobDefinition,
    ObjectIdentity,
    QueueMessage,
    QueueSensorContext,
    QueueSensorDefinition,
    RunRequest,
    SkipReason,
    build_queue_sensor_context,
    build_sensor_context,
    queue_sensor,
)
from treadle.adapters.events import parse_message_record
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import (
    SensorEvaluationError,
    StoreError,
    StoreThrottledError,
    UnknownEventError,
)
from treadle.definitions.sensors import SensorEvent
from treadle.engine.outcomes import Decision, Outcome
from treadle.entrypoints.queue_consumer import STOPPED_SECONDS, consume
from treadle.testing import TreadleInstance
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue

invoice = JobDefinition("invoice")


@queue_sensor("orders", job=invoice)
def queued(context: QueueSensorContext) -> RunRequest:
    """A run for each message."""
    return RunRequest(run_config={"text": context.message.text})


def record(message_id: str = "m-1", body: str = "text", **attributes: str) -> dict[str, Any]:
    """Return a message as Lambda receives it."""
    return {
        "messageId": message_id,
        "receiptHandle": f"handle of {message_id}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1795370400123", **attributes},
        "messageAttributes": {
            "kind": {"stringValue": "order", "dataType": "String"},
            "blob": {"binaryValue": "AA==", "dataType": "Binary"},
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders",
    }


def message(body: str) -> QueueMessage:
    return parse_message_record(record(body=body))


# ---- The message


def test_message_is_what_sqs_says() -> None:
    found = parse_message_record(record(MessageGroupId="g", MessageDeduplicationId="d"))

    assert found == QueueMessage(
        "m-1",
        "text",
        "orders",
        datetime(2026, 11, 22, 18, 0, 0, 123_000, UTC),
        2,
        {"kind": "order"},
        "g",
        "d",
    )


@pytest.mark.parametrize("field", ["messageId", "body", "attributes", "eventSourceARN"])
def test_record_without_a_field_is_refused(field: str) -> None:
    with pytest.raises(UnknownEventError, match=field):
        parse_message_record({name: value for name, value in record().items() if name != field})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("any text", "any text"),
        ('{"order":17}', '{"order":17}'),
        (json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": "inside"}), "inside"),
        (json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "arn", "Message": "x"}), None),
        ('{"TopicArn": "no SNS"}', None),
        ('"TopicArn", no JSON', None),
    ],
)
def test_text_is_what_sns_wrapped_or_the_body(body: str, text: str | None) -> None:
    assert message(body).text == (body if text is None else text)


def test_json_is_the_parsed_text_and_anything_else_is_an_error_that_names_the_message() -> None:
    assert message('{"order":17}').json() == {"order": 17}
    with pytest.raises(UnknownEventError, match="The text of Message of queue orders: m-1 is not JSON"):
        message("text").json()


STORED = {
    "eventName": "ObjectCreated:Put",
    "eventTime": "2026-11-22T18:00:05.000Z",
    "s3": {
        "bucket": {"name": "landing"},
        "object": {"key": "in/a+b%C3%A9.csv", "eTag": "e", "size": 3, "versionId": "v"},
    },
}


@pytest.mark.parametrize(
    "wrap",
    [lambda text: text, lambda text: json.dumps({"Type": "Notification", "TopicArn": "a", "Message": text})],
)
def test_objects_of_s3s_own_notification_have_their_decoded_keys(wrap: Callable[[str], str]) -> None:
    removed = {**STORED, "eventName": "ObjectRemoved:Delete"}

    [stored] = message(wrap(json.dumps({"Records": [STORED, removed]}))).objects()

    assert stored.run_key(ObjectIdentity.VERSION) == "s3://landing/in/a bé.csv#v"
    assert (stored.etag, stored.size, stored.last_modified) == (
        "e",
        3,
        datetime(2026, 11, 22, 18, 0, 5, tzinfo=UTC),
    )


def test_test_event_of_s3_has_no_objects_and_others_are_refused() -> None:
    assert message('{"Service":"Amazon S3","Event":"s3:TestEvent"}').objects() == []
    for body in ("{}", "[]", '{"Records":[{"eventName":"ObjectCreated:Put"}]}', '{"Records":[3]}'):
        with pytest.raises(UnknownEventError, match="is no notification of S3"):
            message(body).objects()


# ---- Run keys and the kit


def test_each_message_starts_one_run_however_often_it_is_received() -> None:
    instance = TreadleInstance([queued])

    for message_id in ("m-1", "m-1", "m-2"):
        instance.send_message("orders", {"order": 17}, message_id=message_id)

    assert [(run.run_key, run.run_config) for run in instance.runs()] == [
        ("m-1", '{"text":"{\\"order\\": 17}"}'),
        ("m-2", '{"text":"{\\"order\\": 17}"}'),
    ]


def test_message_of_another_queue_reaches_no_sensor() -> None:
    instance = TreadleInstance([queued])

    assert instance.send_message("returns", "text") == {}


def test_queue_of_the_deployment_takes_precedence() -> None:
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/orders-dev"
    instance = TreadleInstance([queued], settings={"queued": {"TREADLE_QUEUE_URL": url}})

    assert instance.send_message("orders", "text") == {}
    assert set(instance.send_message("orders-dev", "text")) == {"queued"}


def test_identity_that_is_no_text_fails_the_tick() -> None:
    sensor = QueueSensorDefinition(
        "made",
        evaluation_fn=lambda context: RunRequest(),
        queue="orders",
        identity=lambda _: "",
        job_name="invoice",
    )

    with pytest.raises(SensorEvaluationError, match="identity returned '' for Message of queue orders"):
        TreadleInstance([sensor]).send_message("orders", "text")


def test_stopped_sensor_leaves_the_message_and_evaluates_it_after_the_start() -> None:
    instance = TreadleInstance([queued])
    instance.stop_sensor("queued")

    outcome = instance.send_message("orders", "text")["queued"].outcome
    instance.start_sensor("queued")
    [left] = instance.undelivered
    instance.send(left)

    assert (outcome.decision, outcome.reason) == (
        Decision.STOPPED,
        "Sensor queued is stopped; the message returns to its queue.",
    )
    assert len(instance.runs()) == 1


def test_message_at_which_the_function_fails_is_undelivered() -> None:
    @queue_sensor("orders", job=invoice)
    def strict(context: QueueSensorContext) -> SkipReason:
        return SkipReason(str(context.message.json()))

    instance = TreadleInstance([strict])
    with pytest.raises(SensorEvaluationError, match="is not JSON"):
        instance.send_message("orders", "text")

    assert len(instance.undelivered) == 1


def test_direct_call_gets_the_message() -> None:
    context = build_queue_sensor_context(message("text"))

    assert queued(context).run_config == {"text": "text"}
    assert queued.evaluate_tick(context).run_requests[0].run_key == "m-1"
    assert (
        queued.evaluate_tick(build_sensor_context()).skip_message
        == "Sensor queued evaluates messages, not ticks."
    )
    assert queued.described()["queue"] == "orders"


# ---- Answers to the queue


def answered(
    records: list[dict[str, Any]], handle: Callable[[SensorEvent], Outcome], inbox: Inbox | None = None
) -> list[str]:
    """Return the ids of the messages that return to the queue."""
    inbox = inbox or Inbox("sensor queued", InMemoryQueue(), InMemoryDeadLetters())
    answer = consume(records, parse_message_record, lambda _: None, handle, inbox)
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


class Postponing(InMemoryQueue):
    """Records what was postponed."""

    def __init__(self) -> None:
        super().__init__()
        self.postponed: list[tuple[str, int]] = []

    def postpone(self, handle: str, seconds: int) -> None:
        """Record it."""
        self.postponed.append((handle, seconds))


def decided(decision: Decision) -> Callable[[SensorEvent], Outcome]:
    return lambda _: Outcome(decision, "", "")


@pytest.mark.parametrize("decision", [Decision.SUCCESS, Decision.SKIPPED, Decision.DUPLICATE])
def test_message_whose_tick_is_committed_is_done(decision: Decision) -> None:
    assert answered([record()], decided(decision)) == []


@pytest.mark.parametrize(
    "error",
    [
        SensorEvaluationError("no", error_type="E", stack=""),
        StoreThrottledError("no"),
        StoreError("no"),
        ValueError("no"),
    ],
)
def test_message_that_was_not_evaluated_returns_and_nothing_else_is_done_with_it(error: Exception) -> None:
    """On its last receive, too: where it goes then is the queue's own redrive policy."""
    inbox = Inbox("sensor queued", InMemoryQueue(), dead_letters := InMemoryDeadLetters())

    def handle(_: SensorEvent) -> Outcome:
        raise error

    assert answered([record(ApproximateReceiveCount="100")], handle, inbox) == ["m-1"]
    assert (inbox.queue.drain(), dead_letters.messages) == ([], {})  # type: ignore[attr-defined]


def test_message_of_a_stopped_sensor_returns_after_a_while() -> None:
    inbox = Inbox("sensor queued", queue := Postponing(), InMemoryDeadLetters())

    assert answered([record()], decided(Decision.STOPPED), inbox) == ["m-1"]
    assert queue.postponed == [("handle of m-1", STOPPED_SECONDS)]
    assert queue.drain() == []


def test_record_that_cannot_be_read_returns_and_the_others_are_evaluated() -> None:
    bad = record("m-1") | {"body": None}

    assert answered([bad, record("m-2")], decided(Decision.SUCCESS)) == ["m-1"]


def test_later_messages_of_a_failed_group_return_without_being_evaluated() -> None:
    seen: list[str] = []

    def handle(event: SensorEvent) -> Outcome:
        assert isinstance(event, QueueMessage)
        seen.append(event.id)
        if event.id == "a-1":
            raise StoreError("no")
        return Outcome(Decision.SUCCESS, "", "")

    records = [record(f"{group}-{number}", MessageGroupId=group) for number in (1, 2) for group in "ab"]

    assert answered(records, handle) == ["a-1", "a-2"]
    assert seen == ["a-1", "b-1", "b-2"]


def test_only_first_deliveries_outside_of_groups_are_evaluated_together() -> None:
    together: list[SensorEvent] = []
    records = [
        record("first", ApproximateReceiveCount="1"),
        record("again", ApproximateReceiveCount="2"),
        record("bad", ApproximateReceiveCount="1") | {"body": None},
        record("grouped", ApproximateReceiveCount="1", MessageGroupId="a"),
        record("last", ApproximateReceiveCount="1"),
    ]
    inbox = Inbox("sensor queued", InMemoryQueue(), InMemoryDeadLetters())

    consume(records, parse_message_record, together.extend, decided(Decision.SUCCESS), inbox)

    assert [isinstance(each, QueueMessage) and each.id for each in together] == ["first", "last"]


def test_one_failed_message_of_a_standard_queue_holds_up_no_other() -> None:
    def handle(event: SensorEvent) -> Outcome:
        assert isinstance(event, QueueMessage)
        if event.id == "m-1":
            raise StoreError("no")
        return Outcome(Decision.SUCCESS, "", "")

    assert answered([record("m-1"), record("m-2")], handle) == ["m-1"]
