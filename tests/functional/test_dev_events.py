"""Test events that a developer sends to the sensors of `treadle dev`."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import ANN, TOKEN, Client
from tests.support.dev_loop import Loop, started_loop
from tests.support.dev_project import eventually, write_sensor
from treadle.console.app import Console
from treadle.console.static_token import Caller, Role, StaticTokenAuth
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.webhook_verification import HmacSignature
from treadle.dev.config import LOCAL_SECRET
from treadle.dev.operator import operator_parts
from treadle.dev.sending import EventSender
from treadle.dev.webhooks import WebhookEndpoints
from treadle.operate.redrive import RedriveAction

pytestmark = pytest.mark.timeout(240)

ASSETS = """
from treadle import AssetKey, DefaultSensorStatus, RunRequest, asset_sensor, evaluator


@asset_sensor(AssetKey(["shop", "orders"]), job_name="report", default_status=DefaultSensorStatus.RUNNING)
def assets(context, event):
    made = event.asset_materialization
    return RunRequest(run_config={"rows": made.plain_metadata["rows"]}, tags={"day": event.partition_key})


handler = evaluator(assets)
"""

DEADLINES = """
from datetime import timedelta

from treadle import DefaultSensorStatus, JobDefinition, SkipReason, deadline_sensor, evaluator


@deadline_sensor(job=JobDefinition("load"), within=timedelta(hours=1), default_status=DefaultSensorStatus.RUNNING)
def deadlines(context):
    return SkipReason(f"missed at {context.deadline.isoformat()}")


handler = evaluator(deadlines)
"""


BATCHES = """
from datetime import timedelta

from treadle import Batch, DefaultSensorStatus, HmacSignature, RunRequest, evaluator, webhook_sensor


@webhook_sensor(
    HmacSignature(),
    job_name="load",
    default_status=DefaultSensorStatus.RUNNING,
    batch=Batch(within=timedelta(seconds=1)),
)
def batches(context):
    return RunRequest(run_config={"texts": [each.text for each in context.items]})


handler = evaluator(batches)
"""


RECORDS = """
from treadle import DefaultSensorStatus, RunRequest, evaluator, stream_sensor


@stream_sensor("orders", job_name="load", max_attempts=2, default_status=DefaultSensorStatus.RUNNING)
def records(context):
    return RunRequest(run_config=context.record.json())


handler = evaluator(records)
"""


def record(data: bytes, number: int = 1, stream: str = "orders") -> dict[str, object]:
    """Return a record of a Kinesis stream as Lambda receives it."""
    return {
        "kinesis": {
            "partitionKey": "k",
            "sequenceNumber": str(number),
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": 1767000000.5,
        },
        "eventID": f"shardId-000000000000:{number}",
        "eventName": "aws:kinesis:record",
        "eventSource": "aws:kinesis",
        "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}",
    }


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """A running `treadle dev`, with a sensor of an asset, of deadlines and of a stream besides the others."""
    write_sensor(tmp_path / "demo", "records", RECORDS)
    write_sensor(tmp_path / "demo", "assets", ASSETS)
    write_sensor(tmp_path / "demo", "deadlines", DEADLINES)
    with started_loop(tmp_path) as made:
        for name in ("assets", "deadlines", "records"):
            made.says(name, "loaded")
        yield made


@pytest.fixture
def send(loop: Loop) -> Callable[..., Any]:
    """Send an event as the console's page does."""
    sender = EventSender(loop.project, WebhookEndpoints(loop.project))
    parts = operator_parts(loop.project)
    access = StaticTokenAuth(TOKEN, Caller(ANN, Role.OPERATOR))
    client = Client(Console(lambda: parts, access, loop.project.engine.clock, sender.operations()))
    assert client.get("/api/test-events").json == {
        "buckets": ["landing"],
        "jobs": ["load", "report"],
        "deadlines": ["deadlines"],
        "webhooks": [],
    }

    def post(**event: object) -> Any:
        return client.post("/api/test-events", event)

    return post


def test_an_object_is_a_file_of_its_bucket_with_its_event(
    send: Callable[..., Any], loop: Loop, tmp_path: Path
) -> None:
    answer = send(object={"bucket": "landing", "key": "in/a.csv", "content": "a,b"})

    assert answer.json == {"sent": "Stored s3://landing/in/a.csv."}
    assert (tmp_path / "inbox" / "in" / "a.csv").read_text() == "a,b"
    assert loop.ends("load", Status.SUCCESS).sensor == "files"


def test_a_job_that_is_started_by_hand_has_a_run_that_sensors_follow(
    send: Callable[..., Any], loop: Loop
) -> None:
    assert send(run={"job": "load", "status": "SUCCESS"}).status == 200

    assert loop.ends("load", Status.SUCCESS).sensor == ""
    assert loop.ends("report", Status.SUCCESS).sensor == "chain"
    assert send(run={"job": "load", "status": "FAILURE"}).status == 200
    loop.says("failures", "ALERT for SNS (Alerts): Run failed: load")


def test_a_materialization_reaches_the_sensors_of_its_asset(send: Callable[..., Any], loop: Loop) -> None:
    made = {"asset_key": "shop/orders", "partition": "2026-11-30", "metadata": {"rows": 7}}

    assert send(asset=made).json == {"sent": "Reported asset shop/orders."}

    run = loop.ends("report", Status.SUCCESS)
    assert (run.run_config, run.tags["day"]) == ('{"rows":7}', "2026-11-30")


def test_a_deadline_reaches_its_sensor_alone(send: Callable[..., Any], loop: Loop) -> None:
    assert send(deadline={"sensor": "deadlines", "at": "2026-11-30T06:00:00Z"}).status == 200

    loop.says("deadlines", "SKIPPED: missed at 2026-11-30T06:00:00+00:00")


def test_any_event_is_delivered_as_its_rule_would(send: Callable[..., Any], loop: Loop) -> None:
    detail = {"bucket": {"name": "landing"}, "object": {"key": "x.csv", "size": 1, "etag": "e"}}
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-11-30T05:00:00Z",
        "detail": detail,
    }

    answer = send(event=event)

    assert answer.json == {"sent": "Sent Object Created s3://landing/x.csv (1 bytes)."}
    assert loop.ends("load", Status.SUCCESS).sensor == "files"


def test_a_record_reaches_the_sensor_of_its_stream_alone(send: Callable[..., Any], loop: Loop) -> None:
    assert send(event=record(b"{}", 1, "others")).status == 200
    sample = {"Records": [record(b'{"order":17}', 2)]}

    answer = send(event=sample)

    assert answer.json == {"sent": "Sent Record of stream orders: shardId-000000000000:2."}
    run = loop.ends("load", Status.SUCCESS)
    assert (run.sensor, run.run_config) == ("records", '{"order":17}')
    assert len(loop.runs("load")) == 1
    assert loop.project.engine.dead_letters.count() == 0


def test_a_record_at_which_the_function_fails_is_a_dead_letter_that_is_evaluated_again(
    send: Callable[..., Any], loop: Loop
) -> None:
    engine = loop.project.engine
    assert send(event=record(b"no JSON")).status == 200
    loop.says("records", "is not JSON")
    engine.queues["records"].redeliver()  # type: ignore[attr-defined]
    eventually(lambda: engine.dead_letters.count() == 1, lambda: f"no dead letter: {loop.lines}")
    parts = operator_parts(loop.project)

    [done] = parts.redriver.redrive()

    assert (done.origin, done.action) == ("sensor records", RedriveAction.FAILED)
    assert "is not JSON" in done.reason


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"object": {"bucket": "elsewhere", "key": "a"}}, "There is no bucket 'elsewhere'"),
        ({"object": {"bucket": "landing", "key": "../a"}}, "a part of it is empty or begins with a dot"),
        ({"run": {"job": "unknown", "status": "SUCCESS"}}, "There is no job 'unknown'"),
        ({"deadline": {"sensor": "unknown", "at": "2026-11-30T06:00:00Z"}}, "There is no sensor 'unknown'"),
        ({"event": {"source": "aws.s3"}}, "Unknown event type aws.s3"),
        ({"event": {"Records": [{"eventSourceARN": "arn"}]}}, "has a missing or malformed field"),
        ({"event": {"Records": ["eventSourceARN"]}}, "Unknown event type"),
    ],
    ids=lambda each: each if isinstance(each, str) else next(iter(each)),
)
def test_what_cannot_be_sent_is_refused_with_the_reason(
    send: Callable[..., Any], event: dict[str, object], message: str
) -> None:
    answer = send(**event)

    assert answer.status == 409
    assert message in answer.json["message"]


def test_an_event_is_of_one_kind(send: Callable[..., Any]) -> None:
    assert send().status == send(event={}, object={"bucket": "landing", "key": "a"}).status == 400


def test_batch_is_closed_by_time(tmp_path: Path) -> None:
    write_sensor(tmp_path / "demo", "batches", BATCHES)
    context = {"requestContext": {"requestId": "r-1"}, "isBase64Encoded": False}
    with started_loop(tmp_path) as loop:
        loop.says("batches", "loaded")

        for text in ("1", "2"):
            headers = HmacSignature().signed(text.encode(), LOCAL_SECRET, 0, f"d-{text}")
            loop.deployment.invoke("batches", {**context, "body": text, "headers": headers}, seconds=10)

        assert loop.ends("load", Status.SUCCESS).run_config == '{"texts":["1","2"]}'
