"""Where a sweep stands, as its sensor's cursor keeps it, and from where it starts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.objects import S3Object
from treadle.integrations.s3.selection import S3Selection, StartFrom
from treadle.integrations.s3.sweep_memory import OVERLAP_MS, Before, modified_ms

MOST_AHEAD_MS = 31 * 86_400_000
"""A sensor may be deployed so long before the time that it starts from; a later one is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class SweepCursor:
    """Where the sweep stands. Times are in milliseconds since the epoch.

    Attributes:
        made_with: the selection's fingerprint.
        since: objects modified before this do not count; 0 for none.
        position: the key after which the round goes on; "" at its beginning.
        round_started: when the present round began.
        round_floor: the present round passes over objects modified before this.
        complete_round: when the last complete round began; 0 for never.
        full_round: when the last complete round began that looked at all objects.
        is_silent: whether the bucket was found to send no events to EventBridge.
        is_unversioned: whether versions are watched, and the bucket was found to make none.
        start: the time that the selection gave as such; 0 if it gave none.
        before: what was there before `since` and may be taken for new; None if nothing may.
        waiting: since when objects are there that have not settled, in seconds, by their marks.
        waited: the same as the last round left it, as far as the present round has not met it yet.
        oldest_waiting: when that one of them was modified which was modified first; 0 for none.
        unversioned_until: objects without version that were modified before this may have their run under the key
            that they had until then; 0 for none.
    """

    made_with: tuple[str, ...]
    since: int
    position: str = ""
    round_started: int = 0
    round_floor: int = 0
    complete_round: int = 0
    full_round: int = 0
    is_silent: bool = False
    is_unversioned: bool = False
    start: int = 0
    before: Before | None = None
    waiting: Mapping[str, int] = field(default_factory=dict)
    waited: Mapping[str, int] = field(default_factory=dict)
    oldest_waiting: int = 0
    unversioned_until: int = 0

    def __str__(self) -> str:
        told = asdict(self)
        # A state of less than 1 KB is cheap to write, and most sweeps need none of these.
        for name in _SELDOM:
            if not told[name]:
                del told[name]
        return json.dumps(told, separators=(",", ":"), ensure_ascii=False)

    @property
    def is_first_round(self) -> bool:
        """Whether no round has been complete: what it meets from before `since` was there already."""
        return not self.complete_round

    def before_at(self, now: int) -> Before | None:
        """What a round that begins now remembers of the time before; after two weeks no upload ends that began then.

        Args:
            now: milliseconds since the epoch.
        """
        if self.is_first_round and self.since:
            return Before.at(self.since)
        return self.before if self.before is not None and now < self.since + 2 * OVERLAP_MS else None

    def counts(self, stored: S3Object) -> bool:
        """Whether the object is not one that was there before the first enable."""
        modified, before = modified_ms(stored), self.before
        if modified >= self.since:
            return True
        if before is None or not before.may_be_late(stored, modified):
            return False
        if self.is_first_round and stored.key > self.position:
            return False  # The round comes to it, and takes it for one that was there.
        return before.entry(stored, modified) not in set(before.entries())


_SELDOM = (
    "is_unversioned",
    "start",
    "before",
    "waiting",
    "waited",
    "oldest_waiting",
    "unversioned_until",
)
_TIMES = ("since", "round_started", "round_floor", "complete_round", "full_round")
_NAMES = frozenset(each.name for each in fields(SweepCursor))


def bounded(cursor: SweepCursor, now: int) -> SweepCursor:
    """The cursor without times to come, as a clock that was ahead leaves them: until then nothing would count.

    Args:
        cursor: as it was kept.
        now: milliseconds since the epoch.
    """
    late: dict[str, Any] = {name: now for name in _TIMES if getattr(cursor, name) > now}
    return replace(cursor, **late) if late else cursor


def read_cursor(
    text: str | None, selection: S3Selection, now: int, start: Callable[[int], int] | None = None
) -> SweepCursor:
    """Where the sweep stands; at its beginning where it was never enabled for this selection.

    A first enable starts from where the selection says. A changed selection starts from now, lest a new prefix or
    identity start runs for all that is there; to start from the beginning, clear the cursor. So does one that gives
    the same time as before; a time that it did not give before counts at once, whatever else has changed.

    Args:
        text: the sensor's cursor.
        selection: the present one.
        now: milliseconds since the epoch.
        start: for one that starts from now, when that began, given what the last selection's sweep has come to; now
            by default.

    Raises:
        DagsterInvariantViolationError: if the cursor is no sweep's.
    """
    explicit = _given_start(selection)
    known = _parsed(text) if text else None
    is_asked_for = explicit and (known is None or known.start != explicit)
    if known is not None and not is_asked_for and list(known.made_with) == selection.fingerprint:
        return known
    made_with = tuple(selection.fingerprint)
    if known is None and selection.start_from is StartFrom.BEGINNING:
        return SweepCursor(made_with, 0)
    last = max(known.round_started, known.complete_round) if known else 0
    since = explicit if is_asked_for else min(now, start(last)) if start else now
    # S3 gives whole seconds: an object of this very second counts.
    since = since // 1000 * 1000
    return SweepCursor(made_with, since, start=explicit)


def _given_start(selection: S3Selection) -> int:
    """The time that the selection gives as such, in milliseconds; 0 if it gives none, which no time is told as."""
    return max(1, int(selection.starts_at.timestamp() * 1000)) if selection.starts_at else 0


def _parsed(text: str) -> SweepCursor:
    try:
        told = json.loads(text)
        known = {name: value for name, value in told.items() if name in _NAMES}
        known["made_with"] = tuple(known["made_with"])
        if known.get("before") is not None:
            known["before"] = Before(**known["before"])
        cursor = SweepCursor(**known)
        _check(cursor)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        msg = f"The cursor {text[:200]!r} is no sweep's: {error!r}. Clear it to start anew."
        raise DagsterInvariantViolationError(msg) from error
    return cursor


def _check(cursor: SweepCursor) -> None:
    """Raise a `TypeError` for a value of another kind than the field's, as an operator may set any text."""
    numbers: dict[str, Any] = {name: getattr(cursor, name) for name in (*_TIMES, "start", "oldest_waiting")}
    numbers["unversioned_until"] = cursor.unversioned_until
    if cursor.before is not None:
        before = cursor.before
        numbers |= {"before": before.since, "parts_from": before.parts_from, "whole_from": before.whole_from}
        if not isinstance(before.known, str):
            raise TypeError("known is no text")
        bytes(before.known, "ascii")
    for remembered in (cursor.waiting, cursor.waited):
        if not isinstance(remembered, dict):
            raise TypeError("what waits is no object")
        numbers |= remembered
    for name, value in numbers.items():
        if type(value) is not int:
            raise TypeError(f"{name} is no whole number")
    if not isinstance(cursor.position, str):
        raise TypeError("position is no text")


@dataclass(frozen=True, slots=True)
class Start:
    """From where a tick goes on.

    Attributes:
        cursor: where the sweep stands.
        note: what an operator must know of a first enable; "" if nothing.
    """

    cursor: SweepCursor
    note: str = ""


def starting_point(
    context: SensorEvaluationContext,
    selection: S3Selection,
    now: int,
    deployed_at: Callable[[], int | None],
) -> Start:
    """From where a tick goes on; at a first enable "now" is when the sensor was deployed, or started by an operator.

    Args:
        context: gives the cursor, and when an operator started the sensor.
        selection: which objects count.
        now: milliseconds since the epoch.
        deployed_at: when the sensor was deployed, in milliseconds; None if that cannot be asked.

    Raises:
        DagsterInvariantViolationError: if the cursor is no sweep's.
    """
    notes: list[str] = []

    def since(last: int) -> int:
        deployed = deployed_at()
        if deployed is None:
            notes.append(
                "When the sensor was deployed cannot be read, so only objects count that were stored since its first "
                f"sweep, {_told(now)}. Grant its role lambda:GetFunctionConfiguration on its own function, or give a "
                "time as start_from."
            )
            return now
        started = context.started_by_operator
        return max(deployed, last, 0 if started is None else int(started * 1000))

    cursor = read_cursor(context.cursor, selection, now, since)
    return Start(cursor, "".join(notes))


def not_before(selection: S3Selection, now: int) -> str:
    """Why there is nothing to sweep yet: the selection's time is still to come; "" if it is not.

    Args:
        selection: which objects count.
        now: milliseconds since the epoch.

    Raises:
        DagsterInvariantViolationError: if that time is so far away that it must be a mistake.
    """
    start = _given_start(selection)
    if start <= now:
        return ""
    if start > now + MOST_AHEAD_MS:
        msg = (
            f"start_from is {_told(start)}, more than {MOST_AHEAD_MS // 86_400_000} days to come. Correct it, or "
            "deploy it later."
        )
        raise DagsterInvariantViolationError(msg)
    return f"Nothing counts before {_told(start)}, as start_from says; the first sweep comes then."


def _told(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat()
