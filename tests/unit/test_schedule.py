"""Slots: each time is in exactly one, and slots are the multiples of the interval."""

from hypothesis import given
from hypothesis import strategies as st

from treadle.engine.tick.schedule import minute, slot

moments = st.integers(0, 4_102_444_800_000)
intervals = st.integers(1, 86_400_000)


@given(moments, intervals, st.data())
def test_slot_is_the_latest_multiple_plus_phase_that_is_not_after_the_moment(
    moment: int, interval: int, data: st.DataObject
) -> None:
    phase = data.draw(st.integers(0, interval - 1))

    found = slot(moment, interval, phase)

    assert (found - phase) % interval == 0
    assert found <= moment < found + interval


@given(moments, intervals)
def test_slot_of_a_slot_is_itself(moment: int, interval: int) -> None:
    found = slot(moment, interval)

    assert slot(found, interval) == found


@given(moments, moments, intervals)
def test_slots_follow_the_order_of_moments(one: int, other: int, interval: int) -> None:
    early, late = sorted([one, other])

    assert slot(early, interval) <= slot(late, interval)


@given(moments, st.integers(-5, 0))
def test_without_interval_each_moment_is_its_own_slot(moment: int, interval: int) -> None:
    assert slot(moment, interval) == moment


@given(moments)
def test_minute_is_the_full_minute_that_a_moment_lies_in(moment: int) -> None:
    assert minute(moment) == moment // 60_000 * 60_000
