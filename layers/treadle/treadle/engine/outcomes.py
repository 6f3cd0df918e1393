"""The decision of each component on its input, with the reason; used for logs, metrics and responses."""

from dataclasses import dataclass
from enum import StrEnum

from treadle.definitions.bounds import MAX_MESSAGE, fit
from treadle.definitions.results import Measure


class Decision(StrEnum):
    """The result of one input."""

    SUCCESS = "SUCCESS"
    ACCEPTED = "ACCEPTED"
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
    """A component's decision on one input.

    Attributes:
        decision: the result.
        reason: why, for an operator.
        subject: the tick or run.
        count: how many runs were requested or started.
        trigger: what triggered it, in one line.
        rejected: the number of rejected requests.
        held: how many requests wait: for a grant, the next hour, or the release of a loop.
        loops: 1 if it has found that the sensor looks like a loop.
        refused: how many requests and asset events were refused, not counting those that an operator dropped.
        paused: why the sensor was paused by it, if it was.
        latency: of a start, milliseconds since the tick's event or scheduled time; None for a later attempt.
        recorded_failures: how many earlier ticks it recorded as failed because they had died unrecorded.
        wait_seconds: when the input is to be processed again, if it was too early.
        measures: metrics for operators.
        is_repeated: True if this process has just reported the same of the same sensor; it is logged at DEBUG only.
    """

    decision: Decision
    reason: str
    subject: str
    count: int = 0
    trigger: str | None = None
    rejected: int = 0
    held: int = 0
    loops: int = 0
    refused: int = 0
    paused: str | None = None
    latency: int | None = None
    recorded_failures: int = 0
    wait_seconds: int = 0
    measures: tuple[Measure, ...] = ()
    is_repeated: bool = False

    def __post_init__(self) -> None:
        # It is logged and returned from invocations: a target's or a store's message may have any length.
        object.__setattr__(self, "reason", fit(self.reason, MAX_MESSAGE))
