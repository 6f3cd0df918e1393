"""docs/guide/backfills.md: the commands print what the page shows, and its test passes."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.console import MemoryStack
from treadle.cli import backfills as commands
from treadle.cli.commands import treadle
from treadle.cli.output import exit_on_error
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "backfills.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
SHOWN = [
    each.partition("\n")[::2]
    for block in re.findall(r"^```console\n\$ (.*?)\n```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    for each in block.split("\n\n$ ")
]
"""Each command, and what it prints."""


def _request() -> RunRequest:
    return RunRequest()


def _end_some(instance: TreadleInstance) -> None:
    """End three of the four runs, one of them as failed."""
    instance.clock.advance(600)
    started = [run for run in instance.runs() if run.partition_key]
    for run, status in zip(started[:3], ("SUCCESS", "FAILURE", "SUCCESS"), strict=True):
        instance.finish_run(run, DagsterRunStatus(status))


def test_commands_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "template.yaml").write_text("Resources: {}\n")
    (tmp_path / "functions" / "sensors").mkdir(parents=True)
    (tmp_path / "functions" / "sensors" / "jobs.py").write_text(BLOCKS[0])
    monkeypatch.chdir(tmp_path)
    job = JobDefinition("load_day")
    daily = SensorDefinition("daily", evaluation_fn=_request, job=job)
    instance = TreadleInstance([daily], start=datetime(2026, 11, 23, 9, tzinfo=UTC))
    instance.tick("daily")
    stack = MemoryStack(instance)

    @contextmanager
    def deployed(_: str) -> Iterator[Any]:
        with exit_on_error():
            yield stack.parts

    monkeypatch.setattr(commands, "deployed", deployed)
    assert len(SHOWN) == 9
    for command, shown in SHOWN:
        if command == "treadle backfill list":
            _end_some(instance)
        arguments = [*shlex.split(command)[1:], "--stack", "shop"]
        by = [] if arguments[1] in {"list", "show"} else ["--by", "ada"]

        printed = CliRunner().invoke(treadle, [*arguments, *by]).output

        assert printed.rstrip("\n") == shown.rstrip("\n"), command
        instance._advance_backfills()


def test_test_of_the_page_passes() -> None:
    made = ModuleType("app")
    for block in BLOCKS:
        exec(block, made.__dict__)

    made.test_backfill_runs_two_at_a_time()
