"""The registered jobs, as whoever needs what their names launch looks them up."""

from collections.abc import Iterator, Mapping

from treadle.ports.launching import JobSettings
from treadle.ports.registry import RegistryStore


class RegisteredJobs(Mapping[str, JobSettings]):
    """What each registered job's name launches; looked up at each use, as a project may register another at any time.

    Args:
        registry: the engine's copy.
    """

    def __init__(self, registry: RegistryStore) -> None:
        self._registry = registry

    def __getitem__(self, job: str) -> JobSettings:
        """What a job's name launches."""
        return self._registry.read().jobs[job].settings

    def __iter__(self) -> Iterator[str]:
        """The jobs' names, in order."""
        return iter(sorted(self._registry.read().jobs))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._registry.read().jobs)
