"""The sweep: finds by listing what no event told of, in slices, from where the last slice ended."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.objects import S3Object
from treadle.integrations.s3.completeness import FileCount, directory_of
from treadle.integrations.s3.lister import ObjectLister, Page
from treadle.integrations.s3.readiness import Group, look_at_group, settled_since
from treadle.integrations.s3.selection import S3Selection, StartFrom

OVERLAP_MS = 7 * 86_400_000
"""A multipart upload appears with the time it was begun, up to 7 days (its usual limit) before."""

FULL_ROUND_MS = 86_400_000
"""Once a day a round looks at all objects, whenever they were modified."""

SLICE = 1_000
"""New objects after which a slice ends; the next tick goes on."""

MAX_SECONDS = 20.0
"""A slice lists no longer than this."""

_RESERVE = 0.25


@dataclass(frozen=True, slots=True)
class SweepCursor:
    """Where the sweep stands.

    Attributes:
        made_with: the selection's fingerprint.
        since: objects modified before this do not count, in milliseconds; 0 for none.
        position: the key after which the round goes on; "" at its beginning.
        round_started: when the present round began.
        round_floor: the present round passes over objects modified before this.
        complete_round: when the last complete round began; 0 for never.
        full_round: when the last complete round began that looked at all objects.
        is_silent: whether the bucket was found to send no events to EventBridge.
    """

    made_with: tuple[str, ...]
    since: int
    position: str = ""
    round_started: int = 0
    round_floor: int = 0
    complete_round: int = 0
    full_round: int = 0
    is_silent: bool = False

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)


def read_cursor(text: str | None, selection: S3Selection, now: int) -> SweepCursor:
    """Where the sweep stands; at its beginning where it was never enabled for this selection.

    A first enable starts from where the selection says. A changed selection starts from now, lest a new
    prefix or identity start runs for all that is there; to start from the beginning, clear the cursor.

    Args:
        text: the sensor's cursor.
        selection: the present one.
        now: milliseconds since the epoch.

    Raises:
        DagsterInvariantViolationError: if the cursor is no sweep's.
    """
    if text:
        try:
            known = json.loads(text)
            cursor = SweepCursor(**{**known, "made_with": tuple(known["made_with"])})
        except (ValueError, TypeError, KeyError) as error:
            msg = f"The cursor {text[:200]!r} is no sweep's: {error!r}. Clear it to start anew."
            raise DagsterInvariantViolationError(msg) from error
        if list(cursor.made_with) == selection.fingerprint:
            return cursor
    beginning = not text and selection.start_from is StartFrom.BEGINNING
    # S3 gives whole seconds: an object of this very second counts.
    return SweepCursor(tuple(selection.fingerprint), 0 if beginning else now // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Slice:
    """What a slice found.

    Attributes:
        objects: those that count, and whose run key is not taken yet; of a group that is complete, one.
        cursor: where the next slice goes on.
        listed: how many objects were looked at.
        is_complete: whether the round ended with it.
        age_seconds: since the last complete round began; since the first one began, until it is complete.
    """

    objects: tuple[S3Object, ...]
    cursor: SweepCursor
    listed: int
    is_complete: bool
    age_seconds: float = 0.0


def system_now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def sweep(
    context: SensorEvaluationContext,
    selection: S3Selection,
    lister: ObjectLister,
    now: Callable[[], int] = system_now,
) -> Slice:
    """List on from the cursor until the slice's time or size is used up, or the round is complete.

    Args:
        context: gives the cursor, the deadline, and the run keys that are taken.
        selection: which objects count.
        lister: lists the bucket.
        now: the time, in milliseconds since the epoch.

    Raises:
        BucketError: if the bucket is missing or may not be listed.
    """
    began = now()
    cursor = _begun(read_cursor(context.cursor, selection, began), began, selection.bucket, lister)
    seconds = min(MAX_SECONDS, context.remaining_seconds * (1 - _RESERVE))
    new: dict[str, S3Object] = {}
    listed, is_complete = 0, False
    for page in lister.pages(selection, cursor.position):
        listed += len(page.objects)
        # A group may be seen on several pages.
        found = _counting(page, selection, max(cursor.since, cursor.round_floor), now())
        fresh = [key for key in found if key not in new]
        taken = context.claimed_run_keys(fresh) if fresh else set()
        unclaimed = {key: found[key] for key in fresh if key not in taken}
        new |= _complete(unclaimed, page, selection, lister, now())
        cursor = replace(cursor, position=page.position)
        is_complete = not page.position
        if is_complete or len(new) >= SLICE or now() - began > seconds * 1000:
            break
    cursor = _ended(cursor) if is_complete else cursor
    age = (now() - (cursor.complete_round or cursor.round_started)) / 1000
    return Slice(tuple(new.values()), cursor, listed, is_complete, age)


def _begun(cursor: SweepCursor, now: int, bucket: str, lister: ObjectLister) -> SweepCursor:
    if cursor.position:
        return cursor
    is_full = now - cursor.full_round >= FULL_ROUND_MS
    floor = 0 if is_full else cursor.complete_round - OVERLAP_MS
    # Asked once a day; of a silent bucket at each round, so that the notice ends soon after its cause.
    is_silent = lister.announces(bucket) is False if is_full or cursor.is_silent else False
    return replace(cursor, round_started=now, round_floor=max(floor, 0), is_silent=is_silent)


def _ended(cursor: SweepCursor) -> SweepCursor:
    full = cursor.full_round if cursor.round_floor else cursor.round_started
    return replace(cursor, position="", complete_round=cursor.round_started, full_round=full)


def _counting(page: Page, selection: S3Selection, floor: int, now: int) -> dict[str, S3Object]:
    """By run key, the page's objects that are watched, and new enough, and have settled.

    What has not settled yet is younger than the round, and so is looked at by the next one.
    """
    return {
        selection.run_key(stored): stored
        for stored in page.objects
        if selection.selects(stored)
        and stored.last_modified.timestamp() * 1000 >= floor
        and settled_since(stored.last_modified, selection.settle_seconds, now)
    }


def _complete(
    found: dict[str, S3Object], page: Page, selection: S3Selection, lister: ObjectLister, now: int
) -> dict[str, S3Object]:
    """Those of the objects whose group is complete and has settled; all of them, if groups do not matter."""
    if not isinstance(selection.complete_when, FileCount) or not found:
        return found
    groups: dict[str, Group] = {}
    for stored in page.objects:
        if selection.selects(stored):
            directory = directory_of(stored.key)
            groups[directory] = groups.get(directory, Group()).with_one(stored)
    complete = {}
    for key, stored in found.items():
        directory = directory_of(stored.key)
        group = groups[directory]
        # Only a group that the page's end or beginning cuts through may have more elsewhere.
        if any(page.objects[end].key.startswith(directory) for end in (0, -1)):
            group = look_at_group(directory, selection, lister)
        if (
            group.newest is not None
            and group.count >= selection.complete_when.count
            and settled_since(group.newest.last_modified, selection.settle_seconds, now)
        ):
            complete[key] = stored
    return complete
