"""Event ticks: each event is evaluated once, and again only after a failure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.engine import RUN_IDS, EngineHarness, keyless
from tests.support.objects import BUCKET, object_of
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import RunRequest, SkipReason
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.event_ticks import tick_id_of
from treadle.integrations.s3 import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection
from treadle.model.sensors import SensorState
from treadle.model.ticks import TickKind


def watching(function: Callable[..., Any]) -> S3SensorDefinition:
    return S3SensorDefinition(
        "watch", evaluation_fn=function, selection=S3Selection(BUCKET), job_name="process_file"
    )


def deliver(
    harness: EngineHarness, function: Callable[..., Any], event: ObjectCreated, **options: Any
) -> Outcome:
    ticks = harness.events(watching(function), **options)
    return ticks.evaluate(event, ticks.load_batch_state([event]), Budget())


def fail() -> None:
    msg = "broken"
    raise ValueError(msg)


def test_event_is_evaluated_and_its_tick_committed(harness: EngineHarness, created: ObjectCreated) -> None:
    harness.clock.advance(5)

    outcome = deliver(harness, keyless, created)

    (tick,) = harness.tick_records()
    key = f"s3://{BUCKET}/in/a.csv#e1"
    assert (outcome.decision, outcome.subject, outcome.count) == (Decision.SUCCESS, tick.tick_id, 1)
    assert outcome.trigger == tick.trigger == f"Object Created s3://{BUCKET}/in/a.csv (10 bytes)"
    assert (tick.kind, tick.status, tick.attempts) == (TickKind.EVENT, TickStatus.SUCCESS, 1)
    assert tick.tick_id.startswith("2026-11-22T18:00:01.000Z-")
    assert tick.time == int(created.time.timestamp() * 1000)
    assert [(run.run_id, run.run_key) for run in tick.requests] == [(RUN_IDS.keyed("watch", key), key)]


def test_skipped_event_has_a_record_with_its_reason(harness: EngineHarness, created: ObjectCreated) -> None:
    outcome = deliver(harness, lambda: SkipReason("not today"), created)

    (tick,) = harness.tick_records()
    assert outcome.decision is Decision.SKIPPED
    assert (tick.status, tick.reason) == (TickStatus.SKIPPED, "not today")


@pytest.mark.parametrize("function", [keyless, lambda: SkipReason("no")])
def test_second_delivery_of_a_finished_event_is_not_evaluated(
    harness: EngineHarness, created: ObjectCreated, function: Callable[..., Any]
) -> None:
    deliver(harness, function, created)
    before = harness.tick_records()

    calls: list[str] = []
    outcome = deliver(harness, lambda: calls.append("called"), created)

    assert (outcome.decision, calls) == (Decision.DUPLICATE, [])
    assert harness.tick_records() == before


def test_two_deliveries_in_one_batch_commit_one_tick(harness: EngineHarness, created: ObjectCreated) -> None:
    calls: list[str] = []

    def function() -> RunRequest:
        calls.append("called")
        return RunRequest()

    ticks = harness.events(watching(function))
    batch_state = ticks.load_batch_state([created, created])

    decisions = [ticks.evaluate(created, batch_state, Budget()).decision for _ in range(2)]

    assert decisions == [Decision.SUCCESS, Decision.DUPLICATE]
    assert [tick.owner for tick in harness.tick_records()] == [f"{1:036d}"]


def test_failure_is_recorded_and_raised_so_that_the_event_comes_again(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    with pytest.raises(SensorEvaluationError, match="ValueError: broken") as failed:
        deliver(harness, fail, created)

    (tick,) = harness.tick_records()
    assert (tick.status, tick.attempts, tick.requests) == (TickStatus.FAILURE, 1, ())
    assert tick.error is not None
    assert (failed.value.error_type, failed.value.stack) == ("ValueError", tick.error.stack)


def test_attempts_are_counted_until_one_succeeds_under_the_same_tick(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    for _ in range(2):
        with pytest.raises(SensorEvaluationError):
            deliver(harness, fail, created)

    outcome = deliver(harness, keyless, created)

    (tick,) = harness.tick_records()
    assert outcome.decision is Decision.SUCCESS
    assert (tick.status, tick.attempts, tick.tick_id) == (TickStatus.SUCCESS, 3, tick_id_of(created))


def test_failure_after_another_delivery_succeeded_changes_nothing(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    """Two deliveries overlap: the slower one fails after the faster one has committed."""
    slow = harness.events(watching(fail))
    batch_state = slow.load_batch_state([created])
    deliver(harness, keyless, created)
    before = harness.tick_records()

    outcome = slow.evaluate(created, batch_state, Budget())

    assert outcome.decision is Decision.DUPLICATE
    assert harness.tick_records() == before


@pytest.mark.parametrize(
    "other",
    [
        ObjectCreated(object_of("in/b.csv"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0001"),
        ObjectCreated(object_of("in/a.csv"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0002"),
        ObjectCreated(object_of("in/a.csv", etag="e2"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0001"),
        ObjectCreated(
            object_of("in/a.csv", version="v"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0001"
        ),
        ObjectCreated(object_of("in/a.csv"), datetime(2026, 11, 22, 18, 0, 2, tzinfo=UTC), "0001"),
        ObjectCreated(
            object_of("in/a.csv", bucket="other"), datetime(2026, 11, 22, 18, 0, 1, tzinfo=UTC), "0001"
        ),
    ],
    ids=["key", "sequencer", "etag", "version", "time", "bucket"],
)
def test_another_event_has_another_tick(created: ObjectCreated, other: ObjectCreated) -> None:
    assert tick_id_of(other) != tick_id_of(created)


def test_redelivery_has_the_same_tick_though_the_listing_would_say_other_details(
    created: ObjectCreated,
) -> None:
    again = ObjectCreated(object_of("in/a.csv", modified=0), created.time, created.sequencer)

    assert tick_id_of(again) == tick_id_of(created)


def test_event_of_a_stopped_sensor_is_dropped_without_a_record(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", status=InstigatorStatus.STOPPED)

    outcome = deliver(harness, fail, created)

    assert (outcome.decision, outcome.reason) == (
        Decision.STOPPED,
        "Sensor watch is stopped; the event was dropped.",
    )
    assert harness.tick_records() == []


def test_sensor_stopped_by_default_drops_events_until_it_is_started(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    stopped = deliver(harness, keyless, created, status=DefaultSensorStatus.STOPPED)
    harness.tables.sensors["watch"] = SensorState("watch", status=InstigatorStatus.RUNNING)

    started = deliver(harness, keyless, created, status=DefaultSensorStatus.STOPPED)

    assert [stopped.decision, started.decision] == [Decision.STOPPED, Decision.SUCCESS]


def test_event_acts_on_the_status_that_was_read_when_it_was_received(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    """I9."""
    ticks = harness.events(watching(keyless))
    batch_state = ticks.load_batch_state([created])
    harness.tables.sensors["watch"] = SensorState("watch", status=InstigatorStatus.STOPPED)

    assert ticks.evaluate(created, batch_state, Budget()).decision is Decision.SUCCESS


def test_event_that_waited_in_its_batch_acts_on_the_status_of_its_own_time(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    ticks = harness.events(watching(keyless))
    batch_state = ticks.load_batch_state([created])
    harness.tables.sensors["watch"] = SensorState("watch", status=InstigatorStatus.STOPPED)
    harness.clock.advance(2)

    assert ticks.evaluate(created, batch_state, Budget()).decision is Decision.STOPPED
    assert harness.tick_records() == []


def test_event_whose_sensor_is_stopped_during_a_slow_evaluation_commits_nothing(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    """I9."""

    def slow() -> RunRequest:
        harness.clock.advance(5)
        harness.tables.sensors["watch"] = SensorState("watch", status=InstigatorStatus.STOPPED)
        return RunRequest()

    outcome = deliver(harness, slow, created)

    assert outcome.decision is Decision.STOPPED
    assert outcome.reason == (
        "Sensor watch is stopped; the event was dropped after its evaluation, and nothing was committed."
    )
    assert harness.tick_records() == []


def test_event_ticks_touch_neither_cursor_nor_lease(harness: EngineHarness, created: ObjectCreated) -> None:
    state = SensorState("watch", cursor="c", lease_owner="somebody", lease_expires=2**60, epoch=7)
    harness.tables.sensors["watch"] = state
    seen: list[str | None] = []

    def function(context: SensorEvaluationContext) -> RunRequest:
        seen.append(context.cursor)
        return RunRequest()

    deliver(harness, function, created)

    assert (seen, harness.state()) == ([None], state)


def test_setting_the_cursor_fails_the_event(harness: EngineHarness, created: ObjectCreated) -> None:
    with pytest.raises(SensorEvaluationError, match="has no cursor"):
        deliver(harness, lambda context: context.update_cursor("x"), created)
