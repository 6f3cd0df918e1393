"""A sensor that does not tick is a metric, an alarm and an event; one whose engine is gone stops with a message."""

import json
import time
from dataclasses import replace
from typing import Any

import boto3
import pytest

from tests.functional.conftest import ENGINE, Deployment, LambdaContext, batch, object_created, sample
from tests.support.dynamodb_meter import metered
from treadle import RunRequest, evaluator, sensor
from treadle.definitions.errors import EngineMismatchError
from treadle.entrypoints import metric_names
from treadle.model.engine_state import EngineRecord
from treadle.model.registry import KeptEntry
from treadle.testing.registry import sensor_text

MINUTE = 60_000
TICK = {"treadle": "tick", "nominal_time": "2026-11-22T18:00:00Z"}
OTHER = "c0ffee00-cb8e-11f0-8a3c-0a58a9feac02"


@sensor(job_name="process_file", minimum_interval_seconds=60)
def daily() -> RunRequest:
    """Requests a run each time."""
    return RunRequest()


def now() -> int:
    return int(time.time() * 1000)


def registered_before(deployment: Deployment, minutes: int, **fields: str) -> None:
    """Register the sensor as RECONCILE has known it for a while, and listed it a moment ago."""
    store = deployment.stores.registry
    copy = store.copy()
    entry = KeptEntry(sensor_text("shop", **fields), now(), changed_at=now() - minutes * MINUTE)
    assert store.replace(replace(copy, entries={**copy.entries, "sensors/daily": entry}, listed_at=now()))
    name, text = f"/treadle/{ENGINE}/sensors/daily", entry.text
    boto3.client("ssm").put_parameter(Name=name, Value=text, Type="String", Overwrite=True)


def reconcile(deployment: Deployment) -> Any:
    return deployment.invoke("engine/reconcile", sample("reconcile-schedule"))


def test_sensor_that_does_not_tick_is_counted_by_its_name_and_announced_once_each_way(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.subscribe()
    registered_before(deployment, 5)

    answers = [reconcile(deployment)["late"] for _ in range(2)]

    assert answers == [("daily",)] * 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    of_engine = [line for line in lines if "sensor" not in line]
    assert [line[metric_names.SENSORS_LATE] for line in of_engine] == [[1.0]] * 2
    assert [line[metric_names.ACTION_NEEDED] for line in of_engine] == [[1.0]] * 2
    list_by_sensor = [line for line in lines if "sensor" in line]
    assert [(line["sensor"], line[metric_names.SENSOR_LATE]) for line in list_by_sensor] == [
        ("daily", [1.0])
    ] * 2
    [event] = deployment.bus_events()
    assert (event["detail-type"], event["detail"]["status"]) == ("Sensor Health Changed", "LATE")
    assert (event["detail"]["sensor"], event["detail"]["project"]) == ("daily", "shop")

    deployment.setenv(TREADLE_INTERVAL_SECONDS="60")
    evaluator(daily)({"treadle": "tick", "at_once": True}, LambdaContext())

    assert reconcile(deployment)["late"] == ()
    [event] = deployment.bus_events()
    assert (event["detail"]["status"], event["detail"]["reason"]) == ("HEALTHY", "It is ticking again.")


def test_sensor_right_after_its_deployment_is_not_late(deployment: Deployment) -> None:
    deployment.subscribe()
    registered_before(deployment, 2)

    assert reconcile(deployment)["late"] == ()
    assert deployment.bus_events() == []


def test_tick_and_events_stop_if_another_engine_reads_the_tables_and_nothing_is_lost(
    deployment: Deployment,
) -> None:
    """The engine was deleted, and deployed again over the same tables; the project was not."""
    reconcile(deployment)
    deployment.setenv(TREADLE_ENGINE_ID=OTHER)
    handler = evaluator(daily)
    event = batch(object_created("in/a.csv", "e1"))

    with pytest.raises(EngineMismatchError, match="Deploy the project again"):
        handler(TICK, LambdaContext())
    answer = deployment.invoke("sensors/new_objects", event)

    assert len(answer["batchItemFailures"]) == 1  # It comes again.
    assert deployment.stores.sensors.get("daily").last_scheduled_for is None
    assert deployment.stores.ticks.latest("new_objects", 5) == []
    event["Records"][0]["attributes"] = {"ApproximateReceiveCount": "5"}
    assert deployment.invoke("sensors/new_objects", event)["batchItemFailures"] == []
    [dead_letter] = deployment.messages("dead")
    assert dead_letter["MessageAttributes"]["reason"]["StringValue"].startswith("EngineMismatchError: ")
    assert json.loads(dead_letter["Body"])["detail"]["object"]["key"] == "in/a.csv"


def test_operator_sees_what_a_sensor_would_do_whatever_engine_there_is(deployment: Deployment) -> None:
    reconcile(deployment)
    deployment.setenv(TREADLE_ENGINE_ID=OTHER)

    assert evaluator(daily)({"treadle": "preview"}, LambdaContext())["decision"] == "SUCCESS"
    assert evaluator(daily)({"treadle": "describe"}, LambdaContext())["jobs"] == ["process_file"]


def test_engine_that_has_not_run_for_an_hour_stops_its_sensors(deployment: Deployment) -> None:
    own = deployment.environment["TREADLE_ENGINE_ID"]
    deployment.stores.engine.write(EngineRecord(own, now() - 61 * MINUTE))

    with pytest.raises(EngineMismatchError, match="If its stack was deleted"):
        evaluator(daily)(TICK, LambdaContext())
    reconcile(deployment)
    assert evaluator(daily)(TICK, LambdaContext())["decision"] == "SUCCESS"


def test_sensor_of_another_project_inherits_no_state_of_its_name(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its ticks fail, and its events come again until the dead-letter queue keeps them."""
    deployment.setenv(TREADLE_PROJECT="shop")
    assert evaluator(daily)(TICK, LambdaContext())["decision"] == "SUCCESS"
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    state = deployment.stores.sensors.get("daily")

    deployment.setenv(TREADLE_PROJECT="lake")
    refused = evaluator(daily)({"treadle": "tick", "at_once": True}, LambdaContext())
    event = batch(object_created("in/b.csv", "e2"))
    answer = deployment.invoke("sensors/new_objects", event)

    assert refused["decision"] == "FAILURE"
    assert "its state belongs to project shop, and its function to project lake" in refused["reason"]
    assert deployment.stores.sensors.get("daily") == state
    assert deployment.stores.sensors.get("new_objects").project == "shop"
    assert len(answer["batchItemFailures"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert sum(metric_names.TICKS_FAILED in line for line in lines) >= 2
    event["Records"][0]["attributes"] = {"ApproximateReceiveCount": "5"}
    deployment.invoke("sensors/new_objects", event)
    [dead_letter] = deployment.messages("dead")
    assert json.loads(dead_letter["Body"])["detail"]["object"]["key"] == "in/b.csv"


def test_owner_of_a_state_costs_a_tick_no_request(deployment: Deployment) -> None:
    """The events of a sensor cost one, once."""
    counted = []
    with metered() as meter:
        for project in ("", "shop"):
            deployment.setenv(TREADLE_PROJECT=project, TREADLE_ENGINE_ID="")
            handler = evaluator(daily)
            for number in range(2):
                handler({"treadle": "tick", "at_once": True}, LambdaContext())
                of_ticks = [call.operation for call in meter.calls]
                meter.reset()
                deployment.invoke("sensors/new_objects", object_created(f"{project}{number}", "e1"))
                counted.append((of_ticks, [call.operation for call in meter.calls]))
                meter.reset()

    ticks, events = zip(*counted[1:], strict=True)
    assert ticks[0]
    assert ticks[1:] == ticks[:1] * 2
    assert [sorted(each) for each in events[1:]] == [sorted([*events[0], "UpdateItem"]), sorted(events[0])]


def test_engine_costs_a_tick_no_request_but_the_first_of_a_process(deployment: Deployment) -> None:
    reconcile(deployment)
    counted = []
    with metered() as meter:
        deployment.setenv()
        handler = evaluator(daily)
        for _ in range(3):
            handler({"treadle": "tick", "at_once": True}, LambdaContext())
            counted.append([call.operation for call in meter.calls])
            meter.reset()

    assert counted[1]
    assert counted[0] == ["GetItem", *counted[1]]
    assert counted[1] == counted[2]
