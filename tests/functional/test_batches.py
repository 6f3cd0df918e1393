"""Sensors with batches as they are deployed: an item is durable before its event is acknowledged."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

import boto3
import pytest

from tests.functional.conftest import (
    BUCKET,
    ON_BOTH,
    OUTCOMES,
    SECRET,
    Deployment,
    LambdaContext,
    batch,
    sample,
)
from tests.support.dynamodb_meter import Meter, metered
from tests.support.tables import create_tables
from treadle import (
    AssetKey,
    Batch,
    BatchSensorContext,
    DagsterRunStatus,
    HmacSignature,
    JobDefinition,
    RunRequest,
    TickStatus,
    asset_sensor,
    event_sensor,
    queue_sensor,
    read_payload,
    run_status_sensor,
    s3_sensor,
    stream_sensor,
    webhook_sensor,
)
from treadle.adapters.dynamodb.batches import DynamoBatchStore
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.functions import LambdaFunctions
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.definitions.bus_event import EventBridgeEvent
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import StoreError, StoreThrottledError, UnknownEventError
from treadle.definitions.runs import from_millis
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.model.batches import BatchItem, WaitingItems, by_key, digest_of
from treadle.model.registry import SensorEntry
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.operate.sensors import SensorOperations
from treadle.testing.grants import FixedGrants
from treadle.testing.registry import sensor_text
from treadle.testing.system import VirtualClock

JOB = JobDefinition("process_file")
LONG = Batch(size=3, within=timedelta(hours=1))
GITHUB = HmacSignature()
NAMESPACE = "123456789012/us-east-1/test"


def requested(context: BatchSensorContext) -> RunRequest:
    """A run for each batch."""
    return RunRequest(run_config={"items": [each.run_key for each in context.items], "by": context.by})


def deployed(deployment: Deployment, name: str, sensor: Any, **environment: str) -> None:
    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS", raising=False)
    deployment.setenv(TREADLE_DEFAULT_STATUS="RUNNING", TREADLE_KIND=sensor.kind, **environment)
    deployment.handlers[name] = deployment.evaluator(sensor)


def queued(deployment: Deployment) -> None:
    made = queue_sensor("own", batch=LONG, name="queued", job=JOB)(requested)
    deployed(deployment, "queued", made)


def record(message_id: str, body: str = "text") -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1767000000000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:own",
    }


def deliver(deployment: Deployment, *names: str) -> list[str]:
    """Hand messages to the function, as Lambda does, and return the ids of those that return to their queue."""
    records = {"Records": [record(name) for name in names]}
    answer = deployment.handlers["queued"](records, LambdaContext())
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def ticks(deployment: Deployment, sensor: str) -> list[Tick]:
    return deployment.stores.ticks.latest(sensor, 100)


def configs(deployment: Deployment, sensor: str) -> list[Any]:
    return [json.loads(run.run_config) for tick in ticks(deployment, sensor) for run in tick.requests]


def close(deployment: Deployment, sensor: str, by: str = "") -> Any:
    """Invoke a function as RECONCILE does."""
    return deployment.handlers[sensor]({"treadle": "close", "batches": [by_key(by)]}, LambdaContext())


@ON_BOTH
def test_messages_are_done_once_they_wait_and_a_full_batch_is_one_tick(deployment: Deployment) -> None:
    queued(deployment)

    assert deliver(deployment, "m-1", "m-2") == []
    assert ticks(deployment, "queued") == []
    assert deliver(deployment, "m-2", "m-3", "m-4") == []

    [config] = configs(deployment, "queued")
    assert config["items"] == ["m-1", "m-2", "m-3"]
    assert [each.first_at > 0 for each in deployment.stores.batches.states("queued")] == [True]


@ON_BOTH
def test_message_of_a_batch_that_was_evaluated_is_done_and_starts_nothing(deployment: Deployment) -> None:
    queued(deployment)
    deliver(deployment, "m-1", "m-2", "m-3")

    assert deliver(deployment, "m-1", "m-2", "m-3") == []

    assert len(configs(deployment, "queued")) == 1
    assert deployment.stores.batches.states("queued") == []


@pytest.mark.parametrize("call", ["accept", "open"])
def test_message_returns_to_its_queue_unless_it_is_certain_that_it_waits(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    queued(deployment)

    def unanswered(*_: Any, **__: Any) -> None:
        raise StoreError("DynamoDB gave no answer.")

    with monkeypatch.context() as patch:
        patch.setattr(DynamoBatchStore, call, unanswered)
        try:
            failed = deliver(deployment, "m-1")
        except StoreError:
            failed = ["m-1"]  # Lambda returns all messages of a batch whose invocation fails.

    assert failed == ["m-1"]
    assert deliver(deployment, "m-1", "m-2", "m-3") == []
    assert len(configs(deployment, "queued")) == 1


@ON_BOTH
def test_stopped_sensor_accepts_no_message(deployment: Deployment) -> None:
    queued(deployment)
    SensorOperations(deployment.stores.sensors, VirtualClock()).stop("queued", "ann")

    assert deliver(deployment, "m-1") == ["m-1"]

    assert deployment.stores.batches.known("queued", ["m-1"]) == {}


def test_reconcile_invokes_the_function_when_a_batch_is_due(deployment: Deployment) -> None:
    made = event_sensor(name="evented", job=JOB, batch=Batch(size=9, within=timedelta(seconds=1)))(requested)
    deployed(deployment, "evented", made)
    event = {
        "id": "e-1",
        "source": "shop",
        "detail-type": "Order",
        "account": "123456789012",
        "region": "us-east-1",
        "time": from_millis(SystemClock().now() - 5_000).isoformat(),
        "resources": [],
        "detail": {"order": 1},
    }
    answer = deployment.handlers["evented"](batch(json.dumps(event)), LambdaContext())
    assert answer == {"batchItemFailures": []}
    invoked: list[tuple[str, Mapping[str, object]]] = []
    engine = Assembly(deployment.stores, _later(), RandomTokens(), "123456789012/us-east-1/x")

    class Functions:
        def invoke(self, function: str, sent: Mapping[str, object]) -> None:
            invoked.append((function, sent))

    entry = SensorEntry("evented", "shop", "shop-Evented", "event")
    stopped = FixedGrants({}, {"evented": entry})
    running = FixedGrants(
        {},
        {
            "evented": SensorEntry(
                "evented", "shop", "shop-Evented", "event", default_status=DefaultSensorStatus.RUNNING
            )
        },
    )
    checks = [engine.due_batches(each, Functions()).check(2**60) for each in (stopped, running)]

    assert [(each.closing, each.overdue) for each in checks] == [(0, 0), (1, 1)]
    assert invoked == [("shop-Evented", {"treadle": "close", "batches": [by_key("")]})]


def _later() -> VirtualClock:
    return VirtualClock(SystemClock().now() + 3_600_000)


@ON_BOTH
def test_message_to_close_batches_is_evaluated_at_once_if_they_are_due(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(deployment)
    deliver(deployment, "m-1")

    early, later = close(deployment, "queued"), _later().now()
    monkeypatch.setattr(SystemClock, "now", lambda _: later)
    late = close(deployment, "queued")

    assert (early["count"], late["count"]) == (0, 1)
    assert configs(deployment, "queued") == [{"items": ["m-1"], "by": ""}]


@ON_BOTH
def test_message_without_keys_is_refused(deployment: Deployment) -> None:
    queued(deployment)

    with pytest.raises(UnknownEventError, match="list of their keys"):
        deployment.handlers["queued"]({"treadle": "close"}, LambdaContext())


@ON_BOTH
def test_items_of_a_sensor_whose_code_has_no_batches_any_more_are_reported(deployment: Deployment) -> None:
    queued(deployment)
    deliver(deployment, "m-1")
    made = queue_sensor("own", name="queued", job=JOB)(lambda: None)
    deployed(deployment, "queued", made)

    answer = close(deployment, "queued")

    assert answer["decision"] == "FAILURE"
    assert "Deploy it with batch= again" in answer["reason"]


def test_batch_whose_run_config_is_large_is_one_run_that_refers_to_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = queue_sensor("own", batch=LONG, name="queued", job=JOB)(
        lambda context: RunRequest(run_config={"texts": [each.body for each in context.items]})
    )
    deployment.register("sensors/queued", sensor_text("shop", JOB.name, kind="queue"))
    deployed(deployment, "queued", made)
    texts = [Random(number).randbytes(50_000).hex() for number in range(3)]
    records = {"Records": [record(f"m-{number}", text) for number, text in enumerate(texts)]}

    def unanswered(*_: Any, **__: Any) -> None:
        raise StoreThrottledError("DynamoDB gave no answer.")

    with monkeypatch.context() as patch:
        patch.setattr(DynamoBatchStore, "commit", unanswered)
        assert deployment.handlers["queued"](records, LambdaContext()) == {"batchItemFailures": []}
    stored_before = large_objects()
    assert close(deployment, "queued")["count"] == 1
    deployment.dispatch_pending()
    deployment.launch_queued()

    [config] = configs(deployment, "queued")
    assert sorted(read_payload(config)["texts"]) == sorted(texts)
    assert large_objects() == stored_before == [config["treadle_payload"]["url"].partition(f"{OUTCOMES}/")[2]]
    [execution] = deployment.executions()
    arn = f"{deployment.machine.replace(':stateMachine:', ':execution:')}:{execution}"
    received = json.loads(boto3.client("stepfunctions").describe_execution(executionArn=arn)["input"])
    assert received["run_config"] == config


def large_objects() -> list[str]:
    """Return the keys of the run configs that are stored for reference."""
    found = boto3.client("s3").list_objects_v2(Bucket=OUTCOMES, Prefix="large/")
    return [each["Key"] for each in found["Contents"]]


def hooked(deployment: Deployment) -> None:
    deployment.monkeypatch.delenv("TREADLE_QUEUE_URL", raising=False)
    deployment.share_secret()
    made = webhook_sensor(GITHUB, batch=LONG, name="hooked", job=JOB)(requested)
    deployed(deployment, "hooked", made)


def post(deployment: Deployment, body: bytes, delivery: str) -> Any:
    headers = {**GITHUB.signed(body, SECRET, 0, delivery), "Authorization": "Bearer secret-token"}
    request = {
        "version": "2.0",
        "headers": headers,
        "requestContext": {"http": {"method": "POST", "path": "/"}, "requestId": delivery},
        "body": body.decode(),
        "isBase64Encoded": False,
    }
    return deployment.handlers["hooked"](request, LambdaContext())


@ON_BOTH
def test_request_is_answered_once_it_waits_and_its_authentication_is_not_stored(
    deployment: Deployment,
) -> None:
    hooked(deployment)

    answers = [
        post(deployment, b"one", "d-1"),
        post(deployment, b"one", "d-2"),
        post(deployment, b"2", "d-3"),
    ]

    assert [each["statusCode"] for each in answers] == [202, 202, 202]
    assert [json.loads(each["body"])["message"] for each in answers] == [
        "Accepted.",
        "Accepted before.",
        "Accepted.",
    ]
    [first, second], is_all = deployment.stores.batches.waiting("hooked", by_key(""), 10)
    assert is_all
    assert "secret-token" not in first.content + second.content


@ON_BOTH
def test_full_batch_of_requests_is_due_at_once_instead_of_delaying_the_response(
    deployment: Deployment,
) -> None:
    hooked(deployment)

    for number in range(3):
        post(deployment, b"%d" % number, f"d-{number}")

    assert ticks(deployment, "hooked") == []
    [due] = deployment.stores.batches.due(SystemClock().now(), 10)
    assert due.sensor == "hooked"
    close(deployment, "hooked")
    assert [len(each["items"]) for each in configs(deployment, "hooked")] == [3]


@ON_BOTH
def test_request_that_is_too_large_to_wait_is_refused(deployment: Deployment) -> None:
    hooked(deployment)
    body = Random(1).randbytes(400_000).hex().encode()

    answer = post(deployment, body, "d-1")

    assert answer["statusCode"] == 413
    assert "Send a reference to its content" in answer["body"]


def test_sweep_lets_objects_wait_and_finds_none_of_them_again(deployment: Deployment) -> None:
    boto3.client("s3")
    for number in range(7):
        deployment.put(f"incoming/{number}.csv")
    made = s3_sensor(BUCKET, start_from="beginning", batch=LONG, name="swept", job=JOB)(
        lambda context, objects: RunRequest(run_config={"keys": [each.key for each in objects]})
    )
    deployed(deployment, "swept", made, TREADLE_INTERVAL_SECONDS="60", TREADLE_S3_BUCKET=BUCKET)
    tick = {"treadle": "tick", "at_once": True}

    first = deployment.handlers["swept"](tick, LambdaContext())
    keys = [key for config in configs(deployment, "swept") for key in config["keys"]]
    second = deployment.handlers["swept"](tick, LambdaContext())

    assert len(keys) == len(set(keys)) == 6
    assert "7 of them new" in first["reason"]
    assert "0 of them new" in second["reason"]


# ---- Run statuses, materializations and records


RUN_ID = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e"


def recorded_run(number: int) -> Run:
    config, tags = canonical_json({"number": number}), {"customer": f"c{number % 2}"}
    return Run(
        f"{number}{RUN_ID[1:]}",
        JOB.name,
        "loads",
        f"k{number}",
        f"t-{number}",
        config,
        tags,
        1_795_370_400_000,
    )


def status_event(number: int) -> dict[str, Any]:
    """Return the event that a run failed, as PUBLISH sends it, without the run's config."""
    [record] = sample("failure_alert-run-status")["Records"]
    event = json.loads(record["body"].replace(RUN_ID, f"{number}{RUN_ID[1:]}"))
    event["detail"]["namespace"] = NAMESPACE
    return dict(event)


def test_statuses_are_done_once_they_wait_and_the_function_gets_the_runs_as_they_are_recorded(
    deployment: Deployment,
) -> None:
    made = run_status_sensor(DagsterRunStatus.FAILURE, name="failing", request_job=JOB, batch=LONG)(
        lambda context: RunRequest(run_config={"numbers": sorted(map(run_number, context.items))})
    )
    deployed(deployment, "failing", made)
    for number in range(3):
        assert deployment.stores.runs.create(recorded_run(number)) is None

    for _ in range(2):
        events = [status_event(number) for number in range(3)]
        answer = deployment.handlers["failing"](batch(*events), LambdaContext())
        assert answer == {"batchItemFailures": []}

    assert configs(deployment, "failing") == [{"numbers": [0, 1, 2]}]
    assert deployment.messages("dead") == []
    keys = [f"{number}{RUN_ID[1:]}/1/0/FAILURE" for number in range(3)]
    known = deployment.stores.batches.known("failing", keys)
    assert {each.tick_id for each in known.values()} == {ticks(deployment, "failing")[0].tick_id}


def run_number(item: Any) -> int:
    return int(item.dagster_run.run_config["number"])


def test_statuses_are_kept_apart_by_what_only_the_records_of_their_runs_have(deployment: Deployment) -> None:
    of_customer = Batch(by=lambda each: each.dagster_run.tags["customer"])
    made = run_status_sensor(DagsterRunStatus.FAILURE, name="failing", request_job=JOB, batch=of_customer)(
        requested
    )
    deployed(deployment, "failing", made)
    for number in range(3):
        deployment.stores.runs.create(recorded_run(number))

    deployment.handlers["failing"](batch(*map(status_event, range(3))), LambdaContext())

    assert {each.by for each in deployment.stores.batches.states("failing")} == {"c0", "c1"}


def test_materialization_is_one_item_however_often_it_is_delivered(deployment: Deployment) -> None:
    made = asset_sensor(AssetKey("summaries"), name="summed", job=JOB, batch=LONG)(
        lambda context, records: RunRequest(run_config={"ids": [each.storage_id for each in records]})
    )
    deployed(deployment, "summed", made)
    [record] = sample("large_files-asset-materialized")["Records"]
    bodies = [
        record["body"].replace(":7,", f":{number},").replace("-1/s", f"-{number}/s") for number in (7, 8, 9)
    ]

    for some in (bodies[:2], bodies):
        assert deployment.handlers["summed"](batch(*some), LambdaContext()) == {"batchItemFailures": []}

    [config] = configs(deployment, "summed")
    assert sorted(config["ids"]) == [7, 8, 9]
    assert deployment.stores.batches.known("summed", [f"summaries/{RUN_ID}-7/summaries"])


STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"


def stream_records(*texts: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "kinesis": {
                    "partitionKey": text[0],
                    "sequenceNumber": str(number),
                    "data": b64encode(text.encode()).decode(),
                    "approximateArrivalTimestamp": 1767000000.123,
                },
                "eventSource": "aws:kinesis",
                "eventID": f"shardId-000000000006:{number}",
                "eventSourceARN": STREAM,
            }
            for number, text in enumerate(texts, 1)
        ]
    }


def summary_event() -> dict[str, Any]:
    [record] = sample("large_files-asset-materialized")["Records"]
    return dict(json.loads(record["body"]))


@pytest.mark.parametrize(
    ("decorate", "event"),
    [
        (partial(run_status_sensor, DagsterRunStatus.FAILURE, request_job=JOB), batch(status_event(1))),
        (partial(asset_sensor, AssetKey("summaries"), job=JOB), batch(summary_event())),
        (partial(stream_sensor, "ignored", job=JOB), stream_records("a1")),
    ],
    ids=["status", "materialization", "record"],
)
def test_what_was_evaluated_before_the_sensor_had_batches_is_in_none(
    deployment: Deployment, decorate: Any, event: dict[str, Any]
) -> None:
    alone = decorate(name="alone")(lambda: RunRequest("k"))
    deployed(deployment, "alone", alone, TREADLE_STREAM_ARN=STREAM)
    for _ in range(2):
        answer = deployment.handlers["alone"](event, LambdaContext())
        assert answer == {"batchItemFailures": []}
        deployed(deployment, "alone", decorate(name="alone", batch=LONG)(requested))

    assert len(ticks(deployment, "alone")) == 1
    assert deployment.stores.batches.states("alone") == []


def streamed(deployment: Deployment, by: Any = None, size: int = 3) -> None:
    deployment.monkeypatch.delenv("TREADLE_QUEUE_URL", raising=False)
    batch = Batch(size=size, within=timedelta(hours=1), by=by)
    made = stream_sensor("ignored", max_attempts=2, batch=batch, name="streamed", job=JOB)(
        lambda context: RunRequest(run_config={"texts": [each.text for each in context.items]})
    )
    deployed(deployment, "streamed", made, TREADLE_STREAM_ARN=STREAM)


def read(deployment: Deployment, *texts: str) -> list[str]:
    """Hand records to the function, as Lambda does, and return where the stream continues."""
    answer = deployment.handlers["streamed"](stream_records(*texts), LambdaContext())
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_stream_goes_on_once_its_records_wait_and_a_full_batch_is_one_tick(deployment: Deployment) -> None:
    streamed(deployment)

    assert read(deployment, "a1", "a2") == []
    assert ticks(deployment, "streamed") == []
    assert read(deployment, "a1", "a2", "a3", "b1") == []

    [config] = configs(deployment, "streamed")
    assert (len(config["texts"]), config["texts"]) == (3, sorted(config["texts"]))
    assert len(ticks(deployment, "streamed")) == 1


@pytest.mark.parametrize("call", ["accept", "open"])
def test_stream_does_not_go_on_unless_it_is_certain_that_its_records_wait(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    streamed(deployment)

    def unanswered(*_: Any, **__: Any) -> None:
        raise StoreError("DynamoDB gave no answer.")

    with monkeypatch.context() as patch:
        patch.setattr(DynamoBatchStore, call, unanswered)
        try:
            failed = read(deployment, "a1", "a2")
        except StoreError:
            failed = ["1"]  # Lambda delivers all records of a batch again whose invocation fails.

    assert failed == ["1"]
    assert ticks(deployment, "streamed") == []
    assert read(deployment, "a1", "a2", "a3") == []
    assert configs(deployment, "streamed") == [{"texts": ["a1", "a2", "a3"]}]


def customer_of(item: Any) -> str:
    """Return the first of a record's characters; fail at records that are to be given up."""
    if item.text == "bad":
        raise ValueError("no such customer")
    return str(item.text[0])


def test_record_for_which_by_always_fails_is_given_up_and_blocks_no_other(deployment: Deployment) -> None:
    streamed(deployment, by=customer_of, size=1)

    assert read(deployment, "bad", "c1") == ["1"]
    assert configs(deployment, "streamed") == [{"texts": ["c1"]}]
    assert read(deployment, "bad", "c1") == []

    failed = [each for each in ticks(deployment, "streamed") if each.status is TickStatus.FAILURE]
    assert [each.attempts for each in failed] == [2]
    [dead_letter] = deployment.messages("dead")
    assert "no such customer" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_record_is_not_given_up_while_the_sensor_belongs_to_another_project(deployment: Deployment) -> None:
    deployment.setenv(TREADLE_PROJECT="shop")
    streamed(deployment)
    deployment.stores.sensors.claim("streamed", "other")

    assert [read(deployment, "a1") for _ in range(4)] == [["1"]] * 4

    assert deployment.messages("dead") == []


def test_record_that_is_too_large_to_wait_is_given_up(deployment: Deployment) -> None:
    streamed(deployment)

    assert read(deployment, Random(1).randbytes(400_000).hex(), "a1") == []

    [dead_letter] = deployment.messages("dead")
    assert "Send a reference" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_preview_of_an_item_commits_nothing(deployment: Deployment) -> None:
    queued(deployment)

    previewed = deployment.handlers["queued"](
        {"treadle": "preview", "event": {"Records": [record("m-1")]}}, LambdaContext()
    )

    assert "waits for a batch" in previewed["reason"]
    assert deployment.stores.batches.known("queued", ["m-1"]) == {}


def test_asynchronous_invocation_that_fails_is_an_error(deployment: Deployment) -> None:
    del deployment

    with pytest.raises(StoreError, match="The function no-such-function could not be invoked"):
        LambdaFunctions().invoke("no-such-function", {})


@pytest.fixture
def meter(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    with metered() as counting:
        yield counting


def test_item_costs_six_write_units_and_two_requests(meter: Meter) -> None:
    """What docs/cost.md says, on Amazon's own DynamoDB engine: for a batch of 500 items of less than 1 KB."""
    clock = VirtualClock()
    engine = Assembly(DynamoStores(create_tables(), RandomTokens()), clock, RandomTokens(), "1/r/n")
    made = event_sensor(name="metered", job=JOB, batch=Batch(size=500))(requested)
    parts = engine.sensor(made, TickSettings(0, DefaultSensorStatus.RUNNING))
    assert parts.acceptor is not None
    assert parts.closer is not None
    events = [
        EventBridgeEvent("shop", "Order", {"n": n}, f"e-{n}", from_millis(clock.now()), "1", "r")
        for n in range(500)
    ]
    meter.reset()

    for first in range(0, 500, 10):
        state = parts.events.load_batch_state(events[first : first + 10])
        for event in events[first : first + 10]:
            parts.events.evaluate(event, state, Budget())
        parts.acceptor.settle()
    accepted = list(meter.calls)
    meter.reset()
    [closed] = parts.closer.close(by_key(""), Budget())

    assert closed.count == 1
    assert sum(each.units for each in accepted if each.writes) / 500 == pytest.approx(4, abs=0.1)
    assert meter.write_units / 500 == pytest.approx(2.2, abs=0.2)
    assert len(accepted) / 500 == pytest.approx(1.2, abs=0.1)
    assert len(meter.calls) / 500 < 0.2
    assert sum(each.units for each in (*accepted, *meter.calls) if not each.writes) / 500 < 0.7


def test_items_that_wait_are_counted_by_one_request_for_each_partition(meter: Meter) -> None:
    stores, chance = DynamoStores(create_tables(), RandomTokens()), Random(1)
    small = [BatchItem(f"small {number}", "", number, 10, '"x"') for number in range(100)]
    names = [name for name in map(str, range(200)) if digest_of(name).startswith("0")]
    large = [BatchItem(name, "", 200, 10, chance.randbytes(240_000).hex()) for name in names[:5]]
    stores.batches.accept("counted", small)
    meter.reset()
    found = stores.batches.count("counted", by_key(""))
    requests, units = len(meter.calls), sum(each.units for each in meter.calls)
    stores.batches.accept("counted", large)

    assert found == WaitingItems(100, 1_000, 0, is_more=False)
    assert (requests, units <= 32) == (16, True)
    more = stores.batches.count("counted", by_key(""))
    assert (more.is_more, 100 <= more.items < 105) == (True, True)
