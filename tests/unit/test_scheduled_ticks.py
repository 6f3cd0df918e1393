"""Scheduled ticks: what a tick sees, and what it records when it ends normally."""

from typing import Any

import pytest

from tests.support.engine import RUN_IDS, EngineHarness, keyless, sensor_of
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.payloads import MAX_PAYLOAD_BYTES
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.engine.identity import leased_tick_id
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.model.sensors import SensorState
from treadle.model.ticks import TickKind

NOON = 1_795_370_400_000


def test_first_tick_finds_no_cursor_and_knows_that_it_is_the_first(harness: EngineHarness) -> None:
    seen: list[Any] = []

    def function(context: SensorEvaluationContext) -> None:
        seen.append((context.cursor, context.last_tick_completion_time, context.last_run_key))
        seen.append(context.is_first_tick_since_sensor_start)

    harness.leased(sensor_of(function)).tick(NOON, Budget())

    assert seen == [(None, None, None), True]


def test_later_tick_sees_what_the_one_before_left(harness: EngineHarness) -> None:
    seen: list[Any] = []

    def function(context: SensorEvaluationContext) -> SensorResult:
        seen.append((context.cursor, context.last_tick_completion_time, context.last_run_key))
        seen.append((context.last_sensor_start_time, context.is_first_tick_since_sensor_start))
        harness.clock.advance(2)
        return SensorResult([RunRequest("a"), RunRequest("b")], cursor="c1")

    ticks = harness.leased(sensor_of(function))
    ticks.tick(NOON, Budget())
    harness.clock.advance(60)
    ticks.tick(NOON + 60_000, Budget())

    assert seen[2:] == [("c1", NOON / 1000 + 2, "b"), (NOON / 1000, False)]
    assert harness.state().started_at == NOON


def test_tick_with_requests_commits_record_and_state_together(harness: EngineHarness) -> None:
    def function() -> SensorResult:
        harness.clock.advance(3)
        return SensorResult([RunRequest("k", {"n": 1})], cursor="c1")

    harness.clock.advance(1)
    outcome = harness.leased(sensor_of(function)).tick(NOON, Budget())

    (tick,) = harness.tick_records()
    assert (outcome.decision, outcome.subject, outcome.count) == (Decision.SUCCESS, tick.tick_id, 1)
    assert (tick.tick_id, tick.kind, tick.status) == (
        leased_tick_id(NOON, 1),
        TickKind.LEASED,
        TickStatus.SUCCESS,
    )
    assert (tick.time, tick.started_at, tick.ended_at) == (NOON, NOON + 1_000, NOON + 4_000)
    assert [run.run_id for run in tick.requests] == [RUN_IDS.keyed("watch", "k")]
    assert (tick.cursor, tick.dispatched) == ("c1", None)
    assert harness.state() == SensorState(
        "watch",
        epoch=1,
        last_scheduled_for=NOON,
        last_completion=NOON + 4_000,
        started_at=NOON + 1_000,
        cursor="c1",
        last_run_key="k",
    )


def test_evaluation_starts_no_run_by_itself(harness: EngineHarness) -> None:
    harness.leased(sensor_of(lambda: RunRequest("k"))).tick(NOON, Budget())

    assert (harness.tables.runs, harness.launches.messages) == ({}, [])


def test_long_cursor_is_kept_whole_and_shown_short(harness: EngineHarness) -> None:
    harness.leased(sensor_of(lambda: SensorResult([RunRequest()], cursor="x" * 5_000))).tick(NOON, Budget())

    (tick,) = harness.tick_records()
    assert (harness.state().cursor, tick.cursor) == ("x" * 5_000, "x" * 1_000)


def test_cursor_can_be_cleared(harness: EngineHarness) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", cursor="old")

    harness.leased(sensor_of(lambda context: context.update_cursor(None))).tick(NOON, Budget())

    assert harness.state().cursor is None


def test_cursor_moves_with_a_skip_too(harness: EngineHarness) -> None:
    harness.leased(sensor_of(lambda: SensorResult(skip_reason="no", cursor="c1"))).tick(NOON, Budget())

    assert (harness.state().cursor, harness.tick_records()) == ("c1", [])


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_failure_leaves_cursor_and_runs_as_they_were(harness: EngineHarness, error: BaseException) -> None:
    """I6."""

    def function(context: SensorEvaluationContext) -> None:
        context.update_cursor("new")
        raise error

    before = SensorState("watch", cursor="old", last_run_key="k", failure_streak=2)
    harness.tables.sensors["watch"] = before
    outcome = harness.leased(sensor_of(function)).tick(NOON, Budget())

    (tick,) = harness.tick_records()
    after = harness.state()
    assert outcome.decision is Decision.FAILURE
    assert (tick.status, tick.requests) == (TickStatus.FAILURE, ())
    assert tick.error is not None
    assert tick.error.type == type(error).__name__
    assert tick.error.message == outcome.reason
    assert "in function" in tick.error.stack
    assert (after.cursor, after.last_run_key, after.failure_streak) == ("old", "k", 3)
    assert after.last_completion == NOON


@pytest.mark.parametrize("function", [keyless, lambda: SkipReason("no")])
def test_any_other_end_closes_the_streak_of_failures(harness: EngineHarness, function: Any) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", failure_streak=2)

    harness.leased(sensor_of(function)).tick(NOON, Budget())

    assert harness.state().failure_streak == 0


def test_misuse_fails_the_tick(harness: EngineHarness) -> None:
    outcome = harness.leased(sensor_of(lambda: ("a", "tuple"))).tick(NOON, Budget())

    assert outcome.decision is Decision.FAILURE
    assert "InvalidResultError: Error in sensor watch" in outcome.reason


def test_more_requests_than_the_cap_fail_the_tick(harness: EngineHarness) -> None:
    ticks = harness.leased(sensor_of(lambda: [RunRequest(), RunRequest()]), cap=1)

    outcome = ticks.tick(NOON, Budget())

    assert outcome.decision is Decision.FAILURE
    assert "requested 2 runs in one tick; the limit is 1" in outcome.reason


def test_delivery_without_scheduled_time_is_for_the_present_minute(harness: EngineHarness) -> None:
    harness.clock.advance(90)

    harness.leased(sensor_of(keyless)).tick(None, Budget())

    assert harness.tick_records()[0].time == NOON + 60_000


@pytest.mark.parametrize(
    ("status", "default", "runs"),
    [
        (InstigatorStatus.DECLARED_IN_CODE, DefaultSensorStatus.RUNNING, True),
        (InstigatorStatus.DECLARED_IN_CODE, DefaultSensorStatus.STOPPED, False),
        (InstigatorStatus.RUNNING, DefaultSensorStatus.STOPPED, True),
        (InstigatorStatus.STOPPED, DefaultSensorStatus.RUNNING, False),
    ],
)
def test_operators_choice_of_the_status_wins_over_the_default(
    harness: EngineHarness, status: InstigatorStatus, default: DefaultSensorStatus, runs: bool
) -> None:
    harness.tables.sensors["watch"] = before = SensorState("watch", status=status)

    outcome = harness.leased(sensor_of(keyless), status=default).tick(NOON, Budget())

    assert outcome.decision is (Decision.SUCCESS if runs else Decision.STOPPED)
    assert (harness.state() == before) is not runs


def test_stopped_sensor_that_was_never_stored_is_not_evaluated(harness: EngineHarness) -> None:
    ticks = harness.leased(sensor_of(keyless), status=DefaultSensorStatus.STOPPED)

    outcome = ticks.tick(NOON, Budget())

    assert (outcome.decision, outcome.reason) == (Decision.STOPPED, "Sensor watch is stopped; start it.")
    assert harness.tables.sensors == {}


def test_rejected_requests_are_recorded_though_no_run_will_start(harness: EngineHarness) -> None:
    function = lambda: RunRequest("large", {"x": "x" * MAX_PAYLOAD_BYTES})  # noqa: E731

    outcome = harness.leased(sensor_of(function)).tick(NOON, Budget())

    (tick,) = harness.tick_records()
    assert (outcome.decision, tick.status) == (Decision.SKIPPED, TickStatus.SKIPPED)
    assert [each.run_key for each in tick.rejected] == ["large"]


def test_operators_tick_evaluates_although_the_interval_is_not_over_and_leaves_the_schedule_as_it_is(
    harness: EngineHarness,
) -> None:
    ticks = harness.leased(sensor_of(keyless), interval=300)
    ticks.tick(NOON, Budget())
    harness.clock.advance(100)

    waiting = ticks.tick(harness.clock.now(), Budget())
    now = ticks.tick(harness.clock.now(), Budget(), at_once=True)
    harness.clock.advance(200)
    scheduled = ticks.tick(harness.clock.now(), Budget())

    assert (waiting.decision, now.decision) == (Decision.NOT_DUE, Decision.SUCCESS)
    assert scheduled.decision is Decision.SUCCESS
    assert [tick.tick_id for tick in harness.tick_records()] == [
        leased_tick_id(NOON, 1),
        leased_tick_id(NOON, 2),
        leased_tick_id(NOON + 300_000, 3),
    ]


@pytest.mark.parametrize("at_once", [True, False])
def test_scheduled_time_that_lies_ahead_silences_nothing(harness: EngineHarness, at_once: bool) -> None:
    ticks = harness.leased(sensor_of(keyless), interval=60)
    tomorrow = harness.clock.now() + 86_400_000

    first = ticks.tick(tomorrow, Budget(), at_once=at_once)
    harness.clock.advance(60)
    second = ticks.tick(None, Budget())

    assert [first.decision, second.decision] == [Decision.SUCCESS, Decision.SUCCESS]
    assert [tick.time for tick in harness.tick_records()] == [NOON, NOON + 60_000]


@pytest.mark.parametrize("at", [0, -1, -62_135_683_140_000])
def test_scheduled_time_from_before_1970_is_recorded_as_the_first_that_can_be(
    harness: EngineHarness, at: int
) -> None:
    outcome = harness.leased(sensor_of(keyless), interval=3_600).tick(at, Budget())

    assert outcome.decision is Decision.SUCCESS
    assert harness.state().last_scheduled_for == 0


@pytest.mark.parametrize("interval", [60, 300])
def test_last_scheduled_time_that_lies_ahead_is_forgotten(harness: EngineHarness, interval: int) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", epoch=3, last_scheduled_for=NOON + 86_400_000)

    outcome = harness.leased(sensor_of(keyless), interval=interval).tick(None, Budget())

    assert outcome.decision is Decision.SUCCESS
    assert harness.state().last_scheduled_for == NOON


def test_operators_tick_that_was_overtaken_says_so(harness: EngineHarness) -> None:
    harness.tables.sensors["watch"] = SensorState(
        "watch", last_scheduled_for=NOON, last_completion=NOON + 500
    )

    outcome = harness.leased(sensor_of(keyless)).tick(NOON, Budget(), at_once=True)

    assert outcome.decision is Decision.NOT_DUE
    assert outcome.reason.startswith(
        "Another tick ended at 2026-11-22T18:00:00.500Z, after this one was requested"
    )


def test_operators_tick_of_a_stopped_sensor_says_so(harness: EngineHarness) -> None:
    stopped = harness.leased(sensor_of(keyless), status=DefaultSensorStatus.STOPPED)

    outcome = stopped.tick(NOON, Budget(), at_once=True)

    assert (outcome.decision, outcome.reason) == (Decision.STOPPED, "Sensor watch is stopped; start it.")


def test_operators_tick_does_not_wait_for_what_failures_hold_up(harness: EngineHarness) -> None:
    def function() -> None:
        raise ValueError(harness.clock.now())

    ticks = harness.leased(sensor_of(function), interval=60)
    for _ in range(3):
        ticks.tick(harness.clock.now(), Budget())
        harness.clock.advance(60)

    assert ticks.tick(harness.clock.now(), Budget()).decision is Decision.NOT_DUE
    assert ticks.tick(harness.clock.now(), Budget(), at_once=True).decision is Decision.FAILURE


def test_tick_without_a_readable_cursor_fails_and_says_so(harness: EngineHarness) -> None:
    """It is no dead process: the record has the reason, the lease is free, and failures in a row pause the sensor."""
    evaluated: list[object] = []
    ticks = harness.leased(sensor_of(evaluated.append), pause_after=2)
    harness.tables.unreadable["watch#cursor",] = "it is a number"

    first = ticks.tick(NOON, Budget())
    harness.clock.advance(60)
    second = ticks.tick(NOON + 60_000, Budget())

    assert evaluated == []
    assert (first.decision, second.decision) == (Decision.FAILURE, Decision.FAILURE)
    records = harness.tick_records()
    assert [each.error.type for each in records if each.error] == ["UnreadableRecordError"] * 2
    assert all("it is a number" in each.error.message for each in records if each.error)
    state = harness.state()
    assert (state.lease_owner, state.failure_streak, state.status) == (None, 2, InstigatorStatus.STOPPED)
