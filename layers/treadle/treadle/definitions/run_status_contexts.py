"""What the function of a run status sensor sees, and how a test makes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import DagsterInvalidInvocationError
from treadle.definitions.run_events import DagsterEvent, step_failure_events
from treadle.definitions.runs import DagsterRun


@dataclass(slots=True, kw_only=True)
class RunStatusSensorContext(SensorEvaluationContext):
    """Given to the function of a run status sensor: everything of a sensor's context but the cursor.

    Attributes:
        dagster_run: the run, as it is recorded now.
        dagster_event: that it reached the status.
    """

    dagster_run: DagsterRun
    dagster_event: DagsterEvent

    @classmethod
    def of(cls, context: SensorEvaluationContext, run: DagsterRun, event: DagsterEvent) -> Self:
        """The context of one event.

        Args:
            context: the evaluation's.
            run: the run.
            event: what happened to it.
        """
        return cls.extending(context, dagster_run=run, dagster_event=event)

    @property
    def run(self) -> DagsterRun:
        """The run."""
        return self.dagster_run

    @property
    def event(self) -> DagsterEvent:
        """That it reached the status."""
        return self.dagster_event

    @property
    def pipeline_run(self) -> DagsterRun:
        """The run, as Dagster called it once."""
        return self.dagster_run

    @property
    def partition_key(self) -> str | None:
        """The partition that the run is for."""
        return self.dagster_run.partition_key

    def for_run_failure(self) -> "RunFailureSensorContext":
        """The same context for the function of a run failure sensor."""
        return RunFailureSensorContext.of(self, self.dagster_run, self.dagster_event)


@dataclass(slots=True, kw_only=True)
class RunFailureSensorContext(RunStatusSensorContext):
    """Given to the function of a run failure sensor."""

    @property
    def failure_event(self) -> DagsterEvent:
        """That the run failed, with the target's words."""
        return self.dagster_event

    def get_step_failure_events(self) -> list[DagsterEvent]:
        """What failed of the run: states of an execution, attempts of a Batch job, containers of a task.

        Empty where the target tells of none.
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
    """A context for calling a run status sensor in a test; `.for_run_failure()` makes one for a failure.

    Args:
        sensor_name: what `context.sensor_name` gives.
        dagster_event: such as `instance.finish_run(run).get_job_success_event()`.
        dagster_instance: what `context.instance` gives.
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
