"""Sensors that wait until all of several jobs have succeeded: one line each, exactly one run per batch."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Unpack

from treadle.definitions.batching import (
    PAGE,
    PARTITION_KEY,
    Upstream,
    UpstreamBatch,
    UpstreamBatchSensorDefinition,
    UpstreamEvent,
)
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.event_numbers import check_is_recorded
from treadle.definitions.instance import EndedRun
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.options import UntargetedOptions, check_options
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DagsterRunStatus


class AllSucceededDefinition(UpstreamBatchSensorDefinition):
    """A sensor that requests one run per batch of successes; see `all_succeeded`."""

    kind: ClassVar[str] = "all_succeeded"

    def __init__(self, name: str, *, jobs: Sequence[JobDefinition], **options: Any) -> None:
        names = [job.name for job in jobs]
        problems = []
        if len(set(names)) < 2 or len(set(names)) < len(names):
            problems.append("jobs must name two or more different jobs")
        super().__init__(name, upstream=names, problems=problems, **options)

    def is_woken_by(self, event: SensorEvent) -> bool:
        """Return whether an event belongs to one of the upstream jobs."""
        return (
            isinstance(event, RunStatusEvent)
            and event.status is DagsterRunStatus.SUCCESS
            and event.run.job_name in self.upstream
        )

    def _read(self, context: SensorEvaluationContext, name: str, number: int) -> list[UpstreamEvent]:
        # Start at the number itself: reading that end costs no further request, and checks the cursor.
        found = context.ended_runs.after(name, max(number - 1, 0), PAGE + 1 if number else PAGE)
        check_is_recorded(self.name, f"the completed runs of job {name}", number, is_recorded=bool(found))
        return [UpstreamEvent(name, _upstream(run), self._key(run)) for run in found if run.number > number]

    def _number_at(self, context: SensorEvaluationContext, name: str, time: datetime) -> int:
        return context.ended_runs.number_at(name, time)

    def _key(self, run: EndedRun) -> str | None:
        """Return the correlation key of a success; None for a run without one, and for any other status."""
        if run.status is not DagsterRunStatus.SUCCESS:
            return None
        if self.correlate_by is None:
            return ""
        return run.partition_key if self.correlate_by == PARTITION_KEY else run.tags.get(self.correlate_by)


def _upstream(run: EndedRun) -> Upstream:
    return Upstream(run.run_id, run.number, int(run.time.timestamp() * 1000), run.depth)


def all_succeeded(
    name: str,
    *,
    jobs: Sequence[JobDefinition],
    within: timedelta,
    request_job: JobDefinition,
    correlate_by: str | None = None,
    earlier: str = "latest",
    run_config_fn: Callable[[UpstreamBatch], Mapping[str, Any]] | None = None,
    **options: Unpack[UntargetedOptions],
) -> AllSucceededDefinition:
    """Make a sensor that starts a job once all of several jobs have succeeded; exactly one run per batch.

    A batch is one success of each job, all within a window. Successes are read in the order in which Treadle
    recorded them, each once, so none is missed, however late its event arrived. A tick orders all known
    successes that are not in a batch yet by the time at which they happened, so the order of arrival makes no
    difference. A requested batch is never changed: a success recorded later waits for partners that are in no
    batch, or, with "latest", is superseded if a later one of its job is in a batch. The first tick also reads
    the successes within the window before it.

    Args:
        name: the sensor's name.
        jobs: two or more jobs of this engine.
        within: how far apart the successes of a batch may lie.
        request_job: the job to start. Its run config is `{"upstream": {job: [run ids]}}`.
        correlate_by: "partition_key", or the name of a tag: only successes with the same value make a batch,
            and those without one are ignored. None: any successes make a batch.
        earlier: how to treat a job's earlier successes when it succeeds again before a batch is complete:
            "latest" drops them, "each" keeps them for further batches, first in, first out, and "all" puts
            all of them into the one batch.
        run_config_fn: makes a different run config from a batch.
        options: other arguments of `SensorDefinition`, such as `default_status`.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """
    check_options(all_succeeded, options)
    return AllSucceededDefinition(
        name,
        jobs=jobs,
        within=within,
        correlate_by=correlate_by,
        earlier=earlier,
        run_config_fn=run_config_fn,
        job=request_job,
        **options,
    )
