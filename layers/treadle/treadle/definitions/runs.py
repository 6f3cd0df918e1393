"""Runs as sensor authors see them: the run itself, its record, and filters over records."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from treadle.definitions.bounds import MAX_NAME, MAX_STEP_CAUSE, fit
from treadle.definitions.clocks import check_time
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.status import DagsterRunStatus

if TYPE_CHECKING:
    from treadle.definitions.asset_key import AssetKey

PARTITION_TAG = "dagster/partition"
SENSOR_NAME_TAG = "dagster/sensor_name"

MAX_RETRIES_TAG = "dagster/max_retries"
WILL_RETRY_TAG = "dagster/will_retry"
"""On a failed run, "true" means that another attempt follows."""
ASSET_SELECTION_TAG = "treadle/asset_selection"
"""The tag with the assets that a request selects, as a JSON list of their keys; a run without it makes all of its
job's assets."""

PRIORITY_TAG = "dagster/priority"
"""The tag with a whole number: of the runs that wait for a pool, the one with the highest starts first."""

PAYLOAD_NAME = "treadle_payload"
"""The only name in a run config that is too large to be sent: of the reference to it."""

CONCURRENCY_KEY_TAG = "dagster/concurrency_key"
"""The tag with the name of a pool, in addition to the pools of the run's job."""

DEPTH_TAG = "treadle/depth"
"""The tag with the number of runs that led to a run, one after the other; the first one has depth 1."""


def assets_of(tags: Mapping[str, str]) -> list[str] | None:
    """Return the keys of the assets that a run with these tags makes; None if it selects none of them."""
    try:
        keys = json.loads(tags.get(ASSET_SELECTION_TAG, "null"))
    except ValueError:
        return None  # An author's own tag, of a run from before Treadle used the name.
    return [str(key) for key in keys] if isinstance(keys, list) else None


def depth_of(tags: Mapping[str, str]) -> int:
    """Return the chain depth of the run with these tags, itself included; 0 if Treadle did not start it."""
    depth = tags.get(DEPTH_TAG, "")
    return int(depth) if depth.isdecimal() else 0


def priority_of(tags: Mapping[str, str]) -> int:
    """Return the priority of the run with these tags; 0 if it states none, or no number, as in Dagster."""
    stated = tags.get(PRIORITY_TAG, "").strip()
    return int(stated) if _PRIORITY.fullmatch(stated) else 0


def priority_problem(tags: Mapping[str, str]) -> str | None:
    """Return what is wrong with the tag of the priority; None if nothing is."""
    stated = tags.get(PRIORITY_TAG)
    if not stated or _PRIORITY.fullmatch(stated.strip()):
        return None
    return (
        f"Tag {PRIORITY_TAG} is invalid: {stated[:80]!r} is not a whole number. Use a number such as 5 or -1."
    )


_PRIORITY = re.compile(r"[+-]?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A failed part of a run: a state, an attempt, a container.

    Attributes:
        step_key: its name.
        error: the error's name.
        cause: the target's message, truncated.
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
        cause: the target's message, truncated.
        steps: the failed parts of the run, as far as its target reports them.
    """

    error: str
    cause: str
    steps: tuple[StepFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class DagsterRun:
    """A run of a job.

    Attributes:
        run_id: its id, which never changes.
        job_name: its job.
        status: its current status.
        tags: Treadle's, the job's and the request's.
        run_config: the input of the job.
        run_key: of its request.
        sensor_name: the sensor that requested it; None for a run that Treadle did not start.
        attempt: the number of the current attempt, from 1.
        external_id: the target's name of the execution, such as an execution's ARN.
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
        """The job's name, under Dagster's former term."""
        return self.job_name

    @property
    def partition_key(self) -> str | None:
        """The run's partition."""
        return self.tags.get(PARTITION_TAG)

    @property
    def asset_selection(self) -> "frozenset[AssetKey] | None":
        """The assets that its request selects; None if it makes all of its job's assets, or none."""
        keys = assets_of(self.tags)
        if keys is None:
            return None
        # Imported here, as most runs select no assets.
        from treadle.definitions.asset_key import AssetKey

        return frozenset(map(AssetKey.from_escaped_user_string, keys))

    @property
    def launch_id(self) -> str:
        """The target's name of the current attempt."""
        return f"{self.run_id}-{self.attempt}"

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, with any status."""
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
    """A run, with the times of its changes.

    Attributes:
        dagster_run: the run.
        create_timestamp: when its record was created.
        update_timestamp: when its status last changed, as recorded here; later than the change itself by
            the time that its event took to arrive.
        start_time: seconds since the epoch at which the current attempt started, or None.
        end_time: seconds since the epoch at which it ended, or None.
        success_times: seconds since the epoch at which its attempts succeeded, earliest first, including
            those before a rerun.
    """

    dagster_run: DagsterRun
    create_timestamp: datetime
    update_timestamp: datetime
    start_time: float | None = None
    end_time: float | None = None
    success_times: tuple[float, ...] = ()

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.dagster_run.run_id


@dataclass(frozen=True, slots=True)
class RunsFilter:
    """A filter of runs; conditions that are left out are not applied.

    A filter needs `job_name`, or `run_ids`, or the tag `dagster/sensor_name`: there is an index of each, and
    there is no search. A filter by job for runs that have not ended reads the job's runs from the newest
    back; `created_after` limits how far.

    Args:
        run_ids: the runs' ids.
        job_name: the job's name.
        statuses: any of them.
        tags: all of them, with these values.
        updated_after: whose status changed later than this.
        updated_before: whose status changed earlier than this.
        created_after: whose record was created later than this.
        created_before: whose record was created earlier than this.

    Raises:
        DagsterInvalidDefinitionError: if no index serves it, or a time has no time zone.
    """

    run_ids: Sequence[str] | None = None
    job_name: str | None = None
    statuses: Sequence[DagsterRunStatus] | None = None
    tags: Mapping[str, str] | None = None
    _: KW_ONLY
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("updated_after", "updated_before", "created_after", "created_before"):
            time = getattr(self, name)
            if time is not None:
                check_time(f"RunsFilter: {name}", time, is_kept=False)
        if self.job_name is None and self.run_ids is None and self.sensor_name is None:
            msg = (
                "RunsFilter needs a job_name, run_ids, or the tag dagster/sensor_name: runs are "
                "read by an index, and the table is never scanned."
            )
            raise DagsterInvalidDefinitionError(msg)

    @property
    def sensor_name(self) -> str | None:
        """The sensor that requested the runs, if the filter names one."""
        return (self.tags or {}).get(SENSOR_NAME_TAG)


def from_millis(millis: int) -> datetime:
    """Convert milliseconds since the epoch to a time in UTC."""
    return datetime.fromtimestamp(millis / 1000, UTC)
