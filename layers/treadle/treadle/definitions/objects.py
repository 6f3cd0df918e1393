"""An object in a bucket, and the event that it was created."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

NO_VERSION = "null"
"""The version id of objects stored without versioning (S3 User Guide, "How S3 Versioning works")."""


class ObjectIdentity(StrEnum):
    """What makes two events or listings of an object the same."""

    KEY = "key"
    ETAG = "etag"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class S3Object:
    """A stored object, as an event or a listing names it.

    Attributes:
        bucket: the bucket's name.
        key: the key itself, never URL-encoded.
        etag: the entity tag without quotes.
        version: the version id; "null" if it was stored without versioning.
        size: in bytes.
        last_modified: when it was stored (for a multipart upload: when the upload began).
    """

    bucket: str
    key: str
    etag: str
    version: str
    size: int
    last_modified: datetime

    def run_key(self, identity: ObjectIdentity) -> str:
        """Return the run key under the given identity: equal for an event and a listing of the same object.

        Args:
            identity: what makes two objects the same.
        """
        location = f"s3://{self.bucket}/{self.key}"
        if identity is ObjectIdentity.KEY:
            return location
        if identity is ObjectIdentity.ETAG:
            return f"{location}#{self.etag}"
        # Without versioning an object replaces the previous one under the same version id.
        return f"{location}#null-{self.etag}" if self.is_unversioned else f"{location}#{self.version}"

    @property
    def is_in_parts(self) -> bool:
        """Whether it was uploaded in parts: its etag ends with their number."""
        return "-" in self.etag

    @property
    def is_unversioned(self) -> bool:
        """Whether it was stored while its bucket had no versioning, or versioning was suspended."""
        return self.version == NO_VERSION


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """The event that an object was stored.

    Attributes:
        object: the stored object.
        time: as reported by S3.
        sequencer: orders events of one key; the same in a redelivery.
    """

    object: S3Object
    time: datetime
    sequencer: str
    depth: ClassVar[int] = 0

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in a redelivery of the event."""
        stored = self.object
        return ("s3", stored.bucket, stored.key, stored.version, stored.etag, self.sequencer)

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        return f"Object Created s3://{self.object.bucket}/{self.object.key} ({self.object.size} bytes)"
