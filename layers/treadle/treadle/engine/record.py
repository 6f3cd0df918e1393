"""RECORD: folds what targets report into run records."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.arns import arn_matches, former_of, kind_of_run
from treadle.engine.external_runs import ExternalRunRecorder, observed_run
from treadle.engine.identity import parse_launch_id
from treadle.engine.launch import Targets
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.run_state import UNKNOWN_FAILURE, Report, fold, with_look_elsewhere
from treadle.engine.unreachable_runs import is_unknown
from treadle.ports.runs import Failure, Run, RunStore
from treadle.ports.system import Clock
from treadle.ports.targets import Execution, JobSettings

REPORT = "report"
"""Stands for the kind of target in a change that somebody reported of a run, whatever it runs on."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A target's word on one of its executions.

    Attributes:
        kind: the kind of target, such as "step_functions".
        name: what the execution bears as its launch id; None where the target has to be asked.
        external_id: how the target names it.
        target: the address of what runs.
        status: how far it has come.
        time: when.
        started_at: when it started.
        retry: the target's own count of retries or redrives.
        failure: why it failed, where the event says so.
        is_sure: False where only the target can tell how it ended, and this is what it looks like.
    """

    kind: str
    name: str | None
    external_id: str
    target: str
    status: Status
    time: int
    started_at: int | None = None
    retry: int = 0
    failure: Failure | None = None
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class _Found:
    """A change, in the words of the run that it is about, with what the target was asked already."""

    run: Run
    attempt: int
    change: StatusChange
    described: Execution | None


class Recorder:
    """Folds status changes.

    Args:
        runs: keeps run records.
        jobs: what each job's name launches.
        targets: each kind of target, asked for what an event does not say.
        clock: the time.
        place: the own account and region, as `account/region`; jobs that are given by their bare names are
            there.
        observed: what makes records of executions that Treadle did not start; None for nothing.
        jobs_changed: whether a look past the cache shows other jobs than were known; None where they never change.
    """

    def __init__(
        self,
        runs: RunStore,
        jobs: Mapping[str, JobSettings],
        targets: Targets,
        clock: Clock,
        place: str = "",
        observed: ExternalRunRecorder | None = None,
        jobs_changed: Callable[[], bool] | None = None,
    ) -> None:
        self._runs = runs
        self._jobs = jobs
        self._targets = targets
        self._clock = clock
        self._place = place
        self._observed = observed
        self._jobs_changed = jobs_changed

    def record(self, change: StatusChange) -> Outcome:
        """Take a change into its run's record; a foreign execution changes nothing.

        Args:
            change: what the target reported.

        Raises:
            StoreError: if the store did not answer.
            LaunchError: if the target did not say what the event leaves open. Where that is only why the
                execution failed, the status is recorded all the same, and a second delivery adds the reason.
        """
        found = self._find(change)
        if isinstance(found, str) and self._jobs_changed is not None and self._jobs_changed():
            found = self._find(change)  # Its job was registered, or has moved, a moment ago.
        if isinstance(found, str):
            return Outcome(Decision.FOREIGN, found, change.external_id or change.name or "")
        told, unknown = self._explained(found)
        report = self._report(found.attempt, told)
        folded = update_with_optimistic_lock(
            self._runs, found.run, lambda current: self._folded(current, report)
        )
        if unknown is not None:
            raise unknown
        return Outcome(Decision.RECORDED, f"The run is at {folded.status}.", folded.launch_id)

    def _folded(self, run: Run, report: Report) -> Run:
        folded = fold(run, report)
        # What says nothing new puts off no look.
        return folded if folded == run else with_look_elsewhere(folded, self._place, self._clock.now())

    def _report(self, attempt: int, change: StatusChange) -> Report:
        return Report(
            attempt,
            change.status,
            change.time,
            retry=change.retry,
            started_at=change.started_at,
            external_id=change.external_id or None,
            target=change.target or None,
            failure=change.failure,
            observed_at=self._clock.now(),
        )

    def _find(self, change: StatusChange) -> _Found | str:
        """The run that a change is about; or why it is about none."""
        name, described = change.name, None
        if name is None:
            if self._has_moved_from(change) and not self._is_of_former(change):
                return f"{change.target} is not what any job launches."
            try:
                described = self._described(change)
            except LaunchRejectedError as error:
                return f"Which run this is cannot be found out any more: {error}"
            name = described.launch_id
        launch = parse_launch_id(name or "")
        run = self._runs.get(launch[0]) if launch else None
        if launch is None or run is None:
            return self._foreign(change, described)
        if launch[1] > run.attempt:
            return _UNKNOWN
        if change.kind == REPORT:
            return self._refusal(run, launch[1]) or _Found(run, launch[1], change, described)
        address = self._address(run, change) or self._address_before(run, launch[1], change)
        if address is None:
            return f"{change.target} is not what job {run.job!r} launches; a foreign execution took the name."
        return _Found(run, launch[1], _at(address, change), described)

    def _foreign(self, change: StatusChange, described: Execution | None) -> _Found | str:
        """The run that stands for an execution that Treadle did not start, if its job is observed."""
        jobs = (settings for settings in self._jobs.values() if self._is_of(settings, change))
        job = next((each.job for each in jobs if self._observed and each.job in self._observed.jobs), None)
        if self._observed is None or (job is None and not self._is_of_former(change)):
            return _UNKNOWN
        if job is not None and not self._targets[change.kind].contract.describes:
            return _UNKNOWN  # Nobody could be asked what it is, or how it stands.
        run_id = self._observed.run_ids.observed(change.kind, change.external_id)
        run = self._runs.get(run_id)
        if run is not None:
            return _Found(run, 1, change, described)
        if job is None:
            return _UNKNOWN  # Whose it was is not known any more: what began before the move has a record.
        try:
            described = described or self._described(change)
        except LaunchRejectedError as error:
            return f"An execution that its target does not know is not recorded: {error}"
        if described.target != change.target:
            return f"{change.external_id} is of {described.target}, and not of {change.target}."
        made = observed_run(run_id, job, described, self._clock.now())
        return _Found(self._runs.create(made) or made, 1, change, described)

    def _is_of(self, settings: JobSettings, change: StatusChange) -> bool:
        return settings.target == change.kind and arn_matches(
            change.kind, change.target, settings.arn, self._place
        )

    def _has_moved_from(self, change: StatusChange) -> bool:
        return not any(self._is_of(settings, change) for settings in self._jobs.values())

    def _is_of_former(self, change: StatusChange) -> bool:
        return any(self._was_of(settings, change) for settings in self._jobs.values())

    def _was_of(self, settings: JobSettings, change: StatusChange) -> bool:
        return self._given(former_of(settings), change) is not None

    def _address(self, run: Run, change: StatusChange) -> str | None:
        """The address of what the run launches, as it was given, if the change is of that.

        A run keeps the address where it was tried: what its job launches by now is another matter.
        """
        settings, pending_start = self._jobs.get(run.job), run.pending_start
        own = [(change.kind, run.target)]
        if pending_start is not None and pending_start.target:
            own.append((pending_start.kind or change.kind, pending_start.target))
        elif settings is not None:
            own.append((settings.target, settings.arn))
        return self._given(own, change)

    def _address_before(self, run: Run, attempt: int, change: StatusChange) -> str | None:
        """The same for an attempt that another has followed, whose address is no longer in the record."""
        if attempt == run.attempt:
            return None
        settings = self._jobs.get(run.job)
        own = [each for job in self._jobs.values() for each in former_of(job)]
        return self._given([*own, (settings.target, settings.arn)] if settings else own, change)

    def _given(self, own: Iterable[tuple[str, str | None]], change: StatusChange) -> str | None:
        """The first of some addresses, each of a kind of target, that a change is of."""
        of_kind = (given for kind, given in own if kind == change.kind)
        return next(
            (given for given in of_kind if arn_matches(change.kind, change.target, given, self._place)), None
        )

    def _refusal(self, run: Run, attempt: int) -> str | None:
        """Why nobody may report of a run: its target does so itself, or it is not known which that is."""
        if attempt == run.attempt and is_unknown(run):
            return None  # Its target can no longer be asked, so whoever has looked there may say.
        kind = kind_of_run(run, self._jobs.get(run.job))
        target = self._targets.get(kind)
        if target is None:
            return f"It is not known what job {run.job!r} launches, so no report of its runs is taken."
        if target.contract.describes:
            return (
                f"Job {run.job!r} runs on {kind}, which tells of its runs itself: no report of them is taken."
            )
        return None

    def _described(self, change: StatusChange, run: Run | None = None) -> Execution:
        """How the target says that an execution stands."""
        return self._targets[change.kind].describe(change.external_id, self._role(change, run))

    def _role(self, change: StatusChange, run: Run | None) -> str:
        """The role of a job that is, or else was, where a change is from; else that of the run's try, or of a job of that kind."""
        jobs = [self._jobs[run.job]] if run is not None and run.job in self._jobs else []
        jobs += self._jobs.values()
        for is_of in (self._is_of, self._was_of):
            if found := next((each for each in jobs if is_of(each, change)), None):
                return found.role
        pending_start = run.pending_start if run is not None else None
        was_there = pending_start is not None and arn_matches(
            change.kind, change.target, pending_start.target, self._place
        )
        if was_there and pending_start is not None and pending_start.role is not None:
            return pending_start.role
        return next((each.role for each in jobs if each.target == change.kind), "")

    def _explained(self, found: _Found) -> tuple[StatusChange, LaunchError | None]:
        """The change with why the execution failed; and what kept that from being known, if it may be later."""
        change, described = found.change, found.described
        if change.status not in _FAILED or (change.is_sure and change.failure is not None):
            return change, None
        try:
            described = described or self._described(change, found.run)
        except LaunchRejectedError as error:
            unknown = change.failure or Failure(UNKNOWN_FAILURE, str(error))
            return replace(change, failure=unknown), None
        except LaunchError as error:
            if not change.is_sure:
                raise
            if isinstance(error, LaunchDeniedError) and self._has_moved_from(change):
                # The permission has gone with the job: no later delivery is told more.
                unknown = change.failure or Failure(UNKNOWN_FAILURE, str(error)[:2_000])
                return replace(change, failure=unknown), None
            return change, error
        if described.retry != change.retry:
            return change, None  # It goes on already: what is told now is not of this end.
        if change.is_sure:
            return replace(change, failure=described.failure), None
        if not described.status.is_finished:
            msg = f"{change.external_id} has ended, and its target does not say so yet."
            raise LaunchDelayedError(msg)
        return replace(change, status=described.status, failure=described.failure), None


_UNKNOWN = "No run of Treadle bears this name."
_FAILED = {Status.FAILURE, Status.CANCELED}


def _at(address: str, change: StatusChange) -> StatusChange:
    """The change under the address that was given, which LAUNCH uses too."""
    beyond = change.external_id.removeprefix(change.target)
    external_id = change.external_id if beyond == change.external_id else f"{address}{beyond}"
    return replace(change, target=address, external_id=external_id)
