"""Scenarios of the engine's simulation: the sensors' requests, and failures other than injected faults."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.simulated_aws import TargetFaults
from tests.support.engine import JOB
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.max_runtime import MAX_RUNTIME_TAG
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.retries import Backoff, RetryPolicy
from treadle.definitions.sensors import SensorDefinition
from treadle.integrations.s3 import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection

SCHEDULED = "watch"
EVENTS = "arrivals"
UNGRANTED = "forbidden"
"""A job that is never granted: an operator drops its requests."""

GRANTED_LATE = "permitted"
"""A job that a later deployment grants."""

JOBS = [JobDefinition(JOB), JobDefinition(UNGRANTED), JobDefinition(GRANTED_LATE)]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario to simulate.

    Attributes:
        batches: the run keys of each scheduled tick, in order; None requests a run without key.
        objects: the uploaded objects, each of which is an event.
        failing_at: the batch whose first evaluation fails.
        edited_at: the batch during whose first evaluation an operator sets the next cursor.
        target_faults: the failures of the target.
        has_poison: whether invalid records are delivered, too.
        interval: the sensor's interval, in seconds.
        filling: the size of a value in each run config, in characters.
    """

    batches: tuple[tuple[str | None, ...], ...]
    objects: tuple[str, ...] = ()
    failing_at: int | None = None
    edited_at: int | None = None
    target_faults: TargetFaults = field(default_factory=TargetFaults)
    has_poison: bool = False
    interval: int = 60
    filling: int = 0


def keys_of(*keys: str) -> frozenset[str]:
    """Return a set of run keys."""
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
"""All cases; the last batch but one is dispatched in chunks."""

MEDIUM = Scenario(batches=(("keyed", None, "last"),), objects=("in/a.csv",))
"""One tick, dispatched in chunks, and one event, for slow stores."""

SMALL = Scenario(batches=(("only",),))
"""One request, for pairs of faults."""

HANGING = Scenario(batches=(("hanging",),), target_faults=TargetFaults(hanging=keys_of("hanging")))
"""One request, whose job exceeds its maximum runtime."""

MAX_RUNTIME_SECONDS = 90

FLAKY = Scenario(batches=(("flaky",),), target_faults=TargetFaults(flaky=keys_of("flaky")))
"""One request, whose job fails twice and is retried up to three times."""

LARGE = Scenario(
    batches=(("flaky",), ("after",)), target_faults=TargetFaults(flaky=keys_of("flaky")), filling=300_000
)
"""Two requests with run configs that are too large to be sent; the first one's job is started three times."""

_POLICY = RetryPolicy(3, delay=60, backoff=Backoff.EXPONENTIAL)


def scheduled(scenario: Scenario, evaluated: Callable[[int], None]) -> SensorDefinition:
    """Return a polling sensor that requests one batch in each tick.

    Args:
        scenario: has the batches.
        evaluated: called with the batch's number at each evaluation.
    """

    def function(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        at = int(context.cursor or 0)
        evaluated(at)
        if at == len(scenario.batches):
            return SkipReason("There is no more.")
        requests = [
            RunRequest(key, run_config=_config(scenario, at), job_name=job_of(key), tags=_tags(scenario, key))
            for key in scenario.batches[at]
        ]
        return SensorResult(requests, cursor=str(at + 1))

    return SensorDefinition(SCHEDULED, evaluation_fn=function, jobs=JOBS)


def _config(scenario: Scenario, at: int) -> dict[str, object]:
    return {"batch": at, "filling": "x" * scenario.filling} if scenario.filling else {"batch": at}


def _tags(scenario: Scenario, key: str | None) -> dict[str, str]:
    if key in scenario.target_faults.flaky:
        return _POLICY.tags
    return {MAX_RUNTIME_TAG: str(MAX_RUNTIME_SECONDS)} if key in scenario.target_faults.hanging else {}


def job_of(key: str | None) -> str:
    """Return the job of a run key."""
    return next((job for job in (UNGRANTED, GRANTED_LATE) if (key or "").startswith(job)), JOB)


def arrivals() -> SensorDefinition:
    """Return an event sensor of objects."""

    def function() -> RunRequest:
        return RunRequest()

    return S3SensorDefinition(EVENTS, evaluation_fn=function, selection=S3Selection("watched"), job_name=JOB)
