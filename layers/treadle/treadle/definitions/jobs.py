"""Jobs as sensor authors name them. Only LAUNCH's configuration knows what a name starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.values import tag_texts

NAME = re.compile(r"[A-Za-z0-9_]{1,80}")


def names_in(text: str) -> list[str]:
    """Parse a list of names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def check_valid_name(name: str, what: str) -> str:
    """Return the name, if it is valid.

    Args:
        name: the proposed name.
        what: the thing to be named, for the message ("sensor", "job").

    Raises:
        DagsterInvalidDefinitionError: unless the name is 1 to 80 of `A-Za-z0-9_`.
    """
    given: object = name
    if not isinstance(given, str) or NAME.fullmatch(given) is None:
        msg = f"{name!r} cannot name a {what}: use 1 to 80 letters, digits and underscores."
        raise DagsterInvalidDefinitionError(msg)
    return name


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """A named launch target.

    Args:
        name: of its registry entry, which has the target.
        description: shown to operators.
        tags: put on every run of the job; a request's own tags win. Values other than strings are written as
            JSON.
        run_config_schema: a JSON Schema (draft 4, 6 or 7) that every run config of the job must match. A
            request that does not match is rejected, and the others of its tick are launched.

    Raises:
        DagsterInvalidDefinitionError: for an invalid name, or tags that are not text.
    """

    name: str
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    run_config_schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_valid_name(self.name, "job")
        object.__setattr__(self, "tags", tag_texts(self.tags, DagsterInvalidDefinitionError))
