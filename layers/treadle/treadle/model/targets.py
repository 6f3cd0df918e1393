"""The settings of a job, and what its target reports of a start and of an execution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from treadle.definitions.status import DagsterRunStatus
from treadle.model.runs import Failure

UNANSWERING = frozenset({"lambda", "sqs", "eventbridge"})
"""Target types whose executions can be neither queried nor listed."""

_KINDS = {
    "batch": "batch",
    "ecs": "ecs",
    "events": "eventbridge",
    "glue": "glue",
    "lambda": "lambda",
    "sqs": "sqs",
    "states": "step_functions",
}
"""Target types by the service in an ARN."""


def kind_of(address: str) -> str:
    """Return the target type of an ARN; "" for a plain name, and for an unknown service."""
    parts = address.split(":")
    return _KINDS.get(parts[2], "") if parts[0] == "arn" and len(parts) > 3 else ""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The target that a job starts in this deployment.

    Attributes:
        job: the job's name.
        target: the target type, such as "step_functions".
        arn: the target's address; empty where the deployment left it out.
        parameter: what sets the address, for messages: the job's registry entry, or what that entry names.
        options: the target's other options, such as "queue"; values are empty where the deployment left them
            out.
        role: the ARN of the role that the engine assumes for the target; "" for the engine's own permissions.
        former: earlier addresses, where runs may still be in progress; the role has permissions there.
    """

    job: str
    target: str
    arn: str
    parameter: str
    options: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    former: tuple[str, ...] = ()

    def missing(self, options: Sequence[str]) -> str:
        """Return a message that says which options are missing, and what to do."""
        what, them = ("option", "it") if len(options) == 1 else ("options", "them")
        return f"its registry entry lacks the {what} {', '.join(options)}. Add {them} and deploy."


@dataclass(frozen=True, slots=True)
class Start:
    """A request to start one attempt, the same for each repetition.

    Attributes:
        settings: what to start.
        launch_id: the name or idempotency token of the attempt.
        run_id: the run's id.
        run_config: canonical JSON.
        tags: the run's tags.
        payload: canonical JSON of all of this, for targets that take one document.
        tried_at: the earliest time it may have been sent; an older execution is not its result.
    """

    settings: JobSettings
    launch_id: str
    run_id: str
    run_config: str
    tags: Mapping[str, str]
    payload: str
    tried_at: int = 0


@dataclass(frozen=True, slots=True)
class StartContract:
    """How a target prevents an attempt from starting twice when the outcome of a start is unknown.

    A target with neither a token nor a listing starts at least once.

    Attributes:
        token_ms: milliseconds after the first call during which a repeated call does not start a second
            execution; None for a target without an idempotency token.
        listing_ms: milliseconds after the first call during which an execution is found by its launch id;
            None for a target that cannot be searched.
        describes: True if the target returns the status of an execution.
        lists: True if it lists recent executions, whoever started them.
    """

    token_ms: int | None = None
    listing_ms: int | None = None
    describes: bool = True
    lists: bool = False

    @property
    def is_at_least_once(self) -> bool:
        """True if a start with an unknown outcome is simply repeated."""
        return self.token_ms is None and self.listing_ms is None


@dataclass(frozen=True, slots=True)
class Execution:
    """A run as its target reports it.

    Attributes:
        external_id: the target's id of the execution.
        target: the address of what runs.
        status: its status.
        started_at: when it started.
        ended_at: when it ended.
        failure: why it failed.
        retry: the target's own count of retries or redrives.
        launch_id: its launch id; None where it has none, or that was not queried.
    """

    external_id: str
    target: str
    status: DagsterRunStatus
    started_at: int
    ended_at: int | None = None
    failure: Failure | None = None
    retry: int = 0
    launch_id: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An execution as its target lists it.

    Attributes:
        at: the sort key of the listing: when it was created, began or ended, depending on the target.
        execution: as far as a listing describes it; `Target.describe` returns how it ended.
    """

    at: int
    execution: Execution
