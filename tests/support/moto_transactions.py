"""Transactions of moto that do not copy whole tables: for each item of each one, moto copies its table with all its items.

That was half of the time of tests on moto, and grows with what a test has stored. They are also isolated: in moto, one
that fails undoes what other threads have written meanwhile.
"""

import copy
import functools
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table


@cache
def keep_tables_uncopied() -> None:
    """Let transactions in this process keep only what they may change: the dictionaries of items, and the updated items."""
    write = DynamoDBBackend.transact_write_items

    def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        operations = [(kind, each) for item in transact_items for kind, each in item.items()]
        names = {each.get("TableName") for _, each in operations}
        tables = [self.tables[name] for name in names if name in self.tables]
        kept = [
            (table, copy.copy(table.items), table.stream_shard and list(table.stream_shard.items))
            for table in tables
        ]
        for table, items, _ in kept:
            if table.has_range_key:
                for key in items:
                    items[key] = dict(items[key])
        for kind, each in operations:
            if kind == "Update" and each.get("TableName") in self.tables:
                _replace_by_copy(self, self.tables[each["TableName"]], each["Key"])
        try:
            write(self, transact_items)
        except BaseException:
            for table, items, records in kept:
                table.items = items
                if table.stream_shard is not None:
                    table.stream_shard.items = records or []
            raise

    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]
    _isolate()
    # What moto keeps for a failed transaction is thereby the table itself.
    Table.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def _isolate() -> None:
    """Let nobody write while a transaction may still be undone."""
    lock = threading.RLock()
    for name in ("transact_write_items", "put_item", "update_item", "delete_item"):
        setattr(DynamoDBBackend, name, _one_at_a_time(getattr(DynamoDBBackend, name), lock))


def _one_at_a_time(method: Callable[..., Any], lock: threading.RLock) -> Callable[..., Any]:
    @functools.wraps(method)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return method(*args, **kwargs)

    return locked


def _replace_by_copy(backend: DynamoDBBackend, table: Table, key: dict[str, Any]) -> None:
    """Replace an item by a copy, as moto updates items in place."""
    hash_key, range_key = backend.get_keys_value(table, key)
    items: Any = table.items.get(hash_key, {}) if range_key else table.items
    found = range_key or hash_key
    if found in items:
        items[found] = copy.deepcopy(items[found])
