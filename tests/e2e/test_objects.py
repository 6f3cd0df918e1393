"""From an object in the bucket to the end of its run."""

import json

from tests.e2e.deployment import (
    GOOD_CSV,
    MALFORMED_CSV,
    SENSOR,
    Deployed,
    attempts,
    eventually,
    fresh_key,
    object_created,
    queued,
)
from treadle.definitions.status import DagsterRunStatus, TickStatus


def test_an_uploaded_csv_ends_as_one_successful_run_with_its_summary(deployed: Deployed) -> None:
    key = fresh_key()

    etag = deployed.upload(key, GOOD_CSV)

    run = deployed.ended_run(key)
    assert run.status is DagsterRunStatus.SUCCESS
    assert run.run_key == f"s3://{deployed.bucket}/{key}#{etag}"
    assert deployed.executions(run) == [run.launch_id]
    assert deployed.summary(key)["rows"] == 2


def test_tick_run_and_logs_show_why_a_job_ran(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    run = deployed.ended_run(key)

    [tick] = deployed.event_ticks(key)
    assert tick.status is TickStatus.SUCCESS
    assert [request.run_id for request in tick.requests] == [run.run_id]
    assert tick.trigger is not None
    assert tick.trigger.startswith(f"Object Created s3://{deployed.bucket}/{key} ")

    assert (run.sensor, run.tick_id) == (SENSOR, tick.tick_id)
    assert run.tags["dagster/tick"] == tick.tick_id
    assert json.loads(run.run_config)["key"] == key
    assert {"QUEUED", "STARTED", "SUCCESS"} <= run.reached["1/0"].keys()

    evaluated = deployed.log_line("new_objects", step="tick", tick_id=tick.tick_id)
    assert evaluated["trigger"] == tick.trigger
    dispatched = deployed.log_line("dispatch", step="dispatch", tick_id=tick.tick_id)
    assert dispatched["message"].startswith("1 run, ")
    launched = deployed.log_line("launch", step="launch", run_id=run.run_id)
    assert run.external_id in launched["message"]
    recorded = deployed.log_line("record", execution=run.external_id, message="The run is at SUCCESS.")
    assert recorded["decision"] == "RECORDED"


def test_the_authors_own_log_lines_have_sensor_and_tick(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    deployed.ended_run(key)
    [tick] = deployed.event_ticks(key)

    line = deployed.log_line("new_objects", message=f"Object s3://{deployed.bucket}/{key}")

    assert line["sensor"] == SENSOR
    assert line["tick_id"] == tick.tick_id


def test_an_identical_upload_gives_a_tick_but_no_second_run(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    first = deployed.ended_run(key)

    deployed.upload(key)

    eventually(lambda: len(deployed.event_ticks(key)) == 2, f"the second upload of {key} was evaluated")
    skipped = deployed.event_ticks(key)[1]
    assert skipped.status is TickStatus.SKIPPED
    assert first.run_key in skipped.existing_keys
    assert attempts(deployed.runs_of(key)) == attempts([first])
    assert deployed.executions(first) == [first.launch_id]


def test_two_events_of_one_object_at_the_same_moment_start_one_run(deployed: Deployed) -> None:
    key = fresh_key()
    with deployed.without_events():
        etag = deployed.upload(key)
    events = [object_created(deployed.bucket, key, etag) for _ in range(2)]

    # In one batch: the second is evaluated before the first can have been dispatched.
    deployed.invoke("NewObjects", queued(*events))

    run = deployed.ended_run(key)
    eventually(lambda: _started_and_existing(deployed, key) == (1, 1), f"both ticks of {key} are dispatched")
    assert attempts(deployed.runs_of(key)) == attempts([run])
    assert deployed.executions(run) == [run.launch_id]


def _started_and_existing(deployed: Deployed, key: str) -> tuple[int, int]:
    ticks = deployed.event_ticks(key)
    counts = [tick.dispatched for tick in ticks if tick.dispatched]
    known = sum(len(tick.existing_keys) for tick in ticks)
    return sum(count.started for count in counts), known + sum(count.existing for count in counts)


def test_a_changed_upload_gives_a_second_run(deployed: Deployed) -> None:
    key = fresh_key()
    deployed.upload(key)
    deployed.ended_run(key)

    deployed.upload(key, GOOD_CSV + b"Chur,38000\n")

    eventually(
        lambda: [run.status.value for run in deployed.runs_of(key)] == ["SUCCESS", "SUCCESS"],
        f"two runs of {key} have ended",
    )
    assert deployed.summary(key)["rows"] == 3


def test_a_malformed_csv_ends_as_a_failure_that_names_the_line(deployed: Deployed) -> None:
    key = fresh_key("malformed")

    deployed.upload(key, MALFORMED_CSV)

    run = deployed.ended_run(key)
    assert run.status is DagsterRunStatus.FAILURE
    assert run.failure is not None
    assert not run.failure.assumed
    eventually(lambda: _cause(deployed, key), "the record has the failure's cause")
    assert "line 3" in _cause(deployed, key)


def _cause(deployed: Deployed, key: str) -> str:
    [run] = deployed.runs_of(key)
    return run.failure.cause if run.failure else ""


def test_an_object_outside_the_selection_is_not_even_evaluated(deployed: Deployed) -> None:
    outside, inside = fresh_key().replace(".csv", ".txt"), fresh_key()

    deployed.upload(outside)
    deployed.upload(inside)

    deployed.ended_run(inside)
    assert deployed.event_ticks(outside) == []
    assert deployed.runs_of(outside) == []
