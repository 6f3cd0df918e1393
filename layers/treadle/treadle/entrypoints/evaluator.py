"""A sensor's Lambda handler: schedule ticks, queued events and direct invocation alike."""

import functools
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from treadle.adapters.events import parse_sensor_event
from treadle.bootstrap import EvaluatorParts, evaluator_parts
from treadle.definitions.errors import UnknownEventError
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.evaluation import Budget
from treadle.entrypoints.handler import (
    Handler,
    instrumented,
    logger,
    parse_body,
    process_queue,
    remaining_seconds,
    report,
)

UNRESOLVED = "<aws.scheduler"
"""What the schedule's time begins with where the scheduler does not fill it in, as on some emulators."""


def evaluator(definition: SensorDefinition, resources: Mapping[str, Any] | None = None) -> Handler:
    """The Lambda handler that evaluates a sensor.

    It takes a schedule's tick, a batch of queued events, or one event as it is.

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
        if event.get("treadle") == "tick":
            budget = Budget(remaining_seconds(context))
            return _report(parts(), parts().leased.tick(nominal_time(event), budget))
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
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"nominal_time is {text!r}, and must be a time such as 2026-11-22T18:00:00Z."
        raise UnknownEventError(msg) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _report(parts: EvaluatorParts, outcome: Any) -> dict[str, Any]:
    return report(outcome, step="tick", sensor=parts.name, tick_id=outcome.subject)


def _evaluate_one(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    parsed = parse_sensor_event(event)
    taken_up = parts.events.take_up([parsed])
    return _report(parts, parts.events.evaluate(parsed, taken_up, Budget(remaining_seconds(context))))


def _evaluate_batch(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    known = []
    for record in event["Records"]:
        try:
            known.append(parse_sensor_event(parse_body(record["body"])))
        except UnknownEventError:
            continue  # Met again below, where it goes to the dead-letter queue.
    taken_up = parts.events.take_up(known)

    def handle(body: Mapping[str, Any]) -> None:
        budget = Budget(remaining_seconds(context))
        _report(parts, parts.events.evaluate(parse_sensor_event(body), taken_up, budget))

    return process_queue(event, context, handle, parts.dead_letters, f"sensor {parts.name}")
