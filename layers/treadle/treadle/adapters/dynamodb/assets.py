"""Asset events on DynamoDB, numbered in the order in which they are committed."""

from treadle.adapters.dynamodb.database import ConditionFailed, Database, Item, Table, Write
from treadle.adapters.dynamodb.models import AssetEventModel as Model
from treadle.definitions.errors import StoreError
from treadle.ports.assets import AssetEvent
from treadle.ports.system import Tokens

_COUNTER = "counter"
_TRIES = 20


class DynamoEventStore:
    """An `EventStore` on a table.

    Each asset has a counter. One transaction raises it, puts the event under its number, and puts the
    event's id if that is absent; so numbers follow commit order and no id is numbered twice.

    Args:
        database: the client.
        table: of the asset events.
        tokens: names transactions.
    """

    def __init__(self, database: Database, table: Table, tokens: Tokens) -> None:
        self._database = database
        self._table = table
        self._tokens = tokens

    def append(self, event: AssetEvent) -> AssetEvent:
        """Number the event, once."""
        for _ in range(_TRIES):
            known = self._database.get(self._table, event.asset_key, f"id#{event.event_id}")
            if known:
                number = int(known["storage_id"]["N"])
                stored = self._database.get(self._table, event.asset_key, _numbered(number))
                return _event(stored) if stored else event
            counter = self._database.get(self._table, event.asset_key, _COUNTER)
            number = int(counter["storage_id"]["N"]) + 1 if counter else 1
            failed = self._database.transact(self._writes(event, number), self._tokens.new())
            if not isinstance(failed, ConditionFailed):
                return AssetEvent(event.asset_key, event.event_id, event.kind, event.time, event.body, number)
        msg = f"Event {event.event_id} of asset {event.asset_key} met others {_TRIES} times; send it again."
        raise StoreError(msg)

    def _writes(self, event: AssetEvent, number: int) -> list[Write]:
        key = event.asset_key
        unmoved = Model.storage_id == number - 1 if number > 1 else Model.item.does_not_exist()
        stored = Model(
            asset_key=key,
            item=_numbered(number),
            storage_id=number,
            event_id=event.event_id,
            kind=event.kind,
            time=event.time,
            body=event.body,
        )
        named = Model(asset_key=key, item=f"id#{event.event_id}", storage_id=number)
        absent = Model.item.does_not_exist()
        return [
            Write(self._table, (key, _numbered(number)), item=stored.serialize(), condition=absent),
            Write(self._table, (key, f"id#{event.event_id}"), item=named.serialize(), condition=absent),
            Write(self._table, (key, _COUNTER), actions=[Model.storage_id.set(number)], condition=unmoved),
        ]

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """The events numbered higher, in order, read strongly."""
        items = self._database.query(
            self._table,
            asset_key,
            range_key_condition=Model.item.between(_numbered(storage_id + 1), _numbered(10**14)),
            limit=limit,
            consistent_read=True,
        )
        return [_event(item) for item in items]


def _numbered(storage_id: int) -> str:
    return f"event#{storage_id:015d}"


def _event(item: Item) -> AssetEvent:
    model = Model.from_raw_data(item)
    return AssetEvent(
        model.asset_key,
        model.event_id or "",
        model.kind or "",
        int(model.time or 0),
        model.body or "",
        int(model.storage_id),
    )
