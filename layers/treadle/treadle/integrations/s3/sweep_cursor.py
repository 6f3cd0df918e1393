"""The state of a sweep, as its sensor's cursor stores it, and where a sweep starts."""

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
"""A sensor may be deployed this long before its start time; a later start is treated as a mistake."""


@dataclass(frozen=True, slots=True)
class SweepCursor:
    """The state of the sweep. Times are in milliseconds since the epoch.

    Attributes:
        made_with: the selection's fingerprint.
        since: objects modified before this do not count; 0 for none.
        position: the place after which the round continues; "" at its beginning.
        round_started: when the current round began.
        round_floor: the current round skips objects modified before this.
        complete_round: when the last complete round began; 0 for never.
        full_round: when the last complete round began that checked all objects.
        is_silent: whether the bucket was found to send no events to EventBridge.
        is_unversioned: whether versions are watched, and the bucket was found to make none.
        start: the selection's start_from if it is a time; else 0.
        before: objects that existed before `since` and may be mistaken for new; None if there can be none.
        waiting: when objects that have not settled were first seen, in seconds, by their marks.
        waited: the same from the last round, for objects that the current round has not reached yet.
        oldest_waiting: the earliest modification time of a waiting object; 0 for none.
        unversioned_until: objects without version that were modified before this may have their run under the
            run key that they had until then; 0 for none.
        silent: of several buckets, those that were found to send no events to EventBridge.
        unversioned: of several buckets, those that were found to make no versions.
        unlisted: of several buckets, those that the current round could not list.
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
    silent: tuple[str, ...] = ()
    unversioned: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = asdict(self)
        # A state of less than 1 KB is cheap to write, and most sweeps need none of these.
        for name in _SELDOM:
            if not values[name]:
                del values[name]
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False)

    @property
    def is_first_round(self) -> bool:
        """Whether no round has been complete: objects from before `since` that it finds existed already."""
        return not self.complete_round

    def before_at(self, now: int) -> Before | None:
        """Return the earlier objects that a round beginning now remembers; None after two weeks.

        By then every upload that was begun before has ended.

        Args:
            now: milliseconds since the epoch.
        """
        if self.is_first_round and self.since:
            return Before.at(self.since)
        return self.before if self.before is not None and now < self.since + 2 * OVERLAP_MS else None

    def counts(self, stored: S3Object, place: str) -> bool:
        """Return whether the object counts, and did not exist before the first enable.

        Args:
            stored: the object.
            place: of its key in the listing.
        """
        modified, before = modified_ms(stored), self.before
        if modified >= self.since:
            return True
        if before is None or not before.may_be_late(stored, modified):
            return False
        if self.is_first_round and place > self.position:
            return False  # The round reaches it, and treats it as one that existed.
        return before.entry(stored, place, modified) not in set(before.entries())


_BUCKETS = ("silent", "unversioned", "unlisted")
_SELDOM = (
    "is_unversioned",
    "start",
    "before",
    "waiting",
    "waited",
    "oldest_waiting",
    "unversioned_until",
    *_BUCKETS,
)
_TIMES = ("since", "round_started", "round_floor", "complete_round", "full_round")
_NAMES = frozenset(each.name for each in fields(SweepCursor))


def bounded(cursor: SweepCursor, now: int) -> SweepCursor:
    """Return the cursor without future times, which a clock that was ahead left.

    Until such a time nothing would count.

    Args:
        cursor: as stored.
        now: milliseconds since the epoch.
    """
    late: dict[str, Any] = {name: now for name in _TIMES if getattr(cursor, name) > now}
    return replace(cursor, **late) if late else cursor


def read_cursor(
    text: str | None, selection: S3Selection, now: int, start: Callable[[int], int] | None = None
) -> SweepCursor:
    """Parse the state of the sweep; return its beginning if it was never enabled for this selection.

    A first enable starts from the selection's start_from. A changed selection starts from now, so that a new
    prefix or identity does not start runs for all existing objects; to start from the beginning, clear the
    cursor. The same holds if start_from is the same time as before; a new time applies immediately, whatever
    else has changed.

    Args:
        text: the sensor's cursor.
        selection: the current one.
        now: milliseconds since the epoch.
        start: returns the start of a sweep from "now", given how far the last selection's sweep has come; now
            by default.

    Raises:
        DagsterInvariantViolationError: if the cursor is not a sweep's.
    """
    explicit = _given_start(selection)
    known = _parsed(text) if text else None
    is_new_start = explicit and (known is None or known.start != explicit)
    if known is not None and not is_new_start and list(known.made_with) == selection.fingerprint:
        return known
    made_with = tuple(selection.fingerprint)
    if known is None and selection.start_from is StartFrom.BEGINNING:
        return SweepCursor(made_with, 0)
    last = max(known.round_started, known.complete_round) if known else 0
    since = explicit if is_new_start else min(now, start(last)) if start else now
    # S3's times are whole seconds: an object of this same second counts.
    since = since // 1000 * 1000
    return SweepCursor(made_with, since, start=explicit)


def _given_start(selection: S3Selection) -> int:
    """Return start_from in milliseconds, if it is a time; else 0, which no valid time has."""
    return max(1, int(selection.starts_at.timestamp() * 1000)) if selection.starts_at else 0


def _parsed(text: str) -> SweepCursor:
    try:
        parsed = json.loads(text)
        known = {name: value for name, value in parsed.items() if name in _NAMES}
        known["made_with"] = tuple(known["made_with"])
        known |= {name: tuple(known[name]) for name in _BUCKETS if name in known}
        if known.get("before") is not None:
            known["before"] = Before(**known["before"])
        cursor = SweepCursor(**known)
        _check(cursor)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        msg = f"The cursor {text[:200]!r} is not a sweep's: {error!r}. Clear it to start over."
        raise DagsterInvariantViolationError(msg) from error
    return cursor


def _check(cursor: SweepCursor) -> None:
    """Raise a `TypeError` for a value whose type is not the field's, as an operator may set any text."""
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
    if not all(isinstance(each, str) for name in _BUCKETS for each in getattr(cursor, name)):
        raise TypeError("a bucket is no text")
    if not isinstance(cursor.position, str):
        raise TypeError("position is no text")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a tick starts.

    Attributes:
        cursor: the state of the sweep.
        note: a message to operators about a first enable, or "".
    """

    cursor: SweepCursor
    note: str = ""


def starting_point(
    context: SensorEvaluationContext,
    selection: S3Selection,
    now: int,
    deployed_at: Callable[[], int | None],
) -> Start:
    """Return where a tick starts.

    At a first enable "now" is when the sensor was deployed, or started by an operator.

    Args:
        context: has the cursor, and when an operator started the sensor.
        selection: the watched objects.
        now: milliseconds since the epoch.
        deployed_at: returns when the sensor was deployed, in milliseconds; None if that is unknown.

    Raises:
        DagsterInvariantViolationError: if the cursor is not a sweep's.
    """
    notes: list[str] = []

    def since(last: int) -> int:
        deployed = deployed_at()
        if deployed is None:
            notes.append(
                "When the sensor was deployed cannot be read, so only objects count that were stored since its first "
                f"sweep, {_time_text(now)}. Grant its role lambda:GetFunctionConfiguration on its own function, or give a "
                "time as start_from."
            )
            return now
        started = context.started_by_operator
        return max(deployed, last, 0 if started is None else int(started * 1000))

    cursor = read_cursor(context.cursor, selection, now, since)
    return Start(cursor, "".join(notes))


def not_before(selection: S3Selection, now: int) -> str:
    """Return why there is nothing to sweep yet, because start_from is in the future; "" if it is not.

    Args:
        selection: the watched objects.
        now: milliseconds since the epoch.

    Raises:
        DagsterInvariantViolationError: if that time is so far away that it must be a mistake.
    """
    start = _given_start(selection)
    if start <= now:
        return ""
    if start > now + MOST_AHEAD_MS:
        msg = (
            f"start_from is {_time_text(start)}, more than {MOST_AHEAD_MS // 86_400_000} days to come. Correct it, or "
            "deploy it later."
        )
        raise DagsterInvariantViolationError(msg)
    return f"Nothing counts before {_time_text(start)}, as start_from specifies; the first sweep is then."


def _time_text(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat()
