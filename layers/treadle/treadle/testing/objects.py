"""Buckets in memory, listed as S3 lists them."""

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
    """An `ObjectLister` over what a test has put.

    Attributes:
        clock: gives objects their time.
        page_size: keys in one page.
        is_versioned: whether what is overwritten stays, as a version.
        sends_events: whether the buckets send their events to EventBridge; None if that may not be asked.
        stored: what is there now, by bucket and key.
        versions: what was put and is there still, also as an older version.
    """

    clock: Clock
    page_size: int = 1_000
    is_versioned: bool = False
    sends_events: bool | None = True
    stored: dict[tuple[str, str], S3Object] = field(default_factory=dict)
    versions: list[S3Object] = field(default_factory=list)
    _puts: int = 0

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes = b"",
        *,
        parts: int = 0,
        modified: datetime | None = None,
    ) -> ObjectCreated:
        """Store an object, over whatever was there; the event that S3 would send.

        Args:
            bucket: the bucket's name.
            key: the object's key.
            body: its content.
            parts: in how many parts it was uploaded; 0 if in one request.
            modified: what S3 gives as its time, such as that at which its upload was begun; now by default.
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
        self.versions.append(found)
        return ObjectCreated(found, now, f"{self._puts:016X}")

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, if it is there; its versions stay."""
        self.stored.pop((bucket, key), None)
        if not self.is_versioned:
            self._drop_unversioned(bucket, key)

    def _drop_unversioned(self, bucket: str, key: str) -> None:
        """What is stored without versioning takes the place of what was."""
        self.versions[:] = [
            each
            for each in self.versions
            if (each.bucket, each.key) != (bucket, key) or not each.is_unversioned
        ]

    def _all_versions(self) -> list[S3Object]:
        """The versions, the newest first; also of what a test has stored without `put`."""
        known = set(self.versions)
        return [*(each for each in self.stored.values() if each not in known), *reversed(self.versions)]

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """The objects after a key, by pages; all versions of a key are on one page, the newest first."""
        everything = self._all_versions() if selection.lists_versions else self.stored.values()
        found: dict[str, list[S3Object]] = {}
        for stored in everything:
            if (
                stored.bucket == selection.bucket
                and stored.key.startswith(selection.prefix)
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
        """The objects directly in a directory, under the prefix."""
        for (bucket, key), stored in sorted(self.stored.items()):
            if (
                bucket == selection.bucket
                and directory_of(key) == directory
                and key.startswith(selection.prefix)
            ):
                yield stored

    def find(self, bucket: str, key: str) -> S3Object | None:
        """The object that is there now."""
        return self.stored.get((bucket, key))

    def announces(self, bucket: str) -> bool | None:
        """Whether the bucket sends its events."""
        del bucket
        return self.sends_events

    def has_versioning(self, bucket: str) -> bool | None:
        """Whether what is overwritten stays."""
        del bucket
        return self.is_versioned
