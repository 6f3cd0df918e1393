"""Conditions on a group: all objects directly in one "directory", a key up to its last slash."""

from dataclasses import dataclass

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError


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
    """A group counts, once ever, when it has this number of watched objects.

    Args:
        count: 1 or more.

    Raises:
        DagsterInvalidDefinitionError: if it is less, or not an integer.
    """

    count: int

    def __post_init__(self) -> None:
        count: object = self.count
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            msg = f"A group is complete with 1 file or more, not with {shown(count)}. Give a whole number."
            raise DagsterInvalidDefinitionError(msg)

    def __str__(self) -> str:
        return f"{self.count} files"


def directory_of(key: str) -> str:
    """Return the key up to and including its last slash; "" for a key without one."""
    return key[: key.rfind("/") + 1]
