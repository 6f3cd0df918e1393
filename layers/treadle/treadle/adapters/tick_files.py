"""Files of recorded ticks: JSON lines, the first of which describes the others."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.adapters.events import parse_sensor_event
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import (
    AssetMaterialization,
    AssetMaterialized,
    AssetObservation,
    ReportedEvent,
)
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import DagsterRun, RunFailure, StepFailure, from_millis
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.publish.bus_events import ASSET_MATERIALIZED, asset_recorded, envelope
from treadle.engine.rehearsal.recorded import RecordedBatch, RecordedTick
from treadle.model.messages import BusEvent
from treadle.model.ticks import (
    DynamicPartitionsRequestResult,
    ErrorInfo,
    PlannedRun,
    RejectedRequest,
    Tick,
    TickKind,
)
from treadle.operate.masks import Masks

FORMAT, VERSION = "recorded ticks", 1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TickSource:
    """Where recorded ticks are from.

    Attributes:
        sensor: the sensor's name.
        namespace: the engine's, as `account/region/namespace`.
        settings: the environment of the sensor's function.
        masks: hide values.
    """

    sensor: str
    namespace: str
    settings: Mapping[str, str]
    masks: Masks


def tick_file(folder: Path, sensor: str) -> Path:
    """Return the file of a sensor's ticks in a folder."""
    return folder / f"{sensor}.jsonl"


def write_ticks(folder: Path, source: TickSource, ticks: Iterable[RecordedTick]) -> int:
    """Write recorded ticks to a folder, with values hidden; return how many there are.

    Log, error messages and skip reasons are not written, as nothing in them can be hidden by name.

    Args:
        folder: made if it does not exist; a file of the same sensor is replaced.
        source: where the ticks are from.
        ticks: the ticks, oldest first.

    Raises:
        CommandRefusedError: if the file cannot be written.
        StoreError: if a store did not answer; nothing is replaced.
    """
    path = tick_file(folder, source.sensor)
    new = path.with_suffix(".new")
    number = 0
    settings = {name: value for name, value in source.settings.items() if not source.masks.hides(name)}
    head = {
        "treadle": FORMAT,
        "version": VERSION,
        "sensor": source.sensor,
        "namespace": source.namespace,
        "masks": list(source.masks.patterns),
        "settings": settings,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            for each in ticks:
                file.write(json.dumps(_line(each, source)) + "\n")
                number += 1
        new.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}. Give a folder that can be written with --to."
        raise CommandRefusedError(msg) from error
    return number


def read_ticks(folder: Path, sensor: str) -> tuple[TickSource, Iterator[RecordedTick]]:
    """Return where the ticks of a file are from, and an iterator of the ticks.

    Args:
        folder: the folder.
        sensor: the sensor's name.

    Raises:
        CommandRefusedError: if the file cannot be read, also while iterating.
    """
    path = tick_file(folder, sensor)
    head = _checked(path, lambda: next(_lines(path)))
    if not isinstance(head, dict) or (head.get("treadle"), head.get("version")) != (FORMAT, VERSION):
        raise _malformed(path, f"its first line is not that of a file of {FORMAT}, version {VERSION}")
    source = _checked(
        path,
        lambda: TickSource(head["sensor"], head["namespace"], dict(head["settings"]), Masks(head["masks"])),
    )
    return source, _ticks(path, source)


def _ticks(path: Path, source: TickSource) -> Iterator[RecordedTick]:
    lines = _lines(path)
    next(lines)
    while (line := _checked(path, lambda: next(lines, None))) is not None:
        yield _checked(path, lambda: _recorded(line, source))


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _checked(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError as error:
        raise _malformed(path, str(error.strerror)) from error
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise _malformed(path, f"{type(error).__name__}: {error}") from error


def _malformed(path: Path, why: str) -> CommandRefusedError:
    return CommandRefusedError(
        f"{path} cannot be read as recorded ticks: {why}. Export them again: treadle tick export."
    )


def _line(recorded: RecordedTick, source: TickSource) -> Json:
    tick, masks = recorded.tick, source.masks
    event, problem = _event(recorded.event, source)
    batch, of_batch = _batch(recorded.batch, source)
    before = masks.masked_text(recorded.cursor_before)
    after = masks.masked_text(recorded.cursor_after)
    if before != recorded.cursor_before:
        problem = "a field of the cursor is masked"
    return {
        "tick_id": tick.tick_id,
        "kind": tick.kind.value,
        "status": tick.status.value,
        "time": tick.time,
        "started_at": tick.started_at,
        "ended_at": tick.ended_at,
        "trigger": tick.trigger,
        "skips": tick.skips,
        "depth": tick.depth,
        "error_type": tick.error.type if tick.error else None,
        "requests": [_request(each, masks) for each in tick.requests],
        "existing_keys": list(tick.existing_keys),
        "rejected_keys": [each.run_key for each in tick.rejected],
        "asset_events": [_asset_event(each, masks) for each in tick.asset_events],
        "partitions": [
            [each.partitions_def_name, each.deleted_partitions is not None, list(each.partition_keys)]
            for each in tick.dynamic_partitions_request_results
        ],
        "cursor_before": before,
        "cursor_after": after,
        "knows_cursor_after": recorded.knows_cursor_after and after == recorded.cursor_after,
        "last_run_key": recorded.last_run_key,
        "last_completion": recorded.last_completion,
        "sensor_started_at": recorded.sensor_started_at,
        "event": event,
        "batch": batch,
        "problem": recorded.problem or problem or of_batch,
    }


def _request(request: PlannedRun, masks: Masks) -> Json:
    return {
        "run_id": request.run_id,
        "run_key": request.run_key,
        "job": request.job,
        "run_config": masks.masked(json.loads(request.run_config)),
        "tags": masks.masked(dict(request.tags)),
        "partition_key": request.partition_key,
    }


def _asset_event(made: ReportedEvent, masks: Masks) -> Json:
    return {
        "is_observation": isinstance(made, AssetObservation),
        "asset_key": made.asset_key.to_escaped_user_string(),
        "description": made.description,
        "partition": made.partition,
        "metadata": masks.masked(dict(made.plain_metadata)),
    }


def _batch(batch: RecordedBatch | None, source: TickSource) -> tuple[Json | None, str | None]:
    """Return a batch as JSON, and why its tick cannot be rehearsed by it."""
    if batch is None:
        return None, None
    items = [_event(each, source) for each in batch.items]
    problem = next((problem for _, problem in items if problem), None)
    return {"by": batch.by, "run_key": batch.run_key, "items": [each for each, _ in items]}, problem


def _event(event: "SensorEvent | None", source: TickSource) -> tuple[Json | None, str | None]:
    """Return an event of a run or an asset as JSON, and why its tick cannot be rehearsed by it."""
    if isinstance(event, RunStatusEvent):
        found = {"run": _run(event.run), "status": event.status.value, "time": _millis(event)}
        found |= {"attempt": event.attempt, "retry": event.retry, "will_retry": event.will_retry}
    elif isinstance(event, AssetMaterialized):
        found = {"asset": dict(asset_recorded(event, source.namespace).detail)}
    else:
        return None, None
    masked = source.masks.masked(found)
    return masked, None if masked == found else "a field of its event is masked"


def _millis(event: RunStatusEvent) -> int:
    return round(event.time.timestamp() * 1000)


def _run(run: DagsterRun) -> Json:
    failure = run.failure
    return {
        "run_id": run.run_id,
        "job_name": run.job_name,
        "status": run.status.value,
        "tags": dict(run.tags),
        "run_config": dict(run.run_config),
        "run_key": run.run_key,
        "sensor_name": run.sensor_name,
        "attempt": run.attempt,
        "external_id": run.external_id,
        "failure": failure
        and {
            "error": failure.error,
            "cause": failure.cause,
            "steps": [[each.step_key, each.error, each.cause] for each in failure.steps],
        },
        "location": run.location,
    }


def _recorded(line: Json, source: TickSource) -> RecordedTick:
    tick = Tick(
        source.sensor,
        line["tick_id"],
        TickKind(line["kind"]),
        TickStatus(line["status"]),
        line["time"],
        line["started_at"],
        line["ended_at"],
        trigger=line["trigger"],
        skips=line["skips"],
        depth=line["depth"],
        error=ErrorInfo(line["error_type"], "") if line["error_type"] else None,
        requests=tuple(_read_request(each) for each in line["requests"]),
        existing_keys=tuple(line["existing_keys"]),
        rejected=tuple(RejectedRequest(key, "") for key in line["rejected_keys"]),
        asset_events=tuple(_read_asset_event(each) for each in line["asset_events"]),
        dynamic_partitions_request_results=tuple(_read_partitions(*each) for each in line["partitions"]),
    )
    return RecordedTick(
        tick,
        line["cursor_before"],
        line["cursor_after"],
        line["knows_cursor_after"],
        line["last_run_key"],
        line["last_completion"],
        line["sensor_started_at"],
        _read_event(line["event"], source) if line["event"] and not line["problem"] else None,
        _read_batch(line["batch"], source) if line.get("batch") and not line["problem"] else None,
        line["problem"],
    )


def _read_request(found: Json) -> PlannedRun:
    return PlannedRun(
        found["run_id"],
        found["run_key"],
        found["job"],
        canonical_json(found["run_config"]),
        found["tags"],
        found["partition_key"],
    )


def _read_asset_event(found: Json) -> ReportedEvent:
    kind = AssetObservation if found["is_observation"] else AssetMaterialization
    key = AssetKey.from_escaped_user_string(found["asset_key"])
    return kind.stored(key, found["description"], found["metadata"], found["partition"])


def _read_partitions(name: str, deletes: bool, keys: list[str]) -> DynamicPartitionsRequestResult:
    return DynamicPartitionsRequestResult(
        name, None if deletes else tuple(keys), tuple(keys) if deletes else None
    )


def _read_batch(found: Json, source: TickSource) -> RecordedBatch:
    items: list[Any] = [_read_event(each, source) for each in found["items"]]
    return RecordedBatch(found["by"], found["run_key"], tuple(items))


def _read_event(found: Json, source: TickSource) -> SensorEvent:
    if "asset" in found:
        return parse_sensor_event(envelope(BusEvent(ASSET_MATERIALIZED, found["asset"]), source.namespace))
    run = dict(found["run"])
    failure = run.pop("failure")
    steps = tuple(StepFailure(*each) for each in failure["steps"]) if failure else ()
    status = DagsterRunStatus(run.pop("status"))
    seen = DagsterRun(
        **run,
        status=status,
        failure=RunFailure(failure["error"], failure["cause"], steps) if failure else None,
    )
    time = from_millis(found["time"])
    attempt, retry, will_retry = found["attempt"], found["retry"], found["will_retry"]
    return RunStatusEvent(seen, DagsterRunStatus(found["status"]), time, attempt, retry, 0, will_retry)
