"""The objects that an evaluator needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.lazy import lazy
from treadle.bootstrap.settings import Settings
from treadle.definitions.errors import SettingsError
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.identity import RunIds
from treadle.engine.tick.evaluation import Evaluator
from treadle.engine.tick.planning import Planner
from treadle.engine.tick.schedule import phase_of
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner, TickSettings
from treadle.ports.system import Clock, IdGenerator

if TYPE_CHECKING:
    from treadle.definitions.instance import DagsterInstance, EndedRuns
    from treadle.engine.engine_check import EngineCheck
    from treadle.engine.tick.event_ticks import EventTicks
    from treadle.engine.tick.preview import Previewer

SCHEDULE_SECONDS = 60
"""How often a sensor's schedule invokes it; scheduled times in between are sent through its queue."""


@dataclass(frozen=True, slots=True)
class EvaluatorParts:
    """The objects that an evaluator needs."""

    name: str
    settings: TickSettings
    leased: ScheduledTickRunner
    events: "EventTicks"
    previewer: "Previewer"
    inbox: Inbox
    clock: Clock
    is_woken: bool = False
    grace_seconds: int = 0
    time_zone: tzinfo = UTC
    described: Mapping[str, Any] = field(default_factory=dict)
    engine: "EngineCheck | None" = None


def evaluator_parts(
    definition: SensorDefinition, resources: Mapping[str, Any], environment: Mapping[str, str]
) -> EvaluatorParts:
    """Create the objects of an evaluator.

    Args:
        definition: the sensor.
        resources: what it may use, by key.
        environment: the function's environment.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    try:
        definition = definition.configured(environment)
    except SettingsError as error:
        settings.problems.append(str(error).rstrip("."))
    namespace, tables = settings.text("TREADLE_NAMESPACE"), settings.tables()
    interval = settings.number("TREADLE_INTERVAL_SECONDS", "seconds", definition.minimum_interval_seconds)
    inbox = _inbox(definition, settings, interval or 0)
    pause_after = settings.number("TREADLE_PAUSE_AFTER", "failures")
    status = settings.text("TREADLE_DEFAULT_STATUS", definition.default_status.value)
    if status not in set(DefaultSensorStatus):
        settings.problems.append(f"TREADLE_DEFAULT_STATUS is {status!r}: use RUNNING or STOPPED")
    kind = settings.text("TREADLE_KIND", definition.kind)
    if kind != definition.kind:
        problem = f"TREADLE_KIND is {kind!r}, but the code defines a sensor of kind {definition.kind!r}"
        settings.problems.append(problem)
    outcomes = settings.text("TREADLE_OUTCOMES_BUCKET")
    zone = settings.zone("TREADLE_TIME_ZONE")
    engine_id, project = environment.get("TREADLE_ENGINE_ID", ""), environment.get("TREADLE_PROJECT", "")
    settings.check()
    clock, tokens = SystemClock(), RandomTokens()
    stores = DynamoStores(tables, tokens, S3BlobStore(outcomes))
    run_ids, granted = RunIds.of(namespace), settings.granted()
    planner = Planner(definition, run_ids, lazy(lambda: stores.runs), granted=granted)
    running = Evaluator(
        planner, clock, resources, lambda: _instance(stores, namespace), lambda: _ended_runs(stores, clock)
    )
    default = DefaultSensorStatus(status)
    millis = (interval or 0) * 1000
    phase = phase_of(definition.name, millis)
    # A paused sensor drops events, so one that takes them is only slowed down.
    pauses = 0 if definition.takes_events else pause_after or 0
    ticking = TickSettings(millis, default, pauses, phase, project)
    return EvaluatorParts(
        definition.name,
        ticking,
        ScheduledTickRunner(running, stores.sensors, stores.ticks, clock, tokens, ticking, inbox.queue),
        lazy(lambda: _events(running, stores, tokens, ticking, namespace)),
        lazy(lambda: _previewer(running, stores, clock)),
        inbox,
        clock,
        definition.is_woken,
        int(definition.grace.total_seconds()),
        zone,
        definition.described(),
        lazy(lambda: _engine_check(stores, engine_id, clock)) if engine_id else None,
    )


def _inbox(definition: SensorDefinition, settings: Settings, interval: int) -> Inbox:
    """Return the sensor's queue, optional for a sensor that only ticks, at most once a minute."""
    takes_messages = definition.takes_events or definition.is_woken
    has_none = not settings.environment.get("TREADLE_QUEUE_URL")
    if has_none and not takes_messages and 0 < interval < SCHEDULE_SECONDS:
        settings.problems.append(
            f"the interval is {interval} seconds, but without TREADLE_QUEUE_URL the sensor ticks at "
            f"most once a minute: give it a queue, or an interval of {SCHEDULE_SECONDS} seconds or "
            "more"
        )
    return Inbox.of(f"sensor {definition.name}", settings, "TREADLE_QUEUE_URL", is_needed=takes_messages)


def _events(
    running: Evaluator, stores: DynamoStores, tokens: IdGenerator, settings: TickSettings, namespace: str
) -> "EventTicks":
    from treadle.engine.tick.event_ticks import EventTicks

    return EventTicks(
        running,
        stores.sensors,
        stores.ticks,
        tokens,
        settings.default_status,
        stores.runs,
        namespace,
        settings.project,
    )


def _engine_check(stores: DynamoStores, engine_id: str, clock: Clock) -> "EngineCheck":
    from treadle.engine.engine_check import EngineCheck

    return EngineCheck(stores.engine, engine_id, clock)


def _previewer(running: Evaluator, stores: DynamoStores, clock: Clock) -> "Previewer":
    from treadle.engine.tick.preview import Previewer

    return Previewer(running, stores.sensors, clock)


def _instance(stores: DynamoStores, namespace: str) -> "DagsterInstance":
    from treadle.engine.instance.instance_reader import InstanceReader

    return InstanceReader(stores.runs, namespace, stores.events)


def _ended_runs(stores: DynamoStores, clock: Clock) -> "EndedRuns":
    from treadle.engine.instance.run_reader import CompletedRunReader

    return CompletedRunReader(stores.events, clock)
