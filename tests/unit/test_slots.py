"""Intervals below a minute, and shifted slots: one delivery a minute, the other slots as delayed messages."""

import heapq
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import EngineHarness, sensor_of
from treadle.definitions.errors import StoreError
from treadle.definitions.results import SkipReason
from treadle.engine.identity import timestamp
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.schedule import later_slots, phase_of, slot
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner
from treadle.operate.sensors import SensorOperations
from treadle.testing.system import InMemoryQueue

MINUTE = 60_000
NOON = 1_795_370_400_000
BUDGET = Budget(60.0)


@given(st.integers(1, 59), st.integers(0, 10_000))
def test_a_minute_and_its_later_slots_are_all_the_slots_there_are(interval: int, minutes: int) -> None:
    scheduled_times = [minutes * MINUTE, (minutes + 1) * MINUTE]

    sent = [
        each
        for scheduled in scheduled_times
        for each in (scheduled, *later_slots(scheduled, interval * 1000))
    ]

    first = -(-minutes * MINUTE // (interval * 1000)) * interval * 1000
    assert set(range(first, scheduled_times[1] + MINUTE, interval * 1000)) <= set(sent)
    assert all(each % (interval * 1000) == 0 for each in sent if each not in scheduled_times)


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [(20, [20, 40]), (25, [25, 50]), (40, [40]), (59, [59])],
)
def test_later_slots_are_those_of_the_minute_alone_which_has_just_begun(
    interval: int, seconds: list[int]
) -> None:
    assert later_slots(0, interval * 1000) == [each * 1000 for each in seconds]
    assert later_slots(MINUTE, 25_000) == [75_000, 100_000]


@pytest.mark.parametrize("interval", [0, 60, 61, 3_600])
def test_from_a_minute_on_nothing_is_sent_ahead(interval: int) -> None:
    assert later_slots(NOON, interval * 1000) == []


@given(st.text(min_size=1), st.integers(0, 100_000))
def test_a_shift_is_whole_minutes_below_the_interval(sensor: str, interval: int) -> None:
    phase = phase_of(sensor, interval * 1000)

    assert phase % MINUTE == 0
    assert 0 <= phase < max(interval * 1000, 1)
    assert interval >= 120 or phase == 0


def test_sensors_of_one_interval_are_spread_over_it() -> None:
    phases = {phase_of(f"sensor_{number}", 600_000) for number in range(100)}

    assert len(phases) == 10


def test_sensors_that_tick_every_two_minutes_take_turns() -> None:
    assert {phase_of(f"sensor_{number}", 2 * MINUTE) for number in range(20)} == {0, MINUTE}


def test_a_shift_stays_what_it_was_in_earlier_releases() -> None:
    """A changed one would move the ticks of every sensor by a deployment."""
    assert [phase_of(name, 3_600_000) // MINUTE for name in ("watch", "orders", "new_objects")] == [6, 47, 39]


@given(st.integers(0, 10**13), st.integers(2, 1_440), st.text(min_size=1))
def test_shifted_slots_are_an_interval_apart(scheduled: int, minutes: int, sensor: str) -> None:
    interval = minutes * MINUTE
    phase = phase_of(sensor, interval)

    first = slot(scheduled, interval, phase)

    assert 0 <= scheduled - first < interval
    assert slot(first + interval, interval, phase) == first + interval


def ticking(harness: EngineHarness, queue: InMemoryQueue, interval: int) -> ScheduledTickRunner:
    """Return a sensor that skips, with a queue of its own."""
    return harness.leased(sensor_of(lambda: SkipReason("nothing")), interval=interval, queue=queue)


def test_a_schedules_delivery_sends_the_minutes_further_slots_with_their_delay(
    harness: EngineHarness,
) -> None:
    queue = InMemoryQueue()
    harness.clock.time = NOON + 2_500

    ticking(harness, queue, 15).tick(NOON, BUDGET, sends_ahead=True)

    assert [(message.body["nominal_time"], message.delay_seconds) for message in queue.messages] == [
        (timestamp(NOON + 15_000), 13),
        (timestamp(NOON + 30_000), 28),
        (timestamp(NOON + 45_000), 43),
    ]


def test_what_was_sent_ahead_sends_nothing_more(harness: EngineHarness) -> None:
    queue = InMemoryQueue()
    harness.clock.time = NOON + 15_000

    ticking(harness, queue, 15).tick(NOON + 15_000, BUDGET)

    assert queue.messages == []


def test_a_stopped_sensor_sends_nothing_ahead(harness: EngineHarness) -> None:
    queue = InMemoryQueue()
    SensorOperations(harness.sensors, harness.clock).stop("watch", "ann")

    outcome = ticking(harness, queue, 15).tick(NOON, BUDGET, sends_ahead=True)

    assert outcome.decision is Decision.STOPPED
    assert queue.messages == []


@pytest.mark.parametrize("interval", [5, 15, 20, 25, 40])
@pytest.mark.parametrize("lateness", [0, 3_000])
def test_a_sensor_ticks_at_its_interval_and_stops_within_one(
    harness: EngineHarness, interval: int, lateness: int
) -> None:
    """Five minutes of deliveries once a minute, late by less than half an interval; then it is stopped."""
    jitter = min(lateness, interval * 1000 // 3)
    queue = InMemoryQueue()
    ticks = ticking(harness, queue, interval)
    deliveries = [(NOON + minute * MINUTE + jitter, NOON + minute * MINUTE, True) for minute in range(6)]
    stopped_at = NOON + 5 * MINUTE + 1_000
    committed = []
    while deliveries:
        at, scheduled, by_schedule = heapq.heappop(deliveries)
        if harness.clock.time < stopped_at <= at:
            SensorOperations(harness.sensors, harness.clock).stop("watch", "ann")
        harness.clock.time = at
        outcome = ticks.tick(scheduled, BUDGET, sends_ahead=by_schedule)
        if outcome.decision is Decision.SKIPPED:
            committed.append((at, scheduled))
        for message in queue.messages:
            due = at + message.delay_seconds * 1000
            moment = next(
                n
                for n in later_slots(scheduled, interval * 1000)
                if timestamp(n) == message.body["nominal_time"]
            )
            heapq.heappush(deliveries, (due, moment, False))
        queue.messages.clear()

    within = [at for at, _ in committed if at < NOON + 5 * MINUTE]
    assert abs(len(within) - 300 / interval) <= 1
    assert all(0 <= at - scheduled <= 3_000 + 1_000 for at, scheduled in committed)
    assert all(at < stopped_at + interval * 1000 for at, _ in committed)


class BrokenQueue:
    """A queue that takes nothing."""

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Refuse."""
        raise StoreError("SQS did not take the messages")


def test_a_tick_continues_where_its_minutes_further_slots_cannot_be_sent_ahead(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = harness.leased(sensor_of(lambda: SkipReason("nothing")), interval=15, queue=BrokenQueue())

    outcome = ticks.tick(NOON, BUDGET, sends_ahead=True)

    assert outcome.decision is Decision.SKIPPED
    assert "SQS did not take the messages" in caplog.text


def test_the_reason_kept_of_a_skip_is_bounded_in_bytes(harness: EngineHarness) -> None:
    reason = "ü" * 1_000
    harness.leased(sensor_of(lambda: SkipReason(reason))).tick(NOON, BUDGET)

    skips = harness.state().skips
    assert skips is not None
    assert skips.reason == "ü" * 250
