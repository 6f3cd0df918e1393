"""LAUNCH: claims a run's attempt and starts it at its target, once as far as the target can guarantee it."""

import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
    StoreError,
    UnknownEventError,
    UnreadableRecordError,
)
from treadle.definitions.max_runtime import MAX_RUNTIME_TAG, max_runtime_ms
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import tick_time, timestamp
from treadle.engine.invocation_batch import result_of, results_of
from treadle.engine.message_hops import MOST_HOPS
from treadle.engine.messages import LaunchRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.record.arns import role_of_start
from treadle.engine.record.pool_slots import with_pools, with_wait
from treadle.engine.record.run_state import MESSAGE_LOST_MS, Report, fold, with_early_check
from treadle.engine.record.unreachable_runs import DENIED_ENDS_MS, KEEP_FORMER, OUTCOME_UNKNOWN
from treadle.engine.registry.registry_cache import NO_POOLS, Pools
from treadle.model.pools import BEYOND
from treadle.model.records import reason_of
from treadle.model.runs import Claim, Failure, LaunchBackoff, PendingStart, Run
from treadle.model.targets import Execution, JobSettings, Start
from treadle.ports.runs import RunStore
from treadle.ports.system import BlobStore, Clock, IdGenerator, Queue
from treadle.ports.targets import Target, Targets

logger = logging.getLogger(__name__)

TAKEOVER_MARGIN_MS = 60_000
"""Added to the function's timeout: after that the holder of a claim cannot act any more."""

DENIED_FOR_MS = 300_000
"""New permissions take a while to take effect everywhere; after this time a denial is final."""

UNSEEN_FOR_MS = 60_000
"""A listing may lag: a pending start has not started if two queries this far apart do not find it."""

RETRY_SECONDS = 20
MAX_DELAY_SECONDS = 900

RECORD_WITHIN_SECONDS = 1.0
"""How long the record of a start waits for other starts of its batch, to be written with theirs."""

_SHOWN_REASON = 500

T = TypeVar("T")
R = TypeVar("R")


def payload(run: Run) -> str:
    """Return the job's input: canonical JSON, the same for each start under one launch id."""
    return canonical_json(
        {
            "run_id": run.run_id,
            "launch_id": run.launch_id,
            "attempt": run.attempt,
            "job": run.job,
            "sensor": run.sensor,
            "run_key": run.run_key,
            "partition_key": run.partition_key,
            "tags": dict(run.tags),
            "run_config": json.loads(run.run_config),
        }
    )


def start_of(run: Run, settings: JobSettings) -> Start:
    """Return the start request of a run's current attempt."""
    tried_at = run.pending_start.at if run.pending_start else run.created_at
    return Start(settings, run.launch_id, run.run_id, run.run_config, run.tags, payload(run), tried_at)


@dataclass(frozen=True, slots=True)
class _Lazy:
    """An attempt that cannot be started now."""

    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Launch:
    """A launch of an attempt, before the attempt is claimed.

    Attributes:
        request: which attempt.
        settings: the job's settings; None if it is not registered.
        unprepared: why its target cannot be called now; None if it can.
        claim: the claim.
        pending_start: the start that is recorded with the claim.
        ends_at: after this time this process certainly cannot act any more.
    """

    request: LaunchRequest
    settings: JobSettings | None
    unprepared: LaunchError | None
    claim: Claim
    pending_start: PendingStart
    ends_at: int


@dataclass(frozen=True, slots=True)
class _Started:
    """An attempt that has been started.

    Attributes:
        run: the run before its start is recorded.
        report: what is recorded.
        describes: whether its target can be queried for its status.
    """

    run: Run
    report: Report
    describes: bool

    def outcome(self) -> Outcome:
        """Return the outcome, once the start is recorded."""
        run, at = self.run, self.report.time
        requested_at = tick_time(run.tick_id) if run.attempt == 1 else None
        latency = None if requested_at is None else at - requested_at
        reason = f"Started {self.report.external_id}"
        return Outcome(Decision.LAUNCHED, reason, run.launch_id, 1, latency=latency)


class Launcher:
    """Starts claimed attempts.

    Args:
        runs: stores run records.
        launches: the queue to which a start that has to wait is sent again.
        jobs: the settings of each job.
        targets: the targets by type.
        clock: the clock.
        tokens: generates tokens for this process's claims.
        blobs: stores the run configs that were too large to be sent.
        place: the engine's account and Region, as `account/region`.
        pools: which pools a run is in.
        workers: how many runs of a batch are started concurrently; above 1, stores and targets must be thread-safe.
    """

    def __init__(
        self,
        runs: RunStore,
        launches: Queue,
        jobs: Mapping[str, JobSettings],
        targets: Targets,
        clock: Clock,
        tokens: IdGenerator,
        blobs: BlobStore,
        place: str = "",
        pools: Pools = NO_POOLS,
        *,
        workers: int = 1,
    ) -> None:
        self._runs = runs
        self._launches = launches
        self._jobs = jobs
        self._targets = targets
        self._clock = clock
        self._tokens = tokens
        self._blobs = blobs
        self._place = place
        self._pools = pools
        self._workers = workers

    def launch(self, request: LaunchRequest, seconds: float) -> Outcome:
        """Start an attempt unless it has been started, or is being started.

        Args:
            request: which attempt.
            seconds: after this time this process certainly cannot act any more.

        Raises:
            UnknownEventError: if there is no such run.
            StoreError: if a store or the queue did not answer; the message is to be redelivered.
        """
        [result] = self.launch_many([request], seconds)
        if isinstance(result, Exception):
            raise result
        return result

    def launch_many(self, requests: Sequence[LaunchRequest], seconds: float) -> list[Outcome | Exception]:
        """Start attempts: one request reads their runs, one claims up to 25 of them, and one records as many starts.

        Args:
            requests: which attempts, no two of them the same.
            seconds: after this time this process certainly cannot act any more.

        Returns:
            For each request, the outcome, or the error that `launch` would raise.
        """
        ends_at = self._clock.now() + int(seconds * 1000)
        results: dict[int, Outcome | Exception] = {}
        is_threaded = self._workers > 1 and len(requests) > 1
        with ThreadPoolExecutor(self._workers, "launch") if is_threaded else nullcontext() as pool:
            prepared: dict[int, _Launch | Exception] = {}
            for group in _in_groups(partial(self._prepared, ends_at), requests, pool):
                prepared.update(group)
            launches = [prepared[position] for position in range(len(requests))]
            claimed = self._claimed([each for each in launches if isinstance(each, _Launch)])
            for some in _in_groups(partial(self._begun, claimed), launches, pool):
                started = {position: each for position, each in some.items() if isinstance(each, _Started)}
                results.update({at: each for at, each in some.items() if not isinstance(each, _Started)})
                results.update(zip(started, self._recorded(list(started.values())), strict=True))
        return [results[position] for position in range(len(requests))]

    def _prepared(self, ends_at: int, request: LaunchRequest) -> _Launch:
        """Prepare a launch, without a trace of it."""
        now = self._clock.now()
        claim = Claim(self._tokens.new(), ends_at + TAKEOVER_MARGIN_MS)
        settings = self._jobs.get(request.job)
        # Before the pending start is recorded: if this fails nothing was sent, and no start is in doubt.
        unprepared = self._unprepared(settings)
        pending_start = _pending_start(claim, now, None if unprepared else settings)
        return _Launch(request, settings, unprepared, claim, pending_start, ends_at)

    def _claimed(self, launches: Sequence[_Launch]) -> dict[LaunchRequest, Run | Exception]:
        """Claim the attempts of several launches that none has claimed before, and return their records."""
        if len(launches) < 2:
            return {}
        run_ids = list(dict.fromkeys(each.request.run_id for each in launches))
        known = result_of(lambda: self._runs.get_many(run_ids))
        if isinstance(known, Exception):
            return dict.fromkeys((each.request for each in launches), known)
        changes: dict[LaunchRequest, tuple[Run, Run]] = {}
        for each in launches:
            run = known.get(each.request.run_id)
            if run is not None and _is_unclaimed(run, each.request):
                after = replace(run, claim=each.claim, pending_start=each.pending_start)
                changes[each.request] = after, run
        results = results_of(lambda: self._runs.replace_many(list(changes.values())), len(changes))
        claimed: dict[LaunchRequest, Run | Exception] = {}
        for (request, (after, _)), result in zip(changes.items(), results, strict=True):
            if result is None:
                claimed[request] = replace(after, revision=after.revision + 1)
            elif isinstance(result, Exception):
                claimed[request] = result
            # Otherwise others have changed the run meanwhile: it is claimed by itself.
        return claimed

    def _begun(
        self, claimed: Mapping[LaunchRequest, Run | Exception], launch: _Launch | Exception
    ) -> Outcome | _Started:
        """Claim an attempt, unless that is done, and start it."""
        if isinstance(launch, Exception):
            raise launch
        run = claimed.get(launch.request) or self._claim(launch)
        if isinstance(run, Exception):
            raise run
        if run.claim != launch.claim:
            return self._not_ours(run, launch.request, launch.pending_start.at)
        return self._start_claimed(run, launch)

    def _claim(self, launch: _Launch) -> Run:
        """Claim an attempt by itself, and return its run, which has the claim if that was successful."""
        request = launch.request
        run = self._runs.claim(
            request.run_id, request.job, request.attempt, launch.claim, launch.pending_start
        )
        if run is None or run.job != request.job:
            msg = f"The launch message names an unknown run: {request.run_id} of job {request.job!r}."
            raise UnknownEventError(msg)
        return run

    def _start_claimed(self, run: Run, launch: _Launch) -> Outcome | _Started:
        """Start an attempt, unless it has to wait or may have been started."""
        pending_start, settings = launch.pending_start, launch.settings
        joined = tuple(pool for pool in self._pools.of(run.job, run.tags) if pool not in run.pools)
        if joined and not _is_in_doubt(run):
            return self._wait_for(run, joined)
        if joined:
            run = update_with_optimistic_lock(self._runs, run, lambda current: with_pools(current, joined))
        if (
            run.pending_start is not None
            and not run.pending_start.target
            and run.pending_start != pending_start
        ):
            # That launch died before the job had an address, so nothing was sent: this one is the first.
            run = self._amended(run, unseen_at=None, pending_start=pending_start)
        at = pinned_settings(settings or JobSettings(run.job, "", "", "?"), run.pending_start)
        if not at.arn and settings is None:
            return self._unregistered(run, launch.request.hops)
        if not at.arn:
            return self._fail(run, "JobNotConfiguredError", _not_configured(run, settings))
        try:
            start = start_of(run, at)
            start.payload.encode()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next delivery would meet it as well
            reached = _is_in_doubt(run)
            return self._fail(run, UnreadableRecordError.__name__, _no_input(run, error), reached=reached)
        return self._start(run, start, launch)

    def _wait_for(self, run: Run, joined: tuple[str, ...] = ()) -> Outcome:
        """Let a run wait for its pools, and for those that its job joined after the attempt was queued."""

        def waiting(current: Run) -> Run:
            if current.claim != run.claim or current.status is not Status.QUEUED:
                return current
            pools = tuple(sorted((*current.pools, *joined)))
            turns = {**current.turns, **self._pools.turns(joined, current.tags)}
            return with_wait(replace(current, pools=pools, turns=turns), joined[0] if joined else None)

        run = update_with_optimistic_lock(self._runs, run, waiting)
        return Outcome(Decision.DELAYED, _queue_of(run) or "Another launch has taken over.", run.launch_id)

    def _unprepared(self, settings: JobSettings | None) -> LaunchError | None:
        """Return why a job cannot be started now, before anything is sent to its target; None if it can."""
        target = self._targets.get(settings.target) if settings is not None and settings.arn else None
        if settings is None or target is None:
            return None
        try:
            target.prepare(settings)
        except LaunchError as error:
            return error
        return None

    def _not_ours(self, run: Run, request: LaunchRequest, now: int) -> Outcome:
        if run.attempt == request.attempt and run.waiting is not None:
            return Outcome(Decision.DUPLICATE, _queue_of(run), run.launch_id)
        if run.attempt == request.attempt and run.status is Status.QUEUED and run.claim is not None:
            delay = min(MAX_DELAY_SECONDS, max(0, run.claim.expires_at - now) // 1000 + 1)
            reason = f"Another launch holds the claim until {timestamp(run.claim.expires_at)} at the latest."
            return self._later(run, _Lazy(delay, reason), request.hops)
        reason = (
            f"Attempt {request.attempt} was already launched: the run is at attempt {run.attempt}, "
            f"{run.status}."
        )
        return Outcome(Decision.DUPLICATE, reason, run.launch_id)

    def _start(self, run: Run, start: Start, launch: _Launch) -> Outcome | _Started:
        target, hops = self._targets.get(start.settings.target), launch.request.hops
        if target is None:
            return self._fail(run, OUTCOME_UNKNOWN, _unknown(run, start), reached=True)
        try:
            _check_prepared(run, target, start, launch.unprepared)
            was_in_doubt = _is_in_doubt(run)
            run, found = self._resolve_pending_start(run, target, start)
            if isinstance(found, _Lazy):
                return self._release(run, found, hops)
            if found is None:
                is_resolved = was_in_doubt and not _is_in_doubt(run)
                waits = self._waits(run, launch.ends_at, hops, is_resolved=is_resolved)
                if waits is not None:
                    return waits
                if run.is_by_reference:
                    self._check_payload(run)
                found = target.start(start)
        except (LaunchRejectedError, LaunchDeniedError) as error:
            return self._refused(run, start, target, error, hops)
        except _UnknownOutcomeError as error:
            return self._fail(run, OUTCOME_UNKNOWN, str(error), reached=True)
        except LaunchDelayedError as error:
            return self._release(run, _Lazy(self._wait(run), str(error)), hops)
        except LaunchUncertainError as error:
            return self._release(run, _Lazy(self._wait(run), str(error)), hops, reached=True)
        return self._started(run, found, target)

    def _check_payload(self, run: Run) -> None:
        """Check that the object with the run's config is still there, as the job would fail without it.

        Raises:
            LaunchRejectedError: if it is not.
        """
        # Imported here, as few run configs are that large.
        from treadle.definitions.payloads import reference_in

        reference = reference_in(run.run_config)
        key = reference.url.removeprefix(self._blobs.address("")) if reference else None
        if reference is None or key is None or key == reference.url:
            return  # Not of this engine.
        try:
            exists = self._blobs.exists(key)
        except StoreError as error:
            logger.warning("Run %s starts without a look at its payload: %s", run.run_id, error)
            return
        if not exists:
            msg = (
                f"The run config in {reference.url} has expired: it is deleted 91 days after it was requested. Let the sensor "
                "request the run again."
            )
            raise LaunchRejectedError(msg)

    def _waits(self, run: Run, ends_at: int, hops: int, *, is_resolved: bool) -> Outcome | None:
        """Let a run wait that must not start yet, although nothing of it was started; return None if it may."""
        if is_resolved and any(each.number == BEYOND and each.attempt == run.attempt for each in run.slots):
            # It holds slots beyond a limit because it might have been in progress, and is now known not to be.
            return self._wait_for(run)
        if self._clock.now() >= ends_at:
            return self._release(run, _Lazy(1, "The launch ran out of time before it started."), hops)
        return None

    def _resolve_pending_start(
        self, run: Run, target: Target, start: Start
    ) -> tuple[Run, Execution | _Lazy | None]:
        """Resolve an earlier start: return its execution, that it must be waited for, or None to start."""
        pending_start, claim, contract, now = run.pending_start, run.claim, target.contract, self._clock.now()
        if (
            pending_start is None
            or claim is None
            or pending_start.token == claim.token
            or contract.is_at_least_once
        ):
            return run, None
        if contract.token_ms is not None and now - pending_start.at < contract.token_ms:
            return run, None
        if contract.listing_ms is None or now - pending_start.at >= contract.listing_ms:
            raise _UnknownOutcomeError(_unknown(run, start))
        found = target.resolve(start)
        if found is not None:
            return run, found
        if run.unseen_at is None or now - run.unseen_at < UNSEEN_FOR_MS:
            run = self._amended(run, unseen_at=run.unseen_at or now)
            left = UNSEEN_FOR_MS - (now - (run.unseen_at or now))
            reason = (
                f"An earlier start of {run.launch_id} may have reached the target; it will be checked again."
            )
            return run, _Lazy(left // 1000 + 1, reason)
        return self._amended(
            run, unseen_at=None, pending_start=_pending_start(claim, now, start.settings)
        ), None

    def _started(self, run: Run, execution: Execution, target: Target) -> Outcome | _Started:
        report = Report(
            run.attempt,
            Status.STARTED,
            execution.started_at,
            started_at=execution.started_at,
            external_id=execution.external_id,
            target=execution.target,
            observed_at=self._clock.now(),
        )
        started = _Started(run, report, target.contract.describes)
        if not target.contract.is_at_least_once:
            return started
        # If this process died, another one would start it again: nothing else is waited for.
        update_with_optimistic_lock(self._runs, run, partial(self._with_start, started))
        return started.outcome()

    def _with_start(self, started: _Started, current: Run) -> Run:
        """Return a run with its start."""
        folded = fold(current, started.report)
        if folded.attempt != started.run.attempt:
            return folded
        if not started.describes:
            return replace(folded, next_at=None)  # Its status cannot be queried.
        return _with_kept_check(with_early_check(folded, self._place, self._clock.now()), current)

    def _recorded(self, started: Sequence[_Started]) -> list[Outcome | Exception]:
        """Record starts together; one whose run others have changed meanwhile, by itself."""
        afters = [result_of(partial(self._with_start, each, each.run)) for each in started]
        results: dict[int, Run | Exception | None] = dict(enumerate(afters))
        changes = {
            position: (after, started[position].run)
            for position, after in enumerate(afters)
            if isinstance(after, Run)
        }
        written = result_of(lambda: self._runs.replace_many(list(changes.values()))) if changes else []
        results.update(
            dict.fromkeys(changes, written)
            if isinstance(written, Exception)
            else zip(changes, written, strict=True)
        )
        return [
            result_of(partial(self._record, each, results[position])) for position, each in enumerate(started)
        ]

    def _record(self, started: _Started, result: Run | Exception | None) -> Outcome:
        """Return the outcome of a start, which is recorded unless others have changed its run, or raise the error."""
        if isinstance(result, Exception):
            raise result
        if result is not None:
            update_with_optimistic_lock(self._runs, result, partial(self._with_start, started))
        return started.outcome()

    def _refused(self, run: Run, start: Start, target: Target, error: LaunchError, hops: int) -> Outcome:
        """Handle a target's refusal of a start, which says nothing about an earlier start in doubt."""
        in_doubt, deployed = _is_in_doubt(run), self._jobs.get(run.job)
        has_moved = deployed is not None and deployed.arn and deployed != start.settings
        if has_moved and (not in_doubt or target.contract.is_at_least_once):
            return self._go_to(run, deployed if in_doubt else None, str(error), hops)
        if isinstance(error, LaunchDeniedError):
            return self._denied(run, start, error, hops)
        if in_doubt:
            return self._fail(run, OUTCOME_UNKNOWN, _unsettled(run, start, error), reached=True)
        return self._fail(run, "LaunchRejectedError", str(error))

    def _go_to(self, run: Run, deployed: JobSettings | None, reason: str, hops: int) -> Outcome:
        """Start at the job's current target; `deployed` is given for a second start the target allows."""
        pending_start = (
            _pending_start(run.claim, self._clock.now(), deployed) if run.claim and deployed else None
        )

        def elsewhere(current: Run) -> Run:
            if current.claim != run.claim:
                return current
            return replace(current, pending_start=pending_start, unseen_at=None, denied_at=None)

        run = update_with_optimistic_lock(self._runs, run, elsewhere)
        later = _Lazy(1, f"The job has moved and is started at its current target: {reason}")
        return self._release(run, later, hops, reached=pending_start is not None)

    def _denied(self, run: Run, start: Start, error: LaunchDeniedError, hops: int) -> Outcome:
        now, since, in_doubt = self._clock.now(), run.denied_at, _is_in_doubt(run)
        if in_doubt and run.pending_start is not None and since is not None and since < run.pending_start.at:
            since = None  # That denial was over when the start was sent.
        if since is not None and now - since > (DENIED_ENDS_MS if in_doubt else DENIED_FOR_MS):
            if in_doubt:
                return self._fail(run, OUTCOME_UNKNOWN, _unsettled(run, start, error), reached=True)
            return self._fail(run, "LaunchDeniedError", str(error))
        later = _Lazy(self._wait(run), str(error))
        return self._release(run, later, hops, denied_at=since or now)

    def _unregistered(self, run: Run, hops: int) -> Outcome:
        """Wait for a job's entry, which may be being replaced; fail after the time for a permission."""
        now, since, reason = self._clock.now(), run.denied_at, _not_configured(run, None)
        if since is not None and now - since > DENIED_FOR_MS:
            return self._fail(run, "JobNotConfiguredError", reason)
        return self._release(run, _Lazy(self._wait(run), reason), hops, denied_at=since or now)

    def _fail(self, run: Run, error: str, reason: str, *, reached: bool = False) -> Outcome:
        failure = Failure(error, reason[:2_000], assumed=True)
        report = Report(run.attempt, Status.FAILURE, self._clock.now(), failure=failure)

        def failed(current: Run) -> Run:
            return fold(current if reached else _clear_pending_start(run, current), report)

        update_with_optimistic_lock(self._runs, run, failed)
        return Outcome(Decision.FAILURE, reason, run.launch_id)

    def _release(
        self, run: Run, later: _Lazy, hops: int, *, reached: bool = False, denied_at: int | None = None
    ) -> Outcome:
        """Release the claim, and start later; a message lost in between is detected by the recorded time."""
        now = self._clock.now()
        delay = LaunchBackoff(later.reason[:_SHOWN_REASON], now, now + later.seconds * 1000)
        # If no message follows, RECONCILE sends the next one, which begins a new chain.
        next_at = delay.until + (MESSAGE_LOST_MS if hops < MOST_HOPS else 0)

        def released(current: Run) -> Run:
            if current.claim != run.claim or current.status is not Status.QUEUED:
                return current  # Taken over, or reported as started meanwhile: do not retry.
            free = current if reached else _clear_pending_start(run, current)
            denied = denied_at or free.denied_at
            return replace(free, claim=None, next_at=next_at, denied_at=denied, delayed=delay)

        update_with_optimistic_lock(self._runs, run, released)
        return self._later(run, later, hops)

    def _later(self, run: Run, later: _Lazy, hops: int) -> Outcome:
        if hops < MOST_HOPS:
            message = LaunchRequest.of(run, hops + 1).to_json()
            self._launches.send([message], delay_seconds=later.seconds)
        return Outcome(Decision.DELAYED, later.reason, run.launch_id)

    def _wait(self, run: Run) -> int:
        """Return the seconds to the next try: half the run's wait for its target so far, minus jitter."""
        queued = run.reached[f"{run.attempt}/0"][Status.QUEUED.value]
        granted = [slot.granted_at for slot in run.slots if slot.attempt == run.attempt]
        granted += [start.at for start in run.starts]
        waited = (self._clock.now() - max([queued, *granted])) / 2_000
        chance = zlib.crc32(run.claim.token.encode() if run.claim else b"") / 2**32
        return int(min(MAX_DELAY_SECONDS, max(RETRY_SECONDS, waited)) * (1 - chance / 2))

    def _amended(self, run: Run, *, unseen_at: int | None, pending_start: PendingStart | None = None) -> Run:
        """Record what was found out about an earlier start, as long as the claim is ours; return the run."""

        def noted(current: Run) -> Run:
            if current.claim != run.claim:
                return current
            return replace(current, unseen_at=unseen_at, pending_start=pending_start or current.pending_start)

        return update_with_optimistic_lock(self._runs, run, noted)


def _with_kept_check(started: Run, current: Run) -> Run:
    """Return a started run that is still checked when its launch was to be, as a change takes two write units.

    Most runs end before. RECONCILE moves the others then. Runs in pools have checks of their own, by their last one.
    """
    if started.next_at is None or current.next_at is None or started.pools:
        return started
    return replace(started, next_at=min(started.next_at, current.next_at))


def _queue_of(run: Run) -> str:
    return f"It waits for a slot of pool {run.waiting.pool}." if run.waiting else ""


class _UnknownOutcomeError(Exception):
    """It cannot be determined any more whether an attempt was started."""


def _in_groups(
    work: Callable[[T], R], inputs: Sequence[T], pool: ThreadPoolExecutor | None
) -> Iterator[dict[int, R | Exception]]:
    """Yield the results of work by the positions of its inputs: all together, or those that the slowest do not hold up."""
    tries = [partial(result_of, partial(work, each)) for each in inputs]
    if pool is None:
        yield {position: each() for position, each in enumerate(tries)}
        return
    running = {pool.submit(each): position for position, each in enumerate(tries)}
    while running:
        done, _ = wait(running, RECORD_WITHIN_SECONDS)
        yield {running.pop(each): each.result() for each in done}


def _is_unclaimed(run: Run, request: LaunchRequest) -> bool:
    """Return whether an attempt is queued, waits for no pool, and no launch has claimed or tried to start it."""
    is_requested = (run.job, run.attempt, run.status) == (request.job, request.attempt, Status.QUEUED)
    return is_requested and run.waiting is None and run.claim is None and run.pending_start is None


def _pending_start(claim: Claim, now: int, settings: JobSettings | None) -> PendingStart:
    if settings is None:
        return PendingStart(claim.token, now, "", role="")
    return PendingStart(claim.token, now, settings.arn, settings.target, settings.options, settings.role)


def pinned_settings(settings: JobSettings, pending_start: PendingStart | None) -> JobSettings:
    """Return the deployed settings, or those under which the attempt may have been started.

    If the address is still the deployed one, the deployed role is used too: the recorded role may have been
    replaced.

    Args:
        settings: the deployed settings.
        pending_start: the pending start of the attempt.
    """
    if pending_start is None or not pending_start.target:
        return settings
    kind, options = (
        (pending_start.kind, pending_start.options)
        if pending_start.kind
        else (settings.target, settings.options)
    )
    role = role_of_start(pending_start, settings)
    return replace(settings, target=kind, arn=pending_start.target, options=options, role=role)


def _is_in_doubt(run: Run) -> bool:
    """Return whether an earlier launch than the current one may have reached the target."""
    pending_start, claim = run.pending_start, run.claim
    return (
        pending_start is not None
        and pending_start.target != ""
        and claim is not None
        and pending_start.token != claim.token
    )


def _check_prepared(run: Run, target: Target, start: Start, unprepared: LaunchError | None) -> None:
    """Raise what prevents a start from being sent, before anything is sent."""
    if not target.contract.describes:
        _check_no_max_runtime(run, start.settings)
    if _is_in_doubt(run):
        target.prepare(start.settings)  # For the recorded target, which may not be the job's current one.
    elif unprepared is not None:
        raise unprepared


def _clear_pending_start(run: Run, current: Run) -> Run:
    """Return the record without this very claim's pending start, which certainly was not received."""
    ours = current.pending_start and run.claim and current.pending_start.token == run.claim.token
    return replace(current, pending_start=None, unseen_at=None) if ours else current


def _unknown(run: Run, start: Start) -> str:
    at = timestamp(run.pending_start.at if run.pending_start else run.created_at)
    return (
        f"The outcome of the start at {at} is unknown: there was no response, and "
        f"{start.settings.arn} can no longer be queried for {start.launch_id}. Check the target; if "
        "it did not run, rerun the run."
    )


def _no_input(run: Run, error: Exception) -> str:
    return (
        f"The input of {run.launch_id} cannot be built: {reason_of(error)}. Fix run_config and tags "
        f"of the run's item in its table. Then: treadle run rerun {run.run_id}"
    )


def _unsettled(run: Run, start: Start, error: LaunchError) -> str:
    at = timestamp(run.pending_start.at if run.pending_start else run.created_at)
    return (
        f"The outcome of the start of {start.launch_id} at {at} is unknown: there was no response, "
        f"and {start.settings.arn} rejects the query for it: {str(error).rstrip('.')}. Check the "
        f"target; if it did not run, rerun the run. {KEEP_FORMER}"
    )


def _check_no_max_runtime(run: Run, settings: JobSettings) -> None:
    """Raise if a run has a maximum runtime: its target can neither be queried nor end what it started."""
    if max_runtime_ms(run.tags) is not None:
        msg = (
            f"Run {run.run_id} has a maximum runtime, by the tag {MAX_RUNTIME_TAG}, which cannot be enforced: what "
            f"{settings.arn} starts can neither be queried nor stopped. Remove the tag, or use a job on Step "
            "Functions, Glue, Batch or ECS."
        )
        raise LaunchRejectedError(msg)


def _not_configured(run: Run, settings: JobSettings | None) -> str:
    then = f"Then: treadle run rerun {run.run_id}"
    if settings is None:
        return (
            f"Job {run.job!r} is not configured: no project has registered it. Add its entry to a project's "
            f"template.yaml and deploy. {then}"
        )
    return f"Job {run.job!r} is not configured: {settings.parameter} has no ARN. Add it and deploy. {then}"
