"""RECORD: folds what targets report into run records."""

from collections.abc import Mapping
from dataclasses import dataclass

from treadle.definitions.errors import LaunchError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.amend import amend
from treadle.engine.folding import Report, fold
from treadle.engine.identity import parse_launch_id
from treadle.engine.launch import Targets
from treadle.engine.outcomes import Decision, Outcome
from treadle.ports.launching import JobSettings
from treadle.ports.runs import Failure, Run, RunStore


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A target's word on one of its executions.

    Attributes:
        kind: the kind of target, such as "step_functions".
        name: what the execution bears as its launch id.
        external_id: how the target names it.
        target: the address of what runs.
        status: how far it has come.
        time: when.
        started_at: when it started.
    """

    kind: str
    name: str
    external_id: str
    target: str
    status: Status
    time: int
    started_at: int | None = None


class Recorder:
    """Folds status changes.

    Args:
        runs: keeps run records.
        jobs: what each job's name launches.
        targets: each kind of target, asked why something failed.
    """

    def __init__(self, runs: RunStore, jobs: Mapping[str, JobSettings], targets: Targets) -> None:
        self._runs = runs
        self._jobs = jobs
        self._targets = targets

    def record(self, change: StatusChange) -> Outcome:
        """Take a change into its run's record; a foreign execution changes nothing.

        Args:
            change: what the target reported.

        Raises:
            StoreError: if the store did not answer.
            LaunchDelayedError: if the target did not say why the execution failed; the status is recorded
                all the same, and a second delivery adds the reason.
        """
        launch = parse_launch_id(change.name)
        run = self._runs.get(launch[0]) if launch else None
        if launch is None or run is None or launch[1] > run.attempt:
            return Outcome(Decision.FOREIGN, "No run of Treadle bears this name.", change.external_id)
        if not self._is_target_of(run, change):
            reason = (
                f"{change.target} is not what job {run.job!r} launches; a foreign execution took the name."
            )
            return Outcome(Decision.FOREIGN, reason, change.external_id)
        failure, unknown = self._failure(change)
        report = Report(
            launch[1],
            change.status,
            change.time,
            started_at=change.started_at,
            external_id=change.external_id,
            target=change.target,
            failure=failure,
        )
        folded = amend(self._runs, run, lambda current: fold(current, report))
        if unknown is not None:
            raise unknown
        return Outcome(Decision.RECORDED, f"The run is at {folded.status}.", folded.launch_id)

    def _is_target_of(self, run: Run, change: StatusChange) -> bool:
        settings = self._jobs.get(run.job)
        own = {run.target, run.tried.target if run.tried else None, settings.arn if settings else None}
        return change.target in own

    def _failure(self, change: StatusChange) -> tuple[Failure | None, LaunchError | None]:
        """Why the execution failed; and what kept that from being known, if it may be known later."""
        if change.status not in {Status.FAILURE, Status.CANCELED}:
            return None, None
        try:
            return self._targets[change.kind].describe(change.external_id).failure, None
        except LaunchRejectedError as error:
            return Failure("UnknownFailureError", str(error)), None
        except LaunchError as error:
            return None, error
