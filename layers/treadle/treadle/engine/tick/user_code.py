"""The one place where user code runs: its errors are converted, and its time is limited."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

from treadle.definitions.bounds import error_text
from treadle.definitions.errors import SensorEvaluationError, SensorTimeoutError

T = TypeVar("T")

_LIBRARY = f"{Path(__file__).resolve().parents[2]}{os.sep}"
_MAX_STACK = 16_000
_MAX_MESSAGE = 2_000


class _DeadlineReachedError(BaseException):
    """Raised inside user code; `except Exception` does not catch it."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Stop the block after a timeout; no effect outside the main thread, as in some tests."""
    if seconds == float("inf") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _DeadlineReachedError

    before = signal.signal(signal.SIGALRM, stop)
    began = time.monotonic()
    # Fires again each second, for user code that catches even BaseException.
    delay, interval = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 1.0)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # The alarm may still go off here, once.
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if delay:
            left = delay - (time.monotonic() - began)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), interval)


def evaluate(sensor_name: str, function: Callable[[], T], seconds: float) -> T:
    """Call the function and return its value.

    Args:
        sensor_name: for the error's message.
        function: runs the user's code to its end.
        seconds: the timeout.

    Raises:
        SensorTimeoutError: if it timed out.
        SensorEvaluationError: if it raised anything, with the stack of the user's own frames.
    """
    try:
        with _deadline(seconds):
            return function()
    except _DeadlineReachedError as error:
        message = (
            f"Sensor {sensor_name} was stopped after {seconds:.1f} s, before it returned. Raise the "
            "Timeout of its function, or check context.remaining_seconds and return early with a "
            "cursor."
        )
        raise SensorTimeoutError(message, error_type="SensorTimeoutError", stack=_stack(error)) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"Error occurred during the execution of evaluation_fn for sensor {sensor_name}: {shown_error(error)}"
        raise SensorEvaluationError(message, error_type=type(error).__name__, stack=_stack(error)) from error


def unrecorded(sensor_name: str, error: Exception) -> SensorEvaluationError:
    """Return the error of a tick whose evaluation succeeded, and whose result cannot be recorded.

    Args:
        sensor_name: for the error's message.
        error: why it cannot.
    """
    message = (
        f"The result of sensor {sensor_name} cannot be recorded: {shown_error(error)}. Nothing was "
        "committed. Change what the sensor returns."
    )
    return SensorEvaluationError(message, error_type=type(error).__name__, stack=_stack(error))


def shown_error(error: BaseException) -> str:
    """Return an error's type and message; user code in the error cannot make this fail."""
    try:
        # Not str(error), which is also user code, and may raise.
        text = f"{type(error).__name__}: {traceback.TracebackException.from_exception(error)}"
    except Exception:  # noqa: BLE001 - it reads attributes of the error, which are the user's code as well
        text = error_text(error)
    return text[:_MAX_MESSAGE]


def _stack(error: BaseException) -> str:
    """Return the traceback without our own leading frames; all of it if there is no frame of user code."""
    try:
        return _formatted(error)
    except Exception:  # noqa: BLE001 - as above
        return "".join(traceback.format_tb(error.__traceback__))[-_MAX_STACK:]


def _formatted(error: BaseException) -> str:
    trace = traceback.TracebackException.from_exception(error)
    users = [frame for frame in trace.stack if not frame.filename.startswith(_LIBRARY)]
    if users:
        first = next(i for i, frame in enumerate(trace.stack) if frame is users[0])
        trace.stack = traceback.StackSummary.from_list(trace.stack[first:])
    return "".join(trace.format())[-_MAX_STACK:]
