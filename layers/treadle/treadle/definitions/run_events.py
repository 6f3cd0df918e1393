"""Events of a run: in Dagster's form, and as sensors evaluate them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialization, AssetObservation, ReportedEvent
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.runs import DagsterRun, RunFailure, depth_of
from treadle.definitions.status import DagsterRunStatus


class DagsterEventType(StrEnum):
    """Dagster's names and values of the events of a run or an asset."""

    RUN_ENQUEUED = "PIPELINE_ENQUEUED"
    RUN_STARTING = "PIPELINE_STARTING"
    RUN_START = "PIPELINE_START"
    RUN_SUCCESS = "PIPELINE_SUCCESS"
    RUN_FAILURE = "PIPELINE_FAILURE"
    RUN_CANCELING = "PIPELINE_CANCELING"
    RUN_CANCELED = "PIPELINE_CANCELED"
    # Dagster's former names of the same types.
    PIPELINE_ENQUEUED = "PIPELINE_ENQUEUED"
    PIPELINE_STARTING = "PIPELINE_STARTING"
    PIPELINE_START = "PIPELINE_START"
    PIPELINE_SUCCESS = "PIPELINE_SUCCESS"
    PIPELINE_FAILURE = "PIPELINE_FAILURE"
    PIPELINE_CANCELING = "PIPELINE_CANCELING"
    PIPELINE_CANCELED = "PIPELINE_CANCELED"
    STEP_FAILURE = "STEP_FAILURE"
    ASSET_MATERIALIZATION = "ASSET_MATERIALIZATION"
    ASSET_OBSERVATION = "ASSET_OBSERVATION"


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
    """An error as it was reported.

    Attributes:
        message: as text.
        cls_name: the error's name.
        stack: lines of its stack, if there is one.
        cause: the error that caused it: for a run, that of its first failed step, or the same error if its target
            reports no steps; None for a step.
        context: the error that was being handled; None, as no target reports it.
    """

    message: str
    cls_name: str | None = None
    stack: tuple[str, ...] = ()
    cause: "SerializableErrorInfo | None" = None
    context: "SerializableErrorInfo | None" = None

    def __str__(self) -> str:
        return self.to_string()

    def to_string(self) -> str:
        """Return the error with its name and stack, as text."""
        named = f"{self.cls_name}: {self.message}" if self.cls_name else self.message
        return "\n".join([named, *self.stack])


@dataclass(frozen=True, slots=True)
class EventSpecificData:
    """Details of an event.

    Attributes:
        error: the cause of a failure.
        materialization: of the event that an asset was updated.
        asset_observation: of the event that an asset was observed.
    """

    error: SerializableErrorInfo | None = None
    materialization: AssetMaterialization | None = None
    asset_observation: AssetObservation | None = None

    @property
    def asset_event(self) -> ReportedEvent | None:
        """The materialization or observation, of an asset's event."""
        return self.materialization or self.asset_observation


@dataclass(frozen=True, slots=True)
class DagsterEvent:
    """An event of a run, of a step of it, or of an asset.

    Attributes:
        event_type_value: such as "PIPELINE_FAILURE".
        job_name: the run's job.
        message: as text.
        run_id: the run.
        timestamp: seconds since the epoch.
        step_key: the step, for an event of a step.
        event_specific_data: further details.
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
        """The type of the event."""
        return DagsterEventType(self.event_type_value)

    @property
    def pipeline_name(self) -> str:
        """The job's name, under Dagster's former term."""
        return self.job_name

    @property
    def asset_key(self) -> AssetKey | None:
        """The asset, for an event of an asset."""
        reported = self.event_specific_data.asset_event
        return reported.asset_key if reported else None

    @property
    def partition(self) -> str | None:
        """The asset's partition, for an event of an asset."""
        reported = self.event_specific_data.asset_event
        return reported.partition if reported else None

    @property
    def materialization(self) -> AssetMaterialization:
        """The materialization, for an event of an asset.

        Raises:
            DagsterInvariantViolationError: for another event.
        """
        made = self.event_specific_data.materialization
        if made is None:
            msg = (
                f"The event has no materialization: it is of type {self.event_type_value}. Look at event_type first; "
                "ASSET_MATERIALIZATION has one."
            )
            raise DagsterInvariantViolationError(msg)
        return made

    @property
    def asset_observation_data(self) -> EventSpecificData:
        """The details of an observation.

        Raises:
            DagsterInvariantViolationError: for another event.
        """
        if not self.is_asset_observation:
            msg = (
                f"The event has no observation: it is of type {self.event_type_value}. Look at event_type first; "
                "ASSET_OBSERVATION has one."
            )
            raise DagsterInvariantViolationError(msg)
        return self.event_specific_data

    @property
    def is_step_materialization(self) -> bool:
        """Whether an asset was materialized."""
        return self.event_type is DagsterEventType.ASSET_MATERIALIZATION

    @property
    def is_asset_observation(self) -> bool:
        """Whether an asset was observed."""
        return self.event_type is DagsterEventType.ASSET_OBSERVATION

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
    """The event that a run reached a status; published once for each attempt, target's retry, and status.

    Attributes:
        run: the run; its own status may be a later one.
        status: the status reached.
        time: when it was reached.
        attempt: the number of the attempt that reached it, from 1.
        retry: the target's own count of retries or redrives, from 0.
        number: its number among the ended runs of its job in the order of recording; 0 for a status that is
            not an end.
        will_retry: True for a failure after which the run's retry policy starts another attempt.
    """

    run: DagsterRun
    status: DagsterRunStatus
    time: datetime
    attempt: int = 1
    retry: int = 0
    number: int = 0
    will_retry: bool = False

    @property
    def event_id(self) -> str:
        """What is the same in a redelivery, as text."""
        return f"{self.run.run_id}/{self.attempt}/{self.retry}/{self.status}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in a redelivery of the event."""
        return ("run_status", self.event_id)

    @property
    def item_identity(self) -> str:
        """What identifies it as an item of a batch."""
        return self.event_id

    @property
    def depth(self) -> int:
        """The number of runs that led to it, one after the other, its own included."""
        return depth_of(self.run.tags)

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""
        return f"Run {self.run.run_id} of {self.run.job_name}: {self.status}"

    def with_run(self, run: DagsterRun) -> Self:
        """Return the same event with the run as it is recorded."""
        return replace(self, run=run)

    @property
    def dagster_run(self) -> DagsterRun:
        """The run, under Dagster's name."""
        return self.run

    @property
    def dagster_event(self) -> DagsterEvent:
        """The event in Dagster's form, with the error if the run failed."""
        return run_event(self.run, self.status, self.time.timestamp())


def run_event(run: DagsterRun, status: DagsterRunStatus, timestamp: float = 0.0) -> DagsterEvent:
    """Make the event that a run reached a status, in Dagster's form.

    Args:
        run: the run.
        status: the status.
        timestamp: seconds since the epoch.
    """
    failed = status in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED} and run.failure is not None
    error = _run_error(run.failure) if failed and run.failure else None
    message = f'Execution of run for "{run.job_name}" {_TEXTS[status]}.'
    return DagsterEvent(
        EVENT_TYPES[status].value,
        run.job_name,
        f"{message} {error.to_string()}" if error else message,
        run.run_id,
        timestamp,
        event_specific_data=EventSpecificData(error),
    )


def _run_error(failure: RunFailure) -> SerializableErrorInfo:
    """Return the error of a run; its cause is what a part of the run reported, or the target of the whole."""
    parts = failure.steps[:1]
    cause = (
        SerializableErrorInfo(parts[0].cause, parts[0].error)
        if parts
        else SerializableErrorInfo(failure.cause, failure.error)
    )
    return SerializableErrorInfo(failure.cause, failure.error, cause=cause)


def step_failure_events(run: DagsterRun) -> list[DagsterEvent]:
    """Return the failed steps of a run, as far as its target reports steps.

    Args:
        run: a failed run.
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


_TEXTS = {
    DagsterRunStatus.QUEUED: "was enqueued",
    DagsterRunStatus.STARTING: "is starting",
    DagsterRunStatus.STARTED: "started",
    DagsterRunStatus.SUCCESS: "succeeded",
    DagsterRunStatus.FAILURE: "failed",
    DagsterRunStatus.CANCELING: "is being canceled",
    DagsterRunStatus.CANCELED: "was canceled",
}
