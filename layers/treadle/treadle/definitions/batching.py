"""Sensors that wait until several things have happened: exactly one run per batch of them."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from treadle.definitions.bounds import shown
from treadle.definitions.clocks import bounded, within_problem
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    InvalidResultError,
)
from treadle.definitions.evaluation import combine
from treadle.definitions.results import RunRequest, SensorExecutionData, SkipReason
from treadle.definitions.run_config import RunConfig
from treadle.definitions.runs import moment
from treadle.definitions.sensors import SensorDefinition

PARTITION_KEY = "partition_key"
EARLIER = ("latest", "each", "all")

PAGE = 500
MAX_WAITING = 3_000
"""So much may wait for the others of its batch: the cursor has room for it."""

LATE = timedelta(days=1)
"""How long after its window a success is kept, as the news of its partner may come late."""

KEPT_FOR_LATE = 100
"""So many successes at most are kept for late news alone: past their window, or superseded."""

MAX_NEWS = 10_000
"""So many are read in one tick at most: a tick may ask for as many runs."""

ROOM = 290_000
"""Bytes of what waits, as JSON: a cursor may have 300,000."""

_NUMBERS = 45
"""Bytes of a success beside its run's id: its number, time and depth."""

_ENOUGH_SECONDS = 5.0
_LATE_MS = int(LATE.total_seconds() * 1000)
_EVER = 10**15


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
class UpstreamEvent:
    """Something happened that a batch may be made of.

    Attributes:
        name: the job, or the asset.
        upstream: what it would be of a batch.
        key: what it is told apart by; None if it makes no batch.
    """

    name: str
    upstream: Upstream
    key: str | None


Part = tuple[str, Upstream]
"""A success under its name."""


@dataclass(slots=True)
class Waiting:
    """How far the news of each name was read, and what waits for others; all of it is the cursor.

    Attributes:
        read: the last number that was read, by name.
        parts: what waits, by what it is told apart by, and by name.
        done: time and number of the last success that is in a batch, by the same; kept for `earlier="latest"` only.
    """

    read: dict[str, int] = field(default_factory=dict)
    parts: dict[str, dict[str, list[Upstream]]] = field(default_factory=dict)
    done: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "Waiting":
        """What `dump` wrote; nothing where there is no cursor yet.

        Raises:
            DagsterInvariantViolationError: if it is something else.
        """
        if not cursor:
            return cls()
        try:
            stored = json.loads(cursor)
            parts = {
                key: {job: [_stored(*each) for each in runs] for job, runs in by_job.items()}
                for key, by_job in stored["waiting"].items()
            }
            done = {
                key: {job: (_whole(time), _whole(number)) for job, (time, number) in by_job.items()}
                for key, by_job in stored.get("done", {}).items()
            }
            read = {name: _whole(number) for name, number in stored["read"].items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            msg = (
                f"The cursor {cursor[:200]!r} is not a cursor of this kind of sensor: "
                f"{type(error).__name__}: {error}. Set it to its earlier value, or clear it to "
                "start over."
            )
            raise DagsterInvariantViolationError(msg) from error
        return cls(read, parts, done)

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
        stored = {"version": 1, "read": self.read, "waiting": waiting}
        if self.done:
            stored["done"] = self.done
        return json.dumps(stored, separators=(",", ":"))

    def bound(self, now: int) -> None:
        """Let nothing have happened far ahead of now, as nothing that happens later could supersede it."""
        for by_name in self.parts.values():
            for name, parts in by_name.items():
                by_name[name] = [_bounded(part, now) for part in parts]
        for done in self.done.values():
            for name, (time, number) in done.items():
                done[name] = (bounded(time, now), number)

    def add(self, news: UpstreamEvent) -> None:
        """Let something new wait, unless it makes no batch."""
        if news.key is not None:
            self.parts.setdefault(news.key, {}).setdefault(news.name, []).append(news.upstream)

    def in_order(self, key: str) -> list[Part]:
        """What waits under a key, in the order in which it happened."""
        found = [(name, part) for name, parts in self.parts[key].items() for part in parts]
        return sorted(found, key=_place)

    def take(self, key: str, batches: Sequence[Mapping[str, Sequence[Upstream]]]) -> None:
        """Remove what is in batches from what waits."""
        taken = {(name, part.number) for batch in batches for name, parts in batch.items() for part in parts}
        for name, parts in self.parts[key].items():
            self.parts[key][name] = [part for part in parts if (name, part.number) not in taken]

    def supersede(self, key: str, batches: Sequence[Mapping[str, Sequence[Upstream]]]) -> None:
        """Remember the successes in batches: those of the same names before them are superseded for good."""
        for batch in batches:
            done = self.done.setdefault(key, {})
            for name, parts in batch.items():
                done[name] = max([done.get(name, (0, 0)), *((part.time, part.number) for part in parts)])

    def drop_superseded(self) -> None:
        """Forget what happened before a success of the same name that is in a batch."""
        for key, done in self.done.items():
            for name, last in done.items():
                parts = self.parts.get(key, {}).get(name, [])
                if parts:
                    self.parts[key][name] = [part for part in parts if (part.time, part.number) > last]


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < _EVER:
        msg = f"{value!r:.100} is neither an event number nor a time"
        raise ValueError(msg)
    return value


def _stored(run_id: object, number: object, time: object, depth: object) -> Upstream:
    if not isinstance(run_id, str):
        msg = f"{run_id!r:.100} is not a run id"
        raise TypeError(msg)
    return Upstream(run_id, _whole(number), _whole(time), _whole(depth))


def _place(part: Part) -> tuple[int, str, int]:
    name, upstream = part
    return (upstream.time, name, upstream.number)


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
        wrong = within_problem(within)
        if wrong:
            found.append(wrong)
        if earlier not in EARLIER:
            found.append(f"earlier is {earlier!r}; it must be one of {', '.join(EARLIER)}")
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
    def _read(self, context: SensorEvaluationContext, name: str, number: int) -> list[UpstreamEvent]:
        """What is numbered higher under a name, in order: `PAGE` of it, or less if there is no more."""

    @abstractmethod
    def _number_at(self, context: SensorEvaluationContext, name: str, moment: datetime) -> int:
        """The number behind which all lies that happened under a name at a moment or later; 0 for all."""

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Read on where the last tick ended, and ask for a run of each batch that is complete.

        What waits and what is new are taken together in the order in which they happened, so it makes no
        difference in which order their news came. A batch that an earlier tick asked for stands.
        """
        waiting = Waiting.load(context.cursor)
        now = _millis(context.ended_runs.now())
        waiting.bound(now)
        first = {name for name in self.upstream if name not in waiting.read}
        for name in first:
            # What happened before the first tick counts as far as the window reaches.
            waiting.read[name] = self._number_at(context, name, moment(now - self._window))
        waiting.read = {name: waiting.read[name] for name in self.upstream}
        known_to = self._read_on(context, waiting, now, first)
        batches = self._completed(waiting, known_to)
        dropped = self._forget(waiting, min(now, known_to))
        context.update_cursor(waiting.dump())
        requests = [self._request(batch) for batch in batches]
        data = combine(requests or [SkipReason(self._words(waiting, now))], context, self.job_names)
        return replace(data, depth=max((batch.depth for batch in batches), default=0), set_aside=dropped)

    def _evaluate(self) -> None:
        """Never called: the definition evaluates itself."""

    @property
    def _supersedes(self) -> bool:
        """Whether a later success takes the place of an earlier one of the same name."""
        return self.earlier == "latest"

    def _read_on(
        self, context: SensorEvaluationContext, waiting: Waiting, now: int, first: Collection[str]
    ) -> int:
        """Let all that is new wait; the time up to which everything is known.

        A tick reads so much at most, and until its time is nearly over. What is least far is read first, so that
        little is left whose partners have not been read yet.

        Args:
            context: the evaluation's.
            waiting: read on.
            now: the time; what is said to lie far ahead of it has happened now.
            first: names that are read for the first time: what lies before the window is passed over.
        """
        reached, number = dict.fromkeys(self.upstream, -1), 0
        while reached and number < MAX_NEWS:
            name = min(reached, key=lambda name: reached[name])
            # One page of each in any case: otherwise a tick that is always short of time would never come further.
            if reached[name] >= 0 and context.remaining_seconds <= _ENOUGH_SECONDS:
                break
            found = self._read(context, name, waiting.read[name])
            for news in found:
                if name not in first or news.upstream.time >= now - self._window:
                    waiting.add(replace(news, upstream=_bounded(news.upstream, now)))
            if found:
                number += len(found)
                waiting.read[name] = found[-1].upstream.number
                reached[name] = bounded(found[-1].upstream.time, now)
            if len(found) < PAGE:
                del reached[name]
        return min(reached.values(), default=_EVER)

    def _completed(self, waiting: Waiting, known_to: int) -> list[Batch]:
        """The batches of what waits, in the order in which they were complete; it waits no longer.

        Args:
            waiting: what has happened, and is in no batch yet.
            known_to: what happened later is left alone, as not all of it has been read.
        """
        found: list[tuple[tuple[int, str, int], str, Batch]] = []
        waiting.done = waiting.done if self._supersedes else {}
        waiting.drop_superseded()
        for key in waiting.parts:
            parts = [part for part in waiting.in_order(key) if part[1].time <= known_to]
            batches = list(self._fold(parts))
            waiting.take(key, batches)
            if self._supersedes:
                waiting.supersede(key, batches)
            for by_name in batches:
                last = max(_place((name, part)) for name, parts_ in by_name.items() for part in parts_)
                found.append((last, key, self._batch(key, by_name)))
        waiting.drop_superseded()
        return [batch for _, _, batch in sorted(found, key=lambda each: each[:2])]

    def _fold(self, parts: Sequence[Part]) -> Iterator[dict[str, list[Upstream]]]:
        """The batches that parts make, which are in the order in which they happened."""
        by_name: dict[str, deque[Upstream]] = {name: deque() for name in self.upstream}
        for name, part in parts:
            if name not in by_name:
                continue  # It is not waited for any more.
            if self._supersedes:
                by_name[name].clear()
            by_name[name].append(part)
            for each in by_name.values():
                while each and each[0].time < part.time - self._window:
                    each.popleft()
            if not all(by_name.values()):
                continue
            if self.earlier == "each":
                yield {each: [waiting.popleft()] for each, waiting in by_name.items()}
            else:
                yield {each: list(waiting) for each, waiting in by_name.items()}
                by_name = {each: deque() for each in by_name}

    def _batch(self, key: str, by_name: Mapping[str, Sequence[Upstream]]) -> Batch:
        parts = {name: tuple(by_name[name]) for name in self.upstream if name in by_name}
        return self._made_of(None if self.correlate_by is None else key, parts)

    def _request(self, batch: Batch) -> RunRequest:
        config: object = self._run_config_fn(batch) if self._run_config_fn else batch.run_config
        if not isinstance(config, Mapping | RunConfig):
            msg = (
                f"run_config_fn of sensor {self.name} returned {shown(config)}: return a dict or a RunConfig."
            )
            raise InvalidResultError(msg)
        partition = batch.key if self.correlate_by == PARTITION_KEY else None
        tags: dict[str, str] = {}
        if self.correlate_by and self.correlate_by != PARTITION_KEY and batch.key is not None:
            tags[self.correlate_by] = batch.key
        return RunRequest(batch.run_key, config, tags, partition_key=partition)

    @property
    def _window(self) -> int:
        return int(self.within.total_seconds() * 1000)

    def _forget(self, waiting: Waiting, now: int) -> tuple[tuple[str, str], ...]:
        """Drop what there is no room for; what could still complete a batch is set aside, and named.

        Args:
            waiting: what is in no batch yet.
            now: the time, or an earlier one up to which everything is known.
        """
        open_, late = self._by_prospect(waiting, now)
        room = Room()
        kept = room.newest(open_, MAX_WAITING)
        surplus = open_[: len(open_) - len(kept)]
        kept += room.newest(late, KEPT_FOR_LATE)
        waiting.parts = {}
        for _, key, job, run in sorted(kept, key=_waiting_place):
            waiting.parts.setdefault(key, {}).setdefault(job, []).append(run)
        done = [
            (last[0], key, name, Upstream("", last[1], last[0], 0))
            for key, by_name in waiting.done.items()
            for name, last in by_name.items()
            if last[0] >= now - self._window - _LATE_MS
        ]
        waiting.done = {}
        for _, key, name, last in room.newest(sorted(done, key=_waiting_place), KEPT_FOR_LATE):
            waiting.done.setdefault(key, {})[name] = (last.time, last.number)
        reason = f"Too many {self._things} are waiting for others: this one of {{}} is dropped."
        return tuple(
            (f"{job}:{run.run_id or run.number}", reason.format(moment(time)))
            for time, _, job, run in surplus
        )

    def _by_prospect(self, waiting: Waiting, now: int) -> tuple[list["_Kept"], list["_Kept"]]:
        """What may complete a batch as things go on, and what late news alone can complete one with."""
        open_: list[_Kept] = []
        late: list[_Kept] = []
        for key, by_name in waiting.parts.items():
            for name, parts in by_name.items():
                newest = max(((part.time, part.number) for part in parts), default=None)
                for part in parts:
                    is_superseded = self._supersedes and (part.time, part.number) != newest
                    # What happened later than all is known of is still to be put in its place.
                    is_open = part.time >= now - self._window and (part.time > now or not is_superseded)
                    if is_open or part.time >= now - self._window - _LATE_MS:
                        (open_ if is_open else late).append((part.time, key, name, part))
        return sorted(open_, key=_waiting_place), sorted(late, key=_waiting_place)

    def _words(self, waiting: Waiting, now: int) -> str:
        present = {name for _, _, name, _ in self._by_prospect(waiting, now)[0]}
        missing = sorted(set(waiting.read) - present)
        if not present:
            return f"No batch is complete: nothing new of {', '.join(sorted(waiting.read))}."
        return (
            f"No batch is complete: {', '.join(sorted(present))} {self._happened}, "
            f"waiting for {', '.join(missing) or 'their partners'}."
        )


_Kept = tuple[int, str, str, Upstream]


@dataclass(slots=True)
class Room:
    """What is left of a cursor's size.

    Attributes:
        bytes: how many, as JSON.
        keys: that are written already, and names under them.
    """

    bytes: int = ROOM
    keys: set[tuple[str, ...]] = field(default_factory=set)

    def newest(self, found: Sequence[_Kept], most: int) -> list[_Kept]:
        """As many of the newest as there is room for.

        Args:
            found: the oldest first.
            most: how many at most.
        """
        kept: list[_Kept] = []
        for each in reversed(found[-most:]):
            _, key, name, part = each
            size = _NUMBERS + len(json.dumps(part.run_id))
            for written in ((key,), (key, name)):
                size += 0 if written in self.keys else len(json.dumps(written[-1])) + 6
            if size > self.bytes:
                break
            self.bytes -= size
            self.keys |= {(key,), (key, name)}
            kept.append(each)
        return kept[::-1]


def _waiting_place(kept: _Kept) -> tuple[int, str, str, int]:
    return (*kept[:3], kept[3].number)


def _bounded(upstream: Upstream, now: int) -> Upstream:
    time = bounded(upstream.time, now)
    return upstream if upstream.time == time else replace(upstream, time=time)


def _millis(time: datetime) -> int:
    return int(time.timestamp() * 1000)
