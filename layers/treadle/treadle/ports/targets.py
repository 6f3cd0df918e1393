"""The targets that start runs of jobs."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract

CANCELED = "Canceled by an operator of Treadle."
"""The reason given to a target for a cancellation, where it accepts one."""


class Target(Protocol):
    """A service that runs jobs."""

    @property
    def contract(self) -> StartContract:
        """How it prevents an attempt from starting twice."""

    def prepare(self, settings: JobSettings) -> None:
        """Obtain what calls for this job need, such as its role's credentials; nothing is sent to the job.

        Args:
            settings: the job's settings.

        Raises:
            LaunchDeniedError: if the role cannot be assumed.
            LaunchDelayedError: if it cannot be assumed now.
        """

    def start(self, start: Start) -> Execution:
        """Start an attempt, in one call that is not retried automatically if there is no idempotency token.

        Args:
            start: what to start, and under which launch id.

        Raises:
            LaunchRejectedError: if it will never be accepted.
            LaunchDeniedError: if a permission is missing.
            LaunchDelayedError: if nothing was started, and the same start may be sent again later.
            LaunchUncertainError: if it is not known whether it was started.
        """

    def resolve(self, start: Start) -> Execution | None:
        """Find the execution that an earlier call for this start created; None if there is none (yet).

        Raises:
            LaunchError: if the target does not answer.
        """

    def describe(self, external_id: str, role: str) -> Execution:
        """Return the status of an execution, with the reason if it failed.

        Args:
            external_id: the target's id of the execution.
            role: the ARN of the job's role; "" for the engine's own permissions.

        Raises:
            LaunchRejectedError: if the target does not have such an execution (any more).
            LaunchError: if the target does not answer.
        """

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """List recent executions, whoever started them, newest first; pages are read lazily.

        An execution younger than `since` is listed at least once. The listing is eventually consistent.

        Args:
            settings: the job's settings.
            since: the earliest creation, start or end of interest.

        Raises:
            LaunchRejectedError: if the target cannot list, or there is no such job.
            LaunchError: if the target does not answer.
        """

    def cancel(self, external_id: str, role: str, reason: str = CANCELED) -> None:
        """Request that the target end an execution; its end is reported like any other.

        Args:
            external_id: the target's id of the execution.
            role: as for `describe`.
            reason: stored at the target, if it stores one.

        Raises:
            LaunchRejectedError: if the target cannot end it, or does not have such an execution.
            LaunchError: if the target did not accept the request.
        """


Targets = Mapping[str, Target]
"""The targets by the type that job settings name."""
