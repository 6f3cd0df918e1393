"""The record of a tick."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from treadle.definitions.bounds import (
    MAX_ID,
    MAX_LOG,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_REASON,
    MAX_REFUSAL,
    MAX_REFUSALS,
    MAX_REJECTION,
    MAX_RUN_KEY,
    MAX_STACK,
    counted,
    fit,
    fit_end,
    fit_some,
)
from treadle.definitions.errors import UnreadableRecordError
from treadle.definitions.status import TickStatus

if TYPE_CHECKING:
    from treadle.definitions.assets import AssetMaterialization, AssetObservation
    from treadle.model.partitions import ChangeTime, PartitionChange


SHOWN_CURSOR = 1_000
"""The characters of a cursor that the record of a tick has."""

CUT = "…"
"""The end of a cursor that was truncated to less than that, in the record of a streak of skips."""


class TickKind(StrEnum):
    """What a tick evaluated."""

    LEASED = "LEASED"
    EVENT = "EVENT"


class TickTrouble(StrEnum):
    """A problem of a tick that has not failed."""

    HELD = "HELD"
    REFUSED = "REFUSED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run request that a tick committed.

    Attributes:
        run_id: the id of its run record.
        run_key: the requested run key; None for a new run each time.
        job: the job's name.
        run_config: canonical JSON.
        tags: the request's and the job's.
        partition_key: the partition the run is for.
        retries: how often a later tick's request may start it again after it failed.
    """

    run_id: str
    run_key: str | None
    job: str
    run_config: str
    tags: Mapping[str, str]
    partition_key: str | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True)
class RejectedRequest:
    """A request that cannot become a run, with the reason.

    Attributes:
        run_key: the requested key, which stays free; truncated if it is too long for any run.
        reason: why it cannot become a run; truncated.
    """

    run_key: str | None
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_key", fit_some(self.run_key, MAX_RUN_KEY))
        object.__setattr__(self, "reason", fit(self.reason, MAX_REJECTION))


@dataclass(frozen=True, slots=True)
class DynamicPartitionsRequestResult:
    """What a tick requested of a set of dynamic partitions, as in Dagster; either added or deleted is None.

    Attributes:
        partitions_def_name: the set's name.
        added_partitions: the keys to add.
        deleted_partitions: the keys to delete.
        skipped_partitions: the other requested keys, which the tick found to exist, or not to exist, already.
    """

    partitions_def_name: str
    added_partitions: tuple[str, ...] | None
    deleted_partitions: tuple[str, ...] | None
    skipped_partitions: tuple[str, ...] = ()

    @property
    def partition_keys(self) -> tuple[str, ...]:
        """All its keys.

        Skipped ones are among them: another tick's change that is not applied yet may come in between.
        """
        return (
            *(self.added_partitions or ()),
            *(self.deleted_partitions or ()),
            *self.skipped_partitions,
        )


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a tick failed.

    Attributes:
        type: the exception's class name.
        message: the exception's message; truncated.
        stack: the user's own frames; truncated at the beginning.
    """

    type: str
    message: str
    stack: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", fit(self.type, MAX_NAME))
        object.__setattr__(self, "message", fit(self.message, MAX_MESSAGE))
        object.__setattr__(self, "stack", fit_end(self.stack, MAX_STACK))


@dataclass(frozen=True, slots=True)
class DispatchCounts:
    """The results of dispatching a tick's requests.

    Attributes:
        started: runs that this tick created or started.
        existing: requests whose key was taken already.
        refused: requests and asset events that look like a loop, and requests that an operator dropped.
    """

    started: int = 0
    existing: int = 0
    refused: int = 0

    def __add__(self, other: "DispatchCounts") -> "DispatchCounts":
        """Return the sums."""
        return DispatchCounts(
            self.started + other.started,
            self.existing + other.existing,
            self.refused + other.refused,
        )

    def __str__(self) -> str:
        """Return a one-line summary."""
        return f"{counted(self.started, 'run')}, {counted(self.existing, 'key')} taken already, {self.refused} refused"


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """The progress of a tick that is dispatched in chunks.

    Attributes:
        of: the number of chunks.
        noted: the numbers of the completed chunks, from 0.
        counts: the results of their requests.
        refusals: why some of these requests were refused.
    """

    of: int
    noted: frozenset[int] = frozenset()
    counts: DispatchCounts = DispatchCounts()
    refusals: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """True if all chunks are completed."""
        return len(self.noted) == self.of


@dataclass(frozen=True, slots=True)
class Drop:
    """An operator's decision to drop the requests for which a tick waits.

    Attributes:
        at: when it was made.
        by: who made it.
        reason: the operator's reason.
    """

    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class TickBase:
    """What a tick's record and its summary have in common.

    Attributes:
        sensor: the sensor's name.
        tick_id: sorts by time.
        kind: leased, or of one event.
        status: how it ended.
        time: its scheduled time, or its event's time.
        started_at: when the evaluation began.
        ended_at: when it ended.
        reason: the skip reason.
        trigger: what was evaluated, in one line.
        attempts: evaluations of this event so far, including this one.
        skips: the number of skipped ticks that this record stands for.
        last_time: the scheduled time of the last of those.
        dispatched: the results of its requests; None until it is dispatched.
        paused: why the sensor was paused by it, if it was.
        held: why its dispatch waits, if it does.
        held_requests: how many requests wait; of a tick that is dispatched
            in chunks, those of the chunk that was processed last.
    """

    sensor: str
    tick_id: str
    kind: TickKind
    status: TickStatus
    time: int
    started_at: int
    ended_at: int
    reason: str | None = None
    trigger: str | None = None
    attempts: int = 1
    skips: int = 0
    last_time: int | None = None
    dispatched: DispatchCounts | None = None
    paused: str | None = None
    held: str | None = None
    held_requests: int = 0


@dataclass(frozen=True, slots=True)
class Tick(TickBase):
    """The record of one evaluation; its texts are made storable, and truncated to their limits.

    Attributes:
        error: why it failed.
        requests: the run requests to dispatch.
        existing_keys: requested run keys that were taken already.
        rejected: rejected requests.
        cursor: the cursor afterwards, truncated. Of a streak of skips, the one with which the next tick began.
        owner: the token of the evaluation.
        refusals: why requests were refused.
        slicing: the progress of its chunks; None until one of them is completed.
        log: the evaluation's log, truncated.
        depth: its chain depth, the number of Treadle's runs that led to it, one after the other.
        dropped: an operator's decision to drop the requests that still wait.
        acted_on: the event that the sensor acted on: `run/attempt/retry/status`, or `deadline/time`; or the run key
            of a batch of run statuses.
        asset_events: materializations and observations that DISPATCH is to record.
        dynamic_partitions_request_results: keys of dynamic partitions that DISPATCH is to add or delete.
    """

    error: ErrorInfo | None = None
    requests: tuple[PlannedRun, ...] = ()
    existing_keys: tuple[str, ...] = ()
    rejected: tuple[RejectedRequest, ...] = ()
    cursor: str | None = None
    owner: str = ""
    refusals: tuple[str, ...] = ()
    slicing: ChunkProgress | None = None
    log: tuple[str, ...] = ()
    depth: int = 0
    dropped: Drop | None = None
    acted_on: str | None = None
    asset_events: "tuple[AssetMaterialization | AssetObservation, ...]" = ()
    dynamic_partitions_request_results: tuple[DynamicPartitionsRequestResult, ...] = ()

    def __post_init__(self) -> None:
        for name, most in _BOUNDS:
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, fit(text, most))
        if self.refusals:
            refusals = tuple(fit(each, MAX_REFUSAL) for each in self.refusals[:MAX_REFUSALS])
            object.__setattr__(self, "refusals", refusals)
        if self.log:
            object.__setattr__(self, "log", tuple(fit(each, MAX_LOG) for each in self.log))

    @property
    def is_to_be_dispatched(self) -> bool:
        """True if DISPATCH still has something to do for it."""
        partitions = self.dynamic_partitions_request_results
        return (
            bool(self.requests or self.acted_on or self.asset_events or partitions)
            and self.dispatched is None
        )

    @property
    def has_whole_cursor(self) -> bool:
        """True if the cursor is not truncated."""
        return self.cursor is None or not (len(self.cursor) >= SHOWN_CURSOR or self.cursor.endswith(CUT))

    @property
    def partition_changes(self) -> "tuple[PartitionChange, ...]":
        """The changes of dynamic partitions, each key once."""
        if not self.dynamic_partitions_request_results:
            return ()
        # Imported here, as most ticks change none.
        from treadle.model.partitions import PartitionChange

        changes = [
            (each.partitions_def_name, key, each.deleted_partitions is None)
            for each in self.dynamic_partitions_request_results
            for key in each.partition_keys
        ]
        return tuple(PartitionChange(*change, position) for position, change in enumerate(changes))

    @property
    def partition_change_count(self) -> int:
        """The number of these changes, which may be 25,000, without making them."""
        return sum(len(each.partition_keys) for each in self.dynamic_partitions_request_results)

    @property
    def changed_partitions_at(self) -> "ChangeTime":
        """When these changes were made."""
        from treadle.model.partitions import ChangeTime

        return ChangeTime(self.ended_at, f"{self.sensor}/{self.tick_id}")

    @property
    def trouble(self) -> TickTrouble | None:
        """Its problem, if it has one though it has not failed."""
        held = self.held_requests if self.is_to_be_dispatched else 0
        return _trouble(self.status, held, self.dispatched, len(self.rejected))


_BOUNDS = (
    ("reason", MAX_REASON),
    ("cursor", MAX_REASON),
    ("trigger", MAX_REASON),
    ("paused", MAX_REASON),
    ("held", MAX_REASON),
    ("acted_on", MAX_ID),
)


@dataclass(frozen=True, slots=True)
class TickSummary(TickBase):
    """A tick's record without its requests and log.

    Attributes:
        error_type: the class name of the exception that failed it.
        error_message: the exception's message.
        is_pending: True if it is yet to be dispatched.
        rejected: the number of rejected requests.
        is_dropped: True if an operator dropped the requests that waited.
    """

    error_type: str | None = None
    error_message: str | None = None
    is_pending: bool = False
    rejected: int = 0
    is_dropped: bool = False

    @property
    def trouble(self) -> TickTrouble | None:
        """Its problem, if it has one though it has not failed."""
        held = self.held_requests if self.is_pending else 0
        return _trouble(self.status, held, self.dispatched, self.rejected)


def _trouble(
    status: TickStatus, held: int, dispatched: DispatchCounts | None, rejected: int
) -> TickTrouble | None:
    """Return the worst problem: one that an operator can still act on comes before a final one."""
    if status is TickStatus.FAILURE:
        return None
    if held:
        return TickTrouble.HELD
    if dispatched is not None and dispatched.refused:
        return TickTrouble.REFUSED
    return TickTrouble.REJECTED if rejected else None


_COMMON = tuple(each.name for each in fields(TickBase))


def outline(tick: Tick) -> TickSummary:
    """Return the record without its requests and log."""
    return TickSummary(
        **{name: getattr(tick, name) for name in _COMMON},
        error_type=tick.error.type if tick.error else None,
        error_message=tick.error.message if tick.error else None,
        is_pending=tick.is_to_be_dispatched,
        rejected=len(tick.rejected),
        is_dropped=tick.dropped is not None,
    )


def unreadable_tick(sensor: str, tick_id: str, time: int, reason: str) -> Tick:
    """Return a placeholder for a record that cannot be read: a failed tick with the reason, and nothing else.

    Args:
        sensor: the sensor's name.
        tick_id: the tick's id.
        time: the time in its id.
        reason: why it cannot be read.
    """
    error = ErrorInfo(UnreadableRecordError.__name__, reason)
    return Tick(sensor, tick_id, TickKind.EVENT, TickStatus.FAILURE, time, time, time, error=error)


@dataclass(frozen=True, slots=True)
class TickPage:
    """A page of a sensor's ticks, newest first.

    Attributes:
        ticks: the ticks on this page.
        next: the tick id before which the next page begins; None if there is nothing more.
    """

    ticks: tuple[TickSummary, ...]
    next: str | None
