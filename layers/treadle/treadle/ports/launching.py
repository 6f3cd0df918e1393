"""Targets that start job runs, and the deployment's word on which job starts what."""

from dataclasses import dataclass
from typing import Protocol

from treadle.definitions.status import DagsterRunStatus
from treadle.ports.runs import Failure


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job's name launches here.

    Attributes:
        job: the job's name.
        target: the kind of target, such as "step_functions".
        arn: the address of what is started; empty where the deployment left it out.
        parameter: the deployment parameter that gives the address.
    """

    job: str
    target: str
    arn: str
    parameter: str


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
    """

    external_id: str
    target: str
    status: DagsterRunStatus
    started_at: int
    ended_at: int | None = None
    failure: Failure | None = None


class Target(Protocol):
    """One kind of service that runs jobs."""

    def start(self, settings: JobSettings, launch_id: str, payload: str) -> Execution:
        """Start, once per launch id as far as the target can promise it.

        Args:
            settings: what to start.
            launch_id: the name or token.
            payload: canonical JSON, the same for the same launch id.

        Raises:
            LaunchRejectedError: if it will never be accepted.
            LaunchDeniedError: if a permission is missing.
            LaunchDelayedError: if the same start may be sent again later.
        """

    def describe(self, external_id: str) -> Execution:
        """How the execution stands, with the reason if it failed.

        Raises:
            LaunchError: if the target does not say.
        """
