"""The objects that a sensor watches, and when they count."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError, SettingsError
from treadle.definitions.objects import ObjectIdentity, S3Object, each_of
from treadle.integrations.s3.groups import (
    FILES,
    FileCount,
    Files,
    Marker,
    described_files,
    directory_of,
    files_of,
    fingerprint_of,
)
from treadle.integrations.s3.patterns import KeyPattern

MAX_SETTLE_SECONDS = 86_400
"""A sweep looks back at least a week, and so reaches objects that it skipped for a day."""


MAX_LONGEST_SECONDS = 7 * 86_400
"""Same."""

MOST_BUCKETS = 10
"""Buckets of one sensor; a place in a listing begins with the bucket's number, one digit."""

Texts: TypeAlias = str | tuple[str, ...]
"""One value or several."""

LAST = "\U0010ffff"
"""Sorts after all other characters."""

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


def texts_of(name: str, value: object) -> Texts:
    """Return one text as it is, and several as a tuple, each once.

    Args:
        name: of what has the value.
        value: as in a definition.

    Raises:
        DagsterInvalidDefinitionError: if the value is neither a text nor several.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and value and all(isinstance(each, str) for each in value):
        different = tuple(dict.fromkeys(value))
        return different if len(different) > 1 else different[0]
    msg = f"{name} must be a string or a list of strings, not {shown(value)}."
    raise DagsterInvalidDefinitionError(msg)


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
    ("identity", ObjectIdentity, "key, etag or version"),
    ("settle_seconds", int, "a whole number of seconds"),
    ("complete_when", Marker | Files | None, "a Marker, a FileCount, a FileNames or None"),
    ("pattern", KeyPattern | None, "a pattern or None"),
    ("settle_longest_seconds", int, "a whole number of seconds"),
)
"""The types of a selection's fields."""


@dataclass(frozen=True, slots=True)
class S3Selection:
    """The objects that a sensor watches, and what makes two events or listings of an object the same.

    Attributes:
        bucket: the bucket's name, or the names of several; "" until the deployment sets it.
        prefix: of keys; of several, each key has one.
        suffix: of keys; of several, each key has one.
        identity: what makes two events or listings of an object the same.
        start_from: whether existing objects count, or the time since which objects do.
        settle_seconds: for how long an object must have been unchanged before it counts.
        complete_when: what completes a group, if objects count by groups.
        pattern: what keys look like, as a whole; None for any.
        settle_longest_seconds: after how long an object counts that keeps changing; 0 for never.

    Raises:
        DagsterInvalidDefinitionError: if one of them has another type; if settle_seconds is negative or more
            than a day, or settle_longest_seconds is more than a week, or start_from is not a time, or one without time zone.
    """

    bucket: Texts = ""
    prefix: Texts = ""
    suffix: Texts = ""
    identity: ObjectIdentity = ObjectIdentity.ETAG
    start_from: StartFrom | datetime = StartFrom.NOW
    settle_seconds: int = 0
    complete_when: Marker | Files | None = None
    pattern: KeyPattern | None = None
    settle_longest_seconds: int = 0

    def __post_init__(self) -> None:
        for name in ("bucket", "prefix", "suffix"):
            object.__setattr__(self, name, texts_of(name, getattr(self, name)))
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
        if not 0 <= self.settle_longest_seconds <= MAX_LONGEST_SECONDS:
            longest = self.settle_longest_seconds
            msg = f"settle_longest_seconds must be 0 to {MAX_LONGEST_SECONDS}, not {longest}."
            raise DagsterInvalidDefinitionError(msg)

    def checked(self) -> "S3Selection":
        """Return the selection, if its names are valid.

        Raises:
            DagsterInvalidDefinitionError: if bucket, prefix or suffix can name no object, or an event pattern
                would treat a part of them as a wildcard; if versions have settle_seconds, or the suffix does
                not match the marker.
        """
        problems = list(_name_problems(self.buckets, self.prefixes, self.suffixes))
        if self.settle_seconds and self.identity is ObjectIdentity.VERSION:
            problems.append(_NEVER_CHANGES)
        problems += _contradictions(self)
        if problems:
            msg = f"The selection of objects cannot work: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)
        return self

    def selects(self, stored: S3Object) -> bool:
        """Return whether the object is watched."""
        key = stored.key
        return (
            key.startswith(self.prefix)
            and key.endswith(self.suffix)
            and (stored.bucket == self.bucket or stored.bucket in self.buckets)
            and self._has_room(key)
            and not self.passes_over(stored)
            and (self.pattern is None or self.pattern.matches(key))
            and (self.complete_when is None or self._is_in_group(key, self.complete_when))
        )

    def _has_room(self, key: str) -> bool:
        """Return whether a prefix and a suffix of a key do not overlap."""
        prefix, suffix = self.prefix, self.suffix
        if isinstance(prefix, str) and isinstance(suffix, str):
            return len(key) >= len(prefix) + len(suffix)
        return any(
            len(key) >= len(one) + len(other)
            for one in self.prefixes
            for other in self.suffixes
            if key.startswith(one) and key.endswith(other)
        )

    def _is_in_group(self, key: str, counts: Marker | Files) -> bool:
        """Return whether a key is the marker, or one of the files, of a group."""
        name = key.removeprefix(directory_of(key))
        if isinstance(counts, Marker):
            return name == counts.name
        if not counts.by and not name:
            return False  # Whatever it contains, it is not a file of the group.
        return not counts.expected or self.file_name(key) in counts.expected

    def passes_over(self, stored: S3Object) -> bool:
        """Return whether an object only marks a folder, as consoles make them, and folders are not watched."""
        if stored.size or not stored.key.endswith("/"):
            return False
        ending = self.pattern.suffix if self.pattern else ""
        return not any(each.endswith("/") for each in (*self.suffixes, ending))

    def named(self, stored: S3Object) -> S3Object:
        """Return a watched object with the names of its key."""
        return stored if self.pattern is None else self.pattern.named(stored)

    @property
    def buckets(self) -> tuple[str, ...]:
        """The names of the buckets."""
        return _all(self.bucket)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes of keys."""
        return _all(self.prefix)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of keys."""
        return _all(self.suffix)

    @property
    def listed_prefixes(self) -> tuple[str, ...]:
        """What watched keys begin with, in order; none begins with another one."""
        start = self.pattern.prefix if self.pattern else ""
        both = {max(each, start, key=len) for each in self.prefixes if _agree(each, start)}
        return tuple(sorted(each for each in both if not any(each.startswith(o) for o in both - {each})))

    @property
    def parts(self) -> "tuple[S3Selection, ...]":
        """The selection as one for each listing, of one bucket and one prefix, in the order of places."""
        prefixes = self.listed_prefixes
        if len(self.buckets) == len(prefixes) == 1:
            return (self,)
        return tuple(
            replace(self, bucket=bucket, prefix=prefix) for bucket in self.buckets for prefix in prefixes
        )

    @property
    def listed_prefix(self) -> str:
        """Of a part: what its keys begin with."""
        return self.listed_prefixes[0]

    def place(self, bucket: str, key: str) -> str:
        """Return where a key is in the listing: places are in the order in which all buckets are listed.

        Args:
            bucket: a watched one.
            key: the key.
        """
        return key if isinstance(self.bucket, str) else f"{self.buckets.index(bucket)}/{key}"

    @property
    def files(self) -> Files | None:
        """What completes a group by its files; None if objects count by themselves, or by a marker."""
        return self.complete_when if isinstance(self.complete_when, FILES) else None

    def group_of(self, key: str) -> str:
        """Return what the keys of an object's group begin with."""
        if self.files and self.files.by and self.pattern:
            return self.pattern.begins(key, len(self.files.by))
        return directory_of(key)

    def file_name(self, key: str) -> str:
        """Return the name of a watched key within its group."""
        if self.files and self.files.by and self.pattern:
            names = self.pattern.values(key)
            return next((value for name, value in names.items() if name not in self.files.by), "")
        return key.removeprefix(directory_of(key))

    def run_key(self, stored: S3Object) -> str:
        """Return the run key of the object, or of its group: if it was not listed, of the complete one."""
        if self.files:
            key = stored.group.key if stored.group else self.files.key
            return f"s3://{stored.bucket}/{self.group_of(stored.key)}#{key}"
        return stored.run_key(self.identity)

    @property
    def lists_versions(self) -> bool:
        """Whether all versions are listed; a group's files are counted by key, whatever their content."""
        return self.identity is ObjectIdentity.VERSION and not self.files

    @property
    def starts_at(self) -> datetime | None:
        """The time since which objects count, if start_from is a time."""
        return self.start_from if isinstance(self.start_from, datetime) else None

    @property
    def fingerprint(self) -> list[str]:
        """Identifies the selection in a cursor; a different one restarts the sweep."""
        counts = self.complete_when
        groups = [str(counts) if isinstance(counts, Marker) else fingerprint_of(counts)] if counts else []
        patterns = [self.pattern.fingerprint] if self.pattern else []
        places = [
            each if isinstance(each, str) else json.dumps(each)
            for each in (self.bucket, self.prefix, self.suffix)
        ]
        return [*places, self.identity.value, *groups, *patterns]

    @property
    def summary(self) -> str:
        """The selection as text, for operators."""
        name = (
            f"**/{self.complete_when.name}"
            if isinstance(self.complete_when, Marker)
            else f"*{_shown(self.suffixes)}"
        )
        matching = f" matching {self.pattern}" if self.pattern else ""
        expected = f" for {self.files}" if self.files and self.files.expected else ""
        return f"s3://{_shown(self.buckets)}/{_shown(self.prefixes)}{name}{matching}{expected}"

    def described(self) -> dict[str, Any]:
        """Return the selection as plain JSON."""
        counts = self.complete_when
        return {
            **{
                name: each if isinstance(each, str) else list(each)
                for name, each in (("bucket", self.bucket), ("prefix", self.prefix), ("suffix", self.suffix))
            },
            "identity": self.identity.value,
            "start_from": _text_of(self.start_from),
            "settle_seconds": self.settle_seconds,
            "settle_longest_seconds": self.settle_longest_seconds,
            "marker": counts.name if isinstance(counts, Marker) else None,
            "files": counts.count if isinstance(counts, FileCount) else None,
            "group": described_files(counts) if isinstance(counts, FILES) else None,
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
            counts: Marker | Files | None = Marker(marker) if marker else FileCount(files) if files else None
            # A function of an earlier release reports neither groups nor patterns.
            group = fields.pop("group", None)
            counts = files_of(group) if group else counts
            pattern = fields.pop("pattern", None)
            return cls(**fields, complete_when=counts, pattern=KeyPattern(**pattern) if pattern else None)
        except (TypeError, ValueError, KeyError) as error:
            msg = f"This is no selection of objects: {str(described)[:200]} ({error!r})."
            raise DagsterInvalidDefinitionError(msg) from error

    def configured(self, settings: Mapping[str, str]) -> "S3Selection":
        """Return the selection with the deployment's values.

        Args:
            settings: `TREADLE_S3_BUCKET`, `_PREFIX`, `_SUFFIX`, `_IDENTITY`, `_START_FROM` and
                `_SETTLE_SECONDS`, each optional; several buckets, prefixes or suffixes as a JSON list.

        Raises:
            SettingsError: with all problems at once.
        """
        bucket, prefix, suffix = (
            each_of(settings[name]) if name in settings else known
            for name, known in (
                ("TREADLE_S3_BUCKET", self.bucket),
                ("TREADLE_S3_PREFIX", self.prefix),
                ("TREADLE_S3_SUFFIX", self.suffix),
            )
        )
        chosen = replace(self, bucket=bucket, prefix=prefix, suffix=suffix)
        problems = list(_name_problems(chosen.buckets, chosen.prefixes, chosen.suffixes))
        if not all(chosen.buckets):
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
        else:
            chosen = replace(chosen, settle_seconds=int(settle))
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


def _all(value: Texts) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _shown(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{{{','.join(values)}}}"


def _agree(one: str, other: str) -> bool:
    """Return whether something may begin with both."""
    return one.startswith(other) or other.startswith(one)


def _name_problems(buckets: Sequence[str], prefixes: Sequence[str], suffixes: Sequence[str]) -> Iterator[str]:
    """Yield the problems of buckets, prefixes and suffixes; the template rejects the same."""
    for bucket in buckets:
        if "/" in bucket or ":" in bucket:
            yield (f"{bucket!r} is no bucket's name: give the name alone, and what keys begin with as prefix")
    if len(buckets) > MOST_BUCKETS:
        yield f"there are {len(buckets)} buckets, and one sensor watches {MOST_BUCKETS} at most: write another one"
    for what, values in (("prefix", prefixes), ("suffix", suffixes)):
        for value in values:
            if "*" in value:
                yield (
                    f"{what} {value!r} has an asterisk, which is no wildcard here: give what keys begin or end with"
                )
    for prefix in prefixes:
        if prefix.startswith("s3://"):
            yield f"prefix {prefix!r} begins with a bucket: give what keys begin with"


def _contradictions(selection: S3Selection) -> Iterator[str]:
    """Yield what no key, or no event, can satisfy."""
    counts, pattern = selection.complete_when, selection.pattern
    if isinstance(counts, Marker):
        for suffix in selection.suffixes:
            if not counts.name.endswith(suffix):
                yield f"no event of {counts} would come: leave the suffix empty, not {suffix!r}"
    yield from _settle_problems(selection)
    yield from _group_problems(selection)
    if pattern is None:
        return
    for prefix in selection.prefixes:
        if not _agree(prefix, pattern.prefix):
            yield f"no key that matches {pattern} has the prefix {prefix!r}: correct one of them"
    for suffix in selection.suffixes:
        if not _agree(suffix[::-1], pattern.suffix[::-1]):
            yield f"no key that matches {pattern} has the suffix {suffix!r}: correct one of them"


def _settle_problems(selection: S3Selection) -> Iterator[str]:
    longest, settle = selection.settle_longest_seconds, selection.settle_seconds
    if longest and not 0 < settle < longest:
        yield f"settle_longest_seconds is {longest}, so settle_seconds must be 1 to {longest - 1}, not {settle}"
    if longest and selection.files:
        yield "settle_longest_seconds is for objects that count by themselves or by a marker: leave it out"


def _group_problems(selection: S3Selection) -> Iterator[str]:
    files, pattern = selection.files, selection.pattern
    if files is None or not files.by:
        return
    if pattern is None or pattern.flags is not None:
        yield "a group by names needs a pattern with names in braces: give one, or leave `by` out"
        return
    first, others = pattern.names[: len(files.by)], pattern.names[len(files.by) :]
    if set(first) != set(files.by) or not others:
        yield (
            f"a group's keys are listed by what they begin with, so `by` must be the first of the names "
            f"{', '.join(pattern.names)}, and not all of them, not {', '.join(files.by)}"
        )
    elif files.expected and len(others) > 1:
        yield (
            f"each expected name is the value of one name, and {', '.join(others)} remain: add the others to `by`, or "
            "leave the braces of some out"
        )


def _text_of(start: StartFrom | datetime) -> str:
    return start.isoformat() if isinstance(start, datetime) else start.value
