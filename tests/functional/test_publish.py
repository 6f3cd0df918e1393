"""PUBLISH, and the sensors that its events set off, as deployed: streams, bus, queues and tables on moto."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from tests.functional.conftest import Deployment, LambdaContext, batch
from treadle import (
    DagsterRunStatus,
    JobDefinition,
    RunStatusSensorContext,
    all_succeeded,
    deadline_sensor,
    run_status_sensor,
)
from treadle import evaluator as handler_of
from treadle.adapters.dynamodb.runs import _item
from treadle.definitions.errors import SensorEvaluationError, SettingsError, StoreThrottledError
from treadle.engine.publish.publisher import Publisher
from treadle.model.assets import ended_runs_key
from treadle.model.runs import Reached, Run

NAMESPACE = "123456789012/us-east-1/test"
RUN_ID = "0c5b7a52-0000-5000-8000-000000000001"
BEFORE: Reached = {"1/0": {"QUEUED": 1_795_370_400_000}}
AFTER: Reached = {"1/0": {**BEFORE["1/0"], "STARTING": 1_795_370_401_000, "STARTED": 1_795_370_401_000}}
ENDED: Reached = {"1/0": {**AFTER["1/0"], "SUCCESS": 1_795_370_460_000}}


def run(run_id: str = RUN_ID, job: str = "load", reached: Reached = ENDED) -> Run:
    """Return a run's record that has reached the given statuses."""
    status = DagsterRunStatus.SUCCESS if reached is ENDED else DagsterRunStatus.STARTED
    tags = {"treadle/depth": "1", "team": "a", "long": "x" * 300}
    ended = 1_795_370_460_000 if reached is ENDED else None
    return Run(
        run_id, job, "new_files", "key", "tick", "{}", tags, 1_795_370_400_000, None, status,
        reached=reached, ended_at=ended,
    )  # fmt: skip


def change(after: Run, before: Reached | None = BEFORE) -> dict[str, Any]:
    """Return the stream's record of a change."""
    images: dict[str, Any] = {"NewImage": _item(after, 2), "Keys": {"run_id": {"S": after.run_id}}}
    if before is not None:
        images["OldImage"] = _item(replace(after, reached=before), 1)
    return {"eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": images}


@pytest.fixture
def published(deployment: Deployment) -> Any:
    """What a subscriber of the bus has got."""
    deployment.subscribe()
    return deployment.bus_events


def publish(deployment: Deployment, *changes: dict[str, Any]) -> Any:
    return deployment.invoke("engine/publish", {"Records": list(changes)})


def test_each_newly_reached_status_is_reported_once_in_order_and_an_end_is_numbered(
    deployment: Deployment, published: Any
) -> None:
    publish(deployment, change(run(reached=AFTER)), change(run(), AFTER))
    events = published()

    assert [(e["detail"]["status"], e["detail"]["number"]) for e in events] == [
        ("STARTING", 0),
        ("STARTED", 0),
        ("SUCCESS", 1),
    ]
    detail = events[2]["detail"]
    assert detail["id"] == f"{RUN_ID}/1/0/SUCCESS"
    assert (detail["namespace"], detail["version"]) == (NAMESPACE, 1)
    assert detail["tags"] == {"treadle/depth": "1", "team": "a"}
    assert [each.event_id for each in deployment.stores.events.after(ended_runs_key("load"), 0, 9)] == [
        detail["id"]
    ]


def test_engine_that_publishes_only_ends_numbers_them_and_publishes_no_other_status(
    deployment: Deployment, published: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.setenv(TREADLE_RUN_EVENTS="ends")

    publish(deployment, change(run(reached=AFTER)), change(run(), AFTER))

    [event] = published()
    assert (event["detail"]["status"], event["detail"]["number"]) == ("SUCCESS", 1)
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["StatusesPublished"] for line in counted if "StatusesPublished" in line] == [[1.0]]


def test_redelivery_reports_again_under_the_same_ids_and_numbers(
    deployment: Deployment, published: Any
) -> None:
    publish(deployment, change(run(), AFTER))
    publish(deployment, change(run(), AFTER))
    first, second = published()

    assert first["detail"] == second["detail"]
    assert len(deployment.stores.events.after(ended_runs_key("load"), 0, 9)) == 1


def test_change_without_a_new_status_reports_nothing(deployment: Deployment, published: Any) -> None:
    answer = publish(deployment, change(run(), ENDED))

    assert answer == {"batchItemFailures": []}
    assert published() == []


def test_status_that_was_assumed_and_is_then_reported_is_reported_once(
    deployment: Deployment, published: Any
) -> None:
    assumed: Reached = {"1/0": {**AFTER["1/0"], "FAILURE?": 1_795_370_460_000}}
    reported: Reached = {"1/0": {**assumed["1/0"], "FAILURE": 1_795_370_450_000}}
    publish(deployment, change(run(reached=assumed), AFTER), change(run(reached=reported), assumed))

    assert [event["detail"]["status"] for event in published()] == ["FAILURE"]


def test_record_that_cannot_be_read_is_a_dead_letter_and_those_behind_it_are_reported(
    deployment: Deployment, published: Any
) -> None:
    broken = change(run("0c5b7a52-0000-5000-8000-000000000002"), AFTER)
    broken["dynamodb"]["NewImage"]["reached"] = {"S": "no JSON"}
    publish(deployment, broken, change(run(), AFTER))
    [dead_letter] = deployment.messages("dead")

    assert len(published()) == 1
    assert json.loads(dead_letter["Body"])["keys"] == {
        "run_id": {"S": "0c5b7a52-0000-5000-8000-000000000002"}
    }
    assert dead_letter["MessageAttributes"]["origin"]["StringValue"] == "publish"


def test_what_a_throttled_store_keeps_from_being_published_is_published_later(
    deployment: Deployment, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployment.stores.runs.create(run()) is None
    whole = Publisher.publish

    def throttled(*_: Any) -> None:
        raise StoreThrottledError("too much to do")

    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "publish", throttled)
        publish(deployment, change(run(), AFTER))
    assert Publisher.publish is whole
    assert (published(), deployment.messages("dead")) == ([], [])
    messages = boto3.client("sqs").get_queue_attributes(
        QueueUrl=deployment.queues["publish"], AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )
    assert messages["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"
    later = {"treadle": "publish", "run_id": RUN_ID, "events": [f"{RUN_ID}/1/0/SUCCESS"]}
    deployment.invoke("engine/publish", batch(later))

    assert [event["detail"]["status"] for event in published()] == ["SUCCESS"]


def test_message_that_is_none_of_publishs_is_a_dead_letter(deployment: Deployment) -> None:
    deployment.invoke("engine/publish", batch({"treadle": "publish", "run_id": 1}))
    [dead_letter] = deployment.messages("dead")

    assert "The publish queue accepts" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_run_status_sensor_reads_the_record_that_its_event_points_to(
    deployment: Deployment, published: Any
) -> None:
    seen: list[RunStatusSensorContext] = []

    @run_status_sensor(DagsterRunStatus.SUCCESS, monitored_jobs=[JobDefinition("load")])
    def watch(context: RunStatusSensorContext) -> None:
        seen.append(context)

    assert deployment.stores.runs.create(run()) is None
    publish(deployment, change(run(), AFTER))
    body = published()[0]
    handler = handler_of(watch)
    for _ in range(2):
        assert handler(batch(body), LambdaContext()) == {"batchItemFailures": []}
    deployment.dispatch_pending()
    [context] = seen
    record = deployment.stores.runs.get(RUN_ID)
    [tick] = deployment.stores.ticks.latest("watch", 5)

    assert context.dagster_run.tags["long"] == "x" * 300  # The record's: the event leaves it out.
    assert tick.dispatched is not None
    assert record is not None
    assert [reaction.event_id for reaction in record.reactions] == [f"{RUN_ID}/1/0/SUCCESS"]


def test_event_that_gives_itself_out_as_another_accounts_is_a_dead_letter(
    deployment: Deployment, published: Any
) -> None:
    publish(deployment, change(run(), AFTER))
    forged = published()[0] | {"account": "999999999999"}

    @run_status_sensor(DagsterRunStatus.SUCCESS, monitor_all_code_locations=True)
    def watch() -> None:
        pytest.fail("a forged event was evaluated")

    handler_of(watch)(batch(forged), LambdaContext())
    [dead_letter] = deployment.messages("dead")

    assert "comes from 999999999999/us-east-1" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_function_that_fails_lets_its_message_come_again_soon_and_later_each_time(
    deployment: Deployment, published: Any
) -> None:
    @run_status_sensor(DagsterRunStatus.SUCCESS, monitor_all_code_locations=True)
    def alert() -> None:
        raise ConnectionError("down")

    publish(deployment, change(run(), AFTER))
    sqs, url = boto3.client("sqs"), deployment.queues["own"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(published()[0]))
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    event = batch(message["Body"])
    event["Records"][0]["receiptHandle"] = message["ReceiptHandle"]

    answer = handler_of(alert)(event, LambdaContext())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert "Messages" not in sqs.receive_message(QueueUrl=url)  # Postponed, though its visibility was none.


def test_wake_ups_of_a_batch_are_one_tick_that_reads_for_itself(
    deployment: Deployment, published: Any
) -> None:
    orders, customers, report = (JobDefinition(name) for name in ("orders", "customers", "report"))
    ready = all_succeeded("ready", jobs=[orders, customers], within=timedelta(days=3_650), request_job=report)
    publish(
        deployment,
        change(run("0c5b7a52-0000-5000-8000-00000000000a", "orders"), AFTER),
        change(run("0c5b7a52-0000-5000-8000-00000000000b", "customers"), AFTER),
    )
    handler = handler_of(ready)
    answer = handler(batch(*published()), LambdaContext())
    [tick] = deployment.stores.ticks.latest("ready", 5)

    assert answer == {"batchItemFailures": []}
    assert [request.job for request in tick.requests] == ["report"]
    assert tick.depth == 1


def test_wake_up_that_meets_a_running_tick_is_sent_again(deployment: Deployment) -> None:
    jobs = [JobDefinition("orders"), JobDefinition("customers")]
    ready = all_succeeded("ready", jobs=jobs, within=timedelta(days=1), request_job=JobDefinition("report"))
    handler = handler_of(ready)
    boto3.client("dynamodb").put_item(
        TableName=deployment.environment["TREADLE_SENSORS_TABLE"],
        Item={
            "sensor": {"S": "ready"},
            "epoch": {"N": "1"},
            "lease_owner": {"S": "somebody"},
            "lease_expires": {"N": "9999999999999"},
            "last_nominal": {"N": "1"},
        },
    )

    handler(batch({"treadle": "wake"}), LambdaContext())
    waiting = boto3.client("sqs").get_queue_attributes(
        QueueUrl=deployment.queues["own"], AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )

    assert waiting["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"


def test_deadline_is_held_back_for_the_grace_and_then_evaluated_in_its_time_zone(
    deployment: Deployment,
) -> None:
    reasons: list[str] = []

    @deadline_sensor(job=JobDefinition("load"), within=timedelta(days=1), grace=timedelta(0))
    def late(context: Any) -> None:
        reasons.append(context.reason)

    deployment.setenv(TREADLE_TIME_ZONE="Europe/Berlin")
    handler = handler_of(late)
    schedule = {"treadle": "deadline", "nominal_time": "2026-11-25T05:00:00Z"}
    held = handler(schedule, LambdaContext())
    [message] = deployment.messages("own")
    for _ in range(2):
        handler(batch(message["Body"]), LambdaContext())

    assert held["reason"] == "Will be evaluated in 0 s."
    assert reasons == ["Job load has not succeeded by 2026-11-25 06:00:00 CET: no run was requested."]


def test_unknown_time_zone_is_a_settings_error(deployment: Deployment) -> None:
    @deadline_sensor(job=JobDefinition("load"), within=timedelta(days=1))
    def late() -> None:
        """React."""

    deployment.setenv(TREADLE_TIME_ZONE="Mars/Olympus")

    with pytest.raises(SettingsError, match="must be a time zone such as Europe/Berlin"):
        handler_of(late)({"treadle": "deadline"}, LambdaContext())


def test_how_far_behind_its_events_a_sensor_is_is_measured(
    deployment: Deployment, published: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    @run_status_sensor(DagsterRunStatus.SUCCESS, monitor_all_code_locations=True)
    def watch() -> None:
        """React."""

    publish(deployment, change(run(), AFTER))
    handler_of(watch)(batch(published()[0]), LambdaContext())
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "EventAge" in line]
    [measured] = printed

    assert measured["sensor"] == "watch"
    assert measured["EventAge"][0] > 0
    assert measured["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "EventAge", "Unit": "Seconds"}]


@pytest.mark.parametrize("queued", [True, False], ids=["batch", "direct"])
def test_event_whose_evaluation_fails_is_counted_as_a_failed_tick_at_each_delivery(
    deployment: Deployment, published: Any, capsys: pytest.CaptureFixture[str], queued: bool
) -> None:
    """The alarm on failing evaluations watches this metric."""

    @run_status_sensor(DagsterRunStatus.SUCCESS, monitor_all_code_locations=True)
    def watch() -> None:
        raise ConnectionError("no such topic")

    publish(deployment, change(run(), AFTER))
    [message] = published()
    handler = handler_of(watch)
    for _ in range(2):
        if queued:
            assert handler(batch(message), LambdaContext())["batchItemFailures"]
        else:
            with pytest.raises(SensorEvaluationError, match="no such topic"):
                handler(json.loads(message) if isinstance(message, str) else message, LambdaContext())

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [line["TicksFailed"] for line in lines if "TicksFailed" in line] == [[1.0], [1.0]]
