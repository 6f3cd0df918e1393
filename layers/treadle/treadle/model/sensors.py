"""A sensor's stored state, the lease on it, and edits of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from treadle.definitions.bounds import fit
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.model.ticks import Tick


@dataclass(frozen=True, slots=True)
class SkipStreak:
    """Consecutive skipped ticks, kept in the sensor's state until the next tick that is not a skip.

    Attributes:
        first_tick_id: the id of the first one.
        first_at: the scheduled time of the first one.
        last_at: the scheduled time of the last one.
        count: how many there are.
        reason: the last one's skip reason.
    """

    first_tick_id: str
    first_at: int
    last_at: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class SensorState:
    """The stored state of a sensor.

    Attributes:
        sensor: its name.
        status: as an operator set it.
        epoch: incremented by every lease and every operator's edit.
        lease_owner: the token of the tick that holds the lease, if one does.
        lease_expires: when that tick certainly cannot act any more.
        last_scheduled_for: the scheduled time of the last leased tick.
        last_completion: when a tick last ended.
        started_at: when the sensor was last started, or reset; else when it first ticked.
        failure_streak: consecutive failed ticks.
        skips: consecutive skipped ticks.
        cursor: the cursor, unless it is stored in its own item.
        cursor_apart: True if the cursor is stored in its own item.
        last_run_key: the last run key requested.
        resume_at: no tick is due before this, after failures.
        paused: why Treadle paused the sensor, if it did.
        interval: milliseconds between two ticks, as of its last tick; 0 for each scheduled minute.
        project: the project that it belongs to; None until a project's tick claims it.
        partitions_tick: the id of its last leased tick if that changed dynamic partitions: the next one is not
            evaluated before these changes are applied.
    """

    sensor: str
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE
    epoch: int = 0
    lease_owner: str | None = None
    lease_expires: int = 0
    last_scheduled_for: int | None = None
    last_completion: int | None = None
    started_at: int | None = None
    failure_streak: int = 0
    skips: SkipStreak | None = None
    cursor: str | None = None
    cursor_apart: bool = False
    last_run_key: str | None = None
    resume_at: int | None = None
    paused: str | None = None
    interval: int | None = field(default=None, compare=False)  # Stored for RECONCILE.
    project: str | None = field(default=None, compare=False)  # Of the deployment, too.
    partitions_tick: str | None = None

    def is_running(self, default: DefaultSensorStatus) -> bool:
        """Return whether the sensor evaluates.

        Args:
            default: the status until an operator sets another one.
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
    """A tick's request to be its sensor's only one.

    Attributes:
        sensor: the sensor's name.
        owner: this tick's token.
        scheduled_for: the tick's scheduled time.
        interval: milliseconds between two ticks; 0 for every scheduled time.
        now: the current time.
        expires_at: when this tick certainly cannot act any more.
        default_status: the status until an operator sets another one.
        at_once: True for an operator's tick, which ignores the interval and the backoff after failures.
        project: the project whose sensor ticks; "" if unknown.
    """

    sensor: str
    owner: str
    scheduled_for: int
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
        sensor: the sensor's name.
        owner: the token under which it was given.
        epoch: the epoch at which it was given; a commit requires that both are unchanged.
        scheduled_for: the tick's scheduled time.
        before: the state before it.
    """

    sensor: str
    owner: str
    epoch: int
    scheduled_for: int
    before: SensorState


@dataclass(frozen=True, slots=True)
class Refused:
    """A denied lease.

    Attributes:
        state: the state that prevented it; None if nothing is stored for the sensor.
    """

    state: SensorState | None


@dataclass(frozen=True, slots=True)
class Completion:
    """The result of a leased tick for its sensor's state.

    Attributes:
        at: when the tick ended.
        cursor: the cursor afterwards.
        cursor_changed: False to leave the stored one unchanged.
        failure_streak: consecutive failed ticks, including this one.
        last_run_key: the last run key requested.
        skips: the streak of skipped ticks, including this one; None ends it.
        ticks: the tick records that are committed with it; none for a skip.
        resume_at: no tick is due before this, after failures.
        paused: why the sensor is to be paused, if it is.
        keeps_lease: True if the lease's own tick is still to come.
        stands_in: True for the failure that is recorded in place of a completion which the store rejected.
        partitions_tick: the id of the tick if it changes dynamic partitions.
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
    partitions_tick: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """An operator's change to a sensor; attributes that are left out stay unchanged.

    Attributes:
        at: when it is made.
        by: the operator.
        status: the new status; RUNNING and DECLARED_IN_CODE also end a pause and the backoff after failures.
        sets_cursor: True if the cursor is changed.
        cursor: the new cursor, if it is.
        if_epoch: the epoch that the operator saw; None to apply the edit unconditionally.
        freed_key: a run key of the sensor to release; nothing else is changed then.
        releases_loop: True if the sensor is released that was held as a loop; nothing else is changed then.
        project: the project that the state belongs to from now on. If the cursor is changed with it, the last run
            key, a pause and the backoff after failures end, too: the sensor starts over.
    """

    at: int
    by: str
    status: InstigatorStatus | None = None
    sets_cursor: bool = False
    cursor: str | None = None
    if_epoch: int | None = None
    freed_key: str | None = None
    releases_loop: bool = False
    project: str | None = None

    @property
    def starts_over(self) -> bool:
        """Whether nothing is left of what the project before has evaluated."""
        return self.project is not None and self.sets_cursor


KEPT_EDITS = 50
"""The number of a sensor's edits that are kept; the oldest are deleted first."""

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RecordedEdit:
    """An operator's change to a sensor, as recorded.

    Attributes:
        at: when it was made.
        by: the operator, truncated.
        action: "start", "stop", "reset", "set_cursor", "release" of a run key, "release_loop", "adopt" or
            "adopt_fresh".
        before: the status before it, PAUSED where Treadle had paused the sensor; or the cursor, truncated; or
            the project, with the cursor if that was cleared.
        after: the same afterwards; or the run key that was released, truncated.
        epoch: the sensor's epoch afterwards.
    """

    at: int
    by: str
    action: str
    before: str | None
    after: str | None
    epoch: int


def unreadable_state(sensor: str, reason: str) -> SensorState:
    """Return a placeholder for a state that cannot be read: a stopped sensor, with the reason."""
    return SensorState(sensor, status=InstigatorStatus.STOPPED, paused=reason)


_ACTIONS = {
    InstigatorStatus.RUNNING: "start",
    InstigatorStatus.STOPPED: "stop",
    InstigatorStatus.DECLARED_IN_CODE: "reset",
}


def recorded(edit: Edit, state: SensorState, cursor: str | None) -> RecordedEdit:
    """Return the record of an edit.

    Args:
        edit: the edit.
        state: the sensor's state before it.
        cursor: the cursor before it.
    """
    by, epoch = fit(edit.by, _SHOWN), state.epoch + 1
    if edit.freed_key is not None:
        return RecordedEdit(edit.at, by, "release", None, _shown(edit.freed_key), epoch)
    if edit.releases_loop:
        return RecordedEdit(edit.at, by, "release_loop", None, None, epoch)
    if edit.project is not None:
        before, action = state.project or "no project", "adopt"
        if edit.starts_over:
            before, action = f"{before}, cursor {_shown(cursor)}" if cursor else before, "adopt_fresh"
        return RecordedEdit(edit.at, by, action, before, edit.project, epoch)
    if edit.status is None:
        return RecordedEdit(edit.at, by, "set_cursor", _shown(cursor), _shown(edit.cursor), epoch)
    before = "PAUSED" if state.paused else state.status.value
    return RecordedEdit(edit.at, by, _ACTIONS[edit.status], before, edit.status.value, epoch)


def _shown(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
