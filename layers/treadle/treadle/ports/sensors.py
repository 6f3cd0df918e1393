"""A sensor's stored state, the lease on it, and the store that guards both."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from treadle.definitions.bounds import fit
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.ports.ticks import Tick


@dataclass(frozen=True, slots=True)
class SkipStreak:
    """Skipped ticks in a row, kept in the sensor's state until the next tick that is no skip.

    Attributes:
        first_tick_id: the id that the first of them had.
        first_at: when the first was due.
        last_at: when the last was due.
        count: how many.
        reason: the last one's reason.
    """

    first_tick_id: str
    first_at: int
    last_at: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class SensorState:
    """What is stored of a sensor.

    Attributes:
        sensor: its name.
        status: as an operator left it.
        epoch: raised by every lease and every operator's edit.
        lease_owner: the token of the tick that holds the lease, if one does.
        lease_expires: when that tick certainly cannot act any more.
        last_nominal: the nominal time of the last leased tick.
        last_completion: when a tick last ended.
        started_at: when the sensor was last started, or reset; else when it first ticked.
        failure_streak: failed ticks in a row.
        skips: skipped ticks in a row.
        cursor: the bookmark, unless it is kept apart.
        cursor_apart: True if the bookmark is in an item of its own.
        last_run_key: the last run key asked for.
        resume_at: no tick is due before this, after failures.
        paused: why Treadle stopped the sensor, if it did.
        interval: milliseconds from one tick to the next, as its last tick had it; 0 for each scheduled minute.
        project: the project that it belongs to; None until a tick of one takes it.
    """

    sensor: str
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE
    epoch: int = 0
    lease_owner: str | None = None
    lease_expires: int = 0
    last_nominal: int | None = None
    last_completion: int | None = None
    started_at: int | None = None
    failure_streak: int = 0
    skips: SkipStreak | None = None
    cursor: str | None = None
    cursor_apart: bool = False
    last_run_key: str | None = None
    resume_at: int | None = None
    paused: str | None = None
    interval: int | None = field(default=None, compare=False)  # Of the deployment, kept here for RECONCILE.
    project: str | None = field(default=None, compare=False)  # Of the deployment, too.

    def is_running(self, default: DefaultSensorStatus) -> bool:
        """Whether the sensor evaluates.

        Args:
            default: what holds where no operator has said anything.
        """
        if self.status is InstigatorStatus.DECLARED_IN_CODE:
            return default is DefaultSensorStatus.RUNNING
        return self.status is InstigatorStatus.RUNNING

    def is_foreign(self, project: str) -> bool:
        """Whether it belongs to another project.

        Args:
            project: the one that asks; "" if that is not known.
        """
        return bool(project) and self.project not in {None, project}


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A tick's wish to be the only one of its sensor.

    Attributes:
        sensor: which sensor.
        owner: this tick's token.
        nominal: when the tick was due.
        interval: milliseconds from one tick to the next; 0 for every nominal time.
        now: the time.
        expires_at: when this tick certainly cannot act any more.
        default_status: what holds where no operator has said anything.
        at_once: True for an operator's tick: no interval is awaited, nor what failures hold up.
        project: whose sensor ticks; "" if that is not known.
    """

    sensor: str
    owner: str
    nominal: int
    interval: int
    now: int
    expires_at: int
    default_status: DefaultSensorStatus
    at_once: bool = False
    project: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit one tick.

    Attributes:
        sensor: which sensor.
        owner: the token under which it was given.
        epoch: the epoch it was given at; a commit needs both unchanged.
        nominal: when the tick was due.
        before: the state as it was before.
    """

    sensor: str
    owner: str
    epoch: int
    nominal: int
    before: SensorState


@dataclass(frozen=True, slots=True)
class Refused:
    """No lease was given.

    Attributes:
        state: what stood against it; None if nothing is stored of the sensor.
    """

    state: SensorState | None


@dataclass(frozen=True, slots=True)
class Completion:
    """How a leased tick leaves its sensor.

    Attributes:
        at: when it ended.
        cursor: the bookmark afterwards.
        cursor_changed: False where the stored one is to be left alone.
        failure_streak: failed ticks in a row, this one included.
        last_run_key: the last run key asked for.
        skips: the streak of skipped ticks, this one included; None ends it.
        ticks: the tick records that become durable with it; none for a skip.
        resume_at: no tick is due before this, after failures.
        paused: why the sensor is to be stopped, if it is.
        keeps_lease: True where the lease's own tick is still to come.
        stands_in: True for the failure that is recorded in place of a completion which the store rejected.
    """

    at: int
    cursor: str | None
    cursor_changed: bool
    failure_streak: int
    last_run_key: str | None
    skips: SkipStreak | None = None
    ticks: Sequence[Tick] = field(default_factory=tuple)
    resume_at: int | None = None
    paused: str | None = None
    keeps_lease: bool = False
    stands_in: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """What an operator changes of a sensor; what is left out stays.

    Attributes:
        at: the time.
        by: who asks.
        status: the new status; RUNNING and DECLARED_IN_CODE also end a pause and what failures held up.
        sets_cursor: whether the bookmark is changed.
        cursor: the new bookmark, if it is.
        if_epoch: the epoch that the operator saw; None to change it whatever came in between.
        freed_key: a run key of the sensor that may start its run again, if that is all.
        project: the project that the state belongs to from now on. If the bookmark is changed with it, the last run
            key, a pause and what failures held up end, too: the sensor begins anew.
    """

    at: int
    by: str
    status: InstigatorStatus | None = None
    sets_cursor: bool = False
    cursor: str | None = None
    if_epoch: int | None = None
    freed_key: str | None = None
    project: str | None = None

    @property
    def begins_anew(self) -> bool:
        """Whether nothing is left of what the project before has evaluated."""
        return self.project is not None and self.sets_cursor


KEPT_EDITS = 50
"""So many of a sensor's edits are remembered; the oldest go first."""

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RecordedEdit:
    """What an operator changed of a sensor.

    Attributes:
        at: when.
        by: who, shortened.
        action: "start", "stop", "reset", "set_cursor", "release", "adopt" or "adopt_fresh".
        before: the status before it, PAUSED where Treadle had stopped the sensor; or the cursor, shortened; or the
            project, with the cursor if that was cleared.
        after: the same afterwards; or the run key that was released, shortened.
        epoch: the sensor's afterwards.
    """

    at: int
    by: str
    action: str
    before: str | None
    after: str | None
    epoch: int


def unreadable_state(sensor: str, reason: str) -> SensorState:
    """What stands in a list for a state that cannot be read: nothing runs on it, and that is why.

    Args:
        sensor: whose.
        reason: why it cannot be read.
    """
    return SensorState(sensor, status=InstigatorStatus.STOPPED, paused=reason)


_ACTIONS = {
    InstigatorStatus.RUNNING: "start",
    InstigatorStatus.STOPPED: "stop",
    InstigatorStatus.DECLARED_IN_CODE: "reset",
}


def recorded(edit: Edit, state: SensorState, cursor: str | None) -> RecordedEdit:
    """What is remembered of an edit.

    Args:
        edit: the edit.
        state: the sensor's before it.
        cursor: the bookmark before it.
    """
    by, epoch = fit(edit.by, _SHOWN), state.epoch + 1
    if edit.freed_key is not None:
        return RecordedEdit(edit.at, by, "release", None, _shown(edit.freed_key), epoch)
    if edit.project is not None:
        before, action = state.project or "no project", "adopt"
        if edit.begins_anew:
            before, action = f"{before}, cursor {_shown(cursor)}" if cursor else before, "adopt_fresh"
        return RecordedEdit(edit.at, by, action, before, edit.project, epoch)
    if edit.status is None:
        return RecordedEdit(edit.at, by, "set_cursor", _shown(cursor), _shown(edit.cursor), epoch)
    before = "PAUSED" if state.paused else state.status.value
    return RecordedEdit(edit.at, by, _ACTIONS[edit.status], before, edit.status.value, epoch)


def _shown(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class SensorStore(Protocol):
    """Keeps each sensor's state; every write is conditional.

    Whatever gives one state raises `UnreadableRecordError` if it is there and cannot be read; `get_many` gives
    an `unreadable_state` in its place.
    """

    def get(self, sensor: str) -> SensorState:
        """The state, read strongly; a fresh one where nothing is stored."""

    def get_many(self, sensors: Collection[str]) -> dict[str, SensorState]:
        """The states by name, read strongly, fresh ones where nothing is stored; a hundred cost one request.

        Raises:
            StoreError: if the store did not answer.
        """

    def cursor(self, state: SensorState) -> str | None:
        """The bookmark that the state names, read strongly if it is kept apart."""

    def acquire(self, request: LeaseRequest) -> Lease | Refused:
        """Take the lease in one conditional write.

        Given if the sensor is running, its state belongs to the requesting project or to none, no live lease is on
        it, `nominal` is at least one interval after
        the last nominal time (and later than it), half an interval has passed since the last completion,
        and failures do not hold it up. At once, all of that is waived but that it is running, whose it is, that no live
        lease is on it, that its last nominal time is no later one, and that no tick has completed since the
        request was made, so that a request which arrives late takes no lease. A last nominal time more than
        `MAX_SKEW_MS` ahead of the request's time counts as none; so does, but at once, a last completion.
        A repeated call with the same owner gets the same lease, with the same state before it.
        A state that belonged to no project belongs to the requesting one afterwards.

        Raises:
            StoreError: if the store did not answer.
        """

    def claim(self, sensor: str, project: str) -> SensorState:
        """Take a state that belongs to no project.

        Args:
            sensor: whose.
            project: which takes it.

        Returns:
            The state afterwards, which belongs to another project if that came first.

        Raises:
            StoreError: if the store did not answer.
        """

    def commit(self, lease: Lease, completion: Completion) -> None:
        """Make a tick durable, all of it or nothing: state, bookmark, tick records; the lease ends.

        One that keeps the lease changes only the failure streak, and writes tick records.

        Raises:
            LeaseLostError: if owner or epoch are no longer the lease's; nothing was written.
            StoreError: if the store did not answer.
        """

    def release(self, lease: Lease) -> None:
        """Give up a lease that can commit nothing any more, so that it is not taken for a death.

        Raises:
            StoreError: if the store did not answer.
        """

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        """Change a sensor as an operator asks; the epoch rises, so that a tick in flight commits nothing.

        The edit is remembered in the same transaction, where no evaluator may write.

        Returns:
            The state afterwards.

        Raises:
            LeaseLostError: if the epoch is no longer the one that the operator saw; nothing was written.
            StoreError: if the store did not answer.
        """

    def edits(self, sensor: str) -> list[RecordedEdit]:
        """The sensor's last edits, newest first, read strongly; `KEPT_EDITS` at most.

        Raises:
            StoreError: if the store did not answer.
        """
