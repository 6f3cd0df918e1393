"""Asset events of evaluations: committed with the tick, recorded by DISPATCH, once."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import JOB, NAMESPACE, EngineHarness, sensor_of
from treadle import (
    AssetMaterialization,
    DagsterRunStatus,
    MetadataValue,
    RunRequest,
    RunStatusSensorDefinition,
    SensorResult,
)
from treadle.adapters.dynamodb.outcomes import Outcomes, Packed
from treadle.definitions.errors import InvalidResultError, StoreError
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import DagsterRun, from_millis
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch.chunks import CHUNK_SIZE
from treadle.engine.dispatch.dispatcher import Limits
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.planning import MAX_ASSET_EVENTS, MAX_OUTCOME_BYTES
from treadle.model.ticks import DispatchCounts, Tick

NOON = 1_795_370_400_000
MADE = AssetMaterialization("orders", metadata={"rows": 3})


def explanation(
    *requests: RunRequest, made: tuple[AssetMaterialization, ...] = (MADE,), **options: Any
) -> Any:
    """Return a sensor's function that reports assets."""
    return lambda: SensorResult(list(requests), asset_events=made, **options)


def ticked(harness: EngineHarness, definition: SensorDefinition) -> Outcome:
    harness.clock.advance(60)
    return harness.leased(definition).tick(harness.clock.now(), Budget())


def only_tick(harness: EngineHarness) -> Tick:
    [tick] = harness.tick_records()
    return tick


def published(harness: EngineHarness) -> list[Any]:
    return [(event.detail["id"], event.detail["storage_id"]) for event in harness.bus.events]


def test_events_alone_need_no_target_and_are_a_success(harness: EngineHarness) -> None:
    outcome = ticked(harness, sensor_of(explanation(), job=None))

    tick = only_tick(harness)
    assert (outcome.decision, outcome.reason) == (Decision.SUCCESS, "1 asset events")
    assert (tick.status, tick.asset_events, tick.requests) == (TickStatus.SUCCESS, (MADE,), ())
    assert tick.is_to_be_dispatched
    assert harness.bus.events == []


def test_events_beside_a_reason_to_skip_are_committed_and_are_no_skip(harness: EngineHarness) -> None:
    ticked(harness, sensor_of(explanation(skip_reason="no run for it")))

    assert (only_tick(harness).status, only_tick(harness).reason) == (TickStatus.SUCCESS, "no run for it")
    assert harness.state().skips is None


def test_events_whose_runs_exist_already_are_committed_all_the_same(harness: EngineHarness) -> None:
    definition = sensor_of(explanation(RunRequest("k")))
    for _ in range(2):
        ticked(harness, definition)
        harness.dispatcher().dispatch(harness.tick_records()[-1])

    first, second = harness.tick_records()
    assert [(tick.status, len(tick.requests)) for tick in (first, second)] == [
        (TickStatus.SUCCESS, 1),
        (TickStatus.SUCCESS, 0),
    ]
    assert published(harness) == [(f"watch/{first.tick_id}/0", 1), (f"watch/{second.tick_id}/0", 2)]


def test_a_tick_that_fails_after_its_events_reports_nothing(harness: EngineHarness) -> None:
    """Dagster reports them, and reports them again with each evaluation that follows."""
    ticked(harness, sensor_of(explanation(RunRequest(job_name="unknown"))))

    tick = only_tick(harness)
    assert (tick.status, tick.asset_events, tick.is_to_be_dispatched) == (TickStatus.FAILURE, (), False)
    assert harness.dispatcher().dispatch(tick).decision is Decision.DUPLICATE
    assert harness.bus.events == []


def test_dispatch_records_events_beside_runs_and_a_redelivery_changes_nothing(harness: EngineHarness) -> None:
    ticked(harness, sensor_of(explanation(RunRequest("k"), made=(MADE, AssetMaterialization("customers")))))
    tick = only_tick(harness)

    for _ in range(2):
        harness.dispatcher().dispatch(tick)
    outcome = harness.dispatcher().dispatch(only_tick(harness))

    assert outcome.decision is Decision.DUPLICATE
    assert published(harness) == [(f"watch/{tick.tick_id}/0", 1), (f"watch/{tick.tick_id}/1", 1)] * 2
    assert {key: len(events) for key, events in harness.tables.events.items()} == {
        "orders": 1,
        "customers": 1,
    }
    assert len(harness.tables.runs) == 1
    assert not only_tick(harness).is_to_be_dispatched


class Mute:
    """A bus that takes nothing."""

    def publish(self, events: Any) -> None:
        """Fail."""
        raise StoreError("no bus")


def test_a_tick_whose_events_were_not_reported_stays_pending_and_reconcile_finds_it(
    harness: EngineHarness,
) -> None:
    ticked(harness, sensor_of(explanation()))
    bus, harness.bus = harness.bus, Mute()  # type: ignore[assignment]
    with pytest.raises(StoreError):
        harness.dispatcher().dispatch(only_tick(harness))
    harness.bus = bus
    assert only_tick(harness).dispatched is None

    harness.clock.advance(DISPATCH_LATE_MS / 1000 + 1)
    assert harness.reconciler().reconcile(60).dispatched == 1

    assert published(harness) == [(f"watch/{only_tick(harness).tick_id}/0", 1)]
    assert only_tick(harness).dispatched == DispatchCounts()


def test_events_of_a_tick_in_chunks_are_reported_before_its_chunks_are_handed_on(
    harness: EngineHarness,
) -> None:
    ticked(harness, sensor_of(explanation(*[RunRequest(str(number)) for number in range(CHUNK_SIZE + 1)])))
    tick = only_tick(harness)

    harness.dispatcher().dispatch(tick)
    assert published(harness) == [(f"watch/{tick.tick_id}/0", 1)]
    for body in harness.chunks.drain():
        harness.dispatcher().dispatch_chunk(harness.chunk_request(body))

    assert published(harness) == [(f"watch/{tick.tick_id}/0", 1)]
    assert only_tick(harness).dispatched == DispatchCounts(started=CHUNK_SIZE + 1)


def test_beyond_the_depth_events_are_refused_so_that_sensors_cannot_set_each_other_off_for_ever(
    harness: EngineHarness,
) -> None:
    ticked(harness, sensor_of(explanation()))
    tick = replace(only_tick(harness), depth=5)

    outcome = harness.dispatcher(limits=Limits(depth=5)).dispatch(tick)

    stored = only_tick(harness)
    assert (harness.bus.events, harness.tables.events) == ([], {})
    assert stored.dispatched == DispatchCounts(refused=1)
    [refusal] = stored.refusals
    assert "may not record 1 asset events:" in refusal
    assert "looks like a loop" in refusal
    assert outcome.reason == "0 runs, 0 keys taken already, 1 refused"
    harness.dispatcher(limits=Limits(depth=6)).dispatch(tick)
    assert [event.detail["depth"] for event in harness.bus.events] == [6]


def test_a_run_status_sensor_that_reports_assets_has_acted_on_the_run(harness: EngineHarness) -> None:
    definition = RunStatusSensorDefinition("watch", DagsterRunStatus.SUCCESS, explanation())
    run = DagsterRun("r", JOB, DagsterRunStatus.SUCCESS, tags={"treadle/depth": "2"}, location=NAMESPACE)
    event = RunStatusEvent(run, DagsterRunStatus.SUCCESS, from_millis(NOON))
    events = harness.events(definition.configured({"TREADLE_NAMESPACE": NAMESPACE}))

    events.evaluate(event, events.load_batch_state([event]), Budget())
    harness.dispatcher().dispatch(only_tick(harness))

    assert (only_tick(harness).acted_on, only_tick(harness).asset_events) == (event.event_id, (MADE,))
    assert [event.detail["depth"] for event in harness.bus.events] == [3]


def test_more_events_than_dispatch_takes_in_one_go_fail_the_tick(harness: EngineHarness) -> None:
    most = sensor_of(explanation(made=(MADE,) * MAX_ASSET_EVENTS))
    assert ticked(harness, most).decision is Decision.SUCCESS

    outcome = ticked(harness, sensor_of(explanation(made=(MADE,) * (MAX_ASSET_EVENTS + 1))))

    assert outcome.decision is Decision.FAILURE
    assert (
        f"{MAX_ASSET_EVENTS + 1} asset events in one tick; the limit is {MAX_ASSET_EVENTS}" in outcome.reason
    )


def test_events_count_towards_what_a_tick_may_request(harness: EngineHarness) -> None:
    large = AssetMaterialization("large", metadata={"text": "x" * 60_000})

    outcome = ticked(harness, sensor_of(explanation(made=(large,) * (MAX_OUTCOME_BYTES // 60_000 + 1))))

    assert outcome.decision is Decision.FAILURE
    assert "returned run requests and asset events with" in outcome.reason


@pytest.mark.parametrize("event", ["orders", {"asset_key": "orders"}, None, RunRequest()])
def test_only_materializations_are_asset_events(event: Any) -> None:
    with pytest.raises(InvalidResultError, match="asset_events must be a list of AssetMaterialization"):
        SensorResult(asset_events=[event])


def test_a_tick_that_was_committed_before_there_were_asset_events_is_read(harness: EngineHarness) -> None:
    ticked(harness, sensor_of(explanation(RunRequest("k"))))
    packed = Outcomes(None).pack(only_tick(harness))
    assert Outcomes(None).unpack("watch", packed).asset_events == (MADE,)

    import zlib

    old = zlib.compress(b'{"runs":[],"existing":["k"],"set_aside":[]}')
    assert Outcomes(None).unpack("watch", Packed(inline=old)).asset_events == ()


def test_types_and_tags_of_an_asset_event_are_stored_with_its_tick(harness: EngineHarness) -> None:
    typed = AssetMaterialization("typed", metadata={"where": MetadataValue.path("s3://b/k")}, tags={"v": "1"})
    plain = AssetMaterialization("plain", metadata={"n": 1})
    ticked(harness, sensor_of(lambda: SensorResult(asset_events=[plain, typed])))

    packed = Outcomes(None).pack(only_tick(harness))

    assert Outcomes(None).unpack("watch", packed).asset_events == (plain, typed)
