"""Each ported sensor, called directly as Dagster's testing examples do, and through the in-memory deployment."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.functional.ported import sensors
from treadle import (
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    RunRequest,
    SkipReason,
    build_resources,
    build_sensor_context,
    validate_run_config,
)
from treadle.adapters import clients
from treadle.engine.outcomes import Decision
from treadle.testing import TreadleInstance


@pytest.fixture(autouse=True)
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the sensors watch."""
    monkeypatch.setattr(sensors, "INBOX", tmp_path)
    return tmp_path


@pytest.fixture
def landing() -> Iterator[Any]:
    """The bucket that they watch."""
    with mock_aws():
        clients.forget()
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=sensors.LANDING)
        yield s3
        clients.forget()


class TwoAccounts(sensors.Accounts):
    """Stands in for the API."""

    def created_since(self, number: int) -> list[dict[str, Any]]:
        return [{"id": index, "name": name} for index, name in ((1, "Ada"), (2, "Bo")) if index > number]


def put(folder: Path, name: str, modified: int) -> None:
    (folder / name).write_text("x")
    os.utime(folder / name, (modified, modified))


def keys(instance: TreadleInstance, sensor: str) -> list[str | None]:
    """Return the run keys that the next tick launches."""
    return [run.run_key for run in instance.tick(sensor).runs]


def test_directory_sensor_called_directly_requests_valid_runs(inbox: Path) -> None:
    put(inbox, "a.csv", 1)
    (inbox / "folder").mkdir()

    requests = list(sensors.each_file_once())

    assert [request.run_key for request in requests] == ["a.csv"]
    assert validate_run_config(sensors.import_file, requests[0].run_config) == {
        "ops": {"import_file": {"config": {"path": str(inbox / "a.csv")}}}
    }
    with pytest.raises(DagsterInvalidConfigError):
        validate_run_config(sensors.import_file, {"ops": {}})


def test_directory_sensor_gives_each_file_one_run_ever(inbox: Path) -> None:
    instance = TreadleInstance([sensors.each_file_once])
    put(inbox, "a.csv", 1)
    assert keys(instance, "each_file_once") == ["a.csv"]

    put(inbox, "a.csv", 2)
    put(inbox, "b.csv", 2)

    assert keys(instance, "each_file_once") == ["b.csv"]
    assert keys(instance, "each_file_once") == []


def test_directory_sensor_with_a_cursor_called_directly_moves_it(inbox: Path) -> None:
    put(inbox, "old.csv", 1)
    put(inbox, "new.csv", 5)
    context = build_sensor_context(cursor="1")

    requests = list(sensors.changed_files(context))

    assert [request.run_key for request in requests] == ["new.csv:5.0"]
    assert context.cursor == "5.0"


def test_directory_sensor_with_a_cursor_sees_a_file_again_when_it_changes(inbox: Path) -> None:
    instance = TreadleInstance([sensors.changed_files])
    put(inbox, "a.csv", 1)
    assert keys(instance, "changed_files") == ["a.csv:1.0"]
    assert keys(instance, "changed_files") == []

    put(inbox, "a.csv", 9)

    assert keys(instance, "changed_files") == ["a.csv:9.0"]
    assert instance.cursor("changed_files") == "9.0"


def test_skip_reason_is_yielded_directly_and_shown_of_the_tick(inbox: Path) -> None:
    (skip,) = sensors.files_or_reason()
    result = TreadleInstance([sensors.files_or_reason]).tick("files_or_reason")

    assert skip == SkipReason(f"{inbox} is empty.")
    assert (result.outcome.decision, result.outcome.reason) == (Decision.SKIPPED, f"{inbox} is empty.")


def test_sensor_with_skip_reasons_requests_runs_once_there_are_files(inbox: Path) -> None:
    instance = TreadleInstance([sensors.files_or_reason])
    instance.tick("files_or_reason")
    put(inbox, "a.log", 1)

    assert keys(instance, "files_or_reason") == ["a.log"]


def test_s3_sensor_called_directly_continues_from_the_cursor(landing: Any) -> None:
    for key in ("in/a", "in/b", "out/c"):
        landing.put_object(Bucket=sensors.LANDING, Key=key)

    result = sensors.landed_objects(build_sensor_context())

    assert [request.run_key for request in result.run_requests] == ["in/a", "in/b"]
    assert result.cursor == "in/b"
    assert sensors.landed_objects(build_sensor_context(cursor="in/b")) == SkipReason("No new objects.")


def test_s3_sensor_gives_each_key_one_run(landing: Any) -> None:
    instance = TreadleInstance([sensors.landed_objects])
    landing.put_object(Bucket=sensors.LANDING, Key="in/a")
    assert keys(instance, "landed_objects") == ["in/a"]
    assert keys(instance, "landed_objects") == []

    landing.put_object(Bucket=sensors.LANDING, Key="in/b")

    assert keys(instance, "landed_objects") == ["in/b"]
    assert instance.cursor("landed_objects") == "in/b"


def test_s3_sensor_whose_last_key_is_gone_continues_and_runs_nothing_twice(landing: Any) -> None:
    """Other than Dagster's, which raises at each tick from then on."""
    instance = TreadleInstance([sensors.landed_objects])
    for key in ("in/a", "in/b"):
        landing.put_object(Bucket=sensors.LANDING, Key=key)
    assert keys(instance, "landed_objects") == ["in/a", "in/b"]
    landing.delete_object(Bucket=sensors.LANDING, Key="in/b")
    landing.put_object(Bucket=sensors.LANDING, Key="in/c")

    assert keys(instance, "landed_objects") == ["in/c"]
    assert instance.cursor("landed_objects") == "in/c"


@pytest.mark.parametrize(("name", "seconds"), [("each_half_minute", 30), ("each_five_minutes", 300)])
def test_sensor_ticks_at_its_own_interval(name: str, seconds: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    instance = TreadleInstance([sensors.each_half_minute, sensors.each_five_minutes], start=start)
    instance.tick_now(name)

    instance.clock.advance(seconds - 1)
    early = instance.tick_now(name)
    instance.clock.advance(1)

    assert early.outcome.decision is Decision.NOT_DUE
    assert len(instance.tick_now(name).runs) == 1
    assert instance.clock.now() == (start + timedelta(seconds=seconds)).timestamp() * 1000


def test_what_the_sensor_logs_is_written_directly_and_kept_by_the_tick(
    inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(inbox, "a.csv", 1)
    instance = TreadleInstance([sensors.talkative])

    with caplog.at_level("INFO"):
        sensors.talkative(build_sensor_context())

    assert caplog.messages == ["Looked at 1 files"]
    assert instance.preview("talkative").tick.log == ("INFO Looked at 1 files",)


def test_resource_by_parameter_is_given_by_name_or_by_the_context() -> None:
    fake = TwoAccounts(url="nowhere")

    by_name = sensors.new_accounts(build_sensor_context(cursor="1"), accounts=fake)
    by_context = sensors.new_accounts(build_sensor_context(cursor="1", resources={"accounts": fake}))

    assert by_name == by_context
    assert [request.run_key for request in by_name.run_requests] == ["2"]
    with pytest.raises(DagsterInvalidDefinitionError, match="'accounts' required by sensor 'new_accounts'"):
        sensors.new_accounts(build_sensor_context())


def test_resource_by_parameter_comes_from_the_deployment() -> None:
    instance = TreadleInstance([sensors.new_accounts], resources={"accounts": TwoAccounts(url="nowhere")})

    runs = instance.tick("new_accounts").runs

    assert [(run.run_key, run.tags["account"]) for run in runs] == [("1", "Ada"), ("2", "Bo")]
    assert keys(instance, "new_accounts") == []


def test_resource_by_context_is_open_while_the_sensor_is_called_and_closed_afterwards() -> None:
    resources = {"database": sensors.database, "password": "secret"}

    with build_sensor_context(resources=resources) as context:
        request = sensors.by_context(context)
        connection = context.resources.database
    (run,) = TreadleInstance([sensors.by_context], resources=resources).tick("by_context").runs

    assert request == RunRequest(tags={"database": "open"})
    assert connection == {"state": "closed", "password": "secret"}
    assert run.tags["database"] == "open"


def test_resources_can_be_built_and_handed_to_a_context() -> None:
    with build_resources({"database": sensors.database, "password": "secret"}) as built:
        request = sensors.by_context(build_sensor_context(resources={"database": built.database}))

    assert request.tags == {"database": "open"}


def test_several_jobs_are_requested_by_name() -> None:
    instance = TreadleInstance([sensors.reports])

    direct = sensors.reports(build_sensor_context(cursor="6"))
    for _ in range(7):
        instance.tick("reports")

    assert [request.job_name for request in direct.run_requests] == ["daily_report", "weekly_report"]
    jobs = [run.job for run in instance.runs()]
    assert (jobs.count("daily_report"), jobs.count("weekly_report")) == (7, 1)


def test_run_config_object_comes_to_the_job_as_plain_json(inbox: Path) -> None:
    put(inbox, "a.csv", 1)
    instance = TreadleInstance([sensors.changed_files])
    (run,) = instance.tick("changed_files").runs

    assert json.loads(instance.payload(run))["run_config"] == {
        "ops": {"import_file": {"config": {"path": "a.csv"}}}
    }
