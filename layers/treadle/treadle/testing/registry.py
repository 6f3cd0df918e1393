"""The registry's copy in memory."""

from dataclasses import replace

from treadle.adapters.targets.registry import KINDS
from treadle.ports.registry import Registry, RegistryCopy
from treadle.testing.stores import InMemoryTables


class InMemoryRegistryStore:
    """A `RegistryStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def read(self) -> Registry:
        """The copy."""
        return self._tables.registry.registry(KINDS)

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
