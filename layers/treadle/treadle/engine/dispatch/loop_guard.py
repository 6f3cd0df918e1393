"""Holds a sensor whose runs create the objects that it watches, until an operator releases it.

A process looks at a sensor's last runs when it has created some, not at each object: the evidence is in the run
records, so that nothing is counted, and a repeated or lost dispatch changes nothing.
"""

import logging
from dataclasses import dataclass, replace
from itertools import chain

from treadle.definitions.errors import UnreadableRecordError
from treadle.engine.dispatch.loop_evidence import LINKS, Evidence, WatchedObject, find_loop, objects_of
from treadle.engine.registry.registry_cache import Grants
from treadle.model.loops import LoopHold
from treadle.model.ticks import Tick, TickKind
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

PAGES = (8, 96, 512)
"""How many of a sensor's last runs are read: more only while they may be part of a loop."""

EVERY = 15
"""A process looks again when it has created this many runs of the sensor."""

EVERY_SUSPECT = 5
"""Same when half of the links of a loop were found."""

OTHERS = 20
"""How many other sensors are checked for a loop through two of them, those of the same project first."""


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """Whether a sensor's requests may start.

    Attributes:
        held: why they may not; "" if they may.
        is_new: True if this look has found the loop.
    """

    held: str = ""
    is_new: bool = False


FREE = LoopStatus()


class LoopGuard:
    """Looks for loops through the buckets that sensors watch.

    Args:
        ticks: stores which sensors are held.
        runs: stores run records.
        grants: the registered sensors.
        clock: the clock.
    """

    def __init__(self, ticks: TickStore, runs: RunStore, grants: Grants, clock: Clock) -> None:
        self._ticks = ticks
        self._runs = runs
        self._grants = grants
        self._clock = clock
        self._due_in: dict[str, int] = {}

    def is_due(self, sensor: str, planned: int = 0) -> bool:
        """Return whether the next tick of a sensor is to be checked, once so many further runs have been created."""
        entry = self._grants.sensors().get(sensor)
        return entry is not None and entry.is_watched_for_loops and self._due_in.get(sensor, 0) <= planned

    def check(self, tick: Tick) -> LoopStatus:
        """Return whether a tick's requests may start; look for a loop if that is due.

        Raises:
            StoreError: if a store did not answer.
        """
        sensor = tick.sensor
        if not self.is_due(sensor):
            return FREE
        try:
            hold = self._ticks.loop_hold(sensor)
        except UnreadableRecordError as error:
            logger.exception("The requests of sensor %s wait", sensor)
            return LoopStatus(
                f"Whether sensor {sensor} is a loop cannot be read: {error.reason}. {_release(sensor)}"
            )
        if hold.held_at is not None:
            return LoopStatus(_held(sensor, hold.reason))
        if tick.kind is not TickKind.EVENT:
            return FREE  # A sweep does not know when its objects were created.
        evidence = self._look(tick, hold)
        if not evidence.loop:
            return FREE
        if not self._ticks.hold_loop(sensor, self._clock.now(), evidence.loop, hold.released_at):
            return self.check(tick)  # Another process has held it, or an operator released it, meanwhile.
        reason = _held(sensor, evidence.loop)
        logger.error(reason)
        return LoopStatus(reason, is_new=True)

    def created(self, sensor: str, number: int) -> None:
        """Note that this process has created runs of a sensor, after which it looks again.

        Args:
            sensor: the sensor's name.
            number: of its runs.
        """
        if sensor in self._due_in:
            self._due_in[sensor] -= number

    def _look(self, tick: Tick, hold: LoopHold) -> Evidence:
        """Judge the sensor's last runs; the next look is due when more of them could be a loop."""
        keys = tuple(request.run_key for request in tick.requests if request.run_key)
        last = WatchedObject(tick.time, self._clock.now(), run_keys=keys)
        evidence, objects, size = self._of(last, hold, tick.sensor)
        if evidence.is_outside and all(each.is_over(tick.time) for each in objects):
            evidence = self._through_another(last, hold, tick.sensor) or evidence
        if not evidence.loop:
            self._due_in[tick.sensor] = (
                EVERY_SUSPECT if 2 * evidence.links >= LINKS else max(EVERY, size // 4)
            )
        return evidence

    def _of(
        self, last: WatchedObject, hold: LoopHold, *sensors: str
    ) -> tuple[Evidence, list[WatchedObject], int]:
        """Judge the last runs of sensors, together, as many as it takes."""
        evidence, objects = Evidence(), list[WatchedObject]()
        for size in PAGES:
            pages = [self._runs.page(sensor=each, limit=size) for each in sensors]
            runs = chain.from_iterable(page.runs for page in pages)
            objects = objects_of(runs, hold.released_at)
            evidence = find_loop(objects, last)
            if not evidence.needs_more or all(page.next is None for page in pages):
                break
        return evidence, objects, len(objects)

    def _through_another(self, last: WatchedObject, hold: LoopHold, sensor: str) -> Evidence | None:
        """Judge the last runs together with those of another sensor that may have created the last object."""
        known = self._grants.sensors()
        project = known[sensor].project
        others = [each for each in known.values() if each.is_watched_for_loops and each.name != sensor]
        others.sort(key=lambda each: (each.project != project, each.name))
        for other in others[:OTHERS]:
            found, *_ = self._of(last, hold, other.name)
            if found.is_outside:
                continue
            both, *_ = self._of(last, hold, sensor, other.name)
            if both.loop:
                return replace(both, loop=f"{both.loop}, some of them found by sensor {other.name}")
            if both.links > 1:
                return both
        return None


def _held(sensor: str, reason: str) -> str:
    return f"Sensor {sensor} looks like a loop: {reason}. Nothing that it requests starts. {_release(sensor)}"


def _release(sensor: str) -> str:
    return f"If it is none, or ended: treadle sensor release {sensor}"
