"""DISPATCH's queue takes a whole tick, by its name, as often as it is sent."""

import json

import pytest

from tests.functional.conftest import Deployment, batch, object_created
from treadle.definitions.status import TickStatus
from treadle.engine.messages import TickRequest
from treadle.model.ticks import ErrorInfo, Tick, TickKind


def committed(deployment: Deployment) -> Tick:
    """Return a tick of one request that the stream has lost."""
    deployment.invoke("sensors/new_objects", object_created("a.csv", deployment.put("a.csv")))
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    return tick


def test_a_tick_that_the_stream_lost_is_dispatched_by_its_name_once(deployment: Deployment) -> None:
    tick = committed(deployment)
    message = TickRequest(tick.sensor, tick.tick_id).to_json()

    answer = deployment.invoke("engine/dispatch", batch(message, message))

    assert answer == {"batchItemFailures": []}
    [found] = deployment.stores.ticks.latest("new_objects", 5)
    assert found.dispatched is not None
    assert found.dispatched.started == 1
    [launch] = deployment.messages("launch")
    assert json.loads(launch["Body"])["run_id"] == tick.requests[0].run_id


def test_a_pause_that_was_not_published_is_published_again(deployment: Deployment) -> None:
    deployment.subscribe()
    tick = Tick(
        "watch",
        "2026-11-22T18:00:00.000Z-000000001",
        TickKind.LEASED,
        TickStatus.FAILURE,
        0,
        0,
        0,
        error=ErrorInfo("ValueError", "no such table"),
        paused="Paused after 3 failures in a row.",
    )
    deployment.stores.ticks.put(tick)

    deployment.invoke("engine/dispatch", batch(TickRequest(tick.sensor, tick.tick_id).to_json()))

    [event] = deployment.bus_events()
    assert event["detail"]["tick_id"] == tick.tick_id


@pytest.mark.parametrize("body", [{"slice": 0}, {"of": 2}], ids=str)
def test_half_a_chunk_is_no_whole_tick(deployment: Deployment, body: dict[str, object]) -> None:
    tick = committed(deployment)

    deployment.invoke("engine/dispatch", batch({**TickRequest(tick.sensor, tick.tick_id).to_json(), **body}))

    [dead_letter] = deployment.messages("dead")
    assert "The dispatch queue accepts" in dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert deployment.messages("launch") == []


def test_a_stream_record_without_keys_becomes_a_dead_letter_whole(deployment: Deployment) -> None:
    record = {"eventName": "INSERT", "dynamodb": {"NewImage": {"a": {"B": b"\x00"}}}}

    deployment.invoke("engine/dispatch", {"Records": [record]})

    [dead_letter] = deployment.messages("dead")
    assert json.loads(dead_letter["Body"])["eventName"] == "INSERT"
