"""An event sensor as it is deployed: queued events of any source, previews, dead letters, and what they cost."""

import json
from typing import Any

import pytest

from tests.functional.conftest import ON_BOTH, Deployment, LambdaContext, batch
from tests.support.dynamodb_meter import metered
from treadle import EventSensorContext, JobDefinition, RunRequest, TickStatus, event_sensor
from treadle.adapters import clients
from treadle.model.ticks import Tick

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "123456789012",
    "time": "2026-01-22T18:00:05Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {"anything": [1, "two"]},
}


@event_sensor(job=JobDefinition("process_file"))
def placed(context: EventSensorContext) -> RunRequest:
    """A run for each event."""
    if context.event.detail.get("is_bad"):
        raise ValueError("no such order")
    return RunRequest(run_config={"detail": dict(context.event.detail)})


def start(deployment: Deployment) -> None:
    """Deploy the sensor as the template does."""
    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
    deployment.setenv(TREADLE_DEFAULT_STATUS="RUNNING", TREADLE_KIND="event")
    deployment.handlers["placed"] = deployment.evaluator(placed)


def deliver(deployment: Deployment, *events: Any) -> Any:
    """Hand events to the sensor's function, as its queue does."""
    return deployment.handlers["placed"](batch(*events), LambdaContext())


def received(*receives: int) -> dict[str, Any]:
    """Return a batch of events, each of which was received as often as given."""
    found = batch(*({**EVENT, "id": f"event {number}"} for number in range(len(receives))))
    for record, number in zip(found["Records"], receives, strict=True):
        record["attributes"] = {**record["attributes"], "ApproximateReceiveCount": str(number)}
    return found


def ticks(deployment: Deployment) -> list[Tick]:
    return deployment.stores.ticks.latest("placed", 10)


@ON_BOTH
def test_each_event_is_a_tick_however_often_it_comes(deployment: Deployment) -> None:
    """Also one that other kinds of sensors would parse as an object's, and that lacks what these have."""
    start(deployment)

    for _ in range(3):
        assert deliver(deployment, EVENT, {**EVENT, "id": "another"}) == {"batchItemFailures": []}

    requests = [request for tick in ticks(deployment) for request in tick.requests]
    prefix = "123456789012/us-east-1/aws.s3"
    assert {request.run_key for request in requests} == {f"{prefix}/{EVENT['id']}", f"{prefix}/another"}
    assert [json.loads(request.run_config) for request in requests] == [{"detail": EVENT["detail"]}] * 2
    assert deployment.messages("dead") == []


@ON_BOTH
def test_what_is_no_event_is_a_dead_letter_with_the_reason(deployment: Deployment) -> None:
    start(deployment)

    assert deliver(deployment, {"order": 17}, EVENT) == {"batchItemFailures": []}

    [dead_letter] = deployment.messages("dead")
    assert dead_letter["MessageAttributes"]["origin"]["StringValue"] == "sensor placed"
    assert "missing or malformed field" in dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert len(ticks(deployment)) == 1


@ON_BOTH
def test_event_at_which_the_function_fails_comes_again_and_the_others_do_not(deployment: Deployment) -> None:
    start(deployment)

    answer = deliver(deployment, {**EVENT, "id": "bad", "detail": {"is_bad": True}}, EVENT)

    assert len(answer["batchItemFailures"]) == 1
    assert sorted(tick.status for tick in ticks(deployment)) == [TickStatus.FAILURE, TickStatus.SUCCESS]


@ON_BOTH
def test_event_delivered_again_is_evaluated_after_the_others_are_committed(deployment: Deployment) -> None:
    """It may be what the process died of, and must not take the others with it."""
    committed_before: dict[str, set[str]] = {}

    @event_sensor(name="placed", job=JobDefinition("process_file"))
    def look(context: EventSensorContext) -> RunRequest:
        keys = {str(request.run_key) for tick in ticks(deployment) for request in tick.requests}
        committed_before[context.event.id] = {key.rpartition("/")[2] for key in keys}
        return RunRequest()

    start(deployment)
    deployment.handlers["placed"] = deployment.evaluator(look)

    answer = deployment.handlers["placed"](received(2, 1, 1, 4), LambdaContext())

    assert answer == {"batchItemFailures": []}
    assert committed_before == {
        "event 1": set(),
        "event 2": set(),
        "event 0": {"event 1", "event 2"},
        "event 3": {"event 0", "event 1", "event 2"},
    }


@ON_BOTH
def test_preview_evaluates_an_event_and_commits_nothing(deployment: Deployment) -> None:
    start(deployment)

    previewed = deployment.handlers["placed"]({"treadle": "preview", "event": EVENT}, LambdaContext())

    assert [each["run_key"] for each in previewed["requests"]] == [
        f"123456789012/us-east-1/aws.s3/{EVENT['id']}"
    ]
    assert ticks(deployment) == []


@pytest.mark.parametrize(("number", "request_name"), [(1, "PutItem"), (10, "BatchExecuteStatement")])
def test_events_of_an_invocation_cost_one_request_and_one_write_each(
    deployment: Deployment, number: int, request_name: str
) -> None:
    start(deployment)
    clients.forget()

    with metered() as meter:
        deliver(deployment, EVENT)
        meter.reset()
        deliver(deployment, *({**EVENT, "id": f"event {each}"} for each in range(number)))

    assert [call.operation for call in meter.writes] == [request_name]
    assert meter.written_items == number
    # The sensor's state, whether the ticks exist, and whether the runs do.
    assert [call.operation for call in meter.reads] == ["GetItem", "BatchGetItem", "BatchGetItem"]
