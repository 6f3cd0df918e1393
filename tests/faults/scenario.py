"""What the sensors of the simulation of faults request, and what goes wrong by itself meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.simulated_aws import TargetFaults
from tests.support.engine import JOB
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition
from treadle.integrations.s3 import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection

SCHEDULED = "watch"
EVENTS = "arrivals"
UNGRANTED = "forbidden"
"""A job that is never granted: what requests it is dropped by an operator."""

GRANTED_LATE = "permitted"
"""A job that a deployment grants after a while."""

JOBS = [JobDefinition(JOB), JobDefinition(UNGRANTED), JobDefinition(GRANTED_LATE)]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A history to be lived through.

    Attributes:
        batches: the run keys of each leased tick, in order; None requests a run without key.
        objects: those that arrive, each an event tick.
        failing_at: the batch whose first evaluation fails.
        edited_at: the batch during whose first evaluation an operator moves the cursor on.
        target_faults: what goes wrong at the target.
        has_poison: whether records that nobody can handle come along with the others.
        interval: seconds from one leased tick to the next.
    """

    batches: tuple[tuple[str | None, ...], ...]
    objects: tuple[str, ...] = ()
    failing_at: int | None = None
    edited_at: int | None = None
    target_faults: TargetFaults = field(default_factory=TargetFaults)
    has_poison: bool = False
    interval: int = 60


def keys_of(*keys: str) -> frozenset[str]:
    """The run keys."""
    return frozenset(keys)


WHOLE = Scenario(
    batches=(
        ("busy", None),
        ("edited-away", None),
        ("late", "unanswered", "swallowed"),
        ("silent", "failing", UNGRANTED, GRANTED_LATE, None, "last"),
        (GRANTED_LATE + "-alone", UNGRANTED + "-alone"),
    ),
    objects=("in/a.csv", "in/b.csv"),
    failing_at=0,
    edited_at=1,
    target_faults=TargetFaults(
        failing=keys_of("failing"),
        silent=keys_of("silent"),
        late=keys_of("late"),
        unanswered=keys_of("unanswered"),
        swallowed=keys_of("swallowed"),
        busy=keys_of("busy"),
    ),
    has_poison=True,
    interval=30,
)
"""Everything that can come along; its last batch but one is dispatched in slices."""

MEDIUM = Scenario(batches=(("keyed", None, "last"),), objects=("in/a.csv",))
"""One tick, dispatched in slices, and one event, for stores that take their time."""

SMALL = Scenario(batches=(("only",),))
"""One request, for pairs of faults."""


def scheduled(scenario: Scenario, evaluated: Callable[[int], None]) -> SensorDefinition:
    """The sensor that is evaluated by schedule: one batch for each tick.

    Args:
        scenario: says what it requests.
        evaluated: called with the batch's number at each evaluation.
    """

    def function(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        at = int(context.cursor or 0)
        evaluated(at)
        if at == len(scenario.batches):
            return SkipReason("There is no more.")
        requests = [
            RunRequest(key, run_config={"batch": at}, job_name=job_of(key)) for key in scenario.batches[at]
        ]
        return SensorResult(requests, cursor=str(at + 1))

    return SensorDefinition(SCHEDULED, evaluation_fn=function, jobs=JOBS)


def job_of(key: str | None) -> str:
    """The job that a run key requests."""
    return next((job for job in (UNGRANTED, GRANTED_LATE) if (key or "").startswith(job)), JOB)


def arrivals() -> SensorDefinition:
    """The sensor that is evaluated for each object."""

    def function() -> RunRequest:
        return RunRequest()

    return S3SensorDefinition(EVENTS, evaluation_fn=function, selection=S3Selection("watched"), job_name=JOB)
