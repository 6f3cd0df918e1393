"""Detection of sensors that have not ticked for three of their intervals; each change is published once."""

import logging
from collections.abc import Mapping, Sequence

from treadle.definitions.clocks import MAX_SKEW_MS, is_ahead
from treadle.engine.identity import timestamp
from treadle.engine.publish.bus_events import sensor_health_changed
from treadle.engine.registry.registry_cache import CachedRegistry
from treadle.engine.tick.schedule import MINUTE_MS
from treadle.engine.tick.scheduled_ticks import LEASE_MARGIN_MS, MAX_LEASE_SECONDS
from treadle.model.engine_state import LateSensor
from treadle.model.records import UNREADABLE
from treadle.model.registry import SensorEntry
from treadle.model.sensors import SensorState
from treadle.ports.engine_state import LateSensorStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Bus, Clock

logger = logging.getLogger(__name__)

INTERVALS = 3
"""A sensor that has not ticked for this many of its intervals is late."""

DELIVERY_MS = MINUTE_MS
"""A schedule invokes its target within a minute of the scheduled time.

Source: "Schedule types in EventBridge Scheduler" in its user guide: 60 second precision.
"""

NEVER_LATE = 253_370_764_800_000
"""The last time that can be stored, in milliseconds: of a sensor without any hours left."""

LONGEST_LEASE_MS = MAX_LEASE_SECONDS * 1000 + LEASE_MARGIN_MS + MAX_SKEW_MS


def patience(interval: float) -> float:
    """Return the milliseconds after its last activity when a sensor is late.

    A schedule invokes a sensor once a minute at most.

    Args:
        interval: milliseconds between two ticks.
    """
    return INTERVALS * max(interval, MINUTE_MS) + DELIVERY_MS


def longest_interval(entry: SensorEntry, state: SensorState) -> int:
    """Return the milliseconds between two ticks; the longer interval if the entry and the last tick differ.

    One of them is then from before a deployment; and an interval that is set only in code is in no entry.

    Args:
        entry: the sensor's registry entry.
        state: the sensor's stored state.
    """
    return max(entry.interval_seconds * 1000, state.interval or 0)


def late_at(entry: SensorEntry, since: int, wait: int) -> int:
    """Return when a sensor is late: a time after its last activity, of which only its hours count.

    Args:
        entry: the sensor's registry entry.
        since: the time of its last activity.
        wait: milliseconds of its hours.
    """
    at = since + wait if entry.hours is None else entry.hours.after(since, wait)
    return NEVER_LATE if at is None else at


def last_sign(entry: SensorEntry, state: SensorState, now: int) -> int:
    """Return when a sensor was last active, or until when it must not tick.

    It is active when it ticks or completes a tick, is started or registered. It must not tick during a
    backoff after failures, nor while an evaluation is in progress.

    Args:
        entry: the sensor's registry entry.
        state: the sensor's stored state.
        now: the current time.
    """
    signs = [entry.registered_at, state.started_at, state.last_scheduled_for, state.last_completion]
    past = [each for each in signs if each is not None and not is_ahead(each, now)]
    waits = [state.resume_at or 0]
    if state.lease_owner is not None and state.lease_expires <= now + LONGEST_LEASE_MS:
        waits.append(state.lease_expires)
    return max([0, *past, *waits])


class LateSensors:
    """Checks the sensors that a schedule ticks. A sensor is not read again before it can be late.

    Args:
        registry: the registered sensors.
        sensors: stores the sensors' states.
        late: stores which sensors were reported as late.
        bus: publishes each change.
        namespace: the engine's, as `account/region/namespace`.
        clock: the clock.
    """

    def __init__(
        self,
        registry: CachedRegistry,
        sensors: SensorStore,
        late: LateSensorStore,
        bus: Bus,
        namespace: str,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._sensors = sensors
        self._late = late
        self._bus = bus
        self._namespace = namespace
        self._clock = clock
        self._next_checks: dict[str, tuple[int, int]] = {}
        self.late: Sequence[str] = ()
        self._has_late = True  # Until the store shows that there is none.

    def check(self) -> None:
        """Find the late sensors and store them in `late`, even if publishing them fails.

        A change is published before it is stored: after a crash in between it is published twice, but never
        lost.

        Raises:
            StoreError: if a store or the bus did not answer; the next check publishes the changes.
        """
        now = self._clock.now()
        ticked = {name: entry for name, entry in self._registry.current().sensors.items() if entry.is_ticked}
        due = [name for name, entry in ticked.items() if self._is_due(entry, now)]
        self._next_checks = {name: each for name, each in self._next_checks.items() if name in ticked}
        if not due and not self._has_late:
            self.late = ()
            return
        states = self._sensors.get_many(due) if due else {}
        found = [self._judged(ticked[name], states[name], now) for name in sorted(due)]
        late = {each.name: each for each in found if each is not None}
        self.late = tuple(late)
        if late or self._has_late:
            self._announce(late, ticked, states, now)

    def _is_due(self, entry: SensorEntry, now: int) -> bool:
        registered_at, at = self._next_checks.get(entry.name, (entry.registered_at, 0))
        return now > at or registered_at != entry.registered_at

    def _judged(self, entry: SensorEntry, state: SensorState, now: int) -> LateSensor | None:
        """Return the sensor if it is late; also set when it is checked next."""
        # An unreadable state is shown as stopped: no tick can proceed, whatever the status was.
        is_unreadable = (state.paused or "").startswith(UNREADABLE)
        is_running = (SensorState(entry.name) if is_unreadable else state).is_running(entry.default_status)
        # A sensor that is not running has the same time once it is started.
        since = last_sign(entry, state, now) if is_running else now
        ends_at = late_at(entry, since, int(patience(longest_interval(entry, state))))
        # The interval may become shorter meanwhile, if the entry does not state it.
        next_at = min(ends_at, now + int(patience(entry.interval_seconds * 1000)))
        self._next_checks[entry.name] = entry.registered_at, next_at
        return LateSensor(entry.name, entry.project, since) if now > ends_at else None

    def _announce(
        self,
        late: Mapping[str, LateSensor],
        ticked: Mapping[str, SensorEntry],
        states: Mapping[str, SensorState],
        now: int,
    ) -> None:
        known = self._late.read()
        # Another process may have reported a sensor that this one need not check yet.
        unread = {name: each for name, each in known.items() if name in ticked and name not in states}
        began = [each for name, each in late.items() if name not in known]
        ended = [each for name, each in known.items() if name not in late and name not in unread]
        if began or ended:
            reasons = [(each, late_reason(each)) for each in began]
            reasons += [
                (each, _end_reason(each, ticked.get(each.name), states.get(each.name))) for each in ended
            ]
            for each, reason in reasons:
                logger.warning("Sensor %s of project %s: %s", each.name, each.project, reason)
            self._bus.publish(
                [
                    sensor_health_changed(each, self._namespace, now, reason, is_late=each.name in late)
                    for each, reason in reasons
                ]
            )
            self._late.write({**unread, **late})
        self._has_late = bool(unread or late)


def late_reason(sensor: LateSensor) -> str:
    """Return a sentence that says since when a sensor is late."""
    return f"It has not ticked since {timestamp(sensor.since)}, for more than three of its intervals."


def _end_reason(sensor: LateSensor, entry: SensorEntry | None, state: SensorState | None) -> str:
    """Return why a sensor is not late any more."""
    if entry is None or state is None:
        return "It is no longer registered."
    if not state.is_running(entry.default_status):
        return "It is paused." if state.paused else "It is stopped."
    if (state.last_scheduled_for or 0) > sensor.since:
        return "It is ticking again."
    return "It was started or deployed again, and has three intervals in which to tick."
