"""The store of asset events in memory: the same numbering, verified by the same contract tests."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from treadle.model.assets import AssetEvent, asset_of, is_ended_runs_key, is_observed_key
from treadle.ports.assets import AT_ONCE
from treadle.testing.tables import InMemoryTables


class InMemoryEventStore:
    """An `EventStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def append(self, events: Sequence[AssetEvent]) -> list[AssetEvent]:
        """Append events, and number each once."""
        with self._tables.lock:
            return [self._append(event) for event in events]

    def _append(self, event: AssetEvent) -> AssetEvent:
        stored = self._tables.events.setdefault(event.asset_key, [])
        known = next((e for e in stored if e.event_id == event.event_id), None)
        if known is None:
            known = replace(event, storage_id=len(stored) + 1)
            stored.append(known)
        return known

    def asset_keys(self, after: str, limit: int, *, observed: bool = False) -> list[str]:
        """Return asset keys."""
        found = [key for key, events in self._tables.events.items() if events and not is_ended_runs_key(key)]
        of_kind = (asset_of(key) for key in found if is_observed_key(key) == observed)
        return sorted(key for key in of_kind if key > after)[:limit]

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """Return the events with higher numbers."""
        events = self._tables.events.get(asset_key, [])
        return [event for event in events if event.storage_id > storage_id][:limit]

    def between(
        self,
        asset_key: str,
        after: int,
        before: int | None = None,
        *,
        ascending: bool = True,
        at_once: int = AT_ONCE,
    ) -> Iterator[AssetEvent]:
        """Iterate over the events between two numbers."""
        del at_once
        found = [
            event
            for event in self._tables.events.get(asset_key, [])
            if event.storage_id > after and (before is None or event.storage_id < before)
        ]
        return iter(found if ascending else found[::-1])

    def numbered(self, asset_key: str, numbers: Collection[int]) -> list[AssetEvent]:
        """Return the events with these numbers."""
        return [event for event in self._tables.events.get(asset_key, []) if event.storage_id in numbers]

    def newest(self, asset_keys: Collection[str]) -> dict[str, AssetEvent]:
        """Return the newest event of each key."""
        return {key: self._tables.events[key][-1] for key in asset_keys if self._tables.events.get(key)}

    def number_before(self, asset_key: str, time: int) -> int:
        """Return the number before the first event at or after a time."""
        events = self._tables.events.get(asset_key, [])
        later = (event.storage_id for event in events if event.time >= time)
        return min(later, default=len(events) + 1) - 1
