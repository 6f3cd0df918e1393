"""What each step decided, with its reason; logs, metrics and answers are made of these."""

from dataclasses import dataclass
from enum import StrEnum

from treadle.definitions.bounds import MAX_MESSAGE, fit
from treadle.definitions.results import Measure


class Decision(StrEnum):
    """What became of one input."""

    SUCCESS = "SUCCESS"
    SKIPPED = "SKIPPED"
    FAILURE = "FAILURE"
    STOPPED = "STOPPED"
    NOT_DUE = "NOT_DUE"
    LEASED = "LEASED"
    LOST = "LOST"
    DUPLICATE = "DUPLICATE"
    LAUNCHED = "LAUNCHED"
    DELAYED = "DELAYED"
    HELD = "HELD"
    RECORDED = "RECORDED"
    FOREIGN = "FOREIGN"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step's decision on one input.

    Attributes:
        decision: what became of it.
        reason: why, in words for an operator.
        subject: the tick or run.
        count: how many runs were asked for, or started.
        trigger: what set it off, in one line.
        set_aside: how many requests could never run.
        held: how many requests wait for a grant, or for the next hour.
        refused: how many requests and asset events were refused, but for those that an operator has dropped.
        paused: why the sensor was paused by it, if it was.
        latency: of a start, milliseconds since what the tick was about happened, or was due; None for a later
            attempt.
        recorded_failures: how many failed ticks before this one were recorded by it, as they had died unrecorded.
        wait_seconds: after how long the input is to be given again, if it was too early.
        measures: what an operator may want to watch.
    """

    decision: Decision
    reason: str
    subject: str
    count: int = 0
    trigger: str | None = None
    set_aside: int = 0
    held: int = 0
    refused: int = 0
    paused: str | None = None
    latency: int | None = None
    recorded_failures: int = 0
    wait_seconds: int = 0
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        # It is logged, and the answer of an invocation: a target's or a store's message may have any length.
        object.__setattr__(self, "reason", fit(self.reason, MAX_MESSAGE))
