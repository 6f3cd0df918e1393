"""Explains why something did or did not run, from records and the current state.

All reads are by key or index. What is not recorded (an event that never arrived, or that a stopped sensor
dropped) is inferred from the resources that should have delivered it.
"""

from dataclasses import dataclass

from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import TickStatus
from treadle.engine.identity import RunIds, timestamp
from treadle.engine.tick.schedule import MINUTE_MS
from treadle.model.backfills import backfill_of
from treadle.model.loops import NEVER_HELD
from treadle.model.ticks import TickKind, TickSummary
from treadle.operate.explain_events import EventExplainer
from treadle.operate.explain_items import ItemExplainer, identities_of
from treadle.operate.explain_objects import ObjectExplainer
from treadle.operate.explanation import Explanation, ExplanationBuilder, add_tick, closed, describe_tick
from treadle.operate.load_checks import LoadChecks
from treadle.operate.overview import RECENT as RECENT_TICKS
from treadle.operate.overview import deployed_sensor, observed
from treadle.operate.paging import each_page
from treadle.operate.pools import PoolOperations
from treadle.operate.problems import problems_of
from treadle.operate.redrive import Redriver
from treadle.operate.registrations import Registrations
from treadle.operate.request_trace import RECENT, RequestTracer
from treadle.operate.runs import existing_run
from treadle.operate.sensor_status import SensorStatus
from treadle.ports.batches import BatchStore
from treadle.ports.deployment import Deployment
from treadle.ports.health import Health
from treadle.ports.objects import ObjectLookup
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

READ_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of an explanation: one of these.

    Attributes:
        run_key: a run key of the sensor.
        object: `s3://bucket/key`.
        run_id: a run.
        at: a time, in milliseconds.
        event: the id of an EventBridge event.
    """

    run_key: str | None = None
    object: str | None = None
    run_id: str | None = None
    at: int | None = None
    event: str | None = None


class Explainer:
    """Explains runs, run keys, objects and ticks of a sensor.

    Args:
        deployment: the deployed sensors.
        sensors: their state.
        ticks: tick records.
        runs: run records.
        run_ids: the deployment's run ids.
        objects: inspects objects as the sensors do.
        health: checks the resources that deliver events.
        redriver: reads the dead letters.
        clock: the clock.
        registrations: checks the registry; None to skip that.
        pools: shows what runs wait for; None where there are no pools.
        batches: knows the items of batches; None to leave them out.
    """

    def __init__(
        self,
        deployment: Deployment,
        sensors: SensorStore,
        ticks: TickStore,
        runs: RunStore,
        run_ids: RunIds,
        objects: ObjectLookup,
        health: Health,
        redriver: Redriver,
        clock: Clock,
        registrations: Registrations | None = None,
        pools: PoolOperations | None = None,
        batches: BatchStore | None = None,
    ) -> None:
        self._deployment = deployment
        self._sensors = sensors
        self._ticks = ticks
        self._runs = runs
        self._clock = clock
        self._registrations = registrations
        self._pools = pools
        self._loads = LoadChecks(deployment, clock)
        self._tracer = RequestTracer(deployment, ticks, runs, run_ids, redriver)
        self._of_items = None if batches is None else ItemExplainer(self._tracer, ticks, batches)
        self._of_events = EventExplainer(self._tracer, ticks, health)
        self._of_objects = ObjectExplainer(
            self._tracer, ticks, runs, sensors, objects, self._of_events, self._of_items
        )

    def explain(self, sensor: str, subject: Subject) -> Explanation:
        """Explain what happened to a run key, an object, an event or a run, or what a sensor did at a time.

        Args:
            sensor: the sensor's name.
            subject: what to explain.

        Raises:
            CommandRefusedError: if the sensor or run does not exist, or the sensor does not watch a bucket.
            StoreError: if a store did not respond.
        """
        status = self._status(sensor)
        explanation = ExplanationBuilder(status.now, status.stopped_at)
        if self._pools is not None:
            explanation.waits = self._pools.waits
        if subject.run_id is not None:
            return self._of_run(explanation, sensor, subject.run_id)
        if subject.object is not None:
            return self._of_objects.explain(explanation, status, subject.object)
        item = subject.event or subject.run_key
        if self._of_items is not None and item:
            found = self._of_items.explain(explanation, sensor, *identities_of(status.deployed, item))
            if found is not None:
                return found
        if subject.event is not None:
            return self._of_events.explain(explanation, status, subject.event)
        if subject.run_key is not None:
            return self._of_key(explanation, status, subject.run_key)
        if subject.at is not None:
            return self._of_time(explanation, status, subject.at)
        raise CommandRefusedError("Nothing to explain: name a run key, an object, an event, a run or a time.")

    def _status(self, sensor: str) -> SensorStatus:
        deployed, state = deployed_sensor(self._deployment, sensor), self._sensors.get(sensor)
        failed = self._last_failure(sensor) if state.failure_streak else None
        edits, now = self._sensors.edits(sensor), self._clock.now()
        loop = self._ticks.loop_holds([sensor]).get(sensor, NEVER_HELD)
        seen = observed(deployed, state, self._ticks.page(sensor, limit=RECENT_TICKS).ticks, now, loop)
        registered = self._registrations.of_sensors([deployed]) if self._registrations else {}
        problems = problems_of(
            seen, self._loads.check(deployed) if seen.is_unproven else None, registered.get(sensor, ())
        )
        return SensorStatus(deployed, state, edits, failed, now, problems)

    def _last_failure(self, sensor: str) -> TickSummary | None:
        """Return the newest failure of a scheduled tick, however many event ticks followed."""
        statuses = {TickStatus.FAILURE}
        pages = each_page(
            lambda before: self._ticks.page(sensor, before=before, limit=READ_AT_ONCE, statuses=statuses)
        )
        leased = (each for page in pages for each in page.ticks if each.kind is TickKind.LEASED)
        return next(leased, None)

    def _of_run(self, explanation: ExplanationBuilder, sensor: str, run_id: str) -> Explanation:
        run = existing_run(self._runs, run_id)
        if run.sensor != sensor:
            of = backfill_of(run)
            outside = f"by backfill {of[0]}" if of else "outside any sensor"
            requester = f"by sensor {run.sensor}" if run.sensor else outside
            raise CommandRefusedError(f"Run {run_id} was requested {requester}, not by {sensor}.")
        return self._tracer.of_run(explanation, run)

    def _of_key(self, explanation: ExplanationBuilder, status: SensorStatus, run_key: str) -> Explanation:
        found = self._tracer.by_key(explanation, status.name, run_key)
        if found is not None:
            return found
        last = self._ticks.latest(status.name, RECENT)
        for tick in last[:1]:
            add_tick(explanation, tick)
        none = f"None of the last {len(last)} recorded ticks" if last else "No tick"
        text = f"{none} of sensor {status.name} requested run key {run_key!r}, and no run has it"
        return explanation.end(self._with_status(explanation, status, text))

    def _with_status(self, explanation: ExplanationBuilder, status: SensorStatus, text: str) -> str:
        """Append what keeps the sensor from evaluating, or the time of its next tick."""
        reasons = (
            status.stopped,
            status.not_loading,
            status.foreign,
            status.failing,
            status.not_evaluating,
        )
        for reason in reasons:
            if reason is not None:
                explanation.add("sensor", None, reason, ok=False)
                return f"{text}: {closed(reason)}"
        skips, upcoming = status.state.skips, status.upcoming
        last = f"; the last one, due {timestamp(skips.last_at)}, was skipped: {skips.reason}" if skips else ""
        return closed(f"{text}{last}") + (f" {upcoming}" if upcoming else "")

    def _of_time(self, explanation: ExplanationBuilder, status: SensorStatus, at: int) -> Explanation:
        skips, step = status.state.skips, max((status.deployed.interval_seconds or 0) * 1000, MINUTE_MS)
        found = self._ticks.page(status.name, before=timestamp(at + 1), limit=1).ticks
        last = found[0] if found else None
        hours = status.deployed.hours
        if hours is not None and not hours.covers(at) and (last is None or at >= last.time + step):
            text = f"it is outside its hours, {hours}"
            explanation.add("sensor", at, text, ok=False)
            return explanation.end(f"Sensor {status.name} is not evaluated at {timestamp(at)}: {text}.")
        # Event ticks run beside the scheduled ones: a row of skips says nothing about the minute of one.
        by_event = last is not None and last.kind is TickKind.EVENT and at < last.time + MINUTE_MS
        if skips is not None and skips.first_at <= at < skips.last_at + step and not by_event:
            text = f"{skips.count} ticks, from {timestamp(skips.first_at)} to {timestamp(skips.last_at)}, were skipped"
            explanation.add("tick", skips.last_at, f"{text}: {skips.reason}", ok=False)
            return explanation.end(f"No runs were requested: {text}. The last one: {closed(skips.reason)}")
        stop = status.stopped_at(at)
        if stop is not None and (last is None or last.started_at < stop.at):
            explanation.add("sensor", stop.at, f"stopped by {stop.by}", ok=False)
            since = f"It had been stopped by {stop.by} at {timestamp(stop.at)}"
            return explanation.end(f"Sensor {status.name} did not evaluate at {timestamp(at)}: {since}.")
        tick = self._ticks.get(status.name, last.tick_id) if last else None
        if tick is not None and at < (tick.last_time or tick.time) + 2 * step:
            add_tick(explanation, tick)
            return explanation.end(describe_tick(tick))
        text = f"No tick of sensor {status.name} is recorded for {timestamp(at)}"
        if tick is not None:
            add_tick(explanation, tick)
            text = f"{text}; the previous one is {tick.tick_id} ({tick.status})"
        return explanation.end(self._with_status(explanation, status, text))
