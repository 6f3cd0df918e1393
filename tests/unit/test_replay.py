"""Replay: a sensor receives the events of a time range again, and evaluates what it has not evaluated before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    DagsterRunStatus,
    EventLogEntry,
    JobDefinition,
    RunRequest,
    RunStatusSensorContext,
    SensorEvaluationContext,
    asset_sensor,
    run_status_sensor,
    sensor,
)
from treadle.adapters.events import parse_sensor_event
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import FINISHED_STATUSES
from treadle.model.runs import Run
from treadle.operate.replay import Replayer
from treadle.testing.bus import NAMESPACE
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.instance import TreadleInstance
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


@asset_sensor(AssetKey(["shop", "orders"]), job=load)
def on_orders(context: SensorEvaluationContext, asset_event: EventLogEntry) -> RunRequest:
    """A run for each materialization."""
    return RunRequest(context.cursor)


@pytest.fixture
def instance() -> TreadleInstance:
    seen.clear()
    return TreadleInstance([start, watch, on_orders])


def ended(instance: TreadleInstance) -> Run:
    """Return a run that starts and succeeds, a minute long."""
    [run] = instance.tick("start").runs
    instance.clock.advance(60)
    return instance.finish_run(run).run


def replayed(
    instance: TreadleInstance, since: timedelta, until: timedelta = timedelta(0), **options: Any
) -> tuple[int, InMemoryQueue]:
    """Return the number of events sent, and the sensor's queue with them."""
    replayer, queue = replayer_of(instance, "watch")
    given: dict[str, Any] = {"sensor": "watch", "jobs": ["load"], "statuses": FINISHED_STATUSES, **options}
    found = replayer.replay_runs(**span(instance, since, until), **given)
    return found.events, queue


def replayer_of(instance: TreadleInstance, sensor: str) -> tuple[Replayer, InMemoryQueue]:
    """Return a replayer on the instance's stores, and the sensor's queue."""
    queue, tables = InMemoryQueue(), instance._tables
    runs, assets = InMemoryRunStore(tables), InMemoryEventStore(tables)
    return Replayer(runs, assets, {sensor: queue}, NAMESPACE, instance.clock), queue


def span(instance: TreadleInstance, since: timedelta, until: timedelta = timedelta(0)) -> dict[str, Any]:
    """From so long ago until so long ago, this moment included."""
    now = datetime.fromtimestamp(instance.clock.now() / 1000, UTC)
    return {"since": now - since, "until": now - until + timedelta(milliseconds=1)}


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


def test_only_the_time_range_the_jobs_and_the_statuses_requested_are_reported(
    instance: TreadleInstance,
) -> None:
    ended(instance)
    instance.clock.advance(600)
    ended(instance)
    instance.tick("start")

    assert replayed(instance, timedelta(minutes=5))[0] == 1
    assert replayed(instance, timedelta(hours=1), timedelta(minutes=5))[0] == 1
    assert replayed(instance, timedelta(hours=1), jobs=["other"])[0] == 0
    assert replayed(instance, timedelta(hours=1), statuses=[STARTED])[0] == 3


@pytest.mark.parametrize(
    ("since", "options", "message"),
    [
        (timedelta(days=91), {}, "more than 90 days ago"),
        (timedelta(hours=-1), {}, "The range from .* is empty"),
        (timedelta(hours=1), {"sensor": "other"}, "no sensor 'other'; it has: watch"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_reason(
    instance: TreadleInstance, since: timedelta, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CommandRefusedError, match=message):
        replayed(instance, since, **options)


ORDERS, OTHER = "shop/orders", "shop/customers"


def made(instance: TreadleInstance, key: str = ORDERS) -> None:
    instance.report_runless_asset_event(AssetMaterialization(AssetKey(key.split("/"))))


def test_materializations_missed_while_the_sensor_was_stopped_start_their_runs_and_no_other_again(
    instance: TreadleInstance,
) -> None:
    made(instance)
    instance.stop_sensor("on_orders")
    made(instance)
    made(instance, OTHER)
    instance.start_sensor("on_orders")
    assert [run.run_key for run in instance.runs()] == ["1"]

    replayer, queue = replayer_of(instance, "on_orders")
    found = replayer.replay_assets("on_orders", [ORDERS], **span(instance, timedelta(hours=1)))
    for body in queue.drain():
        instance.send(parse_sensor_event(body))

    assert (found.subjects, found.events) == (1, 2)
    assert sorted(run.run_key or "" for run in instance.runs()) == ["1", "2"]


def test_a_materialization_is_replayed_by_the_time_it_was_made_however_late_it_was_reported(
    instance: TreadleInstance,
) -> None:
    made(instance)
    instance.clock.advance(3_600)
    made(instance)
    # Reported now, and made before both.
    store = InMemoryEventStore(instance._tables)
    [newest] = store.newest([ORDERS]).values()
    store.append([replace(newest, event_id="late", time=newest.time - 2 * 3_600_000, storage_id=0)])
    replayer, queue = replayer_of(instance, "on_orders")

    newer = replayer.replay_assets("on_orders", [ORDERS], **span(instance, timedelta(minutes=5)))
    [body] = queue.drain()
    older = replayer.replay_assets(
        "on_orders", [ORDERS], **span(instance, timedelta(hours=3), timedelta(minutes=90))
    )

    assert (newer.events, older.events) == (1, 1)
    [late] = queue.drain()
    numbers = [parse_sensor_event(each).storage_id for each in (body, late)]  # type: ignore[union-attr]
    assert numbers == [2, 3]


def test_assets_of_a_time_before_the_records_of_what_was_evaluated_are_refused(
    instance: TreadleInstance,
) -> None:
    replayer, _ = replayer_of(instance, "on_orders")

    with pytest.raises(CommandRefusedError, match="more than 90 days ago"):
        replayer.replay_assets("on_orders", [ORDERS], **span(instance, timedelta(days=91)))
