"""The registry in memory: the engine's copy, and the parameters that it is copied from."""

import json
from collections.abc import Mapping
from dataclasses import replace

from treadle.model.registry import Registry, RegistryCopy
from treadle.model.targets import JobSettings
from treadle.testing.tables import InMemoryTables


class InMemoryRegistryStore:
    """A `RegistryStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables
        self._parsed: tuple[RegistryCopy, Registry] | None = None

    def read(self) -> Registry:
        """Return the copy, parsed at the first read."""
        # Imported here, as it loads botocore, and few deployments in memory have a registry.
        from treadle.adapters.targets.registry import KINDS

        copy = self._tables.registry
        if self._parsed is None or self._parsed[0] is not copy:
            self._parsed = copy, copy.registry(KINDS)
        return self._parsed[1]

    def copy(self) -> RegistryCopy:
        """Return the stored copy."""
        return self._tables.registry

    def replace(self, copy: RegistryCopy) -> bool:
        """Store the copy, if none was stored since it was read."""
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
        """Return all values."""
        return dict(self.values)

    def get(self, path: str) -> str | None:
        """Return one value."""
        return self.values.get(path)


def sensor_text(project: str, *jobs: str, **fields: str) -> str:
    """Return a sensor's entry, as its project's template contains it.

    Args:
        project: its stack.
        jobs: the jobs that it may start.
        fields: further fields.
    """
    given = {"function": "function", "kind": "schedule", "status": "RUNNING", **fields}
    return json.dumps({"project": project, "jobs": ",".join(jobs), **given})


def job_text(project: str, settings: JobSettings, **fields: str) -> str:
    """Return a job's entry, as its project's template contains it.

    Args:
        project: its stack.
        settings: the job's settings.
        fields: further fields.
    """
    given = {"target": settings.target, "arn": settings.arn, "parameter": settings.parameter}
    more: dict[str, object] = {
        "options": dict(settings.options),
        "role": settings.role,
        "former": ",".join(settings.former),
    }
    return json.dumps({"project": project, **given, **more, **fields})
