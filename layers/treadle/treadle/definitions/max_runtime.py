"""Time limits of a run in seconds: its maximum runtime, by the tag `dagster/max_runtime` as in Dagster, and its wait."""

import math
from collections.abc import Mapping

MAX_RUNTIME_TAG = "dagster/max_runtime"
START_TIMEOUT_TAG = "treadle/start_timeout"
"""The tag that states how many seconds a run may wait for a slot of a concurrency pool."""

_TAGS = (MAX_RUNTIME_TAG, "dagster/max_runtime_seconds")
"""Dagster reads both, the first one first."""


def max_runtime_ms(tags: Mapping[str, str]) -> int | None:
    """Return a run's maximum runtime in milliseconds, from its target's start; None if it has none.

    0 is none, as in Dagster. So is an invalid tag, which only a run from before tags were checked can have.

    Args:
        tags: the run's tags.
    """
    for name in _TAGS:
        if tags.get(name):
            seconds = _seconds(tags[name])
            return math.ceil(seconds * 1000) or None if seconds is not None else None
    return None


def max_runtime_problem(tags: Mapping[str, str]) -> str | None:
    """Return what is wrong with the tags of time limits; None if nothing is.

    Args:
        tags: of a job or a request.
    """
    for name in (*_TAGS, START_TIMEOUT_TAG):
        if tags.get(name) and _seconds(tags[name]) is None:
            return (
                f"Tag {name} is invalid: {tags[name]!r} is not a number of seconds. Use a positive number, such as "
                "3600."
            )
    return None


def start_timeout_ms(tags: Mapping[str, str]) -> int | None:
    """Return how long a run may wait for a slot of a pool, in milliseconds; None for any time, which 0 is, too.

    Args:
        tags: the run's tags.
    """
    stated = tags.get(START_TIMEOUT_TAG)
    seconds = _seconds(stated) if stated else None
    return math.ceil(seconds * 1000) or None if seconds is not None else None


def _seconds(stated: str) -> float | None:
    try:
        seconds = float(stated)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds * 1000) and seconds >= 0 else None
