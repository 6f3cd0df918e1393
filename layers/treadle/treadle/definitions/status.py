"""The enumerations of Dagster's sensors that have a meaning here, under Dagster's names and values."""

from enum import StrEnum


class DefaultSensorStatus(StrEnum):
    """Whether a sensor is evaluated before any operator has started or stopped it."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class InstigatorStatus(StrEnum):
    """A sensor's status as stored; DECLARED_IN_CODE means that the default applies."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DECLARED_IN_CODE = "DECLARED_IN_CODE"


class SensorType(StrEnum):
    """The kind of a sensor."""

    STANDARD = "STANDARD"
    RUN_STATUS = "RUN_STATUS"
    ASSET = "ASSET"
    MULTI_ASSET = "MULTI_ASSET"


class TickStatus(StrEnum):
    """The result of a tick."""

    SKIPPED = "SKIPPED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class DagsterRunStatus(StrEnum):
    """The status of a run."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    STARTED = "STARTED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    FAILURE = "FAILURE"
    SUCCESS = "SUCCESS"

    @property
    def rank(self) -> int:
        """The order in which the statuses of one attempt follow each other; ends share no rank."""
        return _RANKS[self]

    @property
    def is_finished(self) -> bool:
        """True for SUCCESS, FAILURE and CANCELED."""
        return self in FINISHED_STATUSES


_RANKS = {status: rank for rank, status in enumerate(DagsterRunStatus)}

FINISHED_STATUSES = frozenset({DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED})
