"""`treadle sensor stop --cancel-queued`: what a sensor has requested and has not been started is withdrawn."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.console import MemoryStack
from treadle import JobDefinition, RetryPolicy, RunRequest, SensorEvaluationContext, sensor
from treadle.cli import sensors as commands
from treadle.cli.commands import treadle
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.testing import Pool, TreadleInstance

load = JobDefinition("load", retry_policy=RetryPolicy(max_retries=1, delay=3_600))


@sensor(job=load)
def watch(context: SensorEvaluationContext) -> list[RunRequest]:
    """Request four runs, of which two may be in progress."""
    del context
    return [RunRequest(key) for key in "abcd"]


@sensor(job=load)
def other(context: SensorEvaluationContext) -> list[RunRequest]:
    """Request a run that waits, too."""
    del context
    return [RunRequest("e")]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> MemoryStack:
    """A deployment in which a run is in progress, one waits for its retry, and the others wait for a pool."""
    instance = TreadleInstance([watch, other], pools=[Pool("warehouse", 2, jobs=["load"])])
    made = MemoryStack(instance)

    @contextmanager
    def deployed(_: str) -> Iterator[Any]:
        from treadle.cli.output import exit_on_error

        with exit_on_error():
            yield made.parts

    monkeypatch.setattr(commands, "deployed", deployed)
    for name in ("watch", "other"):
        instance.tick(name)
        instance.clock.advance(1)
    instance.finish_run(run_of(made, "a"), Status.FAILURE)
    instance.clock.advance(90)
    assert {key: run_of(made, key).status.value for key in "abcde"} == {
        "a": "FAILURE",
        "b": "STARTED",
        "c": "STARTED",
        "d": "QUEUED",
        "e": "QUEUED",
    }
    return made


def run_of(stack: MemoryStack, key: str) -> Run:
    [run] = [run for run in stack.instance.runs() if run.run_key == key]
    return run


def hold(stack: MemoryStack) -> Tick:
    """Add a tick whose requests are held."""
    tables = stack.instance._tables
    [tick] = [tick for (of, _), tick in tables.ticks.items() if of == "watch"]
    held = replace(
        tick, tick_id=f"{tick.tick_id}-held", dispatched=None, held="It looks like a loop.", held_requests=4
    )
    tables.ticks["watch", held.tick_id] = held
    return held


def stop(*options: str, answer: str | None = None) -> Result:
    arguments = ["sensor", "stop", "watch", "--stack", "shop", "--by", "ada", *options]
    return CliRunner().invoke(treadle, arguments, input=answer)


def test_what_waits_is_canceled_and_what_has_started_goes_on(stack: MemoryStack) -> None:
    held = hold(stack)

    done = stop("--cancel-queued", "--yes")

    assert done.exit_code == 0, done.output
    assert "Sensor watch: 2 runs canceled, and the held requests of 1 tick dropped." in done.output
    assert {key: run_of(stack, key).status.value for key in "abcde"} == {
        "a": "CANCELED",
        "b": "STARTED",
        "c": "STARTED",
        "d": "CANCELED",
        "e": "QUEUED",
    }
    failure = run_of(stack, "d").failure
    assert failure is not None
    assert failure.cause == "Canceled by ada before it started."
    dropped = stack.instance._tables.ticks["watch", held.tick_id].dropped
    assert dropped is not None
    assert dropped.by == "ada"
    again = stop("--cancel-queued")
    assert "Sensor watch: 0 runs canceled" in again.output


def test_it_asks_first(stack: MemoryStack) -> None:
    done = stop("--cancel-queued", answer="n\n")

    assert done.exit_code == 1
    assert "Cancel 2 runs, and drop the held requests of 0 ticks?" in done.output
    assert run_of(stack, "d").status is Status.QUEUED
    assert stack.parts.overview.sensor("watch").status == "STOPPED"


def test_nothing_is_canceled_without_the_option(stack: MemoryStack) -> None:
    assert stop().exit_code == 0
    assert run_of(stack, "d").status is Status.QUEUED
    assert "--yes is for --cancel-queued." in stop("--yes").output


def test_result_is_a_part_of_the_sensors_json(stack: MemoryStack) -> None:
    shown = json.loads(stop("--cancel-queued", "--yes", "--json").stdout)

    canceled = sorted(run_of(stack, key).run_id for key in "ad")
    assert sorted(shown[0]["withdrawn"]["canceled"]) == canceled
    assert (shown[0]["withdrawn"]["dropped"], shown[0]["withdrawn"]["refused"]) == ([], {})


def test_refused_cancellation_is_reported_and_stops_no_other(
    stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, first = stack.parts.runs.page, run_of(stack, "a")

    def page(**options: Any) -> Any:
        found = whole(**options)
        # It starts after it was listed.
        stack.instance._tables.runs[first.run_id] = replace(first, status=Status.SUCCESS, retry_at=None)
        return found

    monkeypatch.setattr(type(stack.parts.runs), "page", lambda _, **options: page(**options))

    done = stop("--cancel-queued", "--yes")

    assert done.exit_code == 2
    assert f"REFUSED: Run {first.run_id} has already ended: SUCCESS" in done.output
    assert run_of(stack, "d").status is Status.CANCELED
