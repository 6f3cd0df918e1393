"""Deterministic ids: run ids and tick ids."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from uuid import UUID, uuid5

from treadle.definitions.canonical import canonical_json
from treadle.definitions.clocks import can_be_kept

ROOT = UUID("6f9d0b0c-5d5b-5d8a-9c55-7e3a1d0f7e11")
_TIMESTAMP = len("2026-11-22T18:00:05.000Z")
_DIGEST = 24
LAUNCH_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9][0-9]{0,8})")


def timestamp(millis: int) -> str:
    """Return milliseconds since the epoch as ISO 8601 in UTC; it sorts by time."""
    time = datetime.fromtimestamp(millis // 1000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}Z"


def timestamp_of(text: str) -> datetime:
    """Parse a time as AWS writes it, from 1970 to 9998; UTC if it has no time zone.

    Raises:
        ValueError: if it is not such a time.
    """
    parsed = datetime.fromisoformat(text)
    time = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if not can_be_kept(time):
        msg = f"{time} is not a time from 1970 to 9998"
        raise ValueError(msg)
    return time


def leased_tick_id(scheduled_for: int, epoch: int) -> str:
    """Return the id of a leased tick.

    Args:
        scheduled_for: its scheduled time.
        epoch: the epoch of its lease.
    """
    return f"{timestamp(scheduled_for)}-{epoch:09d}"


def event_tick_id(time: int, identity: Sequence[str]) -> str:
    """Return the id of an event's tick, which a redelivery does not change.

    Args:
        time: the event's time.
        identity: what identifies the event.
    """
    # A lone surrogate can occur in any JSON, and must not fail the whole batch.
    text = canonical_json(list(identity)).encode(errors="surrogatepass")
    digest = hashlib.sha256(text).hexdigest()
    return f"{timestamp(time)}-{digest[:_DIGEST]}"


def tick_time(tick_id: str) -> int | None:
    """Return the time at the beginning of a tick id, in milliseconds; None if it is not a tick id."""
    try:
        time = datetime.fromisoformat(tick_id[:_TIMESTAMP])
    except ValueError:
        return None
    return round(time.timestamp() * 1000) if time.tzinfo else None


def event_tick_time(tick_id: str) -> int | None:
    """Return the time of the event of an event tick, in milliseconds; None if it is not the id of such a tick."""
    return tick_time(tick_id) if len(tick_id) == _TIMESTAMP + 1 + _DIGEST else None


@dataclass(frozen=True, slots=True)
class RunIds:
    """Run ids within one namespace: stacks never share one, and a rebuilt stack keeps its own.

    Args:
        namespace: the UUID for account, region and the parameter `Namespace`.
    """

    namespace: UUID

    @classmethod
    @cache
    def of(cls, namespace: str) -> "RunIds":
        """Return the ids within a namespace given as text, such as "account/region/name"."""
        return cls(uuid5(ROOT, namespace))

    def keyed(self, sensor: str, run_key: str) -> str:
        """Return the id of the only run that ever exists for a sensor's run key."""
        return str(uuid5(self.namespace, canonical_json(["key", sensor, run_key])))

    def keyless(self, sensor: str, tick_id: str, index: int) -> str:
        """Return the id of the run for one request of one tick."""
        return str(uuid5(self.namespace, canonical_json(["tick", sensor, tick_id, index])))

    def backfill(self, name: str, partition_key: str) -> str:
        """Return the id of the only run of a backfill's partition."""
        return str(uuid5(self.namespace, canonical_json(["backfill", name, partition_key])))

    def observed(self, kind: str, external_id: str) -> str:
        """Return the id of the record of an external run."""
        return str(uuid5(self.namespace, canonical_json(["observed", kind, external_id])))


def parse_launch_id(name: str) -> tuple[str, int] | None:
    """Parse a launch id into run id and attempt; None if it is not one."""
    match = LAUNCH_ID.fullmatch(name)
    return (match[1], int(match[2])) if match else None
