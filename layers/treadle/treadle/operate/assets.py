"""Lists assets and their events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from treadle.model.assets import AssetEvent, asset_of, observed_key, unreadable_event
from treadle.model.records import UNREADABLE
from treadle.ports.assets import EventStore

MOST_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class AssetEventPage:
    """A page of an asset's events, newest first.

    Attributes:
        events: the events.
        next: the `storage_id` before which the next page begins; None on the last page.
    """

    events: tuple[AssetEvent, ...]
    next: int | None


class AssetCatalogue:
    """Reads the materializations of assets, or their observations."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def newest(self, *, limit: int = MOST_KEYS, observed: bool = False) -> Sequence[AssetEvent]:
        """Return the newest materialization of each asset, newest first.

        Args:
            limit: the maximum number of assets to read, in the order of their keys.
            observed: True for the newest observation of each.

        Raises:
            StoreError: if the store did not respond.
        """
        assets = self._events.asset_keys("", limit, observed=observed)
        keys = [observed_key(asset) for asset in assets] if observed else assets
        newest = self._events.newest(keys)
        # All keys in the directory have events: a key without one has an unreadable counter.
        lost = (unreadable_event(key, 0, f"{UNREADABLE}its counter") for key in keys if key not in newest)
        found = [_of_asset(event) for event in (*newest.values(), *lost)]
        return sorted(found, key=lambda event: (event.time, event.asset_key), reverse=True)

    def events(
        self, asset_key: str, *, before: int | None = None, limit: int = 50, observed: bool = False
    ) -> AssetEventPage:
        """Return a page of an asset's materializations, newest first.

        Args:
            asset_key: the key's parts, joined by "/".
            before: `next` of the previous page; None for the newest.
            limit: the maximum number of events.
            observed: True for its observations.

        Raises:
            StoreError: if the store did not respond.
        """
        key = observed_key(asset_key) if observed else asset_key
        found = self._events.between(key, 0, before, ascending=False, at_once=limit + 1)
        events = tuple(_of_asset(event) for event in islice(found, limit + 1))
        if len(events) <= limit:
            return AssetEventPage(events, None)
        return AssetEventPage(events[:limit], events[limit - 1].storage_id)


def _of_asset(event: AssetEvent) -> AssetEvent:
    """Return an event with the asset's own key."""
    return replace(event, asset_key=asset_of(event.asset_key))
