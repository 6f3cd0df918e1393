"""Operators' use cases on runs: list, rerun, release, cancel, refresh. The run's record names the operator."""

import heapq
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from treadle.definitions.errors import CommandRefusedError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import RunIds, timestamp
from treadle.engine.launch.attempts import allow_next_attempt, attempt_by_policy, queue_next_attempt
from treadle.engine.launch.launcher import pinned_settings, start_of
from treadle.engine.messages import LaunchRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.record.arns import kind_of_run, role_of_run
from treadle.engine.record.describe import described
from treadle.engine.record.external_runs import OBSERVED_TAG
from treadle.engine.record.pool_slots import without_slots_in_doubt
from treadle.engine.record.run_state import Report, fold
from treadle.model.run_queries import MOST_SEARCHED, RunPage, parse_place
from treadle.model.runs import Failure, Run
from treadle.model.sensors import Edit
from treadle.model.targets import Execution, JobSettings
from treadle.operate.paging import each_page
from treadle.ports.deployment import EngineCommands
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock, Queue
from treadle.ports.targets import Target, Targets

DEFAULT_LIMIT = 50

_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{3,34}")
"""The first characters of an id, as many as git requires of a commit's, or more."""

_NAMED, _MOST_FOUND = 5, 50
_WORKERS = 16


@dataclass(frozen=True, slots=True)
class RunEdit:
    """The result of an operator's command.

    Attributes:
        run: the record afterwards.
        is_new: False if there was nothing to do, as when the command was repeated.
        reason: what was done, or why nothing was.
    """

    run: Run
    is_new: bool
    reason: str


class RunOperations:
    """Reruns, cancels and refreshes runs, and releases run keys.

    Args:
        runs: run records.
        sensors: the sensors' state.
        launches: LAUNCH's queue.
        jobs: the settings of each job, by name.
        targets: the adapter of each target type.
        run_ids: the deployment's run ids.
        clock: the clock.
        engine: cancels and refreshes runs of jobs that have a role; None to do that in this process too.
    """

    def __init__(
        self,
        runs: RunStore,
        sensors: SensorStore,
        launches: Queue,
        jobs: Mapping[str, JobSettings],
        targets: Targets,
        run_ids: RunIds,
        clock: Clock,
        engine: EngineCommands | None = None,
    ) -> None:
        self._runs = runs
        self._sensors = sensors
        self._launches = launches
        self._jobs = jobs
        self._targets = targets
        self._run_ids = run_ids
        self._clock = clock
        self._engine = engine

    def get(self, run_id: str) -> Run:
        """Return a run's record.

        Raises:
            CommandRefusedError: if the run does not exist.
            StoreError: if the store did not respond.
        """
        return existing_run(self._runs, run_id)

    def full_id(self, run_id: str) -> str:
        """Return the id of the only run whose id begins with these characters; a whole id, or another text, as it is.

        Raises:
            CommandRefusedError: if there is no such run, or several.
            StoreError: if the store did not respond.
        """
        if _BEGINNING.fullmatch(run_id) is None:
            return run_id
        found = self._ids_beginning(run_id)
        if len(found) == 1:
            return found[0]
        if found:
            msg = f"{run_id} is ambiguous: it begins the ids of runs {', '.join(found[:_NAMED])}. Use more characters."
        else:
            msg = (
                f"No run's id begins with {run_id}, among the newest {MOST_SEARCHED:,} of each job. Use the whole id of an "
                "older one."
            )
        raise CommandRefusedError(msg)

    def beginning(self, text: str) -> list[Run]:
        """Return the runs whose ids begin with a text, newest first for each job; none if it is no beginning of an id.

        Raises:
            StoreError: if the store did not respond.
        """
        if _WHOLE.fullmatch(text):
            ids = [text]
        else:
            ids = self._ids_beginning(text) if _BEGINNING.fullmatch(text) else []
        found = self._runs.get_many(ids[:_MOST_FOUND])
        return [found[each] for each in ids if each in found]

    def _ids_beginning(self, text: str) -> list[str]:
        with ThreadPoolExecutor(_WORKERS) as pool:
            of_jobs = pool.map(lambda job: self._runs.ids_beginning(text, job), list(self._jobs))
            return [run_id for of_job in of_jobs for run_id in of_job]

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return the records that exist and can be read, by id.

        Raises:
            StoreError: if the store did not respond.
        """
        return self._runs.get_many(run_ids)

    def page(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[Status] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> RunPage:
        """List runs, newest first: of a sensor, of a job, or the newest of all jobs (a single page).

        Args:
            sensor: the sensor that requested them.
            job: the job's name.
            statuses: any of these; None for all.
            since: only runs created at this time or later.
            until: only runs created before this time.
            text: only runs that mention it in their id, key, job, sensor, partition or error.
            before: `next` of the previous page; None for the newest.
            limit: the maximum number; a page may hold fewer, or none, and still have a next page.

        Raises:
            CommandRefusedError: if both sensor and job are given, or `before` is not a page's `next`.
            StoreError: if the store did not respond.
        """
        if sensor and job:
            raise CommandRefusedError("Runs can be listed for a sensor or for a job: name one of them.")
        if before is not None and (parse_place(before) is None or not (sensor or job)):
            msg = f"{before[:80]!r} is not a page token. Use the one that the previous page returned."
            raise CommandRefusedError(msg)
        read = partial(
            self._runs.page,
            statuses=statuses,
            since=since,
            until=until,
            text=text,
            before=before,
            limit=limit,
        )
        if sensor or job:
            return read(sensor=sensor, job=job)
        with ThreadPoolExecutor(_WORKERS) as pool:
            pages = list(pool.map(lambda name: read(job=name), list(self._jobs)))
        runs = sorted((run for page in pages for run in page.runs), key=_made, reverse=True)[:limit]
        # A page with a next one that is not full ended because enough records were read.
        ends = [parse_place(page.next) for page in pages if page.next and len(page.runs) < limit]
        searched_since = max((end[0] + 1 for end in ends if end), default=0)
        known = tuple(run for run in runs if run.created_at >= searched_since)
        is_complete = len(known) == limit or not searched_since
        return RunPage(known, None, None if is_complete else searched_since)

    def newest(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[Status] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        limit: int,
    ) -> Iterator[Run]:
        """Yield all runs, newest first: of a sensor, of a job, or of all jobs; each page is read when it is needed.

        Args:
            sensor: as for `page`, as are the others.
            job: the job's name.
            statuses: any of these; None for all.
            since: only runs created at this time or later.
            until: only runs created before this time.
            text: only runs that mention it.
            limit: the size of a page.

        Raises:
            CommandRefusedError: if both sensor and job are given.
            StoreError: if the store did not respond.
        """

        def of(job: str | None) -> Iterator[Run]:
            read = partial(
                self.page,
                sensor=sensor,
                job=job,
                statuses=statuses,
                since=since,
                until=until,
                text=text,
                limit=limit,
            )
            for page in each_page(lambda before: read(before=before)):
                yield from page.runs

        jobs = [job] if sensor or job else list(self._jobs)
        return heapq.merge(*map(of, jobs), key=_made, reverse=True)

    def rerun(self, run_id: str, by: str, *, if_attempt: int | None = None) -> RunEdit:
        """Start the next attempt of a run that has ended, now, with the same config and tags.

        Args:
            run_id: the run.
            by: the operator.
            if_attempt: the attempt that the operator saw: nothing is done if another has followed it, so that
                the command is idempotent. None for the last attempt.

        Raises:
            CommandRefusedError: if the run or attempt does not exist, has not ended, or was not started by
                Treadle.
            StoreError: if the store or the queue did not respond; if the attempt was recorded, RECONCILE
                launches it.
        """
        run, now = existing_run(self._runs, run_id), self._clock.now()
        if OBSERVED_TAG in run.tags and not run.tick_id:
            msg = f"Run {run_id} was not started by Treadle, so its config is unknown. Start it where it was started before."
            raise CommandRefusedError(msg)

        def again(current: Run) -> Run:
            if _is_done(current, by, now, if_attempt):
                return current
            _check_ended(current, "rerun it")
            allowed = allow_next_attempt(current, by, now)
            # The operator decides about what an attempt in doubt holds.
            return queue_next_attempt(without_slots_in_doubt(allowed), now)

        run = update_with_optimistic_lock(self._runs, run, again)
        self._increment_epoch(run, by, now)
        if run.may_launch:
            self._launch(run)
        if _is_allowed(run, by, now):
            return RunEdit(run, True, f"Attempt {run.attempt} of run {run_id} is queued.")
        return RunEdit(run, False, _moved_on(run, if_attempt))

    def release(self, sensor: str, run_key: str, by: str, *, if_attempt: int | None = None) -> RunEdit:
        """Allow the next request for a run key to start its run again.

        Args:
            sensor: the sensor that the key belongs to.
            run_key: as requested.
            by: the operator.
            if_attempt: as for `rerun`.

        Raises:
            CommandRefusedError: if the key was never requested, or its run has not ended or waits for its retry.
            StoreError: if the store did not respond.
        """
        run_id, now = self._run_ids.keyed(sensor, run_key), self._clock.now()
        run = self._runs.get(run_id)
        if run is None:
            msg = f"Run key {run_key!r} of sensor {sensor} is free: no run has been recorded with it."
            raise CommandRefusedError(msg)

        def released(current: Run) -> Run:
            if _is_done(current, by, now, if_attempt):
                return current
            _check_ended(current, "release its key")
            if current.retry_at is not None:
                raise CommandRefusedError(
                    f"Run {run_id} is retried at {timestamp(current.retry_at)}, so its key is not released. Cancel the "
                    f"run first (treadle run cancel {run_id}), or start its next attempt now (treadle run rerun "
                    f"{run_id})."
                )
            return current if current.may_start_again else allow_next_attempt(current, by, now)

        run = update_with_optimistic_lock(self._runs, run, released)
        self._increment_epoch(run, by, now)
        follows = f"the next request for it starts attempt {run.attempt + 1} of run {run_id}."
        if _is_allowed(run, by, now):
            return RunEdit(run, True, f"Run key {run_key!r} of sensor {sensor} is released: {follows}")
        if run.attempt == (if_attempt or run.attempt):
            return RunEdit(run, False, f"Run key {run_key!r} of sensor {sensor} was already free: {follows}")
        return RunEdit(run, False, _moved_on(run, if_attempt))

    def cancel(self, run_id: str, by: str) -> RunEdit:
        """Cancel a run: directly if it waits for its launch, else through its target, which reports the end.

        Args:
            run_id: the run.
            by: the operator.

        Raises:
            CommandRefusedError: if the run does not exist, has ended otherwise, or is being started.
            LaunchError: if the target did not accept the request.
            StoreError: if the store did not respond.
            InvocationError: if the job has a role, and the engine did not respond.
        """
        now = self._clock.now()
        failure = Failure("CanceledError", f"Canceled by {by} before it started.", assumed=True)
        first = existing_run(self._runs, run_id)

        def canceled(current: Run) -> Run:
            if current.status is not Status.QUEUED or current.claim or current.pending_start:
                return current
            return fold(current, Report(current.attempt, Status.CANCELED, now, failure=failure))

        def without_retry(current: Run) -> Run:
            # As the attempt that would follow: it is queued and canceled in one write, and never starts.
            return canceled(attempt_by_policy(current, now))

        run = update_with_optimistic_lock(self._runs, first, without_retry)
        if run.status is Status.CANCELED:
            is_new = first.status is not Status.CANCELED
            return RunEdit(run, is_new, f"Run {run_id} is canceled; attempt {run.attempt} has ended.")
        if run.status.is_finished:
            raise CommandRefusedError(
                f"Run {run_id} has already ended: {run.status}. There is nothing to cancel."
            )
        if self._role(run) and self._engine is not None:
            answer = self._engine.cancel(run_id, by)
            return RunEdit(existing_run(self._runs, run_id), answer.is_new, answer.reason)
        return self._cancel_at_target(run, by, now)

    def refresh(self, run_id: str) -> RunEdit:
        """Query a run's target for its status and record it, as RECONCILE does when reports are missing.

        Args:
            run_id: the run.

        Raises:
            CommandRefusedError: if the run does not exist, or its target cannot be queried.
            LaunchError: if the target did not respond.
            StoreError: if the store did not respond.
            InvocationError: if the job has a role, and the engine did not respond.
        """
        run = existing_run(self._runs, run_id)
        concluded = run.failure is not None and run.failure.assumed
        if run.status.is_finished and not concluded:
            return RunEdit(run, False, f"Run {run_id} has already ended: {run.status}.")
        target = self._target_of(run)
        if target is not None and not target.contract.describes:
            msg = (
                f"The status of run {run_id} cannot be queried: its target does not support that. "
                "The job has to report its end, with treadle.report_run_status."
            )
            raise CommandRefusedError(msg)
        if target is None or run.external_id is None:
            where = f"job {run.job} is not deployed" if target is None else "its execution is not known yet"
            msg = f"The status of run {run_id} ({run.status}) cannot be queried: {where}. For details: treadle run show {run_id}"
            raise CommandRefusedError(msg)
        role = self._role(run)
        if role and self._engine is not None:
            answer = self._engine.refresh(run_id)
            return RunEdit(existing_run(self._runs, run_id), answer.is_new, answer.reason)
        report = described(run, run.external_id, target, role, self._clock)

        def answered(current: Run) -> Run:
            folded = fold(current, report)
            return folded if folded.attempt != run.attempt else replace(folded, unanswered=None)

        folded = update_with_optimistic_lock(self._runs, run, answered)
        if folded.reached == run.reached:
            return RunEdit(folded, False, f"Run {run_id} is still {folded.status}, as its target reports.")
        return RunEdit(folded, True, f"Run {run_id} is {folded.status}, as its target reports.")

    def _target_of(self, run: Run) -> Target | None:
        return self._targets.get(kind_of_run(run, self._jobs.get(run.job)))

    def _role(self, run: Run) -> str:
        return role_of_run(run, self._jobs.get(run.job))

    def _settings(self, run: Run) -> JobSettings:
        return self._jobs.get(run.job) or JobSettings(run.job, "", "", "?")

    def _cancel_at_target(self, run: Run, by: str, now: int) -> RunEdit:
        target, found = self._find(run, now)
        target.cancel(found.external_id, self._role(run))
        report = Report(
            run.attempt,
            Status.CANCELING,
            now,
            retry=run.target_retry,
            started_at=found.started_at,
            external_id=found.external_id,
            target=found.target,
        )

        def requested(current: Run) -> Run:
            return fold(current, report).edited(now, by, f"canceled attempt {report.attempt}")

        run = update_with_optimistic_lock(self._runs, run, requested)
        return RunEdit(
            run,
            True,
            f"Sent {found.external_id} the request to stop; its end is recorded when it is reported.",
        )

    def _find(self, run: Run, now: int) -> tuple[Target, Execution]:
        """Return the execution of the current attempt, and the target that can end it."""
        target = self._target_of(run)
        if target is None:
            msg = f"Job {run.job!r} is no longer deployed: cancel {run.external_id or run.launch_id} by hand."
            raise CommandRefusedError(msg)
        if run.external_id is not None:
            started_at = run.started_at or now
            return target, Execution(run.external_id, run.target or "", run.status, started_at)
        if run.claim is not None and run.claim.expires_at >= now:
            raise CommandRefusedError(f"Run {run.run_id} is being started: cancel it in a minute.")
        settings = pinned_settings(self._settings(run), run.pending_start)
        found = target.resolve(start_of(run, settings))
        if found is None:
            msg = (
                f"An earlier start of {run.launch_id} may have reached its target, but {settings.arn} does not show it: "
                "LAUNCH resolves that first. Cancel the run once it is STARTED."
            )
            raise CommandRefusedError(msg)
        return target, found

    def _increment_epoch(self, run: Run, by: str, now: int) -> None:
        """Increment the epoch of the sensor whose key may start a run again.

        A tick in flight may have skipped its request for the key: it cannot commit now, and evaluates again.
        And evaluators clear their cache of claimed keys.
        """
        if run.may_start_again and run.run_key:
            self._sensors.edit(run.sensor, Edit(now, by, freed_key=run.run_key))

    def _launch(self, run: Run) -> None:
        try:
            self._launches.send([LaunchRequest.of(run).to_json()])
        except StoreError as error:
            msg = f"Attempt {run.attempt} of run {run.run_id} is recorded, but was not queued; RECONCILE will launch it: {error}"
            raise StoreError(msg) from error


def existing_run(runs: RunStore, run_id: str) -> Run:
    """Return a run.

    Raises:
        CommandRefusedError: if there is none.
    """
    run = runs.get(run_id)
    if run is None:
        raise CommandRefusedError(f"Run {run_id} does not exist.")
    return run


def _made(run: Run) -> tuple[int, str]:
    return (run.created_at, run.run_id)


def _is_allowed(run: Run, by: str, now: int) -> bool:
    """Return whether this same command wrote the record, as when it was resent after a lost response."""
    return any((each.by, each.at) == (by, now) for each in run.allowances)


def _is_done(run: Run, by: str, now: int, if_attempt: int | None) -> bool:
    if if_attempt is not None and if_attempt > run.attempt:
        raise CommandRefusedError(
            f"Run {run.run_id} has no attempt {if_attempt}: its current attempt is {run.attempt}."
        )
    return _is_allowed(run, by, now) or (if_attempt is not None and if_attempt < run.attempt)


def _check_ended(run: Run, then: str) -> None:
    if not run.status.is_finished:
        msg = f"Run {run.run_id} has not ended: attempt {run.attempt} is {run.status}. Cancel it, or {then} once it has ended."
        raise CommandRefusedError(msg)


def _moved_on(run: Run, if_attempt: int | None) -> str:
    return (
        f"Nothing was done: attempt {run.attempt} ({run.status}) has already followed attempt {if_attempt}."
    )
