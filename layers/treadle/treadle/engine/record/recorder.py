"""RECORD: applies the status changes that targets report to run records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import parse_launch_id
from treadle.engine.invocation_batch import result_of, results_of
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.record.arns import arn_matches, former_of, kind_of_run
from treadle.engine.record.external_runs import TAGS, ExternalRunRecorder, observed_run
from treadle.engine.record.run_state import UNKNOWN_FAILURE, Report, fold, with_early_check
from treadle.engine.record.unreachable_runs import is_unknown
from treadle.model.runs import Failure, Run
from treadle.model.targets import Execution, JobSettings
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock
from treadle.ports.targets import Targets

REPORT = "report"
"""The target type in a status change that was reported for a run, whatever the run's target is."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A target's report of one of its executions.

    Attributes:
        kind: the target type, such as "step_functions".
        name: the execution's launch id, if it has one; None where the target has to be queried for it.
        external_id: the target's id of the execution.
        target: the address of what runs.
        status: the status.
        time: when it was reached.
        started_at: when the execution started.
        retry: the target's own count of retries or redrives.
        failure: why it failed, where the event says so.
        is_sure: False where only the target knows how it ended, and this is a guess.
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
    """A change in the spelling of its run's record, with the run, and what the target returned already."""

    run: Run
    attempt: int
    change: StatusChange
    described: Execution | None


@dataclass(slots=True)
class _Applied:
    """A report of a run.

    Attributes:
        run: the run as it was read.
        report: the report.
        unknown: why the target did not return the reason of a failure.
        folded: the run with the report, once it is written.
        error: why it could not be written.
    """

    run: Run
    report: Report
    unknown: LaunchError | None
    folded: Run | None = None
    error: Exception | None = None

    def outcome(self) -> Outcome:
        """Return the outcome, or raise the error."""
        if self.error is not None:
            raise self.error
        if self.unknown is not None:
            raise self.unknown
        run = self.folded or self.run
        return Outcome(Decision.RECORDED, f"The run is at {run.status}.", run.launch_id)


class Recorder:
    """Applies status changes.

    Args:
        runs: stores run records.
        jobs: the settings of each job.
        targets: the targets by type, queried for what an event lacks.
        clock: the clock.
        place: the engine's account and region, as `account/region`; jobs whose address is a plain name are
            there.
        observed: decides which external runs get a record; None for none.
        jobs_changed: reads the registry past the cache and returns whether its jobs differ; None where they
            never change.
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
        """Apply a change to its run's record; an execution that is not a known run changes nothing.

        Args:
            change: what the target reported.

        Raises:
            StoreError: if the store did not answer.
            LaunchError: if the target did not return what the event lacks. If that is only why the execution
                failed, the status is recorded anyway, and a redelivery adds the reason.
        """
        [result] = self.record_many([change])
        if isinstance(result, Exception):
            raise result
        return result

    def record_many(self, changes: Sequence[StatusChange]) -> list[Outcome | Exception]:
        """Apply changes: one request reads their runs, and one writes 25 of them, each with all that is reported of it.

        Args:
            changes: what targets reported, in any order.

        Returns:
            For each change, the outcome, or the error that `record` would raise.
        """
        known = result_of(partial(self._known, changes))
        if isinstance(known, Exception):
            return [known] * len(changes)
        applied = [result_of(partial(self._applied, change, known)) for change in changes]
        self._write([each for each in applied if isinstance(each, _Applied)])
        return [result_of(each.outcome) if isinstance(each, _Applied) else each for each in applied]

    def _known(self, changes: Sequence[StatusChange]) -> dict[str, Run]:
        """Read the runs that several changes name; a single one is read as it is processed."""
        launches = (parse_launch_id(change.name or "") for change in changes)
        run_ids = list(dict.fromkeys(launch[0] for launch in launches if launch))
        return self._runs.get_many(run_ids) if len(run_ids) > 1 else {}

    def _applied(self, change: StatusChange, known: Mapping[str, Run]) -> "Outcome | _Applied":
        """Return the report that a change makes of its run, or the outcome if it makes none."""
        found = self._find(change, known)
        if isinstance(found, str) and self._jobs_changed is not None and self._jobs_changed():
            found = self._find(change, known)  # Its job was registered, or has moved, just now.
        if isinstance(found, str):
            return Outcome(Decision.FOREIGN, found, change.external_id or change.name or "")
        explained, unknown = self._explained(found)
        return _Applied(found.run, self._report(found.attempt, explained), unknown)

    def _write(self, applied: "Sequence[_Applied]") -> None:
        """Write each run once, with all that is reported of it; one that has changed meanwhile, by itself."""
        by_run: dict[str, list[_Applied]] = {}
        for each in applied:
            by_run.setdefault(each.run.run_id, []).append(each)
        changes = []
        for reports in by_run.values():
            before = max((each.run for each in reports), key=lambda run: run.revision)
            after = result_of(partial(self._all_folded, before, reports))
            if isinstance(after, Exception):
                for each in reports:
                    each.error = after
            elif after != before:
                changes.append((after, before))
        results = results_of(partial(self._runs.replace_many, changes), len(changes)) if changes else []
        for (run, before), result in zip(changes, results, strict=True):
            if result is not None:
                for each in by_run[run.run_id]:
                    self._write_alone(each, result if isinstance(result, Run) else before, result)

    def _write_alone(self, applied: "_Applied", run: Run, result: Run | Exception) -> None:
        """Apply a report to a record that others have changed; keep the error of one that could not be written."""
        if isinstance(result, Exception):
            applied.error = result
            return
        folded = result_of(
            lambda: update_with_optimistic_lock(
                self._runs, run, lambda current: self._folded(current, applied.report)
            )
        )
        if isinstance(folded, Exception):
            applied.error = folded
        else:
            applied.folded = folded

    def _all_folded(self, run: Run, reports: "Iterable[_Applied]") -> Run:
        for each in reports:
            run = each.folded = self._folded(run, each.report)
        return run

    def _folded(self, run: Run, report: Report) -> Run:
        folded = fold(run, report)
        # A report with nothing new does not postpone the next check.
        return folded if folded == run else with_early_check(folded, self._place, self._clock.now())

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

    def _find(self, change: StatusChange, known: Mapping[str, Run]) -> _Found | str:
        """Return the run that a change belongs to, or why it belongs to none."""
        name, described = change.name, None
        if name is None:
            if self._has_moved_from(change) and not self._is_of_former(change):
                return f"{change.target} is not the target of any job."
            try:
                described = self._described(change)
            except LaunchRejectedError as error:
                return f"It can no longer be determined which run this is: {error}"
            name = described.launch_id
        launch = parse_launch_id(name or "")
        run = known.get(launch[0]) or self._runs.get(launch[0]) if launch else None
        if launch is None or run is None:
            return self._foreign(change, described)
        if launch[1] > run.attempt:
            return _UNKNOWN
        if change.kind == REPORT:
            return self._refusal(run, launch[1]) or _Found(run, launch[1], change, described)
        address = self._address(run, change) or self._address_before(run, launch[1], change)
        if address is None:
            return (
                f"{change.target} is not the target of job {run.job!r}: an execution that Treadle did "
                "not start has the run's name."
            )
        return _Found(run, launch[1], _at(address, change), described)

    def _foreign(self, change: StatusChange, described: Execution | None) -> _Found | str:
        """Return the record of an external run, if its job is observed, or why there is none."""
        jobs = (settings for settings in self._jobs.values() if self._is_of(settings, change))
        job = next((each.job for each in jobs if self._observed and each.job in self._observed.jobs), None)
        if self._observed is None or (job is None and not self._is_of_former(change)):
            return _UNKNOWN
        if job is not None and not self._targets[change.kind].contract.describes:
            return _UNKNOWN  # Its details and status could not be queried.
        run_id = self._observed.run_ids.observed(change.kind, change.external_id)
        run = self._runs.get(run_id)
        if run is not None:
            return _Found(run, 1, change, described)
        if job is None:
            return _UNKNOWN  # Its job is not known any more: what began before the job moved has a record.
        try:
            described = described or self._described(change)
        except LaunchRejectedError as error:
            return f"The execution is not recorded, because its target does not know it: {error}"
        if described.target != change.target:
            return f"{change.external_id} belongs to {described.target}, not to {change.target}."
        pools = self._observed.pools.of(job, TAGS)
        made = observed_run(run_id, job, described, self._clock.now(), pools)
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
        """Return the address of the run's target, as configured, if the change belongs to it.

        A run keeps the address to which it was sent, whatever its job's current target is.
        """
        settings, pending_start = self._jobs.get(run.job), run.pending_start
        own = [(change.kind, run.target)]
        if pending_start is not None and pending_start.target:
            own.append((pending_start.kind or change.kind, pending_start.target))
        elif settings is not None:
            own.append((settings.target, settings.arn))
        return self._given(own, change)

    def _address_before(self, run: Run, attempt: int, change: StatusChange) -> str | None:
        """Return the same for an earlier attempt, whose address is no longer in the record."""
        if attempt == run.attempt:
            return None
        settings = self._jobs.get(run.job)
        own = [each for job in self._jobs.values() for each in former_of(job)]
        return self._given([*own, (settings.target, settings.arn)] if settings else own, change)

    def _given(self, own: Iterable[tuple[str, str | None]], change: StatusChange) -> str | None:
        """Return the first of some addresses, each with its target type, that a change matches."""
        of_kind = (given for kind, given in own if kind == change.kind)
        return next(
            (given for given in of_kind if arn_matches(change.kind, change.target, given, self._place)), None
        )

    def _refusal(self, run: Run, attempt: int) -> str | None:
        """Return why reports of a run are not accepted: its target reports itself, or is not known."""
        if attempt == run.attempt and is_unknown(run):
            return None  # Its target can no longer be queried, so reports are accepted.
        kind = kind_of_run(run, self._jobs.get(run.job))
        target = self._targets.get(kind)
        if target is None:
            return f"The target of job {run.job!r} is unknown, so no report of its runs is accepted."
        if target.contract.describes:
            return (
                f"Job {run.job!r} runs on {kind}, which publishes the status of its runs itself: "
                "reports of them are not accepted."
            )
        return None

    def _described(self, change: StatusChange, run: Run | None = None) -> Execution:
        """Query the execution of a change from its target."""
        return self._targets[change.kind].describe(change.external_id, self._role(change, run))

    def _role(self, change: StatusChange, run: Run | None) -> str:
        """Return the role for querying the execution of a change.

        It is the role of the job that has the address of the change, or else had it; else that of the run's
        pending start, or of any job with the target type.
        """
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
        """Add a failure's reason to a change; also return the error, if the reason may be known later."""
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
                # The permission moved with the job: a redelivery would learn no more.
                unknown = change.failure or Failure(UNKNOWN_FAILURE, str(error)[:2_000])
                return replace(change, failure=unknown), None
            return change, error
        if described.retry != change.retry:
            return change, None  # It is running again: the target's answer is not about this end.
        if change.is_sure:
            return replace(change, failure=described.failure), None
        if not described.status.is_finished:
            msg = f"{change.external_id} has ended, but its target does not report that yet."
            raise LaunchDelayedError(msg)
        return replace(change, status=described.status, failure=described.failure), None


_UNKNOWN = "No run of Treadle has this name."
_FAILED = {Status.FAILURE, Status.CANCELED}


def _at(address: str, change: StatusChange) -> StatusChange:
    """Return the change with the configured address, which LAUNCH uses too."""
    beyond = change.external_id.removeprefix(change.target)
    external_id = change.external_id if beyond == change.external_id else f"{address}{beyond}"
    return replace(change, target=address, external_id=external_id)
