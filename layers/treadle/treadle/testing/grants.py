"""Which sensor may start which jobs, without a registry."""

from collections.abc import Mapping
from types import MappingProxyType

from treadle.model.registry import SensorEntry

_NONE: Mapping[str, SensorEntry] = MappingProxyType({})


class FixedGrants:
    """Grants that never change.

    Args:
        jobs: the names of the jobs that each sensor may start.
        sensors: the entries of registered sensors.
    """

    def __init__(
        self, jobs: Mapping[str, frozenset[str]], sensors: Mapping[str, SensorEntry] = _NONE
    ) -> None:
        self._jobs = jobs
        self._sensors = sensors

    def may_start(self, sensor: str, job: str, since: int) -> bool:
        """Return whether a sensor may start a job, at any time."""
        del since
        return job in self._jobs.get(sensor, frozenset())

    def obstacle(self, sensor: str, job: str) -> str:
        """Return "": only the sensor's own list restricts it."""
        del sensor, job
        return ""

    def sensors(self) -> Mapping[str, SensorEntry]:
        """Return the entries."""
        return self._sensors
