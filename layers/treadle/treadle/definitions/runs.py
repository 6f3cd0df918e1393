"""Runs as a sensor's author sees them: the run itself, its record, and filters over records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from treadle.definitions.bounds import MAX_NAME, MAX_STEP_CAUSE, fit
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.status import DagsterRunStatus

PARTITION_TAG = "dagster/partition"

DEPTH_TAG = "treadle/depth"
"""Bears how many runs, one after the other, led to a run; the first one has depth 1."""


def depth_of(tags: Mapping[str, str]) -> int:
    """How many runs led to the one with these tags, itself included; 0 where Treadle did not start it."""
    depth = tags.get(DEPTH_TAG, "")
    return int(depth) if depth.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A part of a run that failed: a state, an attempt, a container.

    Attributes:
        step_key: its name.
        error: the error's name.
        cause: the target's words, shortened.
    """

    step_key: str
    error: str
    cause: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_key", fit(self.step_key, MAX_NAME))
        object.__setattr__(self, "error", fit(self.error, MAX_NAME))
        object.__setattr__(self, "cause", fit(self.cause[:MAX_STEP_CAUSE], 4 * MAX_STEP_CAUSE))


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run failed.

    Attributes:
        error: the error's name.
        cause: the target's words, shortened.
        steps: the parts of the run that failed, as far as its target tells of them.
    """

    error: str
    cause: str
    steps: tuple[StepFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class DagsterRun:
    """A run of a job.

    Attributes:
        run_id: its name for good.
        job_name: the job's.
        status: how far it has come.
        tags: Treadle's, the job's and the request's.
        run_config: what the job was given.
        run_key: under which it was asked for.
        sensor_name: the sensor that asked; None for a run that Treadle did not start.
        attempt: the number of the present start, from 1.
        external_id: how the target names the execution, such as an execution's ARN.
        failure: why it failed or was canceled.
        location: the engine that recorded it, as `account/region/namespace`.
    """

    run_id: str
    job_name: str
    status: DagsterRunStatus = DagsterRunStatus.QUEUED
    tags: Mapping[str, str] = field(default_factory=dict)
    run_config: Mapping[str, Any] = field(default_factory=dict)
    run_key: str | None = None
    sensor_name: str | None = None
    attempt: int = 1
    external_id: str | None = None
    failure: RunFailure | None = None
    location: str = ""

    @property
    def pipeline_name(self) -> str:
        """The job's name, as Dagster called it once."""
        return self.job_name

    @property
    def partition_key(self) -> str | None:
        """The partition that the run is for."""
        return self.tags.get(PARTITION_TAG)

    @property
    def launch_id(self) -> str:
        """The name under which the target knows the present attempt."""
        return f"{self.run_id}-{self.attempt}"

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.status.is_finished

    @property
    def is_success(self) -> bool:
        """Whether it has succeeded."""
        return self.status is DagsterRunStatus.SUCCESS

    @property
    def is_failure(self) -> bool:
        """Whether it has failed."""
        return self.status is DagsterRunStatus.FAILURE

    @property
    def is_failure_or_canceled(self) -> bool:
        """Whether it has failed or was canceled."""
        return self.is_failure or self.status is DagsterRunStatus.CANCELED


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, and when what became of it.

    Attributes:
        dagster_run: the run.
        create_timestamp: when its record was made.
        update_timestamp: when its status last changed, as recorded here; later than the change itself by
            as long as the news took.
        start_time: seconds since the epoch at which the present attempt started, or None.
        end_time: seconds since the epoch at which it ended, or None.
        success_times: seconds since the epoch at which attempts of it succeeded, the earliest first; a rerun's and
            those before it.
    """

    dagster_run: DagsterRun
    create_timestamp: datetime
    update_timestamp: datetime
    start_time: float | None = None
    end_time: float | None = None
    success_times: tuple[float, ...] = ()

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.dagster_run.run_id


@dataclass(frozen=True, slots=True)
class RunsFilter:
    """Which runs are asked for; what is left out is not looked at.

    A filter needs `job_name`, or `run_ids`, or the tag `dagster/sensor_name`: there is an index of each, and
    nothing is ever searched through. One by job that asks for runs still under way goes through the job's runs
    from the newest back; `created_after` says how far.

    Args:
        run_ids: runs by name.
        job_name: the job's.
        statuses: any of them.
        tags: all of them, with these values.
        updated_after: whose status changed later than this.
        updated_before: whose status changed earlier than this.
        created_after: whose record was made later than this.
        created_before: whose record was made earlier than this.

    Raises:
        DagsterInvalidDefinitionError: if nothing in it leads to an index, or a time has no time zone.
    """

    run_ids: Sequence[str] | None = None
    job_name: str | None = None
    statuses: Sequence[DagsterRunStatus] | None = None
    tags: Mapping[str, str] | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        naive = [
            name
            for name in ("updated_after", "updated_before", "created_after", "created_before")
            if (moment := getattr(self, name)) is not None
            and (not isinstance(moment, datetime) or moment.utcoffset() is None)
        ]
        if naive:
            msg = (
                f"RunsFilter: {', '.join(naive)} must have a time zone: "
                "give a datetime such as datetime.now(timezone.utc)."
            )
            raise DagsterInvalidDefinitionError(msg)
        if self.job_name is None and self.run_ids is None and self.sensor_name is None:
            msg = (
                "RunsFilter needs a job_name, run_ids, or the tag dagster/sensor_name: runs are "
                "read by an index, and the table is never scanned."
            )
            raise DagsterInvalidDefinitionError(msg)

    @property
    def sensor_name(self) -> str | None:
        """The sensor that asked for the runs, if the filter names one."""
        return (self.tags or {}).get("dagster/sensor_name")


def moment(millis: int) -> datetime:
    """Milliseconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(millis / 1000, UTC)
