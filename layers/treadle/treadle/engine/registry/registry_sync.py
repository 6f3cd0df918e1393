"""Synchronization of the registry's copy with Parameter Store, by full listings and by events of entries."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from treadle.definitions.errors import RegistryEntryError, StoreThrottledError
from treadle.engine.registry.registry_cache import MAX_AGE_MS, CachedRegistry
from treadle.model.pools import PoolState, is_of_starts, pool_of_job
from treadle.model.registry import KeptEntry, PoolEntry, Registry, RegistryCopy, parse_entry
from treadle.ports.pools import PoolStore
from treadle.ports.registry import EntrySource, RegistryStore
from treadle.ports.system import Clock

logger = logging.getLogger(__name__)

LIST_MS = 600_000
"""Parameter Store's events are delivered on a best-effort basis, so all entries are listed every ten minutes.

Source: "Setting up notifications or trigger actions based on Parameter Store events" in the user guide of
Systems Manager.
"""

CLOSED_MS = MAX_AGE_MS + 180_000
"""How long a pool is closed that known jobs have joined: by then, every function has read the registry again, and no
launch from before that can still start a run (a minute's timeout, and the margin of a claim's takeover)."""

_TRIES = 20
"""A deployment changes many entries at once, each with its own event, and all update one copy."""


class RegistrySync:
    """Copies entries from Parameter Store.

    A malformed value never replaces a valid one. An unavailable Parameter Store never makes an entry absent:
    an entry is removed only if it is reported as deleted and is not found, or if two consecutive listings
    lack it.

    Args:
        store: stores the copy.
        source: Parameter Store.
        registry: the copy as this process has read it.
        engine: the engine's name.
        kinds: the known target types.
        clock: the clock.
        pools: stores the declared pools; None where there are none.
    """

    def __init__(
        self,
        store: RegistryStore,
        source: EntrySource,
        registry: CachedRegistry,
        engine: str,
        kinds: Collection[str],
        clock: Clock,
        pools: PoolStore | None = None,
    ) -> None:
        self._pools = pools
        self._store = store
        self._source = source
        self._registry = registry
        self._engine = engine
        self._kinds = kinds
        self._clock = clock
        self._missed = False

    def list_if_due(self) -> int:
        """List all entries if there is no copy, the last listing is ten minutes old, or an update failed.

        Returns:
            How many entries have changed.

        Raises:
            StoreError: if a store did not answer; the copy is unchanged.
        """
        found = self._registry.current()
        is_listed = found.engine == self._engine and self._clock.now() - found.listed_at < LIST_MS
        return 0 if is_listed and not self._missed else self._list()

    def update(self, path: str, *, is_deleted: bool) -> int:
        """Copy one entry.

        Args:
            path: the entry's path below the engine's, such as "jobs/load".
            is_deleted: True if it was reported as deleted.

        Returns:
            How many entries have changed.

        Raises:
            StoreError: if a store did not answer; the copy is unchanged, and the next pass lists all entries.
        """
        self._missed = True
        read_at = self._clock.now()
        text = self._source.get(path)
        if text is None and not is_deleted:
            logger.warning(
                "Entry %s was reported as changed but is not found: the earlier copy is kept", path
            )
            changed = 0
        elif self._store.copy().engine != self._engine:
            changed = self._list()
        else:
            changed = self._merge(lambda copy: self._updated(copy, path, text, read_at))
        self._missed = False
        return changed

    def invalid(self) -> int:
        """Return how many entries are invalid."""
        return len(self._registry.current().problems)

    def _list(self) -> int:
        began_at = self._clock.now()
        found = self._source.list()
        changed = self._merge(lambda copy: self._listed(copy, found, began_at))
        self._correct_pools()
        self._missed = False
        return changed

    def _merge(self, merged: Callable[[RegistryCopy], RegistryCopy]) -> int:
        for _ in range(_TRIES):
            before = self._store.copy()
            after = merged(before)
            if after == before:
                return 0
            self._declare_pools(before, after)
            if self._store.replace(after):
                self._registry.forget()
                return _changes(before, after)
        msg = (
            f"The copy of the registry was changed by other writers {_TRIES} times; the next listing "
            "updates it."
        )
        raise StoreThrottledError(msg)

    def _declare_pools(self, before: RegistryCopy, after: RegistryCopy) -> None:
        """Store the declared pools before the copy that has them; close those that runs in progress may join."""
        if self._pools is None or before.entries == after.entries:
            return
        old, new = before.registry(self._kinds), after.registry(self._kinds)
        known, declared = old.pool_states(), new.pool_states()
        until = self._clock.now() + CLOSED_MS
        joined = _joined(old, new)
        changed = [
            replace(state, closed_until=until if name in joined else None)
            for name, state in declared.items()
            if name in joined or known.get(name) != state
        ]
        removed = known.keys() - declared.keys()
        if changed or removed:
            self._pools.declare(changed, removed)

    def _correct_pools(self) -> None:
        """Store pools again that differ from the copy: of two changes at a time, the older one may be stored last."""
        if self._pools is None:
            return
        declared, stored = self._store.copy().registry(self._kinds).pool_states(), self._pools.states()
        until = self._clock.now() + CLOSED_MS
        changed = [
            replace(state, closed_until=None if name in stored or is_of_starts(name) else until)
            for name, state in declared.items()
            if name not in stored or _declaration(stored[name]) != _declaration(state)
        ]
        removed = stored.keys() - declared.keys()
        if changed or removed:
            self._pools.declare(changed, removed)

    def _listed(self, copy: RegistryCopy, found: Mapping[str, str], began_at: int) -> RegistryCopy:
        """Return the copy after a listing; entries read after the listing began are newer than it."""
        known = copy.entries
        if copy.engine != self._engine:
            known = {}  # The copy of another engine, whose tables this one has taken over.
        elif copy.listed_at >= began_at:
            return copy
        entries: dict[str, KeptEntry] = {}
        for path in sorted(known.keys() | found.keys()):
            kept = known.get(path)
            if kept is not None and kept.read_at >= began_at:
                entries[path] = kept
            elif path in found:
                entries[path] = self._taken(path, found[path], kept, began_at)
            elif kept is not None and not (kept.is_deleted or kept.is_missing):
                entries[path] = replace(kept, is_missing=True)
        return RegistryCopy(self._engine, entries, began_at, copy.revision)

    def _updated(self, copy: RegistryCopy, path: str, text: str | None, read_at: int) -> RegistryCopy:
        """Return the copy after one entry was read; for a deleted entry, it keeps the time of deletion."""
        kept = copy.entries.get(path)
        if kept is not None and kept.read_at > read_at:
            return copy
        taken = KeptEntry("", read_at) if text is None else self._taken(path, text, kept, read_at)
        return replace(copy, entries={**copy.entries, path: taken})

    def _taken(self, path: str, text: str, kept: KeptEntry | None, read_at: int) -> KeptEntry:
        try:
            parse_entry(path, text, self._kinds)
        except RegistryEntryError as error:
            logger.warning("Registry entry %s is not valid: %s", path, error)
            before = kept or KeptEntry("", read_at)
            return KeptEntry(before.text, read_at, str(error), changed_at=before.changed_at)
        is_known = kept is not None and kept.text == text
        return KeptEntry(text, read_at, changed_at=kept.changed_at if kept and is_known else read_at)


def _joined(old: Registry, new: Registry) -> set[str]:
    """Return the pools that known jobs are in now and were not before, so that they may have runs in progress.

    Pools of starts per minute are not among them: they count no run that is in progress. A pool by tag, or of all jobs,
    counts as joined by all jobs.
    """
    found: set[str] = set()
    for name, job in new.jobs.items():
        before = old.jobs.get(name)
        if before is None:
            continue
        found |= job.pools - before.pools
        if job.max_concurrent_runs is not None and before.max_concurrent_runs is None:
            found.add(pool_of_job(name))
    for name, pool in new.pools.items():
        known = old.pools.get(name)
        is_known = known is not None and _members(known) == _members(pool)
        if not is_known and old.jobs:
            found.add(name)
    return found & new.pool_states().keys()


def _declaration(state: PoolState) -> tuple[object, ...]:
    """Return what a deployment declares of a pool."""
    return state.limit, state.limits, state.overlap


def _members(pool: PoolEntry) -> tuple[object, ...]:
    return pool.all_jobs, pool.tag, pool.value, pool.per_value, pool.limit is None


def _changes(before: RegistryCopy, after: RegistryCopy) -> int:
    """Return how many entries have another value, or another problem."""
    old, new = (
        {path: (kept.text, kept.problem) for path, kept in copy.entries.items()} for copy in (before, after)
    )
    nothing = ("", "")
    return sum(old.get(path, nothing) != new.get(path, nothing) for path in old.keys() | new.keys())
