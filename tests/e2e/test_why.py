"""`treadle why` on a deployed stack: the explanation of what did and did not run."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from tests.e2e.deployment import (
    MALFORMED_CSV,
    SENSOR,
    Deployed,
    eventually,
    fresh_key,
    launch_message,
    run_record,
)
from tests.support.project import run
from treadle.adapters.system import SystemClock
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.runs import Run
from treadle.operate.sensors import SensorOperations

ANN = "ann"


def explanation(deployed: Deployed, *subject: str) -> dict[str, Any]:
    """Return the explanation of a subject."""
    done = run("why", SENSOR, *subject, "--stack", deployed.name, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def summary(deployed: Deployed, key: str) -> str:
    """Return what explains an object."""
    text: str = explanation(deployed, "--object", f"s3://{deployed.bucket}/{key}")["summary"]
    return text


@contextlib.contextmanager
def stopped(deployed: Deployed) -> Iterator[None]:
    """Stop the sensor meanwhile, as an operator."""
    operations = SensorOperations(deployed.stores.sensors, SystemClock())
    operations.stop(SENSOR, ANN)
    try:
        yield
    finally:
        operations.start(SENSOR, DefaultSensorStatus.RUNNING, ANN)


def ended_run(deployed: Deployed, key: str) -> Run:
    """Return the run of an object, once it has ended, on a machine that has much else to do."""
    eventually(
        lambda: [each for each in deployed.runs_of(key) if each.ended_at is not None],
        "the run has ended",
        seconds=100,
    )
    return deployed.ended_run(key)


def test_object_that_ran_has_its_whole_story(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    ended = ended_run(deployed, key)

    by_object = explanation(deployed, "--object", f"s3://{deployed.bucket}/{key}")

    assert by_object["summary"].startswith(f"Run {ended.run_id} succeeded at")
    assert [step["kind"] for step in by_object["steps"]][:4] == ["object", "event", "tick", "dispatch"]
    assert all(step["ok"] for step in by_object["steps"])
    assert explanation(deployed, "--run", ended.run_id)["summary"] == by_object["summary"]
    assert explanation(deployed, "--key", str(ended.run_key))["summary"] == by_object["summary"]


def test_identical_upload_is_reported_with_the_run_that_holds_the_key(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    ended = ended_run(deployed, key)
    deployed.upload(key)
    eventually(lambda: len(deployed.event_ticks(key)) == 2, "the second upload was evaluated")

    message = summary(deployed, key)

    assert message.startswith(f"No new run: tick {deployed.event_ticks(key)[1].tick_id} requested run key")
    assert f"which has belonged to run {ended.run_id} since" in message


def test_failed_run_is_reported_with_its_targets_message(deployed: Deployed) -> None:
    key = fresh_key("malformed")
    deployed.upload(key, MALFORMED_CSV)
    ended = ended_run(deployed, key)
    eventually(lambda: "line 3" in summary(deployed, key), "the cause is shown")

    run("run", "release-key", SENSOR, str(ended.run_key), "--by", ANN, "--stack", deployed.name)

    assert f"Its run key was released by {ANN}" in summary(deployed, key)


def test_object_with_another_suffix_is_explained_by_what_is_watched(deployed: Deployed) -> None:
    key = fresh_key().replace(".csv", ".txt")
    deployed.upload(key)

    message = summary(deployed, key)

    assert message.endswith(f"; it watches s3://{deployed.bucket}/*.csv.")


def test_object_that_came_to_a_stopped_sensor_is_explained_by_whom_and_since_when(deployed: Deployed) -> None:
    key = fresh_key()
    with stopped(deployed):
        deployed.upload(key)
        since = deployed.stores.sensors.edits(SENSOR)[0]

        message = summary(deployed, key)

    assert f"sensor {SENSOR} is stopped since" in message
    assert f"by {ANN}" in message
    assert since.action == "stop"


def test_object_of_which_no_event_came_is_explained_with_when_the_sweep_finds_it(deployed: Deployed) -> None:
    key = fresh_key()
    with deployed.without_events():
        deployed.upload(key)

        message = summary(deployed, key)

    rule = deployed.physical_id("NewObjectsRule")
    assert f"No event of s3://{deployed.bucket}/{key} was evaluated" in message
    assert (
        f"its rule {rule} is disabled, so it receives no events (aws events enable-rule --name {rule})"
        in message
    )
    assert "The sweep does not reach it: its schedule" in message, "tests switch it off"


def test_object_in_a_bucket_that_sends_no_events_is_explained_with_the_command(deployed: Deployed) -> None:
    key, s3 = fresh_key(), deployed.client("s3")
    s3.put_bucket_notification_configuration(Bucket=deployed.bucket, NotificationConfiguration={})
    try:
        deployed.upload(key)

        message = summary(deployed, key)
    finally:
        announced: dict[str, Any] = {"EventBridgeConfiguration": {}}
        s3.put_bucket_notification_configuration(Bucket=deployed.bucket, NotificationConfiguration=announced)

    assert f"bucket {deployed.bucket} sends no events to EventBridge" in message
    assert f"aws s3api put-bucket-notification-configuration --bucket {deployed.bucket}" in message


def test_run_whose_launch_is_a_dead_letter_is_explained(deployed: Deployed) -> None:
    lost = run_record(sensor=SENSOR)
    deployed.send("Launch", launch_message(lost))
    eventually(lambda: dead_letters(deployed, lost.run_id), "the message is a dead letter", pause=1)
    deployed.stores.runs.create(lost)

    message = explanation(deployed, "--run", lost.run_id)["summary"]

    assert "has waited in LAUNCH's queue since" in message
    assert "It is a dead letter of launch:" in message
    run("dlq", "redrive", "--origin", "launch", "--stack", deployed.name)


def dead_letters(deployed: Deployed, about: str) -> bool:
    return about in run("dlq", "list", "--stack", deployed.name).stdout


def test_moment_is_reported_by_the_tick_that_was_at_work(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    ended_run(deployed, key)
    [tick] = deployed.event_ticks(key)

    message = explanation(deployed, "--at", tick.tick_id[:24])["summary"]

    assert "requested 1 run" in message
