"""LAUNCH: claims a run's attempt and starts it at its target, once as far as the target can promise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.amend import amend
from treadle.engine.dispatch import launch_message
from treadle.engine.folding import Report, fold
from treadle.engine.identity import canonical_json, timestamp
from treadle.engine.outcomes import Decision, Outcome
from treadle.ports.launching import JobSettings, Target
from treadle.ports.runs import Claim, Failure, Run, RunStore
from treadle.ports.system import Clock, Queue, Tokens

TAKEOVER_MARGIN_MS = 60_000
"""Added to the function's own time limit: then the holder of a claim cannot act any more."""

DENIED_FOR_MS = 300_000
"""New permissions take a while to be seen everywhere; after that a denial is final."""

RETRY_SECONDS = 20
MAX_DELAY_SECONDS = 900

Targets = Mapping[str, Target]
"""Each kind of target by the name that job settings give it."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """Which attempt of which run is to be started.

    Attributes:
        run_id: of the run.
        attempt: which start.
    """

    run_id: str
    attempt: int


def payload(run: Run) -> str:
    """What the job receives: canonical JSON, the same for each start under one launch id."""
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


class Launcher:
    """Starts claimed attempts.

    Args:
        runs: keeps run records.
        launches: where a start that has to wait is sent again.
        jobs: what each job's name launches.
        targets: each kind of target.
        clock: the time.
        tokens: names this process's claims.
    """

    def __init__(
        self,
        runs: RunStore,
        launches: Queue,
        jobs: Mapping[str, JobSettings],
        targets: Targets,
        clock: Clock,
        tokens: Tokens,
    ) -> None:
        self._runs = runs
        self._launches = launches
        self._jobs = jobs
        self._targets = targets
        self._clock = clock
        self._tokens = tokens

    def launch(self, request: LaunchRequest, seconds: float) -> Outcome:
        """Start an attempt unless that was done, or is being done.

        Args:
            request: which attempt.
            seconds: after which this process certainly cannot act any more.

        Raises:
            LaunchRejectedError: if there is no such run.
            StoreError: if a store or the queue did not answer; the message is to be delivered again.
        """
        now = self._clock.now()
        claim = Claim(self._tokens.new(), now + int(seconds * 1000) + TAKEOVER_MARGIN_MS)
        run = self._runs.claim(request.run_id, request.attempt, claim, now)
        if run is None:
            msg = f"There is no run {request.run_id}: the message names one that was never recorded."
            raise LaunchRejectedError(msg)
        if run.claim != claim:
            return self._not_ours(run, request, now)
        return self._start(run)

    def _not_ours(self, run: Run, request: LaunchRequest, now: int) -> Outcome:
        if run.attempt == request.attempt and run.status is Status.QUEUED and run.claim is not None:
            delay = min(MAX_DELAY_SECONDS, (run.claim.expires_at - now) // 1000 + 1)
            reason = f"Another launch holds the claim, until {timestamp(run.claim.expires_at)} at most."
            return self._later(run, delay, reason)
        reason = f"Attempt {request.attempt} was launched before: the run is at {run.attempt}, {run.status}."
        return Outcome(Decision.DUPLICATE, reason, run.launch_id)

    def _start(self, run: Run) -> Outcome:
        settings = self._jobs.get(run.job)
        if settings is None or not settings.arn:
            return self._fail(run, "JobNotConfiguredError", _not_configured(run.job, settings))
        target = self._targets[settings.target]
        try:
            execution = target.start(settings, run.launch_id, payload(run))
        except LaunchRejectedError as error:
            return self._fail(run, "LaunchRejectedError", str(error))
        except LaunchDeniedError as error:
            queued = run.reached[f"{run.attempt}/0"][Status.QUEUED.value]
            if self._clock.now() - queued > DENIED_FOR_MS:
                return self._fail(run, "LaunchDeniedError", str(error))
            return self._release(run, str(error))
        except LaunchDelayedError as error:
            return self._release(run, str(error))
        report = Report(
            run.attempt,
            Status.STARTED,
            execution.started_at,
            started_at=execution.started_at,
            external_id=execution.external_id,
            target=execution.target,
        )
        amend(self._runs, run, lambda current: fold(current, report))
        return Outcome(Decision.LAUNCHED, f"Started {execution.external_id}", run.launch_id, 1)

    def _fail(self, run: Run, error: str, reason: str) -> Outcome:
        failure = Failure(error, reason[:2_000], assumed=True)
        report = Report(run.attempt, Status.FAILURE, self._clock.now(), failure=failure)
        amend(self._runs, run, lambda current: fold(current, report))
        return Outcome(Decision.FAILURE, reason, run.launch_id)

    def _release(self, run: Run, reason: str) -> Outcome:
        token = run.claim

        def released(current: Run) -> Run:
            return _without_claim(current) if current.claim == token else current

        amend(self._runs, run, released)
        return self._later(run, RETRY_SECONDS, reason)

    def _later(self, run: Run, delay_seconds: int, reason: str) -> Outcome:
        self._launches.send([launch_message(run)], delay_seconds=delay_seconds)
        return Outcome(Decision.DELAYED, reason, run.launch_id)


def _without_claim(run: Run) -> Run:
    return replace(run, claim=None)


def _not_configured(job: str, settings: JobSettings | None) -> str:
    if settings is None:
        return (
            f"Job {job!r} is not configured: no parameter of the deployment says what it launches. "
            "Add it to TREADLE_JOBS in template.yaml, with a parameter for its address."
        )
    return f"Job {job!r} is not configured: set the deployment parameter {settings.parameter}."
