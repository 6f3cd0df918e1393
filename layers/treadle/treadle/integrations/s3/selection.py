"""The objects that a sensor watches, and when they count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError, SettingsError
from treadle.definitions.objects import ObjectIdentity, S3Object
from treadle.integrations.s3.groups import FileCount, Marker, directory_of
from treadle.integrations.s3.patterns import KeyPattern

MAX_SETTLE_SECONDS = 86_400
"""A sweep looks back at least a week, and so reaches objects that it skipped for a day."""


_NEVER_CHANGES = "a version never changes, so settle_seconds must be 0 with identity version"


class StartFrom(StrEnum):
    """Whether objects count that existed before the sensor was first enabled."""

    NOW = "now"
    BEGINNING = "beginning"


def identity_of(value: object) -> ObjectIdentity:
    """Parse what makes two events or listings of an object the same.

    Args:
        value: as in a definition.

    Raises:
        DagsterInvalidDefinitionError: if it is neither key nor etag nor version.
    """
    if not isinstance(value, str) or value not in set(ObjectIdentity):
        msg = f"identity is {shown(value)}: use key, etag or version."
        raise DagsterInvalidDefinitionError(msg)
    return ObjectIdentity(value)


def parse_start(value: object) -> StartFrom | datetime:
    """Parse a start: `now`, `beginning`, or a time with its zone, such as 2026-11-29T00:00:00Z.

    Args:
        value: one of these, as text or as the parsed value.

    Raises:
        ValueError: if it is none of them, with a message that continues after the setting's name.
    """
    if isinstance(value, str) and value in set(StartFrom):
        return StartFrom(value)
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if not isinstance(time, datetime):
        msg = f"is {value!r}: use now or beginning, or a time such as 2026-11-29T00:00:00Z"
        raise ValueError(msg)  # noqa: TRY004 - a text that is none is the usual case
    if time.utcoffset() is None:
        msg = f"is {value!s}, a time without time zone: add Z for UTC, or an offset such as +01:00"
        raise ValueError(msg)
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        msg = f"is {value!s}, which lies beyond the years 1 to 9999: use now or beginning, or another time"
        raise ValueError(msg) from error


_KINDS: tuple[tuple[str, Any, str], ...] = (
    ("bucket", str, "a string"),
    ("prefix", str, "a string"),
    ("suffix", str, "a string"),
    ("identity", ObjectIdentity, "key, etag or version"),
    ("settle_seconds", int, "a whole number of seconds"),
    ("complete_when", Marker | FileCount | None, "a Marker, a FileCount or None"),
    ("pattern", KeyPattern | None, "a pattern or None"),
)
"""The types of a selection's fields."""


@dataclass(frozen=True, slots=True)
class S3Selection:
    """The objects that a sensor watches, and what makes two events or listings of an object the same.

    Attributes:
        bucket: the bucket's name; "" until the deployment sets it.
        prefix: of keys.
        suffix: of keys.
        identity: what makes two events or listings of an object the same.
        start_from: whether existing objects count, or the time since which objects do.
        settle_seconds: for how long an object must have been unchanged before it counts.
        complete_when: what completes a group, if objects count by groups.
        pattern: what keys look like, as a whole; None for any.

    Raises:
        DagsterInvalidDefinitionError: if one of them has another type; if settle_seconds is negative or more
            than a day, or start_from is not a time, or one without time zone.
    """

    bucket: str = ""
    prefix: str = ""
    suffix: str = ""
    identity: ObjectIdentity = ObjectIdentity.ETAG
    start_from: StartFrom | datetime = StartFrom.NOW
    settle_seconds: int = 0
    complete_when: Marker | FileCount | None = None
    pattern: KeyPattern | None = None

    def __post_init__(self) -> None:
        for name, kind, expected in _KINDS:
            value: object = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                msg = f"{name} must be {expected}, not {shown(value)}."
                raise DagsterInvalidDefinitionError(msg)
        try:
            object.__setattr__(self, "start_from", parse_start(self.start_from))
        except ValueError as error:
            msg = f"start_from {error}."
            raise DagsterInvalidDefinitionError(msg) from error
        if not 0 <= self.settle_seconds <= MAX_SETTLE_SECONDS:
            msg = f"settle_seconds must be 0 to {MAX_SETTLE_SECONDS}, not {self.settle_seconds}."
            raise DagsterInvalidDefinitionError(msg)

    def checked(self) -> "S3Selection":
        """Return the selection, if its names are valid.

        Raises:
            DagsterInvalidDefinitionError: if bucket, prefix or suffix can name no object, or an event pattern
                would treat a part of them as a wildcard; if versions have settle_seconds, or the suffix does
                not match the marker.
        """
        problems = list(_name_problems(self.bucket, self.prefix, self.suffix))
        if self.settle_seconds and self.identity is ObjectIdentity.VERSION:
            problems.append(_NEVER_CHANGES)
        problems += _contradictions(self)
        if problems:
            msg = f"The selection of objects cannot work: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)
        return self

    def selects(self, stored: S3Object) -> bool:
        """Return whether the object is watched."""
        name = stored.key.removeprefix(directory_of(stored.key))
        if isinstance(self.complete_when, Marker) and name != self.complete_when.name:
            return False
        if isinstance(self.complete_when, FileCount) and not name:
            return False  # Whatever it contains, it is not a file of the group.
        if self.passes_over(stored):
            return False
        return (
            stored.bucket == self.bucket
            and stored.key.startswith(self.prefix)
            and stored.key.endswith(self.suffix)
            and len(stored.key) >= len(self.prefix) + len(self.suffix)
            and (self.pattern is None or self.pattern.matches(stored.key))
        )

    def passes_over(self, stored: S3Object) -> bool:
        """Return whether an object only marks a folder, as consoles make them, and folders are not watched."""
        ending = self.suffix or (self.pattern.suffix if self.pattern else "")
        return not stored.size and stored.key.endswith("/") and not ending.endswith("/")

    def named(self, stored: S3Object) -> S3Object:
        """Return a watched object with the names of its key."""
        return stored if self.pattern is None else self.pattern.named(stored)

    @property
    def listed_prefix(self) -> str:
        """What all watched keys begin with: a listing begins and ends with it."""
        return max(self.prefix, self.pattern.prefix if self.pattern else "", key=len)

    def run_key(self, stored: S3Object) -> str:
        """Return the run key of the object, or of its group."""
        if isinstance(self.complete_when, FileCount):
            return f"s3://{stored.bucket}/{directory_of(stored.key)}#{self.complete_when}"
        return stored.run_key(self.identity)

    @property
    def lists_versions(self) -> bool:
        """Whether all versions are listed; a group's files are counted by key, whatever their content."""
        return self.identity is ObjectIdentity.VERSION and not isinstance(self.complete_when, FileCount)

    @property
    def starts_at(self) -> datetime | None:
        """The time since which objects count, if start_from is a time."""
        return self.start_from if isinstance(self.start_from, datetime) else None

    @property
    def fingerprint(self) -> list[str]:
        """Identifies the selection in a cursor; a different one restarts the sweep."""
        groups = [str(self.complete_when)] if self.complete_when else []
        patterns = [self.pattern.fingerprint] if self.pattern else []
        return [self.bucket, self.prefix, self.suffix, self.identity.value, *groups, *patterns]

    @property
    def summary(self) -> str:
        """The selection as text, for operators."""
        name = (
            f"**/{self.complete_when.name}" if isinstance(self.complete_when, Marker) else f"*{self.suffix}"
        )
        matching = f" matching {self.pattern}" if self.pattern else ""
        return f"s3://{self.bucket}/{self.prefix}{name}{matching}"

    def described(self) -> dict[str, Any]:
        """Return the selection as plain JSON."""
        counts = self.complete_when
        return {
            "bucket": self.bucket,
            "prefix": self.prefix,
            "suffix": self.suffix,
            "identity": self.identity.value,
            "start_from": _text_of(self.start_from),
            "settle_seconds": self.settle_seconds,
            "marker": counts.name if isinstance(counts, Marker) else None,
            "files": counts.count if isinstance(counts, FileCount) else None,
            "pattern": self.pattern.described() if self.pattern else None,
        }

    @classmethod
    def of_description(cls, described: Mapping[str, Any]) -> "S3Selection":
        """Parse the selection that `described` returned.

        Raises:
            DagsterInvalidDefinitionError: if it is malformed.
        """
        try:
            fields = dict(described)
            marker, files = fields.pop("marker"), fields.pop("files")
            fields["identity"] = ObjectIdentity(fields["identity"])
            fields["start_from"] = parse_start(fields["start_from"])
            counts = Marker(marker) if marker else FileCount(files) if files else None
            # A function from before patterns does not report any.
            pattern = fields.pop("pattern", None)
            return cls(**fields, complete_when=counts, pattern=KeyPattern(**pattern) if pattern else None)
        except (TypeError, ValueError, KeyError) as error:
            msg = f"This is no selection of objects: {str(described)[:200]} ({error!r})."
            raise DagsterInvalidDefinitionError(msg) from error

    def configured(self, settings: Mapping[str, str]) -> "S3Selection":
        """Return the selection with the deployment's values.

        Args:
            settings: `TREADLE_S3_BUCKET`, `_PREFIX`, `_SUFFIX`, `_IDENTITY`, `_START_FROM` and
                `_SETTLE_SECONDS`, each optional.

        Raises:
            SettingsError: with all problems at once.
        """
        bucket = settings.get("TREADLE_S3_BUCKET", self.bucket)
        prefix = settings.get("TREADLE_S3_PREFIX", self.prefix)
        suffix = settings.get("TREADLE_S3_SUFFIX", self.suffix)
        problems = list(_name_problems(bucket, prefix, suffix))
        chosen = replace(self, bucket=bucket, prefix=prefix, suffix=suffix)
        if not bucket:
            problems.append("no bucket is given: set TREADLE_S3_BUCKET")
        identity = settings.get("TREADLE_S3_IDENTITY", self.identity.value)
        if identity not in set(ObjectIdentity):
            problems.append(f"TREADLE_S3_IDENTITY is {identity!r}: use key, etag or version")
        start_from = self.start_from
        try:
            start_from = parse_start(settings.get("TREADLE_S3_START_FROM", self.start_from))
        except ValueError as error:
            problems.append(f"TREADLE_S3_START_FROM {error}")
        settle = settings.get("TREADLE_S3_SETTLE_SECONDS", str(self.settle_seconds))
        if not settle.isdecimal() or int(settle) > MAX_SETTLE_SECONDS:
            problems.append(f"TREADLE_S3_SETTLE_SECONDS is {settle!r}: use 0 to {MAX_SETTLE_SECONDS}")
        elif int(settle) and identity == ObjectIdentity.VERSION:
            problems.append(_NEVER_CHANGES)
        problems += _contradictions(chosen)
        if problems:
            msg = f"The selection of objects is not complete: {'; '.join(problems)}."
            raise SettingsError(msg)
        return replace(
            chosen,
            identity=ObjectIdentity(identity),
            start_from=start_from,
            settle_seconds=int(settle),
        )


def _name_problems(bucket: str, prefix: str, suffix: str) -> Iterator[str]:
    """Yield the problems of bucket, prefix and suffix; the template rejects the same."""
    if "/" in bucket or ":" in bucket:
        yield f"{bucket!r} is no bucket's name: give the name alone, and what keys begin with as prefix"
    for what, value in (("prefix", prefix), ("suffix", suffix)):
        if "*" in value:
            yield f"{what} {value!r} has an asterisk, which is no wildcard here: give what keys begin or end with"
    if prefix.startswith("s3://"):
        yield f"prefix {prefix!r} begins with a bucket: give what keys begin with"


def _contradictions(selection: S3Selection) -> Iterator[str]:
    """Yield what no key, or no event, can satisfy."""
    if isinstance(selection.complete_when, Marker) and not selection.complete_when.name.endswith(
        selection.suffix
    ):
        yield f"no event of {selection.complete_when} would come: leave the suffix empty, not {selection.suffix!r}"
    if selection.pattern is None:
        return
    prefixes, suffixes = (
        (selection.prefix, selection.pattern.prefix),
        (selection.suffix, selection.pattern.suffix),
    )
    if not any(one.startswith(other) for one, other in (prefixes, prefixes[::-1])):
        yield f"no key that matches {selection.pattern} has the prefix {selection.prefix!r}: correct one of them"
    if not any(one.endswith(other) for one, other in (suffixes, suffixes[::-1])):
        yield f"no key that matches {selection.pattern} has the suffix {selection.suffix!r}: correct one of them"


def _text_of(start: StartFrom | datetime) -> str:
    return start.isoformat() if isinstance(start, datetime) else start.value
