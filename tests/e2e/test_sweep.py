"""Objects without an event are found by the sweep, and start one run each."""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e.deployment import SENSOR, Deployed, attempts, eventually, fresh_key
from treadle.definitions.status import DagsterRunStatus, TickStatus


@pytest.fixture
def tap(deployed: Deployed) -> Iterator[str]:
    """URL of a queue that gets every event of the bucket, whatever becomes of the sensor's own rule."""
    sqs, events = deployed.client("sqs"), deployed.client("events")
    name = f"tap-{uuid4().hex[:8]}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [deployed.bucket]}}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "tap", "Arn": arn}])
    yield str(url)
    events.remove_targets(Rule=name, Ids=["tap"])
    events.delete_rule(Name=name)
    sqs.delete_queue(QueueUrl=url)


def test_an_unannounced_object_is_found_by_the_sweep_and_its_late_event_starts_nothing(
    deployed: Deployed, tap: str
) -> None:
    key = fresh_key("unannounced")
    with deployed.without_events():
        deployed.upload(key)
        [message] = eventually(
            lambda: deployed.client("sqs").receive_message(QueueUrl=tap).get("Messages"), "the event tapped"
        )
        assert key in message["Body"]

        deployed.let_time_pass()
        swept = deployed.tick()

        assert swept.value["decision"] == "SUCCESS"
        run = deployed.ended_run(key)
        assert run.status is DagsterRunStatus.SUCCESS
        assert run.tick_id == swept.value["subject"]
        assert deployed.event_ticks(key) == []

    deployed.send("NewObjects", message["Body"])

    [late] = eventually(lambda: deployed.event_ticks(key), f"the late event of {key} was evaluated")
    assert late.status is TickStatus.SKIPPED
    assert late.existing_keys == (run.run_key,)
    assert attempts(deployed.runs_of(key)) == attempts([run])
    assert deployed.executions(run) == [run.launch_id]


def test_what_an_event_announced_is_nothing_new_to_the_sweep(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    run = deployed.ended_run(key)
    deployed.let_time_pass()

    swept = deployed.tick()

    tick = deployed.stores.ticks.get(SENSOR, swept.value["subject"])
    requested = [request.run_key for request in tick.requests] if tick else []
    assert run.run_key not in requested
    assert attempts(deployed.runs_of(key)) == attempts([run])
