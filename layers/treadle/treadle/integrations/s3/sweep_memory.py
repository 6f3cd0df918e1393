"""What a sweep remembers of single objects, as S3 shows an upload in parts with the time at which it was begun.

"For multipart uploads, the object creation date is the date of initiation of the multipart upload" (Amazon S3 User
Guide, "Working with object metadata"): such an object may appear days after its `LastModified`, and only having
seen it says since when it is there. What is remembered is bounded, and kept in the sweep's cursor.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from treadle.definitions.objects import S3Object

OVERLAP_MS = 7 * 86_400_000
"""A multipart upload appears with the time it was begun, up to 7 days (its usual limit) before."""

PUT_MS = 900_000
"""An object of a single PUT appears with a time that may be so long before, as the request of a large one takes."""

MOST_BEFORE = 2_000
"""So many objects that were there before the first round are remembered, of 12 bytes each in the cursor."""

MOST_WAITING = 1_000
"""So many objects that have not settled are remembered, of 22 bytes each in the cursor."""

_DIGEST = 6
_ENTRY = 12
_PARTS = 1 << 23
"""The flag of an upload in parts in an entry's first three bytes; the rest is its age, up to 604,800 seconds."""


def modified_ms(stored: S3Object) -> int:
    """When the object was modified, in milliseconds since the epoch."""
    return int(stored.last_modified.timestamp() * 1000)


def digest_of(stored: S3Object) -> bytes:
    """What tells this content of this key, stored at this time, from any other."""
    words = f"{stored.key}\0{stored.etag}\0{stored.version}\0{modified_ms(stored)}"
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def mark_of(digest: bytes) -> str:
    """A digest as the cursor keeps it."""
    return b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class Before:
    """Objects that were there before the sensor was first enabled, but may be taken for ones that appeared later.

    Attributes:
        since: when the sensor was first enabled, in milliseconds.
        parts_from: an upload in parts that was begun between this and `since` counts, unless it is known.
        whole_from: the same of an object that was uploaded in one request.
        known: the objects that were there, twelve characters each.
    """

    since: int
    parts_from: int
    whole_from: int
    known: str = ""

    @classmethod
    def at(cls, since: int) -> "Before":
        """With nothing known yet.

        Args:
            since: when the sensor was first enabled, in milliseconds.
        """
        return cls(since, since - OVERLAP_MS, since - PUT_MS)

    @property
    def earliest(self) -> int:
        """What was modified before this does not count in any case."""
        return min(self.parts_from, self.whole_from)

    def may_be_late(self, stored: S3Object, modified: int) -> bool:
        """Whether an object that was modified before `since` may have appeared after it."""
        return modified >= (self.parts_from if stored.is_in_parts else self.whole_from)

    def entry(self, stored: S3Object, modified: int) -> str:
        """The object as it is known."""
        age = max(0, (self.since - modified + 999) // 1000)
        number = age | (_PARTS if stored.is_in_parts else 0)
        return b64encode(number.to_bytes(3, "big") + digest_of(stored)).decode()

    def entries(self) -> Iterator[str]:
        """What is known."""
        return (self.known[at : at + _ENTRY] for at in range(0, len(self.known), _ENTRY))

    def knowing(self, entries: Iterable[str]) -> "tuple[Before, int]":
        """With these objects known, and how many of them are too many.

        What was there and cannot be remembered may not get a run: the time from which objects count moves up
        behind it, first of those that were uploaded in one request.
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
    """What is given up first comes first: whole objects, then uploads in parts, the oldest of them first."""
    is_in_parts, age = _facts(entry)
    return is_in_parts, -age


@dataclass(slots=True)
class Waiting:
    """Since when objects are there of which only that can say whether they have settled.

    An object that is no more met in a round, as it has its run or is gone, is forgotten with the round's end.

    Attributes:
        settle_seconds: for how long an object must have been there unchanged.
        last: from the last round, when each was first seen, in seconds, by its mark; not met in this round yet.
        present: the same of those that this round has met.
        oldest: when that one was modified which was modified first of those that wait, in milliseconds; 0 for none.
        left_out: how many could not be remembered, and so wait for a later round to be.
    """

    settle_seconds: int
    last: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    oldest: int = 0
    left_out: int = 0

    def has_settled(self, digest: bytes, begun: int, now: int, floor: int) -> bool:
        """Whether an object that was uploaded in parts has been there for long enough; if not, it is remembered.

        Args:
            digest: of the object, or of its group.
            begun: when its upload was begun, in milliseconds.
            now: milliseconds since the epoch.
            floor: the next round may pass over no object that was modified since, as long as this one waits.
        """
        if begun + OVERLAP_MS + self.settle_seconds * 1000 <= now:
            return True  # An upload takes no longer than that.
        mark, seconds = mark_of(digest), -(-now // 1000)
        first = self.present.get(mark)
        if first is None:
            first = self.last.pop(mark, None)
        if first is None and len(self.last) + len(self.present) < MOST_WAITING:
            first = seconds
        if first is not None:
            self.present[mark] = first = min(first, seconds)
            if first + self.settle_seconds <= now / 1000:
                return True
        else:
            self.left_out += 1
        self.oldest = min(self.oldest or floor, floor)
        return False


def seen_at(waiting: Iterable[Mapping[str, int]], stored: S3Object) -> int | None:
    """When a sweep first saw an object that waits, in seconds; None if none did.

    Args:
        waiting: what sweeps remember.
        stored: the object.
    """
    mark = mark_of(digest_of(stored))
    return next((each[mark] for each in waiting if mark in each), None)
