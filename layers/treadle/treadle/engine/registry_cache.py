"""What is registered, as a step sees it: a copy that is a minute old at most, and read again before it says no."""

import logging
import threading
from collections.abc import Collection, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Protocol

from treadle.definitions.errors import StoreError, UnreadableRecordError
from treadle.ports.registry import JobEntry, Registry, RegistryStore
from treadle.ports.system import Clock
from treadle.ports.targets import JobSettings

logger = logging.getLogger(__name__)

MAX_AGE_MS = 60_000
"""An older copy is read again."""

ABSENT_MS = 5_000
"""What an older copy lacks is looked for again."""

RETRY_MS = 5_000
"""A store that did not answer is not asked again before."""


class Grants(Protocol):
    """Says which sensor may start which jobs."""

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Whether a sensor may start a job; a no is of `since` or later, unless nobody answers.

        Args:
            sensor: the sensor's name.
            job: the job's name.
            since: milliseconds; a later time than now is taken for now.

        Raises:
            StoreError: if it is not known.
        """

    def obstacle(self, sensor: str, job: str) -> str:
        """What keeps a sensor from starting a job, and what to do; "" if it is nothing but the sensor's own list.

        Args:
            sensor: the sensor's name.
            job: the job's name.
        """


class CachedRegistry:
    """The registry's copy, read once a minute. Where the store does not answer, the last copy that was read is used.

    Several threads may use it.

    Args:
        store: keeps the copy.
        clock: the time.
    """

    def __init__(self, store: RegistryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # Reentrant, as what goes on while a read hangs may be of the same thread.
        self._lock = threading.RLock()
        self._found: Registry | None = None
        self._read_at = 0
        self._retry_at = 0

    def current(self) -> Registry:
        """The copy, a minute old at most.

        Raises:
            StoreError: if none could be read yet.
        """
        return self.read_since(self._clock.now() - MAX_AGE_MS)

    def read_since(self, since: int) -> Registry:
        """The copy as it was at some time or later; an older one if the store does not answer.

        Args:
            since: milliseconds; a later time than now is taken for now.

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
                    # Whatever asked for it is not what cannot be read.
                    raise error if isinstance(error, StoreError) else StoreError(str(error)) from error
                logger.warning("The registry as it was at %s is used: %s", self._read_at, error)
                self._retry_at = now + RETRY_MS
                return self._found
            self._found, self._read_at = found, now
            return found

    def forget(self) -> None:
        """Read the copy again when it is next asked for: it was just written."""
        with self._lock:
            self._read_at = self._retry_at = 0

    def job(self, name: str) -> JobEntry | None:
        """A job's entry; one that is not there is looked for past the cache, once in a few seconds.

        Args:
            name: the job's.
        """
        found = self.current().jobs.get(name)
        return found or self.read_since(self._clock.now() - ABSENT_MS).jobs.get(name)

    def jobs_changed(self) -> bool:
        """Whether a look past the cache shows other jobs than were known; not more than one in a few seconds."""
        before = self.current().jobs
        return self.read_since(self._clock.now() - ABSENT_MS).jobs != before

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Whether a sensor may start a job; a no is of `since` or later, unless the store does not answer."""
        return self.current().may_start(sensor, job) or self.read_since(since).may_start(sensor, job)

    def obstacle(self, sensor: str, job: str) -> str:
        """What keeps a sensor from starting a job, and what to do; "" if it is nothing but the sensor's own list."""
        return self.current().obstacle(sensor, job)


class RegisteredJobs(Mapping[str, JobSettings]):
    """What each registered job's name launches, as it is now. One that is not there is looked for past the cache.

    Args:
        registry: the registry.
    """

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

    # All at once: the copy may be read again while they are gone through.

    def keys(self) -> KeysView[str]:
        """Their names."""
        return self._all().keys()

    def values(self) -> ValuesView[JobSettings]:
        """What they launch."""
        return self._all().values()

    def items(self) -> ItemsView[str, JobSettings]:
        """Both."""
        return self._all().items()

    def _all(self) -> dict[str, JobSettings]:
        return {name: entry.settings for name, entry in self._registry.current().jobs.items()}


class ObservedJobs(Collection[str]):
    """The names of the jobs whose executions get records whoever starts them, as it is now.

    Args:
        registry: the registry.
    """

    def __init__(self, registry: CachedRegistry) -> None:
        self._registry = registry

    def __contains__(self, name: object) -> bool:
        entry = self._registry.current().jobs.get(name) if isinstance(name, str) else None
        return entry is not None and entry.is_observed

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, entry in self._registry.current().jobs.items() if entry.is_observed])

    def __len__(self) -> int:
        return sum(entry.is_observed for entry in self._registry.current().jobs.values())
