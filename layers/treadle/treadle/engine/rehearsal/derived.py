"""Events that a tick's record itself states: of an object, and of a deadline."""

import json
import re
from typing import Any

from treadle.definitions.objects import NO_VERSION, ObjectCreated, S3Object
from treadle.definitions.runs import from_millis
from treadle.definitions.timed import DeadlineReached
from treadle.engine.rehearsal.unrecorded import RecordedS3Object, Unrecorded
from treadle.engine.tick.event_ticks import tick_id_of
from treadle.model.ticks import Tick

_OBJECT = re.compile(r"Object Created s3://([^/]+)/(.+) \(([0-9]+) bytes\)", re.DOTALL)
_ETAG = re.compile(r"[0-9a-f]{32}(?:-[0-9]+)?")


def derived_event(kind: str, tick: Tick, unrecorded: Unrecorded) -> ObjectCreated | DeadlineReached | None:
    """Return the event of a tick that its record states; None if it does not.

    Of an object, the entity tag and the version are known only as far as the requests of the tick contain them.

    Args:
        kind: the sensor's.
        tick: the record.
        unrecorded: notes what is read of the object that is not known.
    """
    time = from_millis(tick.time)
    if kind == "deadline":
        deadline = DeadlineReached(time)
        return deadline if tick_id_of(deadline) == tick.tick_id else None
    match = _OBJECT.fullmatch(tick.trigger or "") if kind == "s3" else None
    if match is None:
        return None
    known: dict[str, Any] = {
        "bucket": match[1],
        "key": match[2],
        "size": int(match[3]),
        "last_modified": time,
    }
    known |= _stated(tick, match[1], match[2])
    stored = S3Object(**known) if {"etag", "version"} <= known.keys() else RecordedS3Object(unrecorded, known)
    return ObjectCreated(stored, time, "")


def _stated(tick: Tick, bucket: str, key: str) -> dict[str, Any]:
    """Return the entity tag and the version, as far as a default run config or a default run key states them."""
    for request in tick.requests:
        config = json.loads(request.run_config)
        if (
            isinstance(config, dict)
            and (config.get("bucket"), config.get("key")) == (bucket, key)
            and isinstance(config.get("etag"), str)
            and "version" in config
        ):
            return {"etag": config["etag"], "version": config["version"] or NO_VERSION}
    location = f"s3://{bucket}/{key}#"
    for run_key in (*(each.run_key or "" for each in tick.requests), *tick.existing_keys):
        rest = run_key.removeprefix(location)
        unversioned = rest.removeprefix(f"{NO_VERSION}-")
        if rest != run_key and _ETAG.fullmatch(unversioned):
            version = {"version": NO_VERSION} if unversioned != rest else {}
            return {"etag": unversioned, **version}
    return {}
