"""An object in a bucket, and the event that it was created."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from treadle.definitions.errors import DagsterInvalidInvocationError

if TYPE_CHECKING:
    from treadle.definitions.partitions.base import PartitionsDefinition

NO_VERSION = "null"
"""The version id of objects stored without versioning (S3 User Guide, "How S3 Versioning works")."""


def each_of(setting: str) -> tuple[str, ...]:
    """Return the values of a deployment's setting: of a JSON list its texts, else the setting itself.

    Args:
        setting: such as `landing` or `["landing", "archive"]`.
    """
    try:
        values = json.loads(setting) if setting.startswith("[") else None
    except ValueError:
        values = None
    if isinstance(values, list) and values and all(isinstance(each, str) for each in values):
        return tuple(values)
    return (setting,)


class ObjectIdentity(StrEnum):
    """What makes two events or listings of an object the same."""

    KEY = "key"
    ETAG = "etag"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class S3Group:
    """The group of an object, as it was listed.

    Attributes:
        prefix: what the keys of its files begin with; its directory, unless the sensor groups by names.
        files: the number of its watched files that were listed.
        is_complete: whether it is complete; otherwise its longest wait is over.
        missing: the names of the files that it lacks, if the sensor expects names.
        key: the end of its run key.
    """

    prefix: str
    files: int
    is_complete: bool
    missing: tuple[str, ...]
    key: str


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
        names: the values that the names of the sensor's `pattern` have in the key, as text.
        times: the values of those names that have a format, read as UTC.
        group: its group, if the sensor's objects count by the files of a group; None otherwise.
    """

    bucket: str
    key: str
    etag: str
    version: str
    size: int
    last_modified: datetime
    names: Mapping[str, str] = field(default_factory=dict, compare=False)
    times: Mapping[str, datetime] = field(default_factory=dict, compare=False)
    group: S3Group | None = field(default=None, compare=False)

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

    def with_names(self, names: Mapping[str, str], times: Mapping[str, datetime]) -> "S3Object":
        """Return the object with what the names of a pattern have in its key.

        Args:
            names: their values, as text.
            times: those that have a format.
        """
        return replace(self, names=names, times=times)

    def partition_key(self, partitions_def: "PartitionsDefinition", name: str | None = None) -> str:
        """Return the partition that the names in the key give.

        A time window's is the window that contains the time, as the clock of the definition's time zone shows
        it. With two dimensions, each has the name of its dimension.

        Args:
            partitions_def: such as the job's.
            name: the name that has it; needed if several could.

        Raises:
            DagsterInvalidInvocationError: if the key has no such name, or several.
        """
        # Imported here, as most sensors have no partitions.
        from treadle.definitions.clocks import time_zone
        from treadle.definitions.partitions.multi import MultiPartitionKey, MultiPartitionsDefinition
        from treadle.definitions.partitions.time_windows import TimeWindowPartitionsDefinition

        if isinstance(partitions_def, MultiPartitionsDefinition):
            dimensions = partitions_def.partitions_defs
            return MultiPartitionKey(
                {each.name: self.partition_key(each.partitions_def, each.name) for each in dimensions}
            )
        if not isinstance(partitions_def, TimeWindowPartitionsDefinition):
            return self.names[self._name(name, self.names, "names")]
        time = self.times[self._name(name, self.times, "names that are times")]
        shown = time.replace(tzinfo=time_zone(partitions_def.timezone))
        return partitions_def.get_partition_key_for_timestamp(shown.timestamp())

    def _name(self, name: str | None, known: Mapping[str, object], what: str) -> str:
        """Return the only name, or the given one."""
        if name is not None and name in known:
            return name
        if name is None and len(known) == 1:
            return next(iter(known))
        msg = (
            f"s3://{self.bucket}/{self.key} gives no partition key: its {what} are {sorted(known)}, and "
            f"{'none was given' if name is None else f'{name!r} was given'}. Name one of them in the sensor's pattern."
        )
        raise DagsterInvalidInvocationError(msg)

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
