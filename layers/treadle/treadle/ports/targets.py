"""Targets that start job runs, and the deployment's word on which job starts what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from treadle.definitions.status import DagsterRunStatus
from treadle.ports.runs import Failure

UNANSWERING = frozenset({"lambda", "sqs", "eventbridge"})
"""Kinds of targets that can neither be asked how a run of theirs stands, nor what runs."""

_KINDS = {
    "batch": "batch",
    "ecs": "ecs",
    "events": "eventbridge",
    "glue": "glue",
    "lambda": "lambda",
    "sqs": "sqs",
    "states": "step_functions",
}
"""Kinds of targets by the service that an ARN names."""


def kind_of(address: str) -> str:
    """The kind of target that an ARN is of; "" for a bare name, and for an unknown service.

    Args:
        address: an ARN or a name.
    """
    parts = address.split(":")
    return _KINDS.get(parts[2], "") if parts[0] == "arn" and len(parts) > 3 else ""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job's name launches here.

    Attributes:
        job: the job's name.
        target: the kind of target, such as "step_functions".
        arn: the address of what is started; empty where the deployment left it out.
        parameter: what gives the address, for messages: the job's registry entry, or what that entry names.
        options: what else the target needs, such as "queue"; empty texts where the deployment left it out.
        role: the ARN of the role that the engine assumes for its target; "" for the engine's own permissions.
        former: addresses that it had before, where runs may still be under way; its role has permissions there.
    """

    job: str
    target: str
    arn: str
    parameter: str
    options: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    former: tuple[str, ...] = ()

    def missing(self, options: Sequence[str]) -> str:
        """Say which options are missing, and what to do.

        Args:
            options: their names.
        """
        what, them = ("option", "it") if len(options) == 1 else ("options", "them")
        return f"its registry entry lacks the {what} {', '.join(options)}. Add {them} and deploy."


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one attempt, the same however often it is asked for.

    Attributes:
        settings: what to start.
        launch_id: the name or token of the attempt.
        run_id: of the run.
        run_config: canonical JSON.
        tags: the run's.
        payload: canonical JSON of all there is to know, for targets that take one document.
        tried_at: when it may have been tried first; nothing older is it.
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
    """What keeps a target from starting an attempt twice when it is not known whether a start came through.

    A target with neither a token nor a listing starts at least once.

    Attributes:
        token_ms: milliseconds after the first call during which the same start again is no second one;
            None for a target without token.
        listing_ms: milliseconds after the first call during which an execution is found by its launch id;
            None for a target that cannot be searched.
        describes: whether the target tells how an execution stands, so that it can be asked again.
        lists: whether it tells what ran of late, whoever started that.
    """

    token_ms: int | None = None
    listing_ms: int | None = None
    describes: bool = True
    lists: bool = False

    @property
    def is_at_least_once(self) -> bool:
        """Whether a start whose outcome is not known is simply sent again."""
        return self.token_ms is None and self.listing_ms is None


@dataclass(frozen=True, slots=True)
class Execution:
    """A run as its target sees it.

    Attributes:
        external_id: how the target names it.
        target: the address of what runs.
        status: how far it has come.
        started_at: when it started.
        ended_at: when it ended.
        failure: why it failed.
        retry: the target's own count of retries or redrives.
        launch_id: what it bears as launch id; None where it bears none, or was not asked for it.
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
        at: by which the listing is in order: when it was made, began or ended, as the target sorts them.
        execution: as far as a listing tells of it; how it ended is told by `Target.describe`.
    """

    at: int
    execution: Execution


class Target(Protocol):
    """One kind of service that runs jobs."""

    @property
    def contract(self) -> StartContract:
        """What keeps it from starting an attempt twice."""

    def prepare(self, settings: JobSettings) -> None:
        """Obtain what calls for this job need, such as the credentials of its role; nothing reaches the job.

        Args:
            settings: of the job.

        Raises:
            LaunchDeniedError: if its role may not be assumed.
            LaunchDelayedError: if that cannot be done now.
        """

    def start(self, start: Start) -> Execution:
        """Start an attempt, in one call that is not repeated by itself where there is no token.

        Args:
            start: what, and under which launch id.

        Raises:
            LaunchRejectedError: if it will never be accepted.
            LaunchDeniedError: if a permission is missing.
            LaunchDelayedError: if nothing was started, and the same start may be sent again later.
            LaunchUncertainError: if it is not known whether it was started.
        """

    def resolve(self, start: Start) -> Execution | None:
        """The execution that an earlier call for this start made; None if none is to be seen (yet).

        Raises:
            LaunchError: if the target does not say.
        """

    def describe(self, external_id: str, role: str) -> Execution:
        """How the execution stands, with the reason if it failed.

        Args:
            external_id: how the target names it.
            role: the ARN of the role that its job brings; "" for the engine's own permissions.

        Raises:
            LaunchRejectedError: if the target knows no such execution (any more).
            LaunchError: if the target does not say.
        """

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """What ran of late, whoever started it, the newest first; read page by page as it is asked for.

        An execution is in it at least once while it is as young as that, and may lag by a moment.

        Args:
            settings: of which job.
            since: when the oldest of interest was made, began or ended.

        Raises:
            LaunchRejectedError: if the target cannot list, or knows no such job.
            LaunchError: if the target does not say.
        """

    def cancel(self, external_id: str, role: str) -> None:
        """Ask the target to end an execution; that it has ended is reported as any other end.

        Args:
            external_id: how the target names it.
            role: as for `describe`.

        Raises:
            LaunchRejectedError: if the target cannot end it, or knows no such execution.
            LaunchError: if the target did not take the request.
        """
