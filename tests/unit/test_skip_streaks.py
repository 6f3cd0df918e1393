"""Skipped ticks in a row: one record for all of them, written when they end."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import EngineHarness, keyless, sensor_of
from treadle.adapters.dynamodb.database import item_bytes
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.adapters.dynamodb.ticks import to_item
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.payloads import MAX_PAYLOAD_BYTES
from treadle.definitions.results import RunRequest, SkipReason
from treadle.definitions.status import TickStatus
from treadle.engine.identity import leased_tick_id
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.model.sensors import SkipStreak

NOON = 1_795_370_400_000


def minutes(harness: EngineHarness, *functions: Callable[..., Any]) -> list[Decision]:
    """Tick once a minute from noon, each time with the next function."""
    decisions = []
    for number, function in enumerate(functions):
        harness.clock.time = NOON + number * 60_000
        ticks = harness.leased(sensor_of(function))
        decisions.append(ticks.tick(harness.clock.time, Budget()).decision)
    return decisions


def skip(reason: str) -> Callable[[], SkipReason]:
    return lambda: SkipReason(reason)


def fail() -> None:
    msg = "broken"
    raise ValueError(msg)


def test_skips_write_no_record_and_lengthen_the_streak(harness: EngineHarness) -> None:
    decisions = minutes(harness, skip("first"), skip("second"), skip("third"))

    assert decisions == [Decision.SKIPPED] * 3
    assert harness.tick_records() == []
    assert harness.state().skips == SkipStreak(leased_tick_id(NOON, 1), NOON, NOON + 120_000, 3, "third")


def test_long_reason_is_kept_short_in_the_streak(harness: EngineHarness) -> None:
    minutes(harness, skip("x" * 5_000), skip("y" * 5_000))

    skips = harness.state().skips
    assert skips is not None
    assert skips.reason == "y" * 500


def oversized() -> RunRequest:
    return RunRequest("large", {"x": "x" * MAX_PAYLOAD_BYTES})


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (keyless, TickStatus.SUCCESS),
        (fail, TickStatus.FAILURE),
        (oversized, TickStatus.SKIPPED),
    ],
    ids=["requests", "failure", "rejected"],
)
def test_next_tick_that_is_no_plain_skip_writes_the_streak_as_one_record(
    harness: EngineHarness, ending: Callable[[], Any], status: TickStatus
) -> None:
    minutes(harness, skip("first"), skip("second"), ending)

    streak, last = harness.tick_records()
    assert (streak.tick_id, streak.status, streak.skips) == (leased_tick_id(NOON, 1), TickStatus.SKIPPED, 2)
    assert (streak.time, streak.last_time, streak.reason) == (NOON, NOON + 60_000, "second")
    assert (streak.started_at, streak.ended_at) == (NOON, NOON + 60_000)
    assert (last.tick_id, last.status, last.skips) == (leased_tick_id(NOON + 120_000, 3), status, 0)
    assert harness.state().skips is None


def test_streak_begins_again_after_it_was_written(harness: EngineHarness) -> None:
    minutes(harness, skip("a"), keyless, skip("b"))

    assert harness.state().skips == SkipStreak(
        leased_tick_id(NOON + 120_000, 3), NOON + 120_000, NOON + 120_000, 1, "b"
    )


def test_tick_without_a_streak_before_it_writes_its_own_record_alone(harness: EngineHarness) -> None:
    minutes(harness, keyless, keyless)

    assert [tick.status for tick in harness.tick_records()] == [TickStatus.SUCCESS] * 2


def test_tick_whose_keys_are_all_taken_is_a_skip(harness: EngineHarness) -> None:
    minutes(harness, lambda: RunRequest("k"))
    harness.dispatcher().dispatch(harness.tick_records()[0])

    minutes(harness, skip("not due"), lambda: RunRequest("k"))

    skips = harness.state().skips
    assert skips is not None
    assert skips.reason == "1 run requested, but skipped because the runs already exist: k"
    assert harness.state().last_run_key == "k"


@pytest.mark.parametrize("cursor", [None, "7", "x" * 5_000, "ü" * 400])
def test_record_of_skips_has_the_cursor_after_them_and_stays_below_1_kb(
    harness: EngineHarness, cursor: str | None
) -> None:
    def moving(context: SensorEvaluationContext) -> SkipReason:
        context.update_cursor(cursor)
        return SkipReason("x" * 5_000)

    minutes(harness, skip("before"), moving, keyless)

    streak = harness.tick_records()[0]
    assert (streak.skips, streak.has_whole_cursor) == (2, len(cursor or "") < 100)
    if streak.has_whole_cursor:
        assert streak.cursor == cursor
    assert item_bytes(to_item(replace(streak, sensor="s" * 36), Outcomes(None))) < 1_000
