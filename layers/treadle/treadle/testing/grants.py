"""Which sensor may start which jobs, without a registry."""

from collections.abc import Mapping


class FixedGrants:
    """Grants that never change.

    Args:
        jobs: the names of the jobs that each sensor may start.
    """

    def __init__(self, jobs: Mapping[str, frozenset[str]]) -> None:
        self._jobs = jobs

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Return whether a sensor may start a job, at any time."""
        del since
        return job in self._jobs.get(sensor, frozenset())

    def obstacle(self, sensor: str, job: str) -> str:
        """Return "": only the sensor's own list restricts it."""
        del sensor, job
        return ""
