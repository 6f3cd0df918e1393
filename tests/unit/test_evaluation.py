"""The context of a scheduled evaluation: time, known keys, a log, and a lease that is long enough."""

import time

import pytest

from tests.support.engine import EngineHarness, sensor_of
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.results import RunRequest
from treadle.engine.identity import leased_tick_id
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import LEASE_MARGIN_MS, MAX_LEASE_SECONDS

NOON = 1_795_370_400_000


def test_evaluation_past_its_budget_fails_the_tick(harness: EngineHarness) -> None:
    def function() -> None:
        time.sleep(10)

    outcome = harness.leased(sensor_of(function)).tick(NOON, Budget(0.05))

    (tick,) = harness.tick_records()
    assert tick.error is not None
    assert (outcome.decision, tick.error.type) == (Decision.FAILURE, "SensorTimeoutError")


@pytest.mark.parametrize(("budget", "for_user"), [(900.0, 895.0), (30.0, 25.0), (10.0, 8.0), (0.0, 0.0)])
def test_a_fifth_of_the_budget_but_five_seconds_at_most_is_kept_for_the_commit(
    budget: float, for_user: float
) -> None:
    assert Budget(budget).for_user_code == for_user
    assert Budget().for_user_code == float("inf")


def test_author_sees_the_time_that_is_left_shrink(harness: EngineHarness) -> None:
    seen: list[float] = []

    def function(context: SensorEvaluationContext) -> None:
        seen.append(context.remaining_seconds)
        harness.clock.advance(10)
        seen.append(context.remaining_seconds)
        harness.clock.advance(100)
        seen.append(context.remaining_seconds)

    harness.leased(sensor_of(function)).tick(NOON, Budget(30))

    assert seen == [25, 15, 0]


def test_author_can_query_which_keys_are_taken(harness: EngineHarness) -> None:
    seen: list[set[str]] = []
    ticks = harness.leased(sensor_of(lambda: RunRequest("taken")))
    ticks.tick(NOON, Budget())
    harness.dispatcher().dispatch(harness.tick_records()[0])

    harness.clock.advance(60)
    sensor = sensor_of(lambda context: seen.append(context.claimed_run_keys(["taken", "free"])))
    harness.leased(sensor).tick(NOON + 60_000, Budget())

    assert seen == [{"taken"}]


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [(Budget(30), 30), (Budget(), MAX_LEASE_SECONDS), (Budget(5_000), MAX_LEASE_SECONDS)],
)
def test_lease_lasts_as_long_as_the_process_can_act(
    harness: EngineHarness, budget: Budget, seconds: int
) -> None:
    seen: list[tuple[int, str | None]] = []

    def function() -> None:
        state = harness.state()
        seen.append((state.lease_expires, state.lease_owner))

    harness.leased(sensor_of(function)).tick(NOON, budget)

    assert seen == [(NOON + seconds * 1000 + LEASE_MARGIN_MS, f"{1:036d}")]
    assert harness.state().lease_owner is None


def test_each_line_of_the_log_has_sensor_tick_and_what_the_author_adds(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    def function(context: SensorEvaluationContext) -> None:
        context.log.warning("seen %s", "it", extra={"mine": 1})

    harness.leased(sensor_of(function)).tick(NOON, Budget())

    (record,) = [record for record in caplog.records if record.getMessage() == "seen it"]
    fields = record.__dict__
    assert (fields["sensor"], fields["tick_id"], fields["mine"]) == ("watch", leased_tick_id(NOON, 1), 1)
