"""Failures in a row: counted, followed by growing backoff, and finally by a pause."""

from datetime import timedelta

import pytest

from tests.support.engine import RUNNING, EngineHarness, sensor_of
from treadle import JobDefinition, RunRequest, SensorEvaluationContext, sensor
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import InstigatorStatus, TickStatus
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.backoff import MAX_WAIT_MS, FailurePolicy
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.testing import TreadleInstance
from treadle.testing.faults import Fault, Faults, faulty

MINUTE = 60_000
HOUR = timedelta(hours=1).total_seconds()


class Works:
    """Says whether the watched system works."""

    def __init__(self) -> None:
        self.now = False


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
def fragile(works: Works) -> SensorDefinition:
    """Fails until the system works."""

    @sensor(job=JobDefinition("load"))
    def fragile(context: SensorEvaluationContext) -> RunRequest:
        if not works.now:
            context.update_cursor("never kept")
            msg = "the system is down"
            raise ConnectionError(msg)
        return RunRequest()

    return fragile


def fail(instance: TreadleInstance, times: int) -> None:
    """Let the sensor fail so many times, each as soon as it is due."""
    for _ in range(times):
        instance.clock.advance(HOUR)
        assert instance.tick_now("fragile").outcome.decision is Decision.FAILURE


def test_failures_in_a_row_are_counted_and_each_has_its_record(fragile: SensorDefinition) -> None:
    instance = TreadleInstance([fragile])
    fail(instance, 4)

    assert instance.state("fragile").failure_streak == 4
    assert [tick.status for tick in instance.ticks("fragile")] == [TickStatus.FAILURE] * 4
    assert instance.cursor("fragile") is None
    assert instance.state("fragile").status is InstigatorStatus.DECLARED_IN_CODE


def test_first_two_failures_slow_nothing_down(fragile: SensorDefinition) -> None:
    instance = TreadleInstance([fragile])

    assert [instance.tick("fragile").outcome.decision for _ in range(3)] == [Decision.FAILURE] * 3


@pytest.mark.parametrize(("failures", "minutes"), [(3, 2), (4, 4), (5, 8), (8, 60), (20, 60)])
def test_from_the_third_failure_on_each_one_doubles_the_wait_up_to_an_hour(
    failures: int, minutes: int, fragile: SensorDefinition
) -> None:
    instance = TreadleInstance([fragile])
    fail(instance, failures)

    instance.clock.advance(minutes * 60 - 1)
    early = instance.tick_now("fragile").outcome
    instance.clock.advance(1)
    late = instance.tick_now("fragile").outcome

    assert early.decision is Decision.NOT_DUE
    assert f"after {failures} failures in a row" in early.reason
    assert late.decision is Decision.FAILURE


@pytest.mark.parametrize("interval", [MINUTE * 5, MAX_WAIT_MS * 6])
def test_wait_is_never_less_than_the_interval_and_grows_with_it(interval: int) -> None:
    policy = FailurePolicy(interval)

    assert policy.resume_at(3, 0) == min(2 * interval, max(MAX_WAIT_MS, interval))


def test_wait_of_short_intervals_begins_with_two_minutes_and_ends_with_an_hour() -> None:
    policy = FailurePolicy(interval=0)

    assert policy.resume_at(2, MINUTE) is None
    assert [policy.resume_at(streak, MINUTE) for streak in (3, 4, 7, 8, 1_000)] == [
        MINUTE + minutes * MINUTE for minutes in (2, 4, 32, 60, 60)
    ]


def test_reason_of_a_pause_is_bounded_and_without_a_limit_there_is_none() -> None:
    reason = FailurePolicy(MINUTE, pause_after=2).pause(2, "x" * 2_000)

    assert reason is not None
    assert len(reason) == 1_000
    assert FailurePolicy(MINUTE, pause_after=2).pause(1, "x") is None
    assert FailurePolicy(MINUTE).pause(1_000, "x") is None


def test_any_other_end_ends_streak_and_wait(fragile: SensorDefinition, works: Works) -> None:
    instance = TreadleInstance([fragile])
    fail(instance, 5)
    works.now = True
    instance.clock.advance(HOUR)

    assert instance.tick_now("fragile").outcome.decision is Decision.SUCCESS
    state = instance.state("fragile")
    assert (state.failure_streak, state.resume_at) == (0, None)
    assert instance.tick("fragile").outcome.decision is Decision.SUCCESS


def test_sensor_is_paused_after_so_many_failures_with_the_reason(fragile: SensorDefinition) -> None:
    instance = TreadleInstance([fragile], pause_after=4)
    fail(instance, 3)
    instance.clock.advance(HOUR)

    outcome = instance.tick_now("fragile").outcome

    state = instance.state("fragile")
    assert outcome.paused == state.paused
    assert state.paused is not None
    assert "Paused after 4 failures in a row. Start it again." in state.paused
    assert "the system is down" in state.paused
    assert state.status is InstigatorStatus.STOPPED
    assert len(instance.ticks("fragile")) == 4


def test_paused_sensor_is_not_evaluated_and_says_why(fragile: SensorDefinition, works: Works) -> None:
    instance = TreadleInstance([fragile], pause_after=1)
    fail(instance, 1)
    works.now = True
    instance.clock.advance(HOUR)

    outcome = instance.tick_now("fragile").outcome

    assert outcome.decision is Decision.STOPPED
    assert "the system is down" in outcome.reason
    assert instance.runs() == ()


def test_start_ends_pause_streak_and_wait_at_once(fragile: SensorDefinition, works: Works) -> None:
    instance = TreadleInstance([fragile], pause_after=6)
    fail(instance, 6)
    works.now = True

    state = instance.start_sensor("fragile")

    assert (state.paused, state.failure_streak, state.resume_at) == (None, 0, None)
    assert instance.tick("fragile").outcome.decision is Decision.SUCCESS


def test_reset_ends_a_pause_too(fragile: SensorDefinition) -> None:
    instance = TreadleInstance([fragile], pause_after=1)
    fail(instance, 1)

    assert instance.reset_sensor("fragile").paused is None
    assert instance.tick("fragile").outcome.decision is Decision.FAILURE


def test_stop_of_a_paused_sensor_changes_nothing_and_keeps_the_reason(fragile: SensorDefinition) -> None:
    instance = TreadleInstance([fragile], pause_after=1)
    fail(instance, 1)
    paused = instance.state("fragile")

    assert instance.stop_sensor("fragile") == paused


def test_without_a_limit_no_number_of_failures_pauses(fragile: SensorDefinition) -> None:
    instance = TreadleInstance([fragile], pause_after=0)
    fail(instance, 40)

    assert instance.state("fragile").paused is None
    assert instance.state("fragile").failure_streak == 40


def die(harness: EngineHarness, pause_after: int = 0) -> Outcome | None:
    """Return a tick of a sensor that never comes back from its evaluation; its outcome where it is not evaluated."""

    def endless() -> None:
        raise KeyboardInterrupt

    leased = harness.leased(sensor_of(endless), pause_after=pause_after)
    try:
        return leased.tick(harness.clock.now(), Budget(10))
    except KeyboardInterrupt:
        return None


def test_death_counts_toward_the_wait_of_the_failure_after_it(harness: EngineHarness) -> None:
    leased = harness.leased(sensor_of(lambda: 1 / 0))
    for _ in range(2):
        assert leased.tick(harness.clock.now(), Budget()).decision is Decision.FAILURE
        harness.clock.advance(60)
    assert die(harness) is None
    harness.clock.advance(HOUR)

    leased.tick(harness.clock.now(), Budget())

    assert harness.state().failure_streak == 4
    assert harness.state().resume_at == harness.clock.now() + 4 * MINUTE


def test_tick_that_records_a_death_says_so_beside_its_own_end(harness: EngineHarness) -> None:
    assert die(harness) is None
    harness.clock.advance(60)

    after = harness.leased(sensor_of(lambda: None)).tick(harness.clock.now(), Budget())
    harness.clock.advance(60)
    later = harness.leased(sensor_of(lambda: None)).tick(harness.clock.now(), Budget())

    assert (after.decision, after.recorded_failures) == (Decision.SKIPPED, 1)
    assert (later.decision, later.recorded_failures) == (Decision.SKIPPED, 0)


def test_death_is_recorded_although_the_answer_to_the_next_lease_was_lost(harness: EngineHarness) -> None:
    assert die(harness) is None
    harness.clock.advance(60)
    faults = Faults({1: Fault.REPEATED})
    sensors = faulty(harness.sensors, "SensorStore", faults)
    engine = harness.engine_with(sensors=sensors)
    leased = engine.sensor(sensor_of(lambda: None), TickSettings(0, RUNNING)).scheduled

    assert faults.run("tick", lambda: leased.tick(harness.clock.now(), Budget()))

    assert [str(call.site) for call, _ in faults.injected] == ["SensorStore.acquire"]
    assert [tick.error.type for tick in harness.tick_records() if tick.error] == ["EvaluationDiedError"]


def test_sensor_that_only_ever_dies_is_slowed_down_too(harness: EngineHarness) -> None:
    for _ in range(3):
        assert die(harness) is None
        harness.clock.advance(60)

    third = die(harness)
    harness.clock.advance(30)
    held_up = die(harness)
    harness.clock.advance(HOUR)

    assert third is not None
    assert third.decision is Decision.FAILURE
    assert "ended without reporting a result" in third.reason
    assert held_up is not None
    assert held_up.decision is Decision.NOT_DUE
    assert "after 3 failures in a row" in held_up.reason
    assert die(harness) is None
    assert [tick.error.type for tick in harness.tick_records() if tick.error] == ["EvaluationDiedError"] * 3


def test_sensor_that_only_ever_dies_is_paused_without_another_evaluation(harness: EngineHarness) -> None:
    outcomes = []
    for _ in range(3):
        outcomes.append(die(harness, pause_after=2))
        harness.clock.advance(HOUR)

    *deaths, paused = outcomes
    assert deaths == [None, None]
    assert paused is not None
    assert paused.paused is not None
    assert "Paused after 2 failures in a row" in paused.paused
    assert "ended without reporting a result" in paused.paused
    state = harness.state()
    assert (state.status, state.lease_owner, state.paused) == (InstigatorStatus.STOPPED, None, paused.paused)
