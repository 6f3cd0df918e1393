"""The concurrency pools of a project under `treadle dev`, as its template declares them."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from treadle.adapters.targets.registry import KINDS
from treadle.model.registry import KeptEntry, PoolEntry, Registry, RegistryCopy, turns_in
from treadle.ports.pools import PoolStore


class LocalPools:
    """Decides which pools a run is in.

    Args:
        store: stores the pools.
    """

    def __init__(self, store: PoolStore) -> None:
        self._store = store
        self._entries: Mapping[str, str] | None = None
        self._registry = _registry({})

    @property
    def declared(self) -> Mapping[str, PoolEntry]:
        """The declared pools, by name."""
        return self._registry.pools

    def of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of the pools of a run with these tags, in order."""
        return self._registry.pools_of(job, tags)

    def turns(self, keys: Collection[str], tags: Mapping[str, str]) -> Mapping[str, str]:
        """Return the turns of a run with these tags in those of its pools that take turns."""
        return turns_in(self._registry.pools, keys, tags)

    def declare(self, entries: Mapping[str, str], closed_until: int | None) -> Mapping[str, str]:
        """Declare the pools of a template; return why entries are invalid, by their paths.

        Args:
            entries: of jobs and pools, by their paths.
            closed_until: until when the pools start no run, as runs that have joined one may be in progress; None if
                there are no runs.
        """
        if entries == self._entries:
            return {}
        self._entries, self._registry = entries, _registry(entries)
        states = self._registry.pool_states()
        closed = [replace(each, closed_until=closed_until) for each in states.values()]
        self._store.declare(closed, self._store.states().keys() - states.keys())
        return self._registry.problems


def _registry(entries: Mapping[str, str]) -> Registry:
    return RegistryCopy("", {path: KeptEntry(text, 0) for path, text in entries.items()}, 0).registry(KINDS)
