"""The record of a tick, and the store of those records."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from treadle.definitions.bounds import (
    MAX_ID,
    MAX_LOG,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_REASON,
    MAX_REFUSAL,
    MAX_REFUSALS,
    MAX_RUN_KEY,
    MAX_SET_ASIDE,
    MAX_STACK,
    fit,
    fit_end,
    fit_some,
)
from treadle.definitions.errors import UnreadableRecordError
from treadle.definitions.status import TickStatus

if TYPE_CHECKING:
    from treadle.definitions.assets import AssetMaterialization


class TickKind(StrEnum):
    """What a tick evaluated."""

    LEASED = "LEASED"
    EVENT = "EVENT"


class TickTrouble(StrEnum):
    """What keeps a tick that has not failed from being well."""

    HELD = "HELD"
    REFUSED = "REFUSED"
    SET_ASIDE = "SET_ASIDE"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run request that a tick committed.

    Attributes:
        run_id: of the record that will be its claim.
        run_key: as asked for; None for a run each time.
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
    """A request that could never run, with the reason.

    Attributes:
        run_key: the key it asked for, which stays free; cut if no run could have it.
        reason: why it could never run, in words; cut.
    """

    run_key: str | None
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_key", fit_some(self.run_key, MAX_RUN_KEY))
        object.__setattr__(self, "reason", fit(self.reason, MAX_SET_ASIDE))


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a tick failed.

    Attributes:
        type: the exception's class name.
        message: in words; cut.
        stack: the user's own frames; cut at its beginning.
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
    """What became of a tick's requests.

    Attributes:
        started: runs that this tick gave rise to.
        existing: requests whose key was taken already.
        refused: requests and asset events that look like a loop, and requests that an operator has dropped.
    """

    started: int = 0
    existing: int = 0
    refused: int = 0

    def __add__(self, other: "DispatchCounts") -> "DispatchCounts":
        """Both together."""
        return DispatchCounts(
            self.started + other.started,
            self.existing + other.existing,
            self.refused + other.refused,
        )

    def __str__(self) -> str:
        """In words."""
        return f"{self.started} runs, {self.existing} keys taken already, {self.refused} refused"


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """How far a tick has come that is dispatched in slices.

    Attributes:
        of: how many slices it has.
        noted: those that are done, by their numbers from 0.
        counts: what became of their requests.
        refusals: why some of these were refused.
    """

    of: int
    noted: frozenset[int] = frozenset()
    counts: DispatchCounts = DispatchCounts()
    refusals: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all slices are done."""
        return len(self.noted) == self.of


@dataclass(frozen=True, slots=True)
class Drop:
    """An operator's decision that what a tick still waits for is not to run.

    Attributes:
        at: when it was made.
        by: who made it.
        reason: why, in the operator's words.
    """

    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """One evaluation, as it is kept: whatever text it is made of can be stored, and is cut to its bound.

    Attributes:
        sensor: whose.
        tick_id: sorts by time.
        kind: leased or of one event.
        status: how it ended.
        time: its nominal time, or its event's.
        started_at: when the evaluation began.
        ended_at: when it was over.
        reason: why nothing was asked for.
        error: why it failed.
        requests: what is to be dispatched.
        existing_keys: run keys that were asked for and taken already.
        set_aside: requests that could never run.
        cursor: the bookmark afterwards, shortened.
        trigger: what was evaluated, in one line.
        attempts: evaluations of this event so far, this one included.
        owner: the token of the evaluation.
        skips: how many skipped ticks this record stands for.
        last_time: the nominal time of the last of those.
        dispatched: what became of the requests; None until then.
        refusals: why requests were refused.
        slicing: how far its slices have come; None unless one of them is done.
        log: what the evaluation logged, bounded.
        paused: why the sensor was paused by it, if it was.
        depth: how many runs of Treadle's led to it, one after the other.
        held: why its dispatch waits, if it does.
        held_requests: how many requests wait for a grant or for the next hour; of a tick that is dispatched in
            slices, those of the slice that was looked at last.
        dropped: that an operator has dropped what still waits.
        acted_on: what the sensor acted on: `run/attempt/retry/status`, or `deadline/time`.
        asset_events: materializations that DISPATCH is to record.
    """

    sensor: str
    tick_id: str
    kind: TickKind
    status: TickStatus
    time: int
    started_at: int
    ended_at: int
    reason: str | None = None
    error: ErrorInfo | None = None
    requests: tuple[PlannedRun, ...] = ()
    existing_keys: tuple[str, ...] = ()
    set_aside: tuple[RejectedRequest, ...] = ()
    cursor: str | None = None
    trigger: str | None = None
    attempts: int = 1
    owner: str = ""
    skips: int = 0
    last_time: int | None = None
    dispatched: DispatchCounts | None = None
    refusals: tuple[str, ...] = ()
    slicing: ChunkProgress | None = None
    log: tuple[str, ...] = ()
    paused: str | None = None
    depth: int = 0
    held: str | None = None
    held_requests: int = 0
    dropped: Drop | None = None
    acted_on: str | None = None
    asset_events: "tuple[AssetMaterialization, ...]" = ()

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
        """Whether DISPATCH has something to do for it still."""
        return bool(self.requests or self.acted_on or self.asset_events) and self.dispatched is None

    @property
    def trouble(self) -> TickTrouble | None:
        """What keeps it from being well, though it has not failed."""
        held = self.held_requests if self.is_to_be_dispatched else 0
        return _trouble(self.status, held, self.dispatched, len(self.set_aside))


_BOUNDS = (
    ("reason", MAX_REASON),
    ("cursor", MAX_REASON),
    ("trigger", MAX_REASON),
    ("paused", MAX_REASON),
    ("held", MAX_REASON),
    ("acted_on", MAX_ID),
)


@dataclass(frozen=True, slots=True)
class TickSummary:
    """A tick's record without what it asked for and logged; see `Tick` for the attributes.

    Attributes:
        is_pending: whether its dispatch is still to come.
        set_aside: how many requests could never run.
        is_dropped: whether an operator has dropped what waited.
    """

    sensor: str
    tick_id: str
    kind: TickKind
    status: TickStatus
    time: int
    started_at: int
    ended_at: int
    reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    trigger: str | None = None
    attempts: int = 1
    skips: int = 0
    last_time: int | None = None
    dispatched: DispatchCounts | None = None
    is_pending: bool = False
    held: str | None = None
    paused: str | None = None
    held_requests: int = 0
    set_aside: int = 0
    is_dropped: bool = False

    @property
    def trouble(self) -> TickTrouble | None:
        """What keeps it from being well, though it has not failed."""
        held = self.held_requests if self.is_pending else 0
        return _trouble(self.status, held, self.dispatched, self.set_aside)


def _trouble(
    status: TickStatus, held: int, dispatched: DispatchCounts | None, set_aside: int
) -> TickTrouble | None:
    """The worst of what is not well: what waits for an operator is before what has ended."""
    if status is TickStatus.FAILURE:
        return None
    if held:
        return TickTrouble.HELD
    if dispatched is not None and dispatched.refused:
        return TickTrouble.REFUSED
    return TickTrouble.SET_ASIDE if set_aside else None


def outline(tick: Tick) -> TickSummary:
    """The record without what it asked for and logged."""
    return TickSummary(
        sensor=tick.sensor,
        tick_id=tick.tick_id,
        kind=tick.kind,
        status=tick.status,
        time=tick.time,
        started_at=tick.started_at,
        ended_at=tick.ended_at,
        reason=tick.reason,
        error_type=tick.error.type if tick.error else None,
        error_message=tick.error.message if tick.error else None,
        trigger=tick.trigger,
        attempts=tick.attempts,
        skips=tick.skips,
        last_time=tick.last_time,
        dispatched=tick.dispatched,
        is_pending=tick.is_to_be_dispatched,
        held=tick.held,
        paused=tick.paused,
        held_requests=tick.held_requests,
        set_aside=len(tick.set_aside),
        is_dropped=tick.dropped is not None,
    )


def unreadable_tick(sensor: str, tick_id: str, time: int, reason: str) -> Tick:
    """What stands in a list for a record that cannot be read: a failure with the reason, and nothing else.

    Args:
        sensor: whose.
        tick_id: which.
        time: with which its id begins.
        reason: why it cannot be read.
    """
    error = ErrorInfo(UnreadableRecordError.__name__, reason)
    return Tick(sensor, tick_id, TickKind.EVENT, TickStatus.FAILURE, time, time, time, error=error)


MOST_READ = 1_000
"""So many records at most are looked through for one page."""


@dataclass(frozen=True, slots=True)
class TickPage:
    """Some of a sensor's ticks, newest first.

    Attributes:
        ticks: those found.
        next: the tick id before which the next page goes on; None if there is nothing more.
    """

    ticks: tuple[TickSummary, ...]
    next: str | None


class TickStore(Protocol):
    """Keeps tick records; none is ever written twice with another outcome, but for failures of events.

    Whatever gives one record raises `UnreadableRecordError` if it is there and cannot be read. Whatever gives
    several shows an `unreadable_tick` in its place.
    """

    def get(self, sensor: str, tick_id: str) -> Tick | None:
        """The record, read strongly."""

    def is_dispatched(self, sensor: str, tick_id: str) -> bool:
        """Whether a tick's requests have been dispatched, or its record has expired since, read strongly.

        Raises:
            StoreError: if the store did not answer.
        """

    def latest(self, sensor: str, limit: int) -> list[Tick]:
        """The newest records of a sensor, newest first."""

    def page(
        self,
        sensor: str,
        *,
        before: str | None = None,
        limit: int,
        statuses: "Collection[TickStatus | TickTrouble] | None" = None,
    ) -> TickPage:
        """A sensor's ticks, newest first, without what they asked for.

        Args:
            sensor: whose.
            before: only ticks whose id sorts before this one; None for the newest.
            limit: how many at most. Where few of the records have one of the statuses, there may be fewer, or
                none, and more to come: no more than `MOST_READ` are looked through at once.
            statuses: only ticks that ended so, or have such trouble; None for all.

        Raises:
            StoreError: if the store did not answer.
        """

    def attempts(self, sensor: str, tick_ids: Collection[str]) -> dict[str, tuple[TickStatus, int]]:
        """Status and attempts of those ticks that are stored, read strongly, at most 100 at a time."""

    def put(self, tick: Tick) -> bool:
        """Keep the record if there is none, or one of a failure; False if it stands already.

        A repeated call with the same record is True.

        Raises:
            StoreError: if the store did not answer.
        """

    def mark_chunk_done(
        self, tick: Tick, index: int, of: int, counts: DispatchCounts, refusals: Collection[str]
    ) -> ChunkProgress | None:
        """Note once that a slice of a tick's requests is done; a second note of it changes nothing.

        Nor does one that disagrees with those before it on how many slices there are.

        Args:
            tick: whose.
            index: of the slice, from 0.
            of: how many slices there are.
            counts: what became of the slice's requests.
            refusals: why some of these were refused.

        Returns:
            How far the tick has come; None if its record is gone.

        Raises:
            StoreError: if the store did not answer.
        """

    def pending(self, before: int, limit: int) -> list[tuple[str, str]]:
        """Sensor and id of ticks not yet dispatched that are due to be, by the index, which may lag.

        Args:
            before: those that have been pending since an earlier time, or were postponed until then.
            limit: how many at most.

        Raises:
            StoreError: if the store did not answer.
        """

    def postpone(
        self, sensor: str, tick_id: str, until: int, reason: str, *, held: int | None = None
    ) -> bool:
        """Let a pending tick wait; nothing changes if it is not pending any more.

        Args:
            sensor: whose.
            tick_id: which.
            until: when it is due to be dispatched again.
            reason: why it waits, in words for an operator.
            held: how many of its requests wait for a grant or for the next hour; None leaves the number as it is.

        Returns:
            Whether it is still pending.

        Raises:
            StoreError: if the store did not answer.
        """

    def drop(self, sensor: str, tick_id: str, drop: Drop, due: int, reason: str) -> bool:
        """Note that an operator has dropped what a tick waits for; nothing changes unless requests of it are held.

        A repeated call with the same decision is True.

        Args:
            sensor: whose.
            tick_id: which.
            drop: the decision.
            due: when it is due to be dispatched again.
            reason: why it still waits until then, in words for an operator.

        Returns:
            Whether the decision is noted.

        Raises:
            StoreError: if the store did not answer.
        """

    def mark_unreadable(self, sensor: str, tick_id: str, until: int, reason: str) -> bool:
        """Let a pending tick wait whose record cannot be read, and note why on the record.

        Args:
            sensor: whose.
            tick_id: which.
            until: when it is due to be dispatched again.
            reason: why it cannot be read.

        Returns:
            True if it was not marked so before; False also if it is not pending any more.

        Raises:
            StoreError: if the store did not answer.
        """

    def admit(self, sensor: str, hour: int, number: int, limit: int) -> int:
        """Count runs that a sensor is about to start against its limit for the hour.

        Args:
            sensor: which sensor.
            hour: when the hour began, in milliseconds.
            number: how many runs.
            limit: how many there may be in an hour.

        Returns:
            How many of them may start: all, fewer, or none.

        Raises:
            StoreError: if the store did not answer.
        """

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        """Note what became of the requests; from then on the record may expire.

        Raises:
            StoreError: if the store did not answer.
        """
