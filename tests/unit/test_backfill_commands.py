"""`treadle backfill`: which partitions a command means, and what it prints."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.console import MemoryStack
from treadle.cli import backfills as commands
from treadle.cli import runs as run_commands
from treadle.cli.commands import treadle
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import SensorDefinition
from treadle.model.backfills import BackfillStatus
from treadle.model.runs import Claim
from treadle.testing.instance import TreadleInstance

JOB = "load"
CODE = """
from treadle import DailyPartitionsDefinition, JobDefinition, MultiPartitionsDefinition, StaticPartitionsDefinition

load = JobDefinition(
    "load",
    run_tags={"team": "a"},
    run_config_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
    partitions_def=StaticPartitionsDefinition(["a", "b", "c", "d"]),
)
crossed = JobDefinition(
    "crossed",
    partitions_def=MultiPartitionsDefinition(
        {"x": StaticPartitionsDefinition(["1", "2"]), "y": StaticPartitionsDefinition(["3"])}
    ),
)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose code defines two jobs."""
    (tmp_path / "template.yaml").write_text("Resources: {}\n")
    folder = tmp_path / "functions" / "sensors" / "daily"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(CODE)
    monkeypatch.chdir(folder)
    return tmp_path


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> MemoryStack:
    """A deployment with both jobs."""

    def requests() -> list[RunRequest]:
        return [RunRequest(job_name=name) for name in (JOB, "crossed")]

    jobs = [JobDefinition(JOB), JobDefinition("crossed")]
    instance = TreadleInstance([SensorDefinition("daily", evaluation_fn=requests, jobs=jobs)])
    instance.tick("daily")
    made = MemoryStack(instance)

    @contextmanager
    def deployed(_: str) -> Iterator[Any]:
        from treadle.cli.output import exit_on_error

        with exit_on_error():
            yield made.parts

    for module in (commands, run_commands):
        monkeypatch.setattr(module, "deployed", deployed)
    return made


def call(*arguments: str) -> Result:
    by = ["--by", "ada"] if arguments[1] not in {"list", "show"} else []
    return CliRunner().invoke(treadle, [*arguments, "--stack", "shop", *by])


def started(stack: MemoryStack) -> list[list[str]]:
    tables = stack.instance._stores.tables
    return [[each.key for each in found] for found in tables.backfill_partitions.values()]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--partitions", "b...d"], ["b", "c", "d"]),
        (["--partition", "d", "--partition", "a", "--partition", "d"], ["d", "a"]),
        (["--all"], ["a", "b", "c", "d"]),
    ],
    ids=["range", "keys", "all"],
)
def test_partitions_are_those_of_the_jobs_definition(
    project: Path, stack: MemoryStack, options: list[str], keys: list[str]
) -> None:
    result = call("backfill", "start", JOB, *options)

    assert result.exit_code == 0, result.output
    assert f"of {len(keys)} partitions of job load is requested" in result.output
    assert started(stack) == [keys]


def test_run_gets_the_tags_and_the_config_of_job_partition_and_command(
    project: Path, stack: MemoryStack
) -> None:
    call("backfill", "start", JOB, "--all", "--config", '{"n": 1}', "--tag", "day=x", "--limit", "3")
    (project / "config.json").write_text('{"a": 2}')
    call("backfill", "start", "crossed", "--all", "--config", f"@{project / 'config.json'}", "--name", "both")

    first, second = stack.instance._stores.tables.backfills.values()
    assert (first.run_config, first.tags, first.limit) == ('{"n":1}', {"team": "a", "day": "x"}, 3)
    assert (second.run_config, second.name) == ('{"a":2}', "both")
    [one, _] = stack.instance._stores.tables.backfill_partitions["both"]
    assert one.tags == {"dagster/partition/x": "1", "dagster/partition/y": "3"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([JOB], "Which partitions?"),
        ([JOB, "--all", "--partition", "a"], "Which partitions?"),
        ([JOB, "--all", "--name", "x", "--again", "2"], "choose another name"),
        ([JOB, "--partition", "z"], "Could not find a partition with key `z`"),
        ([JOB, "--partitions", "a"], "'a' is not a range"),
        ([JOB, "--partitions", "a...z"], "Nonexistent partition keys: ['z']"),
        ([JOB, "--all", "--config", "[]"], "must be a JSON object"),
        ([JOB, "--all", "--config", "{"], "--config is not JSON"),
        ([JOB, "--all", "--config", '{"n": "x"}'], "n"),
        ([JOB, "--all", "--tag", "x"], "'x' is not NAME=VALUE"),
        ([JOB, "--all", "--tag", "dagster/max_runtime=x"], "dagster/max_runtime"),
        ([JOB, "--all", "--tag", "dagster/max_retries=x"], "dagster/max_retries"),
        (["other", "--all"], "No partitions of job other were found"),
        (["other", "--partition", "a"], "No job 'other' is registered"),
    ],
    ids=[
        "none", "two", "again", "unknown", "range", "end", "list", "json", "schema", "tag", "runtime", "retries", "no-code", "no-job",
    ],
)  # fmt: skip
def test_command_that_cannot_be_meant_is_refused(
    project: Path, stack: MemoryStack, arguments: list[str], problem: str
) -> None:
    result = call("backfill", "start", *arguments)

    assert result.exit_code == 2
    assert problem in result.output
    assert started(stack) == []


def test_keys_of_a_job_without_partitions_in_code_are_passed_unchecked(
    tmp_path: Path, stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert call("backfill", "start", JOB, "--partition", "z").exit_code == 0
    assert started(stack) == [["z"]]


@pytest.mark.parametrize("name", [".aws-sam", "node_modules"])
def test_folders_of_builds_and_packages_are_not_looked_at(
    project: Path, stack: MemoryStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A build that deletes its folders meanwhile must not fail the command."""
    (project / name / "build").mkdir(parents=True)
    (project / name / "build" / "app.py").write_text(CODE)
    listed: list[str] = []
    listing = os.scandir

    def scandir(path: Any = ".") -> Any:
        listed.append(str(path))
        return listing(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        result = call("backfill", "start", JOB, "--all")

    assert result.exit_code == 0
    assert str(project) in listed
    assert [path for path in listed if name in path] == []
    assert len(started(stack)) == 1


def _second_file(project: Path) -> None:
    (project / "jobs.py").write_text(CODE)


def _broken_file(project: Path) -> None:
    (project / "functions/sensors/daily/app.py").write_text(f"import nothing_of_this_name\n{CODE}")


def _no_variable(project: Path) -> None:
    text = CODE.replace('load = JobDefinition(\n    "load"', 'list((JobDefinition(\n    "load"').replace(
        "]),\n)\ncrossed", "]),\n),))\ncrossed"
    )
    (project / "functions/sensors/daily/app.py").write_text(text)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_second_file, "is defined with partitions in several files"),
        (_broken_file, "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        (_no_variable, "must have one variable with the JobDefinition of load, but has 0"),
    ],
    ids=["two-files", "broken", "no-variable"],
)
def test_code_that_does_not_say_which_partitions_is_refused(
    project: Path, stack: MemoryStack, change: Callable[[Path], None], problem: str
) -> None:
    change(project)

    result = call("backfill", "start", JOB, "--all")

    assert result.exit_code == 2
    assert problem in result.output


def test_code_may_resolve_its_own_annotations(project: Path, stack: MemoryStack) -> None:
    text = f"""from __future__ import annotations
from dataclasses import dataclass
{CODE}
@dataclass
class Row:
    number: int
"""
    (project / "functions/sensors/daily/app.py").write_text(text)

    result = call("backfill", "start", JOB, "--all")

    assert result.exit_code == 0, result.output


def test_file_that_is_named_is_read_alone(project: Path, stack: MemoryStack) -> None:
    _second_file(project)

    assert call("backfill", "start", JOB, "--all", "--code", str(project / "jobs.py")).exit_code == 0


def test_commands_report_the_backfill(project: Path, stack: MemoryStack) -> None:
    call("backfill", "start", JOB, "--all", "--name", "may", "--limit", "2")

    listed, shown = call("backfill", "list").output, call("backfill", "show", "may").output
    as_json = json.loads(call("backfill", "show", "may", "--json").output)

    assert listed.splitlines()[1].split()[:5] == ["may", "load", "REQUESTED", "0", "of"]
    assert "2 in progress" in shown
    assert "ada started it" in shown
    assert (as_json["total"], as_json["counts"]["WAITING"], as_json["runs"]) == (4, 4, [])


@pytest.mark.parametrize(
    ("command", "says", "status"),
    [
        ("pause", "Backfill may is paused", BackfillStatus.PAUSED),
        ("resume", "Backfill may is REQUESTED already", BackfillStatus.REQUESTED),
        ("cancel", "Backfill may is canceled", BackfillStatus.CANCELED),
        ("retry", "Nothing failed", BackfillStatus.REQUESTED),
    ],
)
def test_each_command_says_what_it_did(
    project: Path, stack: MemoryStack, command: str, says: str, status: BackfillStatus
) -> None:
    call("backfill", "start", JOB, "--all", "--name", "may")

    result = call("backfill", command, "may")

    assert result.exit_code == 0, result.output
    assert says in result.output
    assert stack.instance._stores.tables.backfills["may"].status is status


def test_run_that_is_not_canceled_is_named_and_keeps_no_other_from_it(
    project: Path, stack: MemoryStack
) -> None:
    call("backfill", "start", JOB, "--all", "--name", "may")
    instance = stack.instance
    instance._backfiller.advance("may", instance.clock.now() + 60_000)
    first, *others = [each for each in instance.runs() if each.partition_key]
    claimed = replace(first, claim=Claim("t", instance.clock.now() + 1))
    instance._stores.tables.runs[first.run_id] = claimed

    result = call("backfill", "cancel", "may", "--runs", "--json")
    shown = call("backfill", "cancel", "may", "--runs").output.splitlines()

    assert result.exit_code == 2
    runs = json.loads(result.output)["runs"]
    assert (runs["requested"], list(runs["refused"])) == (3, [first.run_id])
    records = instance._stores.tables.runs
    assert {records[each.run_id].status.name for each in others} == {"CANCELED"}
    assert shown[1:] == [
        f"NOT CANCELED: {first.run_id}: {runs['refused'][first.run_id]}",
        "3 of 4 runs were canceled, or received the request to stop.",
    ]


def test_runs_of_a_backfill_are_listed_and_named(project: Path, stack: MemoryStack) -> None:
    call("backfill", "start", JOB, "--all", "--name", "may")
    instance = stack.instance
    instance._advance_backfills()

    listed = call("run", "list", "--backfill", "may").output.splitlines()
    [run] = [each for each in instance.runs() if each.partition_key == "b"]
    shown = CliRunner().invoke(treadle, ["run", "show", run.run_id, "--stack", "shop"]).output

    assert len(listed) == 5
    assert "backfill may" in listed[1]
    assert "backfill may" in shown
    assert "\ntick " not in shown
    assert call("run", "list", "--backfill", "may", "--status", "SUCCESS").output == "No matching runs.\n"
    assert call("run", "list", "--backfill", "may", "--job", JOB).exit_code == 2
