"""The registry in memory: its copy, and the parameters that it is a copy of."""

import json
from collections.abc import Mapping
from dataclasses import replace

from treadle.adapters.targets.registry import KINDS
from treadle.ports.registry import Registry, RegistryCopy
from treadle.ports.targets import JobSettings
from treadle.testing.stores import InMemoryTables


class InMemoryRegistryStore:
    """A `RegistryStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables
        self._parsed: tuple[RegistryCopy, Registry] | None = None

    def read(self) -> Registry:
        """The copy, parsed when it is first read."""
        copy = self._tables.registry
        if self._parsed is None or self._parsed[0] is not copy:
            self._parsed = copy, copy.registry(KINDS)
        return self._parsed[1]

    def copy(self) -> RegistryCopy:
        """The copy as it is kept."""
        return self._tables.registry

    def replace(self, copy: RegistryCopy) -> bool:
        """Write the copy, if none was written since it was read."""
        with self._tables.lock:
            if copy.revision != self._tables.registry.revision:
                return False
            self._tables.registry = replace(copy, revision=copy.revision + 1)
            return True


class InMemoryParameters:
    """An `EntrySource` in memory.

    Args:
        values: by path below the engine's, such as "jobs/load"; a test changes them as a deployment would.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})

    def list(self) -> Mapping[str, str]:
        """All values."""
        return dict(self.values)

    def get(self, path: str) -> str | None:
        """One value."""
        return self.values.get(path)


def sensor_text(project: str, *jobs: str, **fields: str) -> str:
    """A sensor's entry, as its project's template writes it.

    Args:
        project: its stack.
        jobs: those that it may start.
        fields: what else it has.
    """
    given = {"function": "function", "kind": "schedule", "status": "RUNNING", **fields}
    return json.dumps({"project": project, "jobs": ",".join(jobs), **given})


def job_text(project: str, settings: JobSettings, **fields: str) -> str:
    """A job's entry, as its project's template writes it.

    Args:
        project: its stack.
        settings: what its name launches.
        fields: what else it has.
    """
    given = {"target": settings.target, "arn": settings.arn, "parameter": settings.parameter}
    more: dict[str, object] = {
        "options": dict(settings.options),
        "role": settings.role,
        "former": ",".join(settings.former),
    }
    return json.dumps({"project": project, **given, **more, **fields})
