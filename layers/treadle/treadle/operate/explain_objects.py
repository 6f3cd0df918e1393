"""Explains why an object got a run, or none: its events, its run key, or what should have delivered an event."""

from itertools import islice

from treadle.definitions.errors import CommandRefusedError, TreadleError
from treadle.engine.identity import timestamp
from treadle.model.health import Bucket
from treadle.model.objects import ObjectInspection
from treadle.model.ticks import TickSummary
from treadle.operate.explain_events import EventExplainer, with_advice
from treadle.operate.explain_items import ItemExplainer
from treadle.operate.explanation import Explanation, ExplanationBuilder, closed
from treadle.operate.findings import Finding, of_bucket
from treadle.operate.paging import each_page
from treadle.operate.request_trace import RequestTracer
from treadle.operate.sensor_status import SensorStatus
from treadle.ports.objects import ObjectLookup
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.ticks import TickStore

EARLY_MS, LATE_MS = 60_000, 900_000
"""Maximum difference between an event's time and the object's modification time, in each direction."""

IN_PARTS_MS = 7 * 86_400_000
"""Same for multipart uploads, whose objects have the upload's start time; uploads end within a week."""

READ_AT_ONCE, MOST_READ = 200, 5_000
"""Page size and maximum number of ticks searched for an object's events."""

RUNS = 500

_PREFIX = "s3://"


class ObjectExplainer:
    """Explains objects.

    Args:
        tracer: traces requests.
        ticks: tick records.
        runs: run records.
        sensors: the sensors' state.
        objects: inspects objects as the sensors do.
        events: explains the evaluation and the delivery of an event.
        items: explains the items of batches; None to leave them out.
    """

    def __init__(
        self,
        tracer: RequestTracer,
        ticks: TickStore,
        runs: RunStore,
        sensors: SensorStore,
        objects: ObjectLookup,
        events: EventExplainer,
        items: ItemExplainer | None = None,
    ) -> None:
        self._tracer = tracer
        self._ticks = ticks
        self._runs = runs
        self._sensors = sensors
        self._objects = objects
        self._events = events
        self._items = items

    def explain(self, explanation: ExplanationBuilder, status: SensorStatus, location: str) -> Explanation:
        """Explain what happened to an object.

        Args:
            explanation: the steps so far.
            status: the sensor's status.
            location: `s3://bucket/key`.

        Raises:
            CommandRefusedError: if the location is not an object, or the sensor does not watch a bucket.
            StoreError: if a store did not respond.
        """
        bucket, _, key = location.removeprefix(_PREFIX).partition("/")
        if not location.startswith(_PREFIX) or not bucket or not key:
            raise CommandRefusedError(f"{location!r} is not an object. Write it as s3://bucket/key.")
        sighting = self._inspected(explanation, status, bucket, key)
        if self._items is not None and sighting is not None and sighting.run_key is not None:
            item = self._items.explain(explanation, status.name, sighting.run_key)
            if item is not None:
                return item
        ticks, is_complete = self._event_ticks(status.name, location, sighting)
        if ticks:
            key = location.removeprefix(_PREFIX).partition("/")[2]
            return self._events.of_tick(explanation, status, ticks[-1], key)
        found = self._without_event(explanation, status.name, location, sighting)
        if found is not None:
            return found
        if sighting is None:
            return explanation.end(f"No event of {location} was evaluated, and the object cannot be read.")
        if not sighting.is_watched:
            explanation.add("sensor", None, f"{location} is not watched", ok=False)
            return explanation.end(
                f"Sensor {status.name} does not watch {location}; it watches {sighting.watched}."
            )
        if not is_complete:
            return explanation.end(
                f"None of the {MOST_READ:,} ticks that were searched evaluated an event of {location}, and there are more "
                "from the time when it was stored: use its run key, or the time of its event, instead."
            )
        return self._missing(explanation, status, location, sighting)

    def _inspected(
        self, explanation: ExplanationBuilder, status: SensorStatus, bucket: str, key: str
    ) -> ObjectInspection | None:
        cursor, location = self._sensors.cursor(status.state), f"{_PREFIX}{bucket}/{key}"
        try:
            found = self._objects.inspect(status.name, bucket, key, cursor, status.now)
        except TreadleError as error:
            explanation.add("object", None, str(error), ok=False)
            return None
        if found is None:
            raise CommandRefusedError(
                f"Sensor {status.name} does not watch a bucket: use a run key, a run or a time instead."
            )
        if found.is_watched:
            is_there = found.modified_at is not None
            detail = f"{location} was stored" if is_there else f"{location} does not exist (any longer)"
            explanation.add("object", found.modified_at, detail, ok=is_there)
        return found

    def _event_ticks(
        self, sensor: str, location: str, sighting: ObjectInspection | None
    ) -> tuple[list[TickSummary], bool]:
        """Return the ticks of the object's events, oldest first, and whether the search was complete.

        Ticks are found by time, as their ids begin with the event's time.
        """
        stored = sighting.modified_at if sighting else None
        first = timestamp(stored - EARLY_MS) if stored is not None else ""
        late = IN_PARTS_MS if sighting is not None and sighting.is_in_parts else LATE_MS
        before = timestamp(stored + late) if stored is not None else None
        begins, found = f"Object Created {location} (", list[TickSummary]()
        pages = each_page(lambda place: self._ticks.page(sensor, before=place, limit=READ_AT_ONCE), before)
        for page in islice(pages, MOST_READ // READ_AT_ONCE):
            found += [
                each
                for each in page.ticks
                if each.tick_id >= first and (each.trigger or "").startswith(begins)
            ]
            if page.next is None or page.next < first:
                return found[::-1], True
        return found[::-1], False

    def _without_event(
        self, explanation: ExplanationBuilder, sensor: str, location: str, sighting: ObjectInspection | None
    ) -> Explanation | None:
        """Explain an object that a sweep found, or that no longer exists."""
        if sighting is not None and sighting.run_key is not None:
            return self._tracer.by_key(explanation, sensor, sighting.run_key)
        known = (
            run
            for run in self._runs.list_by_sensor(sensor, RUNS)
            if (run.run_key or "").startswith(f"{location}#")
        )
        run = next(known, None)
        return self._tracer.of_run(explanation, run) if run else None

    def _missing(
        self,
        explanation: ExplanationBuilder,
        status: SensorStatus,
        location: str,
        sighting: ObjectInspection,
    ) -> Explanation:
        """Explain why no event of a watched object was evaluated, and when the sweep will find it."""
        text = f"No event of {location} was evaluated, and no sweep has requested a run for it"
        dead_letter = self._tracer.dead_letter(explanation, location.removeprefix(_PREFIX).partition("/")[2])
        if dead_letter is not None:
            return explanation.end(f"{text}. {dead_letter}")
        if sighting.modified_at is None:
            return explanation.end(f"{text}: the object does not exist (any longer).")
        for problem in (status.stopped, status.not_loading, sighting.waits, _too_old(sighting)):
            if problem:
                explanation.add("sensor", None, problem, ok=False)
                return explanation.end(f"{text}: {closed(problem)}")
        found = self._wiring(status.name, location, sighting)
        for each in found:
            explanation.add(each.check, None, f"{each.message} {each.advice}", ok=False)
        dropped = _before_start(status, sighting)
        events = [with_advice(each) for each in found if each.check != "schedules"]
        why = (
            f": {dropped or events[0]}" if dropped or events else "; the delivery of its events is in order."
        )
        schedule = next((each for each in found if each.check == "schedules"), None)
        return explanation.end(f"{text}{why} {_sweep(status, sighting, schedule)}")

    def _wiring(self, sensor: str, location: str, sighting: ObjectInspection) -> list[Finding]:
        """Return the faults in what delivers the object's events."""
        bucket = location.removeprefix(_PREFIX).partition("/")[0]
        found = of_bucket(Bucket(sensor, bucket, announces=sighting.announces, remedy=sighting.remedy))
        return self._events.faults(sensor, found)


def _too_old(sighting: ObjectInspection) -> str:
    if not sighting.was_there_before or not sighting.counts_since:
        return ""
    return (
        f"it was stored before {timestamp(sighting.counts_since)}, when the sensor was first enabled for what it "
        "watches, and its start_from is now or a later time. To include earlier objects, deploy with an earlier "
        "start_from, or with start_from beginning and clear the cursor"
    )


def _before_start(status: SensorStatus, sighting: ObjectInspection) -> str:
    start = next((each for each in status.edits if each.action == "start"), None)
    if start is None or sighting.modified_at is None or sighting.modified_at >= start.at:
        return ""
    if sighting.is_in_parts:
        return ""  # Its upload began before; when it ended is unknown.
    when = f"was not started until {timestamp(start.at)}, by {start.by}"
    return f"the sensor {when}, and a stopped sensor drops its events."


def _sweep(status: SensorStatus, sighting: ObjectInspection, off: Finding | None) -> str:
    """Describe when the sweep reaches the object, or that it has."""
    stored, done = sighting.modified_at or 0, sighting.complete_round
    if done is not None and done > stored and not sighting.is_in_parts:
        return f"The sweep that began at {timestamp(done)} evaluated it, and the sensor's function requested no run."
    if done is not None and done > stored:
        return (
            f"If its upload had ended by {timestamp(done)}, the sweep that began then evaluated it, and the sensor's "
            f"function requested no run; otherwise the sweep due at {status.next_tick or 'the next minute'} finds it."
        )
    if off is not None:
        return f"The sweep does not reach it: {with_advice(off)}"
    if status.failing:
        return f"The sweep does not reach it: {closed(status.failing)}"
    due = status.next_tick or "the next minute"
    if sighting.is_passed:
        return f"The current round of the sweep has passed its key; the next round finds it. The sweep continues at {due}."
    return f"The sweep will find it: it continues at {due}."
