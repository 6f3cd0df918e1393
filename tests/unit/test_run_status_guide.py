"""docs/guide/run-status-sensors.md: every block runs, and every sensor does what the page says."""

import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest

from treadle import DagsterRunStatus, JobDefinition, RunRequest, SensorEvaluationContext, sensor
from treadle.definitions.sensors import SensorDefinition
from treadle.entrypoints.handler import MAX_RECEIVES, RETRY_SECONDS
from treadle.model.runs import Failure, Run
from treadle.testing.instance import TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "run-status-sensors.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
JOBS = [JobDefinition(name) for name in ("load", "orders", "customers")]


@sensor(jobs=JOBS)
def upstream(context: SensorEvaluationContext) -> list[RunRequest]:
    """One run of each job at each tick."""
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    return [RunRequest(f"{job.name}-{number}", job_name=job.name) for job in JOBS]


def run(title: str) -> ModuleType:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)
    return module


def started(instance: TreadleInstance) -> dict[str, Run]:
    """Return the runs of one tick, by job."""
    return {each.job: each for each in instance.tick("upstream").runs}


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, SensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_page_shows_each_kind() -> None:
    assert len(BLOCKS) == 6


def test_load_is_reported_once_it_has_succeeded() -> None:
    instance = TreadleInstance([upstream, run("React to a status").report_each_load])
    runs = started(instance)
    instance.finish_run(runs["load"])
    instance.finish_run(runs["orders"])
    instance.finish_run(started(instance)["load"], DagsterRunStatus.FAILURE)

    [report] = instance.runs(lambda each: each.job == "report")
    assert report.run_config == f'{{"loaded_by":"{runs["load"].run_id}"}}'


def test_failure_is_reported() -> None:
    module = run("React to a failure")
    instance = TreadleInstance([upstream, module.alert])
    instance.finish_run(started(instance)["load"], DagsterRunStatus.FAILURE, Failure("DataError", "row 7"))

    assert module.alerts[0] == 'Execution of run for "load" failed. DataError: row 7'


@pytest.mark.parametrize(
    ("title", "name"),
    [("Wait for several jobs", "report_when_ready"), ("Query runs yourself", "report_by_hand")],
)
def test_report_follows_both(title: str, name: str) -> None:
    instance = TreadleInstance([upstream, getattr(run(title), name)])
    runs = started(instance)
    instance.finish_run(runs["orders"])
    instance.tick(name)
    assert not instance.runs(lambda each: each.job == "report")
    instance.finish_run(runs["customers"])
    instance.tick(name)
    instance.tick(name)

    assert len(instance.runs(lambda each: each.job == "report")) == 1


def test_missed_deadline_is_reported_as_the_page_says() -> None:
    module = run("Alert on missed deadlines")
    instance = TreadleInstance([module.nightly_is_late], start=datetime(2026, 11, 25, 6, tzinfo=UTC))
    instance.reach_deadline(datetime(2026, 11, 25, 6, tzinfo=ZoneInfo("Europe/Berlin")))

    assert module.missed[0] in TEXT


def test_text_on_retries_is_true() -> None:
    assert "retried after 30 seconds, 2, 8 and 30 minutes. After the fifth failure" in TEXT
    assert (RETRY_SECONDS, MAX_RECEIVES) == ((30, 120, 480, 1_800), 5)
