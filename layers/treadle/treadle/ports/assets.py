"""Events of assets, and of a job's completed runs, in the order in which they were committed."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from treadle.definitions.errors import UnreadableRecordError


@dataclass(frozen=True, slots=True)
class AssetEvent:
    """An event of an asset, or of a job's completed run.

    Attributes:
        asset_key: the asset's key, its parts joined by "/"; for a job's runs, the job's `ended_runs_key`.
        event_id: the same on a redelivery.
        kind: such as "ASSET_MATERIALIZATION".
        time: when it happened.
        body: canonical JSON: metadata, partition, run id.
        storage_id: its sequence number under its key; 0 until it is stored.
    """

    asset_key: str
    event_id: str
    kind: str
    time: int
    body: str
    storage_id: int = 0


UNREADABLE = "UNREADABLE"
"""The kind of a placeholder for an event that cannot be read."""


def unreadable_event(asset_key: str, storage_id: int, reason: str) -> AssetEvent:
    """Return a placeholder for an event that cannot be read. Decoders skip it.

    Args:
        asset_key: the event's key.
        storage_id: its sequence number; 0 where that is not known.
        reason: why it cannot be read.
    """
    return AssetEvent(asset_key, "", UNREADABLE, 0, reason, storage_id)


def check_readable(event: AssetEvent) -> None:
    """Raise UnreadableRecordError if an event is a placeholder for one that cannot be read."""
    if event.kind == UNREADABLE:
        raise UnreadableRecordError(f"event {event.storage_id} of {event.asset_key}", event.body)


AT_ONCE = 100

OLD_EVENTS = 1_000
"""A backward search for events since a time stops after this many consecutive events from before it."""


def ended_runs_key(job: str) -> str:
    """Return the key under which the completed runs of a job are stored; no asset key has this prefix."""
    return f"#ended/{job}"


def is_ended_runs_key(key: str) -> bool:
    """Return whether a key is that of a job's completed runs, not an asset's."""
    return key.startswith("#ended/")


class RecordedEvents(Protocol):
    """Reads events by key and sequence number, strongly consistent, and no more than were requested.

    An event that exists but cannot be read is returned as an `unreadable_event`.
    """

    def between(
        self,
        asset_key: str,
        after: int,
        before: int | None = None,
        *,
        ascending: bool = True,
        at_once: int = AT_ONCE,
    ) -> Iterator[AssetEvent]:
        """Iterate lazily over the events between two sequence numbers, both exclusive.

        Args:
            asset_key: the key of the events.
            after: the lower bound; 0 for none.
            before: the upper bound; None for none.
            ascending: False for descending order.
            at_once: how many events one request reads, and is billed for.
        """

    def numbered(self, asset_key: str, numbers: Collection[int]) -> list[AssetEvent]:
        """Return the events with these numbers that exist, in order; a request reads up to a hundred."""

    def newest(self, asset_keys: Collection[str]) -> dict[str, AssetEvent]:
        """Return the latest event of each key that has any; a hundred keys take two requests."""


class EventStore(RecordedEvents, Protocol):
    """Stores events by key; under each key, sequence numbers follow commit order."""

    def append(self, events: Sequence[AssetEvent]) -> list[AssetEvent]:
        """Store events and return them with their numbers; an event id stored before keeps its number.

        Args:
            events: of any keys, in order; the events of one key share a few requests.

        Raises:
            StoreError: if the store did not answer; some events may have been stored.
        """

    def asset_keys(self, after: str, limit: int) -> list[str]:
        """List the keys of assets with any event, in order, strongly consistent, from a separate directory.

        Args:
            after: only keys that sort after this one; empty for all.
            limit: the maximum number.
        """

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """Return the events with higher numbers, in order, strongly consistent."""

    def number_before(self, asset_key: str, time: int) -> int:
        """Return the number after which all events since a time are found, strongly consistent; 0 for all.

        The search goes backward from the last event, so its cost is the number of events since that time.
        Numbers follow the order in which Treadle received the events, not the order in which they happened:
        the search continues until `OLD_EVENTS` consecutive events happened before the time.
        """
