"""A check and its result, independent of how checks are run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tools.verify.account import Account
from tools.verify.lab import Lab

Template = Mapping[str, Any]

SUCCESS, FAILED, NOTHING_TRIED, LEFT_BEHIND, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses: every check held; one did not; none was tried; a resource could not be deleted."""


class Verdict(StrEnum):
    """The result of a check."""

    HELD = "held"
    DID_NOT_HOLD = "did not hold"
    NOT_TRIED = "could not be tried"


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about AWS, and how to check it.

    Attributes:
        name: in lower case with hyphens, at most 24 characters, as it becomes part of a stack's name.
        statement: the expected behavior of AWS.
        relied_on: where Treadle relies on it, or which finding it settles.
        source: where AWS documents it.
        run: checks it, and returns what was observed; raises `DidNotHoldError` or `NotTriedError`.
        template: makes the CloudFormation template of its resources; None if it needs none.
        not_local: why the local cloud cannot show it; "" if the local cloud evaluates all that it needs.
        dollars: an upper bound of what one run costs at list price.
    """

    name: str
    statement: str
    relied_on: str
    source: str
    run: Callable[[Lab], str]
    template: Callable[[Account], Template] | None = None
    not_local: str = ""
    dollars: float = 0.0005


@dataclass(frozen=True, slots=True)
class ByHand:
    """Behavior that takes over an hour to check, or more than one account, and is therefore only described.

    Attributes:
        name: as a check's.
        statement: the expected behavior of AWS.
        why: why it cannot be checked here.
        how: how to check it.
    """

    name: str
    statement: str
    why: str
    how: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check.

    Attributes:
        name: the check's.
        statement: the check's.
        verdict: whether it held.
        observed: what was observed, or why it could not be tried.
        seconds: how long it took.
    """

    name: str
    statement: str
    verdict: Verdict
    observed: str
    seconds: float = 0


def exit_status(results: Iterable[Result], *, interrupted: bool = False, left: bool = False) -> int:
    """Return the exit status.

    Args:
        results: of all checks.
        interrupted: whether the run was interrupted.
        left: whether a resource could not be deleted.
    """
    verdicts = {result.verdict for result in results}
    if Verdict.DID_NOT_HOLD in verdicts:
        return FAILED
    if interrupted:
        return INTERRUPTED
    if left:
        return LEFT_BEHIND
    return SUCCESS if Verdict.HELD in verdicts else NOTHING_TRIED
