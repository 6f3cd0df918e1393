"""The recorder of asset events: each event id is stored once, numbered, and published on the bus."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from treadle.definitions.assets import RecordedEvent, ReportedEvent, recorded_as
from treadle.definitions.bounds import byte_size
from treadle.definitions.clocks import check_time, is_ahead
from treadle.definitions.errors import InvalidReportError, is_passing
from treadle.definitions.runs import depth_of, from_millis
from treadle.definitions.values import unicode_problem
from treadle.engine.assets.asset_events import asset_event, recorded
from treadle.engine.identity import parse_launch_id, timestamp
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.publish.bus_events import asset_recorded
from treadle.model.ticks import Tick
from treadle.ports.assets import EventStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Bus, Clock

logger = logging.getLogger(__name__)

MAX_EVENT_ID = 512
"""Bytes: with the name of the stack that it comes from, it still fits into a key of the table."""

MAX_RUN_ID = 512
MAX_NAMESPACE = 256

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OWN = re.compile(
    r"""\w{1,80}/\d{4}-\d\d-\d\dT[\d:.]+Z-[0-9a-f]+/\d+  # of a tick
      | \d{12}/[^/]+/[^/]+/.*                            # of another stack
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class AssetReport:
    """A report of a materialization or an observation.

    Attributes:
        reported: what is reported.
        event_id: the same when it is reported again.
        time: when it happened.
        run_id: the id or launch id of the run that did it.

    Raises:
        InvalidReportError: if an id or the time is invalid.
    """

    reported: ReportedEvent
    event_id: str
    time: datetime
    run_id: str | None = None

    def __post_init__(self) -> None:
        _check_event_id(self.event_id)
        check_time("time", self.time, InvalidReportError)
        if self.run_id is not None:
            _check_text("run_id", self.run_id, MAX_RUN_ID)


@dataclass(frozen=True, slots=True)
class RemoteAssetEvent:
    """A materialization or an observation that another stack published.

    Attributes:
        event: the event, with the other stack's sequence number.
        namespace: the stack that published it.

    Raises:
        InvalidReportError: if it cannot be stored.
    """

    event: RecordedEvent
    namespace: str

    def __post_init__(self) -> None:
        _check_text("id", self.event.event_id, MAX_EVENT_ID)
        _check_text("namespace", self.namespace, MAX_NAMESPACE)
        check_time("time", self.event.time, InvalidReportError)
        if self.event.run_id is not None:
            _check_text("run_id", self.event.run_id, MAX_RUN_ID)
        if self.event.depth < 0:
            msg = f"depth is {self.event.depth}: it must be a number of runs, 0 or more."
            raise InvalidReportError(msg)


class AssetRecorder:
    """Records materializations and observations.

    Args:
        events: stores and numbers them.
        bus: publishes them.
        namespace: the engine's, as `account/region/namespace`.
        runs: provides the chain depth of the run that reported something.
        clock: the clock; None where nothing comes from outside.
    """

    def __init__(
        self, events: EventStore, bus: Bus, namespace: str, runs: RunStore, clock: Clock | None = None
    ) -> None:
        self._events = events
        self._bus = bus
        self._namespace = namespace
        self._runs = runs
        self._clock = clock

    def record(self, reported: AssetReport | RemoteAssetEvent) -> Outcome:
        """Record a report, or what another stack published; a repeated one is published as it was at first.

        A time far in the future is replaced by the current time, because sensors rely on the order of the
        times.

        Raises:
            StoreError: if the store or the bus did not answer; it is safe to retry.
        """
        if isinstance(reported, AssetReport):
            return self._recorded(self._reported(reported))
        event, namespace = reported.event, reported.namespace
        if namespace == self._namespace or event.location != namespace:
            reason = (
                f"Published by {namespace} about {event.location}: an event that another stack "
                "forwarded is not recorded again."
            )
            return Outcome(Decision.FOREIGN, reason, event.event_id)
        return self._recorded(replace(event, event_id=f"{namespace}/{event.event_id}", storage_id=0))

    def record_tick(self, tick: Tick, *, again: bool = False) -> list[str]:
        """Record the asset events of a tick; repeated ones are published as they were at first.

        Their chain depth is one more than the tick's, so that sensors that trigger each other only by assets
        stop as well.

        Args:
            tick: a committed one.
            again: True once all of it has been published: only the refusals are returned, and nothing is
                published.

        Returns:
            Why some events can never be recorded or published; one reason for each.

        Raises:
            StoreError: if the store or the bus did not answer; it is safe to retry.
        """
        made = [
            recorded_as(each)(
                each,
                f"{tick.sensor}/{tick.tick_id}/{index}",
                0,
                from_millis(tick.ended_at),
                depth=tick.depth + 1,
                location=self._namespace,
            )
            for index, each in enumerate(tick.asset_events)
        ]
        try:
            self._append(made, publishes=not again)
        except Exception as error:
            if is_passing(error):
                raise
            # One of them is invalid: record the others one by one.
            refusals = (self._refusal(each, publishes=not again) for each in made)
            return [refusal for refusal in refusals if refusal]
        return []

    def _refusal(self, made: RecordedEvent, *, publishes: bool) -> str | None:
        """Record an event; return why that is impossible, or None."""
        try:
            self._append([made], publishes=publishes)
        except Exception as error:
            if is_passing(error):
                raise
            return f"Event {made.event_id} of asset {made.asset_key.to_escaped_user_string()} is not recorded: {error}"
        return None

    def _reported(self, report: AssetReport) -> RecordedEvent:
        launch = parse_launch_id(report.run_id or "")
        run_id = launch[0] if launch else report.run_id
        run = self._runs.get(run_id) if run_id else None
        return recorded_as(report.reported)(
            report.reported,
            report.event_id,
            0,
            report.time,
            run_id,
            depth_of(run.tags) if run else 0,
            self._namespace,
        )

    def _recorded(self, made: RecordedEvent) -> Outcome:
        [kept] = self._append([made])
        return Outcome(Decision.RECORDED, kept.summary, kept.event_id)

    def _believed(self, made: RecordedEvent) -> RecordedEvent:
        if self._clock is None:
            return made
        now, time = self._clock.now(), int(made.time.timestamp() * 1000)
        if not is_ahead(time, now):
            return made
        logger.warning(
            "%s is reported to have happened at %s, which is in the future: recorded with the current time",
            made.summary,
            timestamp(time),
        )
        return replace(made, time=from_millis(now))

    def _append(self, made: Sequence[RecordedEvent], *, publishes: bool = True) -> list[RecordedEvent]:
        """Store the events, then publish them; after a crash in between, both are repeated."""
        made = [self._believed(each) for each in made]
        stored = [recorded(kept) for kept in self._events.append([asset_event(each) for each in made])]
        if publishes:
            self._bus.publish([asset_recorded(each, self._namespace) for each in stored])
        return stored


def _check_event_id(event_id: str) -> None:
    """Raise InvalidReportError if an id is empty, too long, has control characters, or is reserved."""
    _check_text("event_id", event_id, MAX_EVENT_ID)
    if _OWN.fullmatch(event_id):
        msg = f"event_id is {event_id!r}: ids of this form are reserved for Treadle. Choose another one."
        raise InvalidReportError(msg)


def _check_text(name: str, text: object, most: int) -> None:
    if (
        not isinstance(text, str)
        or unicode_problem(text) is not None
        or not 0 < byte_size(text) <= most
        or _CONTROL.search(text)
    ):
        msg = (
            f"{name} is {str(text)[:80]!r}: it must be a string of 1 to {most} bytes without control "
            "characters."
        )
        raise InvalidReportError(msg)
