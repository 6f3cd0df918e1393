"""For what runs a job and cannot say itself how it goes: a line at its start, and one at its end."""

import os
from datetime import UTC, datetime

from treadle.adapters.bus import EventBridgeBus
from treadle.definitions.errors import InvalidReportError, SettingsError
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import parse_launch_id, timestamp
from treadle.engine.telling import REPORT_SOURCE, REPORTED_STATUSES, run_status_report


def report_run_status(
    launch_id: str,
    status: DagsterRunStatus | str,
    *,
    error: str | None = None,
    cause: str | None = None,
    time: datetime | None = None,
    bus: str | None = None,
) -> None:
    """Report how far a run has come, from a consumer of a queue, a function or an event.

    Runs of Step Functions, Glue, Batch and ECS are told of by these services, and no report of them is taken.
    A report may be sent again: of each status the earliest time told counts.

    Args:
        launch_id: what the job was given under that name.
        status: STARTED, SUCCESS, FAILURE or CANCELED.
        error: the error's name, of a run that failed or was canceled.
        cause: the error's words.
        time: when it came so far, with a time zone; now if None.
        bus: the name or ARN of Treadle's bus; the environment's `TREADLE_BUS_NAME` if None.

    Raises:
        InvalidReportError: if an argument does not fit.
        SettingsError: if no bus is named.
        StoreError: if the bus did not take the report.
    """
    reported = _reported(launch_id, status, error or cause)
    moment = datetime.now(UTC) if time is None else time
    if moment.tzinfo is None:
        msg = f"time is {moment}, which has no time zone: give one, such as datetime.now(UTC)."
        raise InvalidReportError(msg)
    name = bus or os.environ.get("TREADLE_BUS_NAME", "")
    if not name:
        msg = "No bus is named: give bus=…, or set TREADLE_BUS_NAME to the name of Treadle's bus."
        raise SettingsError(msg)
    told = timestamp(int(moment.timestamp() * 1000))
    event = run_status_report(launch_id, reported, told, error=error, cause=cause)
    EventBridgeBus(name, REPORT_SOURCE).publish([event])


def _reported(launch_id: str, status: DagsterRunStatus | str, words: str | None) -> DagsterRunStatus:
    """The status, if it and what comes with it fit."""
    if parse_launch_id(str(launch_id)) is None:
        msg = f"launch_id is {launch_id!r}: give what the job was given as launch_id, `<run id>-<attempt>`."
        raise InvalidReportError(msg)
    if status not in REPORTED_STATUSES:
        known = ", ".join(REPORTED_STATUSES)
        msg = f"status is {status!r}: use {known}."
        raise InvalidReportError(msg)
    reported = DagsterRunStatus(status)
    if words and reported not in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}:
        msg = f"error and cause say why a run failed or was canceled, and status is {reported}."
        raise InvalidReportError(msg)
    return reported
