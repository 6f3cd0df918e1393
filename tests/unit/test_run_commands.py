"""`treadle run show` and `list`: what became of a run, and where that is shown in the AWS console."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from click import unstyle

from tests.support.console import MemoryStack
from tests.support.project import run as treadle
from treadle import RunRequest, sensor
from treadle.cli import runs as commands
from treadle.cli.output import exit_on_error, table, when
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.testing import TreadleInstance

EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:load:1"
IDS = ("0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11", "8a785525-4e34-51fd-8c2b-7e3a1d0f7e11")


@sensor(job_name="load")
def watch() -> RunRequest:
    """Request a run."""
    return RunRequest("k")


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> MemoryStack:
    """A deployment whose only run has failed after 42 seconds."""
    made = MemoryStack(TreadleInstance([watch]))

    @contextmanager
    def deployed(_: str) -> Iterator[Any]:
        with exit_on_error():
            yield made.parts

    monkeypatch.setattr(commands, "deployed", deployed)
    [run] = made.instance.tick("watch").runs
    made.instance.clock.advance(42)
    made.instance.finish_run(run, Status.FAILURE, Failure("States.TaskFailed", "row 7 is short"))
    [run] = made.instance.runs()
    made.instance._tables.runs[run.run_id] = replace(run, external_id=EXECUTION)
    return made


def done(*arguments: str) -> str:
    result = treadle("run", *arguments, "--stack", "shop")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_run_is_shown_with_its_end_its_duration_and_links(stack: MemoryStack) -> None:
    [run] = stack.instance.runs()
    lines = done("show", run.run_id).splitlines()
    fields = dict(line.split(maxsplit=1) for line in lines if line.strip())

    assert (fields["started"], fields["ended"]) == (when(run.started_at), when(run.ended_at))
    assert fields["took"] == "42 s"
    host = "https://eu-central-1.console.aws.amazon.com"
    url = f"{host}/states/home?region=eu-central-1#/v2/executions/details/{EXECUTION}"
    assert lines[-1] == f"execution in the AWS console: {url}"
    assert json.loads(done("show", run.run_id, "--json"))["links"] == [{"label": "execution", "url": url}]


def test_run_in_progress_has_neither_end_nor_duration(stack: MemoryStack) -> None:
    [run] = stack.instance.runs()
    stack.instance._tables.runs[run.run_id] = replace(run, ended_at=None, external_id=None)

    shown = done("show", run.run_id)

    assert not {"ended", "took"} & {line.split(" ")[0] for line in shown.splitlines()}
    assert "AWS console" not in shown


def test_list_has_duration_and_error(stack: MemoryStack) -> None:
    head, row = done("list").splitlines()

    assert head.split() == [
        "RUN",
        "JOB",
        "SENSOR",
        "STATUS",
        "ATTEMPT",
        "MADE",
        "TOOK",
        "RUN",
        "KEY",
        "ERROR",
    ]
    assert row.endswith("  42 s  k        States.TaskFailed: row 7 is short")


class Terminal:
    """A terminal's output."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(("columns", "is_short"), [(140, False), (90, True), (60, True)])
def test_ids_are_never_broken_and_short_where_they_would_not_fit(
    monkeypatch: pytest.MonkeyPatch, columns: int, is_short: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    reason = "row 7 of the file is short, " * 2

    table(("RUN", "MADE", "REASON"), [(each, "2026-11-28T05:46:23Z", reason) for each in IDS], "")

    for each in IDS:
        shown = [line for line in terminal.text.splitlines() if line.startswith(each[:8])]
        assert [line.split()[:2] for line in shown] == [
            [each[:8] if is_short else each, "2026-11-28T05:46:23Z"]
        ]
    assert max(map(len, unstyle(terminal.text).splitlines())) <= columns


def test_ids_in_pipes_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table(("RUN", "REASON"), [(each, "x" * 400) for each in IDS], "")

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(IDS)
