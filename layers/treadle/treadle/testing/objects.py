"""S3 buckets in memory, listed in the same order as by S3."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from treadle.definitions.objects import NO_VERSION, ObjectCreated, S3Object
from treadle.integrations.s3.groups import directory_of
from treadle.integrations.s3.lister import Page
from treadle.integrations.s3.selection import S3Selection
from treadle.ports.system import Clock


@dataclass(slots=True)
class InMemoryObjects:
    """An `ObjectLister` over the objects of a test.

    Attributes:
        clock: the clock of objects' times.
        page_size: keys per page.
        is_versioned: whether overwritten objects remain as versions.
        sends_events: whether the buckets send events to EventBridge; None if access to that is denied.
        stored: the current objects, by bucket and key.
        versions: all versions that still exist.
    """

    clock: Clock
    page_size: int = 1_000
    is_versioned: bool = False
    sends_events: bool | None = True
    stored: dict[tuple[str, str], S3Object] = field(default_factory=dict)
    versions: list[S3Object] = field(default_factory=list)
    _puts: int = 0
    _unversioned: set[tuple[str, str]] = field(default_factory=set)

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes = b"",
        *,
        parts: int = 0,
        modified: datetime | None = None,
    ) -> ObjectCreated:
        """Store or overwrite an object, and return the event that S3 would send.

        Args:
            bucket: the bucket's name.
            key: the object's key.
            body: its content.
            parts: the number of parts of a multipart upload; 0 for a single request.
            modified: the object's time in S3, such as the beginning of its upload; now by default.
        """
        self._puts += 1
        now = datetime.fromtimestamp(self.clock.now() / 1000, UTC)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest() + (f"-{parts}" if parts else "")
        version = f"v{self._puts}" if self.is_versioned else NO_VERSION
        at = (modified or now).replace(microsecond=0)
        found = S3Object(bucket, key, etag, version, len(body), at)
        self.stored[bucket, key] = found
        if not self.is_versioned:
            self._drop_unversioned(bucket, key)
            self._unversioned.add((bucket, key))
        self.versions.append(found)
        return ObjectCreated(found, now, f"{self._puts:016X}")

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, if it exists; its versions remain."""
        self.stored.pop((bucket, key), None)
        if not self.is_versioned:
            self._drop_unversioned(bucket, key)

    def _drop_unversioned(self, bucket: str, key: str) -> None:
        """Remove the unversioned object that another one replaces, if there is one."""
        if (bucket, key) not in self._unversioned:
            return
        self._unversioned.remove((bucket, key))
        self.versions[:] = [
            each
            for each in self.versions
            if (each.bucket, each.key) != (bucket, key) or not each.is_unversioned
        ]

    def _all_versions(self) -> list[S3Object]:
        """Return all versions, newest first; also of what a test has stored without `put`."""
        known = set(self.versions)
        return [*(each for each in self.stored.values() if each not in known), *reversed(self.versions)]

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """Yield pages of objects after a key; all versions of a key are on one page, newest first."""
        everything = self._all_versions() if selection.lists_versions else self.stored.values()
        found: dict[str, list[S3Object]] = {}
        for stored in everything:
            if (
                stored.bucket in selection.buckets
                and stored.key.startswith(selection.listed_prefix)
                and stored.key > after
            ):
                found.setdefault(stored.key, []).append(stored)
        keys = sorted(found)
        for start in range(0, max(len(keys), 1), self.page_size):
            page = keys[start : start + self.page_size]
            is_last = start + self.page_size >= len(keys)
            objects = tuple(stored for key in page for stored in found[key])
            yield Page(objects, "" if is_last else page[-1])

    def members(self, selection: S3Selection, directory: str) -> Iterator[S3Object]:
        """Yield the objects directly in a directory, under the prefix."""
        for (bucket, key), stored in sorted(self.stored.items()):
            if (
                bucket in selection.buckets
                and directory_of(key) == directory
                and key.startswith(selection.listed_prefix)
            ):
                yield stored

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Return the current object."""
        return self.stored.get((bucket, key))

    def announces(self, bucket: str) -> bool | None:
        """Return whether the bucket sends events."""
        del bucket
        return self.sends_events

    def has_versioning(self, bucket: str) -> bool | None:
        """Return whether the bucket is versioned."""
        del bucket
        return self.is_versioned
