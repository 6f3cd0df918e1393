"""Typed cursors: a dataclass instead of a string, with a version and a migration from earlier versions."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvariantViolationError


class DataclassInstance(Protocol):
    """Any instance of a dataclass whose fields are plain JSON."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


C = TypeVar("C", bound=DataclassInstance)
Migration = Callable[[Mapping[str, Any], int], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CursorType(Generic[C]):
    """Reads and writes cursors as one dataclass.

    Args:
        schema: the dataclass; its fields are plain JSON and all have defaults.
        version: incremented whenever a field is renamed or changes its meaning.
        migrate: returns the current fields, from the fields of a stored cursor and its version; required as
            soon as version is more than 1. Version 0 is a cursor that was not typed: its fields are `{"text":
            the string}`.

    Raises:
        DagsterInvariantViolationError: if the schema is not a dataclass.
    """

    schema: type[C]
    version: int = 1
    migrate: Migration | None = None

    def __post_init__(self) -> None:
        schema: object = self.schema
        if not dataclasses.is_dataclass(schema):
            msg = f"{self.schema!r} cannot be the type of a cursor: make it a dataclass."
            raise DagsterInvariantViolationError(msg)

    def load(self, text: str | None) -> C:
        """Parse the cursor; return a new one if there is none yet.

        Args:
            text: the sensor's cursor, such as `context.cursor`.

        Raises:
            DagsterInvariantViolationError: if it was written by a version that cannot be read.
        """
        if not text:
            return self.schema()
        version, fields = _parsed(text)
        if version != self.version:
            if self.migrate is None or version > self.version:
                msg = (
                    f"The stored cursor has version {version} and {self.schema.__name__} version "
                    f"{self.version}. Give CursorType a migrate function, or set the cursor again."
                )
                raise DagsterInvariantViolationError(msg)
            fields = self.migrate(fields, version)
        try:
            return self.schema(**fields)
        except TypeError as error:
            msg = f"The stored cursor {shown(text)} does not fit {self.schema.__name__}: {error}."
            raise DagsterInvariantViolationError(msg) from error

    def dump(self, value: C) -> str:
        """Return the cursor as a string, for `context.update_cursor` or `SensorResult.cursor`.

        Raises:
            DagsterInvariantViolationError: if a field is not plain JSON.
        """
        try:
            content = {"version": self.version, "fields": dataclasses.asdict(value)}
            return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            msg = f"The fields of {self.schema.__name__} must be plain JSON: {error}."
            raise DagsterInvariantViolationError(msg) from error


def _parsed(text: str) -> tuple[int, Mapping[str, Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return 0, {"text": text}
    if isinstance(content, dict) and content.keys() == {"version", "fields"}:
        version, fields = content["version"], content["fields"]
        if isinstance(version, int) and isinstance(fields, dict):
            return version, fields
    return 0, {"text": text}
