"""Default run keys: of requests for an event or a message, from what identifies it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.errors import InvalidResultError
from treadle.definitions.results import RunRequest, SensorResult


def with_run_key(values: Sequence[Any], key_of: Callable[[], object], sensor: str, what: str) -> list[Any]:
    """Return what a function returned, with the run key of its event for a request without one.

    Args:
        values: from `flatten`.
        key_of: returns the run key; only called if a request has none.
        sensor: the sensor's name, for errors.
        what: the event in one line, for errors.

    Raises:
        InvalidResultError: if several requests have no run key, or `key_of` returns no text.
    """
    keyless = sum(not each.run_key for value in values for each in _requests(value))
    if not keyless:
        return list(values)
    if keyless > 1:
        msg = (
            f"Sensor {sensor} requested {keyless} runs without run key for one event or message: only one of them can "
            "have its key. Give each its own run_key."
        )
        raise InvalidResultError(msg)
    key = key_of()
    if not isinstance(key, str) or not key:
        msg = (
            f"Sensor {sensor}: identity returned {shown(key)} for {what}. Return a text that is the same for all "
            "that are to start one run."
        )
        raise InvalidResultError(msg)
    return [_keyed(value, key) for value in values]


def _requests(value: Any) -> list[RunRequest]:
    if isinstance(value, SensorResult):
        return list(value.run_requests or ())
    return [value] if isinstance(value, RunRequest) else []


def _keyed(value: Any, key: str) -> Any:
    if isinstance(value, SensorResult):
        return replace(value, run_requests=[_keyed(each, key) for each in value.run_requests or ()])
    return replace(value, run_key=key) if isinstance(value, RunRequest) and not value.run_key else value
