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
from treadle.definitions.runs import from_millis
from treadle.definitions.sensors import SensorDefinition

PARTITION_KEY = "partition_key"
EARLIER = ("latest", "each", "all")

PAGE = 500
MAX_WAITING = 3_000
"""Maximum number of parts that wait for the others of their batch: the cursor has room for them."""

LATE = timedelta(days=1)
"""How long after its window a success is kept, as the event of its partner may arrive late."""

KEPT_FOR_LATE = 100
"""Maximum number of successes kept only for late events: those past their window, or superseded."""

MAX_EVENTS = 10_000
"""Maximum number of events read in one tick: a tick may make as many requests."""

ROOM = 290_000
"""Bytes of the waiting parts, as JSON: a cursor may have 300,000."""

_NUMBERS = 45
"""Bytes of a success without its run id: its number, time and depth."""

_ENOUGH_SECONDS = 5.0
_LATE_MS = int(LATE.total_seconds() * 1000)
_EVER = 10**15


@dataclass(frozen=True, slots=True)
class Upstream:
    """A part of a batch: a success of a job, or a materialization of an asset.

    Attributes:
        run_id: the run; for a materialization the run that made it, "" if none is known.
        number: its number among the ended runs of its job, or the materialization's storage id.
        time: when it happened, in milliseconds since the epoch.
        depth: the chain depth.
    """

    run_id: str
    number: int
    time: int
    depth: int


@dataclass(frozen=True, slots=True)
class UpstreamBatch:
    """Successes of jobs, or updates of assets, that belong together.

    Attributes:
        key: the partition key or the tag value that they share; None if they are not correlated by one.
        runs: by job or asset, oldest first.
    """

    key: str | None
    runs: Mapping[str, tuple[Upstream, ...]]

    @property
    def run_key(self) -> str:
        """The run key, the same for the same successes or updates."""
        names = sorted(f"{job}:{run.run_id}#{run.number}" for job, runs in self.runs.items() for run in runs)
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
        return digest if self.key is None else f"{self.key}#{digest}"

    @property
    def run_config(self) -> dict[str, Any]:
        """The runs of the batch, by job."""
        return {"upstream": {job: [run.run_id for run in runs] for job, runs in self.runs.items()}}

    @property
    def depth(self) -> int:
        """The greatest chain depth of its runs."""
        return max(run.depth for runs in self.runs.values() for run in runs)


@dataclass(frozen=True, slots=True)
class UpstreamEvent:
    """An event that may become a part of a batch.

    Attributes:
        name: the job, or the asset.
        upstream: the part.
        key: the correlation key; None if it makes no batch.
    """

    name: str
    upstream: Upstream
    key: str | None


Part = tuple[str, Upstream]
"""A success with its name."""


@dataclass(slots=True)
class Waiting:
    """The last event read under each name, and the parts that wait for others; all of it is the cursor.

    Attributes:
        read: the last number that was read, by name.
        parts: the waiting parts, by correlation key, and by name.
        done: time and number of the last success in a batch, by the same; kept for `earlier="latest"` only.
    """

    read: dict[str, int] = field(default_factory=dict)
    parts: dict[str, dict[str, list[Upstream]]] = field(default_factory=dict)
    done: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "Waiting":
        """Parse the text that `dump` wrote; return an empty value if there is no cursor yet.

        Raises:
            DagsterInvariantViolationError: if it has another format.
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
        """Return all of it as text."""
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
        """Limit all times to now, as nothing that happens later could supersede a part from the future."""
        for by_name in self.parts.values():
            for name, parts in by_name.items():
                by_name[name] = [_bounded(part, now) for part in parts]
        for done in self.done.values():
            for name, (time, number) in done.items():
                done[name] = (bounded(time, now), number)

    def add(self, event: UpstreamEvent) -> None:
        """Add a new part, unless it makes no batch."""
        if event.key is not None:
            self.parts.setdefault(event.key, {}).setdefault(event.name, []).append(event.upstream)

    def in_order(self, key: str) -> list[Part]:
        """Return the parts waiting under a key, in the order in which they happened."""
        found = [(name, part) for name, parts in self.parts[key].items() for part in parts]
        return sorted(found, key=_place)

    def take(self, key: str, batches: Sequence[Mapping[str, Sequence[Upstream]]]) -> None:
        """Remove the parts of batches from the waiting parts."""
        taken = {(name, part.number) for batch in batches for name, parts in batch.items() for part in parts}
        for name, parts in self.parts[key].items():
            self.parts[key][name] = [part for part in parts if (name, part.number) not in taken]

    def supersede(self, key: str, batches: Sequence[Mapping[str, Sequence[Upstream]]]) -> None:
        """Record the successes in batches: earlier ones of the same names are superseded."""
        for batch in batches:
            done = self.done.setdefault(key, {})
            for name, parts in batch.items():
                done[name] = max([done.get(name, (0, 0)), *((part.time, part.number) for part in parts)])

    def drop_superseded(self) -> None:
        """Drop parts that happened before a success of the same name that is in a batch."""
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


class UpstreamBatchSensorDefinition(SensorDefinition, ABC):
    """A sensor that requests one run per batch; subclasses read the events.

    Args:
        name: the sensor's name.
        upstream: names of the upstream jobs or assets.
        within: how far apart the parts of a batch may lie.
        correlate_by: `PARTITION_KEY`, or the name of a tag, or None.
        earlier: how to treat earlier events of the same name, one of `EARLIER`.
        run_config_fn: makes a different run config from a batch.
        problems: those already found.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """

    is_woken: ClassVar[bool] = True
    _made_of: ClassVar[type[UpstreamBatch]] = UpstreamBatch
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
        """Return the events with higher numbers under a name, in order: `PAGE` of them, or the rest."""

    @abstractmethod
    def _number_at(self, context: SensorEvaluationContext, name: str, time: datetime) -> int:
        """Return the number after which all events at or after a time lie; 0 for all."""

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Read on from where the last tick ended, and request a run for each complete batch.

        Waiting and new parts are ordered by the time at which they happened, so the order of arrival makes no
        difference. A batch that an earlier tick requested is never changed.
        """
        waiting = Waiting.load(context.cursor)
        now = _millis(context.ended_runs.now())
        waiting.bound(now)
        first = {name for name in self.upstream if name not in waiting.read}
        for name in first:
            # Events before the first tick count as far as the window reaches.
            waiting.read[name] = self._number_at(context, name, from_millis(now - self._window))
        waiting.read = {name: waiting.read[name] for name in self.upstream}
        known_to = self._read_on(context, waiting, now, first)
        batches = self._completed(waiting, known_to)
        dropped = self._forget(waiting, min(now, known_to))
        context.update_cursor(waiting.dump())
        requests = [self._request(batch) for batch in batches]
        data = combine(requests or [SkipReason(self._skip_text(waiting, now))], context, self.job_names)
        return replace(data, depth=max((batch.depth for batch in batches), default=0), rejected=dropped)

    def _evaluate(self) -> None:
        """Never called: the definition evaluates itself."""

    @property
    def _supersedes(self) -> bool:
        """Whether a later success replaces an earlier one of the same name."""
        return self.earlier == "latest"

    def _read_on(
        self, context: SensorEvaluationContext, waiting: Waiting, now: int, first: Collection[str]
    ) -> int:
        """Add all new events to the waiting parts; return the time up to which everything is known.

        A tick reads a limited number of events, and stops when its time is nearly over. Names furthest behind
        are read first, so that few parts are left whose partners have not been read yet.

        Args:
            context: of the evaluation.
            waiting: receives the events.
            now: the current time; an event with a time far ahead of it counts as happening now.
            first: names that are read for the first time: events before the window are skipped.
        """
        reached, number = dict.fromkeys(self.upstream, -1), 0
        while reached and number < MAX_EVENTS:
            name = min(reached, key=lambda name: reached[name])
            # One page of each in any case: a tick that is always short of time must still make progress.
            if reached[name] >= 0 and context.remaining_seconds <= _ENOUGH_SECONDS:
                break
            found = self._read(context, name, waiting.read[name])
            for event in found:
                if name not in first or event.upstream.time >= now - self._window:
                    waiting.add(replace(event, upstream=_bounded(event.upstream, now)))
            if found:
                number += len(found)
                waiting.read[name] = found[-1].upstream.number
                reached[name] = bounded(found[-1].upstream.time, now)
            if len(found) < PAGE:
                del reached[name]
        return min(reached.values(), default=_EVER)

    def _completed(self, waiting: Waiting, known_to: int) -> list[UpstreamBatch]:
        """Remove and return the complete batches, in the order in which they were completed.

        Args:
            waiting: parts that are in no batch yet.
            known_to: later parts are left alone, as not all events after this time have been read.
        """
        found: list[tuple[tuple[int, str, int], str, UpstreamBatch]] = []
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
        """Yield the batches that parts make, which are in the order in which they happened."""
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

    def _batch(self, key: str, by_name: Mapping[str, Sequence[Upstream]]) -> UpstreamBatch:
        parts = {name: tuple(by_name[name]) for name in self.upstream if name in by_name}
        return self._made_of(None if self.correlate_by is None else key, parts)

    def _request(self, batch: UpstreamBatch) -> RunRequest:
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
        """Drop parts for which there is no room; return those that could still complete a batch, as rejected.

        Args:
            waiting: parts that are in no batch yet.
            now: the current time, or an earlier one up to which everything is known.
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
            (f"{job}:{run.run_id or run.number}", reason.format(from_millis(time)))
            for time, _, job, run in surplus
        )

    def _by_prospect(self, waiting: Waiting, now: int) -> tuple[list["_Kept"], list["_Kept"]]:
        """Return the parts that new events may complete, and those that only late events can complete."""
        open_: list[_Kept] = []
        late: list[_Kept] = []
        for key, by_name in waiting.parts.items():
            for name, parts in by_name.items():
                newest = max(((part.time, part.number) for part in parts), default=None)
                for part in parts:
                    is_superseded = self._supersedes and (part.time, part.number) != newest
                    # Parts later than the time up to which everything is known still have to be ordered.
                    is_open = part.time >= now - self._window and (part.time > now or not is_superseded)
                    if is_open or part.time >= now - self._window - _LATE_MS:
                        (open_ if is_open else late).append((part.time, key, name, part))
        return sorted(open_, key=_waiting_place), sorted(late, key=_waiting_place)

    def _skip_text(self, waiting: Waiting, now: int) -> str:
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
    """The free space in a cursor.

    Attributes:
        bytes: as JSON.
        keys: keys that are already written, and the names under them.
    """

    bytes: int = ROOM
    keys: set[tuple[str, ...]] = field(default_factory=set)

    def newest(self, found: Sequence[_Kept], most: int) -> list[_Kept]:
        """Return as many of the newest as there is room for.

        Args:
            found: the oldest first.
            most: the maximum number.
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
