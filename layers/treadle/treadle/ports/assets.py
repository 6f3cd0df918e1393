"""The store of events of assets, and of a job's completed runs, in commit order."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from treadle.model.assets import AssetEvent

AT_ONCE = 100

OLD_EVENTS = 1_000
"""A backward search for events since a time stops after this many consecutive events from before it."""


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

    def asset_keys(self, after: str, limit: int, *, observed: bool = False) -> list[str]:
        """List the keys of materialized assets, in order, strongly consistent, from a separate directory.

        Args:
            after: only keys that sort after this one; empty for all.
            limit: the maximum number.
            observed: True for the keys of observed assets.
        """

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """Return the events with higher numbers, in order, strongly consistent."""

    def number_before(self, asset_key: str, time: int) -> int:
        """Return the number after which all events since a time are found, strongly consistent; 0 for all.

        The search goes backward from the last event, so its cost is the number of events since that time.
        Numbers follow the order in which Treadle received the events, not the order in which they happened:
        the search continues until `OLD_EVENTS` consecutive events happened before the time.
        """
