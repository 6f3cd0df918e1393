"""The run record, which is also the claim on its run key."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from treadle.definitions.bounds import MAX_CAUSE, MAX_NAME, MAX_REASON, fit
from treadle.definitions.errors import UnreadableRecordError
from treadle.definitions.runs import ASSET_SELECTION_TAG, PAYLOAD_NAME
from treadle.definitions.status import DagsterRunStatus
from treadle.model.pools import BEYOND, Overlap, PoolChanges, PoolWait, Slot, StartSlot, order_in_turn

if TYPE_CHECKING:
    from treadle.definitions.runs import StepFailure

_NO_TAGS: Mapping[str, str] = MappingProxyType({})

KEPT_EDITS = 20
"""The number of operators' edits that a run or a backfill keeps, the latest."""

MAX_STEPS = 10
"""The maximum number of a run's failed steps in its record."""

RUN_SKIPPED = "RunSkippedError"
"""Why a run was canceled whose job had as many runs in progress as its limit, and the overlap SKIP."""

RUN_REPLACED = "RunReplacedError"
"""Why a run was canceled that a later request replaced, as its job's overlap is LATEST or CANCEL."""

Reached = Mapping[str, Mapping[str, int]]
"""The statuses reached and their times, by `attempt/retry`; a status that Treadle inferred has a "?"."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The exclusive right to start one attempt.

    Attributes:
        token: identifies the launch that holds it.
        expires_at: when that launch certainly cannot act any more.
    """

    token: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class PendingStart:
    """A start of the current attempt that may have reached its target.

    Attributes:
        token: the token of the claim under which it was first sent; "" once the attempt has started or ended.
        at: when it was first sent.
        target: the address it was sent to; a repetition goes there too, regardless of later deployments.
        kind: the target type.
        options: the target's other options, such as the queue or the cluster.
        role: the ARN of the role that was assumed for it; "" for the engine's own permissions, None if it was
            not recorded, as before jobs had roles.
    """

    token: str
    at: int
    target: str
    kind: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None


@dataclass(frozen=True, slots=True)
class LaunchBackoff:
    """The wait of an attempt that could not be started.

    Attributes:
        reason: such as the target's error message; truncated.
        at: when the last try found it so.
        until: when it is tried again.
    """

    reason: str
    at: int
    until: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", fit(self.reason, MAX_REASON))


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A period during which the target of a current attempt cannot be queried.

    Attributes:
        reason: such as the target's error message; truncated.
        since: the first query that failed, with no successful one after it.
        at: the last query that failed.
    """

    reason: str
    since: int
    at: int


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request of Treadle's own to end an execution, recorded before its target receives it.

    The target reports CANCELED, whoever ended the execution; this is why the run ends so, and whether as FAILURE instead.

    Attributes:
        attempt: the attempt's number.
        retry: the target's own count of retries or redrives.
        error: the name of the failure with which the run ends; as CANCELED if it was replaced.
        cause: its message.
        at: when it was requested first.
        refused: why the target did not accept the last request; "" if it did.
    """

    attempt: int
    retry: int
    error: str
    cause: str
    at: int
    refused: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "refused", fit(self.refused, MAX_REASON))

    @property
    def place(self) -> str:
        """The attempt and retry, as a key of `Run.reached`."""
        return f"{self.attempt}/{self.retry}"

    @property
    def status(self) -> DagsterRunStatus:
        """The status with which the run ends."""
        return DagsterRunStatus.CANCELED if self.error == RUN_REPLACED else DagsterRunStatus.FAILURE


@dataclass(frozen=True, slots=True)
class RetryGrant:
    """An operator's permission for another attempt of a run.

    Attributes:
        attempts: the number of attempts allowed from then on.
        by: the operator.
        at: when it was given.
    """

    attempts: int
    by: str
    at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", fit(self.by, MAX_NAME))


@dataclass(frozen=True, slots=True)
class OperatorEdit:
    """What an operator did to a run or a backfill.

    Attributes:
        at: when.
        by: the operator.
        action: in the past tense, such as "paused".
    """

    at: int
    by: str
    action: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", fit(self.by, MAX_NAME))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes:
        error: the error's name.
        cause: the target's error message, truncated.
        assumed: True if Treadle inferred the failure, False if the target reported it.
        steps: the failed steps of the run, as far as its target reports them; at most ten.
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
    """A record that a sensor acted on a status of a run.

    Attributes:
        sensor: the sensor's name.
        event_id: the status, as `run/attempt/retry/status`.
        tick_id: the sensor's tick.
        at: when it was recorded.
    """

    sensor: str
    event_id: str
    tick_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run: created by one request, started once per attempt.

    Attributes:
        run_id: derived from the sensor and the run key, or from the tick and the request's position in it.
        job: the job's name.
        sensor: the sensor that requested it.
        run_key: the request's run key.
        tick_id: the tick that requested the current attempt.
        earlier_ticks: the ticks that requested the attempts before; the last hundred.
        run_config: canonical JSON.
        tags: those of Treadle, the job and the request.
        partition_key: the partition it is for.
        status: the highest status reached, ordered by attempt, the target's own retry, and rank.
        attempt: the number of the current start, from 1.
        granted: how many attempts are allowed regardless of the outcome of earlier ones: 1, plus those
            granted since.
        retries: how many more are allowed as long as none has succeeded, as the sensor declared.
        policy_retries: how many of its last attempts its retry policy has started, since it was requested or rerun.
        retry_at: when its retry policy starts the next attempt; None if none follows.
        allowances: the retry grants.
        edits: what operators did besides that, the latest last; the last twenty.
        reached: all statuses reached, by attempt and retry.
        claim: the right to start the current attempt; None once it has started or ended.
        pending_start: a start of the current attempt that has, or may have, reached its target; None if there is none.
        unseen_at: when the target was first queried for the pending start and did not have it.
        denied_at: when the current attempt was first denied.
        delayed: why the current attempt waits, as of its last try; None if it does not.
        unanswered: since when the target cannot be queried, and why; None if it can, or was not queried.
        cancellations: the requests to end executions that exceeded the maximum runtime or were replaced, one per
            attempt and retry; the last ten.
        external_id: the target's id of the execution.
        target: the address of what was started.
        created_at: when the record was created.
        started_at: when the current attempt started.
        ended_at: when it ended.
        failure: why it failed.
        updated_at: when Treadle last received a status, initially the creation time; later than the status
            itself by the event's delay.
        reactions: the sensors that acted on its statuses; the last hundred.
        pools: the keys of the pools that its attempts need a slot of, in order.
        waiting: its place in the queue of a full pool; None if it does not wait for a slot.
        slots: the slots that its attempts hold; after its end, those of an attempt that may still be in progress.
        turns: the turn of its value in each of its pools that takes turns, by the pool's key.
        starts: the slots of pools of starts per minute that the current attempt has taken.
        overlap: its job's, as of the last grant, if it is not QUEUE: until its retry policy starts the next attempt, it
            keeps the slot of its job's pool.
        next_at: when it must be checked if nothing has happened by then; None once it has ended for good, and while
            it waits for a slot.
        revision: incremented by every write; a write requires that it is unchanged.
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
    policy_retries: int = 0
    retry_at: int | None = None
    allowances: tuple[RetryGrant, ...] = ()
    edits: tuple[OperatorEdit, ...] = ()
    reached: Reached = field(default_factory=dict)
    claim: Claim | None = None
    pending_start: PendingStart | None = None
    unseen_at: int | None = None
    denied_at: int | None = None
    delayed: LaunchBackoff | None = None
    unanswered: Unanswered | None = None
    cancellations: tuple[Cancellation, ...] = ()
    external_id: str | None = None
    target: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    failure: Failure | None = None
    updated_at: int = 0
    reactions: tuple[Reaction, ...] = ()
    earlier_ticks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    waiting: PoolWait | None = None
    slots: tuple[Slot, ...] = ()
    starts: tuple[StartSlot, ...] = ()
    turns: Mapping[str, str] = field(default_factory=dict)
    overlap: Overlap | None = None
    next_at: int | None = None
    revision: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "updated_at", max(self.updated_at, self.created_at))

    def edited(self, at: int, by: str, action: str) -> "Run":
        """Return the run with another edit of an operator."""
        return replace(self, edits=(*self.edits, OperatorEdit(at, by, action))[-KEPT_EDITS:])

    @property
    def place(self) -> PoolWait | None:
        """Return its wait with the place in the queue as stored, which begins with its turn if the pool takes turns."""
        wait = self.waiting
        turn = self.turns.get(wait.pool) if wait is not None else None
        return wait if wait is None or turn is None else replace(wait, order=order_in_turn(wait.order, turn))

    @property
    def is_by_reference(self) -> bool:
        """True if its run config was too large to be sent, and is a reference to the object that has it."""
        return self.run_config.startswith(f'{{"{PAYLOAD_NAME}":')

    @property
    def launch_id(self) -> str:
        """The target's name or idempotency token for the current attempt."""
        return f"{self.run_id}-{self.attempt}"

    @property
    def may_launch(self) -> bool:
        """True if its current attempt is to be launched, and no launch of it is in progress."""
        return self.status is DagsterRunStatus.QUEUED and self.claim is None and self.waiting is None

    @property
    def target_retry(self) -> int:
        """The target's own count of retries of the current attempt, as far as it is known."""
        places = (place.split("/") for place in self.reached)
        return max((int(retry) for attempt, retry in places if int(attempt) == self.attempt), default=0)

    @property
    def attempted_at(self) -> int:
        """When the current attempt was created, by the clock of its creator."""
        return self.reached.get(f"{self.attempt}/0", {}).get(DagsterRunStatus.QUEUED, self.created_at)

    @property
    def attempts_allowed(self) -> int:
        """How many attempts the run may currently have; while its retry policy starts the next one, no more."""
        if self.retry_at is not None:
            return self.attempt
        if self.status is DagsterRunStatus.SUCCESS or self.gave_way:
            return self.granted
        return max(self.granted, 1 + self.retries)

    @property
    def gave_way(self) -> bool:
        """True if it was canceled because of another run of its job, so that no later request starts it again."""
        error = self.failure.error if self.failure is not None else ""
        return self.status is DagsterRunStatus.CANCELED and error in {RUN_SKIPPED, RUN_REPLACED}

    @property
    def may_start_again(self) -> bool:
        """True if a later request with its run key can start another attempt."""
        return self.attempt < self.attempts_allowed

    @property
    def is_final(self) -> bool:
        """True if it was started and has no attempt left: its key is taken until an operator releases it."""
        started = any(DagsterRunStatus.STARTED in times for times in self.reached.values())
        return started and not self.may_start_again and self.retry_at is None

    @property
    def replaceable_request_digest(self) -> str | None:
        """The digest of a request that never reached its target, so a changed one may take its key."""
        if self.status is not DagsterRunStatus.FAILURE or self.pending_start or self.external_id:
            return None
        if any(DagsterRunStatus.STARTED in times for times in self.reached.values()):
            return None
        return request_digest(self.job, self.run_config, self.partition_key, self.tags)


def request_digest(
    job: str, run_config: str, partition_key: str | None, tags: Mapping[str, str] = _NO_TAGS
) -> str:
    """Return a digest that distinguishes a changed request from a repeated one.

    Args:
        job: the job's name.
        run_config: canonical JSON.
        partition_key: the partition it is for.
        tags: of which only those that select assets count.
    """
    selected = tags.get(ASSET_SELECTION_TAG)
    text = json.dumps([job, run_config, partition_key, *([] if selected is None else [selected])])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_NO_CHANGES = PoolChanges()


def pool_changes(before: Run | None, after: Run) -> PoolChanges:
    """Return what a write of a record changes in pools.

    Args:
        before: the record before it; None if there was none.
        after: the record after it.
    """
    had, starts, wait = (before.slots, before.starts, before.place) if before is not None else ((), (), None)
    if had == after.slots and starts == after.starts and wait == after.place:
        return _NO_CHANGES
    run_id = after.run_id
    is_granted = wait is not None and after.waiting is None and (after.slots, after.starts) != (had, starts)
    turn = after.turns.get(wait.pool) if wait is not None and is_granted else None
    freed = {_place(slot): slot for slot in had if slot not in after.slots}
    taken = {_place(slot): slot for slot in after.slots if slot not in had}
    return PoolChanges(
        taken=tuple(
            (slot, f"{run_id}-{slot.attempt}") for place, slot in taken.items() if place not in freed
        ),
        starts=tuple((slot, after.launch_id) for slot in after.starts if slot not in starts),
        freed=tuple(
            (slot, f"{run_id}-{slot.attempt}") for place, slot in freed.items() if place not in taken
        ),
        parked=after.place if after.place != wait else None,
        unparked=wait if after.place != wait else None,
        turn=(wait.pool, turn) if wait is not None and turn is not None else None,
        # One item, which a transaction can write only once.
        passed=tuple(
            (slot, f"{run_id}-{freed[place].attempt}", f"{run_id}-{slot.attempt}")
            for place, slot in taken.items()
            if place in freed
        ),
    )


def _place(slot: Slot) -> tuple[object, ...]:
    """Return what identifies the item of a slot, among those of its run."""
    return slot.pool, slot.number, slot.attempt if slot.number == BEYOND else 0


@dataclass(frozen=True, slots=True)
class PollCheckpoint:
    """How far an observed job's external runs have been listed.

    Attributes:
        done_at: all changes before this time are recorded.
        again_at: when the target is polled again.
        began_at: when the poll in progress began; None if none is in progress.
        down_to: changes at or after this time, and before that poll began, are recorded; None if none are.
    """

    done_at: int
    again_at: int
    began_at: int | None = None
    down_to: int | None = None


class KeyState(Enum):
    """What an existing run means for another request with its run key."""

    OPEN = "the run may start again for it"
    TAKEN = "it may not"
    SETTLED = "it may not, until an operator frees the key"


def unreadable_run(run_id: str, job: str, sensor: str, created_at: int, reason: str) -> Run:
    """Return a placeholder for a record that cannot be read: a failed run with the reason, and nothing else.

    Args:
        run_id: the run's id.
        job: the job's name, as far as it is known.
        sensor: the sensor's name, as far as it is known.
        created_at: when the record was created.
        reason: why it cannot be read.
    """
    failure = Failure(UnreadableRecordError.__name__, reason, assumed=True)
    return Run(
        run_id, job, sensor, None, "", "{}", {}, created_at, status=DagsterRunStatus.FAILURE, failure=failure
    )
