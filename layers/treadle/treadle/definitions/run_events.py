"""What happened to a run, as events: Dagster's form of them, and the one that sensors evaluate."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from treadle.definitions.assets import AssetKey, AssetMaterialization
from treadle.definitions.runs import DagsterRun, depth_of
from treadle.definitions.status import DagsterRunStatus


class DagsterEventType(StrEnum):
    """Dagster's names of what may happen to a run or an asset, with Dagster's values."""

    RUN_ENQUEUED = "PIPELINE_ENQUEUED"
    RUN_STARTING = "PIPELINE_STARTING"
    RUN_START = "PIPELINE_START"
    RUN_SUCCESS = "PIPELINE_SUCCESS"
    RUN_FAILURE = "PIPELINE_FAILURE"
    RUN_CANCELING = "PIPELINE_CANCELING"
    RUN_CANCELED = "PIPELINE_CANCELED"
    STEP_FAILURE = "STEP_FAILURE"
    ASSET_MATERIALIZATION = "ASSET_MATERIALIZATION"


EVENT_TYPES: Mapping[DagsterRunStatus, DagsterEventType] = {
    DagsterRunStatus.QUEUED: DagsterEventType.RUN_ENQUEUED,
    DagsterRunStatus.STARTING: DagsterEventType.RUN_STARTING,
    DagsterRunStatus.STARTED: DagsterEventType.RUN_START,
    DagsterRunStatus.SUCCESS: DagsterEventType.RUN_SUCCESS,
    DagsterRunStatus.FAILURE: DagsterEventType.RUN_FAILURE,
    DagsterRunStatus.CANCELING: DagsterEventType.RUN_CANCELING,
    DagsterRunStatus.CANCELED: DagsterEventType.RUN_CANCELED,
}


@dataclass(frozen=True, slots=True)
class SerializableErrorInfo:
    """An error as it was told.

    Attributes:
        message: in words.
        cls_name: the error's name.
        stack: lines of its stack, where there is one.
    """

    message: str
    cls_name: str | None = None
    stack: tuple[str, ...] = ()

    def to_string(self) -> str:
        """The error with its name and stack, as text."""
        named = f"{self.cls_name}: {self.message}" if self.cls_name else self.message
        return "\n".join([named, *self.stack])


@dataclass(frozen=True, slots=True)
class EventSpecificData:
    """What else an event tells.

    Attributes:
        error: why it failed, if it did.
        materialization: what was made, of an asset's materialization.
    """

    error: SerializableErrorInfo | None = None
    materialization: AssetMaterialization | None = None


@dataclass(frozen=True, slots=True)
class DagsterEvent:
    """What happened to a run, to a step of it, or to an asset.

    Attributes:
        event_type_value: what, such as "PIPELINE_FAILURE".
        job_name: the run's job.
        message: in words.
        run_id: the run.
        timestamp: seconds since the epoch.
        step_key: the step, for what happened to one.
        event_specific_data: what else it tells.
    """

    event_type_value: str
    job_name: str
    message: str = ""
    run_id: str = ""
    timestamp: float = 0.0
    step_key: str | None = None
    event_specific_data: EventSpecificData = field(default_factory=EventSpecificData)

    @property
    def event_type(self) -> DagsterEventType:
        """What happened."""
        return DagsterEventType(self.event_type_value)

    @property
    def pipeline_name(self) -> str:
        """The job's name, as Dagster called it once."""
        return self.job_name

    @property
    def asset_key(self) -> AssetKey | None:
        """The asset, for what happened to one."""
        made = self.event_specific_data.materialization
        return made.asset_key if made else None

    @property
    def partition(self) -> str | None:
        """The asset's partition, for what happened to one."""
        made = self.event_specific_data.materialization
        return made.partition if made else None

    @property
    def is_step_materialization(self) -> bool:
        """Whether an asset was materialized."""
        return self.event_type is DagsterEventType.ASSET_MATERIALIZATION

    @property
    def is_failure(self) -> bool:
        """Whether the run or the step failed."""
        return self.event_type in {DagsterEventType.RUN_FAILURE, DagsterEventType.STEP_FAILURE}

    @property
    def is_step_failure(self) -> bool:
        """Whether a step failed."""
        return self.event_type is DagsterEventType.STEP_FAILURE


@dataclass(frozen=True, slots=True)
class RunStatusEvent:
    """That a run reached a status; told once for each attempt, retry of the target's, and status.

    Attributes:
        run: the run; its own status may be a later one.
        status: the status reached.
        time: when it was reached.
        retry: the target's own count of retries or redrives, from 0.
        number: its place among the ended runs of its job in the order of their recording; 0 for a status
            that is no end.
    """

    run: DagsterRun
    status: DagsterRunStatus
    time: datetime
    attempt: int = 1
    retry: int = 0
    number: int = 0

    @property
    def event_id(self) -> str:
        """What a redelivery repeats."""
        return f"{self.run.run_id}/{self.attempt}/{self.retry}/{self.status}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What a redelivery of the same event repeats."""
        return ("run_status", self.event_id)

    @property
    def depth(self) -> int:
        """How many runs, one after the other, led to it, its own included."""
        return depth_of(self.run.tags)

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        return f"Run {self.run.run_id} of {self.run.job_name}: {self.status}"

    def with_run(self, run: DagsterRun) -> Self:
        """The same event of the run as it is recorded."""
        return replace(self, run=run)

    @property
    def dagster_event(self) -> DagsterEvent:
        """The event in Dagster's form, with the error if the run failed."""
        return run_event(self.run, self.status, self.time.timestamp())


def run_event(run: DagsterRun, status: DagsterRunStatus, timestamp: float = 0.0) -> DagsterEvent:
    """That a run reached a status, in Dagster's form.

    Args:
        run: the run.
        status: which.
        timestamp: seconds since the epoch.
    """
    failed = status in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED} and run.failure is not None
    error = SerializableErrorInfo(run.failure.cause, run.failure.error) if failed and run.failure else None
    words = f'Execution of run for "{run.job_name}" {_WORDS[status]}.'
    return DagsterEvent(
        EVENT_TYPES[status].value,
        run.job_name,
        f"{words} {error.to_string()}" if error else words,
        run.run_id,
        timestamp,
        event_specific_data=EventSpecificData(error),
    )


def step_failure_events(run: DagsterRun) -> list[DagsterEvent]:
    """What failed of a run, step by step, as far as its target tells of steps.

    Args:
        run: one that failed.
    """
    return [
        DagsterEvent(
            DagsterEventType.STEP_FAILURE.value,
            run.job_name,
            f'Execution of step "{step.step_key}" failed. {step.error}: {step.cause}',
            run.run_id,
            step_key=step.step_key,
            event_specific_data=EventSpecificData(SerializableErrorInfo(step.cause, step.error)),
        )
        for step in (run.failure.steps if run.failure else ())
    ]


_WORDS = {
    DagsterRunStatus.QUEUED: "was enqueued",
    DagsterRunStatus.STARTING: "is starting",
    DagsterRunStatus.STARTED: "started",
    DagsterRunStatus.SUCCESS: "succeeded",
    DagsterRunStatus.FAILURE: "failed",
    DagsterRunStatus.CANCELING: "is being canceled",
    DagsterRunStatus.CANCELED: "was canceled",
}
