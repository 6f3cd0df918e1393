"""Whether the object of an event counts by now: unchanged for long enough, and its group complete."""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from treadle.definitions.objects import ObjectCreated, S3Group, S3Object
from treadle.integrations.s3.groups import FileCount, Files
from treadle.integrations.s3.lister import ObjectLister
from treadle.integrations.s3.listings import members
from treadle.integrations.s3.selection import S3Selection
from treadle.integrations.s3.sweep_memory import OVERLAP_MS, content_of, digest_of

INCOMPLETE = "incomplete"
"""The end of the run key of a group whose longest wait is over."""

TOLERANCE_SECONDS = 5
"""An event's time and S3's own may differ by this much for the same write."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an object counts.

    Attributes:
        reason: why it does not, or not yet; "" if it does.
        wait_seconds: after how many seconds to check again; 0 if there is nothing to wait for.
        group: its group, if objects count by groups.
    """

    reason: str = ""
    wait_seconds: int = 0
    group: S3Group | None = None


READY = Readiness()


@dataclass(frozen=True, slots=True)
class Group:
    """The listed objects of a group.

    Attributes:
        prefix: what their keys begin with.
        count: watched objects in it.
        newest: the one modified last; None if there is none.
        newest_in_parts: the one modified last of those whose time is not that of their appearance; None if
            there is none.
        oldest: the one modified first; None if there is none.
        digest: identifies these objects.
        content: identifies their keys and their content.
        found: the expected names that they have.
    """

    prefix: str
    count: int = 0
    newest: S3Object | None = None
    newest_in_parts: S3Object | None = None
    oldest: S3Object | None = None
    digest: bytes = b""
    content: bytes = b""
    found: frozenset[str] = frozenset()

    def with_one(self, stored: S3Object, selection: S3Selection, own: S3Object | None = None) -> "Group":
        """Return the group with one more object.

        Args:
            stored: the object.
            selection: the watched objects.
            own: an object whose time of appearance is known.
        """
        is_own = own is not None and (own.key, own.etag) == (stored.key, stored.etag)
        in_parts, oldest, found = self.newest_in_parts, self.oldest, self.found
        if stored.is_in_parts and not is_own:
            in_parts = _newer(in_parts, stored)
        if oldest is None or stored.last_modified < oldest.last_modified:
            oldest = stored
        if selection.files and selection.files.expected:
            found |= selection.files.expected & {selection.file_name(stored.key)}
        digest = _mixed(self.digest, digest_of(stored, selection.place(stored.bucket, stored.key)))
        content = _mixed(self.content, content_of(stored))
        newest = _newer(self.newest, stored)
        return Group(self.prefix, self.count + 1, newest, in_parts, oldest, digest, content, found)

    def is_complete(self, files: Files) -> bool:
        """Return whether the group has all that completes it."""
        if isinstance(files, FileCount):
            return self.count >= files.count
        return self.found == files.expected

    def is_overdue(self, files: Files, now: int) -> bool:
        """Return whether the group has waited as long as it may.

        Args:
            files: what completes it.
            now: milliseconds since the epoch.
        """
        if files.longest_wait is None or self.oldest is None:
            return False
        return (self.oldest.last_modified + files.longest_wait).timestamp() * 1000 <= now

    def lacks(self, files: Files) -> str:
        """Return what the group lacks, as a phrase."""
        if isinstance(files, FileCount):
            return f"holds {self.count} of {files.count} files"
        return f"lacks {', '.join(self.missing(files))}"

    def missing(self, files: Files) -> tuple[str, ...]:
        """Return the expected names that it lacks."""
        return tuple(sorted(files.expected - self.found))

    def shown(self, files: Files) -> S3Group:
        """Return the group as the function gets it."""
        is_complete = self.is_complete(files)
        key = files.key if is_complete else INCOMPLETE
        if is_complete and not files.once:
            key = f"{key}@{self.content.hex()}"
        return S3Group(self.prefix, self.count, is_complete, self.missing(files), key)


def _mixed(one: bytes, other: bytes) -> bytes:
    """Combine digests independently of the order: a page and a group's listing give the same one."""
    return bytes(a ^ b for a, b in zip(one or bytes(len(other)), other, strict=True))


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
    if selection.files:
        files = selection.files
        group = check_group(stored.bucket, selection.group_of(stored.key), selection, lister, stored)
        if group.newest is None or not group.is_complete(files):
            return Readiness(f"s3://{stored.bucket}/{group.prefix} {group.lacks(files)}.")
        if group.newest_in_parts is not None and _may_be_new(group.newest_in_parts, selection, now):
            return Readiness(_left_to_the_sweep(group.newest_in_parts))
        return replace(_settled(event, group.newest, selection.settle_seconds, now), group=group.shown(files))
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
    bucket: str, prefix: str, selection: S3Selection, lister: ObjectLister, own: S3Object | None = None
) -> Group:
    """List a group, no further than needed to see that it is complete.

    Args:
        bucket: its bucket.
        prefix: what its keys begin with.
        selection: the watched objects, and what completes a group.
        lister: lists the group.
        own: an object whose time of appearance is known.

    Raises:
        BucketError: if it may not be listed.
    """
    files, group = selection.files, Group(prefix)
    # All of its files are needed to know whether they have settled, and whether they have changed.
    is_enough = files is not None and files.once and not selection.settle_seconds
    for stored in members(selection, lister, bucket, prefix):
        if selection.selects(stored) and selection.group_of(stored.key) == prefix:
            group = group.with_one(stored, selection, own)
        if is_enough and files is not None and group.is_complete(files):
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
