"""Objects in a bucket, and a lister that pages through them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from treadle.definitions.objects import S3Object
from treadle.integrations.s3.groups import directory_of
from treadle.integrations.s3.lister import Page
from treadle.integrations.s3.selection import S3Selection
from treadle.testing.system import VirtualClock

BUCKET = "watched"
TIME = 1_795_370_400_000
"""When the virtual clock begins."""


def object_of(
    key: str, *, modified: int = TIME, etag: str = "e1", version: str = "null", bucket: str = BUCKET
) -> S3Object:
    """Return an object.

    Args:
        key: its key.
        modified: when it was stored, in milliseconds.
        etag: its entity tag.
        version: its version id.
        bucket: its bucket.
    """
    return S3Object(bucket, key, etag, version, 10, datetime.fromtimestamp(modified / 1000, UTC))


@dataclass(slots=True)
class InMemoryLister:
    """An `ObjectLister` over objects in memory.

    Attributes:
        objects: in any order; listed by key.
        page_size: objects in one page.
        clock: moved by `seconds_per_page` for each page.
        seconds_per_page: how long a page takes.
        listing_starts: the positions that listings began at.
        pages_read: the total number of pages listed.
        listed_directories: the keys and directories that were read individually.
        sends_events: the result of `announces`.
        notification_queries: the number of calls to `announces`.
        versioning: the result of `has_versioning`.
    """

    objects: Sequence[S3Object] = ()
    page_size: int = 10
    clock: VirtualClock = field(default_factory=VirtualClock)
    seconds_per_page: float = 0
    listing_starts: list[str] = field(default_factory=list)
    pages_read: int = 0
    listed_directories: list[str] = field(default_factory=list)
    sends_events: bool | None = True
    notification_queries: int = 0
    versioning: bool | None = True

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """Yield the objects under the prefix whose key sorts after the given one."""
        self.listing_starts.append(after)
        found = sorted(
            (
                o
                for o in self.objects
                if o.bucket in selection.buckets
                and o.key.startswith(selection.listed_prefix)
                and o.key > after
            ),
            key=lambda stored: stored.key,
        )
        starts = range(0, len(found), self.page_size) or range(1)
        for start in starts:
            page = tuple(found[start : start + self.page_size])
            self.clock.advance(self.seconds_per_page)
            self.pages_read += 1
            yield Page(page, page[-1].key if start + self.page_size < len(found) else "")

    def members(self, selection: S3Selection, directory: str) -> Iterator[S3Object]:
        """Yield the objects directly in a directory, under the prefix."""
        self.listed_directories.append(directory)
        for stored in sorted(self.objects, key=lambda each: each.key):
            is_within = stored.bucket in selection.buckets and stored.key.startswith(selection.listed_prefix)
            if is_within and directory_of(stored.key) == directory:
                yield stored

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Return the object of that key."""
        self.listed_directories.append(key)
        return next((each for each in self.objects if (each.bucket, each.key) == (bucket, key)), None)

    def announces(self, bucket: str) -> bool | None:
        """Return whether the bucket sends its events."""
        del bucket
        self.notification_queries += 1
        return self.sends_events

    def has_versioning(self, bucket: str) -> bool | None:
        """Return whether stored objects become versions."""
        del bucket
        return self.versioning
