"""An operator's commands, each as a process, on the deployed stack."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import SENSOR, Deployed, eventually, fresh_key, launch_message, run_record
from tools.project import ROOT
from treadle.definitions.errors import LeaseLostError
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.runs import Run
from treadle.model.sensors import Completion, Lease, LeaseRequest

MINUTE = 60_000
PATIENCE = 100
"""Seconds for a job from upload to recorded end."""


def treadle(deployed: Deployed, *arguments: str, exit_code: int = 0, named: bool = True) -> str:
    """Return what the command prints; it must end as is said."""
    stack = ("--stack", deployed.name) if named else ()
    done = subprocess.run(
        [sys.executable, "-c", "from treadle.cli import main; main()", *arguments, *stack],
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "treadle")},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done.stdout


def ended_run(deployed: Deployed, key: str) -> Run:
    """Return the only run of an object, once it has ended; on a machine that has much else to do."""
    eventually(
        lambda: [each for each in deployed.runs_of(key) if each.ended_at is not None],
        f"the run of {key} has ended",
        seconds=PATIENCE,
    )
    return deployed.ended_run(key)


def json_of(deployed: Deployed, *arguments: str, exit_code: int = 0) -> Any:
    """Return what the command prints as JSON."""
    return json.loads(treadle(deployed, *arguments, "--json", exit_code=exit_code))


@pytest.fixture
def rested(deployed: Deployed) -> Deployed:
    """The stack, whose sensor runs and waits for nothing."""
    deployed.let_time_pass()
    treadle(deployed, "sensor", "start", SENSOR)
    return deployed


def test_sensors_are_listed_with_kind_status_and_jobs(rested: Deployed) -> None:
    found = {each["name"]: each for each in json_of(rested, "sensor", "list")}

    assert {name: each["kind"] for name, each in found.items()} == {
        "failure_alert": "run_status",
        "large_files": "asset",
        "new_objects": "s3",
    }
    assert (found[SENSOR]["status"], found[SENSOR]["interval_seconds"]) == ("RUNNING", 60)
    assert found[SENSOR]["jobs"] == ["process_file"]
    assert found[SENSOR]["description"] == "starts process_file for each object in a bucket"


def test_stack_of_the_local_cloud_is_found_without_a_name(
    rested: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "TREADLE_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TREADLE_CLOUD_PORT", rested.endpoint.rpartition(":")[2])

    assert SENSOR in treadle(rested, "sensor", "list", "--local", named=False)


def test_stopped_sensor_says_so_and_evaluates_again_once_started(rested: Deployed) -> None:
    key = fresh_key()
    treadle(rested, "sensor", "stop", SENSOR, "--by", "ann")
    with rested.without_events():
        rested.upload(key)
    stopped = treadle(rested, "sensor", "tick", SENSOR, exit_code=1)
    treadle(rested, "sensor", "start", SENSOR, "--by", "ben")
    ticked = json_of(rested, "sensor", "tick", SENSOR)

    assert stopped.startswith("STOPPED: ")
    assert ticked["decision"] == "SUCCESS", ticked
    ended_run(rested, key)
    edits = json_of(rested, "sensor", "show", SENSOR)["edits"]
    assert [(each["by"], each["action"]) for each in edits[:2]] == [("ben", "start"), ("ann", "stop")]


def test_cursor_set_while_a_tick_is_in_flight_stays(rested: Deployed) -> None:
    rested.upload(fresh_key())
    json_of(rested, "sensor", "tick", SENSOR)
    shown = json_of(rested, "sensor", "cursor", "show", SENSOR)
    store, now = rested.stores.sensors, rested.stores.sensors.get(SENSOR).last_completion or 0
    lease = store.acquire(
        LeaseRequest(
            SENSOR, "in-flight", now + MINUTE, 0, now + MINUTE, now + 10 * MINUTE, DefaultSensorStatus.RUNNING
        )
    )
    assert isinstance(lease, Lease)

    held = treadle(rested, "sensor", "tick", SENSOR, exit_code=1)
    treadle(
        rested,
        "sensor",
        "cursor",
        "set",
        SENSOR,
        shown["cursor"],
        "--if-version",
        str(shown["version"]),
        exit_code=2,
    )
    treadle(rested, "sensor", "cursor", "set", SENSOR, shown["cursor"], "--if-version", str(lease.epoch))

    with pytest.raises(LeaseLostError):
        store.commit(lease, Completion(now + MINUTE, "the tick's", True, 0, None))
    store.release(lease)
    assert held.startswith("LEASED: ")
    assert json_of(rested, "sensor", "cursor", "show", SENSOR) == {**shown, "version": lease.epoch + 1}


def test_preview_of_an_event_shows_its_run_and_starts_nothing(rested: Deployed, tmp_path: Path) -> None:
    sample = json.loads((ROOT / "events" / "new_objects-s3-event-direct.json").read_text())
    key = fresh_key()
    sample["detail"]["bucket"]["name"] = rested.bucket
    sample["detail"]["object"]["key"] = key
    event = tmp_path / "event.json"
    event.write_text(json.dumps(sample))

    found = json_of(rested, "sensor", "preview", SENSOR, "--event", str(event))

    [request] = found["tick"]["requests"]
    assert (found["tick"]["status"], request["job"]) == ("SUCCESS", "process_file")
    assert key in request["run_key"]
    assert rested.runs_of(key) == []
    assert "would be" in treadle(rested, "sensor", "preview", SENSOR)


def test_an_objects_way_is_followed_from_tick_to_run(rested: Deployed) -> None:
    key = fresh_key()
    rested.upload(key)
    run = ended_run(rested, key)

    shown = treadle(rested, "run", "show", run.run_id)
    tick = json_of(rested, "tick", "show", SENSOR, run.tick_id)

    for expected in (str(run.run_key), str(run.external_id), "SUCCESS", "1 of 1"):
        assert expected in shown
    assert [each["run_id"] for each in tick["runs"]] == [run.run_id]
    assert run.tick_id in [
        each["tick_id"] for each in json_of(rested, "tick", "list", SENSOR, "--since", "1h")
    ]
    assert run.run_id in [each["run_id"] for each in json_of(rested, "run", "list", "--sensor", SENSOR)]
    assert run.run_id in [each["run_id"] for each in json_of(rested, "run", "list")]


def test_assets_of_the_example_job_are_listed(rested: Deployed) -> None:
    rested.upload(key := fresh_key())
    ended_run(rested, key)

    found = eventually(lambda: json_of(rested, "asset", "list"), "an asset is listed", pause=1)

    assert "summaries" in [each["asset_key"] for each in found]
    assert json_of(rested, "asset", "show", "summaries")[0]["asset_key"] == "summaries"


def test_dead_letter_is_listed_shown_and_redriven(rested: Deployed) -> None:
    lost = run_record()
    rested.send("Launch", launch_message(lost))

    def dead_letter() -> Any:
        found = json_of(rested, "dlq", "list", "--origin", "launch")
        return next((each for each in found if lost.run_id in each["subject"]), None)

    listed = eventually(dead_letter, "the message is a dead letter", pause=1)
    assert listed["action"] == "SENT"
    assert lost.run_id in treadle(rested, "dlq", "show", listed["message_id"])
    rested.stores.runs.create(lost)

    redriven = json_of(rested, "dlq", "redrive", "--origin", "launch")

    assert (lost.run_id in json.dumps(redriven), redriven[0]["action"]) == (True, "SENT")
    eventually(lambda: rested.executions(lost) == [lost.launch_id], "the run is launched", seconds=60)


def test_log_of_a_sensor_is_shown_without_metrics(rested: Deployed) -> None:
    json_of(rested, "sensor", "tick", SENSOR)

    shown = eventually(
        lambda: [
            line
            for line in treadle(rested, "logs", SENSOR, "--since", "1h").splitlines()
            if "decision=" in line
        ],
        "the log shows a decision",
        pause=1,
    )

    assert not any("_aws" in line for line in shown)
