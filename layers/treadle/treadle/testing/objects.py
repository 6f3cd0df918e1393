"""Buckets in memory, listed as S3 lists them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.integrations.s3.lister import Page
from treadle.integrations.s3.selection import S3Selection
from treadle.ports.system import Clock


@dataclass(slots=True)
class InMemoryObjects:
    """An `ObjectLister` over what a test has put.

    Attributes:
        clock: gives objects their time.
        page_size: keys in one page.
        stored: by bucket and key.
    """

    clock: Clock
    page_size: int = 1_000
    stored: dict[tuple[str, str], S3Object] = field(default_factory=dict)
    _puts: int = 0

    def put(self, bucket: str, key: str, body: bytes = b"") -> ObjectCreated:
        """Store an object, over whatever was there; the event that S3 would send."""
        self._puts += 1
        now = datetime.fromtimestamp(self.clock.now() / 1000, UTC)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        found = S3Object(bucket, key, etag, "null", len(body), now.replace(microsecond=0))
        self.stored[bucket, key] = found
        return ObjectCreated(found, now, f"{self._puts:016X}")

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """The objects after a key, by pages."""
        keys = sorted(
            key
            for bucket, key in self.stored
            if bucket == selection.bucket and key.startswith(selection.prefix) and key > after
        )
        for start in range(0, max(len(keys), 1), self.page_size):
            page = keys[start : start + self.page_size]
            is_last = start + self.page_size >= len(keys)
            found = tuple(self.stored[selection.bucket, key] for key in page)
            yield Page(found, "" if is_last else page[-1])
