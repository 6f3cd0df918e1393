"""The run record, which is also the claim on its run key, and the store that guards it."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from treadle.definitions.bounds import MAX_CAUSE, MAX_NAME, MAX_REASON, fit
from treadle.definitions.errors import UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus
from treadle.ports.run_queries import RunPage, RunQuery

if TYPE_CHECKING:
    from treadle.definitions.runs import StepFailure

MAX_STEPS = 10
"""Of so many failed parts of a run its record tells."""

Reached = Mapping[str, Mapping[str, int]]
"""For each `attempt/retry`: the statuses reached, and when; what Treadle only assumed bears a "?"."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to start one attempt.

    Attributes:
        token: of the launch that holds it.
        expires_at: when that launch certainly cannot act any more.
    """

    token: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class PendingStart:
    """That a start of the present attempt may have reached its target.

    Attributes:
        token: of the claim under which it was tried first.
        at: when.
        target: the address it was sent to; a second try goes there too, whatever is deployed by then.
        kind: the kind of target.
        options: what else the target was given, such as the queue or the cluster.
        role: the ARN of the role that was assumed for it; "" for the engine's own permissions, None if that was
            not noted, as before jobs brought roles.
    """

    token: str
    at: int
    target: str
    kind: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None


@dataclass(frozen=True, slots=True)
class LaunchBackoff:
    """That a start of the present attempt has to wait.

    Attributes:
        reason: why, such as the target's words; shortened.
        at: since when, as the last try found.
        until: when it is tried again.
    """

    reason: str
    at: int
    until: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", fit(self.reason, MAX_REASON))


@dataclass(frozen=True, slots=True)
class Unanswered:
    """That the target of an attempt under way does not say how it stands.

    Attributes:
        reason: why, such as the target's denial; shortened.
        since: the first query that brought no answer, with none after it that did.
        at: the last one.
    """

    reason: str
    since: int
    at: int


@dataclass(frozen=True, slots=True)
class RetryGrant:
    """That somebody granted a run another attempt.

    Attributes:
        attempts: how many there might be from then on.
        by: who.
        at: when.
    """

    attempts: int
    by: str
    at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", fit(self.by, MAX_NAME))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes:
        error: the error's name.
        cause: the target's words, shortened.
        assumed: True if Treadle concluded it, False if the target reported it.
        steps: the parts of the run that failed, as far as its target tells of them; ten at most.
    """

    error: str
    cause: str
    assumed: bool = False
    steps: "tuple[StepFailure, ...]" = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", fit(self.error, MAX_NAME))
        object.__setattr__(self, "cause", fit(self.cause[:MAX_CAUSE], 4 * MAX_CAUSE))
        object.__setattr__(self, "steps", self.steps[:MAX_STEPS])


@dataclass(frozen=True, slots=True)
class Reaction:
    """That a sensor acted on a status of a run.

    Attributes:
        sensor: which sensor.
        event_id: the status, as `run/attempt/retry/status`.
        tick_id: of the sensor's tick.
        at: when it was noted.
    """

    sensor: str
    event_id: str
    tick_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run: asked for by one request, started once per attempt.

    Attributes:
        run_id: derived from the sensor and the run key, or from the tick and the request's place in it.
        job: the job's name.
        sensor: the sensor that asked.
        run_key: under which it was asked for.
        tick_id: of the tick that asked for the present attempt.
        earlier_ticks: of the ticks that asked for those before; the last hundred.
        run_config: canonical JSON.
        tags: Treadle's, the job's and the request's.
        partition_key: the partition it is for.
        status: the highest reached, by attempt, the target's own retries, and rank.
        attempt: the number of the present start, from 1.
        granted: how many there may be, whatever became of those before: 1, and what was granted since.
        retries: how many more there may be as long as none has succeeded, as the sensor declared.
        allowances: who granted attempts, and when.
        reached: all statuses reached, by attempt and retry.
        claim: the right to start the present attempt.
        pending_start: that a start of the present attempt may have reached its target; None if none has.
        unseen_at: when the target was first asked for what was tried, and showed nothing.
        denied_at: when the present attempt was first denied.
        delayed: why the present attempt waits for its start, as its last try found; None if nothing was in its way.
        unanswered: since when the target cannot be queried, and why; None if it can, or was not.
        external_id: how the target names the execution.
        target: the address of what was started.
        created_at: when the record was made.
        started_at: when the present attempt started.
        ended_at: when it ended.
        failure: why it failed.
        updated_at: when Treadle last learnt of a status, at first its making; later than the status by as long as the news took.
        reactions: which sensors acted on its statuses; the last hundred.
        next_at: when it must be looked at if nothing has happened until then; None once it has ended.
        revision: raised by every write; a write needs it unchanged.
    """

    run_id: str
    job: str
    sensor: str
    run_key: str | None
    tick_id: str
    run_config: str
    tags: Mapping[str, str]
    created_at: int
    partition_key: str | None = None
    status: DagsterRunStatus = DagsterRunStatus.QUEUED
    attempt: int = 1
    granted: int = 1
    retries: int = 0
    allowances: tuple[RetryGrant, ...] = ()
    reached: Reached = field(default_factory=dict)
    claim: Claim | None = None
    pending_start: PendingStart | None = None
    unseen_at: int | None = None
    denied_at: int | None = None
    delayed: LaunchBackoff | None = None
    unanswered: Unanswered | None = None
    external_id: str | None = None
    target: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    failure: Failure | None = None
    updated_at: int = 0
    reactions: tuple[Reaction, ...] = ()
    earlier_ticks: tuple[str, ...] = ()
    next_at: int | None = None
    revision: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "updated_at", max(self.updated_at, self.created_at))

    @property
    def launch_id(self) -> str:
        """The name under which the target knows the present attempt."""
        return f"{self.run_id}-{self.attempt}"

    @property
    def attempted_at(self) -> int:
        """When the present attempt was made, by the clock of whoever made it."""
        return self.reached.get(f"{self.attempt}/0", {}).get(DagsterRunStatus.QUEUED, self.created_at)

    @property
    def attempts_allowed(self) -> int:
        """How many attempts there may be as things stand."""
        if self.status is DagsterRunStatus.SUCCESS:
            return self.granted
        return max(self.granted, 1 + self.retries)

    @property
    def may_start_again(self) -> bool:
        """Whether a later request for its key can start another attempt."""
        return self.attempt < self.attempts_allowed

    @property
    def is_final(self) -> bool:
        """Whether it was started and has no attempt left: its key is taken until an operator frees it."""
        started = any(DagsterRunStatus.STARTED in times for times in self.reached.values())
        return started and not self.may_start_again

    @property
    def replaceable_request_digest(self) -> str | None:
        """The digest of a request that never reached its target: a changed one may have the key; else None."""
        if self.status is not DagsterRunStatus.FAILURE or self.pending_start or self.external_id:
            return None
        if any(DagsterRunStatus.STARTED in times for times in self.reached.values()):
            return None
        return request_digest(self.job, self.run_config, self.partition_key)


def request_digest(job: str, run_config: str, partition_key: str | None) -> str:
    """What tells a changed request from the same one again.

    Args:
        job: the job's name.
        run_config: canonical JSON.
        partition_key: the partition it is for.
    """
    text = json.dumps([job, run_config, partition_key])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PollCheckpoint:
    """How far an observed job's target has been looked through for what others started.

    Attributes:
        done_at: whatever was news before is recorded.
        again_at: when it is looked through again.
        began_at: when the look began that is under way; None if none is.
        down_to: what was news at this time or later, and before that look began, is recorded; None if nothing is.
    """

    done_at: int
    again_at: int
    began_at: int | None = None
    down_to: int | None = None


class KeyState(Enum):
    """What a run leaves to a further request for its key."""

    OPEN = "the run may start again for it"
    TAKEN = "it may not"
    SETTLED = "it may not, until an operator frees the key"


def unreadable_run(run_id: str, job: str, sensor: str, created_at: int, reason: str) -> Run:
    """What stands in a list for a record that cannot be read: a failure with the reason, and nothing else.

    Args:
        run_id: which.
        job: the job's name, as far as it is known.
        sensor: the sensor's, as far as it is known.
        created_at: when the record was made.
        reason: why it cannot be read.
    """
    failure = Failure(UnreadableRecordError.__name__, reason, assumed=True)
    return Run(
        run_id, job, sensor, None, "", "{}", {}, created_at, status=DagsterRunStatus.FAILURE, failure=failure
    )


class RunStore(Protocol):
    """Keeps run records; none is ever deleted to free its key.

    Whatever gives one record raises `UnreadableRecordError` if it is there and cannot be read. Whatever gives
    several passes over such a record and logs it; a page shows an `unreadable_run` in its place.
    """

    def get(self, run_id: str) -> Run | None:
        """The record, read strongly."""

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Those of the records that exist, by name, read strongly; a hundred cost one request.

        Raises:
            StoreError: if the store did not answer.
        """

    def find(self, query: RunQuery) -> list[Run]:
        """The records asked for, in order: found by an index, which may lag by a moment, then read strongly.

        Args:
            query: which.

        Raises:
            StoreError: if the store did not answer.
        """

    def page(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[DagsterRunStatus] | None = None,
        before: str | None = None,
        limit: int,
    ) -> RunPage:
        """The runs of a sensor or of a job, newest first: found by an index, then read strongly.

        Args:
            sensor: the sensor that asked; or else
            job: the job's name.
            statuses: any of them; None for all.
            before: what the page before gave as `next`; None for the newest.
            limit: how many at most. Where few of the records have one of the statuses, there may be fewer, or
                none, and more to come: no more than `MOST_LOOKED_AT` are looked through at once.

        Raises:
            StoreError: if the store did not answer, or neither sensor nor job is given, or `before` is no
                page's `next`.
        """

    def counts(self, sensor: str, since: int, limit: int) -> dict[DagsterRunStatus, int]:
        """How many of a sensor's runs that were made later than a time have which status, by an index.

        Args:
            sensor: the sensor that asked.
            since: the time.
            limit: how many are counted at most, the newest.

        Raises:
            StoreError: if the store did not answer.
        """

    def list_by_sensor(self, sensor: str, limit: int) -> list[Run]:
        """The newest runs that a sensor asked for, newest first; may lag by a moment."""

    def due(self, now: int, limit: int) -> list[str]:
        """The ids of runs whose `next_at` has passed, by the index, which may lag by a moment.

        Args:
            now: the time.
            limit: how many at most.

        Raises:
            StoreError: if the store did not answer.
        """

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        """How the keys stand whose run exists, by its id; those of the others are free.

        Args:
            requests: by run id, the request's digest; None where it is not known yet, and may have changed.
                Any number; a hundred cost one request.
        """

    def create(self, run: Run) -> Run | None:
        """Put the record if there is none: None if it was put, else the record that stands.

        Raises:
            StoreError: if the store did not answer.
        """

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        """Take the right to start an attempt, if it is queued and nobody else can act on it any more.

        Args:
            run_id: of the run.
            job: the run's; of another one nothing is claimed.
            attempt: which start.
            claim: the right.
            pending_start: noted with it, unless an earlier try is noted still; its time is now.

        Returns:
            The record afterwards: it bears the given claim exactly if that was taken. None if there is
            no such run.

        Raises:
            StoreError: if the store did not answer.
        """

    def replace(self, run: Run) -> Run | None:
        """Write what has changed if the revision is still the given one.

        Returns:
            None if it was written, else the record that stands.

        Raises:
            StoreError: if the store did not answer.
        """

    def mark_unreadable(self, run_id: str, until: int, reason: str) -> bool:
        """Let a run that is to be looked at wait whose record cannot be read, and note why on the record.

        Args:
            run_id: which.
            until: when it is looked at again.
            reason: why it cannot be read.

        Returns:
            True if it was not marked so before; False also if it is not to be looked at any more.

        Raises:
            StoreError: if the store did not answer.
        """

    def poll_checkpoint(self, job: str) -> PollCheckpoint | None:
        """How far an observed job's target has been looked through, read strongly; None if it never was.

        Raises:
            StoreError: if the store did not answer.
        """

    def put_poll_checkpoint(self, job: str, look: PollCheckpoint) -> None:
        """Keep that, unless a later look is done already; it is no run, and nobody finds it as one.

        Raises:
            StoreError: if the store did not answer.
        """
