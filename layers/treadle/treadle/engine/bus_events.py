"""What Treadle tells on its bus; the form of each event is documented and versioned."""

from collections.abc import Mapping
from dataclasses import dataclass

from treadle.definitions.assets import AssetMaterialization, AssetMaterialized
from treadle.definitions.bounds import MAX_NAME, fit_some, unicode_text
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import timestamp
from treadle.ports.engine_state import LateSensor
from treadle.ports.runs import Run
from treadle.ports.system import BusEvent
from treadle.ports.ticks import Tick

SOURCE = "treadle"
VERSION = 1

RUN_STATUS_CHANGED = "Run Status Changed"
SENSOR_HEALTH_CHANGED = "Sensor Health Changed"
ASSET_MATERIALIZED = "Asset Materialized"

REPORT_SOURCE = f"{SOURCE}.report"
RUN_STATUS_REPORT = "Run Status Report"
ASSET_MATERIALIZATION_REPORT = "Asset Materialization Report"
REPORTED_STATUSES = (
    DagsterRunStatus.STARTED,
    DagsterRunStatus.SUCCESS,
    DagsterRunStatus.FAILURE,
    DagsterRunStatus.CANCELED,
)
"""What may be reported of a run whose target tells nothing of it."""

MAX_PUBLISHED_TAGS = 50
_MAX_TAG = 256
"""So many tags are told of, and none with more characters: an event is a pointer to the record."""

_MAX_CAUSE = 1_000
_MAX_RECORDED_CAUSE = 2_000


def sensor_paused(tick: Tick) -> BusEvent:
    """That a sensor was paused after its failures.

    Args:
        tick: the last that failed.
    """
    return BusEvent(
        "Sensor Paused",
        {
            "version": VERSION,
            "id": f"{tick.sensor}/{tick.tick_id}/paused",
            "sensor": tick.sensor,
            "tick_id": tick.tick_id,
            "time": timestamp(tick.ended_at),
            "reason": tick.paused or "",
        },
    )


def sensor_health_changed(
    sensor: LateSensor, namespace: str, now: int, reason: str, *, is_late: bool
) -> BusEvent:
    """That a sensor has not ticked for three of its intervals, or that this is over.

    Args:
        sensor: which, and since when.
        namespace: the engine's, as `account/region/namespace`.
        now: when that was found.
        reason: what is the case, as a sentence.
        is_late: False if it is over.
    """
    status = "LATE" if is_late else "HEALTHY"
    return BusEvent(
        SENSOR_HEALTH_CHANGED,
        {
            "version": VERSION,
            "id": f"{sensor.name}/{sensor.since}/{status}",
            "namespace": namespace,
            "sensor": sensor.name,
            "project": sensor.project,
            "status": status,
            "since": timestamp(sensor.since),
            "time": timestamp(now),
            "reason": reason,
        },
    )


@dataclass(frozen=True, slots=True)
class RunStatusChange:
    """That a run reached a status.

    Attributes:
        run: its record, as of then or later.
        attempt: which start.
        retry: the target's own count of retries or redrives.
        status: which status.
        time: when.
    """

    run: Run
    attempt: int
    retry: int
    status: DagsterRunStatus
    time: int

    @property
    def event_id(self) -> str:
        """The same for whoever tells of it."""
        return f"{self.run.run_id}/{self.attempt}/{self.retry}/{self.status}"


def run_status_changed(reached: RunStatusChange, namespace: str, number: int) -> BusEvent:
    """That a run reached a status.

    Args:
        reached: which run, and which status.
        namespace: the engine's, as `account/region/namespace`.
        number: its place among the ended runs of its job; 0 for a status that is no end, and where it does
            not matter.
    """
    run = reached.run
    failure = run.failure if reached.status in _FAILED else None
    return BusEvent(
        RUN_STATUS_CHANGED,
        {
            "version": VERSION,
            "id": reached.event_id,
            "namespace": namespace,
            "run_id": run.run_id,
            "job": run.job,
            "sensor": run.sensor or None,
            "run_key": run.run_key,
            "status": reached.status.value,
            "attempt": reached.attempt,
            "retry": reached.retry,
            "time": timestamp(reached.time),
            "number": number,
            "tags": published_tags(run.tags),
            "external_id": run.external_id,
            "failure": {"error": failure.error, "cause": failure.cause[:_MAX_CAUSE]} if failure else None,
        },
    )


def asset_materialized(told: AssetMaterialized, namespace: str) -> BusEvent:
    """That a materialization was recorded.

    Args:
        told: which, at its place.
        namespace: of the stack that recorded it.
    """
    made = told.materialization
    return BusEvent(
        ASSET_MATERIALIZED,
        {
            "version": VERSION,
            "id": told.event_id,
            "namespace": namespace,
            "origin": told.location,
            "asset_key": made.asset_key.to_user_string(),
            "storage_id": told.storage_id,
            "time": timestamp(int(told.time.timestamp() * 1000)),
            "partition": made.partition,
            "description": made.description,
            "metadata": made.plain_metadata,
            "run_id": told.run_id,
            "depth": told.depth,
        },
    )


def envelope(event: BusEvent, namespace: str) -> dict[str, object]:
    """An event of the bus as EventBridge delivers it, as far as it is read.

    Args:
        event: what was told.
        namespace: of the stack that told it.
    """
    account, region, _ = namespace.split("/", 2)
    return {
        "source": SOURCE,
        "detail-type": event.kind,
        "account": account,
        "region": region,
        "detail": dict(event.detail),
    }


def run_status_report(
    launch_id: str, status: DagsterRunStatus, time: str, *, error: str | None, cause: str | None
) -> BusEvent:
    """That somebody says how far a run has come, of source `REPORT_SOURCE`.

    Args:
        launch_id: of the run's attempt.
        status: one of `REPORTED_STATUSES`.
        time: when, in ISO 8601.
        error: the error's name.
        cause: the error's words, as many as are kept.
    """
    words = {"error": fit_some(error, MAX_NAME), "cause": cause and unicode_text(cause[:_MAX_RECORDED_CAUSE])}
    detail = {"version": VERSION, "launch_id": launch_id, "status": status.value, "time": time}
    return BusEvent(RUN_STATUS_REPORT, {**detail, **{name: text for name, text in words.items() if text}})


def asset_materialization_report(
    made: AssetMaterialization, event_id: str, time: str, *, run_id: str | None
) -> BusEvent:
    """That somebody says that an asset was made, of source `REPORT_SOURCE`.

    Args:
        made: which, and what is said of it.
        event_id: repeated where the same is reported again.
        time: when, in ISO 8601.
        run_id: the run, or its launch id, that made it.
    """
    words: dict[str, object] = {
        "metadata": made.plain_metadata,
        "partition": made.partition,
        "description": made.description,
        "run_id": run_id,
    }
    detail = {
        "version": VERSION,
        "asset_key": made.asset_key.to_user_string(),
        "event_id": event_id,
        "time": time,
    }
    return BusEvent(
        ASSET_MATERIALIZATION_REPORT, {**detail, **{name: each for name, each in words.items() if each}}
    )


_FAILED = {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}


def published_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that are told of: short ones, Treadle's and Dagster's own before others."""
    short = {name: value for name, value in tags.items() if len(name) + len(value) <= _MAX_TAG}
    own = sorted(short, key=lambda name: (not name.startswith(("treadle/", "dagster/")), name))
    return {name: short[name] for name in own[:MAX_PUBLISHED_TAGS]}
