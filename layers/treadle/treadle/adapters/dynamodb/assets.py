"""Events in DynamoDB, numbered in commit order."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from treadle.adapters.dynamodb.database import Database, Item, Table, Write
from treadle.adapters.dynamodb.models import AssetEventModel as Model
from treadle.adapters.dynamodb.models import named, read_number
from treadle.definitions.errors import StoreThrottledError, UnreadableRecordError
from treadle.model.assets import (
    AssetEvent,
    asset_of,
    is_ended_runs_key,
    is_observed_key,
    unreadable_event,
)
from treadle.model.records import each_readable, integer, reader, text
from treadle.ports.assets import AT_ONCE, OLD_EVENTS
from treadle.ports.system import IdGenerator

_COUNTER = "counter"
_MATERIALIZED = "#assets"
_OBSERVED = "#observed"
"""Partitions with one item for the key of each asset that was ever materialized, or observed."""
_TRIES = 20
_END = 10**14
_CHUNK = 45
"""Two writes per event, one of the counter, and one of the directory: a transaction has at most 100 items."""


class DynamoEventStore:
    """An `EventStore` in a table.

    Each key has a counter. One transaction increments it, puts events under their numbers, and puts their ids
    if those are absent; so numbers follow commit order and no id is numbered twice.

    Args:
        database: the client.
        table: the events table.
        tokens: creates transaction tokens.
    """

    def __init__(self, database: Database, table: Table, tokens: IdGenerator) -> None:
        self._database = database
        self._table = table
        self._tokens = tokens

    def append(self, events: Sequence[AssetEvent]) -> list[AssetEvent]:
        """Append events and number each once, in transactions of up to 45 events of one key."""
        stored: dict[tuple[str, str], AssetEvent] = {}
        for key in dict.fromkeys(event.asset_key for event in events):
            of_key: dict[str, AssetEvent] = {}
            for event in events:
                if event.asset_key == key:
                    of_key.setdefault(event.event_id, event)
            distinct = iter(of_key.values())
            while chunk := list(islice(distinct, _CHUNK)):
                stored |= {(key, each.event_id): each for each in self._append(key, chunk)}
        return [stored[event.asset_key, event.event_id] for event in events]

    def _append(self, key: str, events: Sequence[AssetEvent]) -> list[AssetEvent]:
        for _ in range(_TRIES):
            ids = [(key, f"id#{event.event_id}") for event in events]
            found = list(self._database.batch_get(self._table, [*ids, (key, _COUNTER)], strongly=True))
            numbers = {item["item"]["S"]: _read_number(item) for item in found}
            last = numbers.get(_COUNTER, 0)
            is_listed = is_ended_runs_key(key) or any("listed" in item for item in found)
            fresh = [event for event in events if f"id#{event.event_id}" not in numbers]
            numbered = {e.event_id: replace(e, storage_id=last + i) for i, e in enumerate(fresh, 1)}
            writes = self._writes(key, last, numbered, is_listed=is_listed)
            if fresh and self._database.transact(writes, self._tokens.new()):
                continue  # Another append was committed in between.
            known = [numbers[f"id#{e.event_id}"] for e in events if e.event_id not in numbered]
            return [*numbered.values(), *self._stored(key, known)]
        msg = f"{len(events)} events of {key} conflicted with other writes {_TRIES} times. Send them again."
        raise StoreThrottledError(msg)

    def _stored(self, key: str, numbers: Collection[int]) -> list[AssetEvent]:
        """Return the stored events: a repeated append returns what the first one stored."""
        keys = [(key, _numbered(number)) for number in numbers]
        return [_read_event(item) for item in self._database.batch_get(self._table, keys, strongly=True)]

    def _writes(
        self, key: str, last: int, numbered: Mapping[str, AssetEvent], *, is_listed: bool
    ) -> list[Write]:
        absent = Model.item.does_not_exist()
        unmoved = Model.storage_id == last if last else absent
        writes = []
        for event_id, event in numbered.items():
            number = event.storage_id
            stored = Model(
                asset_key=key,
                item=_numbered(number),
                storage_id=number,
                event_id=event_id,
                kind=event.kind,
                time=event.time,
                body=event.body,
            )
            named = Model(asset_key=key, item=f"id#{event_id}", storage_id=number)
            writes += [
                Write(self._table, (key, _numbered(number)), item=stored.serialize(), condition=absent),
                Write(self._table, (key, f"id#{event_id}"), item=named.serialize(), condition=absent),
            ]
        moved = [Model.storage_id.set(last + len(numbered))]
        if not is_listed:
            directory, asset = _OBSERVED if is_observed_key(key) else _MATERIALIZED, asset_of(key)
            entry = Model(asset_key=directory, item=asset, storage_id=0)
            writes.append(Write(self._table, (directory, asset), item=entry.serialize()))
            moved.append(Model.listed.set(True))
        return [*writes, Write(self._table, (key, _COUNTER), actions=moved, condition=unmoved)]

    def asset_keys(self, after: str, limit: int, *, observed: bool = False) -> list[str]:
        """Return asset keys, from the directory."""
        directory = _OBSERVED if observed else _MATERIALIZED
        options: dict[str, Any] = {"range_key_condition": Model.item > after} if after else {}
        pages = self._database.pages(self._table, directory, consistent_read=True, limit=limit, **options)
        return [item["item"]["S"] for item in islice(chain.from_iterable(pages), limit)]

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """Return the events with higher numbers, in order, with a strongly consistent read."""
        items = self._database.query(
            self._table,
            asset_key,
            range_key_condition=Model.item.between(_numbered(storage_id + 1), _numbered(_END)),
            limit=limit,
            consistent_read=True,
        )
        return [_listed(item) for item in items]

    def between(
        self,
        asset_key: str,
        after: int,
        before: int | None = None,
        *,
        ascending: bool = True,
        at_once: int = AT_ONCE,
    ) -> Iterator[AssetEvent]:
        """Iterate over the events between two numbers, page by page."""
        last = _END if before is None else before - 1
        if last <= after:
            return iter(())
        pages = self._database.pages(
            self._table,
            asset_key,
            range_key_condition=Model.item.between(_numbered(after + 1), _numbered(last)),
            scan_index_forward=ascending,
            consistent_read=True,
            limit=at_once,
        )
        return map(_listed, chain.from_iterable(pages))

    def numbered(self, asset_key: str, numbers: Collection[int]) -> list[AssetEvent]:
        """Return the events with these numbers, a hundred per request."""
        return sorted(
            self._at([(asset_key, _numbered(number)) for number in numbers]),
            key=lambda event: event.storage_id,
        )

    def newest(self, asset_keys: Collection[str]) -> dict[str, AssetEvent]:
        """Return the newest event of each key: reads the counters, then the events."""
        counters = [(key, _COUNTER) for key in asset_keys]
        found = self._database.batch_get(self._table, counters, strongly=True)
        places = [(item["asset_key"]["S"], _numbered(number)) for item, number in _counted(found)]
        return {event.asset_key: event for event in self._at(places)}

    def _at(self, places: Sequence[tuple[str, str]]) -> Iterator[AssetEvent]:
        return map(_listed, self._database.batch_get(self._table, places, strongly=True))

    def number_before(self, asset_key: str, time: int) -> int:
        """Return the number before the first event at or after a time; searches backwards, page by page."""
        number, old = None, 0
        for items in self._database.pages(
            self._table,
            asset_key,
            range_key_condition=Model.item.between(_numbered(1), _numbered(_END)),
            scan_index_forward=False,
            consistent_read=True,
            limit=AT_ONCE,
        ):
            events = list(each_readable(_read_event, items))
            if not events:
                continue  # The time of these events is unknown.
            if number is None:
                number = events[0].storage_id
            later = [event.storage_id for event in events if event.time >= time]
            old = 0 if later else old + len(items)
            if old >= OLD_EVENTS:
                break
            if later:
                number = min(later) - 1
        return number or 0


def _numbered(storage_id: int) -> str:
    return f"event#{storage_id:015d}"


def _event(item: Item) -> AssetEvent:
    model = Model.from_raw_data(item)
    return AssetEvent(
        model.asset_key,
        model.event_id or "",
        text(model.kind),
        integer(model.time),
        text(model.body),
        integer(model.storage_id),
    )


def _listed(item: Item) -> AssetEvent:
    """Return an event, or a placeholder if it cannot be read."""
    try:
        return _read_event(item)
    except UnreadableRecordError as error:
        number = item["item"]["S"].rpartition("#")[2]
        place = int(number) if number.isascii() and number.isdecimal() else 0
        return unreadable_event(item["asset_key"]["S"], place, error.reason)


def _counted(items: Iterable[Item]) -> Iterator[tuple[Item, int]]:
    """Yield counters with their values."""
    return each_readable(reader(lambda item: (item, read_number(item, "storage_id")), _NAME), items)


_NAME = named("the events of", "asset_key", "item")
_read_event = reader(_event, _NAME)
_read_number = reader(lambda item: read_number(item, "storage_id"), _NAME)
