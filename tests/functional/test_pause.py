"""A sensor that fails repeatedly is paused, and Treadle publishes that on its bus."""

import boto3

from tests.functional.conftest import Deployment, LambdaContext
from tests.support.streams import as_record
from treadle import RunRequest, evaluator, sensor
from treadle.definitions.status import InstigatorStatus


@sensor(job_name="process_file", minimum_interval_seconds=60)
def failing() -> RunRequest:
    """Never works."""
    raise ValueError("no such table")


def test_a_sensor_that_fails_too_often_is_paused_and_the_bus_is_notified_of_it(
    deployment: Deployment,
) -> None:
    deployment.setenv(TREADLE_PAUSE_AFTER="2", TREADLE_INTERVAL_SECONDS="0")
    handler = evaluator(failing)
    deployment.subscribe()

    for minute in (1, 2, 3):
        event = {"treadle": "tick", "nominal_time": f"2026-11-22T18:0{minute}:00Z"}
        handler(event, LambdaContext())

    state = deployment.stores.sensors.get("failing")
    assert (state.status, state.failure_streak) == (InstigatorStatus.STOPPED, 2)
    ticks = deployment.stores.ticks.latest("failing", 5)
    assert [bool(tick.paused) for tick in ticks] == [True, False]
    key = {"sensor": {"S": "failing"}, "tick_id": {"S": ticks[0].tick_id}}
    table = deployment.environment["TREADLE_TICKS_TABLE"]
    item = boto3.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
    deployment.invoke("engine/dispatch", {"Records": [as_record(item)]})
    [bus_event] = deployment.bus_events()
    assert (bus_event["source"], bus_event["detail-type"]) == ("treadle", "Sensor Paused")
    assert bus_event["detail"]["sensor"] == "failing"
    assert "Paused after 2 failures in a row" in bus_event["detail"]["reason"]
    assert "no such table" in bus_event["detail"]["reason"]
