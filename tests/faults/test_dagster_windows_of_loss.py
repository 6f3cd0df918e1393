"""The windows in which Dagster's sensors lose (L) runs, each closed here; test_dagster_windows.py has the duplicates.

Numbers and names are those of docs/reference/dagster-windows.md, which also says which ones cannot exist here.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.support.dispatching import NOON
from tests.support.engine import EngineHarness, sensor_of
from tests.support.tables import create_tables
from tests.support.windows import at_once, counting, launch_all, load, numbers_started
from tests.template.engine_model import read_engine
from treadle import (
    DagsterRunStatus,
    RunRequest,
    S3Object,
    SensorEvaluationContext,
    SensorResult,
    TickStatus,
    s3_sensor,
    sensor,
)
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.definitions.errors import LaunchDelayedError, LaunchRejectedError, SensorEvaluationError
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints import metric_names
from treadle.integrations.s3 import S3SensorDefinition
from treadle.model.assets import AssetEvent
from treadle.model.registry import KeptEntry, RegistryCopy
from treadle.testing import TreadleInstance
from treadle.testing.registry import sensor_text


@pytest.fixture
def harness() -> EngineHarness:
    """Return the engine over stores in memory."""
    return EngineHarness()


@pytest.fixture
def stores(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> DynamoStores:
    """Return empty tables on DynamoDB Local, which serializes the conditional writes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    return DynamoStores(create_tables(), RandomTokens())


@pytest.fixture
def files() -> S3SensorDefinition:
    """Return a sensor that requests a run for each object, and raises for the keys in `broken`."""

    @s3_sensor("raw", job=load, name="files", start_from="beginning")
    def files(context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
        if stored.key in broken:
            msg = f"cannot take {stored.key}"
            raise ValueError(msg)
        return RunRequest(run_config={"key": stored.key})

    return files


broken: set[str] = set()


@pytest.fixture(autouse=True)
def nothing_broken() -> Iterator[None]:
    """Reset `broken` for each test."""
    broken.clear()
    yield
    broken.clear()


def started(instance: TreadleInstance) -> list[str]:
    """Return the keys of the objects whose runs were started, each as often as it was."""
    return sorted(json.loads(text)["run_config"]["key"] for text in instance.target.payloads.values())


def test_l1_event_whose_evaluation_raised_comes_again_until_it_is_evaluated(
    files: S3SensorDefinition,
) -> None:
    instance = TreadleInstance([files])
    event = instance.objects.put("raw", "a")
    broken.add("a")

    with pytest.raises(SensorEvaluationError, match="cannot take a"):
        instance.send(event)
    broken.clear()
    second = instance.send(event)["files"]

    assert second.tick is not None
    assert (second.tick.status, second.tick.attempts) == (TickStatus.SUCCESS, 2)
    assert started(instance) == ["a"]


def test_l2_later_success_leaves_an_earlier_events_error_as_it_was(files: S3SensorDefinition) -> None:
    instance = TreadleInstance([files])
    broken.add("a")

    with pytest.raises(SensorEvaluationError):
        instance.put_object("raw", "a")
    instance.put_object("raw", "b")

    failed = [tick for tick in instance.ticks("files") if tick.status is TickStatus.FAILURE]
    assert [tick.error.message.rpartition(": ")[2] for tick in failed if tick.error] == ["cannot take a"]
    assert started(instance) == ["b"]


@pytest.mark.parametrize("cursor", [None, "junk"])
def test_l3_what_was_there_before_the_first_tick_or_beside_a_broken_cursor_is_found(
    cursor: str | None, files: S3SensorDefinition
) -> None:
    instance = TreadleInstance([files])
    instance.objects.put("raw", "early")
    instance.set_cursor("files", cursor)

    first = instance.tick("files")
    if cursor:
        assert (
            first.outcome.decision is Decision.FAILURE
        )  # The error is reported; no other position is assumed.
        instance.set_cursor("files", None)
        instance.tick("files")

    assert started(instance) == ["early"]


def test_l4_reader_that_follows_the_numbers_misses_no_event_of_writers_at_the_same_time(
    stores: DynamoStores,
) -> None:
    writers, each = 4, 8
    seen: list[str] = []

    def write(writer: int) -> None:
        for number in range(each):
            event = AssetEvent("asset", f"{writer}/{number}", "ASSET_MATERIALIZATION", NOON, "{}")
            stores.events.append([event])

    def read_on() -> None:
        position, ends = 0, datetime.now(UTC) + timedelta(seconds=60)
        while len(seen) < writers * each and datetime.now(UTC) < ends:
            for event in stores.events.after("asset", position, 5):
                assert event.storage_id == position + 1  # A later event has a higher number.
                position = event.storage_id
                seen.append(event.event_id)

    calls: list[Callable[[], None]] = [read_on, *(partial(write, writer) for writer in range(writers))]
    at_once(calls)

    assert sorted(seen) == sorted(f"{writer}/{number}" for writer in range(writers) for number in range(each))


def test_l5_launch_that_fails_is_retried_or_ends_its_run_with_the_targets_error() -> None:
    @sensor(job=load, name="watch")
    def once(context: SensorEvaluationContext) -> SensorResult | None:
        return None if context.cursor else SensorResult([RunRequest("a"), RunRequest("b")], cursor="1")

    instance = TreadleInstance([once])
    instance.target.refusals = iter([LaunchRejectedError("no such machine"), LaunchDelayedError("busy")])

    result = instance.tick("watch")
    refused, waiting = result.runs
    launch_all(instance._stores.runs, instance._launches, instance.target, instance.clock)

    assert (refused.status, refused.failure and refused.failure.cause) == (
        DagsterRunStatus.FAILURE,
        "no such machine",
    )
    assert waiting.status is DagsterRunStatus.QUEUED
    assert instance._stores.runs.get(waiting.run_id) == instance.runs()[1]
    assert instance.runs()[1].status is DagsterRunStatus.STARTED


@pytest.mark.parametrize("end", [DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
def test_l6_key_of_a_failed_run_starts_again_as_often_as_the_sensor_declares(end: DagsterRunStatus) -> None:
    @sensor(job=load, name="watch", retries_per_key=2)
    def again() -> RunRequest:
        return RunRequest("the key")

    instance = TreadleInstance([again])
    attempts = []
    for _ in range(5):
        instance.tick("watch")
        (run,) = instance.runs()
        attempts.append(run.attempt)
        instance.finish_run(run, end)

    assert attempts == [1, 2, 3, 3, 3]
    assert len(instance.target.executions) == 3


def test_l6_run_that_never_reached_its_target_yields_its_key_to_a_changed_request() -> None:
    version = ["old"]

    @sensor(job=load, name="watch")
    def latest() -> RunRequest:
        return RunRequest("the key", {"version": version[0]})

    instance = TreadleInstance([latest])
    instance.target.refusals = iter([LaunchRejectedError("old is not known")])
    instance.tick("watch")
    same_again = instance.tick("watch")
    version[0] = "new"

    changed = instance.tick("watch")
    taken = instance.tick("watch")

    assert [each.outcome.decision for each in (same_again, changed, taken)] == [
        Decision.SKIPPED,
        Decision.SUCCESS,
        Decision.SKIPPED,
    ]
    (run,) = instance.runs()
    assert (run.attempt, run.status) == (2, DagsterRunStatus.STARTED)
    assert json.loads(instance.payload(run))["run_config"] == {"version": "new"}


def test_l7_invalid_request_is_rejected_and_those_behind_it_start() -> None:
    @sensor(job=load, name="watch")
    def batch() -> list[RunRequest]:
        return [RunRequest(str(n), {"n": n}) for n in (1, "two", 3)]

    instance = TreadleInstance([batch])

    tick = instance.tick("watch").tick

    assert tick is not None
    assert [each.run_key for each in tick.rejected] == ["two"]
    assert "run_config.n must be integer" in tick.rejected[0].reason
    assert numbers_started(instance.target) == [1, 3]


def test_l8_cursor_that_is_set_during_a_tick_stands() -> None:
    @sensor(job=load, name="watch", minimum_interval_seconds=60)
    def edited(context: SensorEvaluationContext) -> SensorResult:
        seen.append(context.cursor)
        if len(seen) == 1:
            instance.set_cursor("watch", "the operator's")
        return SensorResult([RunRequest()], cursor="the tick's")

    seen: list[str | None] = []
    instance = TreadleInstance([edited])

    lost = instance.tick("watch")
    after = instance.cursor("watch")
    instance.tick("watch")

    assert (lost.outcome.decision, lost.runs, after) == (Decision.LOST, (), "the operator's")
    assert seen == [None, "the operator's"]
    assert len(instance.runs()) == 1


def test_l11_committed_requests_are_launched_however_late(harness: EngineHarness) -> None:
    harness.leased(sensor_of(lambda: [RunRequest("a"), RunRequest()])).tick(NOON, Budget())
    harness.clock.advance(3 * 86_400)  # The stream's retention of the tick has ended.

    found = harness.reconciler(targets={}).reconcile(60)
    launch_all(harness.runs, harness.launches, harness.target, harness.clock)

    assert found.dispatched == 1
    assert {run.status for run in harness.tables.runs.values()} == {DagsterRunStatus.STARTED}
    assert len(harness.target.executions) == 2


def test_l13_cursor_of_a_sensor_that_never_ticked_is_set_without_stopping_it() -> None:
    instance = TreadleInstance([sensor_of(counting, name="watch")])

    instance.set_cursor("watch", "41")
    instance.tick("watch")

    assert instance.cursor("watch") == "42"
    assert numbers_started(instance.target) == [42]


def test_l14_function_that_does_not_load_raises_an_alarm(harness: EngineHarness) -> None:
    """It has no tick, and no error of Treadle's: RECONCILE finds that its sensor is late."""
    now = harness.clock.now()
    entries = {"sensors/watch": KeptEntry(sensor_text("shop", interval="60"), now, changed_at=now)}
    harness.tables.registry = RegistryCopy("main", entries, now)
    late_sensors = harness.engine.late_sensors(harness.bus)

    def reconciled() -> tuple[str, ...]:
        return harness.reconciler(targets={}, late_sensors=late_sensors).reconcile(60).late

    fresh = reconciled()
    harness.clock.advance(5 * 60)

    assert (fresh, reconciled()) == ((), ("watch",))
    assert [(each.detail["sensor"], each.detail["status"]) for each in harness.bus.events] == [
        ("watch", "LATE")
    ]
    assert metric_names.SENSORS_LATE in metric_names.FOR_A_PERSON  # The alarm's metric counts it, too.
    alarms = read_engine().resources("AWS::CloudWatch::Alarm")
    always = {
        alarm["MetricName"]
        for name, alarm in alarms.items()
        if alarm["Namespace"] == "Treadle" and "Condition" not in read_engine().section("Resources")[name]
    }
    assert metric_names.ACTION_NEEDED in always
