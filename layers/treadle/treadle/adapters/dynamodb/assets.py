"""Events in DynamoDB, numbered in commit order."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
_ID = "id#"
_MATERIALIZED = "#assets"
_OBSERVED = "#observed"
"""Partitions with one item for the key of each asset that was ever materialized, or observed."""
_TRIES = 20
_END = 10**14
_CHUNK = 45
"""The number of events in a transaction, which has at most 4 MB: an event may have 64 KiB of metadata."""
_TAIL = 20
"""How many numbers after the counter are looked up at once."""
_WRITERS = 4


class DynamoEventStore:
    """An `EventStore` in a table.

    Events are put under consecutive numbers, each if there is none, and readers see an event as soon as it is put. After
    that their ids are put, and then the key's counter is moved to the last number: all events up to the counter have
    their ids. Whoever finds an event after the counter completes its append, so a process that dies in between changes
    nothing, and no id is numbered twice.

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
        """Append events and number each once, up to 45 events of one key at a time."""
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
        for attempt in range(_TRIES):
            last, is_listed = self._counter(key)
            # Later than the counter, so that an event up to its number cannot be missed.
            known = self._known(key, events)
            is_behind = attempt > 0 or any(number > last for number in known.values())
            unfinished = self._after_counter(key, last) if is_behind else []
            known |= dict(unfinished)
            fresh = [event for event in events if event.event_id not in known]
            first = last + len(unfinished) + 1
            numbered = [replace(event, storage_id=number) for number, event in enumerate(fresh, first)]
            if not self._put(key, numbered):
                continue  # Another append has put an event in between.
            if unfinished or numbered:
                ids = [*unfinished, *((event.event_id, event.storage_id) for event in numbered)]
                self._finish(key, ids, is_listed=is_listed)
            stored = {event.event_id: known[event.event_id] for event in events if event.event_id in known}
            return [*numbered, *self._stored(key, stored.values())]
        msg = f"{len(events)} events of {key} conflicted with other writes {_TRIES} times. Send them again."
        raise StoreThrottledError(msg)

    def _counter(self, key: str) -> tuple[int, bool]:
        """Return the number up to which all events have their ids, and whether the key is in its directory."""
        found = next(self._database.batch_get(self._table, [(key, _COUNTER)], strongly=True), None)
        is_listed = is_ended_runs_key(key) or (found is not None and "listed" in found)
        return (0 if found is None else _read_number(found)), is_listed

    def _known(self, key: str, events: Sequence[AssetEvent]) -> dict[str, int]:
        """Return the numbers of the events whose ids are stored."""
        ids = [(key, _id(event.event_id)) for event in events]
        found = self._database.batch_get(self._table, ids, strongly=True)
        return {item["item"]["S"].removeprefix(_ID): _read_number(item) for item in found}

    def _after_counter(self, key: str, last: int) -> list[tuple[str, int]]:
        """Return the ids, which may not be stored yet, and the numbers of the events after the counter, in order."""
        found: list[tuple[str, int]] = []
        while True:
            first = last + len(found) + 1
            keys = [(key, _numbered(number)) for number in range(first, first + _TAIL)]
            items = self._database.batch_get(self._table, keys, ("item", "event_id"), strongly=True)
            ids = {item["item"]["S"]: item.get("event_id", {}).get("S", "") for item in items}
            # The items are not read at one time: one that was absent may precede one that was put later.
            there = [(ids[name], number) for number, (_, name) in enumerate(keys, first) if name in ids]
            found += [each for number, each in enumerate(there, first) if each[1] == number]
            if len(ids) < _TAIL:
                return found

    def _put(self, key: str, numbered: Sequence[AssetEvent]) -> bool:
        """Put events under their numbers, all or none; return whether they are put."""
        absent = Model.item.does_not_exist()
        writes = [
            Write(self._table, (key, _numbered(event.storage_id)), item=_item(key, event), condition=absent)
            for event in numbered
        ]
        if len(writes) < 2:
            # As a transaction it would take twice the write units.
            return not any(
                self._database.put(each.table, each.key, each.item or {}, absent) for each in writes
            )
        return self._database.transact(writes, self._tokens.new()) is None

    def _finish(self, key: str, ids: Sequence[tuple[str, int]], *, is_listed: bool) -> None:
        """Put the ids of events, and then move the counter to the last number."""

        def put(event: tuple[str, int]) -> None:
            event_id, number = event
            named = Model(asset_key=key, item=_id(event_id), storage_id=number)
            self._database.put(self._table, (key, _id(event_id)), named.serialize())

        if len(ids) < 2:
            put(ids[0])
        else:
            with ThreadPoolExecutor(min(_WRITERS, len(ids)), "number") as pool:
                list(pool.map(put, ids))
        _, last = ids[-1]
        moved = [Model.storage_id.set(last)]
        if not is_listed:
            directory, asset = _OBSERVED if is_observed_key(key) else _MATERIALIZED, asset_of(key)
            entry = Model(asset_key=directory, item=asset, storage_id=0)
            self._database.put(self._table, (directory, asset), entry.serialize())
            moved.append(Model.listed.set(True))
        is_behind = Model.storage_id.does_not_exist() | (Model.storage_id < last)
        # Another append may have moved it further.
        self._database.update(self._table, (key, _COUNTER), moved, is_behind)

    def _stored(self, key: str, numbers: Collection[int]) -> list[AssetEvent]:
        """Return the stored events: a repeated append returns what the first one stored."""
        keys = [(key, _numbered(number)) for number in numbers]
        return [_read_event(item) for item in self._database.batch_get(self._table, keys, strongly=True)]

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


def _id(event_id: str) -> str:
    return f"{_ID}{event_id}"


def _item(key: str, event: AssetEvent) -> Item:
    model = Model(
        asset_key=key,
        item=_numbered(event.storage_id),
        storage_id=event.storage_id,
        event_id=event.event_id,
        kind=event.kind,
        time=event.time,
        body=event.body,
    )
    return model.serialize()


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
