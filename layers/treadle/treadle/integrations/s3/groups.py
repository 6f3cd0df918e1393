"""Groups of objects, in one "directory" or with the same names in their keys, and when they are complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any, TypeAlias

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

MOST_NAMES = 1_000
LONGEST_WAIT = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Marker:
    """A group counts when it has an object of this name; the run is of that object.

    Args:
        name: such as `_SUCCESS` or `manifest.json`.

    Raises:
        DagsterInvalidDefinitionError: if it cannot name an object within a directory.
    """

    name: str = "_SUCCESS"

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name or "/" in name:
            msg = f"A marker is the name of an object within its directory, not {shown(name)}."
            raise DagsterInvalidDefinitionError(msg)

    def __str__(self) -> str:
        return f"marker {self.name}"


@dataclass(frozen=True, slots=True)
class FileCount:
    """A group counts when it has this number of watched objects.

    Args:
        count: 1 or more.
        by: the names of the sensor's `pattern` that a group's keys have in common, the first ones in it; by
            default a group is a directory.
        once: whether a group counts only once, or again whenever its files or their content have changed.
        longest_wait: an incomplete group counts, too, this long after its oldest file was stored, at most 31
            days; by default never.

    Raises:
        DagsterInvalidDefinitionError: if one of them is invalid.
    """

    count: int
    by: str | Sequence[str] = ()
    once: bool = True
    longest_wait: timedelta | None = None

    def __post_init__(self) -> None:
        count: object = self.count
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            msg = f"A group is complete with 1 file or more, not with {shown(count)}. Give a whole number."
            raise DagsterInvalidDefinitionError(msg)
        _check_group(self)

    def __str__(self) -> str:
        return f"{self.count} files"

    @property
    def key(self) -> str:
        """The end of the run key of a complete group."""
        return str(self)

    @property
    def expected(self) -> frozenset[str]:
        """The names of the files that must exist."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class FileNames:
    """A group counts when it has a watched object of each of these names.

    Args:
        names: what follows the directory in the keys; with `by`, the values of the pattern's only other name.
        by: the names of the sensor's `pattern` that a group's keys have in common, the first ones in it; by
            default a group is a directory.
        once: whether a group counts only once, or again whenever its files or their content have changed.
        longest_wait: an incomplete group counts, too, this long after its oldest file was stored, at most 31
            days; by default never.

    Raises:
        DagsterInvalidDefinitionError: if one of them is invalid.
    """

    names: Sequence[str]
    by: str | Sequence[str] = ()
    once: bool = True
    longest_wait: timedelta | None = None

    def __post_init__(self) -> None:
        names = _names("names", self.names)
        if not 0 < len(names) <= MOST_NAMES or any(not each or "/" in each for each in names):
            msg = (
                f"The files of a group have 1 to {MOST_NAMES} names without slashes, not {shown(self.names)}."
            )
            raise DagsterInvalidDefinitionError(msg)
        object.__setattr__(self, "names", names)
        _check_group(self)

    def __str__(self) -> str:
        return f"files {', '.join(self.names)}"

    @property
    def key(self) -> str:
        """The end of the run key of a complete group."""
        return "complete"

    @property
    def expected(self) -> frozenset[str]:
        """The names of the files that must exist."""
        return frozenset(self.names)


Files: TypeAlias = FileCount | FileNames
"""What completes a group by its files."""

FILES = (FileCount, FileNames)


def described_files(files: "Files") -> dict[str, Any]:
    """Return what completes a group as plain JSON."""
    wait = files.longest_wait
    return {
        "count": files.count if isinstance(files, FileCount) else None,
        "names": list(files.names) if isinstance(files, FileNames) else None,
        "by": list(files.by),
        "once": files.once,
        "longest_wait": wait.total_seconds() if wait else None,
    }


def files_of(described: dict[str, Any]) -> "Files":
    """Parse what `described_files` returned."""
    seconds = described["longest_wait"]
    wait = None if seconds is None else timedelta(seconds=seconds)
    options: dict[str, Any] = {"by": described["by"], "once": described["once"], "longest_wait": wait}
    if described["count"] is None:
        return FileNames(described["names"], **options)
    return FileCount(described["count"], **options)


def fingerprint_of(files: "Files") -> str:
    """Identify in a cursor which groups count, and under which run keys."""
    if isinstance(files, FileCount) and not files.by and files.once:
        return str(files)
    names = blake2b("\0".join(sorted(files.expected)).encode(), digest_size=8).hexdigest()
    what = str(files) if isinstance(files, FileCount) else f"files {names}"
    return f"{what} by {','.join(files.by)} {'once' if files.once else 'again'}"


def directory_of(key: str) -> str:
    """Return the key up to and including its last slash; "" for a key without one."""
    return key[: key.rfind("/") + 1]


def _names(what: str, value: object) -> tuple[str, ...]:
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        msg = f"{what} of a group must be a list of strings, not {shown(value)}."
        raise DagsterInvalidDefinitionError(msg)
    return tuple(dict.fromkeys(given))


def _check_group(files: "Files") -> None:
    object.__setattr__(files, "by", _names("by", files.by))
    once: object = files.once
    if not isinstance(once, bool):
        msg = f"once of a group must be True or False, not {shown(once)}."
        raise DagsterInvalidDefinitionError(msg)
    wait: object = files.longest_wait
    if wait is not None and not (isinstance(wait, timedelta) and timedelta(0) < wait <= LONGEST_WAIT):
        msg = f"longest_wait of a group must be a timedelta of up to {LONGEST_WAIT.days} days, not {shown(wait)}."
        raise DagsterInvalidDefinitionError(msg)
