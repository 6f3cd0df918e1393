"""The registry as a component sees it: a copy at most a minute old, read again before it denies anything."""

import logging
import threading
from collections.abc import Collection, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Protocol

from treadle.definitions.errors import StoreError, UnreadableRecordError
from treadle.model.registry import JobEntry, Registry, SensorEntry, turns_in
from treadle.model.targets import JobSettings
from treadle.ports.registry import RegistryStore
from treadle.ports.system import Clock

logger = logging.getLogger(__name__)

MAX_AGE_MS = 60_000
"""An older copy is read again."""

ABSENT_MS = 5_000
"""If an older copy lacks an entry, the copy is read again."""

RETRY_MS = 5_000
"""A store that did not answer is not queried again before this time."""


class Grants(Protocol):
    """Decides which sensor may start which jobs."""

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Return whether a sensor may start a job.

        A denial is based on data from `since` or later, unless the store does not answer.

        Args:
            sensor: the sensor's name.
            job: the job's name.
            since: milliseconds; a time in the future counts as now.

        Raises:
            StoreError: if it is not known.
        """

    def obstacle(self, sensor: str, job: str) -> str:
        """Return why a sensor may not start a job, and the remedy; "" if only the sensor's list lacks it."""

    def sensors(self) -> Mapping[str, SensorEntry]:
        """Return the registered sensors by name, at most a minute old.

        Raises:
            StoreError: if they are not known.
        """


class CachedRegistry:
    """The registry's copy, read once a minute and thread-safe.

    If the store does not answer, the last copy is used.
    """

    def __init__(self, store: RegistryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # Reentrant: the same thread may come here again while a read is blocked.
        self._lock = threading.RLock()
        self._found: Registry | None = None
        self._read_at = 0
        self._retry_at = 0

    def current(self) -> Registry:
        """Return the copy, at most a minute old.

        Raises:
            StoreError: if none could be read yet.
        """
        return self.read_since(self._clock.now() - MAX_AGE_MS)

    def read_since(self, since: int) -> Registry:
        """Return the copy as of some time or later; an older one if the store does not answer.

        Args:
            since: milliseconds; a time in the future counts as now.

        Raises:
            StoreError: if none could be read yet.
        """
        with self._lock:
            now = self._clock.now()
            if self._found is not None and (self._read_at >= min(since, now) or now < self._retry_at):
                return self._found
            try:
                found = self._store.read()
            except (StoreError, UnreadableRecordError) as error:
                if self._found is None:
                    # The caller's own record is not the unreadable one.
                    raise error if isinstance(error, StoreError) else StoreError(str(error)) from error
                logger.warning("Using the registry as of %s: %s", self._read_at, error)
                self._retry_at = now + RETRY_MS
                return self._found
            self._found, self._read_at = found, now
            return found

    def forget(self) -> None:
        """Invalidate the cache, because the copy was just written."""
        with self._lock:
            self._read_at = self._retry_at = 0

    def job(self, name: str) -> JobEntry | None:
        """Return a job's entry; if the cache lacks it, read the copy again, at most once in a few seconds."""
        found = self.current().jobs.get(name)
        return found or self.read_since(self._clock.now() - ABSENT_MS).jobs.get(name)

    def jobs_changed(self) -> bool:
        """Read the copy again, at most once in a few seconds; return whether its jobs have changed."""
        before = self.current().jobs
        return self.read_since(self._clock.now() - ABSENT_MS).jobs != before

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Return whether a sensor may start a job, as `Grants` specifies it."""
        return self.current().may_start(sensor, job) or self.read_since(since).may_start(sensor, job)

    def obstacle(self, sensor: str, job: str) -> str:
        """Return why a sensor may not start a job, and the remedy; "" if only the sensor's list lacks it."""
        return self.current().obstacle(sensor, job)

    def sensors(self) -> Mapping[str, SensorEntry]:
        """Return the registered sensors by name."""
        return self.current().sensors


class RegisteredJobs(Mapping[str, JobSettings]):
    """The current settings of each registered job. If the cache lacks a job, the registry is read again."""

    def __init__(self, registry: CachedRegistry) -> None:
        self._registry = registry

    def __getitem__(self, name: str) -> JobSettings:
        entry = self._registry.job(name)
        if entry is None:
            raise KeyError(name)
        return entry.settings

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._registry.current().jobs)

    # As one snapshot: the copy may be read again during an iteration.

    def keys(self) -> KeysView[str]:
        """Return their names."""
        return self._all().keys()

    def values(self) -> ValuesView[JobSettings]:
        """Return their settings."""
        return self._all().values()

    def items(self) -> ItemsView[str, JobSettings]:
        """Return both."""
        return self._all().items()

    def _all(self) -> dict[str, JobSettings]:
        return {name: entry.settings for name, entry in self._registry.current().jobs.items()}


class Pools(Protocol):
    """Decides which pools a run is in."""

    def of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of the pools of a run with these tags, in order."""

    def turns(self, keys: Collection[str], tags: Mapping[str, str]) -> Mapping[str, str]:
        """Return the turns of a run with these tags in those of its pools that take turns."""


class RegisteredPools:
    """The pools of the registry's copy."""

    def __init__(self, registry: CachedRegistry) -> None:
        self._registry = registry

    def of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the keys of the pools of a run with these tags, in order."""
        return self._registry.current().pools_of(job, tags)

    def turns(self, keys: Collection[str], tags: Mapping[str, str]) -> Mapping[str, str]:
        """Return the turns of a run with these tags in those of its pools that take turns."""
        return turns_in(self._registry.current().pools, keys, tags) if keys else {}


class _NoPools:
    def of(self, job: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return none."""
        del job, tags
        return ()

    def turns(self, keys: Collection[str], tags: Mapping[str, str]) -> Mapping[str, str]:
        """Return none."""
        del keys, tags
        return {}


NO_POOLS: Pools = _NoPools()
"""For an engine without pools."""


class ObservedJobs(Collection[str]):
    """The names of the jobs that are currently observed, so that their external runs are recorded."""

    def __init__(self, registry: CachedRegistry) -> None:
        self._registry = registry

    def __contains__(self, name: object) -> bool:
        entry = self._registry.current().jobs.get(name) if isinstance(name, str) else None
        return entry is not None and entry.is_observed

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, entry in self._registry.current().jobs.items() if entry.is_observed])

    def __len__(self) -> int:
        return sum(entry.is_observed for entry in self._registry.current().jobs.values())
