"""Replay: a sensor is told of a time range once more, and evaluates what it has not evaluated before."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from treadle import (
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    RunStatusSensorContext,
    run_status_sensor,
    sensor,
)
from treadle.adapters.events import parse_sensor_event
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import FINISHED_STATUSES
from treadle.operate.replay import Replayer
from treadle.ports.runs import Run
from treadle.testing.instance import TreadleInstance
from treadle.testing.news import NAMESPACE
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import InMemoryQueue

SUCCESS, STARTED = DagsterRunStatus.SUCCESS, DagsterRunStatus.STARTED
load = JobDefinition("load")
seen: list[str] = []


@sensor(job=load)
def start() -> RunRequest:
    """A run at each tick."""
    return RunRequest()


@run_status_sensor(SUCCESS, monitored_jobs=[load])
def watch(context: RunStatusSensorContext) -> None:
    """Act."""
    seen.append(context.dagster_run.run_id)


@pytest.fixture
def instance() -> TreadleInstance:
    seen.clear()
    return TreadleInstance([start, watch])


def ended(instance: TreadleInstance) -> Run:
    """A run that starts and succeeds, a minute long."""
    [run] = instance.tick("start").runs
    instance.clock.advance(60)
    return instance.finish_run(run).run


def replayed(
    instance: TreadleInstance, since: timedelta, until: timedelta = timedelta(0), **options: Any
) -> tuple[int, InMemoryQueue]:
    """The number of events sent, and the sensor's queue with them."""
    queue = InMemoryQueue()
    now = datetime.fromtimestamp(instance.clock.now() / 1000, UTC)
    replayer = Replayer(InMemoryRunStore(instance._tables), {"watch": queue}, NAMESPACE, instance.clock)
    given: dict[str, Any] = {"sensor": "watch", "jobs": ["load"], "statuses": FINISHED_STATUSES, **options}
    found = replayer.replay(since=now - since, until=now - until + timedelta(milliseconds=1), **given)
    return found.events, queue


def test_what_was_missed_while_the_sensor_was_stopped_is_evaluated_and_nothing_else_again(
    instance: TreadleInstance,
) -> None:
    first = ended(instance)
    instance.stop_sensor("watch")
    second = ended(instance)
    instance.start_sensor("watch")
    assert seen == [first.run_id]

    events, queue = replayed(instance, timedelta(hours=1))
    for body in queue.drain():
        instance.send(parse_sensor_event(body))

    assert events == 2
    assert seen == [first.run_id, second.run_id]


def test_only_the_time_range_the_jobs_and_the_statuses_asked_for_are_told(instance: TreadleInstance) -> None:
    ended(instance)
    instance.clock.advance(600)
    ended(instance)
    instance.tick("start")

    assert replayed(instance, timedelta(minutes=5))[0] == 1
    assert replayed(instance, timedelta(hours=1), timedelta(minutes=5))[0] == 1
    assert replayed(instance, timedelta(hours=1), jobs=["other"])[0] == 0
    assert replayed(instance, timedelta(hours=1), statuses=[STARTED])[0] == 3


@pytest.mark.parametrize(
    ("since", "options", "words"),
    [
        (timedelta(days=91), {}, "more than 90 days ago"),
        (timedelta(hours=-1), {}, "There is no time from"),
        (timedelta(hours=1), {"sensor": "other"}, "no sensor 'other'; it has: watch"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_reason(
    instance: TreadleInstance, since: timedelta, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(CommandRefusedError, match=words):
        replayed(instance, since, **options)
