"""What operators see of stream sensors: their streams, what expired, and the dead letters of their records."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.support.engine import EngineHarness
from tests.support.s3_engine import SENSOR, S3Engine
from tests.unit.test_doctor import HEALTHY, wrong
from tests.unit.test_stack_health import stack
from treadle.adapters import clients
from treadle.adapters.health.consumed_streams import stream_probe
from treadle.adapters.health.needs import needs
from treadle.adapters.health.probes import taken
from treadle.adapters.health.stack_health import StackHealth
from treadle.adapters.sensor_queues import SensorQueues
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor
from treadle.model.health import Backlog, ConsumedStream, EventTrigger, HealthSnapshot, SkippedCheck
from treadle.model.messages import DeadLetter
from treadle.model.registry import Registry, SensorEntry
from treadle.operate.doctor import Doctor
from treadle.operate.findings import of_stream
from treadle.operate.overview import Overview
from treadle.operate.record_redrive import StreamSensorFunction
from treadle.operate.redrive import RedriveAction, Redriver
from treadle.operate.redrive_routes import Destination, route_of, subject_of
from treadle.operate.sensors import SensorOperations
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue

ROLE = "arn:aws:iam::123456789012:role/r"
KINESIS = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T18:00:00.000"
STREAMED = DeployedSensor(
    "watch",
    "stream",
    "",
    ("load",),
    DefaultSensorStatus.STOPPED,
    function="shop-Watch",
    settings={"TREADLE_STREAM_ARN": KINESIS},
)
FINE = ConsumedStream("watch", KINESIS, 86_400, 82_800, reports=True, is_partial=True)
RECORD = {"eventID": "shardId-000000000000:1", "eventSourceARN": KINESIS, "kinesis": {"data": "AA=="}}


# ---- What the doctor finds


def test_stream_that_is_read_as_the_block_says_is_fine() -> None:
    assert list(of_stream(FINE)) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"error": "Stream x does not exist"}, "Stream x does not exist."),
        ({"is_partial": False}, "those after it are lost with it"),
        ({"attempts": 3}, "discards a batch after 3 deliveries"),
        ({"discarded_seconds": None}, "expire before they are evaluated are lost, and nothing names them"),
        ({"discarded_seconds": 86_400}, "nothing names them"),
        ({"reports": False}, "nothing names them"),
        ({"kept_seconds": 604_800}, "are discarded at an age of 82800 s; the stream keeps them for 604800 s"),
        ({"others": (TABLE,)}, f"is also mapped to {TABLE}"),
    ],
)
def test_stream_whose_records_may_be_lost_is_a_problem_with_advice(
    changed: Mapping[str, Any], message: str
) -> None:
    [found] = of_stream(replace(FINE, **changed))

    assert (found.check, found.subject, bool(found.advice)) == ("streams", "sensor watch", True)
    assert message in found.message


def test_record_waits_for_a_stopped_sensor_until_the_stream_no_longer_has_it(harness: EngineHarness) -> None:
    deployment = InMemoryDeployment([STREAMED], {"watch": lambda event: {"name": "watch"}})
    overview = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)
    snapshot = replace(
        HEALTHY,
        switches=(EventTrigger("mapping", "sensor watch", "m", is_on=False),),
        backlogs=(Backlog("sensor watch", "shop-Watch", None, oldest_seconds=9_000),),
        streams=(FINE,),
    )
    doctor = Doctor(
        deployment, InMemoryHealth(snapshot), overview, harness.ticks, harness.runs, harness.clock
    )
    assert wrong(doctor.examine()) == []

    operations = SensorOperations(harness.sensors, harness.clock)
    operations.start("watch", DefaultSensorStatus.STOPPED, "ann")
    assert [each.check for each in wrong(doctor.examine())] == ["mappings", "queues"]
    operations.stop("watch", "ann")
    harness.clock.advance(82_800)
    assert wrong(doctor.examine()) == []
    harness.clock.advance(1)
    [found] = wrong(doctor.examine())
    assert found.check == "streams"
    assert "were not evaluated and have expired" in found.message


# ---- What is read of AWS


MAPPING = {
    "EventSourceArn": KINESIS,
    "MaximumRecordAgeInSeconds": 82_800,
    "MaximumRetryAttempts": -1,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:dead"}},
}


@pytest.mark.parametrize(
    ("mappings", "found"),
    [
        ([MAPPING], FINE),
        ([MAPPING, {**MAPPING, "EventSourceArn": TABLE}], replace(FINE, others=(TABLE,))),
        (
            [{"EventSourceArn": KINESIS, "MaximumRetryAttempts": 2, "MaximumRecordAgeInSeconds": -1}],
            ConsumedStream("watch", KINESIS, 86_400, attempts=2),
        ),
    ],
)
def test_stream_of_kinesis_is_read_with_its_mapping(
    mappings: list[dict[str, Any]], found: ConsumedStream
) -> None:
    clients.forget()
    summary = {
        "StreamName": "orders",
        "StreamARN": KINESIS,
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 0,
        "EnhancedMonitoring": [],
        "OpenShardCount": 1,
    }
    with Stubber(clients.client("kinesis")) as kinesis, Stubber(clients.client("lambda")) as lambdas:
        kinesis.add_response(
            "describe_stream_summary", {"StreamDescriptionSummary": summary}, {"StreamARN": KINESIS}
        )
        lambdas.add_response(
            "list_event_source_mappings", {"EventSourceMappings": mappings}, {"FunctionName": "shop-Watch"}
        )

        assert taken(stream_probe(STREAMED)) == [found]


@pytest.mark.parametrize(
    ("status", "error"), [("ENABLED", ""), ("DISABLED", f"Stream {TABLE} is disabled, or being deleted")]
)
def test_stream_of_a_table_keeps_records_for_a_day(status: str, error: str) -> None:
    clients.forget()
    sensor = replace(STREAMED, settings={"TREADLE_STREAM_ARN": TABLE})
    with Stubber(clients.client("dynamodbstreams")) as streams, Stubber(clients.client("lambda")) as lambdas:
        streams.add_response(
            "describe_stream",
            {"StreamDescription": {"StreamStatus": status}},
            {"StreamArn": TABLE, "Limit": 1},
        )
        lambdas.add_response(
            "list_event_source_mappings",
            {"EventSourceMappings": [{**MAPPING, "EventSourceArn": TABLE}]},
            {"FunctionName": "shop-Watch"},
        )

        wanted = ConsumedStream("watch", TABLE, error=error) if error else replace(FINE, name=TABLE)
        assert taken(stream_probe(sensor)) == [wanted]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (
            "ResourceNotFoundException",
            ConsumedStream("watch", KINESIS, error=f"Stream {KINESIS} does not exist"),
        ),
        ("AccessDeniedException", "kinesis:DescribeStreamSummary"),
    ],
)
def test_stream_that_cannot_be_read_is_reported(code: str, found: ConsumedStream | str) -> None:
    clients.forget()
    with Stubber(clients.client("kinesis")) as kinesis:
        kinesis.add_client_error("describe_stream_summary", code)

        [seen] = taken(stream_probe(STREAMED))

    assert (seen.action if isinstance(seen, SkippedCheck) else seen) == found


def test_only_streams_of_sensors_that_take_their_records_are_read() -> None:
    others = replace(STREAMED, name="other", kind="schedule")
    health = StackHealth(stack(), InMemoryDeployment([STREAMED, others]), {})

    assert [probe.what for probe in health._consumed(None)] == [f"stream {KINESIS}"]
    mappings = [probe for probe in health._switches("sensor watch") if probe.check == "mappings"]
    assert len(mappings) == 1


@pytest.mark.parametrize(("arn", "service"), [(KINESIS, "kinesis"), (TABLE, "dynamodb")])
def test_sensor_of_a_stream_needs_to_read_it(arn: str, service: str) -> None:
    sensor = replace(STREAMED, role=ROLE, settings={"TREADLE_STREAM_ARN": arn})

    need = next(each for each in needs(stack(), [sensor], []) if each.resource == arn)

    assert need.actions == (f"{service}:GetRecords", f"{service}:GetShardIterator")


# ---- Dead letters


def function(answer: Mapping[str, object], seen: list[Mapping[str, object]]) -> StreamSensorFunction:
    def evaluate(event: Mapping[str, object]) -> Mapping[str, object]:
        seen.append(event)
        return answer

    return StreamSensorFunction(
        InMemoryDeployment([STREAMED], {"watch": evaluate}), "watch", InMemoryBlobStore()
    )


@pytest.mark.parametrize(
    ("decision", "action"),
    [
        ("SUCCESS", RedriveAction.SENT),
        ("SKIPPED", RedriveAction.SENT),
        ("DUPLICATE", RedriveAction.SENT),
        ("STOPPED", RedriveAction.FAILED),
    ],
)
def test_dead_letter_of_a_record_goes_once_it_is_evaluated(decision: str, action: RedriveAction) -> None:
    seen: list[Mapping[str, object]] = []
    queue = function({"decision": decision, "reason": "Because."}, seen)
    dead_letters = InMemoryDeadLetters()
    dead_letters.send(json.dumps(RECORD), origin="sensor watch", reason="no such order")
    redriver = Redriver(dead_letters, lambda: [Destination("sensor watch", "", queue, "shop-Watch")])

    [done] = redriver.redrive()

    assert (done.action, seen) == (action, [RECORD])
    assert dead_letters.count() == (action is RedriveAction.FAILED)
    wanted = "It stays in the queue: The record was not evaluated: Because."
    assert done.reason.startswith("To the function of sensor watch." if done.action == "SENT" else wanted)


def test_stream_sensors_are_destinations_by_their_functions() -> None:
    entries = [SensorEntry(name, "shop", "f", name) for name in ("stream", "schedule")]
    queues = SensorQueues(lambda: Registry({each.name: each for each in entries}), stack())

    [found] = queues.functions(InMemoryDeployment([]), InMemoryBlobStore())

    assert (found.origin, found.arn, found.function) == ("sensor stream", "", "f")


def test_dead_letter_of_a_record_is_named_by_its_event() -> None:
    assert subject_of(DeadLetter("id", "handle", json.dumps(RECORD), {})) == RECORD["eventID"]


@pytest.mark.parametrize("info", ["KinesisBatchInfo", "DDBStreamBatchInfo"])
@pytest.mark.parametrize(("name", "origin"), [("shop-Watch", "sensor watch"), ("shop-Other", "stream")])
def test_records_that_lambda_discarded_are_named_by_their_range(info: str, name: str, origin: str) -> None:
    lost = {
        "shardId": "shardId-7",
        "startSequenceNumber": "11",
        "endSequenceNumber": "22",
        "batchSize": 3,
        "streamArn": KINESIS,
    }
    body = {"requestContext": {"functionArn": f"arn:aws:lambda:r:1:function:{name}"}, info: lost}
    dead_letter = DeadLetter("id", "handle", json.dumps(body), {})
    destinations = [
        Destination("sensor watch", "", InMemoryQueue(), "shop-Watch"),
        Destination("publish", "arn:publish", InMemoryQueue(), "shop-Publish"),
    ]

    route = route_of(dead_letter, destinations)

    assert (route.origin, route.destination) == (origin, None)
    if origin == "sensor watch":
        assert not route.is_discardable
        assert f"3 records of {KINESIS}, shard shardId-7, from 11 to 22" in route.reason


# ---- Why


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (
            HealthSnapshot(),
            "No record e-1 was evaluated, and records are delivered: find out whether it was put",
        ),
        (
            HealthSnapshot(streams=(ConsumedStream(SENSOR, KINESIS, error="Stream x does not exist"),)),
            "No record e-1 was evaluated: stream x does not exist",
        ),
    ],
)
def test_record_that_never_came_is_explained_by_what_delivers_it(
    harness: EngineHarness, snapshot: HealthSnapshot, reason: str
) -> None:
    engine = S3Engine(harness)
    engine.kind = "stream"
    engine.health.found = snapshot

    assert reason in engine.why(event="e-1").summary
