"""When a scheduled tick is due: every slot once, and none twice, whatever the jitter of deliveries."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.engine import EngineHarness, sensor_of
from treadle.definitions.results import SkipReason
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.schedule import slot

NOON = 1_795_370_400_000
MINUTES = 180
wobbles = st.lists(st.integers(0, 5_000), min_size=MINUTES, max_size=MINUTES)


class Ticking:
    """A sensor that records the scheduled times at which it was evaluated."""

    def __init__(self, interval: int, seconds: float = 0) -> None:
        self.harness = EngineHarness()
        self.seconds = seconds
        self._ticks = self.harness.leased(sensor_of(self._evaluate), interval=interval)
        self.times: list[int] = []

    def _evaluate(self) -> SkipReason:
        scheduled = self.harness.state().last_scheduled_for
        assert scheduled is not None
        self.times.append(scheduled)
        self.harness.clock.advance(self.seconds)
        return SkipReason("no")

    def deliver(self, scheduled: int, late: int = 0) -> Decision:
        """Return a delivery that arrives so many milliseconds late."""
        self.harness.clock.time = max(self.harness.clock.time, scheduled + late)
        return self._ticks.tick(scheduled, Budget()).decision

    def deliver_all(self, deliveries: Iterable[tuple[int, int]]) -> None:
        """Minutes after noon, with each one's lateness."""
        for number, late in deliveries:
            self.deliver(NOON + number * 60_000, late)


@pytest.mark.parametrize(
    ("interval", "apart"), [(0, 60), (30, 60), (60, 60), (90, 90), (300, 300)], ids=lambda value: f"{value}s"
)
@settings(max_examples=25)
@given(wobble=wobbles, seconds=st.floats(0, 9))
def test_every_slot_is_evaluated_once_whatever_the_wobble(
    interval: int, apart: int, wobble: list[int], seconds: float
) -> None:
    ticking = Ticking(interval, seconds)

    ticking.deliver_all(enumerate(wobble))

    assert len(ticking.times) == MINUTES * 60 // apart
    assert ticking.times == sorted(
        {slot(NOON + number * 60_000, interval * 1000) for number in range(MINUTES)}
    )


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 600_000)), max_size=40))
def test_no_slot_is_evaluated_twice_in_whatever_order_deliveries_come(
    deliveries: list[tuple[int, int]],
) -> None:
    ticking = Ticking(90)

    ticking.deliver_all(deliveries)

    gaps = [late - early for early, late in zip(ticking.times, ticking.times[1:], strict=False)]
    assert all(gap >= 90_000 for gap in gaps)


@pytest.mark.parametrize("interval", [0, 60, 300])
def test_second_delivery_of_a_scheduled_time_is_not_due(interval: int) -> None:
    ticking = Ticking(interval)

    decisions = [ticking.deliver(NOON), ticking.deliver(NOON, late=300_000)]

    assert decisions == [Decision.SKIPPED, Decision.NOT_DUE]
    assert ticking.times == [NOON]


def test_delivery_for_an_earlier_time_is_not_due() -> None:
    ticking = Ticking(0)

    assert [ticking.deliver(NOON + 60_000), ticking.deliver(NOON)] == [Decision.SKIPPED, Decision.NOT_DUE]


def test_delivery_inside_the_interval_is_not_due_and_says_so() -> None:
    ticking = Ticking(300)
    ticking.deliver(NOON)

    ticking.harness.clock.advance(240)
    outcome = ticking._ticks.tick(NOON + 240_000, Budget())

    assert outcome.decision is Decision.NOT_DUE
    assert (
        outcome.reason
        == "Not due: the last tick was scheduled for 2026-11-22T18:00:00.000Z, and the interval is 300 s."
    )
    assert outcome.subject == "watch at 2026-11-22T18:00:00.000Z"


@pytest.mark.parametrize(("seconds_after", "decision"), [(29.999, Decision.NOT_DUE), (30, Decision.SKIPPED)])
def test_half_an_interval_passes_between_the_end_of_a_tick_and_the_next(
    seconds_after: float, decision: Decision
) -> None:
    ticking = Ticking(60)
    ticking.deliver(NOON)
    state = ticking.harness.state()
    ticking.harness.tables.sensors["watch"] = replace(state, last_completion=NOON + 50_000)

    late = round((50 + seconds_after - 60) * 1000)

    assert ticking.deliver(NOON + 60_000, late) is decision


def test_refused_delivery_changes_nothing() -> None:
    ticking = Ticking(300)
    ticking.deliver(NOON)
    before = ticking.harness.state()

    ticking.deliver(NOON + 60_000)

    assert ticking.harness.state() == before
