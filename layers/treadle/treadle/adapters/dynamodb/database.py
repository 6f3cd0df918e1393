"""One DynamoDB client for all tables; failed conditions are return values rather than exceptions."""

import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.session import Session
from pynamodb.connection.base import Connection, MetaTable
from pynamodb.exceptions import VerboseClientError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import MAKING, session_for
from treadle.definitions.errors import StoreError, StoreRejectedError, StoreThrottledError

logger = logging.getLogger(__name__)

Item = dict[str, dict[str, Any]]
"""An item in DynamoDB JSON."""

_CONFLICTS = {"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"}
"""Another write of the same item is in progress; the SDK does not retry these errors."""

_PASSING = _CONFLICTS | {
    "ThrottlingError",
    "ThrottlingException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
}
_FAILED = "ConditionalCheckFailed"
_REJECTED = {"ValidationException", "ValidationError", "SerializationException"}
"""The item or its key is too large, empty or malformed, which no retry fixes.

Sources: "Common errors" of the API reference; the second is the name that a transaction uses for one of its
writes.
"""

_MAX_KEY, _MAX_RANGE_KEY = 2_048, 1_024
"""Maximum bytes of a hash key and of a range key; neither may be empty (DynamoDB quotas)."""

_TRIES = 8
_BATCH = 100
"""Maximum number of items per batch read."""

_WRITES = 25
"""Maximum number of writes per batch write, and of statements per batch (BatchExecuteStatement in the API reference)."""

_READERS = 4
"""Maximum number of concurrent requests of one read."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its keys.

    Attributes:
        name: as deployed.
        hash_key: the attribute's name.
        range_key: the attribute's name, if there is one.
        indexes: name, hash key (a string) and range key (a number) of each index that is queried.
    """

    name: str
    hash_key: str
    range_key: str | None = None
    indexes: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionFailed:
    """A write whose condition failed.

    Attributes:
        current: the current item; None if it does not exist.
        position: the first such write of a transaction, from 0.
    """

    current: Item | None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction.

    Attributes:
        table: the table.
        key: hash key, and range key if the table has one.
        item: the whole item to put; or else
        actions: the update; without them, the item is deleted.
        condition: must hold.
    """

    table: Table
    key: tuple[str, ...]
    item: Item | None = None
    actions: Sequence[Action] = ()
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A PartiQL statement that writes one item.

    Attributes:
        text: the statement.
        parameters: the values of its question marks, in order, in DynamoDB JSON.
    """

    text: str
    parameters: Sequence[dict[str, Any]]


class _Connection(Connection):
    """A PynamoDB connection that uses the shared session."""

    @property
    def session(self) -> Session:
        return session_for("dynamodb")


@dataclass(slots=True)
class Database:
    """The tables of one deployment, over one client.

    Args:
        tables: all tables that will be used.
        sleep: waits between attempts, in seconds.
    """

    tables: Collection[Table]
    sleep: Callable[[float], None] = time.sleep
    _connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = _Connection(
            connect_timeout_seconds=3,
            read_timeout_seconds=5,
            max_pool_connections=20,
            retry_configuration={"mode": "standard", "total_max_attempts": 5},
        )
        for table in self.tables:
            keys = [(table.hash_key, "HASH"), (table.range_key, "RANGE")]
            known = [(name, kind) for name, kind in keys if name]
            self._connection.add_meta_table(
                MetaTable(
                    {
                        "TableName": table.name,
                        "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in known],
                        "AttributeDefinitions": [
                            {"AttributeName": n, "AttributeType": kind} for n, kind in _attributes(table)
                        ],
                        "GlobalSecondaryIndexes": [
                            {
                                "IndexName": index,
                                "KeySchema": [
                                    {"AttributeName": text, "KeyType": "HASH"},
                                    {"AttributeName": number, "KeyType": "RANGE"},
                                ],
                            }
                            for index, text, number in table.indexes
                        ],
                    }
                )
            )

    def get(self, table: Table, *key: str, attributes: Sequence[str] = ()) -> Item | None:
        """Read an item strongly, optionally only some of its attributes; None if it does not exist."""
        if not _may_exist(key):
            return None
        kwargs = self._kwargs(table, key, consistent_read=True, attributes_to_get=list(attributes) or None)
        item: Item | None = self._call("GetItem", kwargs).get("Item")
        return item

    def batch_get(
        self,
        table: Table,
        keys: Collection[tuple[str, ...]],
        attributes: Sequence[str] = (),
        *,
        strongly: bool,
    ) -> Iterator[Item]:
        """Yield the items that exist, optionally only some of their attributes; a hundred cost one request."""
        names = [name for name in (table.hash_key, table.range_key) if name]
        # One invalid key would fail the request for all others.
        distinct = [key for key in dict.fromkeys(keys) if _may_exist(key)]
        batches = [distinct[first : first + _BATCH] for first in range(0, len(distinct), _BATCH)]

        def read(batch: Sequence[tuple[str, ...]]) -> list[Item]:
            wanted = [{n: {"S": part} for n, part in zip(names, key, strict=True)} for key in batch]
            return list(self._batch(table, wanted, attributes, strongly=strongly))

        if len(batches) < 2:
            yield from chain.from_iterable(map(read, batches))
            return
        # A request spends much more time waiting than it takes CPU.
        with ThreadPoolExecutor(min(_READERS, len(batches)), "read") as pool:
            yield from chain.from_iterable(pool.map(read, batches))

    def _batch(
        self, table: Table, keys: list[Item], attributes: Sequence[str], *, strongly: bool
    ) -> Iterator[Item]:
        names = {f"#{i}": name for i, name in enumerate(attributes)}
        for attempt in range(_TRIES):
            request: dict[str, Any] = {"Keys": keys, "ConsistentRead": strongly}
            if names:
                request |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
            answer = self._call("BatchGetItem", {"RequestItems": {table.name: request}})
            yield from answer["Responses"].get(table.name, ())
            keys = answer.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
            if not keys:
                return
            self._pause(attempt)
        msg = f"Table {table.name} left {len(keys)} keys unread after {_TRIES} tries."
        raise StoreThrottledError(msg)

    def batch_write(self, table: Table, puts: Sequence[Item], deletes: Sequence[tuple[str, ...]]) -> None:
        """Put and delete items without conditions; 25 writes cost one request, and no two may be of one item.

        Raises:
            StoreError: if some of them may not have been written.
        """
        names = [name for name in (table.hash_key, table.range_key) if name]
        writes: list[dict[str, Any]] = [{"PutRequest": {"Item": item}} for item in puts]
        writes += [
            {"DeleteRequest": {"Key": {n: {"S": part} for n, part in zip(names, key, strict=True)}}}
            for key in deletes
        ]
        batches = [writes[first : first + _WRITES] for first in range(0, len(writes), _WRITES)]
        if not batches:
            return
        with ThreadPoolExecutor(min(_READERS, len(batches)), "write") as pool:
            list(pool.map(lambda batch: self._write(table, batch), batches))

    def _write(self, table: Table, writes: list[dict[str, Any]]) -> None:
        for attempt in range(_TRIES):
            answer = self._call("BatchWriteItem", {"RequestItems": {table.name: writes}})
            writes = answer.get("UnprocessedItems", {}).get(table.name, [])
            if not writes:
                return
            self._pause(attempt)
        msg = f"Table {table.name} left {len(writes)} writes undone after {_TRIES} tries."
        raise StoreThrottledError(msg)

    def insert_many(self, table: Table, items: Sequence[Item]) -> list[bool]:
        """Put items, each only if its key is free; 25 cost one request, and each as many write units as a single put.

        Args:
            table: the table.
            items: no two of one key.

        Returns:
            For each item, whether it was certainly written, as for `execute_many`. DuplicateItem has no item.
        """
        return self.execute_many(table, [_insertion(table, item) for item in items])

    def execute_many(self, table: Table, statements: Sequence["Statement"]) -> list[bool]:
        """Execute PartiQL statements that write one item each; 25 cost one request.

        Args:
            table: the table.
            statements: no two of one item: DynamoDB refuses such a request, and may still apply a part of it.

        Returns:
            For each statement, whether it was certainly applied. Of any other one, only a strongly consistent read of its
            item determines what is stored, and who wrote it: its condition failed, it was throttled, or the request failed
            or was not answered.
        """
        batches = [statements[first : first + _WRITES] for first in range(0, len(statements), _WRITES)]
        return list(chain.from_iterable(self._execute(table, batch) for batch in batches))

    def _execute(self, table: Table, statements: Sequence["Statement"]) -> list[bool]:
        given = [{"Statement": each.text, "Parameters": each.parameters} for each in statements]
        try:
            answer = self._call("BatchExecuteStatement", {"Statements": given})
        except StoreError as error:
            logger.warning(
                "Table %s: a batch of %s writes is checked item by item: %s", table.name, len(given), error
            )
            return [False] * len(given)
        return ["Error" not in each for each in answer["Responses"]]

    def query(self, table: Table, hash_key: str, **options: Any) -> list[Item]:
        """Return the items of a query, up to its `limit`; the options are those of `Connection.query`.

        A page ends after a megabyte, whatever its limit (DynamoDB API reference, Query): fewer items than
        requested are complete only if no page follows.
        """
        found = chain.from_iterable(self.pages(table, hash_key, **options))
        return list(islice(found, options.get("limit")))

    def first_page(self, table: Table, hash_key: str, **options: Any) -> tuple[list[Item], bool]:
        """Return the first page of a query, a megabyte at most, and whether no page follows."""
        try:
            answer = self._connection.query(table.name, hash_key, **options)
        except Exception as error:
            raise _store_error("Query", error) from error
        return answer["Items"], "LastEvaluatedKey" not in answer

    def pages(
        self, table: Table, hash_key: str, *, start: Item | None = None, **options: Any
    ) -> Iterator[list[Item]]:
        """Yield a query's pages lazily, optionally after the key `start`."""
        last = start
        while True:
            try:
                answer = self._connection.query(table.name, hash_key, exclusive_start_key=last, **options)
            except Exception as error:
                raise _store_error("Query", error) from error
            yield answer["Items"]
            last = answer.get("LastEvaluatedKey")
            if last is None:
                return

    def put(
        self, table: Table, key: tuple[str, ...], item: Item, condition: Condition | None = None
    ) -> ConditionFailed | None:
        """Put an item if the condition, if any, holds; return None on success."""
        kwargs = self._kwargs(
            table,
            key,
            key="Item",
            attributes=item,
            condition=condition,
            return_values_on_condition_failure="ALL_OLD",
        )
        answer = self._conditional("PutItem", kwargs)
        return answer if isinstance(answer, ConditionFailed) else None

    def delete(
        self, table: Table, key: tuple[str, ...], condition: Condition | None = None
    ) -> ConditionFailed | None:
        """Delete an item if the condition, if any, holds; return None on success."""
        kwargs = self._kwargs(
            table, key, key="Key", condition=condition, return_values_on_condition_failure="ALL_OLD"
        )
        answer = self._conditional("DeleteItem", kwargs)
        return answer if isinstance(answer, ConditionFailed) else None

    def update(
        self,
        table: Table,
        key: tuple[str, ...],
        actions: Sequence[Action],
        condition: Condition,
        *,
        returning: str = "NONE",
    ) -> Item | ConditionFailed:
        """Update an item if the condition holds; then return what `returning` selects (ALL_OLD, ALL_NEW)."""
        kwargs = self._kwargs(
            table,
            key,
            actions=actions,
            condition=condition,
            return_values=returning,
            return_values_on_condition_failure="ALL_OLD",
        )
        answer = self._conditional("UpdateItem", kwargs)
        return answer if isinstance(answer, ConditionFailed) else answer.get("Attributes", {})

    def transact(self, writes: Sequence[Write], token: str) -> ConditionFailed | None:
        """Execute all writes or none; return None if they are done, including earlier under the same token."""
        kwargs = {"TransactItems": [self._transact_item(w) for w in writes], "ClientRequestToken": token}
        for attempt in range(_TRIES):
            try:
                self._dispatch("TransactWriteItems", kwargs)
            except VerboseClientError as error:
                codes = {r.code for r in error.cancellation_reasons if r} or {error.response["Error"]["Code"]}
                if _FAILED in codes:
                    reasons = error.cancellation_reasons
                    failed = [at for at, each in enumerate(reasons) if each and each.code == _FAILED]
                    raw = [each.raw_item for each in reasons if each and each.raw_item]
                    return ConditionFailed(raw[0] if raw else None, failed[0] if failed else 0)
                if codes & _REJECTED or not codes & _PASSING:
                    rejected = next(iter(codes & _REJECTED), None)
                    raise _store_error("TransactWriteItems", error, rejected) from error
            except BotoCoreError as error:
                raise _store_error("TransactWriteItems", error) from error
            else:
                return None
            self._pause(attempt)
        msg = f"A transaction of {len(writes)} writes conflicted with other writes {_TRIES} times. Try again."
        raise StoreThrottledError(msg)

    def _transact_item(self, write: Write) -> dict[str, Any]:
        put = write.item is not None
        kwargs = self._kwargs(
            write.table,
            write.key,
            key="Item" if put else "Key",
            attributes=write.item,
            actions=write.actions or None,
            condition=write.condition,
            return_values_on_condition_failure="ALL_OLD",
        )
        return {"Put" if put else "Update" if write.actions else "Delete": kwargs}

    def _kwargs(self, table: Table, of: tuple[str, ...], **options: Any) -> dict[str, Any]:
        range_key = of[1] if len(of) > 1 else None
        kwargs: dict[str, Any] = self._connection.get_operation_kwargs(
            table.name, of[0], range_key=range_key, **options
        )
        return kwargs

    def _conditional(self, operation: str, kwargs: dict[str, Any]) -> dict[str, Any] | ConditionFailed:
        try:
            answer = self._past_conflicts(operation, kwargs)
        except VerboseClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise _store_error(operation, error) from error
            # PynamoDB's error keeps only code and message; the item is in its cause.
            response: Any = getattr(error.__cause__, "response", {})
            return ConditionFailed(response.get("Item"))
        except BotoCoreError as error:
            raise _store_error(operation, error) from error
        return answer

    def _call(self, operation: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._past_conflicts(operation, kwargs)
        except (ClientError, BotoCoreError) as error:
            raise _store_error(operation, error) from error
        return answer

    def create_client(self) -> None:
        """Create the client, which sends nothing, unless it is there."""
        with MAKING:
            # PynamoDB creates its client on the first call, without a lock: each thread would create one.
            _ = self._connection.client

    def _dispatch(self, operation: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        self.create_client()
        answer: dict[str, Any] = self._connection.dispatch(operation, kwargs)
        return answer

    def _past_conflicts(self, operation: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Send a request, retrying while another write of the same item is in progress."""
        for attempt in range(_TRIES - 1):
            try:
                return self._dispatch(operation, kwargs)
            except VerboseClientError as error:
                if code_of(error) not in _CONFLICTS:
                    raise
            self._pause(attempt)
        return self._dispatch(operation, kwargs)

    def _pause(self, attempt: int) -> None:
        self.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))  # noqa: S311 - jitter is no secret


def _store_error(operation: str, error: Exception, code: str | None = None) -> StoreError:
    # For a query, PynamoDB raises a different error.
    code = code or code_of(error) or getattr(error, "cause_response_code", None)
    kind = StoreThrottledError if code in _PASSING else StoreError
    if operation not in _READS and (code in _REJECTED or isinstance(error, ParamValidationError)):
        kind = StoreRejectedError
    return kind(f"DynamoDB {operation} failed: {error}")


_READS = {"GetItem", "BatchGetItem", "Query"}
"""For these, ValidationException may also mean that an index is still being built."""


def _may_exist(key: tuple[str, ...]) -> bool:
    """Return whether a table may contain a key: not too long, and valid Unicode."""
    try:
        sizes = [len(part.encode()) for part in key]
    except UnicodeEncodeError:
        return False
    return all(0 < size <= most for size, most in zip(sizes, (_MAX_KEY, _MAX_RANGE_KEY), strict=False))


def _insertion(table: Table, item: Item) -> Statement:
    names = ", ".join(f"'{name}': ?" for name in item)
    return Statement(f'INSERT INTO "{table.name}" VALUE {{{names}}}', list(item.values()))


def replacement(table: Table, item: Item, before: Item, expected: Collection[str]) -> Statement:
    """Return the statement that changes an item as it was read, unless some of its attributes have changed.

    Args:
        table: the table.
        item: as it is to be.
        before: as it was read.
        expected: the attributes that must be as they were read, the keys included.
    """
    changed = [name for name, value in item.items() if before.get(name) != value]
    removed = before.keys() - item.keys()
    actions = [*(f'SET "{name}"=?' for name in changed), *(f'REMOVE "{name}"' for name in sorted(removed))]
    where = " AND ".join(f'"{name}"=?' for name in expected)
    parameters = [*(item[name] for name in changed), *(before[name] for name in expected)]
    return Statement(f'UPDATE "{table.name}" {" ".join(actions)} WHERE {where}', parameters)


def _attributes(table: Table) -> Iterator[tuple[str, str]]:
    """Yield the attributes of all keys without duplicates, with their types."""
    found = {name: "S" for name in (table.hash_key, table.range_key) if name}
    for _, text, number in table.indexes:
        found |= {text: "S", number: "N"}
    yield from found.items()


def item_bytes(item: Item) -> int:
    """Estimate an item's bytes ("Item sizes" in the developer guide): names and values, without lists."""
    values = ((name, value) for name, typed in item.items() for value in typed.values())
    return sum(len(name) + (len(value.encode()) if isinstance(value, str) else 8) for name, value in values)


def changes(*values: tuple[Any, Any]) -> list[Action]:
    """Return the actions that set attributes to their values, or remove those whose value is None."""
    return [attribute.remove() if value is None else attribute.set(value) for attribute, value in values]
