"""The record of a tick, and the store of those records."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from treadle.definitions.status import TickStatus

if TYPE_CHECKING:
    from treadle.definitions.assets import AssetMaterialization


class TickKind(StrEnum):
    """What a tick evaluated."""

    LEASED = "LEASED"
    EVENT = "EVENT"


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
class SetAside:
    """A request that could never run, with the reason.

    Attributes:
        run_key: the key it asked for, which stays free.
        reason: why it could never run, in words.
    """

    run_key: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a tick failed.

    Attributes:
        type: the exception's class name.
        message: in words.
        stack: the user's own frames.
    """

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True)
class DispatchCounts:
    """What became of a tick's requests.

    Attributes:
        started: runs that this tick gave rise to.
        existing: requests whose key was taken already.
        refused: requests that the deployment does not grant, and asset events that look like a loop.
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
class Slicing:
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
class Tick:
    """One evaluation, as it is kept.

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
    set_aside: tuple[SetAside, ...] = ()
    cursor: str | None = None
    trigger: str | None = None
    attempts: int = 1
    owner: str = ""
    skips: int = 0
    last_time: int | None = None
    dispatched: DispatchCounts | None = None
    refusals: tuple[str, ...] = ()
    slicing: Slicing | None = None
    log: tuple[str, ...] = ()
    paused: str | None = None
    depth: int = 0
    held: str | None = None
    acted_on: str | None = None
    asset_events: "tuple[AssetMaterialization, ...]" = ()

    @property
    def is_to_be_dispatched(self) -> bool:
        """Whether DISPATCH has something to do for it still."""
        return bool(self.requests or self.acted_on or self.asset_events) and self.dispatched is None


@dataclass(frozen=True, slots=True)
class TickOutline:
    """A tick's record without what it asked for and logged; see `Tick` for the attributes.

    Attributes:
        is_pending: whether its dispatch is still to come.
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


def outline(tick: Tick) -> TickOutline:
    """The record without what it asked for and logged."""
    return TickOutline(
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
    )


MOST_READ = 1_000
"""So many records at most are looked through for one page."""


@dataclass(frozen=True, slots=True)
class TickPage:
    """Some of a sensor's ticks, newest first.

    Attributes:
        ticks: those found.
        next: the tick id before which the next page goes on; None if there is nothing more.
    """

    ticks: tuple[TickOutline, ...]
    next: str | None


class TickStore(Protocol):
    """Keeps tick records; none is ever written twice with another outcome, but for failures of events."""

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
        statuses: Collection[TickStatus] | None = None,
    ) -> TickPage:
        """A sensor's ticks, newest first, without what they asked for.

        Args:
            sensor: whose.
            before: only ticks whose id sorts before this one; None for the newest.
            limit: how many at most. Where few of the records have one of the statuses, there may be fewer, or
                none, and more to come: no more than `MOST_READ` are looked through at once.
            statuses: only ticks that ended so; None for all.

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

    def note_slice(
        self, tick: Tick, index: int, of: int, counts: DispatchCounts, refusals: Collection[str]
    ) -> Slicing | None:
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

    def postpone(self, sensor: str, tick_id: str, until: int, reason: str) -> None:
        """Let a pending tick wait; nothing changes if it is not pending any more.

        Args:
            sensor: whose.
            tick_id: which.
            until: when it is due to be dispatched again.
            reason: why it waits, in words for an operator.

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
