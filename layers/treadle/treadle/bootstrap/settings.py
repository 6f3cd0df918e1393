"""A function's environment, read once; all its problems are reported together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from treadle.definitions.errors import DagsterInvalidDefinitionError, SettingsError
from treadle.definitions.jobs import names_in

if TYPE_CHECKING:
    from treadle.adapters.dynamodb.tables import TableNames
    from treadle.engine.dispatch.dispatcher import Limits


@dataclass(slots=True)
class Settings:
    """A function's environment, which collects all problems until the end.

    Args:
        environment: names and values, such as `os.environ`.
    """

    environment: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, default: str | None = None) -> str:
        """Return the value; a missing one without default is a problem."""
        value = self.environment.get(name, default)
        if value is None:
            problem = f"{name} is not set"
            if problem not in self.problems:
                self.problems.append(problem)
            return ""
        return value

    def number(self, name: str, of: str, default: int | None = None) -> int | None:
        """Return a whole number, 0 or more, of the unit `of`; the default if it is not set or empty."""
        value = self.environment.get(name, "")
        if not value:
            return default
        if not value.isdecimal():
            self.problems.append(f"{name} is {value!r}; it must be a whole number of {of}")
            return default
        return int(value)

    def choice(self, name: str, values: Sequence[str]) -> str:
        """Return one of some values; the first if it is not set."""
        value = self.environment.get(name) or values[0]
        if value not in values:
            self.problems.append(f"{name} is {value!r}; it must be one of: {', '.join(values)}")
        return value

    def zone(self, name: str) -> tzinfo:
        """Return a time zone by its name, such as Europe/Berlin; UTC if it is not set."""
        value = self.environment.get(name, "")
        if not value:
            return UTC
        # Imported here because few sensors need it.
        from treadle.definitions.clocks import time_zone

        try:
            return time_zone(value)
        except DagsterInvalidDefinitionError:
            self.problems.append(f"{name} is {value!r}; it must be a time zone such as Europe/Berlin")
            return UTC

    def tables(self) -> "TableNames":
        """Return the tables' names."""
        # Imported here, as `treadle dev` has no tables.
        from treadle.adapters.dynamodb.tables import TableNames

        names = (self.text(f"TREADLE_{table}_TABLE") for table in ("SENSORS", "TICKS", "RUNS", "EVENTS"))
        return TableNames(*names)

    def granted(self) -> frozenset[str] | None:
        """Return the jobs that this sensor may start; None if the environment does not say."""
        value = self.environment.get("TREADLE_GRANTED_JOBS")
        return None if value is None else frozenset(names_in(value))

    def limits(self) -> "Limits":
        """Return the limits for what a sensor may start."""
        from treadle.engine.dispatch.dispatcher import DEFAULT_DEPTH, Limits

        depth = self.number("TREADLE_MAX_DEPTH", "runs", DEFAULT_DEPTH)
        return Limits(depth or DEFAULT_DEPTH, self.number("TREADLE_RUNS_PER_HOUR", "runs") or 0)

    def check(self) -> None:
        """Raise one error for all problems.

        Raises:
            SettingsError: if anything was missing or malformed.
        """
        if self.problems:
            msg = f"The function's environment does not fit: {'; '.join(self.problems)}. See template.yaml."
            raise SettingsError(msg)
