"""RECONCILE as a Lambda handler: its schedule, changes of the registry, and operators' commands."""

import functools
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from treadle.adapters.functions import LambdaFunctions
from treadle.adapters.parameters import ParameterStore, changed_entry
from treadle.adapters.queues import SqsDeadLetters, SqsQueue
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.bootstrap.settings import Settings
from treadle.engine.reconcile.reconciler import Reconciled, Reconciler
from treadle.engine.registry.registry_cache import ObservedJobs
from treadle.entrypoints import metric_names
from treadle.entrypoints.dispatcher import create_dispatcher
from treadle.entrypoints.handler import (
    Handler,
    count,
    instrumented,
    logger,
    put_metric_of,
    remaining_seconds,
)
from treadle.ports.deployment import COMMANDS

if TYPE_CHECKING:
    from treadle.operate.commands import Commands

RECONCILE_MARGIN_SECONDS = 10.0
"""Reserved from RECONCILE's time limit, to finish what it has begun."""

_RECONCILED: Mapping[str, str] = {
    "dispatched": metric_names.TICKS_RECOVERED,
    "relaunched": metric_names.LAUNCHES_RESENT,
    "described": metric_names.RUNS_POLLED,
    "observed": metric_names.RUNS_OBSERVED,
    "retried": metric_names.RUNS_RETRIED,
    "timed_out": metric_names.RUNS_TIMED_OUT,
    "not_canceled": metric_names.RUNS_NOT_CANCELED,
    "failed": metric_names.RECONCILE_FAILURES,
    "unreadable": metric_names.UNREADABLE_RECORDS,
    "registered": metric_names.ENTRIES_REGISTERED,
    "invalid": metric_names.INVALID_ENTRIES,
    "held": metric_names.HELD_REQUESTS,
    "loops": metric_names.LOOPS_DETECTED,
    "refused": metric_names.REFUSED_REQUESTS,
    "backfilled": metric_names.BACKFILL_RUNS_RECOVERED,
    "blocked": metric_names.BACKFILLS_BLOCKED,
    "in_doubt": metric_names.SLOTS_IN_DOUBT,
    "overdue": metric_names.BATCHES_OVERDUE,
}


def reconciler_parts(environment: Mapping[str, str]) -> tuple[Reconciler, str]:
    """Create RECONCILE's objects: the reconciler, and the engine's name, under which projects register.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    name, engine_id = settings.text("TREADLE_ENGINE"), settings.text("TREADLE_ENGINE_ID")
    dead_letters = SqsDeadLetters(settings.text("TREADLE_DEAD_LETTER_QUEUE_URL"))
    engine, dispatcher, launches, bus = create_dispatcher(settings)
    reconciler = engine.reconciler(
        dispatcher,
        launches,
        engine.jobs(),
        LazyTargets("reconcile"),
        observed=ObservedJobs(engine.registry),
        dead_letters=dead_letters,
        registry=engine.registry_sync(ParameterStore(name), name, KINDS),
        late_sensors=engine.late_sensors(bus),
        engine_id=engine_id,
        dispatches=SqsQueue(settings.text("TREADLE_DISPATCH_QUEUE_URL")),
        batches=engine.due_batches(engine.registry, LambdaFunctions()),
    )
    return reconciler, name


def reconciler() -> Handler:
    """Return the handler of RECONCILE.

    It handles changes of the registry and operators' commands; any other event is its schedule.
    """
    parts = functools.cache(lambda: reconciler_parts(os.environ))
    commands = functools.cache(_commands)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if event.get("treadle") in COMMANDS:
            return commands().answer(event)
        (reconcile, engine), seconds = parts(), remaining_seconds(context) - RECONCILE_MARGIN_SECONDS
        entry = changed_entry(event, engine)
        if entry is None:
            found = reconcile.reconcile(seconds)
        else:
            path, is_deleted = entry
            found = reconcile.register(path, seconds, is_deleted=is_deleted)
        for what, name in _RECONCILED.items():
            if number := getattr(found, what):
                count(name, number)
        if found.late:
            count(metric_names.SENSORS_LATE, len(found.late))
            for sensor in found.late:
                put_metric_of(("sensor", sensor), metric_names.SENSOR_LATE, 1, "Count")
        for queue in found.queues:
            put_metric_of(("pool", queue.pool), metric_names.POOL_RUNS_WAITING, queue.waiting, "Count")
            put_metric_of(
                ("pool", queue.pool), metric_names.POOL_WAIT_AGE, queue.longest_ms / 1000, "Seconds"
            )
        level = logger().info if found != Reconciled() else logger().debug
        level(str(found), extra={"step": "reconcile", **asdict(found)})
        return asdict(found)

    return instrumented(handler, parts)


def _commands() -> "Commands":
    # Imported here because hardly any pass needs them.
    from treadle.bootstrap.commands import command_parts

    return command_parts(os.environ)
