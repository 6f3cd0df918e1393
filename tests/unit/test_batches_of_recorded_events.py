"""Batches of run statuses, materializations and stream records: each is in exactly one, as it was recorded."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import (
    AssetKey,
    AssetMaterialization,
    Batch,
    BatchSensorContext,
    DagsterRunStatus,
    EventLogRecord,
    JobDefinition,
    MetadataValue,
    RunRequest,
    RunStatusEvent,
    SkipReason,
    StreamRecord,
    TickStatus,
    asset_sensor,
    build_batch_sensor_context,
    build_sensor_context,
    run_failure_sensor,
    run_status_sensor,
    sensor,
    stream_sensor,
)
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.attribute_values import plain_attributes, typed_attributes
from treadle.definitions.errors import InvalidResultError
from treadle.definitions.results import DagsterRunReaction
from treadle.definitions.runs import DagsterRun, RunFailure, StepFailure, depth_of, from_millis
from treadle.engine.tick.batch_content import packed, unpacked
from treadle.model.runs import Failure, Run
from treadle.model.ticks import Tick
from treadle.testing import TreadleInstance

load, report = JobDefinition("load"), JobDefinition("report")
ORDERS = AssetKey("orders")
THREE = Batch(size=3, within=timedelta(minutes=5))
TIME = datetime(2026, 11, 30, 12, 0, 0, 123_000, UTC)


@sensor(job=load)
def loads() -> list[RunRequest]:
    """Request three runs."""
    return [
        RunRequest(run_key=key, run_config={"key": key}, tags={"customer": key[0]})
        for key in ("a1", "b1", "a2")
    ]


def ended(instance: TreadleInstance, *statuses: DagsterRunStatus) -> tuple[Run, ...]:
    """Start three runs, and end them."""
    started = instance.tick("loads").runs
    for run, status in zip(started, statuses, strict=True):
        instance.clock.advance(1)
        failure = (
            Failure("States.TaskFailed", "no space left") if status is DagsterRunStatus.FAILURE else None
        )
        instance.finish_run(run, status, failure)
    return started


def batches(instance: TreadleInstance, name: str) -> list[Tick]:
    return [each for each in instance.ticks(name) if (each.trigger or "").startswith("Batch")]


def configs(instance: TreadleInstance, name: str) -> list[Any]:
    return [json.loads(run.run_config) for tick in reversed(batches(instance, name)) for run in tick.requests]


SUCCESS, FAILURE = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE


# ---- Run statuses


def test_runs_that_succeed_together_start_one_run_that_gets_them_as_they_are_recorded() -> None:
    @run_status_sensor(SUCCESS, monitored_jobs=[load], request_job=report, batch=THREE)
    def loaded(context: BatchSensorContext) -> RunRequest:
        assert not hasattr(context, "dagster_run")
        assert {each.status for each in context.items} == {SUCCESS}
        return RunRequest(run_config={"keys": [each.dagster_run.run_config["key"] for each in context.items]})

    instance = TreadleInstance([loads, loaded])
    runs = ended(instance, SUCCESS, SUCCESS, SUCCESS)

    assert configs(instance, "loaded") == [{"keys": ["a1", "b1", "a2"]}]
    [tick] = instance.ticks("loaded")
    assert tick.requests[0].run_key == (tick.trigger or "").rpartition(": ")[2]
    [started] = instance.runs(lambda run: run.job == "report")
    assert depth_of(started.tags) == depth_of(runs[0].tags) + 1
    known = instance._stores.batches.known("loaded", [f"{each.run_id}/1/0/SUCCESS" for each in runs])
    assert [each.tick_id for each in known.values()] == [tick.tick_id] * 3


def test_failures_of_a_customer_are_one_batch_which_time_closes() -> None:
    reported: list[tuple[str, list[str]]] = []

    @run_failure_sensor(
        batch=Batch(within=timedelta(minutes=1), by=lambda each: each.dagster_run.tags["customer"])
    )
    def failed(context: BatchSensorContext) -> None:
        messages = [each.dagster_event.event_specific_data.error.message for each in context.items]
        reported.append((context.by, messages))

    instance = TreadleInstance([loads, failed])
    ended(instance, FAILURE, FAILURE, FAILURE)
    assert [each.items for each in instance.open_batches("failed")] == [2, 1]
    instance.clock.advance(61)
    instance.reconcile()

    assert sorted(reported) == [("a", ["no space left"] * 2), ("b", ["no space left"])]
    assert [each.status for each in batches(instance, "failed")] == [TickStatus.SUCCESS] * 2
    assert batches(instance, "failed")[0].reason == 'Sensor "failed" acted on a batch of run statuses.'


def test_status_that_is_delivered_again_is_in_one_batch() -> None:
    @run_status_sensor(SUCCESS, request_job=report, monitored_jobs=[load], batch=THREE)
    def loaded(context: BatchSensorContext) -> RunRequest:
        return RunRequest(run_config={"number": len(context.items)})

    instance = TreadleInstance([loads, loaded])
    ended(instance, SUCCESS, SUCCESS, SUCCESS)
    events = [each for each in instance.run_status_events() if each.status is SUCCESS]

    answers = [instance.send(each)["loaded"].outcome.decision.value for each in events]

    assert answers == ["DUPLICATE"] * 3
    assert configs(instance, "loaded") == [{"number": 3}]


def test_statuses_of_one_run_are_items_of_their_own() -> None:
    @run_status_sensor([DagsterRunStatus.STARTED, SUCCESS], monitored_jobs=[load], batch=Batch(size=6))
    def reached(context: BatchSensorContext) -> SkipReason:
        return SkipReason(" ".join(each.status for each in context.items))

    instance = TreadleInstance([loads, reached])
    ended(instance, SUCCESS, SUCCESS, SUCCESS)

    [tick] = instance.ticks("reached")
    assert tick.status is TickStatus.SKIPPED
    assert sorted((tick.reason or "").split()) == ["STARTED"] * 3 + ["SUCCESS"] * 3


def test_reaction_with_an_error_fails_the_batch_and_its_items_wait() -> None:
    @run_status_sensor(SUCCESS, monitored_jobs=[load], batch=THREE)
    def loaded(context: BatchSensorContext) -> DagsterRunReaction:
        return DagsterRunReaction(context.items[0].dagster_run, ValueError("refused"), SUCCESS)

    instance = TreadleInstance([loads, loaded])
    ended(instance, SUCCESS, SUCCESS, SUCCESS)

    [tick] = instance.ticks("loaded")
    assert (tick.status, tick.error is not None and "refused" in tick.error.message) == (
        TickStatus.FAILURE,
        True,
    )
    assert [(each.items, each.failures) for each in instance.open_batches("loaded")] == [(3, 1)]


def test_status_that_the_sensor_does_not_monitor_waits_for_no_batch() -> None:
    @run_status_sensor(SUCCESS, monitored_jobs=[report], batch=THREE)
    def reported(context: BatchSensorContext) -> None:
        del context

    instance = TreadleInstance([loads, reported])
    ended(instance, SUCCESS, SUCCESS, FAILURE)

    assert instance.open_batches("reported") == ()


def test_failure_that_is_retried_waits_for_no_batch() -> None:
    @run_failure_sensor(batch=THREE)
    def failed(context: BatchSensorContext) -> None:
        del context

    event = RunStatusEvent(DagsterRun("r", "load", FAILURE), FAILURE, TIME, will_retry=True)

    data = failed.configured({}).evaluate_event(build_sensor_context(), event)

    assert (data.items, "another attempt" in str(data.skip_message)) == ((), True)


def test_batch_of_run_statuses_is_evaluated_in_a_test() -> None:
    @run_status_sensor(SUCCESS, request_job=report, batch=THREE)
    def loaded(context: BatchSensorContext) -> RunRequest:
        return RunRequest(
            run_key="k", run_config={"runs": [each.dagster_run.run_id for each in context.items]}
        )

    context = build_batch_sensor_context([RunStatusEvent(DagsterRun("r", "load", SUCCESS), SUCCESS, TIME)])

    assert loaded(context).run_config == {"runs": ["r"]}
    data = loaded.evaluate_tick(context)
    assert [each.run_config for each in data.run_requests] == [{"runs": ["r"]}]
    assert not loaded.evaluate_tick(build_sensor_context(instance=TreadleInstance([]))).run_requests


# ---- Materializations


def materialize(instance: TreadleInstance, *partitions: str) -> list[AssetMaterialized]:
    made = []
    for each in partitions:
        instance.clock.advance(1)
        event = AssetMaterialization(
            ORDERS, metadata={"rows": 2, "at": MetadataValue.path("x")}, partition=each
        )
        made.append(instance.report_runless_asset_event(event))
    return made


def test_materializations_are_one_batch_of_records_with_their_storage_ids() -> None:
    @asset_sensor(ORDERS, job=report, batch=THREE)
    def updated(context: BatchSensorContext, records: tuple[EventLogRecord, ...]) -> RunRequest:
        assert records == context.items
        paths = {each.asset_materialization.metadata["at"] for each in records if each.asset_materialization}
        assert paths == {MetadataValue.path("x")}
        return RunRequest(run_config={"parts": [[each.storage_id, each.partition_key] for each in records]})

    instance = TreadleInstance([updated])
    made = materialize(instance, "a", "b", "c", "d")
    again = [instance.send(each)["updated"].outcome.decision.value for each in made]

    assert again == ["DUPLICATE"] * 4
    assert configs(instance, "updated") == [{"parts": [[1, "a"], [2, "b"], [3, "c"]]}]
    [waits] = instance.open_batches("updated")
    assert (waits.items, waits.bytes) == (1, len('{"at":"x","rows":2}'))


def test_materializations_of_partitions_are_kept_apart() -> None:
    @asset_sensor(ORDERS, job=report, batch=Batch(size=2, by=lambda each: each.partition_key))
    def updated(context: BatchSensorContext) -> RunRequest:
        return RunRequest(run_config={"of": context.by, "ids": [each.storage_id for each in context.items]})

    instance = TreadleInstance([updated])
    materialize(instance, "a", "b", "a")

    assert configs(instance, "updated") == [{"of": "a", "ids": [1, 3]}]


def test_batch_of_materializations_is_evaluated_in_a_test() -> None:
    @asset_sensor(ORDERS, job=report, batch=THREE)
    def updated(context: BatchSensorContext) -> RunRequest:
        return RunRequest(run_key="k", run_config={"ids": [each.storage_id for each in context.items]})

    made = AssetMaterialized(AssetMaterialization(ORDERS), "e", 7, TIME)
    context = build_batch_sensor_context([EventLogRecord.of(made)])

    assert updated(context).run_config == {"ids": [7]}
    assert [each.run_config for each in updated.evaluate_tick(context).run_requests] == [{"ids": [7]}]
    instance = TreadleInstance([])
    instance.report_runless_asset_event(AssetMaterialization(ORDERS))
    assert not updated.evaluate_tick(build_sensor_context(instance=instance)).run_requests


# ---- Records


def test_records_are_one_batch_in_the_order_of_their_keys() -> None:
    @stream_sensor("orders", job=report, batch=Batch(size=12))
    def changed(context: BatchSensorContext) -> RunRequest:
        return RunRequest(run_config={"numbers": [each.json() for each in context.items]})

    instance = TreadleInstance([changed])
    for number in range(12):  # All of them in the same millisecond.
        instance.put_record("orders", [number], sequence_number=str(number + 5))
    instance.clock.advance(300)
    instance.reconcile()

    assert configs(instance, "changed") == [{"numbers": [[number] for number in range(12)]}]


def test_changes_of_items_are_kept_apart_by_their_new_attributes() -> None:
    @stream_sensor("orders", job=report, batch=Batch(size=2, by=lambda each: each.new["customer"]))
    def changed(context: BatchSensorContext) -> RunRequest:
        return RunRequest(run_config={context.by: [each.keys["id"] for each in context.items]})

    instance = TreadleInstance([changed])
    for number, customer in enumerate(("ann", "bob", "ann")):
        instance.clock.advance(1)
        instance.put_change("orders", {"id": number}, new={"id": number, "customer": customer})

    assert configs(instance, "changed") == [{"ann": [0, 2]}]
    assert [each.by for each in instance.open_batches("changed")] == ["bob"]


def test_record_for_which_by_fails_is_not_accepted() -> None:
    @stream_sensor("orders", job=report, batch=Batch(by=lambda each: each.json()["customer"]))
    def changed(context: BatchSensorContext) -> None:
        del context

    event = StreamRecord("shard:1", "arn:aws:kinesis:us-east-1:1:stream/orders", "k", "1", TIME, b"5")

    with pytest.raises(TypeError):
        changed.evaluate_event(build_sensor_context(), event)
    with pytest.raises(InvalidResultError, match="by returned 5"):
        stream_sensor("orders", name="n", batch=Batch(by=lambda each: each.json()))(
            lambda _: None
        ).evaluate_event(build_sensor_context(), event)


# ---- Contents

texts = st.text(max_size=8)
runs = st.builds(
    DagsterRun,
    st.text(min_size=1, max_size=5),
    texts,
    st.sampled_from(DagsterRunStatus),
    st.dictionaries(texts, texts, max_size=2),
    st.dictionaries(texts, st.lists(st.integers() | texts, max_size=2), max_size=2),
    st.none() | texts,
    st.none() | texts,
    st.integers(1, 5),
    st.none() | texts,
    st.none()
    | st.builds(RunFailure, texts, texts, st.lists(st.builds(StepFailure, texts, texts, texts)).map(tuple)),
    texts,
)
times = st.integers(0, 4 * 10**12).map(from_millis)
statuses = st.builds(
    RunStatusEvent,
    runs,
    st.sampled_from(DagsterRunStatus),
    times,
    st.integers(1, 5),
    st.integers(0, 5),
    st.integers(0, 5),
    st.booleans(),
)
numbers = st.integers() | st.just(Decimal("0.12345678901234567890123456789")) | st.sampled_from([0.5, -12.25])
scalars = st.none() | st.booleans() | texts | st.binary(max_size=5) | numbers
sets = (
    st.sets(texts, min_size=1)
    | st.sets(st.binary(max_size=3), min_size=1)
    | st.sets(st.integers(), min_size=1)
)
values = st.recursive(
    scalars | sets, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
images = st.dictionaries(texts, values, max_size=3)
records = st.builds(
    StreamRecord,
    texts,
    st.just("arn:aws:kinesis:us-east-1:1:stream/orders"),
    texts,
    texts,
    times,
    st.binary(),
    st.sampled_from(["", "INSERT"]),
    images,
    st.none() | images,
    st.none() | images,
)


@given(statuses | records)
def test_status_or_record_is_evaluated_as_it_was_accepted(item: Any) -> None:
    assert unpacked(packed(item)) == item


@given(images)
def test_attributes_are_the_same_after_they_were_written(image: dict[str, Any]) -> None:
    assert plain_attributes(json.loads(json.dumps(typed_attributes(image)))) == image


@pytest.mark.parametrize("run_id", ["run", None])
def test_materialization_is_evaluated_as_it_was_accepted(run_id: str | None) -> None:
    made = AssetMaterialization(
        ["a", "b/c"],
        "text",
        {"rows": 2, "path": MetadataValue.path("x"), "of": AssetKey("d")},
        "2026-11-30",
        {"dagster/data_version": "7"},
    )
    record = EventLogRecord.of(AssetMaterialized(made, "e", 17, TIME, run_id, 3, "1/r/n"))

    found = unpacked(packed(record))

    assert found == record
    assert found.asset_materialization.optional_fields == made.optional_fields
