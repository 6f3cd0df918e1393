"""Compares what recorded ticks requested with what they would request with the current code."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from treadle.definitions.canonical import canonical_json
from treadle.definitions.status import TickStatus
from treadle.model.ticks import PlannedRun, Tick
from treadle.operate.masks import MASK, Masks

if TYPE_CHECKING:
    from treadle.engine.rehearsal.rehearser import Rehearsal


class DifferenceKind(StrEnum):
    """What a rehearsal may differ in."""

    NEW = "new"
    MISSING = "missing"
    CHANGED = "changed"
    CURSOR = "cursor"
    ERROR = "error"
    RECOVERED = "recovered"


UNREHEARSED = "unrehearsed"
"""Of a tick: it cannot be rehearsed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs.

    Attributes:
        field: its path, such as `run_config.table`.
        before: as recorded, as JSON; None if it was absent.
        after: now, as JSON; None if it is absent.
    """

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between a recorded tick and its rehearsal.

    Attributes:
        kind: in what they differ.
        job: the request's job; None if it is no request's difference.
        run_key: the request's run key.
        changes: the values that differ.
        reason: why, such as the error of an evaluation or the reason why a request is rejected now.
    """

    kind: DifferenceKind
    job: str | None = None
    run_key: str | None = None
    changes: tuple[Change, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RehearsedTick:
    """The result for one tick.

    Attributes:
        tick_id: the tick's id.
        status: its recorded status.
        trigger: what it evaluated, in one line.
        differences: in what it differs; empty if in nothing.
        problem: why it cannot be rehearsed.
        same_requests: the number of requests that are the same.
        took_before: milliseconds that the evaluation took when it was recorded.
        took: milliseconds that it took now.
    """

    tick_id: str
    status: TickStatus
    trigger: str | None
    differences: tuple[Difference, ...] = ()
    problem: str | None = None
    same_requests: int = 0
    took_before: int = 0
    took: int = 0

    @property
    def kinds(self) -> set[str]:
        """The kinds of its differences, and whether it cannot be rehearsed."""
        return {UNREHEARSED} if self.problem is not None else {each.kind.value for each in self.differences}


@dataclass(slots=True)
class RehearsalReport:
    """The results of all ticks.

    Attributes:
        same: the number of ticks without a difference.
        unrehearsed: the number of ticks that cannot be rehearsed.
        same_requests: the number of requests that are the same.
        counts: the number of differences by kind.
        took_before: milliseconds that the evaluations took when they were recorded.
        took: milliseconds that they took now.
        ticks: the ticks that differ or cannot be rehearsed, oldest first.
    """

    same: int = 0
    unrehearsed: int = 0
    same_requests: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {each.value: 0 for each in DifferenceKind})
    took_before: int = 0
    took: int = 0
    ticks: list[RehearsedTick] = field(default_factory=list)

    def add(self, tick: RehearsedTick) -> None:
        """Add a tick's result."""
        if tick.problem is not None:
            self.unrehearsed += 1
        elif not tick.differences:
            self.same += 1
        if tick.kinds:
            self.ticks.append(tick)
        for each in tick.differences:
            self.counts[each.kind] += 1
        self.same_requests += tick.same_requests
        self.took_before += tick.took_before
        self.took += tick.took

    @property
    def different(self) -> int:
        """The number of ticks that differ."""
        return len(self.ticks) - self.unrehearsed

    def found(self, kinds: Collection[str]) -> list[str]:
        """Return those of the kinds that occur; `UNREHEARSED` for ticks that cannot be rehearsed."""
        numbers = {**self.counts, UNREHEARSED: self.unrehearsed}
        return [kind for kind, number in numbers.items() if number and kind in kinds]


def compared(rehearsal: "Rehearsal", masks: Masks) -> RehearsedTick:
    """Compare a tick with its rehearsal.

    Args:
        rehearsal: both.
        masks: hides values; one that was hidden when it was recorded counts as unchanged.
    """
    then, now = rehearsal.recorded.tick, rehearsal.tick
    if now is None:
        return RehearsedTick(then.tick_id, then.status, then.trigger, problem=rehearsal.problem)
    # The record of a streak of skips states only when it began and ended.
    took_before = 0 if then.skips else then.ended_at - then.started_at
    differences, same = _differences(rehearsal, now, masks)
    return RehearsedTick(
        then.tick_id,
        then.status,
        then.trigger,
        tuple(differences),
        same_requests=same,
        took_before=took_before,
        took=now.ended_at - now.started_at,
    )


def _differences(rehearsal: "Rehearsal", now: Tick, masks: Masks) -> tuple[list[Difference], int]:
    recorded = rehearsal.recorded
    then = recorded.tick
    failed = then.status is TickStatus.FAILURE
    if now.error is not None:
        return ([] if failed else [Difference(DifferenceKind.ERROR, reason=now.error.message)]), 0
    found = (
        [Difference(DifferenceKind.RECOVERED, reason=then.error.message or then.error.type)]
        if then.error
        else []
    )
    requests = list(_request_differences(then, now, masks))
    found += [each for each in requests if each is not None]
    found += _other_differences(then, now, masks)
    if recorded.knows_cursor_after and not failed:
        before, after = recorded.cursor_after or None, rehearsal.cursor_after or None
        if before != after:
            texts = (
                None if each is None else json.dumps(masks.masked_text(each)) for each in (before, after)
            )
            found.append(Difference(DifferenceKind.CURSOR, changes=(Change("cursor", *texts),)))
    return found, requests.count(None)


def _request_differences(then: Tick, now: Tick, masks: Masks) -> Iterator[Difference | None]:
    """Yield what differs for each request; None for one that is the same."""
    rejected = {each.run_key: each.reason for each in now.rejected if each.run_key}
    requested = {each.run_key: each for each in now.requests if each.run_key}
    known = {each.run_key for each in then.requests}
    for request in then.requests:
        key = request.run_key
        if key is None:
            continue
        if key in requested:
            yield _changed(request, requested[key], masks)
        else:
            yield Difference(DifferenceKind.MISSING, request.job, key, reason=rejected.get(key))
    for request in now.requests:
        if request.run_key is not None and request.run_key not in known:
            yield Difference(DifferenceKind.NEW, request.job, request.run_key)
    yield from _keyless_differences(then, now, masks)


def _keyless_differences(then: Tick, now: Tick, masks: Masks) -> Iterator[Difference | None]:
    """Compare requests without a run key: equal ones first, the others in their order, for each job."""
    left = [each for each in now.requests if each.run_key is None]
    unmatched: list[PlannedRun] = []
    for request in (each for each in then.requests if each.run_key is None):
        equal = next((each for each in left if _changed(request, each, masks) is None), None)
        if equal is None:
            unmatched.append(request)
        else:
            left.remove(equal)
            yield None
    for request in unmatched:
        other = next((each for each in left if each.job == request.job), None)
        if other is None:
            yield Difference(DifferenceKind.MISSING, request.job)
        else:
            left.remove(other)
            yield _changed(request, other, masks)
    for request in left:
        yield Difference(DifferenceKind.NEW, request.job)


def _changed(then: PlannedRun, now: PlannedRun, masks: Masks) -> Difference | None:
    if _content(then) == _content(now):
        return None
    before, after = (
        {
            "job": each.job,
            "partition_key": each.partition_key,
            "run_config": json.loads(each.run_config),
            "tags": dict(each.tags),
        }
        for each in (then, now)
    )
    changes = tuple(_changes("", before, after, masks, is_hidden=False))
    return Difference(DifferenceKind.CHANGED, then.job, then.run_key, changes) if changes else None


def _content(request: PlannedRun) -> tuple[object, ...]:
    return (request.job, request.partition_key, request.run_config, request.tags)


def _changes(path: str, before: Any, after: Any, masks: Masks, *, is_hidden: bool) -> Iterator[Change]:
    """Yield the values in which two JSON values differ."""
    if before == after or (is_hidden and before == MASK):
        return
    if is_hidden:
        yield Change(path, json.dumps(MASK), json.dumps(MASK))
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from _changes_of(path, name, before, after, masks)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (first, second) in enumerate(zip(before, after, strict=True)):
            yield from _changes(f"{path}[{index}]", first, second, masks, is_hidden=False)
    else:
        yield Change(path, json.dumps(masks.masked(before)), json.dumps(masks.masked(after)))


def _changes_of(
    path: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any], masks: Masks
) -> Iterator[Change]:
    inner, is_hidden = f"{path}.{name}" if path else name, masks.hides(name)
    if name in before and name in after:
        yield from _changes(inner, before[name], after[name], masks, is_hidden=is_hidden)
        return
    texts = (
        json.dumps(MASK if is_hidden else masks.masked(each[name])) if name in each else None
        for each in (before, after)
    )
    yield Change(inner, *texts)


def _other_differences(then: Tick, now: Tick, masks: Masks) -> Iterator[Difference]:
    """Compare asset events, and changes of dynamic partitions, each as a whole."""
    for name, values in (("asset_events", _asset_events), ("dynamic_partitions_requests", _partitions)):
        before, after = (canonical_json(masks.masked(values(each))) for each in (then, now))
        if before != after:
            yield Difference(DifferenceKind.CHANGED, changes=(Change(name, before, after),))


def _asset_events(tick: Tick) -> Sequence[Any]:
    return [
        {
            "kind": each.kind,
            "asset_key": each.asset_key.to_escaped_user_string(),
            "partition": each.partition,
            "metadata": dict(each.plain_metadata),
        }
        for each in tick.asset_events
    ]


def _partitions(tick: Tick) -> Sequence[Any]:
    """Return the requested changes, whether or not a key existed already."""
    return [
        {
            "partitions_def_name": each.partitions_def_name,
            "deletes": each.deleted_partitions is not None,
            "partition_keys": sorted(each.partition_keys),
        }
        for each in tick.dynamic_partitions_request_results
    ]
