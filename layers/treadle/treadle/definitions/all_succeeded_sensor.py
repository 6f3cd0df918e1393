"""Sensors that wait until all of several jobs have succeeded: one line each, exactly one run per batch."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from treadle.definitions.batching import (
    PAGE,
    PARTITION_KEY,
    Batch,
    BatchSensorDefinition,
    Upstream,
    UpstreamEvent,
)
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.event_numbers import check_is_recorded
from treadle.definitions.instance import EndedRun
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DagsterRunStatus


class AllSucceededDefinition(BatchSensorDefinition):
    """A sensor that asks for one run per batch of successes; see `all_succeeded`."""

    kind: ClassVar[str] = "all_succeeded"

    def __init__(self, name: str, *, jobs: Sequence[JobDefinition], **options: Any) -> None:
        names = [job.name for job in jobs]
        problems = []
        if len(set(names)) < 2 or len(set(names)) < len(names):
            problems.append("jobs must name two or more different jobs")
        super().__init__(name, upstream=names, problems=problems, **options)

    def is_woken_by(self, event: SensorEvent) -> bool:
        """Whether an event is news of one of the jobs that are waited for."""
        return (
            isinstance(event, RunStatusEvent)
            and event.status is DagsterRunStatus.SUCCESS
            and event.run.job_name in self.upstream
        )

    def _read(self, context: SensorEvaluationContext, name: str, number: int) -> list[UpstreamEvent]:
        # From the number itself: the end there costs no further request, and shows that the cursor is of this table.
        found = context.ended_runs.after(name, max(number - 1, 0), PAGE + 1 if number else PAGE)
        check_is_recorded(self.name, f"the completed runs of job {name}", number, is_recorded=bool(found))
        return [UpstreamEvent(name, _upstream(run), self._key(run)) for run in found if run.number > number]

    def _number_at(self, context: SensorEvaluationContext, name: str, moment: datetime) -> int:
        return context.ended_runs.number_at(name, moment)

    def _key(self, run: EndedRun) -> str | None:
        """What a success is told apart by; None for one that has no such thing, and for what is no success."""
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
    run_config_fn: Callable[[Batch], Mapping[str, Any]] | None = None,
    **options: Any,
) -> AllSucceededDefinition:
    """A sensor that starts a job once all of several jobs have succeeded; exactly one run per batch.

    A batch is one success of each job, all within a window. The successes are read in the order in which
    Treadle learned of them, each once, so none is passed over, however late its news came. A tick takes all that
    is known and in no batch yet by the times at which it happened, so the order of the news makes no difference.
    A batch that was asked for stands: a success that becomes known later waits for partners that are in none, or,
    with "latest", is superseded if a later one of its job is in a batch. At its first tick the sensor also looks
    at what succeeded within the window before.

    Args:
        name: the sensor's.
        jobs: two or more jobs of this engine.
        within: how far apart the successes of a batch may lie.
        request_job: the job to start. Its run config is `{"upstream": {job: [run ids]}}`.
        correlate_by: "partition_key", or a tag's name: only successes with the same value make a batch, and
            those without one make none. None: successes are not told apart.
        earlier: what becomes of a job's earlier successes when it succeeds again before a batch is complete:
            "latest" forgets them, "each" keeps them for batches of their own, first come, first served, and
            "all" hands all of them to the one batch.
        run_config_fn: makes another run config of a batch.
        options: what else `SensorDefinition` takes, such as `default_status`.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """
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
