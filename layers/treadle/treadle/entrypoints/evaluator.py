"""A sensor's Lambda handler: schedule ticks, queued events and direct invocation alike."""

import functools
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from treadle.bootstrap.evaluator import EvaluatorParts, evaluator_parts
from treadle.definitions.clocks import is_ahead
from treadle.definitions.errors import StoreThrottledError, UnknownEventError
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.engine.evaluation import Budget
from treadle.engine.identity import moment_of, timestamp
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.schedule import deadline_message, minute
from treadle.entrypoints.handler import (
    Handler,
    instrumented,
    logger,
    parse_body,
    process_queue,
    remaining_seconds,
    report,
    tell_sensor,
)

if TYPE_CHECKING:
    from treadle.engine.event_ticks import TakenUp

UNRESOLVED = "<aws.scheduler"
"""What the schedule's time begins with where the scheduler does not fill it in, as on some emulators."""


WAKE: Mapping[str, object] = {"treadle": "wake"}

WAKE_AGAIN_SECONDS = {Decision.LEASED: 5, Decision.LOST: 5, Decision.NOT_DUE: 60}
"""How long a wake-up waits that met another tick, an operator's edit, or an interval that is not over."""


MAX_DELAY_SECONDS = 900
"""As long as SQS can hold a message back; what must wait for longer is sent anew each time."""


def evaluator(definition: SensorDefinition, resources: Mapping[str, Any] | None = None) -> Handler:
    """The Lambda handler that evaluates a sensor.

    It takes a schedule's tick, a batch of queued events, or one event as it is; and, only as the event of
    a direct invocation: `{"treadle": "preview", "cursor": …}`, which commits nothing;
    `{"treadle": "tick", "at_once": true}`, which evaluates now; `{"treadle": "describe"}`, which says what
    the sensor is.

    Args:
        definition: the sensor.
        resources: by key, a `ResourceDefinition` or the resource itself: what the sensor may use.
    """

    @functools.cache
    def parts() -> EvaluatorParts:
        return evaluator_parts(definition, resources or {}, os.environ)

    def handler(event: dict[str, Any], context: Any) -> Any:
        logger().append_keys(sensor=definition.name)
        if "Records" in event:
            return _evaluate_batch(parts(), event, context)
        command = _COMMANDS.get(str(event.get("treadle")))
        if command is not None:
            return command(parts(), event, Budget(remaining_seconds(context)))
        return _evaluate_one(parts(), event, context)

    return instrumented(handler)


def nominal_time(event: Mapping[str, Any]) -> int | None:
    """When a schedule's delivery was due, in milliseconds; None if it does not say.

    Raises:
        UnknownEventError: if it says something else than a time.
    """
    text = str(event.get("nominal_time") or "")
    if not text or text.startswith(UNRESOLVED):
        return None
    try:
        return int(moment_of(text).timestamp() * 1000)
    except ValueError as error:
        msg = f"nominal_time is {text!r}, and must be a time such as 2026-11-22T18:00:00Z."
        raise UnknownEventError(msg) from error


def _report(parts: EvaluatorParts, outcome: Outcome) -> dict[str, Any]:
    for name, value, unit in outcome.measures:
        tell_sensor(parts.name, name, value, unit)
    return report(outcome, step="tick", sensor=parts.name, tick_id=outcome.subject)


def _tick(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    at_once = event.get("at_once") is True
    nominal = parts.clock.now() if at_once else nominal_time(event)
    try:
        outcome = parts.leased.tick(nominal, budget, sends_ahead=not at_once, at_once=at_once)
    except StoreThrottledError as error:
        # Nothing was committed, and the next minute's tick comes by itself.
        outcome = Outcome(Decision.DELAYED, str(error), str(event.get("nominal_time", "")))
    return _report(parts, outcome)


def _preview(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    from treadle.engine.preview import STORED

    triggered = _parse(parts, event["event"]) if event.get("event") else None
    preview = parts.previewer.preview(budget, cursor=event.get("cursor", STORED), event=triggered)
    tick = preview.tick
    return {
        "decision": tick.status.value,
        "reason": tick.error.message if tick.error else tick.reason,
        "stack": tick.error.stack if tick.error else None,
        "requests": [
            {"run_key": run.run_key, "job": run.job, "run_config": run.run_config, "tags": dict(run.tags)}
            for run in tick.requests
        ],
        "existing_keys": list(tick.existing_keys),
        "set_aside": [{"run_key": each.run_key, "reason": each.reason} for each in tick.set_aside],
        "asset_events": [
            {
                "asset_key": made.asset_key.to_user_string(),
                "partition": made.partition,
                "metadata": made.plain_metadata,
            }
            for made in tick.asset_events
        ],
        "cursor_before": preview.cursor_before,
        "cursor_after": preview.cursor_after,
        "log": list(tick.log),
        "settings": {
            "interval_seconds": parts.settings.interval / 1000,
            "phase_seconds": parts.settings.phase / 1000,
            "default_status": parts.settings.default_status.value,
            "pause_after": parts.settings.pause_after,
        },
    }


def _describe(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    del event, budget
    return dict(parts.described)


def _deadline(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Hold a schedule's deadline back for the grace, in the sensor's own queue."""
    del budget
    deadline = nominal_time(event) or minute(parts.clock.now())
    parts.inbox.queue.send([deadline_message(deadline)], delay_seconds=parts.grace_seconds)
    reason = f"Looked at in {parts.grace_seconds} s."
    return _report(parts, Outcome(Decision.DELAYED, reason, timestamp(deadline)))


_COMMANDS: Mapping[str, Callable[[EvaluatorParts, Mapping[str, Any], Budget], dict[str, Any]]] = {
    "tick": _tick,
    "preview": _preview,
    "describe": _describe,
    "deadline": _deadline,
}


def _evaluate_one(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    parsed = _happened(parts, event)
    taken_up = parts.events.take_up([parsed])
    return _report(parts, parts.events.evaluate(parsed, taken_up, Budget(remaining_seconds(context))))


def _evaluate_batch(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    lags: list[float] = []

    @functools.cache
    def taken_up() -> "TakenUp":
        known: list[SensorEvent] = []
        for record in event["Records"]:
            try:
                known.append(_happened(parts, parse_body(record["body"])))
            except UnknownEventError:
                continue  # Met below, where it goes to the dead-letter queue.
        return parts.events.take_up(known)

    @functools.cache
    def woken() -> None:
        """All that would wake the sensor is one tick, which reads for itself what there is."""
        _wake(parts, Budget(remaining_seconds(context)))

    def handle(body: Mapping[str, Any]) -> None:
        budget = Budget(remaining_seconds(context))
        if body.get("treadle") == "slot":
            _report(parts, parts.leased.tick(nominal_time(body), budget))
        elif parts.is_woken:
            if body != WAKE:
                _event(body)  # What is no event is a dead letter, and wakes nobody.
            woken()
        else:
            event = _happened(parts, body)
            lags.append(parts.clock.now() / 1000 - event.time.timestamp())
            outcome = parts.events.evaluate(event, taken_up(), budget)
            _report(parts, outcome)
            _send_later(parts, body, outcome.wait_seconds)

    answer = process_queue(event, context, handle, parts.inbox)
    if lags:
        tell_sensor(parts.name, "event_lag", max(0.0, *lags), "Seconds")
    return answer


def _send_later(parts: EvaluatorParts, body: Mapping[str, Any], wait_seconds: int) -> None:
    """Send a message that came too early once more, before it is acknowledged: two of them are one tick."""
    if wait_seconds:
        parts.inbox.queue.send([body], delay_seconds=min(wait_seconds, MAX_DELAY_SECONDS))


def _wake(parts: EvaluatorParts, budget: Budget) -> None:
    """Tick now; where that cannot be, be woken again a little later, before this is acknowledged."""
    outcome = parts.leased.tick(parts.clock.now(), budget)
    _report(parts, outcome)
    if outcome.decision in WAKE_AGAIN_SECONDS:
        parts.inbox.queue.send([WAKE], delay_seconds=WAKE_AGAIN_SECONDS[outcome.decision])


def _event(body: Mapping[str, Any]) -> SensorEvent:
    # Imported here, as ticks by schedule need none of it.
    from treadle.adapters.events import parse_sensor_event

    return parse_sensor_event(body)


def _parse(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    return _event(body) if body.get("treadle") != "deadline" else _reached(parts, body)


def _happened(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    """The event to be evaluated; one of the future is none.

    Raises:
        UnknownEventError: if it is none, or lies in the future.
    """
    event = _parse(parts, body)
    now, time = parts.clock.now(), int(event.time.timestamp() * 1000)
    if is_ahead(time, now):
        # Its tick would be the sensor's last one in every list until that time has come.
        msg = (
            f"{event.summary} is of {timestamp(time)}, and it is {timestamp(now)}: nothing happens in the future. "
            "Set the clock of what sends it, and send it again with its right time."
        )
        raise UnknownEventError(msg)
    return event


def _reached(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    from treadle.definitions.timed import DeadlineReached

    deadline = nominal_time(body)
    if deadline is None:
        msg = "A deadline needs its nominal_time, such as 2026-11-22T06:00:00Z."
        raise UnknownEventError(msg)
    return DeadlineReached(datetime.fromtimestamp(deadline / 1000, parts.time_zone))
