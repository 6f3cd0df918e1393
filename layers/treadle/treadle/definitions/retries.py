"""Retry policies: how often and when a failed run is started again, as tags of the run.

`dagster/max_retries` is Dagster's; `treadle/retry_policy` has the rest of a `RetryPolicy`, as JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.runs import MAX_RETRIES_TAG

RETRY_POLICY_TAG = "treadle/retry_policy"
MAX_RETRIES = 100
_MAX_DIGITS = 9
LONGEST_DELAY_SECONDS = 7 * 86_400


class Backoff(Enum):
    """How the delay grows with the number of the retry.

    LINEAR: `number * delay`. EXPONENTIAL: `(2 ** number - 1) * delay`.
    """

    LINEAR = "LINEAR"
    EXPONENTIAL = "EXPONENTIAL"


class Jitter(Enum):
    """How the delay varies at random, after backoff.

    FULL: between 0 and the delay. PLUS_MINUS: by up to `delay` more or less.
    """

    FULL = "FULL"
    PLUS_MINUS = "PLUS_MINUS"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a run that has failed is started again, without another request.

    Only a failure that the target has reported is retried: not a start that was refused, an unknown outcome, or a
    cancellation by an operator.

    Attributes:
        max_retries: the maximum number of retries, 0 to 100.
        delay: seconds from the failure to the next attempt; at once by default. It is kept to the minute.
        backoff: how the delay grows.
        jitter: how the delay varies.
        max_delay: the maximum of the delay in seconds; a week by default.
        retry_on: names of failures to retry, as the target states them, with `*` and `?`; all by default.

    Raises:
        DagsterInvalidDefinitionError: if a value is invalid, or backoff or jitter are given without a delay.
    """

    max_retries: int = 1
    delay: float | None = None
    backoff: Backoff | None = None
    jitter: Jitter | None = None
    max_delay: float | None = None
    retry_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names: object = self.retry_on
        object.__setattr__(self, "retry_on", (names,) if isinstance(names, str) else tuple(self.retry_on))
        problem = self._problem()
        if problem:
            raise DagsterInvalidDefinitionError(f"The retry policy is invalid: {problem}.")

    def _problem(self) -> str | None:
        number: object = self.max_retries
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_RETRIES:
            return f"max_retries is {shown(number)}. Use a number from 0 to {MAX_RETRIES}"
        for name in ("delay", "max_delay"):
            value = getattr(self, name)
            if value is not None and not _is_delay(value):
                return f"{name} is {shown(value)}. Use a number of seconds, up to {LONGEST_DELAY_SECONDS}"
        if self.delay is None and (self.backoff or self.jitter):
            return "backoff and jitter need a delay. Add delay"
        names: tuple[object, ...] = self.retry_on
        if not all(isinstance(name, str) for name in names):
            return f"retry_on is {shown(self.retry_on)}. Use a list of names, such as ['States.Timeout']"
        return None

    def calculate_delay(self, attempt_num: int, seed: str | None = None) -> float:
        """Return the delay before a retry, in seconds.

        Args:
            attempt_num: the number of the retry, from 1.
            seed: makes the jitter reproducible; random by default.
        """
        import random  # Most functions that know a policy calculate no delay.

        base = self.delay or 0
        limit = LONGEST_DELAY_SECONDS if self.max_delay is None else self.max_delay
        factor = 1 if self.backoff is None else attempt_num
        if self.backoff is Backoff.EXPONENTIAL:
            factor = 2**attempt_num - 1
        delay = min(base * factor, limit)
        chance = random.Random(seed).random()  # noqa: S311 - jitter is no secret
        if self.jitter is Jitter.FULL:
            delay *= chance
        elif self.jitter is Jitter.PLUS_MINUS:
            delay += (2 * chance - 1) * base
        return min(max(delay, 0), limit)

    def retries(self, error: str) -> bool:
        """Return whether a failure is retried.

        Args:
            error: its name.
        """
        return not self.retry_on or any(fnmatchcase(error, pattern) for pattern in self.retry_on)

    @property
    def tags(self) -> dict[str, str]:
        """The tags that state the policy on a run."""
        rest: dict[str, Any] = {
            "delay": self.delay,
            "backoff": self.backoff and self.backoff.value,
            "jitter": self.jitter and self.jitter.value,
            "max_delay": self.max_delay,
            "retry_on": list(self.retry_on),
        }
        rest = {name: value for name, value in rest.items() if value not in (None, [])}
        own = {RETRY_POLICY_TAG: canonical_json(rest)} if rest else {}
        return {MAX_RETRIES_TAG: str(self.max_retries), **own}


def retry_policy_of(tags: Mapping[str, str]) -> RetryPolicy | None:
    """Return the policy that a run's tags state; None if they state none, or no retries.

    Args:
        tags: the run's tags.

    Raises:
        DagsterInvalidDefinitionError: if a tag is invalid.
    """
    stated = tags.get(MAX_RETRIES_TAG)
    if not stated:
        return None
    if not (stated.isascii() and stated.isdecimal() and len(stated) <= _MAX_DIGITS):
        msg = f"Tag {MAX_RETRIES_TAG} is invalid: {shown(stated)} is not a number. Use a number from 0 to {MAX_RETRIES}."
        raise DagsterInvalidDefinitionError(msg)
    policy = _policy(int(stated), tags.get(RETRY_POLICY_TAG) or "{}")
    return policy if policy.max_retries else None


def _policy(max_retries: int, text: str) -> RetryPolicy:
    try:
        found = json.loads(text)
        for name, kind in (("backoff", Backoff), ("jitter", Jitter)):
            if name in found:
                found[name] = kind(found[name])
        return RetryPolicy(max_retries, **found)
    except (ValueError, TypeError, RecursionError) as error:
        msg = (
            f"Tag {RETRY_POLICY_TAG} is invalid: {shown(text)}: {error}. Use JobDefinition(retry_policy=RetryPolicy(...)), "
            "which writes it."
        )
        raise DagsterInvalidDefinitionError(msg) from error


def _is_delay(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= LONGEST_DELAY_SECONDS  # type: ignore[operator]
