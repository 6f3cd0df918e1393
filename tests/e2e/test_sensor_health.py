"""A deployed RECONCILE sees sensors that do not tick, and deployed sensors see whether their engine is there."""

import json
import time
from dataclasses import replace

from tests.e2e.deployment import MINUTE, SENSOR, Deployed, eventually
from treadle.model.engine_state import EngineRecord
from treadle.model.registry import KeptEntry
from treadle.testing.registry import sensor_text


def test_late_sensor_is_counted_and_announced(deployed: Deployed) -> None:
    sqs, events = deployed.client("sqs"), deployed.client("events")
    url = sqs.create_queue(QueueName="treadle-health")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"detail-type": ["Sensor Health Changed"]})
    bus = deployed.outputs["BusName"]
    events.put_rule(Name="treadle-health", EventBusName=bus, EventPattern=pattern)
    events.put_targets(Rule="treadle-health", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    store, now = deployed.stores.registry, int(time.time() * 1000)
    copy = store.copy()
    # As RECONCILE has known it for ten minutes, and listed Parameter Store a moment ago.
    ghost = KeptEntry(sensor_text("ghosts"), now, changed_at=now - 10 * MINUTE)
    assert store.replace(replace(copy, entries={**copy.entries, "sensors/ghost": ghost}, listed_at=now))
    deployed.restart("Reconcile")  # The copy of the registry in its process may be a minute old.

    answer = deployed.invoke("Reconcile", {"treadle": "reconcile"})

    assert (answer.value["late"], answer.value["failed"]) == (["ghost"], 0)
    [message] = eventually(
        lambda: sqs.receive_message(QueueUrl=url).get("Messages", []), "the change is announced"
    )
    detail = json.loads(message["Body"])["detail"]
    assert (detail["sensor"], detail["project"], detail["status"]) == ("ghost", "ghosts", "LATE")
    assert store.replace(replace(store.copy(), entries=copy.entries))


def test_sensor_ticks_for_the_engine_that_it_was_deployed_for_and_no_other(deployed: Deployed) -> None:
    name = deployed.function("NewObjects")
    variables = deployed.client("lambda").get_function_configuration(FunctionName=name)["Environment"][
        "Variables"
    ]
    engine, now = deployed.stores.engine, int(time.time() * 1000)
    assert variables["TREADLE_ENGINE_ID"] == deployed.contract["engine_id"]

    try:
        engine.write(EngineRecord("another", now))
        # Each new process checks.
        deployed.client("lambda").update_function_configuration(
            FunctionName=name, Environment={"Variables": {**variables, "RESTARTED": "1"}}
        )
        deployed.let_time_pass()
        answer = eventually(
            lambda: [each for each in [deployed.tick()] if each.failed],
            "the sensor has a new process",
            seconds=60,
        )[0]
        assert "its tables now belong to engine another" in answer.value["errorMessage"]
        before = deployed.stores.sensors.get(SENSOR)
        assert deployed.tick().failed
        assert deployed.stores.sensors.get(SENSOR) == before
    finally:
        engine.write(EngineRecord(deployed.contract["engine_id"], now + 1_440 * MINUTE))
        deployed.client("lambda").update_function_configuration(
            FunctionName=name, Environment={"Variables": variables}
        )
    deployed.let_time_pass()
    assert eventually(
        lambda: deployed.tick().value.get("decision") in {"SUCCESS", "SKIPPED"}, "it ticks again", seconds=60
    )
