"""User code: what it raises becomes a value, and its time is limited."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import SensorEvaluationError, SensorTimeoutError
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.tick import user_code
from treadle.engine.tick.user_code import evaluate

FOREVER = float("inf")
NOTHING = SensorExecutionData()
ENDLESS_SECONDS = 10
"""Endless for a test that expects to be stopped at once, yet no hang when it is not."""


@pytest.fixture(autouse=True)
def own_alarm() -> Iterator[None]:
    """The alarm is the test's own; whoever had set it gets it back."""
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def failure_of(function: Callable[[], Any], seconds: float = FOREVER) -> SensorEvaluationError:
    with pytest.raises(SensorEvaluationError) as failed:
        evaluate("watch", function, seconds)
    return failed.value


def raising(error: BaseException) -> Callable[[], SensorExecutionData]:
    def function() -> SensorExecutionData:
        raise error

    return function


class SilentError(Exception):
    """An error of a user whose message fails, too."""

    def __str__(self) -> str:
        msg = "no words"
        raise RuntimeError(msg)


@pytest.mark.parametrize("seconds", [FOREVER, 10.0])
def test_value_of_the_function_comes_out(seconds: float) -> None:
    assert evaluate("watch", lambda: NOTHING, seconds) is NOTHING


@pytest.mark.parametrize("seconds", [FOREVER, 10.0])
def test_exception_becomes_an_evaluation_error_with_type_text_and_sensor(seconds: float) -> None:
    error = failure_of(raising(KeyError("colour")), seconds)

    assert str(error) == (
        "Error occurred during the execution of evaluation_fn for sensor watch: KeyError: 'colour'"
    )
    assert error.error_type == "KeyError"
    assert not isinstance(error, SensorTimeoutError)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (SystemExit(1), "SystemExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (GeneratorExit(), "GeneratorExit"),
        (MemoryError(), "MemoryError"),
        (SilentError(), "SilentError"),
    ],
)
def test_whatever_user_code_raises_ends_at_the_boundary(error: BaseException, name: str) -> None:
    assert failure_of(raising(error)).error_type == name


def test_interrupt_by_the_developer_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate("watch", raising(KeyboardInterrupt()), FOREVER)


def test_message_and_stack_of_an_error_are_cut() -> None:
    error = failure_of(raising(ValueError("x" * 100_000)))

    assert len(str(error)) < 2_200
    assert len(error.stack) == 16_000


def test_stack_shows_the_users_frames_alone() -> None:
    def helper() -> None:
        msg = "deep in user code"
        raise ValueError(msg)

    def function() -> Iterator[None]:
        yield
        helper()

    definition = SensorDefinition("watch", evaluation_fn=function, job_name="load")

    stack = failure_of(partial(definition.evaluate_tick, SensorEvaluationContext("watch"))).stack

    assert "in helper" in stack
    assert stack.splitlines()[0] == "Traceback (most recent call last):"
    assert stack.splitlines()[-1] == "ValueError: deep in user code"
    assert "definitions/evaluation.py" not in stack
    assert "engine/tick/user_code.py" not in stack


def test_stack_of_an_error_that_our_own_code_raises_for_the_user_ends_with_our_text() -> None:
    def function(context: SensorEvaluationContext) -> None:
        context.update_cursor(5)  # type: ignore[arg-type]

    definition = SensorDefinition("watch", evaluation_fn=function)

    stack = failure_of(partial(definition.evaluate_tick, SensorEvaluationContext("watch"))).stack

    assert "context.update_cursor(5)" in stack
    assert "A cursor is a string or None, not int" in stack


def test_users_package_whose_name_begins_like_ours_is_the_users() -> None:
    library = Path(user_code.__file__).parents[2]
    scope: dict[str, Any] = {}
    code = "def outer(): inner()\ndef inner(): raise ValueError('theirs')"
    exec(compile(code, f"{library}_of_the_user/app.py", "exec"), scope)

    stack = failure_of(scope["outer"]).stack

    assert "in outer" in stack
    assert "in evaluate" not in stack


def test_deadline_stops_an_endless_loop() -> None:
    def function() -> SensorExecutionData:
        ends = time.monotonic() + ENDLESS_SECONDS
        while time.monotonic() < ends:
            pass
        return NOTHING

    began = time.monotonic()
    with pytest.raises(SensorTimeoutError, match=r"Sensor watch was stopped after 0\.1 s") as stopped:
        evaluate("watch", function, 0.05)

    assert time.monotonic() - began < 5
    assert stopped.value.error_type == "SensorTimeoutError"
    assert "in function" in stopped.value.stack


def test_deadline_stops_a_loop_that_swallows_every_exception() -> None:
    def function() -> SensorExecutionData:
        ends = time.monotonic() + ENDLESS_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(Exception):
                time.sleep(ENDLESS_SECONDS)
        return NOTHING

    with pytest.raises(SensorTimeoutError):
        evaluate("watch", function, 0.05)


def test_deadline_comes_again_for_code_that_survives_it() -> None:
    """Each second, so that a handler of BaseException holds it up once only."""
    seen: list[tuple[float, float]] = []

    def function() -> SensorExecutionData:
        seen.append(signal.getitimer(signal.ITIMER_REAL))
        return NOTHING

    evaluate("watch", function, 10)

    ((left, again),) = seen
    assert 9 < left <= 10
    assert again == 1


def test_no_time_left_is_a_timeout_too() -> None:
    def function() -> SensorExecutionData:
        time.sleep(ENDLESS_SECONDS)
        return NOTHING

    with pytest.raises(SensorTimeoutError):
        evaluate("watch", function, -3)


@pytest.mark.parametrize("error", [None, ValueError("x"), SystemExit()])
def test_alarm_is_as_it_was_before(error: BaseException | None) -> None:
    rings: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, _frame: rings.append(number))
    signal.setitimer(signal.ITIMER_REAL, 100, 7)
    mine = signal.getsignal(signal.SIGALRM)

    with contextlib.suppress(SensorEvaluationError):
        evaluate("watch", raising(error) if error else lambda: NOTHING, 50)

    left, again = signal.getitimer(signal.ITIMER_REAL)
    assert signal.getsignal(signal.SIGALRM) is mine
    assert 90 < left <= 100
    assert again == 7
    assert handler is signal.SIG_DFL


def test_alarm_that_nobody_had_set_is_off_afterwards() -> None:
    evaluate("watch", lambda: NOTHING, 10)

    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_outside_the_main_thread_there_is_no_deadline_and_errors_are_still_caught() -> None:
    failures: list[SensorEvaluationError] = []
    thread = threading.Thread(target=lambda: failures.append(failure_of(raising(ValueError("x")), 0.01)))

    thread.start()
    thread.join()

    assert [error.error_type for error in failures] == ["ValueError"]
