"""Explains what an event started, or nothing: its tick, its run, or what should have delivered it."""

from collections.abc import Iterable
from itertools import islice

from treadle.engine.identity import timestamp
from treadle.model.deployment import QUEUE_KIND, STREAM_KIND, WEBHOOK_KIND, DeployedSensor
from treadle.model.ticks import Tick, TickSummary
from treadle.operate.explanation import Explanation, ExplanationBuilder, add_tick, closed, error_summary
from treadle.operate.findings import (
    Finding,
    Severity,
    of_backlog,
    of_consumed,
    of_secret,
    of_stream,
    of_switch,
)
from treadle.operate.paging import each_page
from treadle.operate.request_trace import RequestTracer
from treadle.operate.sensor_status import SensorStatus
from treadle.ports.health import Health
from treadle.ports.ticks import TickStore

READ_AT_ONCE, MOST_READ = 200, 5_000
"""Page size and maximum number of ticks searched for an event."""


class EventExplainer:
    """Explains events.

    Args:
        tracer: traces requests.
        ticks: tick records.
        health: checks the resources that deliver events.
    """

    def __init__(self, tracer: RequestTracer, ticks: TickStore, health: Health) -> None:
        self._tracer = tracer
        self._ticks = ticks
        self._health = health

    def explain(self, explanation: ExplanationBuilder, status: SensorStatus, event_id: str) -> Explanation:
        """Explain what happened to an event of a bus.

        Args:
            explanation: the steps so far.
            status: the sensor's status.
            event_id: the event's id.

        Raises:
            StoreError: if a store did not respond.
        """
        tick, is_complete = self._tick_of(status.name, event_id)
        if tick is not None:
            return self.of_tick(explanation, status, tick, event_id)
        if not is_complete:
            return explanation.end(
                f"None of the last {MOST_READ:,} ticks evaluated event {event_id}, and there are more: use its run key, "
                "or the time of the event, instead."
            )
        what = {QUEUE_KIND: "message", STREAM_KIND: "record", WEBHOOK_KIND: "request"}.get(
            status.deployed.kind, "event"
        )
        text = f"No {what} {event_id} was evaluated"
        dead_letter = self._tracer.dead_letter(explanation, event_id)
        if dead_letter is not None:
            return explanation.end(f"{text}. {dead_letter}")
        for problem in (status.stopped, status.not_loading):
            if problem:
                explanation.add("sensor", None, problem, ok=False)
                return explanation.end(f"{text}: {closed(problem)}")
        found = self.faults(status.name)
        deployed = status.deployed
        for each in found:
            explanation.add(each.check, None, f"{each.message} {each.advice}", ok=False)
        why = f": {with_advice(found[0])}" if found else _not_delivered(deployed)
        return explanation.end(f"{text}{why}")

    def _tick_of(self, sensor: str, event_id: str) -> tuple[TickSummary | None, bool]:
        """Return the newest tick of an event, and whether all ticks were searched."""
        ends = f": {event_id}"
        pages = each_page(lambda before: self._ticks.page(sensor, before=before, limit=READ_AT_ONCE))
        for page in islice(pages, MOST_READ // READ_AT_ONCE):
            found = next((each for each in page.ticks if (each.trigger or "").endswith(ends)), None)
            if found is not None or page.next is None:
                return found, True
        return None, False

    def of_tick(
        self, explanation: ExplanationBuilder, status: SensorStatus, evaluated: TickSummary, about: str
    ) -> Explanation:
        """Explain the evaluation of an event.

        Args:
            explanation: the steps so far.
            status: the sensor's status.
            evaluated: the event's tick.
            about: the event's id or the object's key, as dead letters name it.
        """
        tick = self._ticks.get(status.name, evaluated.tick_id)
        if tick is None:
            return explanation.end(f"Tick {evaluated.tick_id} evaluated it; its record has expired.")
        if tick.requests:
            return self._tracer.of_request(explanation, tick, tick.requests[0])
        if tick.existing_keys:
            found = self._tracer.by_key(explanation, status.name, tick.existing_keys[0])
            if found is not None:
                return found
        add_tick(explanation, tick)
        if tick.error is not None:
            return self._failed(explanation, status, tick, about)
        if tick.rejected:
            return explanation.end(f"Its request was rejected: {closed(tick.rejected[0].reason)}")
        return explanation.end(
            f"Its event was evaluated, but no run was requested: {closed(tick.reason or 'no reason given')}"
        )

    def _failed(
        self, explanation: ExplanationBuilder, status: SensorStatus, tick: Tick, about: str
    ) -> Explanation:
        error = closed(error_summary(tick.error.type, tick.error.message)) if tick.error else ""
        tries = f"{tick.attempts} times" if tick.attempts > 1 else "once"
        text = f"The function of sensor {status.name} failed on its event, {tries}, the last time at {timestamp(tick.ended_at)}: {error}"
        dead_letter = self._tracer.dead_letter(explanation, about)
        again = "The event is delivered again automatically, five times in all."
        if status.deployed.kind == STREAM_KIND:
            again = (
                "The record is delivered again, until it has been evaluated as often as its sensor allows."
            )
        if status.deployed.kind == WEBHOOK_KIND:
            again = "Its sender got a response of status 503: let it send the request again."
        return explanation.end(f"{text} {dead_letter or again}")

    def faults(self, sensor: str, known: Iterable[Finding] = ()) -> list[Finding]:
        """Return the faults in what delivers a sensor's events.

        Args:
            sensor: the sensor's name.
            known: faults that were found before; without any, waiting messages are a fault, too.
        """
        snapshot = self._health.snapshot(f"sensor {sensor}")
        found = list(known)
        for switch in snapshot.switches:
            found += of_switch(switch)
        for queue in snapshot.queues:
            found += of_consumed(queue)
        for stream in snapshot.streams:
            found += of_stream(stream)
        for secret in snapshot.secrets:
            found += of_secret(secret)
        for backlog in snapshot.backlogs:
            found += of_backlog(backlog)
            if backlog.waiting and not found:
                message = f"{backlog.waiting} messages wait in its queue {backlog.name}; the event may be one of them."
                found.append(Finding("queues", backlog.owner, Severity.WARNING, message))
        return found


def with_advice(finding: Finding) -> str:
    """Format a finding as a sentence, with its advice in parentheses."""
    message = f"{finding.message[0].lower()}{finding.message[1:].rstrip('.')}"
    return f"{message} ({finding.advice.rstrip('.')})." if finding.advice else f"{message}."


def _not_delivered(sensor: DeployedSensor) -> str:
    """Return what to check of an event that did not arrive, although its delivery is in order."""
    if sensor.consumes_queue:
        queue = (sensor.queue or "").rpartition("/")[2]
        return f", and messages are delivered: find out whether it was sent to queue {queue}, or has gone to its dead-letter queue."
    if sensor.kind == STREAM_KIND:
        return (
            f", and records are delivered: find out whether it was put into {sensor.stream or 'the stream'}, and whether "
            "`treadle dlq list` shows records that Lambda has discarded."
        )
    if sensor.kind == WEBHOOK_KIND:
        return (
            ". Ask its sender for the response: of a request that was refused, `treadle logs "
            f"{sensor.name}` shows the reason."
        )
    return (
        ", and the delivery of events is in order: compare the event with the pattern of the sensor's rule."
    )
