"""Reports from jobs: a run's start and end where the target emits no events, and events of assets."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from treadle.adapters.bus import EventBridgeBus
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialization, AssetObservation, ReportedEvent
from treadle.definitions.bounds import shown
from treadle.definitions.clocks import check_time, is_ahead
from treadle.definitions.errors import InvalidReportError, SettingsError
from treadle.definitions.status import DagsterRunStatus
from treadle.definitions.values import text_value
from treadle.engine.assets.asset_recorder import AssetReport
from treadle.engine.identity import parse_launch_id, timestamp
from treadle.engine.publish.bus_events import (
    REPORT_SOURCE,
    REPORTED_STATUSES,
    asset_report,
    run_status_report,
)
from treadle.model.messages import BusEvent


def report_run_status(
    launch_id: str,
    status: DagsterRunStatus | str,
    *,
    error: str | None = None,
    cause: str | None = None,
    time: datetime | None = None,
    bus: str | None = None,
) -> None:
    """Report a run's status, from a consumer of a queue, a function or an event.

    Step Functions, Glue, Batch and ECS report the status of their runs themselves; other reports of them are
    ignored. A report may be sent again: the earliest time reported for each status counts.

    Args:
        launch_id: passed to the job under that name.
        status: STARTED, SUCCESS, FAILURE or CANCELED.
        error: the error's name, for a run that failed or was canceled.
        cause: the error's message.
        time: when it reached the status, with a time zone; now if None.
        bus: the name or ARN of Treadle's bus; the environment's `TREADLE_BUS_NAME` if None.

    Raises:
        InvalidReportError: if an argument is invalid.
        SettingsError: if no bus is named.
        StoreError: if the bus did not accept the report.
    """
    for name, text in (("error", error), ("cause", cause)):
        _check_text(name, text)
    reported = _reported(launch_id, status, error or cause)
    reported_at = timestamp(int(_checked_time(time).timestamp() * 1000))
    _send(run_status_report(launch_id, reported, reported_at, error=error, cause=cause), bus)


def report_asset_materialization(
    asset_key: AssetMaterialization | AssetKey | str | Sequence[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    partition: str | None = None,
    description: str | None = None,
    run_id: str | None = None,
    event_id: str | None = None,
    time: datetime | None = None,
    bus: str | None = None,
) -> str:
    """Report that an asset was updated, and return the event's id.

    It is recorded once for each asset and event id, and then published to asset sensors.

    Args:
        asset_key: the asset, or an `AssetMaterialization` with all details.
        metadata: by name, plain JSON or a `MetadataValue`; at most 64 KiB in total.
        partition: the partition that was updated.
        description: free text.
        run_id: the run that updated it, or the launch id of the job; sensors then know the chain of runs, and
            an endless loop is detected.
        event_id: at most 512 bytes; a job that may run twice passes an id of its own, such as its launch id,
            so that a second report has no effect. By default each call makes a new report.
        time: when it was updated, with a time zone; now if None.
        bus: the name or ARN of Treadle's bus; the environment's `TREADLE_BUS_NAME` if None.

    Raises:
        InvalidReportError: if an argument is invalid.
        SettingsError: if no bus is named.
        StoreError: if the bus did not accept the report.
    """
    made = _made(AssetMaterialization, asset_key, description, metadata, partition)
    return _report_asset_event(made, run_id, event_id, time, bus)


def report_asset_observation(
    asset_key: AssetObservation | AssetKey | str | Sequence[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    partition: str | None = None,
    description: str | None = None,
    run_id: str | None = None,
    event_id: str | None = None,
    time: datetime | None = None,
    bus: str | None = None,
) -> str:
    """Report what was noticed about an asset without an update of it, and return the event's id.

    It is recorded once for each asset and event id. No sensor is triggered by it; sensors read it with
    `context.instance.fetch_observations`.

    Args:
        asset_key: the asset, or an `AssetObservation` with all details.
        metadata: by name, plain JSON or a `MetadataValue`; at most 64 KiB in total.
        partition: the partition that was observed.
        description: free text.
        run_id: the run that observed it, or the launch id of the job.
        event_id: at most 512 bytes; a job that may run twice passes an id of its own, such as its launch id,
            so that a second report has no effect. By default each call makes a new report.
        time: when it was observed, with a time zone; now if None.
        bus: the name or ARN of Treadle's bus; the environment's `TREADLE_BUS_NAME` if None.

    Raises:
        InvalidReportError: if an argument is invalid.
        SettingsError: if no bus is named.
        StoreError: if the bus did not accept the report.
    """
    made = _made(AssetObservation, asset_key, description, metadata, partition)
    return _report_asset_event(made, run_id, event_id, time, bus)


Kind = TypeVar("Kind", AssetMaterialization, AssetObservation)


def _made(
    kind: type[Kind],
    given: Kind | AssetKey | str | Sequence[str],
    description: str | None,
    metadata: Mapping[str, Any] | None,
    partition: str | None,
) -> Kind:
    if not isinstance(given, AssetMaterialization | AssetObservation):
        return kind(given, description, metadata, partition)
    if not isinstance(given, kind):
        msg = f"report_asset_{kind.noun} reports no {type(given).__name__}. Use report_asset_{given.noun}."
        raise InvalidReportError(msg)
    if description is not None or metadata is not None or partition is not None:
        msg = f"metadata, partition and description are in the {kind.__name__} already: give them there."
        raise InvalidReportError(msg)
    return given


def _report_asset_event(
    made: ReportedEvent, run_id: str | None, event_id: str | None, time: datetime | None, bus: str | None
) -> str:
    # Always with an id, as a request to the bus may be sent again.
    named = str(uuid4()) if event_id is None else event_id
    report = AssetReport(made, named, _checked_time(time), run_id)
    reported_at = timestamp(int(report.time.timestamp() * 1000))
    _send(asset_report(made, named, reported_at, run_id=run_id), bus)
    return named


def _checked_time(time: datetime | None) -> datetime:
    now = datetime.now(UTC)
    given = check_time("time", now if time is None else time, InvalidReportError)
    if is_ahead(int(given.timestamp() * 1000), int(now.timestamp() * 1000)):
        msg = (
            f"time is {given}, which lies in the future: give the time at which it happened, or none for now."
        )
        raise InvalidReportError(msg)
    return given


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        msg = f"{name} must be a string or None, not {type(value).__name__}: {shown(value)}. Write it as a string."
        raise InvalidReportError(msg)


def _send(event: BusEvent, bus: str | None) -> None:
    name = bus or os.environ.get("TREADLE_BUS_NAME", "")
    if not name:
        msg = "No bus is named: give bus=…, or set TREADLE_BUS_NAME to the name of Treadle's bus."
        raise SettingsError(msg)
    text_value(name, "bus", InvalidReportError)
    EventBridgeBus(name, REPORT_SOURCE).publish([event])


def _reported(launch_id: str, status: DagsterRunStatus | str, reason: str | None) -> DagsterRunStatus:
    """Return the status, if it and its details are valid."""
    if parse_launch_id(str(launch_id)) is None:
        msg = f"launch_id is {launch_id!r}: give what the job was given as launch_id, `<run id>-<attempt>`."
        raise InvalidReportError(msg)
    if status not in REPORTED_STATUSES:
        known = ", ".join(REPORTED_STATUSES)
        msg = f"status is {status!r}: use {known}."
        raise InvalidReportError(msg)
    reported = DagsterRunStatus(status)
    if reason and reported not in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}:
        msg = f"error and cause say why a run failed or was canceled, and status is {reported}."
        raise InvalidReportError(msg)
    return reported
