"""Concurrency pools in DynamoDB, in the events table; each slot and each waiting run is an item."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from treadle.adapters.dynamodb.database import ConditionFailed, Database, Item, Table, Write, changes
from treadle.adapters.dynamodb.models import PoolModel as Model
from treadle.adapters.dynamodb.models import named, whole
from treadle.model.pools import BEYOND, Holder, Overlap, PoolChanges, PoolState, Slot, Waiter
from treadle.model.records import each_readable, integer, reader, text

DECLARED = "#pools"
"""The hash key of the declared pools; no asset has such a key."""

QUEUES = "#pools/queues"
"""The hash key of the queues in which runs wait."""

PREFIX = "#pool/"
"""Of the hash key of a pool's slots and queue."""

_SLOT, _WAIT, _LATEST = "slot/", "wait/", "latest"


class DynamoPoolStore:
    """A `PoolStore` in a table.

    Args:
        database: the client.
        table: the events table.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def states(self) -> dict[str, PoolState]:
        """Return the declared pools, from one query."""
        pages = self._database.pages(self._table, DECLARED, consistent_read=True)
        return {state.name: state for state in each_readable(_state, chain.from_iterable(pages))}

    def state(self, name: str) -> PoolState | None:
        """Read a declared pool strongly."""
        item = self._database.get(self._table, DECLARED, name)
        return None if item is None else _state(item)

    def declare(self, declared: Collection[PoolState], removed: Collection[str]) -> None:
        """Write each pool by itself; a repetition changes nothing."""
        for state in declared:
            values = [
                Model.slots_limit.set(state.limit),
                Model.value_limits.set(dict(state.limits)),
                Model.overlap.set(state.overlap.value),
            ]
            if state.closed_until is not None:
                values.append(Model.closed_until.set(state.closed_until))
            self._database.update(self._table, (DECLARED, state.name), values, _ANY, returning="NONE")
        for name in removed:
            self._database.delete(self._table, (DECLARED, name))

    def set_override(self, name: str, limit: int | None, by: str, at: int) -> PoolState | None:
        """Set an operator's limit with who set it, or remove all of that."""
        operator, time = (by, at) if limit is not None else (None, None)
        answer = self._database.update(
            self._table,
            (DECLARED, name),
            changes((Model.operator_limit, limit), (Model.operator_by, operator), (Model.operator_at, time)),
            Model.slots_limit.exists(),
            returning="ALL_NEW",
        )
        return None if isinstance(answer, ConditionFailed) else _state(answer)

    def open(self, state: PoolState) -> bool:
        """Remove the time until which the pool is closed, if it is still this one."""
        answer = self._database.update(
            self._table,
            (DECLARED, state.name),
            [Model.closed_until.remove()],
            Model.closed_until == state.closed_until,
        )
        return not isinstance(answer, ConditionFailed)

    def holders(self, key: str) -> list[Holder]:
        """Return the slots that are held, from one query."""
        return list(each_readable(_holder, self._items(key, _SLOT)))

    def waiters(self, key: str, limit: int) -> list[Waiter]:
        """Return the first runs in the queue."""
        return list(each_readable(_waiter, self._items(key, _WAIT, limit)))

    def latest(self, key: str) -> str:
        """Read the age strongly."""
        item = self._database.get(self._table, f"{PREFIX}{key}", _LATEST)
        return "" if item is None else item["latest"]["S"]

    def set_latest(self, key: str, age: str, before: str) -> bool:
        """Put the age, if it is still the one from before."""
        item = Model(asset_key=f"{PREFIX}{key}", item=_LATEST, latest=age).serialize()
        unchanged = Model.latest == before if before else Model.latest.does_not_exist()
        return self._database.put(self._table, (f"{PREFIX}{key}", _LATEST), item, unchanged) is None

    def _items(self, key: str, kind: str, limit: int | None = None) -> Sequence[Item]:
        options = {} if limit is None else {"limit": limit}
        return self._database.query(
            self._table,
            f"{PREFIX}{key}",
            range_key_condition=Model.item.startswith(kind),
            consistent_read=True,
            **options,
        )

    def note_queue(self, key: str, token: str) -> None:
        """Put the note."""
        item = Model(asset_key=QUEUES, item=key, token=token).serialize()
        self._database.put(self._table, (QUEUES, key), item)

    def queues(self) -> Mapping[str, str]:
        """Return the noted queues, from one query."""
        pages = self._database.pages(self._table, QUEUES, consistent_read=True)
        return {item["item"]["S"]: item["token"]["S"] for item in chain.from_iterable(pages)}

    def forget_queue(self, key: str, token: str) -> None:
        """Delete the note, if it has this token."""
        self._database.delete(self._table, (QUEUES, key), Model.token == token)


_ANY = Model.asset_key.exists() | Model.asset_key.does_not_exist()


def writes_of(table: Table, changed: PoolChanges, run_id: str) -> list[Write]:
    """Return the writes of a transaction that apply changes to pools: first the slots that are taken.

    A slot below the limit is taken only if nobody holds it, and is returned or passed on only by its holder.

    Args:
        table: the events table.
        changed: the changes.
        run_id: the run.
    """
    found: list[Write] = []
    for slot, launch_id in changed.taken:
        key = _slot_key(slot, launch_id)
        item = Model(asset_key=key[0], item=key[1], launch_id=launch_id).serialize()
        is_free = Model.launch_id.does_not_exist() if slot.number != BEYOND else None
        found.append(Write(table, key, item=item, condition=is_free))
    for slot, launch_id in changed.freed:
        is_own = Model.launch_id.does_not_exist() | (Model.launch_id == launch_id)
        found.append(Write(table, _slot_key(slot, launch_id), condition=is_own))
    for slot, before, after in changed.passed:
        key = _slot_key(slot, after)
        item = Model(asset_key=key[0], item=key[1], launch_id=after).serialize()
        found.append(Write(table, key, item=item, condition=Model.launch_id == before))
    if wait := changed.unparked:
        found.append(Write(table, (f"{PREFIX}{wait.pool}", f"{_WAIT}{wait.order}")))
    if wait := changed.parked:
        key = (f"{PREFIX}{wait.pool}", f"{_WAIT}{wait.order}")
        item = Model(asset_key=key[0], item=key[1], run_id=run_id).serialize()
        found.append(Write(table, key, item=item))
    return found


def _slot_key(slot: Slot, launch_id: str) -> tuple[str, str]:
    beyond = f"/{launch_id}" if slot.number == BEYOND else ""
    return f"{PREFIX}{slot.pool}", f"{_SLOT}{slot.number:04d}{beyond}"


def _state_of(item: Item) -> PoolState:
    model = Model.from_raw_data(item)
    limits = {text(value): integer(limit) for value, limit in (model.value_limits or {}).items()}
    return PoolState(
        model.item,
        integer(model.slots_limit),
        limits,
        whole(model.operator_limit),
        whole(model.closed_until),
        model.operator_by and text(model.operator_by),
        whole(model.operator_at),
        Overlap(model.overlap or Overlap.QUEUE),
    )


def _holder_of(item: Item) -> Holder:
    model = Model.from_raw_data(item)
    return Holder(int(model.item.split("/")[1]), text(model.launch_id))


def _waiter_of(item: Item) -> Waiter:
    model = Model.from_raw_data(item)
    return Waiter(text(model.run_id), model.item.removeprefix(_WAIT))


_NAME = named("the pool item", "asset_key", "item")
_state = reader(_state_of, _NAME)
_holder = reader(_holder_of, _NAME)
_waiter = reader(_waiter_of, _NAME)
