"""Sets of dynamic partitions in DynamoDB, in the events table: one item for each key, and none that is shared."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from treadle.adapters.dynamodb.database import Database, Item, Table
from treadle.adapters.dynamodb.models import PartitionModel as Model
from treadle.model.partitions import ChangeTime, PartitionChange, StoredPartition
from treadle.ports.partitions import DELETED_SECONDS

PREFIX = "#partitions/"
"""Of the hash key, which cannot be an asset's."""

_WRITERS = 8
"""Maximum number of concurrent writes."""


class DynamoPartitionStore:
    """A `PartitionStore` in a table.

    An item has `added` as long as its key exists. A deleted key's item remains for a time, and expires.

    Args:
        database: the client.
        table: the events table.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def partitions(self, partitions_def_name: str) -> list[StoredPartition]:
        """Return all keys of a set, from one query."""
        pages = self._database.pages(self._table, _hash_key(partitions_def_name), consistent_read=True)
        items = [item for item in chain.from_iterable(pages) if "added" in item]
        return [
            _stored(item)
            for item in sorted(items, key=lambda item: (_text(item, "added"), _text(item, "item")))
        ]

    def existing(self, partitions_def_name: str, partition_keys: Collection[str]) -> set[str]:
        """Return those of the keys that a set has, by batch reads."""
        keys = [(_hash_key(partitions_def_name), key) for key in partition_keys]
        found = self._database.batch_get(self._table, keys, ("item", "added"), strongly=True)
        return {_text(item, "item") for item in found if "added" in item}

    def apply(self, changes: Sequence[PartitionChange], time: ChangeTime) -> None:
        """Apply changes, each in one conditional write."""
        with ThreadPoolExecutor(min(_WRITERS, len(changes)) or 1, "partitions") as pool:
            for _ in pool.map(lambda change: self._apply(change, time), changes):
                pass

    def _apply(self, change: PartitionChange, time: ChangeTime) -> None:
        if change.exists:
            # A key that exists keeps its place.
            place = f"{time.at:015d}/{change.position:06d}"
            actions = [Model.added.set(Model.added | place), Model.expires_at.remove()]
        else:
            actions = [Model.added.remove(), Model.expires_at.set(time.at // 1000 + DELETED_SECONDS)]
        self._database.update(
            self._table,
            (_hash_key(change.partitions_def_name), change.partition_key),
            [*actions, Model.changed.set(time.text)],
            Model.changed.does_not_exist() | (Model.changed < time.text),
        )


def _hash_key(partitions_def_name: str) -> str:
    return f"{PREFIX}{partitions_def_name}"


def _text(item: Item, attribute: str) -> str:
    return str(item.get(attribute, {}).get("S", ""))


def _stored(item: Item) -> StoredPartition:
    """Return a key; of an item that something else has written, without what cannot be read."""
    added = _text(item, "added").partition("/")[0]
    number = int(added) if added.isascii() and added.isdecimal() else 0
    return StoredPartition(_text(item, "item"), number, _text(item, "changed").partition("/")[2])
