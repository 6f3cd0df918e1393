"""Objects that a sweep remembers, as S3 lists a multipart upload with the time at which it was begun.

"For multipart uploads, the object creation date is the date of initiation of the multipart upload" (Amazon S3
User Guide, "Working with object metadata"): such an object may appear days after its `LastModified`, and only
earlier listings show when it appeared. The memory is bounded, and stored in the sweep's cursor.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from treadle.definitions.objects import S3Object

OVERLAP_MS = 7 * 86_400_000
"""A multipart upload appears with the time it was begun, up to 7 days (its usual limit) before."""

PUT_MS = 900_000
"""An object of a single PUT appears with a time up to this much earlier, as a large upload takes time."""

MOST_BEFORE = 2_000
"""Maximum number of remembered objects from before the first round, of 12 bytes each in the cursor."""

MOST_WAITING = 1_000
"""Maximum number of remembered objects that have not settled, of 22 bytes each in the cursor."""

_DIGEST = 6
_CONTENT = 16
_ENTRY = 12
_PARTS = 1 << 23
"""The flag of a multipart upload in an entry's first three bytes; the rest is its age in seconds.

The age is at most 604,800 seconds.
"""


def modified_ms(stored: S3Object) -> int:
    """Return when the object was modified, in milliseconds since the epoch."""
    return int(stored.last_modified.timestamp() * 1000)


def digest_of(stored: S3Object, place: str) -> bytes:
    """Return a digest of this content of this key, stored at this time.

    Args:
        stored: the object.
        place: of its key in the listing.
    """
    identity = f"{place}\0{stored.etag}\0{stored.version}\0{modified_ms(stored)}"
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def content_of(stored: S3Object) -> bytes:
    """Return a digest of this content of this key, whenever it was stored."""
    identity = f"{stored.key}\0{stored.etag}"
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_CONTENT).digest()


def mark_of(digest: bytes) -> str:
    """Encode a digest for the cursor."""
    return b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class Before:
    """Objects that existed before the sensor was first enabled, but may be mistaken for later ones.

    Attributes:
        since: when the sensor was first enabled, in milliseconds.
        parts_from: a multipart upload begun between this and `since` counts, unless it is known.
        whole_from: the same for an object that was uploaded in one request.
        known: the existing objects, twelve characters each.
    """

    since: int
    parts_from: int
    whole_from: int
    known: str = ""

    @classmethod
    def at(cls, since: int) -> "Before":
        """Make an empty memory.

        Args:
            since: when the sensor was first enabled, in milliseconds.
        """
        return cls(since, since - OVERLAP_MS, since - PUT_MS)

    @property
    def earliest(self) -> int:
        """Objects modified before this never count."""
        return min(self.parts_from, self.whole_from)

    def may_be_late(self, stored: S3Object, modified: int) -> bool:
        """Return whether an object that was modified before `since` may have appeared after it."""
        return modified >= (self.parts_from if stored.is_in_parts else self.whole_from)

    def entry(self, stored: S3Object, place: str, modified: int) -> str:
        """Return the object's entry."""
        age = max(0, (self.since - modified + 999) // 1000)
        number = age | (_PARTS if stored.is_in_parts else 0)
        return b64encode(number.to_bytes(3, "big") + digest_of(stored, place)).decode()

    def entries(self) -> Iterator[str]:
        """Yield all entries."""
        return (self.known[at : at + _ENTRY] for at in range(0, len(self.known), _ENTRY))

    def knowing(self, entries: Iterable[str]) -> "tuple[Before, int]":
        """Return the memory with these objects, and the number of those that do not fit.

        An existing object that cannot be remembered must not get a run: the time from which objects count
        moves past it, first for those that were uploaded in one request.
        """
        kept = sorted(entries, key=_order)
        dropped, kept = kept[: max(0, len(kept) - MOST_BEFORE)], kept[max(0, len(kept) - MOST_BEFORE) :]
        parts_from, whole_from = self.parts_from, self.whole_from
        for each in dropped:
            is_in_parts, age = _facts(each)
            behind = self.since - age * 1000 + 1_000
            if is_in_parts:
                parts_from = max(parts_from, behind)
            else:
                whole_from = max(whole_from, behind)
        return Before(self.since, parts_from, whole_from, "".join(sorted(kept))), len(dropped)


def _facts(entry: str) -> tuple[bool, int]:
    number = int.from_bytes(b64decode(entry)[:3], "big")
    return bool(number & _PARTS), number & ~_PARTS


def _order(entry: str) -> tuple[bool, int]:
    """Return the sort key of eviction: whole objects first, then multipart uploads, oldest first."""
    is_in_parts, age = _facts(entry)
    return is_in_parts, -age


@dataclass(slots=True)
class Waiting:
    """When objects were first seen whose own time cannot show whether they have settled.

    An object that a round no longer finds, as it has its run or is gone, is forgotten at the round's end.

    Attributes:
        settle_seconds: for how long an object must have existed unchanged.
        last: from the last round, when each was first seen, in seconds, by its mark; not seen in this round
            yet.
        present: the same for those seen in this round.
        oldest: the earliest modification time of a waiting object, in milliseconds; 0 for none.
        left_out: the number that did not fit, and so wait for a later round to be remembered.
    """

    settle_seconds: int
    last: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    oldest: int = 0
    left_out: int = 0

    def is_overdue(self, place: str, seconds: int, now: int) -> bool:
        """Return whether an object has been changing for so long; if not, remember since when.

        Args:
            place: of its key in the listing.
            seconds: how long it may be changing.
            now: milliseconds since the epoch.
        """
        mark = mark_of(blake2b(place.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest())
        first = self._first_seen(mark, now)
        if first is None:
            self.left_out += 1
            return False
        if first + seconds > now / 1000:
            return False
        del self.present[mark]  # It counts now; what is stored later waits as long again.
        return True

    def has_settled(self, digest: bytes, begun: int, now: int, floor: int) -> bool:
        """Return whether a multipart upload's object has existed for long enough; if not, remember it.

        Args:
            digest: of the object, or of its group.
            begun: when its upload was begun, in milliseconds.
            now: milliseconds since the epoch.
            floor: the next round must not skip objects modified since, as long as this one waits.
        """
        if begun + OVERLAP_MS + self.settle_seconds * 1000 <= now:
            return True  # An upload takes no longer than that.
        first = self._first_seen(mark_of(digest), now)
        if first is not None:
            if first + self.settle_seconds <= now / 1000:
                return True
        else:
            self.left_out += 1
        self.oldest = min(self.oldest or floor, floor)
        return False

    def _first_seen(self, mark: str, now: int) -> int | None:
        """Return when a mark was first seen, in seconds, and remember it; None if there is no room."""
        seconds = -(-now // 1000)
        first = self.present.get(mark)
        if first is None:
            first = self.last.pop(mark, None)
        if first is None and len(self.last) + len(self.present) < MOST_WAITING:
            first = seconds
        if first is not None:
            self.present[mark] = first = min(first, seconds)
        return first


def seen_at(waiting: Iterable[Mapping[str, int]], stored: S3Object, place: str) -> int | None:
    """Return when a sweep first saw an object that waits, in seconds; None if none did.

    Args:
        waiting: the memories of sweeps.
        stored: the object.
        place: of its key in the listing.
    """
    mark = mark_of(digest_of(stored, place))
    return next((each[mark] for each in waiting if mark in each), None)
