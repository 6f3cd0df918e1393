"""Whether the object of an event counts by now: unchanged for long enough, and its group complete."""

import math
from dataclasses import dataclass
from datetime import datetime

from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.integrations.s3.groups import FileCount, directory_of
from treadle.integrations.s3.lister import ObjectLister
from treadle.integrations.s3.listings import members
from treadle.integrations.s3.selection import S3Selection
from treadle.integrations.s3.sweep_memory import OVERLAP_MS, digest_of

TOLERANCE_SECONDS = 5
"""An event's time and S3's own may differ by this much for the same write."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an object counts.

    Attributes:
        reason: why it does not, or not yet; "" if it does.
        wait_seconds: after how many seconds to check again; 0 if there is nothing to wait for.
    """

    reason: str = ""
    wait_seconds: int = 0


READY = Readiness()


@dataclass(frozen=True, slots=True)
class Group:
    """The listed objects of a directory.

    Attributes:
        count: watched objects in it.
        newest: the one modified last; None if there is none.
        newest_in_parts: the one modified last of those whose time is not that of their appearance; None if
            there is none.
        digest: identifies these objects.
    """

    count: int = 0
    newest: S3Object | None = None
    newest_in_parts: S3Object | None = None
    digest: bytes = b""

    def with_one(self, stored: S3Object, place: str, own: S3Object | None = None) -> "Group":
        """Return the group with one more object.

        Args:
            stored: the object.
            place: of its key in the listing.
            own: an object whose time of appearance is known.
        """
        is_own = own is not None and (own.key, own.etag) == (stored.key, stored.etag)
        in_parts = self.newest_in_parts
        if stored.is_in_parts and not is_own:
            in_parts = _newer(in_parts, stored)
        one = digest_of(stored, place)
        others = self.digest or bytes(len(one))
        # Independent of the order: a page and a directory's listing give the same digest.
        digest = bytes(a ^ b for a, b in zip(one, others, strict=True))
        return Group(self.count + 1, _newer(self.newest, stored), in_parts, digest)

    def is_complete(self, selection: S3Selection) -> bool:
        """Return whether the group has enough objects."""
        counts = selection.complete_when
        return isinstance(counts, FileCount) and self.count >= counts.count


def _newer(known: S3Object | None, stored: S3Object) -> S3Object:
    return stored if known is None or stored.last_modified >= known.last_modified else known


def check_event(event: ObjectCreated, selection: S3Selection, lister: ObjectLister, now: int) -> Readiness:
    """Check whether the object of an event counts; call S3 only if it must have settled or completes a group.

    Args:
        event: of a watched object.
        selection: when objects count.
        lister: reads the object, or its directory.
        now: milliseconds since the epoch.

    Raises:
        BucketError: if the bucket may not be read.
    """
    stored = event.object
    if isinstance(selection.complete_when, FileCount):
        directory, needed = directory_of(stored.key), selection.complete_when.count
        group = check_group(stored.bucket, directory, selection, lister, stored)
        if group.newest is None or not group.is_complete(selection):
            return Readiness(f"s3://{stored.bucket}/{directory} holds {group.count} of {needed} files.")
        if group.newest_in_parts is not None and _may_be_new(group.newest_in_parts, selection, now):
            return Readiness(_left_to_the_sweep(group.newest_in_parts))
        return _settled(event, group.newest, selection.settle_seconds, now)
    if not selection.settle_seconds:
        return READY
    found = lister.find(stored.bucket, stored.key)
    if found is None:
        return Readiness(
            f"s3://{stored.bucket}/{stored.key} is gone: it was deleted before it had been unchanged for "
            f"{selection.settle_seconds} s."
        )
    if found.etag != stored.etag:
        return _superseded(found)
    return _settled(event, found, selection.settle_seconds, now)


def check_group(
    bucket: str, directory: str, selection: S3Selection, lister: ObjectLister, own: S3Object | None = None
) -> Group:
    """Read a directory, no further than needed to see that it is complete.

    Args:
        bucket: its bucket.
        directory: a key up to and including a slash.
        selection: the watched objects, and how many complete a group.
        lister: lists the directory.
        own: an object whose time of appearance is known.

    Raises:
        BucketError: if it may not be listed.
    """
    counts = selection.complete_when
    enough = counts.count if isinstance(counts, FileCount) and not selection.settle_seconds else math.inf
    group = Group()
    for stored in members(selection, lister, bucket, directory):
        if selection.selects(stored):
            group = group.with_one(stored, selection.place(bucket, stored.key), own)
        if group.count >= enough:
            break
    return group


def _may_be_new(stored: S3Object, selection: S3Selection, now: int) -> bool:
    """Return whether an object that was uploaded in parts may have appeared too late to have settled."""
    latest = stored.last_modified.timestamp() + OVERLAP_MS / 1000
    return bool(selection.settle_seconds) and latest + selection.settle_seconds > now / 1000


def _left_to_the_sweep(stored: S3Object) -> str:
    return (
        f"s3://{stored.bucket}/{stored.key}, a file of the same group, was uploaded in parts, and has the time at "
        "which that began; its own event, or the sweep, which has seen since when it is there, brings the group."
    )


def settled_since(modified: datetime, settle_seconds: int, now: int) -> bool:
    """Return whether an object modified then has been unchanged for long enough; always, without a limit."""
    return not settle_seconds or modified.timestamp() + settle_seconds <= now / 1000


def _settled(event: ObjectCreated, newest: S3Object, settle_seconds: int, now: int) -> Readiness:
    if not settle_seconds:
        return READY
    # Only the last write's event waits: otherwise each write of an object that keeps changing would add
    # one more waiting message.
    if (newest.last_modified - event.time).total_seconds() > TOLERANCE_SECONDS:
        return _superseded(newest)
    changed = max(event.time, newest.last_modified)
    if settled_since(changed, settle_seconds, now):
        return READY
    left = math.ceil(changed.timestamp() + settle_seconds - now / 1000)
    where = f"s3://{newest.bucket}/{newest.key}"
    return Readiness(f"{where} must be unchanged for {settle_seconds} s; checked again in {left} s.", left)


def _superseded(newest: S3Object) -> Readiness:
    when = newest.last_modified.isoformat()
    return Readiness(
        f"s3://{newest.bucket}/{newest.key} was written again, at {when}; the event of that, or the sweep, "
        "brings it."
    )
