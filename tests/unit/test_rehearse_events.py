"""Rehearsals of event ticks, by what is recorded of their events; and the masks of exported ticks."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.rehearsal import (
    deployed,
    export,
    over_stores,
    rehearse,
    rehearsed,
    sensor_of,
    write_project,
)
from treadle import AssetMaterialization
from treadle.definitions.status import DagsterRunStatus
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.registry import KeptEntry, RegistryCopy
from treadle.model.runs import Failure
from treadle.model.targets import JobSettings
from treadle.operate.masks import MASK, Masks
from treadle.testing import TreadleInstance
from treadle.testing.registry import job_text

ALL = "new,missing,changed,cursor,error,recovered,unrehearsed"


def kinds(found: dict[str, Any]) -> list[str]:
    return [each["kind"] for tick in found["found"] for each in tick["differences"]]


def problems(found: dict[str, Any]) -> list[str]:
    return [each["problem"] for each in found["found"] if each["problem"]]


FILES = """
from treadle import RunRequest, s3_sensor


@s3_sensor("landing", suffix=".csv", job_name="load")
def watch(context, stored):
    return RunRequest(run_config={"key": stored.key, "size": stored.size})
"""
S3 = deployed("s3", {"TREADLE_S3_BUCKET": "landing"})


def with_objects(code: str, root: Path) -> TreadleInstance:
    """Write a project with this code, and the history of two objects and a sweep."""
    instance = TreadleInstance([sensor_of(code)])
    instance.put_object("landing", "a.csv", b"1")
    instance.put_object("landing", "in/b c.csv", b"22")
    instance.tick("watch")
    export(instance, root / "ticks", S3)
    write_project(root, code)
    return instance


def test_object_is_rehearsed_with_key_size_and_the_tag_in_its_run_key(tmp_path: Path) -> None:
    with_objects(FILES, tmp_path)
    unchanged = rehearsed(tmp_path, "--fail-on", "new,missing,changed,error")
    write_project(tmp_path, FILES.replace('"size": stored.size', '"size": stored.size + 1'))

    changed = rehearsed(tmp_path)

    assert (unchanged["failed_on"], unchanged["requests"]) == ([], {"same": 2})
    assert kinds(changed) == ["changed", "changed"]


def test_names_in_a_key_are_rehearsed_although_the_version_is_not_known(tmp_path: Path) -> None:
    code = FILES.replace('suffix=".csv"', 'pattern="{name}.csv"').replace(
        "stored.size}", "stored.names['name']}"
    )
    with_objects(code, tmp_path)
    unchanged = rehearsed(tmp_path)
    write_project(tmp_path, code.replace("stored.names['name']", "stored.names['name'] + '!'"))

    changed = rehearsed(tmp_path)

    assert (unchanged["requests"], kinds(unchanged), kinds(changed)) == ({"same": 1}, [], ["changed"])


def test_sweep_cannot_be_rehearsed(tmp_path: Path) -> None:
    instance = with_objects(FILES, tmp_path)
    instance.put_object("other", "x")
    instance.objects.put("landing", "unannounced.csv", b"3")
    instance.tick("watch")
    export(instance, tmp_path / "ticks", S3)

    assert problems(rehearsed(tmp_path)) == ["what the bucket contained then is not recorded"] * 2


def test_attribute_of_an_object_that_no_request_states_cannot_be_read(tmp_path: Path) -> None:
    code = FILES.replace("run_config=", "run_key=stored.key, run_config=")
    with_objects(code, tmp_path)
    only_key = rehearsed(tmp_path)
    write_project(tmp_path, code.replace("run_key=stored.key", "run_key=stored.etag"))

    with_tag = rehearsed(tmp_path)

    assert (only_key["requests"], kinds(only_key)) == ({"same": 2}, [])
    assert problems(with_tag)[:2] == ["the object's etag is not recorded"] * 2


def test_default_run_config_states_the_whole_object(tmp_path: Path) -> None:
    code = FILES.replace(
        'RunRequest(run_config={"key": stored.key, "size": stored.size})', 'RunRequest("k" + stored.key)'
    )
    with_objects(code, tmp_path)
    write_project(tmp_path, code.replace('"k" + stored.key', '"k" + stored.key, tags={"etag": stored.etag}'))

    found = rehearsed(tmp_path)

    [first, _] = [each["differences"][0]["changes"] for each in found["found"] if each["differences"]]
    assert [(each["field"], each["before"]) for each in first] == [("tags.etag", None)]


def test_object_that_had_to_settle_cannot_be_rehearsed(tmp_path: Path) -> None:
    code = FILES.replace('job_name="load"', 'job_name="load", settle_seconds=5')
    instance = TreadleInstance([sensor_of(code)])
    event = instance.objects.put("landing", "a.csv", b"1")
    instance.clock.advance(10)
    instance.send(event)
    export(instance, tmp_path / "ticks", S3)
    write_project(tmp_path, code)

    assert problems(rehearsed(tmp_path)) == ["what the bucket contained then is not recorded"]


RUNS = """
from treadle import DagsterRunStatus, JobDefinition, RunRequest, run_status_sensor


@run_status_sensor(
    DagsterRunStatus.FAILURE, monitored_jobs=[JobDefinition("load")], request_job=JobDefinition("repair")
)
def watch(context):
    run = context.dagster_run
    return RunRequest(run.run_id, {"table": run.run_config["table"], "cause": run.failure.cause})
"""
LOADS = """
from treadle import RunRequest, sensor


@sensor(job_name="load")
def watch(context):
    return RunRequest("today", {"table": "orders"}, {"token": "t0p"} if False else {})
"""


def failed_run(root: Path, code: str, *masks: str) -> None:
    """Export the history of a sensor that has seen a run fail, and write the project."""
    loads = sensor_of(LOADS)
    loads.name = "loads"
    instance = TreadleInstance([loads, sensor_of(code)])
    [run] = instance.tick("loads").runs
    instance.finish_run(run, DagsterRunStatus.FAILURE, Failure("Bad", "no such table"))
    export(instance, root / "ticks", deployed("run_status"), *masks)
    write_project(root, code)


def test_event_of_a_run_is_rehearsed_with_the_run_as_it_is_recorded(tmp_path: Path) -> None:
    failed_run(tmp_path, RUNS)
    unchanged = rehearse(tmp_path, "--fail-on", ALL)
    write_project(tmp_path, RUNS.replace('run_config["table"]', 'run_config["table"].upper()'))

    changed = rehearsed(tmp_path)

    assert unchanged.exit_code == 0, unchanged.output
    [difference] = changed["found"][0]["differences"]
    assert difference["changes"] == [{"field": "run_config.table", "before": '"orders"', "after": '"ORDERS"'}]


def test_event_with_a_hidden_field_cannot_be_rehearsed_from_a_file(tmp_path: Path) -> None:
    failed_run(tmp_path, RUNS, "table")

    assert problems(rehearsed(tmp_path)) == ["a field of its event is masked"]
    assert "orders" not in (tmp_path / "ticks/watch.jsonl").read_text()


ASSETS = """
from treadle import AssetKey, RunRequest, asset_sensor


@asset_sensor(asset_key=AssetKey(["shop", "orders"]), job_name="load")
def watch(context, entry):
    made = entry.asset_materialization
    return RunRequest(made.partition, {"rows": made.metadata["rows"].value})
"""


def test_materialization_is_rehearsed_as_it_is_recorded(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(ASSETS)])
    for day in ("2026-11-01", "2026-11-02"):
        made = AssetMaterialization(["shop", "orders"], metadata={"rows": 7}, partition=day)
        instance.report_runless_asset_event(made)
    export(instance, tmp_path / "ticks", deployed("asset"))
    write_project(tmp_path, ASSETS)
    unchanged = rehearse(tmp_path, "--fail-on", ALL)
    write_project(tmp_path, ASSETS.replace('"rows"].value', '"rows"].value + 1'))

    assert unchanged.exit_code == 0, unchanged.output
    assert kinds(rehearsed(tmp_path)) == ["changed", "changed"]


EVENTS = """
from treadle import RunRequest, event_sensor


@event_sensor(pattern={"source": ["shop"]}, job_name="load")
def watch(context):
    return RunRequest()
"""


def test_event_whose_content_is_not_recorded_cannot_be_rehearsed(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(EVENTS)])
    instance.put_event("shop", "Order Placed", {"order": 1})
    export(instance, tmp_path / "ticks", deployed("event"))
    write_project(tmp_path, EVENTS)

    result = rehearse(tmp_path, "--fail-on", "unrehearsed")

    assert result.exit_code == 1
    assert "  cannot be rehearsed: the content of its event is not recorded" in result.stdout.splitlines()


DEADLINES = """
from datetime import timedelta

from treadle import JobDefinition, RunRequest, deadline_sensor


@deadline_sensor(job=JobDefinition("load"), within=timedelta(days=1), request_job=JobDefinition("repair"))
def watch(context):
    return RunRequest(f"{context.deadline:%H:%M %Z}")
"""
TWICE = """
from treadle import RunRequest, SkipReason, sensor, RunsFilter


@sensor(job_name="load")
def watch(context):
    seen = len(context.instance.get_runs(RunsFilter(job_name="load")))
    return RunRequest(f"after {seen}")
"""
UPDATED = """
from treadle import AssetKey, RunRequest, multi_asset_sensor


@multi_asset_sensor(monitored_assets=[AssetKey("orders")], job_name="load")
def watch(context):
    record = context.latest_materialization_records_by_key()[AssetKey("orders")]
    if record is None:
        return None
    context.advance_all_cursors()
    return RunRequest(str(record.storage_id))
"""


def test_deadline_is_that_of_the_tick_in_the_time_zone_of_the_deployment(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(DEADLINES.replace("%Z", "CET"))])
    instance.clock.time = int(datetime(2026, 11, 2, 5, 10, tzinfo=UTC).timestamp() * 1000)
    instance.reach_deadline(datetime(2026, 11, 2, 6, 0, tzinfo=ZoneInfo("Europe/Berlin")))
    write_project(tmp_path, DEADLINES)

    [found] = over_stores(tmp_path, instance, deployed("deadline", {"TREADLE_TIME_ZONE": "Europe/Berlin"}))

    assert (found.problem, found.differences, found.same_requests) == (None, (), 1)


def test_runs_that_were_created_later_do_not_exist_yet(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(TWICE)])
    for _ in range(3):
        instance.tick("watch")
    write_project(tmp_path, TWICE)

    found = over_stores(tmp_path, instance, deployed())

    assert [(each.problem, each.differences, each.same_requests) for each in found] == [(None, (), 1)] * 3


def test_materializations_that_happened_later_do_not_exist_yet(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(UPDATED)])
    for _ in range(3):
        instance.clock.advance(60)
        instance.report_runless_asset_event(AssetMaterialization("orders"))
    write_project(tmp_path, UPDATED)

    found = over_stores(tmp_path, instance, deployed("multi_asset"))

    assert [(each.problem, each.differences, each.same_requests) for each in found] == [(None, (), 1)] * 3


POLLER = """
import json

from treadle import RunRequest, SensorResult, sensor


@sensor(job_name="load")
def watch(context):
    number = json.loads(context.cursor)["n"] + 1 if context.cursor else 1
    config = {"db": {"user": "ann", "Pass-Word": "s3cret"}, "contacts": [{"e_mail": "a@b.c", "n": number}]}
    return SensorResult([RunRequest(str(number), config, {"api_key": "k"})], cursor=json.dumps({"n": number}))
"""


def test_secrets_and_personal_fields_are_hidden_and_count_as_unchanged(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(POLLER)])
    instance.tick("watch")
    instance.tick("watch")
    [_, line, _] = export(instance, tmp_path / "ticks")
    write_project(tmp_path, POLLER.replace('"s3cret"', '"other"'))

    [request] = line["requests"]
    assert request["run_config"] == {
        "db": {"user": "ann", "Pass-Word": MASK},
        "contacts": [{"e_mail": MASK, "n": 1}],
    }
    assert request["tags"] == {"api_key": MASK}
    assert rehearse(tmp_path, "--fail-on", ALL).exit_code == 0


def test_tick_with_a_hidden_field_in_its_cursor_cannot_be_rehearsed_from_a_file(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(POLLER)])
    instance.tick("watch")
    instance.tick("watch")
    export(instance, tmp_path / "ticks", deployed(), "n")
    write_project(tmp_path, POLLER)

    found = rehearsed(tmp_path)

    assert problems(found) == ["a field of the cursor is masked"]
    assert kinds(found) == []


@pytest.mark.parametrize("name", ["Password", "db_pass-word", "E-Mail", "x.api.key", "authToken"])
def test_default_masks_hide_names_in_any_spelling(name: str) -> None:
    assert Masks().hides(name)


@pytest.mark.parametrize("name", ["path", "table", "user_id", "passed"])
def test_default_masks_leave_other_names(name: str) -> None:
    assert not Masks().hides(name)


@pytest.mark.parametrize("damage", ["{", '{"tick_id": "x"}', "[]"])
def test_damaged_line_of_a_file_is_refused(tmp_path: Path, damage: str) -> None:
    instance = TreadleInstance([sensor_of(POLLER)])
    instance.tick("watch")
    export(instance, tmp_path / "ticks")
    write_project(tmp_path, POLLER)
    with (tmp_path / "ticks/watch.jsonl").open("a") as file:
        file.write(damage + "\n")

    result = rehearse(tmp_path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be read as recorded ticks" in result.stderr


RUNS_TOGETHER = """
from treadle import Batch, DagsterRunStatus, JobDefinition, RunRequest, run_status_sensor


@run_status_sensor(
    DagsterRunStatus.FAILURE,
    monitored_jobs=[JobDefinition("load")],
    request_job=JobDefinition("repair"),
    batch=Batch(size=2, by=lambda each: each.dagster_run.run_config["table"][0]),
)
def watch(context):
    if any("bad" in each.dagster_run.run_config["table"] for each in context.items):
        raise ValueError("no such table")
    return RunRequest(run_config={context.by: [each.dagster_run.run_config["table"] for each in context.items]})
"""
LOAD = JobSettings("load", "step_functions", "arn:aws:states:us-east-1:123456789012:stateMachine:load", "-")
OF_LOADS = Subscription(jobs=("load",))

MANY_LOADS = """
from treadle import RunRequest, sensor


@sensor(job_name="load")
def watch(context):
    return [RunRequest(table, {"table": table}) for table in TABLES]
"""


def failed_together(code: str, *tables: str) -> TreadleInstance:
    """Return the history of a sensor that has seen the loads of some tables fail."""
    loads = sensor_of(MANY_LOADS.replace("TABLES", repr(tables)))
    loads.name = "loads"
    instance = TreadleInstance([loads, sensor_of(code)])
    for run in instance.tick("loads").runs:
        instance.clock.advance(1)
        instance.finish_run(run, DagsterRunStatus.FAILURE, Failure("Bad", "no such table"))
    return instance


def batched(kind: str, subscription: Subscription | None = None) -> DeployedSensor:
    return replace(deployed(kind), subscription=subscription)


def test_batch_of_run_statuses_is_rehearsed_from_its_manifest_and_the_runs(tmp_path: Path) -> None:
    instance = failed_together(RUNS_TOGETHER, "a1", "b1", "a2", "b2", "a3")
    export(instance, tmp_path / "ticks", batched("run_status", OF_LOADS))
    write_project(tmp_path, RUNS_TOGETHER)
    unchanged = rehearsed(tmp_path, "--fail-on", ALL)
    of_stores = over_stores(tmp_path, instance, batched("run_status", OF_LOADS))
    write_project(
        tmp_path,
        RUNS_TOGETHER.replace('"]] for', '"].upper()] for').replace('["table"] for', '["table"].upper() for'),
    )

    changed = rehearsed(tmp_path)

    assert (unchanged["failed_on"], unchanged["requests"]) == ([], {"same": 2})
    assert [(each.problem, each.differences, each.same_requests) for each in of_stores] == [(None, (), 1)] * 2
    changes = [each["differences"][0]["changes"] for each in changed["found"]]
    assert [(each["field"], each["after"]) for [each, *_] in changes] == [
        ("run_config.a[0]", '"A1"'),
        ("run_config.b[0]", '"B1"'),
    ]


def test_runs_of_a_batch_are_found_among_those_of_all_registered_jobs(tmp_path: Path) -> None:
    instance = failed_together(RUNS_TOGETHER, "a1", "a2")
    instance._stores.registry.replace(RegistryCopy("e", {"jobs/load": KeptEntry(job_text("shop", LOAD), 1)}))
    write_project(tmp_path, RUNS_TOGETHER)

    [found] = over_stores(tmp_path, instance, batched("run_status", Subscription()))

    assert (found.problem, found.same_requests) == (None, 1)


def test_batch_whose_runs_are_gone_cannot_be_rehearsed(tmp_path: Path) -> None:
    instance = failed_together(RUNS_TOGETHER, "a1", "a2")
    gone = next(iter(instance.runs(lambda run: run.run_key == "a1")))
    del instance._tables.runs[gone.run_id]
    write_project(tmp_path, RUNS_TOGETHER)

    [found] = over_stores(tmp_path, instance, batched("run_status", OF_LOADS))

    assert found.problem == "1 of its 2 items cannot be found any more"


def test_batch_that_failed_or_set_an_item_aside_says_so(tmp_path: Path) -> None:
    instance = failed_together(RUNS_TOGETHER, "bad", "b")
    for _ in range(8):
        instance.clock.advance(1_800)
        instance.reconcile()
    write_project(tmp_path, RUNS_TOGETHER)

    found = over_stores(tmp_path, instance, batched("run_status", OF_LOADS))

    problems = [each.problem for each in found]
    failed = "it failed, and which items it had is not recorded: they waited for a later batch"
    aside = "it set an item aside, at which the function failed"
    assert (problems.count(failed), problems.count(aside), problems.count(None)) == (5, 1, 1)
    assert sum(each.same_requests for each in found) == 1


def test_batch_with_a_hidden_field_cannot_be_rehearsed_from_a_file(tmp_path: Path) -> None:
    instance = failed_together(RUNS_TOGETHER, "a1", "a2")
    export(instance, tmp_path / "ticks", batched("run_status", OF_LOADS), "table")
    write_project(tmp_path, RUNS_TOGETHER)

    assert problems(rehearsed(tmp_path)) == ["a field of its event is masked"]
    [batch] = [
        json.loads(line)["batch"] for line in (tmp_path / "ticks/watch.jsonl").read_text().splitlines()[1:]
    ]
    assert [each["run"]["run_config"] for each in batch["items"]] == [{"table": MASK}] * 2


def test_batch_of_a_sensor_that_has_none_any_more_cannot_be_rehearsed(tmp_path: Path) -> None:
    instance = failed_together(RUNS_TOGETHER, "a1", "a2")
    export(instance, tmp_path / "ticks", batched("run_status", OF_LOADS))
    write_project(tmp_path, RUNS)

    assert problems(rehearsed(tmp_path)) == ["it evaluated a batch, and the sensor has none any more"]


def test_event_that_would_wait_for_a_batch_now_cannot_be_rehearsed(tmp_path: Path) -> None:
    failed_run(tmp_path, RUNS)
    write_project(tmp_path, RUNS_TOGETHER)

    assert problems(rehearsed(tmp_path)) == ["what it evaluates would wait for a batch now"]


ASSETS_TOGETHER = """
from treadle import AssetKey, Batch, RunRequest, asset_sensor


@asset_sensor(asset_key=AssetKey(["shop", "orders"]), job_name="load", batch=Batch(size=2))
def watch(context):
    return RunRequest(run_config={"days": [each.partition_key for each in context.items]})
"""


def test_batch_of_materializations_is_rehearsed_from_its_manifest(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(ASSETS_TOGETHER)])
    for day in ("2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"):
        instance.clock.advance(1)
        instance.report_runless_asset_event(AssetMaterialization(["shop", "orders"], partition=day))
    export(instance, tmp_path / "ticks", batched("asset", Subscription(assets=("shop/orders",))))
    write_project(tmp_path, ASSETS_TOGETHER)
    unchanged = rehearsed(tmp_path, "--fail-on", ALL)
    write_project(
        tmp_path, ASSETS_TOGETHER.replace("for each in context.items", "for each in context.items[:1]")
    )

    assert (unchanged["failed_on"], unchanged["requests"]) == ([], {"same": 2})
    assert kinds(rehearsed(tmp_path)) == ["changed", "changed"]


EVENTS_TOGETHER = """
from treadle import Batch, RunRequest, event_sensor


@event_sensor(pattern={"source": ["shop"]}, job_name="load", batch=Batch(size=1))
def watch(context):
    return RunRequest()
"""
DELETED = "the content of its items is not recorded: it is deleted once their batch is committed"


def test_batch_of_events_cannot_be_rehearsed_and_says_why(tmp_path: Path) -> None:
    instance = TreadleInstance([sensor_of(EVENTS_TOGETHER)])
    instance.put_event("shop", "Order Placed", {"order": 1})
    lines = export(instance, tmp_path / "ticks", deployed("event"))
    write_project(tmp_path, EVENTS_TOGETHER)
    found = problems(rehearsed(tmp_path))
    # As an earlier version exported it.
    for each in lines[1:]:
        each["problem"] = each.pop("batch")
    (tmp_path / "ticks/watch.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))

    assert found == [DELETED]
    assert problems(rehearsed(tmp_path)) == ["the content of its batch is not recorded"]
