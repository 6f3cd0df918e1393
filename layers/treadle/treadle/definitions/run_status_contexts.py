"""The context of a run status sensor's function, and how to make one in a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import DagsterInvalidInvocationError
from treadle.definitions.run_events import DagsterEvent, step_failure_events
from treadle.definitions.runs import DagsterRun


@dataclass(slots=True, kw_only=True)
class RunStatusSensorContext(SensorEvaluationContext):
    """The context of a run status sensor's function: everything of a sensor's context except the cursor.

    Attributes:
        dagster_run: the run, as it is recorded now.
        dagster_event: the event that it reached the status.
    """

    dagster_run: DagsterRun
    dagster_event: DagsterEvent

    @classmethod
    def of(cls, context: SensorEvaluationContext, run: DagsterRun, event: DagsterEvent) -> Self:
        """Make the context of one event.

        Args:
            context: of the evaluation.
            run: the run.
            event: the event.
        """
        return cls.extending(context, dagster_run=run, dagster_event=event)

    @property
    def run(self) -> DagsterRun:
        """The run."""
        return self.dagster_run

    @property
    def event(self) -> DagsterEvent:
        """The event that the run reached the status."""
        return self.dagster_event

    @property
    def pipeline_run(self) -> DagsterRun:
        """The run, under Dagster's former term."""
        return self.dagster_run

    @property
    def partition_key(self) -> str | None:
        """The run's partition."""
        return self.dagster_run.partition_key

    def for_run_failure(self) -> "RunFailureSensorContext":
        """Return the same context for the function of a run failure sensor."""
        return RunFailureSensorContext.of(self, self.dagster_run, self.dagster_event)


@dataclass(slots=True, kw_only=True)
class RunFailureSensorContext(RunStatusSensorContext):
    """The context of a run failure sensor's function."""

    @property
    def failure_event(self) -> DagsterEvent:
        """The event that the run failed, with the target's message."""
        return self.dagster_event

    def get_step_failure_events(self) -> list[DagsterEvent]:
        """Return the failed steps of the run: states of an execution, attempts of a Batch job, containers.

        Empty if the target does not report any.
        """
        return step_failure_events(self.dagster_run)


def build_run_status_sensor_context(
    sensor_name: str,
    dagster_event: DagsterEvent,
    dagster_instance: Any,
    dagster_run: DagsterRun,
    context: SensorEvaluationContext | None = None,
    resources: Mapping[str, Any] | None = None,
    partition_key: str | None = None,
) -> RunStatusSensorContext:
    """Make a context for calling a run status sensor in a test; `.for_run_failure()` makes one for a failure.

    Args:
        sensor_name: the value of `context.sensor_name`.
        dagster_event: such as `instance.finish_run(run).get_job_success_event()`.
        dagster_instance: the value of `context.instance`.
        dagster_run: such as `instance.finish_run(run).dagster_run`.
        context: another context, from which resources, log and times are taken.
        resources: by key: a `ResourceDefinition`, or the resource itself.
        partition_key: must be the run's own, if it is given.

    Raises:
        DagsterInvalidInvocationError: if the partition is not the run's.
    """
    if partition_key is not None and partition_key != dagster_run.partition_key:
        msg = (
            f"partition_key is {partition_key!r}, but the run's tag dagster/partition is "
            f"{dagster_run.partition_key!r}. Give that partition_key."
        )
        raise DagsterInvalidInvocationError(msg)
    base = context or build_sensor_context(
        instance=dagster_instance, sensor_name=sensor_name, resources=resources
    )
    return RunStatusSensorContext.of(base, dagster_run, dagster_event)
