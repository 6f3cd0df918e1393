"""The sweep: finds objects whose event was lost by listing, in slices, each from where the last one ended."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import BucketError
from treadle.definitions.objects import NO_VERSION, ObjectIdentity, S3Object
from treadle.integrations.s3.groups import Files
from treadle.integrations.s3.lister import ObjectLister, Page
from treadle.integrations.s3.listings import is_divided, pages
from treadle.integrations.s3.selection import S3Selection
from treadle.integrations.s3.settling import Group, check_group, settled_since
from treadle.integrations.s3.sweep_cursor import SweepCursor, bounded, read_cursor, starting_point
from treadle.integrations.s3.sweep_memory import OVERLAP_MS, Waiting, digest_of, modified_ms

__all__ = [
    "CHUNK_SIZE",
    "FULL_ROUND_MS",
    "MAX_SECONDS",
    "OVERLAP_MS",
    "Slice",
    "SweepCursor",
    "read_cursor",
    "sweep",
    "system_now",
]

FULL_ROUND_MS = 86_400_000
"""Once a day a round checks all objects, whenever they were modified."""

CHUNK_SIZE = 1_000
"""Number of new objects after which a slice ends; the next tick continues."""

MAX_SECONDS = 20.0
"""Maximum listing time of a slice."""

_RESERVE = 0.25


@dataclass(frozen=True, slots=True)
class Slice:
    """The result of a slice.

    Attributes:
        objects: those that count, and whose run key is not claimed yet; one for each complete group.
        cursor: where the next slice continues.
        listed: the number of objects listed.
        is_complete: whether the round ended with it.
        age_seconds: since the last complete round began; since the first one began, until it is complete.
        unremembered: the number of objects that the cursor had no room for.
        notes: messages to operators about the sensor's first round.
        unended: the cursor as if the round had not ended.
        began_after: the place after which the slice began.
    """

    objects: tuple[S3Object, ...]
    cursor: SweepCursor
    listed: int
    is_complete: bool
    age_seconds: float
    unremembered: int
    notes: tuple[str, ...]
    unended: SweepCursor
    began_after: str

    def up_to(self, place: str) -> "Slice":
        """Return the slice as if it had ended after a place that it has listed.

        Args:
            place: after which the round continues.
        """
        cursor = replace(self.unended, position=place)
        age = self.age_seconds + (_fresh_since(self.cursor) - _fresh_since(cursor)) / 1000
        return replace(self, cursor=cursor, is_complete=False, age_seconds=age)


def _fresh_since(cursor: SweepCursor) -> int:
    """Return when the last complete round began; when the first one did, until it is complete."""
    return cursor.complete_round or cursor.round_started


def system_now() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _unknown() -> int | None:
    return None


def sweep(
    context: SensorEvaluationContext,
    selection: S3Selection,
    lister: ObjectLister,
    now: Callable[[], int] = system_now,
    deployed_at: Callable[[], int | None] = _unknown,
) -> Slice:
    """List on from the cursor until the slice's time or size is used up, or the round is complete.

    Args:
        context: has the cursor, the deadline, and the claimed run keys.
        selection: the watched objects.
        lister: lists the bucket.
        now: returns the time, in milliseconds since the epoch.
        deployed_at: returns when the sensor was deployed, in milliseconds; None if that is unknown.

    Raises:
        BucketError: if the bucket is missing or may not be listed.
        DagsterInvariantViolationError: if the cursor is not a sweep's.
    """
    began = now()
    start = starting_point(context, selection, began, deployed_at)
    cursor = bounded(start.cursor, began)
    if selection.lists_versions and not cursor.unversioned_until:
        cursor = replace(cursor, unversioned_until=began)
    cursor = _begun(cursor, began, selection, lister)
    seconds = min(MAX_SECONDS, context.remaining_seconds * (1 - _RESERVE))
    began_after = cursor.position
    evaluation = _Evaluation.on(cursor, selection, lister, context)
    listed, is_complete, failures = 0, False, dict[str, str]()
    for part in pages(selection, lister, cursor.position):
        page = part.page
        if part.failure:
            failures[part.bucket] = part.failure
            cursor = replace(cursor, unlisted=(*cursor.unlisted, part.bucket))
        listed += len(page.objects)
        evaluation.evaluate(page, now())
        cursor = replace(cursor, position=page.position)
        is_complete = not page.position
        if is_complete or len(evaluation.new) >= CHUNK_SIZE or now() - began > seconds * 1000:
            break
    if failures and set(cursor.unlisted) == set(selection.buckets):
        raise BucketError(" ".join(failures.values()))
    unended, unremembered = evaluation.remembered(cursor)
    cursor = _ended(unended) if is_complete else unended
    age = (now() - _fresh_since(cursor)) / 1000
    objects = tuple(evaluation.new.values())
    notes = tuple(note for note in (start.note, *failures.values()) if note)
    return Slice(objects, cursor, listed, is_complete, age, unremembered, notes, unended, began_after)


def _begun(cursor: SweepCursor, now: int, selection: S3Selection, lister: ObjectLister) -> SweepCursor:
    if cursor.position:
        return cursor
    is_full = now - cursor.full_round >= FULL_ROUND_MS
    floor = 0 if is_full else cursor.complete_round - OVERLAP_MS
    if cursor.oldest_waiting:
        floor = min(floor, cursor.oldest_waiting)
    # Queried once a day; for a silent bucket at each round, so that the notice ends soon after its cause.
    silent, unversioned = tuple[str, ...](), tuple[str, ...]()
    if is_full or cursor.is_silent:
        silent = tuple(each for each in selection.buckets if lister.announces(each) is False)
    if selection.lists_versions and (is_full or cursor.is_unversioned):
        unversioned = tuple(each for each in selection.buckets if lister.has_versioning(each) is False)
    has_several = len(selection.buckets) > 1
    return replace(
        cursor,
        round_started=now,
        round_floor=max(floor, 0),
        is_silent=bool(silent),
        is_unversioned=bool(unversioned),
        silent=silent if has_several else (),
        unversioned=unversioned if has_several else (),
        unlisted=(),
        before=cursor.before_at(now),
        waited=cursor.waiting,
        waiting={},
        oldest_waiting=0,
    )


def _ended(cursor: SweepCursor) -> SweepCursor:
    if cursor.unlisted:
        # The next round must reach as far back as this one had to.
        return replace(cursor, position="", waited={})
    full = cursor.full_round if cursor.round_floor else cursor.round_started
    return replace(cursor, position="", complete_round=cursor.round_started, full_round=full, waited={})


@dataclass(slots=True)
class _Evaluation:
    """A slice's evaluation of pages, one after the other.

    Attributes:
        cursor: where the slice began.
        selection: the watched objects.
        lister: lists directories.
        context: has the claimed run keys.
        waiting: the objects that have not settled.
        lowest: objects modified since then count, except uploads that are still to be checked.
        earlier: objects that existed before the first round; None if there is nothing to remember.
        new: the objects that count, by run key.
    """

    cursor: SweepCursor
    selection: S3Selection
    lister: ObjectLister
    context: SensorEvaluationContext
    waiting: Waiting
    lowest: int
    earlier: set[str] | None = None
    new: dict[str, S3Object] = field(default_factory=dict)

    @classmethod
    def on(
        cls,
        cursor: SweepCursor,
        selection: S3Selection,
        lister: ObjectLister,
        context: SensorEvaluationContext,
    ) -> "_Evaluation":
        """Start an evaluation at a cursor."""
        waiting = Waiting(
            selection.settle_seconds, dict(cursor.waited), dict(cursor.waiting), cursor.oldest_waiting
        )
        earlier = set(cursor.before.entries()) if cursor.before else None
        lowest = max(cursor.since, cursor.round_floor)
        return cls(cursor, selection, lister, context, waiting, lowest, earlier)

    def remembered(self, cursor: SweepCursor) -> tuple[SweepCursor, int]:
        """Return the cursor with the remembered objects, and the number of those that do not fit."""
        before, dropped = cursor.before, 0
        if before is not None and self.earlier is not None and cursor.is_first_round:
            before, dropped = before.knowing(self.earlier)
        kept = self.waiting
        cursor = replace(
            cursor, before=before, waited=kept.last, waiting=kept.present, oldest_waiting=kept.oldest
        )
        return cursor, dropped + kept.left_out

    def evaluate(self, page: Page, now: int) -> None:
        """Add a page's objects that count, and whose run key is not claimed."""
        found = self._counting(page, now)
        # A group may be seen on several pages.
        fresh = {key: stored for key, stored in found.items() if key not in self.new}
        if not fresh:
            return
        files = self.selection.files
        if files and not files.once:
            self.new |= self._groups_that_count(files, fresh, page, now)
            return
        old_keys = self._old_keys(fresh)
        taken = self.context.claimed_run_keys([*fresh, *old_keys])
        taken |= {key for old, key in old_keys.items() if old in taken}
        unclaimed = {key: stored for key, stored in fresh.items() if key not in taken}
        if files:
            self.new |= self._groups_that_count(files, unclaimed, page, now)
        else:
            self.new |= {key: stored for key, stored in unclaimed.items() if self._has_settled(stored, now)}

    def _counting(self, page: Page, now: int) -> dict[str, S3Object]:
        """Return the page's objects that are watched, new enough, and may have settled, by run key.

        Objects that have not settled yet are checked by the next round, whose floor is no higher than that.
        """
        selection, counting = self.selection, dict[str, S3Object]()
        for stored in page.objects:
            if not selection.selects(stored):
                continue
            modified = modified_ms(stored)
            if modified < self.lowest and not self._is_late(stored, modified):
                continue
            has_settled = settled_since(stored.last_modified, selection.settle_seconds, now)
            if stored.is_in_parts or has_settled or self._is_overdue(stored, now):
                counting[selection.run_key(stored)] = stored
        return counting

    def _is_overdue(self, stored: S3Object, now: int) -> bool:
        """Return whether an object that has not settled counts all the same."""
        seconds = self.selection.settle_longest_seconds
        return bool(seconds) and self.waiting.is_overdue(self._place(stored), seconds, now)

    def _is_late(self, stored: S3Object, modified: int) -> bool:
        """Return whether an object with a time before the first enable has appeared after it."""
        before = self.cursor.before
        if before is None or self.earlier is None:
            return False
        if not (self.cursor.round_floor <= modified < before.since and before.may_be_late(stored, modified)):
            return False
        entry = before.entry(stored, self._place(stored), modified)
        if self.cursor.is_first_round:
            self.earlier.add(entry)
            return False
        return entry not in self.earlier

    def _old_keys(self, found: dict[str, S3Object]) -> dict[str, str]:
        """Map the former run keys of unversioned objects to the current ones.

        An object that has a run under its former key is not new.
        """
        until = self.cursor.unversioned_until
        if not self.selection.lists_versions:
            return {}
        return {
            f"{stored.run_key(ObjectIdentity.KEY)}#{NO_VERSION}": key
            for key, stored in found.items()
            if stored.is_unversioned and modified_ms(stored) < until
        }

    def _has_settled(self, stored: S3Object, now: int) -> bool:
        if not self.selection.settle_seconds or not stored.is_in_parts:
            return True  # It was already checked by its time.
        modified = modified_ms(stored)
        digest = digest_of(stored, self._place(stored))
        return self.waiting.has_settled(digest, modified, now, modified) or self._is_overdue(stored, now)

    def _place(self, stored: S3Object) -> str:
        return self.selection.place(stored.bucket, stored.key)

    def _groups_that_count(
        self, files: Files, found: dict[str, S3Object], page: Page, now: int
    ) -> dict[str, S3Object]:
        """Return those of the objects whose group is complete and has settled, or is overdue."""
        if not found:
            return found
        groups, counting = self._groups(page.objects), dict[str, S3Object]()
        for stored in found.values():
            prefix = self.selection.group_of(stored.key)
            group = groups[prefix]
            # Only a group that the page's end or beginning cuts through may have more elsewhere.
            is_cut = any(page.objects[end].key.startswith(prefix) for end in (0, -1))
            if is_cut or is_divided(self.selection, prefix):
                group = check_group(stored.bucket, prefix, self.selection, self.lister)
            if group.is_complete(files):
                counts = self._group_has_settled(group, stored, now)
            else:
                counts = group.is_overdue(files, now)
            if counts:
                shown = replace(stored, group=group.shown(files))
                counting[self.selection.run_key(shown)] = shown
        # Other keys than that of the complete group, which was queried above.
        others = [key for key in counting if key not in found]
        taken = self.context.claimed_run_keys(others) if others else set[str]()
        return {key: stored for key, stored in counting.items() if key not in taken and key not in self.new}

    def _groups(self, objects: Iterable[S3Object]) -> dict[str, Group]:
        groups: dict[str, Group] = {}
        for stored in objects:
            if self.selection.selects(stored):
                prefix = self.selection.group_of(stored.key)
                groups[prefix] = groups.get(prefix, Group(prefix)).with_one(stored, self.selection)
        return groups

    def _group_has_settled(self, group: Group, stored: S3Object, now: int) -> bool:
        newest, in_parts, settle = group.newest, group.newest_in_parts, self.selection.settle_seconds
        if settle and in_parts is not None:
            begun = modified_ms(in_parts)
            # Remembered from now on, even if another file has not settled: they settle in parallel.
            if not self.waiting.has_settled(group.digest, begun, now, min(begun, modified_ms(stored))):
                return False
        return newest is not None and settled_since(newest.last_modified, settle, now)
