"""Evidence that a sensor's runs create the objects that the sensor watches. Pure; performs no I/O."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from treadle.engine.identity import event_tick_time
from treadle.model.runs import Run
from treadle.model.targets import UNANSWERING, kind_of

LINKS = 30
"""This many objects in a row, each created while the run of the one before was in progress, are a loop."""

NAMED_LINKS = 10
"""This many objects in a row, each with the id of the run of the one before in its key, are a loop."""

WIDTH = 10
"""The most chains at once that are found, of thirty links each; with more runs in progress, nothing shows who writes."""

STEADY = 0.6
"""Where several chains are in progress, at least this part of the most runs is in progress at each object."""

GROWTH = 32.0
"""A tree of objects is a loop if it grows by this factor in its generations, at the rate of the last one."""

GENERATIONS = 3
"""The least number of generations that such a tree has."""

LAG_MS = 2_000
"""An object may be created this long after the end of its run: the clocks of services differ."""

UNREPORTED_MS = 10_000
"""How long a run counts as in progress whose target never reports an end."""

PERIODIC = 2
"""Objects are periodic if the times between them vary this much less than the times since the start of a run."""

STEADY_MS = 500
"""Times since the start of a run that vary less say nothing about where the objects come from."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class WatchedObject:
    """An object that a sensor has found, with its runs as one.

    Attributes:
        created: when it was created, in milliseconds; None if only a sweep has found it, which does not know.
        requested: when its runs were requested.
        started: when the first of its runs started; None if none has.
        ended: when the last of its runs ended; None if one has not.
        run_ids: its runs.
        run_keys: their run keys, which contain the object's key unless the sensor sets its own.
    """

    created: int | None
    requested: int
    started: int | None = None
    ended: int | None = None
    run_ids: frozenset[str] = frozenset()
    run_keys: tuple[str, ...] = ()

    def may_write_at(self, time: int) -> bool:
        """Return whether one of its runs was in progress at a time."""
        return self.started is not None and self.started <= time and not self.is_over(time)

    def is_over(self, time: int) -> bool:
        """Return whether all of its runs had ended by a time."""
        return self.ended is not None and self.ended <= time


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a sensor's last runs show.

    Attributes:
        loop: what looks like a loop, as a clause; "" if nothing does.
        links: how many links of a loop there are, up to the last object.
        needs_more: True if earlier runs could complete the evidence.
        is_outside: True if none of the runs was in progress, or had just ended, when the last object was created.
    """

    loop: str = ""
    links: int = 0
    needs_more: bool = False
    is_outside: bool = False


def objects_of(runs: Iterable[Run], since: int = 0) -> list[WatchedObject]:
    """Group runs by the object that they are for.

    Args:
        runs: the runs, in any order.
        since: only runs created after this time.
    """
    by_tick: dict[str, list[Run]] = {}
    for run in runs:
        if run.created_at > since:
            by_tick.setdefault(run.tick_id, []).append(run)
    return [_object(tick_id, group) for tick_id, group in by_tick.items()]


def _object(tick_id: str, runs: Sequence[Run]) -> WatchedObject:
    ends = [_end(run) for run in runs]
    return WatchedObject(
        event_tick_time(tick_id),
        min(run.created_at for run in runs),
        min((run.started_at for run in runs if run.started_at is not None), default=None),
        None if None in ends else max(end for end in ends if end is not None),
        frozenset(run.run_id for run in runs),
        tuple(run.run_key for run in runs if run.run_key),
    )


def _end(run: Run) -> int | None:
    if run.ended_at is None and run.started_at is not None and kind_of(run.target or "") in UNANSWERING:
        return run.started_at + UNREPORTED_MS
    return run.ended_at


def find_loop(objects: Iterable[WatchedObject], last: WatchedObject) -> Evidence:
    """Judge whether the last object, and those before it, were created by the runs of earlier ones.

    Args:
        objects: the objects before it, in any order.
        last: the last object, which has no runs yet.
    """
    seen = _Seen([*sorted(objects, key=_order), last])
    chains = [_chain(seen, width) for width in range(1, WIDTH + 1)]
    links, width = max((len(chain) // width, -width) for width, chain in enumerate(chains, 1))
    named = _named_links(seen.objects)
    tree = _generations(seen)
    loop = ""
    if named >= NAMED_LINKS:
        loop = f"{named} objects in a row have the id of the run of the one before in their keys"
    elif links >= LINKS:
        chain = f"{links} objects in a row were created while the run of the one before was in progress"
        loop = chain if width == -1 else f"in {-width} chains at once, {chain}"
    elif tree:
        loop = (
            f"{tree} generations of objects were created during the runs of the generation before, and grow"
        )
    known = sum(each.created is not None for each in seen.objects)
    is_whole = any(0 < len(chain) == known - width for width, chain in enumerate(chains, 1))
    needs_more = not loop and (is_whole or named > 0 or _may_grow(seen.objects))
    return Evidence(loop, links, needs_more, not seen.writers(len(seen.objects) - 1))


def _order(each: WatchedObject) -> tuple[int, int]:
    return (each.requested if each.created is None else each.created, each.requested)


class _Seen:
    """Objects in their order, and the runs that may have created them.

    Attributes:
        objects: the objects.
    """

    def __init__(self, objects: Sequence[WatchedObject]) -> None:
        self.objects = objects
        self._writers: dict[int, list[int]] = {}

    def writers(self, index: int) -> list[int]:
        """Return the indexes of the earlier objects whose runs may have created an object."""
        if index not in self._writers:
            self._writers[index] = list(self._found(index))
        return self._writers[index]

    def _found(self, index: int) -> Iterator[int]:
        time = self.objects[index].created
        if time is None:
            return
        found, just_ended = [], []
        for at, each in enumerate(self.objects[:index]):
            if each.may_write_at(time):
                found.append(at)
            elif (
                each.started is not None
                and each.ended is not None
                and each.started <= time <= each.ended + LAG_MS
            ):
                just_ended.append((each.ended, at))
        yield from found or [at for _, at in sorted(just_ended)[-WIDTH:]]


@dataclass(frozen=True, slots=True)
class _Link:
    """An object, and the run of the object before that may have created it.

    Attributes:
        interval: how long it was created after the object before.
        phase: how long it was created after the start of the run.
        writers: how many runs may have created it.
    """

    interval: int
    phase: int
    writers: int


def _chain(seen: _Seen, width: int) -> list[_Link]:
    """Return the links, from the last object back, of a number of chains at once; none if something else explains them.

    Where one chain is in progress, the run of the object before may have created the next one. Where there are
    several, each object is created while the run of the object as many before is in progress.
    """
    chain: list[_Link] = []
    known = [at for at, each in enumerate(seen.objects) if each.created is not None]
    for before, at in zip(reversed(known[:-width]), reversed(known), strict=False):
        writers = seen.writers(at)
        if len(chain) == LINKS * width or before not in writers or len(writers) > WIDTH:
            break
        created, earlier = seen.objects[at].created or 0, seen.objects[before]
        interval, phase = created - (earlier.created or 0), created - (earlier.started or 0)
        chain.append(_Link(interval, phase, len(writers)))
    if len(chain) >= LINKS and (_has_another_cause(chain) or (width > 1 and not _is_steady(chain, width))):
        return []
    return chain


def _is_steady(chain: Sequence[_Link], width: int) -> bool:
    """Return whether about as many runs are always in progress as there are chains: what others store varies."""
    writers = [each.writers for each in chain]
    return width <= max(writers) and min(writers) >= STEADY * max(writers)


def _has_another_cause(chain: Sequence[_Link]) -> bool:
    """Return whether the times of a whole chain show that something else creates its objects.

    What comes at regular times, whenever the runs start, is not created by them. And where several runs may have
    created an object, those that did have done it at about the same time after their start.
    """
    phases = [each.phase for each in chain]
    varies = _variance(phases)
    is_periodic = varies > STEADY_MS**2 and _variance([each.interval for each in chain]) * PERIODIC < varies
    is_alone = all(each.writers == 1 for each in chain)
    return is_periodic or (not is_alone and 4 * varies > _mean(phases) ** 2)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _variance(numbers: Sequence[float]) -> float:
    mean = _mean(numbers)
    return _mean([(each - mean) ** 2 for each in numbers])


def _named_links(ordered: Sequence[WatchedObject]) -> int:
    """Count the links of the longest chain in which each object's key has the id of the run before."""
    lengths: dict[str, int] = {}
    for each in ordered:
        ids = {found for key in each.run_keys for found in _UUID.findall(key)}
        longest = max((lengths[found] + 1 for found in ids if found in lengths), default=0)
        lengths.update(dict.fromkeys(each.run_ids or {""}, longest))
    return max(lengths.values(), default=0)


def _may_grow(ordered: Sequence[WatchedObject]) -> bool:
    """Return whether as many objects are open as are over, as where each run creates two; decides what to read."""
    time, before = (ordered[-1].created or 0) - LAG_MS, len(ordered) - 1
    return before > 2 * sum(each.ended is not None and each.ended < time for each in ordered[:-1])


def _generations(seen: _Seen) -> int:
    """Count the generations of a growing tree of objects; 0 if they are none.

    An object belongs to the generation after the earliest one that may have created it. Where each run creates
    several, each generation adds more objects than there were before it. What others create seldom grows like that.
    """
    if len(seen.objects) < GROWTH or not _may_grow(seen.objects):
        return 0
    generations: list[int] = []
    for index in range(len(seen.objects)):
        generation = 1 + min((generations[at] for at in seen.writers(index)), default=-1)
        if generation == 0 and any(generations) and seen.objects[index].created is not None:
            return 0  # Something else creates objects, too.
        generations.append(generation)
    last = max(generations)
    if last < GENERATIONS:
        return 0
    # The last generation may be incomplete.
    grown = sum(each < last for each in generations) / sum(each < last - 1 for each in generations)
    return last if grown**last >= GROWTH else 0
