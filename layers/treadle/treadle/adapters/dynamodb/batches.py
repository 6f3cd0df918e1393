"""Batches in DynamoDB, in the ticks table: the ledger, the items that wait, the states and the manifests."""

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.adapters.dynamodb.database import ConditionFailed, Database, Item, Table, Write, changes
from treadle.adapters.dynamodb.fields import whole_or_zero
from treadle.adapters.dynamodb.models import BatchModel as Model
from treadle.adapters.dynamodb.models import named, whole
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.adapters.dynamodb.ticks import to_item
from treadle.definitions.bounds import unicode_text
from treadle.definitions.errors import LeaseLostError, StoreThrottledError
from treadle.model.batches import (
    NO_FAILURES,
    SHARDS,
    BatchCommit,
    BatchFailures,
    BatchItem,
    BatchLease,
    BatchState,
    DueBatch,
    LedgerEntry,
    Manifest,
    Member,
    WaitingItems,
    by_key,
    digest_of,
    opened,
)
from treadle.model.records import each_readable, integer, or_error, reader, text
from treadle.ports.system import IdGenerator

if TYPE_CHECKING:
    from pynamodb.expressions.update import Action

T = TypeVar("T")
R = TypeVar("R")

BATCH = "#batch"
"""After a sensor's name, the beginning of the hash keys of its batches; no sensor has such a name."""

_STATE, _MANIFEST = "state/", "manifest/"
_DUE = "batch/"
DUE_SHARDS = 4
"""Number of partitions of the index of batches that are due."""

MAX_READ = 16_000_000
"""The most bytes of contents, uncompressed, that are read for one batch: the function has them all in memory."""

_SPARE = 8
"""More items than its share are read of each partition, as the items are spread by chance."""

_COUNTED = ["sensor", "tick_id", "size"]
_WORKERS = 4
_TRIES = 5
_KEY_BYTES, _TIME_BYTES = 32, 8


class DynamoBatchStore:
    """A `BatchStore` in a table.

    Args:
        database: the client.
        table: the ticks table.
        tokens: creates transaction tokens.
        outcomes: packs the requests of ticks.
    """

    def __init__(self, database: Database, table: Table, tokens: IdGenerator, outcomes: Outcomes) -> None:
        self._database = database
        self._table = table
        self._tokens = tokens
        self._outcomes = outcomes

    def accept(self, sensor: str, items: Sequence[BatchItem]) -> list[LedgerEntry | Exception | None]:
        """Put each item into the ledger, if it is absent there, and among those that wait, in one transaction."""
        return _each(lambda item: or_error(partial(self._accept, sensor, item)), items)

    def _accept(self, sensor: str, item: BatchItem) -> LedgerEntry | None:
        content = item.compressed(sensor)
        ledger, waits = _ledger_key(sensor, item.key), _waiting_key(sensor, item.by, item.member)
        noted = _model(ledger, batch_by=item.by, accepted_at=item.accepted_at)
        waiting = _model(
            waits,
            identity=unicode_text(item.identity),
            batch_by=item.by,
            accepted_at=item.accepted_at,
            size=item.size,
            content=content,
        )
        writes = [
            Write(self._table, ledger, noted.serialize(), condition=Model.tick_id.does_not_exist()),
            Write(self._table, waits, waiting.serialize()),
        ]
        failed = self._database.transact(writes, self._tokens.new())
        if failed is None:
            return None
        if failed.current is not None:
            return _read_entry(failed.current)
        # Items are never deleted from the ledger, so this is an answer without the item.
        found = self.known(sensor, [item.identity]).get(item.identity)
        if found is None:
            msg = f"An item of sensor {sensor} was accepted before, and could not be read. Send it again."
            raise StoreThrottledError(msg)
        return found

    def known(self, sensor: str, identities: Collection[str]) -> dict[str, LedgerEntry]:
        """Read entries of the ledger strongly, a hundred at a time."""
        keys = {digest_of(identity): identity for identity in identities}
        items = self._database.batch_get(
            self._table, [_ledger_key(sensor, key) for key in keys], strongly=True
        )
        return {keys[entry.key]: entry for entry in each_readable(_read_entry, items)}

    def open(
        self, sensor: str, by: str, now: int, within: int, quiet: int | None, *, at_once: bool = False
    ) -> None:
        """Write when the batch is due, if its state is still the one that was read strongly."""
        key = _state_key(sensor, by_key(by))
        for _ in range(_TRIES):
            found = list(self._database.batch_get(self._table, [key], strongly=True))
            state = _read_state(found[0]) if found else None
            times = opened(state, now, within, quiet, at_once=at_once)
            if times is None:
                return
            actions = [
                Model.batch_by.set(by),
                Model.pending.set(_due_shard(*key)),
                Model.pending_since.set(times.due),
                Model.first_at.set(times.first_at),
                Model.last_at.set(times.last_at),
                Model.closing.remove(),
            ]
            due, closing = (None, None) if state is None else (state.due, state.closing)
            unchanged = _is(Model.pending_since, due) & _is(Model.closing, closing)
            answer = self._database.update(self._table, key, actions, unchanged)
            if not isinstance(answer, ConditionFailed):
                return
        msg = f"The batches of sensor {sensor} are changed by many others at the same time. Try again."
        raise StoreThrottledError(msg)

    def acquire(self, sensor: str, key: str, owner: str, now: int, expires_at: int) -> BatchLease | None:
        """Take the lease in one conditional update, which returns the state before."""
        at = _state_key(sensor, key)
        for _ in range(_TRIES):
            found = list(self._database.batch_get(self._table, [at], strongly=True))
            before = _read_state(found[0]) if found else None
            if before is None or before.is_held(now):
                return None
            epoch = before.epoch + 1
            actions = [
                Model.owner.set(owner),
                Model.epoch.set(epoch),
                Model.lease_expires.set(expires_at),
                Model.pending.set(_due_shard(*at)),
                Model.pending_since.set(expires_at + 1),
                Model.closing.set(epoch),
            ]
            # Whoever takes the lease counts the epoch up.
            same = Model.epoch == before.epoch if before.epoch else Model.epoch.does_not_exist()
            answer = self._database.update(self._table, at, actions, same, returning="ALL_OLD")
            if not isinstance(answer, ConditionFailed):
                return BatchLease(sensor, before.by, owner, epoch, _read_state(answer))
        return None

    def waiting(self, sensor: str, key: str, limit: int) -> tuple[list[BatchItem], bool]:
        """Read the first items of each partition strongly."""
        share = -(-limit // len(SHARDS)) * 5 // 4 + _SPARE

        def read(shard: str) -> tuple[list[BatchItem], bool]:
            items = self._database.query(
                self._table, _waiting_partition(sensor, key, shard), limit=share, consistent_read=True
            )
            return list(each_readable(_read_item, items)), len(items) < share

        found = _each(read, SHARDS)
        # Behind the last one that was read of a partition, there may be an older one than in another.
        ends = [items[-1].member for items, is_all in found if not is_all and items]
        merged = sorted((each for items, _ in found for each in items), key=lambda each: each.member)
        if ends and len(merged) > limit:
            complete = [each for each in merged if each.member <= min(ends)]
            merged = complete if len(complete) >= limit else merged
        fitting = list(_fitting(merged[:limit]))
        return fitting, not ends and len(fitting) == len(merged)

    def commit(self, lease: BatchLease, commit: BatchCommit) -> None:
        """Put the tick and the manifest, and update the state, in one transaction under owner and epoch."""
        tick, manifest = commit.tick, commit.manifest
        state = Write(
            self._table,
            _state_key(lease.sensor, lease.key),
            actions=changes(
                (Model.failures, _stored_failures(commit.failures)),
                (Model.unmarked, tick.tick_id if manifest else None),
            ),
            condition=_is_own(lease),
        )
        item = to_item(tick, self._outcomes)
        absent = Model.tick_id.does_not_exist()
        writes = [state, Write(self._table, (tick.sensor, tick.tick_id), item, condition=absent)]
        if manifest is not None:
            key = _manifest_key(manifest.sensor, manifest.tick_id)
            listed = _model(
                key,
                batch_by=manifest.by,
                members=_packed(manifest.members),
                set_aside=manifest.set_aside or None,
            )
            writes.append(Write(self._table, key, listed.serialize()))
        if self._database.transact(writes, self._tokens.new()) is not None:
            msg = f"The lease of sensor {lease.sensor} on a batch is no longer held."
            raise LeaseLostError(msg)

    def manifest(self, sensor: str, tick_id: str) -> Manifest | None:
        """Read a manifest strongly."""
        found = list(self._database.batch_get(self._table, [_manifest_key(sensor, tick_id)], strongly=True))
        return _read_manifest(found[0]) if found else None

    def mark(self, manifest: Manifest, members: Sequence[Member]) -> None:
        """Put the entries of the ledger and delete the items that wait, without conditions."""
        entries = [
            _model(
                _ledger_key(manifest.sensor, each.key),
                batch_by=manifest.by,
                accepted_at=each.accepted_at,
                batch_tick=manifest.tick_id,
                set_aside=manifest.set_aside or None,
            ).serialize()
            for each in members
        ]
        keys = [_waiting_key(manifest.sensor, manifest.by, each) for each in members]
        self._database.batch_write(self._table, entries, keys)

    def marked(self, lease: BatchLease) -> None:
        """Remove the tick of the last batch, under owner and epoch."""
        key = _state_key(lease.sensor, lease.key)
        self._database.update(self._table, key, [Model.unmarked.remove()], _is_own(lease))

    def finish(self, lease: BatchLease, due: int | None, first_at: int) -> None:
        """Release the lease under owner and epoch; remove the due time only if nobody has written it since."""
        key = _state_key(lease.sensor, lease.key)
        released: list[Action] = [
            Model.owner.remove(),
            Model.lease_expires.remove(),
            Model.closing.remove(),
        ]
        shard = None if due is None else _due_shard(*key)
        noted: list[Action] = [*released, *changes((Model.pending, shard), (Model.pending_since, due))]
        noted += [] if due is None else [Model.first_at.set(first_at)]
        steps = [(noted, _is_own(lease) & (Model.closing == lease.epoch))]
        if due is not None:
            # Somebody has accepted an item since, and has written when it is due.
            steps.append((noted, _is_own(lease) & (Model.pending_since > due)))
        for actions, condition in [*steps, (released, _is_own(lease))]:
            answer = self._database.update(self._table, key, actions, condition)
            if not isinstance(answer, ConditionFailed):
                return

    def due(self, now: int, limit: int) -> list[DueBatch]:
        """Return the batches that are due, by the sparse index of ticks: one query per shard."""
        found: list[DueBatch] = []
        for shard in range(DUE_SHARDS):
            items = self._database.query(
                self._table,
                f"{_DUE}{shard}",
                index_name="pending",
                range_key_condition=Model.pending_since <= now,
                limit=limit,
            )
            found += each_readable(_read_due, items)
        return sorted(found, key=lambda each: each.due)[:limit]

    def states(self, sensor: str) -> list[BatchState]:
        """Return the states of batches for which items wait, from one query."""
        states = self._database.query(
            self._table,
            f"{sensor}{BATCH}",
            range_key_condition=Model.tick_id.startswith(_STATE),
            consistent_read=True,
        )
        found = [each for each in each_readable(_read_state, states) if each.due is not None]
        return sorted(found, key=lambda each: each.first_at)

    def count(self, sensor: str, key: str) -> WaitingItems:
        """Read the first page of each partition: a megabyte of items at most."""

        def read(shard: str) -> tuple[list[tuple[int, int]], bool]:
            page, is_last = self._database.first_page(
                self._table, _waiting_partition(sensor, key, shard), attributes_to_get=_COUNTED
            )
            return list(each_readable(_read_size, page)), is_last

        found = _each(read, SHARDS)
        sizes = [each for items, _ in found for each in items]
        oldest = min((at for at, _ in sizes), default=None)
        is_more = not all(is_last for _, is_last in found)
        return WaitingItems(len(sizes), sum(size for _, size in sizes), oldest, is_more)


def _each(function: Callable[[T], R], values: Sequence[T]) -> list[R]:
    """Call a function for each value, some of them at the same time; requests mostly wait."""
    if len(values) < 2:
        return [function(each) for each in values]
    with ThreadPoolExecutor(min(_WORKERS, len(values)), "batch") as pool:
        return list(pool.map(function, values))


def _fitting(items: Iterable[BatchItem]) -> Iterator[BatchItem]:
    """Yield items up to the most bytes of content, but at least one."""
    room = MAX_READ
    for number, each in enumerate(items):
        room -= len(each.content)
        if room < 0 and number:
            return
        yield each


def _is(attribute: Any, value: int | None) -> Any:
    return attribute.does_not_exist() if value is None else attribute == value


def _is_own(lease: BatchLease) -> Any:
    return (Model.owner == lease.owner) & (Model.epoch == lease.epoch)


def _model(key: tuple[str, str], **values: Any) -> Model:
    return Model(sensor=key[0], tick_id=key[1], **values)


def _ledger_key(sensor: str, key: str) -> tuple[str, str]:
    return f"{sensor}{BATCH}/items/{key[0]}", key


def _waiting_key(sensor: str, by: str, member: Member) -> tuple[str, str]:
    return _waiting_partition(sensor, by_key(by), member.key[0]), member.order


def _waiting_partition(sensor: str, key: str, shard: str) -> str:
    return f"{sensor}{BATCH}/waiting/{key}/{shard}"


def _state_key(sensor: str, key: str) -> tuple[str, str]:
    return f"{sensor}{BATCH}", f"{_STATE}{key}"


def _manifest_key(sensor: str, tick_id: str) -> tuple[str, str]:
    return f"{sensor}{BATCH}", f"{_MANIFEST}{tick_id}"


def _due_shard(sensor: str, name: str) -> str:
    return f"{_DUE}{zlib.crc32(f'{sensor}{name}'.encode()) % DUE_SHARDS}"


def _packed(members: Iterable[Member]) -> bytes:
    return b"".join(
        each.accepted_at.to_bytes(_TIME_BYTES, "big") + bytes.fromhex(each.key) for each in members
    )


def _unpacked(packed: bytes) -> Iterator[Member]:
    step = _TIME_BYTES + _KEY_BYTES
    if len(packed) % step:
        msg = f"its members have {len(packed)} bytes"
        raise ValueError(msg)
    for at in range(0, len(packed), step):
        time = int.from_bytes(packed[at : at + _TIME_BYTES], "big")
        yield Member(time, packed[at + _TIME_BYTES : at + step].hex())


def _stored_failures(failures: BatchFailures) -> dict[str, Any] | None:
    if failures == NO_FAILURES:
        return None
    return {**asdict(failures), "last": None if failures.last is None else failures.last.order}


def _failures(stored: dict[str, Any] | None) -> BatchFailures:
    if stored is None:
        return NO_FAILURES
    last = stored["last"]
    return BatchFailures(
        integer(stored["count"]),
        integer(stored["retry_at"]),
        integer(stored["take"]),
        None if last is None else Member.of(last),
        stored["may_set_aside"] is True,
        text(stored["reason"]),
    )


def _entry_of(item: Item) -> LedgerEntry:
    model = Model.from_raw_data(item)
    by, at = text(model.batch_by), integer(model.accepted_at)
    return LedgerEntry(model.tick_id, by, at, model.batch_tick, model.set_aside is True)


def _item_of(item: Item) -> BatchItem:
    model = Model.from_raw_data(item)
    content = zlib.decompress(model.content).decode()
    member = Member.of(model.tick_id)
    return BatchItem(
        text(model.identity), text(model.batch_by), member.accepted_at, integer(model.size), content
    )


def _size_of(item: Item) -> tuple[int, int]:
    """Return when an item was accepted, and its size."""
    model = Model.from_raw_data(item)
    return Member.of(model.tick_id).accepted_at, integer(model.size)


def _state_of(item: Item) -> BatchState:
    model = Model.from_raw_data(item)
    return BatchState(
        model.sensor.removesuffix(BATCH),
        text(model.batch_by),
        whole_or_zero(model.epoch),
        model.owner,
        whole_or_zero(model.lease_expires),
        whole(model.pending_since),
        whole_or_zero(model.first_at),
        whole_or_zero(model.last_at),
        whole(model.closing),
        model.unmarked,
        _failures(model.failures),
    )


def _manifest_of(item: Item) -> Manifest:
    model = Model.from_raw_data(item)
    return Manifest(
        model.sensor.removesuffix(BATCH),
        text(model.batch_by),
        model.tick_id.removeprefix(_MANIFEST),
        tuple(_unpacked(model.members)),
        model.set_aside is True,
    )


def _due_of(item: Item) -> DueBatch:
    model = Model.from_raw_data(item)
    sensor, key = model.sensor.removesuffix(BATCH), model.tick_id.removeprefix(_STATE)
    return DueBatch(sensor, key, integer(model.pending_since))


_NAME = named("a batch of sensor", "sensor", "tick_id")
_read_entry = reader(_entry_of, _NAME)
_read_item = reader(_item_of, _NAME)
_read_size = reader(_size_of, _NAME)
_read_state = reader(_state_of, _NAME)
_read_manifest = reader(_manifest_of, _NAME)
_read_due = reader(_due_of, _NAME)
