"""Events in the order in which they were committed: of assets, and of a job's runs that ended."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from treadle.definitions.errors import UnreadableRecordError


@dataclass(frozen=True, slots=True)
class AssetEvent:
    """Something became of an asset, or of a job's run.

    Attributes:
        asset_key: which asset, its parts joined by "/"; for a job's runs `ended_runs_key` of the job.
        event_id: repeated by a redelivery.
        kind: such as "ASSET_MATERIALIZATION".
        time: when it happened.
        body: canonical JSON: metadata, partition, run id.
        storage_id: its place in the asset's order; 0 until it is stored.
    """

    asset_key: str
    event_id: str
    kind: str
    time: int
    body: str
    storage_id: int = 0


UNREADABLE = "UNREADABLE"
"""The kind of what stands for an event that cannot be read."""


def unreadable_event(asset_key: str, storage_id: int, reason: str) -> AssetEvent:
    """What stands for an event that cannot be read: its place, and why. Whoever decodes it skips it.

    Args:
        asset_key: which asset's.
        storage_id: its place; 0 where that is not known.
        reason: why it cannot be read.
    """
    return AssetEvent(asset_key, "", UNREADABLE, 0, reason, storage_id)


def check_readable(event: AssetEvent) -> None:
    """Complain of what stands for an event that cannot be read.

    Raises:
        UnreadableRecordError: if it is that.
    """
    if event.kind == UNREADABLE:
        raise UnreadableRecordError(f"event {event.storage_id} of {event.asset_key}", event.body)


AT_ONCE = 100

OLD_NEWS = 1_000
"""So many events in a row that happened before a time end the search backwards for those that did not."""


def ended_runs_key(job: str) -> str:
    """Under which the ended runs of a job are numbered; no asset's key begins so."""
    return f"#ended/{job}"


def is_ended_runs_key(key: str) -> bool:
    """Whether a key is one of a job's ended runs, and so no asset's."""
    return key.startswith("#ended/")


class RecordedEvents(Protocol):
    """Reads events by key and number, strongly, and only what is asked for.

    In place of one that is there and cannot be read it gives an `unreadable_event`.
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
        """The events numbered higher than one number and lower than another, as they are asked for.

        Args:
            asset_key: their key.
            after: 0 for all.
            before: None for no limit.
            ascending: False for those numbered highest first.
            at_once: so many are read by one request, and paid for.
        """

    def numbered(self, asset_key: str, numbers: Collection[int]) -> list[AssetEvent]:
        """The events with these numbers that exist, in order; a hundred cost one request."""

    def newest(self, asset_keys: Collection[str]) -> dict[str, AssetEvent]:
        """The event numbered highest of each key that has any; a hundred keys cost two requests."""


class EventStore(RecordedEvents, Protocol):
    """Keeps events, by key; each has a number that follows commit order under its key."""

    def append(self, events: Sequence[AssetEvent]) -> list[AssetEvent]:
        """The events as stored: numbered now, or as they were when their ids were first appended.

        Args:
            events: of any keys, in order; those of one key cost a few requests together.

        Raises:
            StoreError: if the store did not answer; some may have been stored.
        """

    def asset_keys(self, after: str, limit: int) -> list[str]:
        """The keys of assets that have any event, in order, read strongly; from a directory of their own.

        Args:
            after: only keys that sort after this one; empty for all.
            limit: how many at most.

        Raises:
            StoreError: if the store did not answer.
        """

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """The events numbered higher, in order, read strongly."""

    def number_before(self, asset_key: str, time: int) -> int:
        """The number behind which all events lie that happened at a time or later, read strongly; 0 for all.

        It looks backwards from the last event, so it costs what has happened since. Numbers follow the order in
        which Treadle learned of events, not that in which they happened: it looks on until `OLD_NEWS` events in a
        row happened before the time.
        """
