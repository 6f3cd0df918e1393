"""Which sensor may start which jobs, where nothing is registered."""

from collections.abc import Mapping


class FixedGrants:
    """Grants that never change.

    Args:
        jobs: for each sensor the names of the jobs that it may start.
    """

    def __init__(self, jobs: Mapping[str, frozenset[str]]) -> None:
        self._jobs = jobs

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Whether a sensor may start a job, whenever."""
        del since
        return job in self._jobs.get(sensor, frozenset())

    def obstacle(self, sensor: str, job: str) -> str:
        """Nothing but the sensor's own list keeps it from starting a job."""
        del sensor, job
        return ""
