"""RECORD as a Lambda handler: status events of targets, and reports and events of assets."""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from treadle.adapters.asset_reports import Reported, is_about_an_asset, parse_asset_event
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.status_events import parse_status_change
from treadle.adapters.targets.registry import LazyTargets
from treadle.bootstrap.engine import assembly
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.invocation_batch import InvocationBatch
from treadle.engine.record.recorder import Recorder, StatusChange
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

    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        return record_batch(event, *parts())

    return instrumented(handler, parts)


def record_batch(
    event: dict[str, Any], runs: Recorder, assets: AssetRecorder, inbox: Inbox
) -> dict[str, Any]:
    """Record what a batch of messages reports of runs and assets."""
    batch = InvocationBatch(runs.record_many)

    def begin(reports: Sequence[StatusChange | Reported]) -> None:
        batch.begin(each for each in reports if isinstance(each, StatusChange))

    def record(reported: StatusChange | Reported) -> None:
        if isinstance(reported, StatusChange):
            report(batch.result(reported), step="record", execution=reported.external_id)
        else:
            report(assets.record(reported), step="record")

    return process_queue(event, record, inbox, _parsed, begin)


def _parsed(body: Mapping[str, Any]) -> StatusChange | Reported:
    return parse_asset_event(body) if is_about_an_asset(body) else parse_status_change(body)
