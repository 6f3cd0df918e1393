"""What an evaluation sees of its cursor and of the ticks before, and what it may change."""

import logging
from typing import Any

import pytest

from treadle.definitions.contexts import MAX_CURSOR_BYTES, SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import DagsterInvariantViolationError


def test_cursor_is_read_as_it_was_last_set() -> None:
    context = SensorEvaluationContext("watch", "1")
    before = (context.cursor, context.cursor_updated)

    context.update_cursor("2")

    assert before == ("1", False)
    assert (context.cursor, context.cursor_updated) == ("2", True)


def test_clearing_the_cursor_is_an_update_too() -> None:
    context = SensorEvaluationContext("watch", "1")

    context.update_cursor(None)

    assert (context.cursor, context.cursor_updated) == (None, True)


@pytest.mark.parametrize("value", [5, b"5", {"offset": 5}])
def test_cursor_that_is_no_string_is_refused_and_changes_nothing(value: Any) -> None:
    context = SensorEvaluationContext("watch", "1")

    with pytest.raises(DagsterInvariantViolationError, match=r"A cursor is a string or None.*json\.dumps"):
        context.update_cursor(value)

    assert (context.cursor, context.cursor_updated) == ("1", False)


def test_evaluation_of_an_event_has_no_cursor_to_set() -> None:
    context = SensorEvaluationContext("watch", _has_cursor=False)

    with pytest.raises(
        DagsterInvariantViolationError, match="Sensor watch has no cursor when it evaluates an event"
    ):
        context.update_cursor("1")


@pytest.mark.parametrize(
    ("completed", "started", "is_first"),
    [
        (None, None, True),
        (None, 10.0, True),
        (10.0, None, False),
        (10.0, 5.0, False),
        (10.0, 10.0, False),
        (10.0, 10.5, True),
    ],
)
def test_first_tick_since_start_is_the_one_with_no_completion_after_it(
    completed: float | None, started: float | None, is_first: bool
) -> None:
    context = SensorEvaluationContext(
        "watch", last_tick_completion_time=completed, last_sensor_start_time=started
    )

    assert context.is_first_tick_since_sensor_start is is_first


def test_context_made_by_a_test_has_time_no_claims_and_a_log() -> None:
    context = SensorEvaluationContext("watch")

    assert context.remaining_seconds == float("inf")
    assert context.claimed_run_keys(["a", "b"]) == set()
    assert isinstance(context.log, logging.Logger)


def test_context_requests_time_and_claims_when_they_are_wanted() -> None:
    left = iter([9.0, 8.0])
    context = SensorEvaluationContext(
        "watch",
        _remaining_seconds=lambda: next(left),
        _claimed_run_keys=lambda keys: {key for key in keys if key > "a"},
    )

    assert [context.remaining_seconds, context.remaining_seconds] == [9.0, 8.0]
    assert context.claimed_run_keys(["a", "b"]) == {"b"}


@pytest.mark.parametrize("letter", ["x", "é"])
def test_cursor_may_have_so_many_bytes_and_no_more(letter: str) -> None:
    context = build_sensor_context(sensor_name="watch")
    most = letter * (MAX_CURSOR_BYTES // len(letter.encode()))
    context.update_cursor(most)

    with pytest.raises(DagsterInvariantViolationError, match=r"cursor of sensor watch has 30000[12] bytes"):
        context.update_cursor(most + letter)

    assert context.cursor == most
