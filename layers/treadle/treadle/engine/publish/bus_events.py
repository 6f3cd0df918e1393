"""The events that Treadle publishes on its bus; the format of each is documented and versioned."""

from collections.abc import Mapping
from dataclasses import dataclass

from treadle.definitions.assets import AssetObservation, AssetObserved, RecordedEvent, ReportedEvent
from treadle.definitions.bounds import MAX_NAME, fit_some, unicode_text
from treadle.definitions.runs import WILL_RETRY_TAG
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import timestamp
from treadle.model.engine_state import LateSensor
from treadle.model.messages import BusEvent
from treadle.model.runs import Run
from treadle.model.ticks import Tick

SOURCE = "treadle"
VERSION = 1

RUN_STATUS_CHANGED = "Run Status Changed"
SENSOR_HEALTH_CHANGED = "Sensor Health Changed"
ASSET_MATERIALIZED = "Asset Materialized"
ASSET_OBSERVED = "Asset Observed"

REPORT_SOURCE = f"{SOURCE}.report"
RUN_STATUS_REPORT = "Run Status Report"
ASSET_MATERIALIZATION_REPORT = "Asset Materialization Report"
ASSET_OBSERVATION_REPORT = "Asset Observation Report"
REPORTED_STATUSES = (
    DagsterRunStatus.STARTED,
    DagsterRunStatus.SUCCESS,
    DagsterRunStatus.FAILURE,
    DagsterRunStatus.CANCELED,
)
"""The statuses that may be reported for a run whose target emits no events."""

MAX_PUBLISHED_TAGS = 50
_MAX_TAG = 256
"""The limits for published tags, in number and in characters of each: an event is a pointer to the record."""

_MAX_CAUSE = 1_000
_MAX_RECORDED_CAUSE = 2_000


def sensor_paused(tick: Tick) -> BusEvent:
    """Return the event that a sensor was paused after its failures.

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
    """Return the event that a sensor has not ticked for three of its intervals, or has recovered.

    Args:
        sensor: the sensor, and since when it is late.
        namespace: the engine's, as `account/region/namespace`.
        now: when the change was detected.
        reason: a sentence that describes the change.
        is_late: False if it has recovered.
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
    """A status that a run reached.

    Attributes:
        run: its record, as of then or later.
        attempt: the attempt's number.
        retry: the target's own count of retries or redrives.
        status: the status.
        time: when it was reached.
    """

    run: Run
    attempt: int
    retry: int
    status: DagsterRunStatus
    time: int

    @property
    def event_id(self) -> str:
        """The event's id, the same for every publisher."""
        return f"{self.run.run_id}/{self.attempt}/{self.retry}/{self.status}"

    @property
    def will_retry(self) -> bool:
        """True for a failure after which the run's retry policy starts, or has started, another attempt."""
        run = self.run
        if self.status is not DagsterRunStatus.FAILURE:
            return False
        if self.attempt == run.attempt:
            return run.retry_at is not None and self.retry == run.target_retry
        return self.attempt >= run.attempt - run.policy_retries


def run_status_changed(reached: RunStatusChange, namespace: str, number: int) -> BusEvent:
    """Return the event that a run reached a status.

    Args:
        reached: the run and the status.
        namespace: the engine's, as `account/region/namespace`.
        number: its sequence number among the completed runs of its job; 0 for a status that is not final, and
            where it does not matter.
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
            "tags": published_tags({**run.tags, WILL_RETRY_TAG: "true"} if reached.will_retry else run.tags),
            "will_retry": reached.will_retry,
            "external_id": run.external_id,
            "failure": {"error": failure.error, "cause": failure.cause[:_MAX_CAUSE]} if failure else None,
        },
    )


def asset_recorded(event: RecordedEvent, namespace: str) -> BusEvent:
    """Return the event that a materialization or an observation was recorded.

    Args:
        event: what was recorded, with its sequence number.
        namespace: the stack that recorded it.
    """
    made = event.reported
    return BusEvent(
        ASSET_OBSERVED if isinstance(event, AssetObserved) else ASSET_MATERIALIZED,
        {
            "version": VERSION,
            "id": event.event_id,
            "namespace": namespace,
            "origin": event.location,
            "asset_key": made.asset_key.to_escaped_user_string(),
            "storage_id": event.storage_id,
            "time": timestamp(int(event.time.timestamp() * 1000)),
            "partition": made.partition,
            "description": made.description,
            "metadata": made.plain_metadata,
            "run_id": event.run_id,
            "depth": event.depth,
            **made.optional_fields,
        },
    )


def envelope(event: BusEvent, namespace: str) -> dict[str, object]:
    """Return a bus event as EventBridge delivers it, with the fields that Treadle reads.

    Args:
        event: the event.
        namespace: the stack that published it.
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
    """Return the event, of source `REPORT_SOURCE`, that reports a status of a run.

    Args:
        launch_id: the launch id of the run's attempt.
        status: one of `REPORTED_STATUSES`.
        time: ISO 8601.
        error: the error's name.
        cause: the error's message; truncated to what is stored.
    """
    texts = {"error": fit_some(error, MAX_NAME), "cause": cause and unicode_text(cause[:_MAX_RECORDED_CAUSE])}
    detail = {"version": VERSION, "launch_id": launch_id, "status": status.value, "time": time}
    return BusEvent(RUN_STATUS_REPORT, {**detail, **{name: text for name, text in texts.items() if text}})


def asset_report(made: ReportedEvent, event_id: str, time: str, *, run_id: str | None) -> BusEvent:
    """Return the event, of source `REPORT_SOURCE`, that reports a materialization or an observation.

    Args:
        made: what is reported.
        event_id: the same when it is reported again.
        time: ISO 8601.
        run_id: the id or launch id of the run that did it.
    """
    optional: dict[str, object] = {
        "metadata": made.plain_metadata,
        "partition": made.partition,
        "description": made.description,
        "run_id": run_id,
        **made.optional_fields,
    }
    detail = {
        "version": VERSION,
        "asset_key": made.asset_key.to_escaped_user_string(),
        "event_id": event_id,
        "time": time,
    }
    kind = ASSET_OBSERVATION_REPORT if isinstance(made, AssetObservation) else ASSET_MATERIALIZATION_REPORT
    return BusEvent(kind, {**detail, **{name: each for name, each in optional.items() if each}})


_FAILED = {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}


def published_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags to publish: short ones, Treadle's and Dagster's own before others."""
    short = {name: value for name, value in tags.items() if len(name) + len(value) <= _MAX_TAG}
    own = sorted(short, key=lambda name: (not name.startswith(("treadle/", "dagster/")), name))
    return {name: short[name] for name in own[:MAX_PUBLISHED_TAGS]}
