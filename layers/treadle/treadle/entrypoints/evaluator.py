"""A sensor's Lambda handler for scheduled ticks, queued events and direct invocations."""

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from treadle.adapters.blobs import S3BlobStore
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.definitions.bounds import shown
from treadle.definitions.clocks import is_ahead
from treadle.definitions.errors import (
    EngineMismatchError,
    SensorEvaluationError,
    SettingsError,
    StoreError,
    StoreThrottledError,
    UnknownEventError,
)
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly, SensorParts
from treadle.engine.identity import timestamp, timestamp_of
from treadle.engine.message_hops import MOST_HOPS, hops_of, one_hop_on
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.schedule import deadline_message, minute, phase_of
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import (
    MAX_DELAY_SECONDS,
    instrumented,
    logger,
    process_queue,
    put_metric_of,
    remaining_seconds,
    report,
)
from treadle.model.records import integer
from treadle.ports.system import BlobStore, Clock

if TYPE_CHECKING:
    from treadle.definitions.stream_record import StreamRecord
    from treadle.definitions.webhook_verification import HttpRequest
    from treadle.engine.batches.closer import BatchCloser
    from treadle.engine.engine_check import EngineCheck
    from treadle.engine.invocation_batch import InvocationBatch
    from treadle.engine.tick.event_ticks import EventBatchState
    from treadle.engine.tick.webhook_receiver import WebhookReceiver, WebhookResponse
    from treadle.ports.deliveries import SecretStore

SCHEDULE_SECONDS = 60
"""How often a sensor's schedule invokes it; scheduled times in between are sent through its queue."""

UNRESOLVED = "<aws.scheduler"
"""The prefix of the schedule's time where the scheduler does not fill it in, as on some emulators."""


WAKE: Mapping[str, object] = {"treadle": "wake"}

WAKE_AGAIN_SECONDS = 5
"""The delay of a wake-up that met another tick or an operator's edit; it doubles each time."""


MIN_CLOSE_SECONDS = 5.0
"""With less time left, no batch is closed: the next pass of RECONCILE sends it again."""

MAX_PREVIEW_BYTES = 2_000_000
"""The maximum size of the lists in a preview, as JSON.

With two cursors, a log and a stack the response stays below 6 MB, the most that Lambda returns ("Lambda
quotas" in its developer guide).
"""


@dataclass(frozen=True, slots=True)
class EvaluatorParts:
    """The objects that an evaluator needs.

    Attributes:
        sensor: the sensor's components.
        inbox: its queue.
        clock: the clock.
        time_zone: of a deadline.
        engine: checks that the engine exists; None if the environment does not name one.
        receiver: accepts the requests to a webhook sensor; None for others.
        blobs: stores large records of a stream sensor.
    """

    sensor: SensorParts
    inbox: Inbox
    clock: Clock
    time_zone: tzinfo = UTC
    engine: "EngineCheck | None" = None
    receiver: "WebhookReceiver | None" = None
    blobs: BlobStore | None = None

    @property
    def name(self) -> str:
        """The sensor's name."""
        return self.sensor.definition.name


class Infrastructure:
    """What an evaluator is built on: AWS. `treadle dev` has its own."""

    def configured(self, definition: SensorDefinition, environment: Mapping[str, str]) -> SensorDefinition:
        """Return the sensor as its function's environment configures it.

        Raises:
            SettingsError: with all problems at once.
        """
        return definition.configured(environment)

    def inbox(self, origin: str, settings: Settings, *, is_needed: bool) -> Inbox:
        """Return the sensor's queue, with the dead-letter queue."""
        return Inbox.of(origin, settings, "TREADLE_QUEUE_URL", is_needed=is_needed)

    def secrets(self) -> "SecretStore":
        """Return the store of the secrets of webhook sensors."""
        # Imported here because few sensors have one.
        from treadle.adapters.secret_versions import AwsSecretStore

        return AwsSecretStore()

    def blobs(self, settings: Settings) -> BlobStore:
        """Return the store of payloads that are too large for a table or a message."""
        return S3BlobStore(settings.text("TREADLE_OUTCOMES_BUCKET"))

    def assembly(self, settings: Settings) -> Assembly:
        """Return the assembly of the engine's components, once all settings are valid.

        Raises:
            SettingsError: with all problems at once.
        """
        return assembly(settings, self.blobs(settings))


AWS = Infrastructure()


def evaluator_parts(
    definition: SensorDefinition,
    resources: Mapping[str, Any],
    environment: Mapping[str, str],
    infrastructure: Infrastructure = AWS,
) -> EvaluatorParts:
    """Create the objects of an evaluator.

    Args:
        definition: the sensor.
        resources: what it may use, by key.
        environment: the function's environment.
        infrastructure: where its state, its messages and its objects are.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    try:
        definition = infrastructure.configured(definition, environment)
    except SettingsError as error:
        settings.problems.append(str(error).rstrip("."))
    interval = settings.number("TREADLE_INTERVAL_SECONDS", "seconds", definition.minimum_interval_seconds)
    inbox = _inbox(definition, settings, interval or 0, infrastructure)
    pause_after = settings.number("TREADLE_PAUSE_AFTER", "failures")
    status = settings.text("TREADLE_DEFAULT_STATUS", definition.default_status.value)
    if status not in set(DefaultSensorStatus):
        settings.problems.append(f"TREADLE_DEFAULT_STATUS is {status!r}: use RUNNING or STOPPED")
    kind = settings.text("TREADLE_KIND", definition.kind)
    if kind != definition.kind:
        problem = f"TREADLE_KIND is {kind!r}, but the code defines a sensor of kind {definition.kind!r}"
        settings.problems.append(problem)
    hours = str(definition.active or "")
    if settings.text("TREADLE_HOURS", "") != hours:
        settings.problems.append(
            f"TREADLE_HOURS is {environment.get('TREADLE_HOURS', '')!r}, but the hours in the code are {hours!r}: write those "
            "as TREADLE_HOURS, and as hours in the sensor's registry entry"
        )
    zone, granted = settings.zone("TREADLE_TIME_ZONE"), settings.granted()
    verification = definition.verification
    secret = settings.text("TREADLE_WEBHOOK_SECRET") if verification else ""
    engine_id, project = environment.get("TREADLE_ENGINE_ID", ""), environment.get("TREADLE_PROJECT", "")
    engine = infrastructure.assembly(settings)
    millis = (interval or 0) * 1000
    # A paused sensor drops events, so one that takes them is only slowed down.
    pauses = 0 if definition.takes_events else pause_after or 0
    phase = phase_of(definition.name, millis)
    ticking = TickSettings(millis, DefaultSensorStatus(status), pauses, phase, project)
    return EvaluatorParts(
        engine.sensor(
            definition,
            ticking,
            resources=resources,
            queue=None if _needs_no_queue(definition) else inbox.queue,
            granted=granted,
        ),
        inbox,
        engine.clock,
        zone,
        engine.engine_check(engine_id) if engine_id else None,
        engine.webhook_receiver(definition.name, verification, infrastructure.secrets(), secret)
        if verification
        else None,
        infrastructure.blobs(settings) if definition.consumes_stream else None,
    )


def _needs_no_queue(definition: SensorDefinition) -> bool:
    """Return whether the sensor has no queue of its own: its events come from somebody else's queue, a stream or an endpoint."""
    return definition.consumes_queue or definition.consumes_stream or definition.verification is not None


def _inbox(
    definition: SensorDefinition, settings: Settings, interval: int, infrastructure: Infrastructure
) -> Inbox:
    """Return the sensor's queue, optional for a sensor that only ticks, at most once a minute."""
    has_own = not (definition.consumes_stream or definition.verification)
    takes_messages = (definition.takes_events and has_own) or definition.is_woken
    has_none = not settings.environment.get("TREADLE_QUEUE_URL")
    if has_none and not takes_messages and 0 < interval < SCHEDULE_SECONDS:
        settings.problems.append(
            f"the interval is {interval} seconds, but without TREADLE_QUEUE_URL the sensor ticks at "
            f"most once a minute: give it a queue, or an interval of {SCHEDULE_SECONDS} seconds or "
            "more"
        )
    return infrastructure.inbox(f"sensor {definition.name}", settings, is_needed=takes_messages)


def evaluator(
    definition: SensorDefinition,
    resources: Mapping[str, Any] | None = None,
    *,
    jobs: Sequence[JobDefinition] | None = None,
) -> "SensorHandler":
    """Return the Lambda handler that evaluates a sensor.

    It accepts a schedule's tick, a batch of queued events, or a single event; and, only in a direct
    invocation: `{"treadle": "preview", "cursor": …}`, which commits nothing; `{"treadle": "tick", "at_once":
    true}`, which evaluates now; `{"treadle": "describe"}`, which describes the sensor.

    Args:
        definition: the sensor.
        resources: what the sensor may use, by key: a `ResourceDefinition` or the resource itself.
        jobs: the jobs that make the assets that the sensor selects.

    Raises:
        DagsterInvalidDefinitionError: if no job, or more than one, makes an asset that the sensor selects.
    """
    return SensorHandler(definition.with_deployed_jobs(jobs), resources or {})


class SensorHandler:
    """The Lambda handler of a sensor: the runtime calls whatever app.handler is (`_get_handler` in awslambdaric).

    Args:
        definition: the sensor.
        resources: what it may use, by key.
        infrastructure: where its state, its messages and its objects are.

    Attributes:
        parts: returns what it is built from, made on first use.
    """

    def __init__(
        self,
        definition: SensorDefinition,
        resources: Mapping[str, Any],
        infrastructure: Infrastructure = AWS,
    ) -> None:
        self._definition = definition
        self._resources = resources
        self.parts = functools.cache(
            lambda: evaluator_parts(definition, resources, os.environ, infrastructure)
        )
        self._handle = instrumented(self._evaluate, self.parts)
        # With the name of a function, which wrappers such as tracers read.
        functools.update_wrapper(self, self._handle)

    def on(self, infrastructure: Infrastructure) -> "SensorHandler":
        """Return the handler of the same sensor on another infrastructure."""
        return SensorHandler(self._definition, self._resources, infrastructure)

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        """Handle an invocation."""
        return self._handle(event, context)

    def _evaluate(self, event: dict[str, Any], context: Any) -> Any:
        logger().append_keys(sensor=self._definition.name)
        # A webhook sensor takes only requests that it authenticates.
        if "Records" in event and self._definition.verification is None:
            if self._definition.consumes_queue:
                return _consume(self.parts(), event, context)
            if self._definition.consumes_stream:
                return _consume_stream(self.parts(), event, context)
            return _evaluate_batch(self.parts(), event, context)
        command = _COMMANDS.get(str(event.get("treadle")))
        if command is not None:
            return command(self.parts(), event, Budget(remaining_seconds(context)))
        parts = self.parts()
        if parts.receiver is not None:
            return _respond(parts, parts.receiver, event, context)
        return _evaluate_one(parts, event, context)


def scheduled_time(event: Mapping[str, Any]) -> int | None:
    """Return the scheduled time of a schedule's delivery, in milliseconds; None if it does not state one.

    Raises:
        UnknownEventError: if it is not a time.
    """
    text = str(event.get("nominal_time") or "")
    if not text or text.startswith(UNRESOLVED):
        return None
    try:
        return integer(int(timestamp_of(text).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        # A time before 1970 would be stored, and make the sensor's state unreadable.
        msg = (
            f"nominal_time is {shown(text)}; it must be a time from 1970 to 9998, such as "
            "2026-11-22T18:00:00Z."
        )
        raise UnknownEventError(msg) from error


def _report(parts: EvaluatorParts, outcome: Outcome) -> dict[str, Any]:
    for name, value, unit in outcome.measures:
        put_metric_of(("sensor", parts.name), name, value, unit)
    return report(outcome, step="tick", sensor=parts.name, tick_id=outcome.subject)


def _tick(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    _check_engine(parts, str(event.get("nominal_time", "")))
    at_once = event.get("at_once") is True
    scheduled_for = parts.clock.now() if at_once else scheduled_time(event)
    try:
        outcome = parts.sensor.scheduled.tick(scheduled_for, budget, sends_ahead=not at_once, at_once=at_once)
    except StoreThrottledError as error:
        # Nothing was committed, and the schedule sends the next tick anyway.
        outcome = Outcome(Decision.DELAYED, str(error), str(event.get("nominal_time", "")))
    answer = _report(parts, outcome)
    _close_full(parts, budget)
    return answer


def _check_engine(parts: EvaluatorParts, subject: str = "") -> None:
    """Raise an error instead of ticking for an engine that does not exist.

    Nothing is lost: a schedule sends its next tick anyway, and an event is redelivered until it ends in its
    project's dead-letter queue.

    Raises:
        EngineMismatchError: if the engine for which this function was deployed is gone, or another one.
    """
    if parts.engine is None:
        return
    try:
        parts.engine.check()
    except EngineMismatchError as error:
        _report(parts, Outcome(Decision.FAILURE, str(error), subject))
        raise


def _preview(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    from treadle.engine.tick.preview import STORED

    triggered = _parse(parts, event["event"]) if event.get("event") else None
    preview = parts.sensor.previewer.preview(budget, cursor=event.get("cursor", STORED), event=triggered)
    tick = preview.tick
    lists: dict[str, list[Any]] = {
        "requests": [
            {"run_key": run.run_key, "job": run.job, "run_config": run.run_config, "tags": dict(run.tags)}
            for run in tick.requests
        ],
        "existing_keys": list(tick.existing_keys),
        "set_aside": [{"run_key": each.run_key, "reason": each.reason} for each in tick.rejected],
        "asset_events": [
            {
                "kind": made.kind,
                "asset_key": made.asset_key.to_escaped_user_string(),
                "partition": made.partition,
                "metadata": made.plain_metadata,
            }
            for made in tick.asset_events
        ],
        "dynamic_partitions_request_results": [
            asdict(each) for each in tick.dynamic_partitions_request_results
        ],
    }
    fitting, left_out = _fitting(lists)
    return {
        "decision": tick.status.value,
        "reason": tick.error.message if tick.error else tick.reason,
        "stack": tick.error.stack if tick.error else None,
        **fitting,
        **({"left_out": left_out} if left_out else {}),
        "cursor_before": preview.cursor_before,
        "cursor_after": preview.cursor_after,
        "log": list(tick.log),
        "settings": {
            "interval_seconds": parts.sensor.settings.interval / 1000,
            "phase_seconds": parts.sensor.settings.phase / 1000,
            "default_status": parts.sensor.settings.default_status.value,
            "pause_after": parts.sensor.settings.pause_after,
        },
    }


def _fitting(lists: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """Return the first entries of each list that fit into the limit, and how many others are left out."""
    room, kept = MAX_PREVIEW_BYTES, {}
    for name, entries in lists.items():
        sizes = accumulate(len(json.dumps(each)) for each in entries)
        fitting = [size for size in sizes if size <= room]
        kept[name] = entries[: len(fitting)]
        room -= fitting[-1] if fitting else 0
    left_out = {name: len(entries) - len(kept[name]) for name, entries in lists.items()}
    return kept, {name: number for name, number in left_out.items() if number}


def _describe(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    del event, budget
    return dict(parts.sensor.definition.described())


def _deadline(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Delay a schedule's deadline by the grace period, in the sensor's own queue."""
    del budget
    deadline = scheduled_time(event) or minute(parts.clock.now())
    grace = int(parts.sensor.definition.grace.total_seconds())
    parts.inbox.queue.send([deadline_message(deadline)], delay_seconds=grace)
    reason = f"Will be evaluated in {grace} s."
    return _report(parts, Outcome(Decision.DELAYED, reason, timestamp(deadline)))


def _close(parts: EvaluatorParts, event: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Close batches that RECONCILE has found to be due."""
    _check_engine(parts)
    keys, began = event.get("batches"), parts.clock.now()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        msg = "The message to close batches needs the list of their keys. RECONCILE sends it."
        raise UnknownEventError(msg)
    if parts.sensor.closer is None:
        reason = f"Items wait for batches of sensor {parts.name}, and its code has none. Deploy it with batch= again."
        return _report(parts, Outcome(Decision.FAILURE, reason, parts.name))
    closed = 0
    for key in keys:
        left = budget.seconds - (parts.clock.now() - began) / 1000
        if left < MIN_CLOSE_SECONDS:
            break  # The next pass of RECONCILE sends the others again.
        closed += _close_batch(parts, parts.sensor.closer, key, Budget(left))
    return {"decision": Decision.SUCCESS.value, "count": closed}


def _close_batch(parts: EvaluatorParts, closer: "BatchCloser", key: str, budget: Budget) -> int:
    """Close the batches with one key; return how many ticks that were. If a store does not answer, RECONCILE repeats it."""
    try:
        outcomes = closer.close(key, budget)
    except StoreError as error:
        logger().warning(f"Batches of sensor {parts.name} are closed later: {error}")
        return 0
    for outcome in outcomes:
        _report(parts, outcome)
    return len(outcomes)


def _settle(parts: EvaluatorParts, budget: Budget, *, closes: bool = True) -> None:
    """Make sure that the batches of accepted items are closed, before their events are acknowledged.

    Raises:
        StoreError: if a store did not answer; the events must then be delivered again.
    """
    if parts.sensor.acceptor is not None:
        parts.sensor.acceptor.settle(closes=closes)
        _close_full(parts, budget)


def _close_full(parts: EvaluatorParts, budget: Budget) -> None:
    """Close the batches that may be full."""
    if parts.sensor.acceptor is None or parts.sensor.closer is None:
        return
    began = parts.clock.now()
    for key in parts.sensor.acceptor.take_full():
        left = budget.seconds - (parts.clock.now() - began) / 1000
        if left >= MIN_CLOSE_SECONDS:
            _close_batch(parts, parts.sensor.closer, key, Budget(left))


_COMMANDS: Mapping[str, Callable[[EvaluatorParts, Mapping[str, Any], Budget], dict[str, Any]]] = {
    "tick": _tick,
    "preview": _preview,
    "describe": _describe,
    "deadline": _deadline,
    "close": _close,
}


def _evaluate_one(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    _check_engine(parts)
    parsed = _happened(parts, event)
    batch_state = parts.sensor.events.load_batch_state([parsed])
    budget = Budget(remaining_seconds(context))
    answer = _reported(parts, parsed, lambda: parts.sensor.events.evaluate(parsed, batch_state, budget))[1]
    _settle(parts, Budget(remaining_seconds(context)))
    return answer


def _reported(
    parts: EvaluatorParts, event: SensorEvent, evaluate: Callable[[], Outcome]
) -> tuple[Outcome, dict[str, Any]]:
    """Return the outcome of an event's evaluation and its report. A failure is also reported before it is raised.

    Raises:
        SensorEvaluationError: if the evaluation failed, so that the event is redelivered.
    """
    try:
        outcome = evaluate()
    except SensorEvaluationError as error:
        from treadle.engine.tick.event_ticks import tick_id_of

        _report(parts, Outcome(Decision.FAILURE, str(error), tick_id_of(event), trigger=event.summary))
        raise
    return outcome, _report(parts, outcome)


def _event_batch(parts: EvaluatorParts, context: Any, lags: list[float]) -> "InvocationBatch[SensorEvent]":
    """Return what evaluates events of an invocation together.

    Args:
        parts: the evaluator.
        context: the invocation's.
        lags: gets the age of each event when its evaluation begins, in seconds.
    """
    # Imported here because scheduled ticks do not need them.
    from treadle.engine.invocation_batch import InvocationBatch
    from treadle.engine.tick.event_ticks import tick_id_of

    def evaluate(events: Sequence[SensorEvent]) -> Sequence[Outcome | Exception]:
        _check_engine(parts)
        batch_state = parts.sensor.events.load_batch_state(events)
        now = parts.clock.now() / 1000
        lags.extend(max(0.0, now - event.time.timestamp()) for event in events)
        return parts.sensor.events.evaluate_many(
            events, batch_state, lambda: Budget(remaining_seconds(context))
        )

    return InvocationBatch(evaluate, tick_id_of)


def _evaluate_batch(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    lags: list[float] = []
    hops = [0]
    batch = _event_batch(parts, context, lags)

    def parse(body: Mapping[str, Any]) -> _Message:
        message = _message(parts, body)
        hops.append(hops_of(body))
        return message

    def begin(messages: Sequence[_Message]) -> None:
        batch.begin(each.event for each in messages if each.event is not None)

    @functools.cache
    def woken() -> None:
        """Evaluate one tick for all wake-ups in the batch; it finds all new input by itself."""
        _wake(parts, Budget(remaining_seconds(context)), max(hops))

    def handle(message: _Message) -> None:
        if message.event is not None:
            outcome, _ = _reported(parts, message.event, functools.partial(batch.result, message.event))
            _send_later(parts, message.body, outcome.wait_seconds)
            return
        _check_engine(parts)
        if message.body.get("treadle") == "slot":
            budget = Budget(remaining_seconds(context))
            _report(parts, parts.sensor.scheduled.tick(scheduled_time(message.body), budget))
        else:
            woken()

    answer = process_queue(event, handle, parts.inbox, parse, begin)
    _settle(parts, Budget(remaining_seconds(context)))
    _put_event_age(parts, lags)
    return answer


def _put_event_age(parts: EvaluatorParts, lags: Sequence[float]) -> None:
    if lags:
        put_metric_of(("sensor", parts.name), metric_names.EVENT_AGE, max(lags), "Seconds")


def _consume(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate messages of a queue that belongs to somebody else."""
    # Imported here because most sensors take no messages.
    from treadle.entrypoints.queue_consumer import consume

    lags: list[float] = []
    batch = _event_batch(parts, context, lags)

    def handle(message: SensorEvent) -> Outcome:
        return _reported(parts, message, functools.partial(batch.result, message))[0]

    parse = functools.partial(_happened, parts)
    answer = consume(event["Records"], parse, batch.begin, handle, parts.inbox)
    _settle(parts, Budget(remaining_seconds(context)))
    _put_event_age(parts, lags)
    return answer


def _consume_stream(parts: EvaluatorParts, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate records of a stream."""
    # Imported here because most sensors take no records.
    from treadle.entrypoints.stream_consumer import StreamBatch

    events, started_with = parts.sensor.events, remaining_seconds(context)
    lags: list[float] = []

    def parse(record: Mapping[str, Any]) -> "StreamRecord":
        # Only a sensor of a stream gets here, whose events are records.
        return cast("StreamRecord", _happened(parts, record))

    def evaluate(record: SensorEvent, batch_state: "EventBatchState") -> Outcome:
        _check_engine(parts)
        lags.append(max(0.0, parts.clock.now() / 1000 - record.time.timestamp()))
        budget = Budget(remaining_seconds(context))
        return _reported(parts, record, lambda: events.evaluate(record, batch_state, budget))[0]

    batch = StreamBatch(
        events,
        parse,
        evaluate,
        parts.inbox,
        cast("BlobStore", parts.blobs),
        parts.sensor.definition.max_attempts,
        lambda: remaining_seconds(context) >= started_with / 2,
    )
    answer = batch.consume(event["Records"])
    _settle(parts, Budget(remaining_seconds(context)))
    _put_event_age(parts, lags)
    return answer


def _respond(
    parts: EvaluatorParts, receiver: "WebhookReceiver", event: dict[str, Any], context: Any
) -> dict[str, Any]:
    """Respond to a request to a webhook sensor."""
    # Imported here because most sensors receive no requests.
    from treadle.entrypoints.webhook import respond

    def evaluate(request: SensorEvent) -> Outcome:
        batch_state = parts.sensor.events.load_batch_state([request])
        budget = Budget(remaining_seconds(context))
        outcome, _ = _reported(
            parts, request, lambda: parts.sensor.events.evaluate(request, batch_state, budget)
        )
        # Its sender waits for the response: a full batch is closed by RECONCILE.
        _settle(parts, Budget(remaining_seconds(context)), closes=False)
        return outcome

    def receive(request: "HttpRequest") -> "WebhookResponse":
        _check_engine(parts)
        return receiver.receive(request, evaluate)

    return respond(event, parts.name, receive)


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of a sensor's queue.

    Attributes:
        body: its JSON.
        event: the event to evaluate; None if a tick finds the input by itself.
    """

    body: Mapping[str, Any]
    event: "SensorEvent | None" = None


def _message(parts: EvaluatorParts, body: Mapping[str, Any]) -> _Message:
    """Parse a message; an invalid one fails here, before others are processed with it."""
    if body.get("treadle") == "slot":
        scheduled_time(body)
        return _Message(body)
    if parts.sensor.definition.is_woken:
        if body.get("treadle") != WAKE["treadle"]:
            _event(parts, body)  # An invalid event becomes a dead letter, and wakes nothing.
        return _Message(body)
    from treadle.engine.tick.event_ticks import tick_id_of

    event = _happened(parts, body)
    tick_id_of(event)
    return _Message(body, event)


def _send_later(parts: EvaluatorParts, body: Mapping[str, Any], wait_seconds: int) -> None:
    """Send a message that came too early again, before it is acknowledged: duplicates are one tick.

    After ten hops of 15 minutes it is left to the sweep, which every sensor of objects has.
    """
    if not wait_seconds:
        return
    if hops_of(body) < MOST_HOPS:
        parts.inbox.queue.send([one_hop_on(body)], delay_seconds=min(wait_seconds, MAX_DELAY_SECONDS))
        return
    logger().info(
        "Not sent again, because the message has reached its hop limit: a sweep finds the object "
        f"in {wait_seconds} s."
    )


def _wake(parts: EvaluatorParts, budget: Budget, hops: int) -> None:
    """Tick now; if that is not possible, send another wake-up before this one is acknowledged."""
    outcome = parts.sensor.scheduled.tick(parts.clock.now(), budget)
    _report(parts, outcome)
    if outcome.decision not in {Decision.LEASED, Decision.LOST, Decision.NOT_DUE, Decision.DELAYED}:
        return
    if hops == MOST_HOPS:
        logger().info(
            "No further wake-up is sent, because the message has reached its hop limit: the "
            "schedule's next tick follows."
        )
        return
    wait = outcome.wait_seconds or WAKE_AGAIN_SECONDS << hops
    body = one_hop_on({**WAKE, "hops": hops})
    parts.inbox.queue.send([body], delay_seconds=min(wait, MAX_DELAY_SECONDS))


def _event(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    # Imported here because scheduled ticks do not need it.
    from treadle.adapters.events import (
        parse_any_event,
        parse_message_record,
        parse_sensor_event,
        parse_stream_record,
    )

    if parts.receiver is not None:
        from treadle.entrypoints.webhook import http_request

        return parts.receiver.sample(http_request(body))
    if parts.sensor.definition.consumes_queue or parts.sensor.definition.consumes_stream:
        # A sample event has a list of one message or record, as Lambda receives it.
        record = body["Records"][0] if body.get("Records") else body
        if parts.sensor.definition.consumes_queue:
            return parse_message_record(record)
        return parse_stream_record(record)
    return (parse_any_event if parts.sensor.definition.takes_any_event else parse_sensor_event)(body)


def _parse(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    given: object = body
    if not isinstance(given, Mapping):
        msg = f"The event is {shown(given)}; it must be a JSON object as a rule or a queue sends it."
        raise UnknownEventError(msg)
    return _event(parts, body) if body.get("treadle") != "deadline" else _reached(parts, body)


def _happened(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    """Parse the event to evaluate; reject one in the future.

    Raises:
        UnknownEventError: if it is not an event, or lies in the future.
    """
    event = _parse(parts, body)
    now, time = parts.clock.now(), int(event.time.timestamp() * 1000)
    if is_ahead(time, now):
        # Until that time, its tick would be the sensor's latest in every list.
        msg = (
            f"{event.summary} has the time {timestamp(time)}, which is in the future: it is "
            f"{timestamp(now)}. Correct the clock of its sender and send the event again with the "
            "right time."
        )
        raise UnknownEventError(msg)
    return event


def _reached(parts: EvaluatorParts, body: Mapping[str, Any]) -> SensorEvent:
    from treadle.definitions.timed import DeadlineReached

    deadline = scheduled_time(body)
    if deadline is None:
        msg = "A deadline needs its nominal_time, such as 2026-11-22T06:00:00Z."
        raise UnknownEventError(msg)
    return DeadlineReached(datetime.fromtimestamp(deadline / 1000, parts.time_zone))
