"""Scheduled ticks that may not commit, and ticks that died without a trace."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import EngineHarness, keyless, sensor_of
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.status import TickStatus
from treadle.engine.identity import leased_tick_id
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.model.sensors import SensorState

NOON = 1_795_370_400_000
BUDGET = Budget(60)
LEASE_SECONDS = 65


def meanwhile(
    harness: EngineHarness, change: Callable[[SensorState], SensorState], result: Any
) -> Callable[[], Any]:
    """Return an evaluation during which somebody changes the sensor."""

    def function() -> Any:
        harness.tables.sensors["watch"] = change(harness.state())
        return result

    return function


def die() -> None:
    """Nothing after this runs, as when Lambda ends the process."""
    raise KeyboardInterrupt


def die_at(harness: EngineHarness, scheduled: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        harness.leased(sensor_of(die)).tick(scheduled, BUDGET)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: replace(state, epoch=state.epoch + 1, cursor="edited"),
        lambda state: replace(state, lease_owner="other", cursor="edited"),
        lambda state: replace(state, lease_owner=None, cursor="edited"),
    ],
    ids=["epoch", "owner", "released"],
)
@pytest.mark.parametrize("result", [SensorResult([RunRequest("k")], cursor="mine"), SkipReason("no")])
def test_tick_that_lost_its_lease_commits_nothing(
    harness: EngineHarness, change: Callable[[SensorState], SensorState], result: Any
) -> None:
    """I5 and I9; a lease that is still its own is given up, lest it be taken for a death."""
    edited: list[SensorState] = []

    def noting(state: SensorState) -> SensorState:
        edited.append(change(state))
        return edited[0]

    outcome = harness.leased(sensor_of(meanwhile(harness, noting, result))).tick(NOON, BUDGET)

    assert outcome.decision is Decision.LOST
    assert "no longer held" in outcome.reason
    [left] = edited
    if left.lease_owner not in {"other", None}:
        left = replace(left, lease_owner=None, lease_expires=0)
    assert harness.state() == left
    assert harness.tables.ticks == {}


def test_tick_overtaken_by_another_after_its_lease_ran_out_commits_nothing(harness: EngineHarness) -> None:
    """I5: paused past its lease, while another tick did the work."""

    def slow() -> SensorResult:
        harness.clock.advance(120)
        harness.leased(sensor_of(lambda: SensorResult([RunRequest("fast")], cursor="fast"))).tick(
            NOON + 120_000, BUDGET
        )
        return SensorResult([RunRequest("slow")], cursor="slow")

    outcome = harness.leased(sensor_of(slow)).tick(NOON, BUDGET)

    assert outcome.decision is Decision.LOST
    assert harness.state().cursor == "fast"
    assert [run.run_key for tick in harness.tick_records() for run in tick.requests] == ["fast"]


def test_second_tick_is_refused_while_the_first_holds_the_lease(harness: EngineHarness) -> None:
    inner = []

    def function() -> RunRequest:
        harness.clock.advance(60)
        second = harness.leased(sensor_of(keyless))
        inner.append(second.tick(NOON + 60_000, BUDGET))
        return RunRequest()

    outer = harness.leased(sensor_of(function)).tick(NOON, BUDGET)

    assert [outcome.decision for outcome in inner] == [Decision.LEASED]
    assert inner[0].reason == "Another tick holds the lease until 2026-11-22T18:01:05.000Z at the latest."
    assert outer.decision is Decision.SUCCESS
    assert len(harness.tick_records()) == 1


@pytest.mark.parametrize(
    ("milliseconds", "decision"),
    [(LEASE_SECONDS * 1000, Decision.LEASED), (LEASE_SECONDS * 1000 + 1, Decision.SUCCESS)],
)
def test_lease_of_a_dead_tick_holds_until_it_has_run_out(
    harness: EngineHarness, milliseconds: int, decision: Decision
) -> None:
    die_at(harness, NOON)

    harness.clock.advance(milliseconds / 1000)
    outcome = harness.leased(sensor_of(keyless)).tick(NOON + 60_000, BUDGET)

    assert outcome.decision is decision


def test_next_tick_records_the_death_of_the_one_before_as_its_failure(harness: EngineHarness) -> None:
    die_at(harness, NOON)

    harness.clock.advance(120)
    harness.leased(sensor_of(keyless)).tick(NOON + 120_000, BUDGET)

    died, ticked = harness.tick_records()
    assert (died.tick_id, died.status, died.time) == (leased_tick_id(NOON, 1), TickStatus.FAILURE, NOON)
    assert died.ended_at == NOON + 120_000
    assert died.error is not None
    assert died.error.type == "EvaluationDiedError"
    assert "scheduled for 2026-11-22T18:00:00.000Z ended without reporting a result" in died.error.message
    assert (ticked.tick_id, ticked.status) == (leased_tick_id(NOON + 120_000, 2), TickStatus.SUCCESS)


def test_tick_that_died_counts_as_a_failure_in_the_streak(harness: EngineHarness) -> None:
    die_at(harness, NOON)
    harness.clock.advance(120)

    harness.leased(sensor_of(lambda: 1 / 0)).tick(NOON + 120_000, BUDGET)

    assert harness.state().failure_streak == 2


def test_ticks_that_die_one_after_the_other_are_all_counted(harness: EngineHarness) -> None:
    for number in range(3):
        harness.clock.time = NOON + number * 120_000
        die_at(harness, harness.clock.time)
    harness.clock.advance(300)

    harness.leased(sensor_of(lambda: 1 / 0)).tick(harness.clock.time, BUDGET)

    assert [tick.status for tick in harness.tick_records()] == [TickStatus.FAILURE] * 4
    assert harness.state().failure_streak == 4


def test_each_of_several_deaths_is_recorded(harness: EngineHarness) -> None:
    for number in range(3):
        harness.clock.time = NOON + number * 120_000
        die_at(harness, harness.clock.time)

    assert [tick.time for tick in harness.tick_records()] == [NOON, NOON + 120_000]


def test_death_leaves_cursor_and_streak_of_skips_alone(harness: EngineHarness) -> None:
    harness.leased(sensor_of(lambda: SensorResult(skip_reason="no", cursor="c"))).tick(NOON, BUDGET)
    before = harness.state()
    harness.clock.advance(60)

    die_at(harness, NOON + 60_000)

    assert (harness.state().cursor, harness.state().skips) == ("c", before.skips)


def test_tick_that_ended_in_order_is_no_death(harness: EngineHarness) -> None:
    harness.leased(sensor_of(keyless)).tick(NOON, BUDGET)
    harness.clock.advance(120)

    harness.leased(sensor_of(keyless)).tick(NOON + 120_000, BUDGET)

    assert [tick.status for tick in harness.tick_records()] == [TickStatus.SUCCESS] * 2
