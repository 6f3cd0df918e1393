"""RECORD as a Lambda handler: status events of targets, and reports and events of assets."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from treadle.adapters.asset_reports import is_about_an_asset, parse_asset_event
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.status_events import parse_status_change
from treadle.adapters.targets.registry import LazyTargets
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.record.recorder import Recorder
from treadle.engine.registry.registry_cache import ObservedJobs
from treadle.entrypoints.handler import Handler, instrumented, process_queue, report


def recorder_parts(environment: Mapping[str, str]) -> tuple[Recorder, AssetRecorder, Inbox]:
    """Create RECORD's objects: the recorders of runs and of assets, and the queue of both.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    inbox = Inbox.of("record", settings, "TREADLE_RECORD_QUEUE_URL")
    bus = EventBridgeBus(settings.text("TREADLE_BUS_NAME"))
    engine = assembly(settings)
    observed, changed = ObservedJobs(engine.registry), engine.registry.jobs_changed
    runs = engine.recorder(engine.jobs(), LazyTargets("record"), observed, changed)
    return runs, engine.asset_recorder(bus), inbox


def recorder() -> Handler:
    """Return the handler of RECORD, for status events of targets, and reports and events of assets."""
    parts = functools.cache(lambda: recorder_parts(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        runs, assets, inbox = parts()
        return process_queue(event, context, functools.partial(record, runs, assets), inbox)

    return instrumented(handler)


def record(runs: Recorder, assets: AssetRecorder, body: Mapping[str, Any]) -> None:
    """Record what a message reports of a run or an asset."""
    if is_about_an_asset(body):
        report(assets.record(parse_asset_event(body)), step="record")
        return
    change = parse_status_change(body)
    report(runs.record(change), step="record", execution=change.external_id)
