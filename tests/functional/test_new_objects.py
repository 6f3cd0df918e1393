"""The sensor new_objects as a Lambda function."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from tests.functional.conftest import (
    BUCKET,
    ON_BOTH,
    Deployment,
    LambdaContext,
    batch,
    object_created,
    sample,
)
from tests.support.dynamodb_meter import metered
from treadle import RunRequest, SensorDefinition, SensorResult, evaluator
from treadle.adapters import clients
from treadle.definitions.errors import UnknownEventError
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.model.sensors import LeaseRequest

SENSOR = "sensors/new_objects"


def ago(seconds: int) -> int:
    return (int(time.time()) - seconds) * 1000


@ON_BOTH
def test_a_scheduled_tick_sweeps_and_requests_a_run_per_object(deployment: Deployment) -> None:
    etag = deployment.put("in/a.csv")

    answer = deployment.invoke(SENSOR, sample("new_objects-schedule"))

    assert answer["decision"] == "SUCCESS"
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert [run.run_key for run in tick.requests] == [f"s3://{BUCKET}/in/a.csv#{etag}"]
    assert json.loads(tick.requests[0].run_config)["size"] == 8


@ON_BOTH
def test_the_same_scheduled_time_ticks_once(deployment: Deployment) -> None:
    event = sample("new_objects-schedule")
    deployment.invoke(SENSOR, event)

    assert deployment.invoke(SENSOR, event)["decision"] == "NOT_DUE"


@ON_BOTH
def test_a_schedule_that_does_not_resolve_its_time_ticks_for_the_present_minute(
    deployment: Deployment,
) -> None:
    event = {"treadle": "tick", "nominal_time": "<aws.scheduler.scheduled-time>"}

    answer = deployment.invoke(SENSOR, event)

    assert answer["subject"].split("-0000")[0].endswith(":00.000Z")


@ON_BOTH
def test_a_direct_tick_needs_no_time(deployment: Deployment) -> None:
    assert deployment.invoke(SENSOR, sample("new_objects-direct"))["decision"] == "SKIPPED"


@ON_BOTH
def test_event_and_sweep_of_one_object_give_one_run(deployment: Deployment) -> None:
    etag = deployment.put("in/a.csv")
    deployment.invoke(SENSOR, batch(object_created("in/a.csv", etag)))
    deployment.dispatch_pending()

    answer = deployment.invoke(SENSOR, sample("new_objects-schedule"))

    assert (answer["decision"], answer["count"]) == ("SKIPPED", 0)


@ON_BOTH
def test_the_sample_batch_commits_one_event_tick(deployment: Deployment) -> None:
    answer = deployment.invoke(SENSOR, sample("new_objects-s3-object-created"))

    assert answer == {"batchItemFailures": []}
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert (tick.status, len(tick.requests)) == (TickStatus.SUCCESS, 1)
    assert "orders 1.csv" in (tick.trigger or "")


@ON_BOTH
def test_an_event_of_the_future_becomes_a_dead_letter_and_those_beside_it_are_evaluated(
    deployment: Deployment,
) -> None:
    """Its tick would be the newest of the sensor's, whatever comes, until that time."""
    ahead = {**object_created("in/ahead.csv", "e1"), "time": "2099-01-01T00:00:00Z"}

    answer = deployment.invoke(SENSOR, batch(ahead, object_created("in/now.csv", "e2")))

    assert answer == {"batchItemFailures": []}
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert "in/now.csv" in (tick.trigger or "")
    [dead_letter] = deployment.messages("dead")
    assert "which is in the future" in str(dead_letter)


def test_a_deadline_of_the_future_is_refused(deployment: Deployment) -> None:
    message = {"treadle": "deadline", "nominal_time": "2099-01-01T06:00:00Z"}

    assert deployment.invoke(SENSOR, batch(message)) == {"batchItemFailures": []}
    assert "which is in the future" in str(deployment.messages("dead"))


@ON_BOTH
def test_an_event_invoked_directly_is_evaluated_too(deployment: Deployment) -> None:
    answer = deployment.invoke(SENSOR, sample("new_objects-s3-event-direct"))

    assert (answer["decision"], answer["count"]) == ("SUCCESS", 1)


@ON_BOTH
def test_a_second_delivery_of_an_event_is_a_duplicate(deployment: Deployment) -> None:
    event = sample("new_objects-s3-event-direct")
    deployment.invoke(SENSOR, event)

    assert deployment.invoke(SENSOR, event)["decision"] == "DUPLICATE"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("no json", "is not JSON"),
        ('["a list"]', "must be a JSON object"),
        ('{"source":"aws.ec2","detail-type":"x"}', "Unknown event type aws.ec2 / x"),
        ('{"source":"aws.s3","detail-type":"Object Created","detail":{}}', "missing or malformed field"),
        ('{"treadle":"tick"}', "Unknown event type"),
    ],
)
def test_an_unknown_event_ends_as_a_dead_letter_with_the_reason_and_the_rest_proceeds(
    deployment: Deployment, body: str, expected: str
) -> None:
    answer = deployment.invoke(SENSOR, batch(body, object_created("in/a.csv", "e1")))

    assert answer == {"batchItemFailures": []}
    assert len(deployment.stores.ticks.latest("new_objects", 5)) == 1
    [dead_letter] = deployment.messages("dead")
    assert dead_letter["Body"] == body
    assert expected in dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert dead_letter["MessageAttributes"]["origin"]["StringValue"] == "sensor new_objects"


@ON_BOTH
def test_an_event_outside_the_selection_is_skipped_with_the_reason(deployment: Deployment) -> None:
    deployment.setenv(TREADLE_S3_SUFFIX=".csv")

    deployment.invoke(SENSOR, batch(object_created("in/a.txt", "e1")))

    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert tick.status is TickStatus.SKIPPED
    assert "is not watched" in (tick.reason or "")


@ON_BOTH
def test_a_stopped_sensor_takes_no_tick_and_drops_events(deployment: Deployment) -> None:
    deployment.setenv(TREADLE_DEFAULT_STATUS="STOPPED")

    tick = deployment.invoke(SENSOR, sample("new_objects-schedule"))
    event = deployment.invoke(SENSOR, sample("new_objects-s3-event-direct"))

    assert (tick["decision"], event["decision"]) == ("STOPPED", "STOPPED")
    assert deployment.stores.ticks.latest("new_objects", 5) == []


def test_all_that_is_missing_from_the_environment_is_named_at_once(deployment: Deployment) -> None:
    deployment.setenv(TREADLE_DEFAULT_STATUS="MAYBE", TREADLE_INTERVAL_SECONDS="often")
    deployment.monkeypatch.delenv("TREADLE_RUNS_TABLE")

    with pytest.raises(Exception, match="environment does not fit") as caught:
        deployment.invoke(SENSOR, sample("new_objects-schedule"))

    for expected in ("TREADLE_RUNS_TABLE", "MAYBE", "often"):
        assert expected in str(caught.value)


def test_every_log_line_of_a_tick_is_json_and_names_sensor_and_tick(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.put("in/a.csv")
    for handler in logging.getLogger("treadle").handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(sys.stdout)

    deployment.invoke(SENSOR, sample("new_objects-schedule"))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logged: list[dict[str, Any]] = [line for line in lines if "level" in line]
    assert {line["sensor"] for line in logged} == {"new_objects"}
    assert all(line["tick_id"].startswith("2026-11-22T18:00") for line in logged)
    assert any("s3://treadle-watched-bucket/in/a.csv" in line["message"] for line in logged)
    # The bucket is silent, as moto never says that one sends its events to EventBridge.
    age, silent, counted = [line for line in lines if "_aws" in line]
    assert (silent["sensor"], silent["BucketEventsDisabled"]) == ("new_objects", [1.0])
    assert counted["TicksSucceeded"] == [1.0]
    assert age["sensor"] == "new_objects"
    assert 0 <= age["SweepAge"][0] < 60


def test_a_preview_shows_what_a_tick_would_do_and_what_holds_and_commits_nothing(
    deployment: Deployment,
) -> None:
    deployment.put("in/a.csv")
    deployment.put("in/b.csv", b"other")
    deployment.invoke(SENSOR, batch(object_created("in/a.csv", deployment.put("in/a.csv"))))
    deployment.dispatch_pending()

    answer = deployment.invoke(SENSOR, sample("new_objects-preview"))

    assert [json.loads(each["run_config"])["key"] for each in answer["requests"]] == ["in/b.csv"]
    assert answer["decision"] == "SUCCESS"
    assert (answer["cursor_before"], bool(answer["cursor_after"])) == (None, True)
    assert answer["settings"] == {
        "interval_seconds": 60.0,
        "phase_seconds": 0.0,
        "default_status": "RUNNING",
        "pause_after": 0,
    }
    assert deployment.stores.sensors.get("new_objects").epoch == 0
    assert len(deployment.stores.ticks.latest("new_objects", 5)) == 1


@ON_BOTH
def test_a_preview_of_an_event_evaluates_that_event(deployment: Deployment) -> None:
    event = sample("new_objects-s3-event-direct")

    answer = deployment.invoke(SENSOR, {"treadle": "preview", "event": event})

    assert len(answer["requests"]) == 1
    assert deployment.stores.ticks.latest("new_objects", 5) == []


def test_a_sensor_that_is_queried_describes_itself_and_evaluates_nothing(deployment: Deployment) -> None:
    deployment.put("in/a.csv")

    described = deployment.invoke(SENSOR, {"treadle": "describe"})

    assert (described["name"], described["jobs"]) == ("new_objects", ["process_file"])
    assert described["selection"]["bucket"] == BUCKET
    assert deployment.stores.ticks.latest("new_objects", 5) == []
    assert deployment.stores.sensors.get("new_objects").last_scheduled_for is None


@pytest.mark.parametrize("command", ["tick", "preview", "describe"])
def test_a_command_inside_a_record_is_not_obeyed(deployment: Deployment, command: str) -> None:
    deployment.put("in/a.csv")

    deployment.invoke(SENSOR, batch({"treadle": command}))

    assert deployment.stores.sensors.get("new_objects").epoch == 0
    [dead_letter] = deployment.messages("dead")
    assert "Unknown event type None" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_a_slot_that_was_sent_ahead_ticks(deployment: Deployment) -> None:
    deployment.invoke(SENSOR, batch({"treadle": "slot", "nominal_time": "2026-11-22T18:00:15.000Z"}))

    assert deployment.stores.sensors.get("new_objects").epoch == 1
    assert deployment.messages("dead") == []


def test_an_event_that_is_too_early_is_sent_again_delayed_before_it_is_acknowledged(
    deployment: Deployment,
) -> None:
    deployment.setenv(TREADLE_S3_SETTLE_SECONDS="3600")
    etag = deployment.put("in/a b+ü.csv")
    event = object_created("in/a b+ü.csv", etag, time=datetime.now(UTC).isoformat())
    sent: list[dict[str, Any]] = []

    def watch(params: dict[str, Any], **_: object) -> None:
        sent.append(params)

    clients.client("sqs").meta.events.register("provide-client-params.sqs.SendMessageBatch", watch)

    answer = deployment.invoke(SENSOR, batch(event))

    assert answer == {"batchItemFailures": []}
    assert deployment.stores.ticks.latest("new_objects", 5) == []
    [[entry]] = [params["Entries"] for params in sent]
    assert entry["DelaySeconds"] == 900
    assert json.loads(entry["MessageBody"]) == {**event, "hops": 1}


def test_an_event_that_cannot_be_sent_again_is_delivered_again(deployment: Deployment) -> None:
    deployment.setenv(TREADLE_S3_SETTLE_SECONDS="60")
    etag = deployment.put("in/a.csv")
    boto3.client("sqs").delete_queue(QueueUrl=deployment.queues["own"])

    answer = deployment.invoke(
        SENSOR, batch(object_created("in/a.csv", etag, time=datetime.now(UTC).isoformat()))
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_an_event_is_checked_by_listing_its_own_key(deployment: Deployment) -> None:
    deployment.setenv(TREADLE_S3_SETTLE_SECONDS="1")
    etag = deployment.put("in/a.csv")
    deployment.put("in/a.csv.old")
    at = datetime.now(UTC).isoformat()
    time.sleep(2)

    deployment.invoke(SENSOR, batch(object_created("in/a.csv", etag, time=at)))
    deployment.invoke(SENSOR, batch(object_created("in/a.cs", etag, time=at)))

    ticks = deployment.stores.ticks.latest("new_objects", 5)
    assert {tick.status: tick.reason for tick in ticks} == {
        TickStatus.SUCCESS: None,
        TickStatus.SKIPPED: "s3://treadle-watched-bucket/in/a.cs is gone: it was deleted before it had been "
        "unchanged for 1 s.",
    }


AWKWARD = [
    "in/a b.csv",
    "in/a+b.csv",
    "in/a%20b%2F.csv",
    "in/ü/日本/😀.csv",
    "in/a&b=c?d#e.csv",
    "in/'\"<>\\.csv",
    "in/" + "ü" * 508 + "x.csv",
]


@pytest.mark.parametrize("key", AWKWARD)
@pytest.mark.parametrize("by", ["event", "sweep"])
def test_an_awkward_key_is_itself_all_the_way_to_the_job(deployment: Deployment, key: str, by: str) -> None:
    etag = deployment.put(key)
    event = batch(object_created(key, etag)) if by == "event" else sample("new_objects-schedule")

    deployment.invoke(SENSOR, event)
    deployment.dispatch_pending()
    deployment.launch_queued()

    [name] = deployment.executions()
    arn = deployment.machine.replace(":stateMachine:", ":execution:") + f":{name}"
    given = boto3.client("stepfunctions").describe_execution(executionArn=arn)["input"]
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert tick.requests[0].run_key == f"s3://{BUCKET}/{key}#{etag}"
    assert json.loads(given)["run_config"]["key"] == key


def test_a_page_of_a_thousand_keys_is_checked_in_ten_requests(deployment: Deployment) -> None:
    """Page by page, as the sweep reads it."""
    with metered() as meter:
        stores = deployment.fresh_stores()

        assert stores.runs.key_states({f"run-{number}": None for number in range(1_000)}) == {}

    assert [call.operation for call in meter.calls] == ["BatchGetItem"] * 10


def test_tick_at_once_is_an_operators_request_as_the_outer_event_only(deployment: Deployment) -> None:
    """The interval is not awaited; inside a record it is no event, and ends as a dead letter."""
    command = {"treadle": "tick", "at_once": True}
    deployment.put("a.csv")

    first = deployment.invoke(SENSOR, command)
    deployment.put("b.csv")
    second = deployment.invoke(SENSOR, command)
    deployment.invoke(SENSOR, batch(command))

    assert [first["decision"], second["decision"]] == ["SUCCESS", "SUCCESS"]
    assert len(deployment.stores.ticks.latest("new_objects", 5)) == 2
    [dead_letter] = deployment.messages("dead")
    assert "Unknown event type None" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_death_of_the_tick_before_counts_as_a_failed_tick(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = LeaseRequest("new_objects", "dead", ago(120), 0, ago(120), ago(60), DefaultSensorStatus.RUNNING)
    deployment.stores.sensors.acquire(lease)

    deployment.invoke(SENSOR, sample("new_objects-direct"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [counted] = [line for line in lines if "TicksFailed" in line]

    assert counted["TicksFailed"] == [1.0]


MOST_OF_AN_ANSWER = 6_291_556
"""Bytes that Lambda returns of an invocation that waits ("Lambda quotas" in its developer guide)."""


def test_a_preview_of_many_requests_fits_into_an_answer_and_counts_the_others(deployment: Deployment) -> None:
    del deployment
    requested = [RunRequest(f"key {number}", {"x": "a" * 1_400}) for number in range(9_000)]
    cursor = "\x01" * 300_000
    handler = evaluator(
        SensorDefinition(
            "new_objects",
            evaluation_fn=lambda: SensorResult(requested, cursor=cursor),
            job_name="process_file",
        )
    )

    answer = handler({"treadle": "preview", "cursor": cursor}, LambdaContext())

    assert len(json.dumps(answer)) < MOST_OF_AN_ANSWER
    assert len(answer["requests"]) > 1_000
    assert len(answer["requests"]) + answer["left_out"]["requests"] == len(requested)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"]
)
def test_a_scheduled_time_that_no_record_can_have_is_refused_and_the_sensor_ticks_on(
    deployment: Deployment, text: str
) -> None:
    with pytest.raises(UnknownEventError, match="must be a time from 1970 to 9998"):
        deployment.invoke(SENSOR, {"treadle": "tick", "nominal_time": text})

    assert deployment.invoke(SENSOR, sample("new_objects-schedule"))["decision"] == "SKIPPED"


@pytest.mark.parametrize("event", [5, "x", ["a"], {"source": "caf\udce9"}])
def test_a_preview_of_no_event_says_so(deployment: Deployment, event: Any) -> None:
    with pytest.raises(UnknownEventError) as refused:
        deployment.invoke(SENSOR, {"treadle": "preview", "event": event})
    assert str(refused.value).encode()
