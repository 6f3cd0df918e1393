"""Sensors that wait until all of several jobs have succeeded: one line each, exactly one run per batch."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.evaluation import combine
from treadle.definitions.instance import EndedRun, EndedRuns
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest, SensorExecutionData, SkipReason
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import moment
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import DagsterRunStatus

PARTITION_KEY = "partition_key"
EARLIER = ("latest", "each", "all")

PAGE = 500
MAX_WAITING = 3_000
"""So many successes may wait for the others of their batch: the cursor has room for them."""

_ENOUGH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """A success that a batch is made of.

    Attributes:
        run_id: the run.
        number: its place among the ended runs of its job.
        time: when it succeeded, in milliseconds since the epoch.
        depth: how many runs, one after the other, led to it.
    """

    run_id: str
    number: int
    time: int
    depth: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Successes of all the jobs that belong together.

    Attributes:
        key: the partition key or the tag's value that they share; None if they are not told apart by one.
        runs: by job, oldest first.
    """

    key: str | None
    runs: Mapping[str, tuple[Upstream, ...]]

    @property
    def run_key(self) -> str:
        """The same for the same successes."""
        names = sorted(f"{job}:{run.run_id}#{run.number}" for job, runs in self.runs.items() for run in runs)
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
        return digest if self.key is None else f"{self.key}#{digest}"

    @property
    def run_config(self) -> dict[str, Any]:
        """By job, the runs that the batch is made of."""
        return {"upstream": {job: [run.run_id for run in runs] for job, runs in self.runs.items()}}

    @property
    def depth(self) -> int:
        """The greatest of its runs'."""
        return max(run.depth for runs in self.runs.values() for run in runs)


@dataclass(slots=True)
class _Waiting:
    """How far each job's ends were read, and the successes that wait for others; all of it is the cursor."""

    read: dict[str, int] = field(default_factory=dict)
    successes: dict[str, dict[str, list[Upstream]]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "_Waiting":
        if not cursor:
            return cls()
        stored = json.loads(cursor)
        successes = {
            key: {job: [Upstream(*each) for each in runs] for job, runs in by_job.items()}
            for key, by_job in stored["waiting"].items()
        }
        return cls(stored["read"], successes)

    def dump(self) -> str:
        waiting = {
            key: {
                job: [[r.run_id, r.number, r.time, r.depth] for r in runs]
                for job, runs in by_job.items()
                if runs
            }
            for key, by_job in self.successes.items()
        }
        waiting = {key: by_job for key, by_job in waiting.items() if by_job}
        return json.dumps({"version": 1, "read": self.read, "waiting": waiting}, separators=(",", ":"))


class AllSucceededDefinition(SensorDefinition):
    """A sensor that asks for one run per batch of successes; see `all_succeeded`."""

    is_woken: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        *,
        upstream: Sequence[JobDefinition],
        within: timedelta,
        correlate_by: str | None,
        earlier: str,
        run_config_fn: Callable[[Batch], Mapping[str, Any]] | None,
        **options: Any,
    ) -> None:
        problems = []
        names = [job.name for job in upstream]
        if len(set(names)) < 2 or len(set(names)) < len(names):
            problems.append("jobs must name two or more different jobs")
        if within <= timedelta(0):
            problems.append("within must be longer than nothing")
        if earlier not in EARLIER:
            problems.append(f"earlier is {earlier!r}, and must be one of {', '.join(EARLIER)}")
        if problems:
            msg = f"Sensor {name!r} cannot work: {'; '.join(problems)}."
            raise DagsterInvalidDefinitionError(msg)
        super().__init__(name, evaluation_fn=self._evaluate, **options)
        self.upstream = tuple(names)
        self.within = within
        self.correlate_by = correlate_by
        self.earlier = earlier
        self._run_config_fn = run_config_fn

    def is_woken_by(self, event: SensorEvent) -> bool:
        """Whether an event is news of one of the jobs that are waited for."""
        return (
            isinstance(event, RunStatusEvent)
            and event.status is DagsterRunStatus.SUCCESS
            and event.run.job_name in self.upstream
        )

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Read on where the last tick ended, and ask for a run of each batch that is complete."""
        ends, waiting = context.ended_runs, _Waiting.load(context.cursor)
        batches: list[Batch] = []
        oldest = ends.now() - self.within
        waiting.read = {job: waiting.read.get(job, -1) for job in self.upstream}
        for job, number in waiting.read.items():
            if number < 0:
                # What succeeded before the first tick counts as far as the window reaches.
                waiting.read[job] = ends.number_at(job, oldest)
        for event in self._successes(context, ends, waiting):
            batches += self._take(waiting, event)
        dropped = self._forget(waiting, oldest)
        context.update_cursor(waiting.dump())
        requests = [self._request(batch) for batch in batches]
        data = combine(requests or [SkipReason(_words(waiting))], context, self.job_names)
        return replace(data, depth=max((batch.depth for batch in batches), default=0), set_aside=dropped)

    def _evaluate(self) -> None:
        """Never called: the definition evaluates itself."""

    def _successes(
        self, context: SensorEvaluationContext, ends: EndedRuns, waiting: _Waiting
    ) -> Iterator[EndedRun]:
        """The successes not seen yet, those of one reading in the order in which they happened."""
        while context.remaining_seconds > _ENOUGH_SECONDS:
            found = [event for job in self.upstream for event in ends.after(job, waiting.read[job], PAGE)]
            for event in found:
                waiting.read[event.job_name] = event.number
            found.sort(key=lambda event: (event.time, event.job_name, event.number))
            yield from (event for event in found if event.status is DagsterRunStatus.SUCCESS)
            if not found:
                return

    def _take(self, waiting: _Waiting, event: EndedRun) -> list[Batch]:
        """The batches that a success completes."""
        key = self._key(event)
        if key is None:
            return []
        by_job = waiting.successes.setdefault(key, {})
        success = Upstream(event.run_id, event.number, int(event.time.timestamp() * 1000), event.depth)
        known = by_job.get(event.job_name, [])
        by_job[event.job_name] = [success] if self.earlier == "latest" else [*known, success]
        if self.earlier == "each":
            return list(self._pairs(key, by_job))
        since = success.time - self._window
        for job, runs in by_job.items():
            by_job[job] = [run for run in runs if run.time >= since]
        if not all(by_job.get(job) for job in self.upstream):
            return []
        del waiting.successes[key]
        return [self._batch(key, by_job)]

    def _pairs(self, key: str, by_job: dict[str, list[Upstream]]) -> Iterator[Batch]:
        """First come, first served: the oldest of each job, as long as they lie within the window."""
        while all(by_job.get(job) for job in self.upstream):
            firsts = {job: by_job[job][0] for job in self.upstream}
            oldest = min(firsts, key=lambda job: firsts[job].time)
            if max(run.time for run in firsts.values()) - firsts[oldest].time > self._window:
                by_job[oldest].pop(0)
                continue
            for job in self.upstream:
                by_job[job].pop(0)
            yield self._batch(key, {job: [run] for job, run in firsts.items()})

    def _key(self, event: EndedRun) -> str | None:
        """What a success is told apart by; None for one that has no such thing."""
        if self.correlate_by is None:
            return ""
        return (
            event.partition_key if self.correlate_by == PARTITION_KEY else event.tags.get(self.correlate_by)
        )

    def _batch(self, key: str, by_job: Mapping[str, Sequence[Upstream]]) -> Batch:
        runs = {job: tuple(by_job[job]) for job in self.upstream}
        return Batch(None if self.correlate_by is None else key, runs)

    def _request(self, batch: Batch) -> RunRequest:
        config = self._run_config_fn(batch) if self._run_config_fn else batch.run_config
        partition = batch.key if self.correlate_by == PARTITION_KEY else None
        tags: dict[str, str] = {}
        if self.correlate_by and self.correlate_by != PARTITION_KEY and batch.key is not None:
            tags[self.correlate_by] = batch.key
        return RunRequest(batch.run_key, dict(config), tags, partition_key=partition)

    @property
    def _window(self) -> int:
        return int(self.within.total_seconds() * 1000)

    def _forget(self, waiting: _Waiting, oldest: datetime) -> tuple[tuple[str, str], ...]:
        """Drop what can complete no batch any more; what there is no room for is set aside, and named."""
        since = int(oldest.timestamp() * 1000)
        kept = [
            (run.time, key, job, run)
            for key, by_job in waiting.successes.items()
            for job, runs in by_job.items()
            for run in runs
            if run.time >= since
        ]
        kept.sort(key=lambda each: (*each[:3], each[3].number))
        surplus, kept = kept[:-MAX_WAITING], kept[-MAX_WAITING:]
        waiting.successes = {}
        for _, key, job, run in kept:
            waiting.successes.setdefault(key, {}).setdefault(job, []).append(run)
        reason = f"More than {MAX_WAITING} successes wait for others: this one of {{}} is dropped."
        return tuple((f"{job}:{run.run_id}", reason.format(moment(time))) for time, _, job, run in surplus)


def _words(waiting: _Waiting) -> str:
    present = {job for by_job in waiting.successes.values() for job, runs in by_job.items() if runs}
    missing = sorted(set(waiting.read) - present)
    if not present:
        return f"No batch is complete: nothing new of {', '.join(sorted(waiting.read))}."
    return f"No batch is complete: {', '.join(sorted(present))} succeeded, waiting for {', '.join(missing) or 'their partners'}."


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
    Treadle learnt of them, each once, so none is passed over, however late its news came. At its first tick
    the sensor also looks at what succeeded within the window before.

    Args:
        name: the sensor's.
        jobs: two or more jobs of this stack.
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
        upstream=jobs,
        within=within,
        correlate_by=correlate_by,
        earlier=earlier,
        run_config_fn=run_config_fn,
        job=request_job,
        **options,
    )
