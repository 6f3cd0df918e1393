"""RECONCILE's poller of observed jobs: lists external runs, and records those for which no event arrived."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from treadle.definitions.errors import LaunchError, UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import parse_launch_id
from treadle.engine.outcomes import Decision
from treadle.engine.record.arns import full_address
from treadle.engine.record.external_runs import ExternalRunRecorder
from treadle.engine.record.recorder import Recorder, StatusChange
from treadle.model.runs import PollCheckpoint, Run
from treadle.model.targets import Execution, JobSettings
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock
from treadle.ports.targets import Targets

logger = logging.getLogger(__name__)

POLL_MS = 600_000
"""The target of each job is polled every ten minutes."""

OVERLAP_MS = 900_000
"""Each poll begins 15 minutes before the last one, because listings lag and clocks differ."""

MEMORY_MS = 7 * 86_400_000
"""How far back a poll reads, so a job not polled for longer brings in no old history; Batch keeps no more."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of one pass over the observed jobs.

    Attributes:
        recorded: runs that were created or updated.
        failed: executions that could not be recorded, and jobs whose target could not be listed.
        is_complete: False if time ran out, and the next pass continues.
    """

    recorded: int = 0
    failed: int = 0
    is_complete: bool = True


class ExternalRunPoller:
    """Lists the executions of observed jobs, and records those that are not recorded yet.

    A poll that runs out of time is continued later; its checkpoint advances only when everything listed is
    recorded.

    Args:
        observer: the observed jobs, and how their runs are named.
        runs: stores run records and poll checkpoints.
        jobs: the settings of each job.
        targets: the targets by type.
        recorder: records what is missing.
        clock: the clock.
        place: the engine's account and region, as `account/region`.
    """

    def __init__(
        self,
        observer: ExternalRunRecorder,
        runs: RunStore,
        jobs: Mapping[str, JobSettings],
        targets: Targets,
        recorder: Recorder,
        clock: Clock,
        place: str = "",
    ) -> None:
        self._observer = observer
        self._runs = runs
        self._targets = targets
        self._recorder = recorder
        self._clock = clock
        self._place = place
        self._jobs = jobs
        self._warned: set[str] = set()

    def watch(self, ends_at: int) -> PollResult:
        """Poll the targets of all jobs that are due, longest overdue first.

        Args:
            ends_at: when to stop.

        Raises:
            StoreError: if a poll checkpoint could not be read.
        """
        found = PollResult()
        for settings, checkpoint in self._due():
            if self._clock.now() >= ends_at:
                return replace(found, is_complete=False)
            try:
                one = self._poll(settings, checkpoint, ends_at)
            except Exception:  # whatever it is, the other jobs must be polled
                logger.exception("The executions of job %s could not be polled", settings.job)
                one = PollResult(failed=1)
            is_complete = found.is_complete and one.is_complete
            found = PollResult(found.recorded + one.recorded, found.failed + one.failed, is_complete)
        return found

    def _listed(self) -> list[JobSettings]:
        """Return the observed jobs, as currently registered, whose targets list recent executions."""
        jobs = dict(self._jobs)
        listed = []
        for name in sorted(self._observer.jobs):
            settings = jobs.get(name)
            if settings is None:
                self._warn(name, "is observed but not registered")
            elif settings.arn and self._targets[settings.target].contract.lists:
                listed.append(settings)
            elif settings.arn:
                self._warn(name, f"is observed by events only: {settings.target} executions cannot be listed")
        return listed

    def _warn(self, job: str, problem: str) -> None:
        if job not in self._warned:
            logger.warning("Job %s %s", job, problem)
            self._warned.add(job)

    def _due(self) -> list[tuple[JobSettings, PollCheckpoint]]:
        now = self._clock.now()
        checkpoints = [
            (each, self._checkpoint(each.job) or PollCheckpoint(now, again_at=0)) for each in self._listed()
        ]
        return sorted(
            (each for each in checkpoints if each[1].again_at <= now), key=lambda each: each[1].again_at
        )

    def _checkpoint(self, job: str) -> PollCheckpoint | None:
        """Return the poll checkpoint; if it is unreadable, one from which everything possibly new is read."""
        try:
            return self._runs.poll_checkpoint(job)
        except UnreadableRecordError:
            logger.exception("The poll checkpoint of job %s cannot be read", job)
            return PollCheckpoint(self._clock.now() - MEMORY_MS, again_at=0)

    def _poll(self, settings: JobSettings, checkpoint: PollCheckpoint, ends_at: int) -> PollResult:
        now = self._clock.now()
        began_at = now if checkpoint.began_at is None else checkpoint.began_at
        since = max(checkpoint.done_at - OVERLAP_MS, now - MEMORY_MS)
        down_to, recorded, failed, again_at = checkpoint.down_to, 0, 0, now
        try:
            for listed in self._targets[settings.target].recent(settings, since):
                if self._clock.now() >= ends_at:
                    break
                if checkpoint.down_to is not None and listed.at > checkpoint.down_to:
                    continue  # Recorded by the previous pass, or left for the next poll.
                try:
                    recorded += self._is_recorded(settings, listed.execution)
                except Exception:  # whatever it is, the remaining ones must be processed
                    logger.exception("Execution %s was not recorded", listed.execution.external_id)
                    failed += 1
                down_to = down_to if failed else listed.at
            else:
                # A failed one may be among the newest: the next poll starts over.
                done_at = checkpoint.done_at if failed else began_at
                self._runs.put_poll_checkpoint(settings.job, PollCheckpoint(done_at, now + POLL_MS))
                return PollResult(recorded, failed)
        except LaunchError:
            logger.exception("The executions of job %s could not be listed", settings.job)
            failed, again_at = failed + 1, now + POLL_MS
        self._runs.put_poll_checkpoint(
            settings.job, PollCheckpoint(checkpoint.done_at, again_at, began_at, down_to)
        )
        return PollResult(recorded, failed, is_complete=again_at > now)

    def _is_recorded(self, settings: JobSettings, execution: Execution) -> bool:
        """Record the execution if it is not recorded yet, or not as far; return whether that was done."""
        change = self._change(settings, execution)
        launch = parse_launch_id(change.name or "")
        if launch is not None and self._runs.get(launch[0]) is not None:
            return False  # Our own runs are queried when they are due.
        run = self._runs.get(self._observer.run_ids.observed(change.kind, change.external_id))
        if run is not None and _has_status(run, change):
            return False
        return self._recorder.record(change).decision is Decision.RECORDED

    def _change(self, settings: JobSettings, execution: Execution) -> StatusChange:
        """Return the status change exactly as an event would report it: the run id derives from it."""
        target = full_address(settings.target, execution.target, self._place)
        beyond = execution.external_id.removeprefix(execution.target)
        external_id = execution.external_id if beyond == execution.external_id else f"{target}{beyond}"
        return StatusChange(
            kind=settings.target,
            name=execution.launch_id or "",
            external_id=external_id,
            target=target,
            status=execution.status,
            time=execution.ended_at or execution.started_at,
            started_at=execution.started_at,
            retry=execution.retry,
            failure=execution.failure,
        )


def _has_status(run: Run, change: StatusChange) -> bool:
    """Return whether a record has the status, and the reason if the execution failed."""
    lacks_reason = run.status in {Status.FAILURE, Status.CANCELED} and run.failure is None
    return change.status in run.reached.get(f"1/{change.retry}", {}) and not lacks_reason
