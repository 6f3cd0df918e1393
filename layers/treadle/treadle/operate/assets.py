"""What is known of assets: which there are, what became of them last, and what before."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from treadle.ports.assets import AssetEvent, EventStore, unreadable_event
from treadle.ports.records import UNREADABLE

MOST_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class AssetEventPage:
    """Some events of an asset, newest first.

    Attributes:
        events: those found.
        next: the `storage_id` before which the next page goes on; None if there is nothing more.
    """

    events: tuple[AssetEvent, ...]
    next: int | None


class AssetCatalogue:
    """Reads assets.

    Args:
        events: keeps asset events.
    """

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def newest(self, *, limit: int = MOST_KEYS) -> Sequence[AssetEvent]:
        """The newest event of each asset, newest first.

        Args:
            limit: how many assets are looked up at most, in the order of their keys.

        Raises:
            StoreError: if the store did not answer.
        """
        keys = self._events.asset_keys("", limit)
        newest = self._events.newest(keys)
        # All keys of the directory have events: what shows none has a counter that cannot be read.
        lost = (unreadable_event(key, 0, f"{UNREADABLE}its counter") for key in keys if key not in newest)
        found = [*newest.values(), *lost]
        return sorted(found, key=lambda event: (event.time, event.asset_key), reverse=True)

    def events(self, asset_key: str, *, before: int | None = None, limit: int = 50) -> AssetEventPage:
        """An asset's events, newest first.

        Args:
            asset_key: its parts joined by "/".
            before: what the page before gave as `next`; None for the newest.
            limit: how many at most.

        Raises:
            StoreError: if the store did not answer.
        """
        found = self._events.between(asset_key, 0, before, ascending=False, at_once=limit + 1)
        events = tuple(islice(found, limit + 1))
        if len(events) <= limit:
            return AssetEventPage(events, None)
        return AssetEventPage(events[:limit], events[limit - 1].storage_id)
