"""The console has a sensor's own function evaluate: to show what it would do, and to do it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.console import Client, MemoryStack, console_of
from treadle import (
    AssetKey,
    AssetMaterialization,
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorResult,
    SkipReason,
    asset_sensor,
    deadline_sensor,
    run_status_sensor,
    s3_sensor,
)
from treadle.testing.instance import TreadleInstance

after = JobDefinition("after")
AWKWARD = "in/<img src=x onerror=alert(1)>.csv"


def counting(context: Any) -> SensorResult | SkipReason:
    """Return a sensor's function that continues from its cursor."""
    number = int(context.cursor or 0) + 1
    if number > 8:
        return SkipReason("Done.")
    return SensorResult([RunRequest(str(number))], cursor=str(number))


@s3_sensor(name="files", bucket=["shop", "depot"], prefix="in/", job_name="load")
def files(context: Any, stored: Any) -> Iterator[RunRequest]:
    """A sensor's function that requests a run of each object."""
    del context
    yield RunRequest(run_config={"key": stored.key})


@run_status_sensor(run_status=DagsterRunStatus.SUCCESS, name="receives_runs", request_jobs=[after])
def on_runs(context: Any) -> RunRequest:
    """A sensor's function that requests a run after each success."""
    return RunRequest(f"after-{context.dagster_run.run_key}")


@asset_sensor(AssetKey(["shop", "orders"]), name="receives_assets", job=after)
def on_assets(context: Any, event: Any) -> RunRequest:
    """A sensor's function that requests a run for each materialization."""
    del context
    return RunRequest(f"after-{event.asset_key.to_user_string()}-of-{event.run_id}")


@deadline_sensor(
    job=JobDefinition("load"), within=timedelta(hours=12), name="receives_deadlines", request_job=after
)
def on_deadlines(context: Any) -> RunRequest:
    """A sensor's function that requests a run at each deadline that was missed."""
    return RunRequest(f"after-{context.deadline:%H:%M}")


@pytest.fixture
def stack() -> MemoryStack:
    counts = SensorDefinition(
        "counts", evaluation_fn=counting, job_name="load", minimum_interval_seconds=3600
    )
    return MemoryStack(TreadleInstance([counts, files, on_runs, on_assets, on_deadlines]))


@pytest.fixture
def operator(stack: MemoryStack) -> Client:
    return Client(console_of(stack))


@pytest.mark.parametrize(
    ("body", "keys", "before", "after"),
    [
        ({}, ["1"], None, "1"),
        ({"cursor": None}, ["1"], None, "1"),
        ({"cursor": "6"}, ["7"], "6", "7"),
        ({"cursor": "8"}, [], "8", "8"),
    ],
)
def test_a_preview_shows_what_a_tick_would_do_and_does_nothing(
    stack: MemoryStack, operator: Client, body: dict[str, Any], keys: list[str], before: str, after: str
) -> None:
    shown = operator.post("/api/sensors/counts/preview", body).json

    assert [each["run_key"] for each in shown["tick"]["requests"]] == keys
    assert (shown["cursor_before"], shown["cursor_after"]) == (before, after)
    assert shown["tick"]["reason"] == (None if keys else "Done.")
    assert stack.instance.cursor("counts") is None
    assert stack.instance.runs() == ()
    assert stack.instance.ticks("counts") == []


def test_a_preview_of_a_function_that_fails_shows_its_stack(operator: Client) -> None:
    error = operator.post("/api/sensors/counts/preview", {"cursor": "seven"}).json["tick"]["error"]

    assert "invalid literal" in error["message"]
    assert "int(context.cursor or 0)" in error["stack"]


def test_a_preview_of_an_object_needs_its_key_alone(stack: MemoryStack, operator: Client) -> None:
    tick = operator.post("/api/sensors/files/preview", {"object": {"key": AWKWARD}}).json["tick"]

    [request] = tick["requests"]
    assert AWKWARD in request["run_config"]
    assert stack.instance.runs() == ()


@pytest.mark.parametrize(("given", "bucket"), [({}, "shop"), ({"bucket": "depot"}, "depot")])
def test_a_preview_of_an_object_may_name_one_of_several_buckets(
    operator: Client, given: dict[str, str], bucket: str
) -> None:
    tick = operator.post("/api/sensors/files/preview", {"object": {"key": "in/a", **given}}).json["tick"]

    assert tick["requests"][0]["run_key"] == f"s3://{bucket}/in/a#preview"


def test_a_preview_of_an_event_takes_it_as_eventbridge_brings_it(operator: Client) -> None:
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-11-28T02:00:00Z",
        "detail": {"bucket": {"name": "shop"}, "object": {"key": "out/b.csv", "size": 1, "etag": "e"}},
    }

    tick = operator.post("/api/sensors/files/preview", {"event": event}).json["tick"]

    assert tick["requests"] == []
    assert "is not watched" in tick["reason"]


def test_a_preview_of_a_run_takes_the_last_status_it_has_reached(
    stack: MemoryStack, operator: Client
) -> None:
    [run] = stack.instance.tick("counts").runs
    stack.instance.finish_run(run)
    before = len(stack.instance.runs())

    tick = operator.post("/api/sensors/receives_runs/preview", {"run_id": run.run_id}).json["tick"]

    # Its key is taken since the run has ended, as the event of that was evaluated.
    assert (tick["requests"], tick["existing_keys"]) == ([], ["after-1"])
    assert len(stack.instance.runs()) == before


def test_a_preview_of_an_asset_takes_its_newest_materialization(stack: MemoryStack, operator: Client) -> None:
    for run_id in ("first", "second"):
        made = AssetMaterialization(AssetKey(["shop", "orders"]))
        stack.instance.report_runless_asset_event(made, run_id=run_id)

    tick = operator.post("/api/sensors/receives_assets/preview", {"asset_key": "shop/orders"}).json["tick"]

    assert tick["existing_keys"] == ["after-shop/orders-of-second"]


def test_a_preview_of_a_deadline_checks_whether_it_was_met(stack: MemoryStack, operator: Client) -> None:
    body = {"deadline": "2026-11-28T06:00:00.000Z"}

    tick = operator.post("/api/sensors/receives_deadlines/preview", body).json["tick"]

    assert [each["run_key"] for each in tick["requests"]] == ["after-06:00"]
    assert stack.instance.runs() == ()


@pytest.mark.parametrize(
    ("sensor", "body", "status"),
    [
        ("counts", {"cursor": "1", "event": {}}, 400),
        ("counts", {"object": {"key": "a"}}, 409),
        ("files", {"object": {}}, 400),
        ("files", {"object": {"key": ""}}, 400),
        ("files", {"event": "x"}, 400),
        ("counts", {"cursor": 7}, 400),
        ("unknown", {}, 404),
        ("receives_runs", {"run_id": "0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11"}, 404),
        ("receives_runs", {"run_id": "x"}, 400),
        ("receives_runs", {}, 409),
        ("receives_assets", {"asset_key": "never/made"}, 404),
        ("receives_deadlines", {"deadline": "six o'clock"}, 400),
        ("receives_deadlines", {}, 409),
        ("files", {"event": {"source": "nobody"}}, 409),
    ],
)
def test_a_preview_that_cannot_be_is_refused(
    operator: Client, sensor: str, body: dict[str, Any], status: int
) -> None:
    answer = operator.post(f"/api/sensors/{sensor}/preview", body)

    assert (answer.status, bool(answer.json["message"])) == (status, True)


def test_a_tick_evaluates_at_once_and_leads_to_its_record(stack: MemoryStack, operator: Client) -> None:
    """Although the next one is due in an hour."""
    stack.instance.tick("counts")
    stack.instance.clock.advance(60)

    result = operator.post("/api/sensors/counts/tick", {}).json

    assert result["decision"] == "SUCCESS"
    assert stack.instance.cursor("counts") == "2"
    assert operator.get(f"/api/sensors/counts/ticks/{result['tick_id']}").json["runs"][0]["run_key"] == "2"


def test_a_tick_of_a_stopped_sensor_says_so(stack: MemoryStack, operator: Client) -> None:
    operator.post("/api/sensors/counts/stop")

    result = operator.post("/api/sensors/counts/tick", {}).json

    assert (result["decision"], result["tick_id"]) == ("STOPPED", None)
    assert stack.instance.runs() == ()
