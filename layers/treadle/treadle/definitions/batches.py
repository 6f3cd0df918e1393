"""Sensors that wait until several things have happened: exactly one run per batch of them."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.evaluation import combine
from treadle.definitions.results import RunRequest, SensorExecutionData, SkipReason
from treadle.definitions.runs import moment
from treadle.definitions.sensors import SensorDefinition

PARTITION_KEY = "partition_key"
EARLIER = ("latest", "each", "all")

PAGE = 500
MAX_WAITING = 3_000
"""So much may wait for the others of its batch: the cursor has room for it."""

_ENOUGH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """What a batch is made of: a success of a job, or a materialization of an asset.

    Attributes:
        run_id: the run; of a materialization the one that made it, "" if none is known.
        number: its place among the ended runs of its job, or the materialization's storage id.
        time: when it happened, in milliseconds since the epoch.
        depth: how many runs, one after the other, led to it.
    """

    run_id: str
    number: int
    time: int
    depth: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Successes of jobs, or updates of assets, that belong together.

    Attributes:
        key: the partition key or the tag's value that they share; None if they are not told apart by one.
        runs: by job or asset, oldest first.
    """

    key: str | None
    runs: Mapping[str, tuple[Upstream, ...]]

    @property
    def run_key(self) -> str:
        """The same for the same successes or updates."""
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


@dataclass(frozen=True, slots=True)
class News:
    """Something happened that a batch may be made of.

    Attributes:
        name: the job, or the asset.
        upstream: what it would be of a batch.
        key: what it is told apart by; None if it makes no batch.
    """

    name: str
    upstream: Upstream
    key: str | None


@dataclass(slots=True)
class Waiting:
    """How far the news of each name was read, and what waits for others; all of it is the cursor.

    Attributes:
        read: the last number that was read, by name.
        parts: what waits, by what it is told apart by, and by name.
    """

    read: dict[str, int] = field(default_factory=dict)
    parts: dict[str, dict[str, list[Upstream]]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "Waiting":
        """What `dump` wrote; nothing where there is no cursor yet."""
        if not cursor:
            return cls()
        stored = json.loads(cursor)
        parts = {
            key: {job: [Upstream(*each) for each in runs] for job, runs in by_job.items()}
            for key, by_job in stored["waiting"].items()
        }
        return cls(stored["read"], parts)

    def dump(self) -> str:
        """All of it as text."""
        waiting = {
            key: {
                job: [[r.run_id, r.number, r.time, r.depth] for r in runs]
                for job, runs in by_job.items()
                if runs
            }
            for key, by_job in self.parts.items()
        }
        waiting = {key: by_job for key, by_job in waiting.items() if by_job}
        return json.dumps({"version": 1, "read": self.read, "waiting": waiting}, separators=(",", ":"))


class BatchSensorDefinition(SensorDefinition, ABC):
    """A sensor that asks for one run per batch; kinds of it say where their news comes from.

    Args:
        name: the sensor's.
        upstream: names of what is waited for.
        within: how far apart the parts of a batch may lie.
        correlate_by: `PARTITION_KEY`, or a tag's name, or None.
        earlier: what becomes of earlier news of the same name, one of `EARLIER`.
        run_config_fn: makes another run config of a batch.
        problems: what is wrong already.
        options: what else `SensorDefinition` takes.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """

    is_woken: ClassVar[bool] = True
    _made_of: ClassVar[type[Batch]] = Batch
    _things: ClassVar[str] = "successes"
    _happened: ClassVar[str] = "succeeded"

    def __init__(
        self,
        name: str,
        *,
        upstream: Sequence[str],
        within: timedelta,
        correlate_by: str | None,
        earlier: str,
        run_config_fn: Callable[[Any], Mapping[str, Any]] | None,
        problems: Sequence[str],
        **options: Any,
    ) -> None:
        found = [*problems]
        if within <= timedelta(0):
            found.append("within must be longer than nothing")
        if earlier not in EARLIER:
            found.append(f"earlier is {earlier!r}, and must be one of {', '.join(EARLIER)}")
        if found:
            msg = f"Sensor {name!r} cannot work: {'; '.join(found)}."
            raise DagsterInvalidDefinitionError(msg)
        super().__init__(name, evaluation_fn=self._evaluate, **options)
        self.upstream = tuple(upstream)
        self.within = within
        self.correlate_by = correlate_by
        self.earlier = earlier
        self._run_config_fn = run_config_fn

    @abstractmethod
    def _read(self, context: SensorEvaluationContext, name: str, number: int) -> list[News]:
        """What is numbered higher under a name, in order, at most `PAGE` of it."""

    @abstractmethod
    def _number_at(self, context: SensorEvaluationContext, name: str, moment: datetime) -> int:
        """The number of the last that had happened under a name before a moment; 0 if nothing had."""

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Read on where the last tick ended, and ask for a run of each batch that is complete."""
        waiting = Waiting.load(context.cursor)
        batches: list[Batch] = []
        oldest = context.ended_runs.now() - self.within
        waiting.read = {name: waiting.read.get(name, -1) for name in self.upstream}
        for name, number in waiting.read.items():
            if number < 0:
                # What happened before the first tick counts as far as the window reaches.
                waiting.read[name] = self._number_at(context, name, oldest)
        for news in self._news(context, waiting):
            batches += self._take(waiting, news)
        dropped = self._forget(waiting, oldest)
        context.update_cursor(waiting.dump())
        requests = [self._request(batch) for batch in batches]
        data = combine(requests or [SkipReason(self._words(waiting))], context, self.job_names)
        return replace(data, depth=max((batch.depth for batch in batches), default=0), set_aside=dropped)

    def _evaluate(self) -> None:
        """Never called: the definition evaluates itself."""

    def _news(self, context: SensorEvaluationContext, waiting: Waiting) -> Iterator[News]:
        """What has not been seen yet, that of one reading in the order in which it happened."""
        while context.remaining_seconds > _ENOUGH_SECONDS:
            found = [news for name in self.upstream for news in self._read(context, name, waiting.read[name])]
            for news in found:
                waiting.read[news.name] = news.upstream.number
            found.sort(key=lambda news: (news.upstream.time, news.name, news.upstream.number))
            yield from found
            if not found:
                return

    def _take(self, waiting: Waiting, news: News) -> list[Batch]:
        """The batches that something new completes."""
        key, part = news.key, news.upstream
        if key is None:
            return []
        by_name = waiting.parts.setdefault(key, {})
        known = by_name.get(news.name, [])
        by_name[news.name] = [part] if self.earlier == "latest" else [*known, part]
        if self.earlier == "each":
            return list(self._pairs(key, by_name))
        since = part.time - self._window
        for name, parts in by_name.items():
            by_name[name] = [each for each in parts if each.time >= since]
        if not all(by_name.get(name) for name in self.upstream):
            return []
        del waiting.parts[key]
        return [self._batch(key, by_name)]

    def _pairs(self, key: str, by_name: dict[str, list[Upstream]]) -> Iterator[Batch]:
        """First come, first served: the oldest of each name, as long as they lie within the window."""
        while all(by_name.get(name) for name in self.upstream):
            firsts = {name: by_name[name][0] for name in self.upstream}
            oldest = min(firsts, key=lambda name: firsts[name].time)
            if max(run.time for run in firsts.values()) - firsts[oldest].time > self._window:
                by_name[oldest].pop(0)
                continue
            for name in self.upstream:
                by_name[name].pop(0)
            yield self._batch(key, {name: [run] for name, run in firsts.items()})

    def _batch(self, key: str, by_name: Mapping[str, Sequence[Upstream]]) -> Batch:
        parts = {name: tuple(by_name[name]) for name in self.upstream if name in by_name}
        return self._made_of(None if self.correlate_by is None else key, parts)

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

    def _forget(self, waiting: Waiting, oldest: datetime) -> tuple[tuple[str, str], ...]:
        """Drop what can complete no batch any more; what there is no room for is set aside, and named."""
        since = int(oldest.timestamp() * 1000)
        kept = [
            (run.time, key, job, run)
            for key, by_job in waiting.parts.items()
            for job, runs in by_job.items()
            for run in runs
            if run.time >= since
        ]
        kept.sort(key=lambda each: (*each[:3], each[3].number))
        surplus, kept = kept[:-MAX_WAITING], kept[-MAX_WAITING:]
        waiting.parts = {}
        for _, key, job, run in kept:
            waiting.parts.setdefault(key, {}).setdefault(job, []).append(run)
        reason = f"More than {MAX_WAITING} {self._things} wait for others: this one of {{}} is dropped."
        return tuple(
            (f"{job}:{run.run_id or run.number}", reason.format(moment(time)))
            for time, _, job, run in surplus
        )

    def _words(self, waiting: Waiting) -> str:
        present = {name for by_name in waiting.parts.values() for name, parts in by_name.items() if parts}
        missing = sorted(set(waiting.read) - present)
        if not present:
            return f"No batch is complete: nothing new of {', '.join(sorted(waiting.read))}."
        return (
            f"No batch is complete: {', '.join(sorted(present))} {self._happened}, "
            f"waiting for {', '.join(missing) or 'their partners'}."
        )
