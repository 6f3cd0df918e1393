"""Tick records in DynamoDB."""

import logging
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from treadle.adapters.dynamodb.database import (
    ConditionFailed,
    Database,
    Item,
    Statement,
    Table,
    changes,
    item_bytes,
    replacement,
)
from treadle.adapters.dynamodb.fields import Field, all_text, decoded, encoded, one, or_none, whole_or_zero
from treadle.adapters.dynamodb.models import TickModel as Model
from treadle.adapters.dynamodb.models import named, read_number, whole
from treadle.adapters.dynamodb.outcomes import Outcomes, Packed, Unpacked, is_empty
from treadle.definitions.bounds import MAX_REASON, MAX_REFUSAL, MAX_REFUSALS, fit
from treadle.definitions.errors import StoreError, UnreadableRecordError
from treadle.definitions.status import TickStatus
from treadle.engine.identity import tick_time, timestamp
from treadle.model.loops import NEVER_HELD, LoopHold
from treadle.model.records import each_readable, integer, or_error, reader, text
from treadle.model.ticks import (
    ChunkProgress,
    DispatchCounts,
    Drop,
    ErrorInfo,
    Tick,
    TickKind,
    TickPage,
    TickSummary,
    TickTrouble,
    outline,
    unreadable_tick,
)
from treadle.ports.ticks import MOST_READ

SHARDS = 4
"""Number of partitions of the index of pending ticks."""

RETENTION_SECONDS = 90 * 86_400
"""Tick records expire 90 days after their requests were dispatched."""

FUSE_SECONDS = 2 * 86_400
"""The number of runs of an hour expires one to two days later."""

_LOOP = "#loop"

logger = logging.getLogger(__name__)


class DynamoTickStore:
    """A `TickStore` in a table.

    Args:
        database: the client.
        table: the ticks table.
        outcomes: packs the requests of ticks.
    """

    def __init__(self, database: Database, table: Table, outcomes: Outcomes) -> None:
        self._database = database
        self._table = table
        self._outcomes = outcomes

    def read(self, item: Item) -> Tick:
        """Parse an item of the table or of its stream.

        Raises:
            StoreError: if its payload is in a blob that cannot be read.
            UnreadableRecordError: if it is not a tick record.
        """
        return reader(self._read, _NAME)(item)

    def _read(self, item: Item) -> Tick:
        model = Model.from_raw_data(item)
        packed = Packed(model.requests, model.outcome_key, model.outcome_digest)
        return _tick(model, self._outcomes.unpack(model.sensor, packed))

    def get(self, sensor: str, tick_id: str) -> Tick | None:
        """Read a record strongly."""
        item = self._database.get(self._table, sensor, tick_id)
        return self.read(item) if item else None

    def is_dispatched(self, sensor: str, tick_id: str) -> bool:
        """Return whether a tick has been dispatched or no longer exists; no other attributes are transferred."""
        item = self._database.get(self._table, sensor, tick_id, attributes=("tick_id", "dispatched"))
        return item is None or "dispatched" in item

    def has_changed_partitions(self, sensor: str, tick_id: str) -> bool:
        """Return whether a tick's requests are dispatched or held; evaluators may read ticks only by batch."""
        attributes = ("tick_id", "dispatched", "held_requests")
        found = self._database.batch_get(self._table, [(sensor, tick_id)], attributes, strongly=True)
        return all("dispatched" in item or "held_requests" in item for item in found)

    def latest(self, sensor: str, limit: int) -> list[Tick]:
        """Return the newest records first; one whose payload cannot be fetched is returned without requests."""
        items = self._database.query(
            self._table, sensor, scan_index_forward=False, limit=limit, consistent_read=True
        )
        return [self._listed(item) for item in items]

    def between(self, sensor: str, first: str, last: str, *, ascending: bool = True) -> Iterator[Tick]:
        """Yield a sensor's complete records whose ids are in a range, by as few queries as pages."""
        pages = self._database.pages(
            self._table,
            sensor,
            range_key_condition=Model.tick_id.between(first, last),
            scan_index_forward=ascending,
            consistent_read=True,
        )
        for item in chain.from_iterable(pages):
            try:
                yield self.read(item)
            except UnreadableRecordError as error:
                yield _unreadable(item, error)
            except StoreError as error:
                # Its payload is in an object, which may expire a few days before the record does.
                reason = f"its requests cannot be read: {error}"
                yield _unreadable(item, UnreadableRecordError(_NAME(item), reason))

    def page(
        self,
        sensor: str,
        *,
        before: str | None = None,
        limit: int,
        statuses: Collection[TickStatus | TickTrouble] | None = None,
    ) -> TickPage:
        """Return a page of a sensor's ticks, newest first; reads only the attributes that are shown."""
        options: dict[str, Any] = {"range_key_condition": Model.tick_id < before} if before else {}
        pages = self._database.pages(
            self._table,
            sensor,
            scan_index_forward=False,
            limit=MOST_READ if statuses else limit + 1,
            consistent_read=True,
            attributes_to_get=_OUTLINED,
            **options,
        )
        found: list[TickSummary] = []
        last = None
        for read, item in enumerate(chain.from_iterable(pages)):
            if len(found) == limit or read == MOST_READ:
                return TickPage(tuple(found), last)
            last = item["tick_id"]["S"]
            tick = _listed_outline(item)
            if statuses is None or tick.status in statuses or tick.trouble in statuses:
                found.append(tick)
        return TickPage(tuple(found), None)

    def next_id(self, sensor: str, tick_id: str) -> str | None:
        """Return the id of the following tick; reads only its key."""
        items = self._database.query(
            self._table,
            sensor,
            range_key_condition=Model.tick_id > tick_id,
            limit=1,
            consistent_read=True,
            attributes_to_get=["tick_id"],
        )
        return items[0]["tick_id"]["S"] if items else None

    def _listed(self, item: Item) -> Tick:
        try:
            return self.read(item)
        except StoreError as error:
            # Must not fail the whole list: the object may expire a few days before the record does.
            logger.warning(str(error))
        except UnreadableRecordError as error:
            return _unreadable(item, error)
        try:
            return _read_alone(item)
        except UnreadableRecordError as error:
            return _unreadable(item, error)

    def attempts(self, sensor: str, tick_ids: Collection[str]) -> dict[str, tuple[TickStatus, int]]:
        """Return status and attempts of the ticks that are stored, with strongly consistent reads."""
        keys = [(sensor, tick_id) for tick_id in tick_ids]
        items = self._database.batch_get(self._table, keys, ("tick_id", "status", "attempts"), strongly=True)
        return {tick_id: (status, tries) for tick_id, status, tries in each_readable(_read_attempts, items)}

    def put(self, tick: Tick) -> bool:
        """Put a record if there is none, or if it is one of a failure."""
        absent = Model.tick_id.does_not_exist() | (Model.status == TickStatus.FAILURE.value)
        failed = self._database.put(
            self._table, (tick.sensor, tick.tick_id), to_item(tick, self._outcomes), absent
        )
        if failed is None:
            return True
        return failed.current is not None and _read_owner(failed.current) == tick.owner

    def put_many(self, ticks: Sequence[Tick]) -> list[bool | Exception]:
        """Insert records in batches, and put those not certainly inserted one by one."""
        items: dict[int, Item] = {}
        if len(ticks) > 1:
            for place, tick in enumerate(ticks):
                # One that cannot be encoded must not fail the others: `put` fails for it alone.
                with suppress(Exception):
                    items[place] = to_item(tick, self._outcomes)
        written = self._database.insert_many(self._table, list(items.values()))
        inserted = {place for place, is_written in zip(items, written, strict=True) if is_written}
        return [
            True if place in inserted else or_error(partial(self.put, tick))
            for place, tick in enumerate(ticks)
        ]

    def mark_chunk_done(
        self, tick: Tick, index: int, of: int, counts: DispatchCounts, refusals: Collection[str]
    ) -> ChunkProgress | None:
        """Mark a chunk as done once, in one conditional write; return the tick's progress."""
        fresh = ~Model.slices_done.contains(index)
        agreed = Model.chunk_count.does_not_exist() | (Model.chunk_count == of)
        actions = [
            Model.chunk_count.set(of),
            Model.slices_done.add({index}),
            Model.slices_started.add(counts.started),
            Model.slices_existing.add(counts.existing),
            Model.slices_refused.add(counts.refused),
        ]
        if refusals:
            actions.append(Model.slices_refusals.add(set(_refusals(refusals))))
        # A record that has expired meanwhile must not reappear as an empty one.
        condition = Model.tick_id.exists() & fresh & agreed
        answer = self._database.update(
            self._table, (tick.sensor, tick.tick_id), actions, condition, returning="ALL_NEW"
        )
        item = answer.current if isinstance(answer, ConditionFailed) else answer
        return reader(lambda kept: _chunk_progress(Model.from_raw_data(kept)), _NAME)(item) if item else None

    def pending(self, before: int, limit: int) -> list[tuple[str, str]]:
        """Return ticks that wait for dispatch, by the sparse index: one query per shard."""
        found: list[tuple[float, str, str]] = []
        for shard in range(SHARDS):
            late = Model.pending_since < before
            items = self._database.query(
                self._table, str(shard), index_name="pending", range_key_condition=late, limit=limit
            )
            found += [
                (float(item["pending_since"]["N"]), item["sensor"]["S"], item["tick_id"]["S"])
                for item in items
            ]
        return [(sensor, tick_id) for _, sensor, tick_id in sorted(found)[:limit]]

    def postpone(
        self, sensor: str, tick_id: str, until: int, reason: str, *, held: int | None = None
    ) -> bool:
        """Defer the dispatch of a pending tick, in one write."""
        actions = [Model.pending_since.set(until), Model.held.set(fit(reason, MAX_REASON))]
        if held is not None:
            actions.append(Model.held_requests.set(held))
        answer = self._database.update(self._table, (sensor, tick_id), actions, Model.pending.exists())
        return not isinstance(answer, ConditionFailed)

    def drop(self, sensor: str, tick_id: str, drop: Drop, due: int, reason: str) -> bool:
        """Record an operator's drop once, in one conditional write."""
        drop_noted = replace(drop, reason=fit(drop.reason, MAX_REASON))
        actions = [
            Model.dropped.set(_DROPPED.encode(drop_noted)),
            Model.pending_since.set(due),
            Model.held.set(fit(reason, MAX_REASON)),
        ]
        waits = Model.pending.exists() & Model.held_requests.exists() & Model.dropped.does_not_exist()
        answer = self._database.update(self._table, (sensor, tick_id), actions, waits)
        if not isinstance(answer, ConditionFailed):
            return True
        return answer.current is not None and _read_dropped(answer.current) == drop_noted

    def mark_unreadable(self, sensor: str, tick_id: str, until: int, reason: str) -> bool:
        """Postpone a pending tick whose record cannot be read, in one write that does not parse it."""
        actions = [Model.pending_since.set(until), Model.unreadable.set(fit(reason, MAX_REASON))]
        answer = self._database.update(
            self._table, (sensor, tick_id), actions, Model.pending.exists(), returning="ALL_OLD"
        )
        return not isinstance(answer, ConditionFailed) and "unreadable" not in answer

    def admit(self, sensor: str, hour: int, number: int, limit: int) -> int:
        """Reserve runs within the limit, in one write; in two if fewer than requested are left."""
        key = (f"{sensor}#fuse", timestamp(hour))
        number = min(number, limit)
        while number > 0:
            actions = [Model.admitted.add(number), Model.expires_at.set(hour // 1000 + FUSE_SECONDS)]
            room = Model.admitted.does_not_exist() | (Model.admitted <= limit - number)
            answer = self._database.update(self._table, key, actions, room)
            if not isinstance(answer, ConditionFailed):
                return number
            used = _read_admitted(answer.current) if answer.current else 0
            number = min(number, limit - used)
        return 0

    def loop_hold(self, sensor: str) -> LoopHold:
        """Read whether a sensor is held, strongly."""
        item = self._database.get(self._table, *_loop_key(sensor))
        return _read_loop_hold(item) if item else NEVER_HELD

    def loop_holds(self, sensors: Collection[str]) -> dict[str, LoopHold]:
        """Read whether sensors are held, a hundred at a time."""
        items = self._database.batch_get(self._table, [_loop_key(each) for each in sensors], strongly=True)
        return dict(each_readable(reader(_named_loop_hold, _NAME), items))

    def hold_loop(self, sensor: str, held_at: int, reason: str, released_at: int) -> bool:
        """Hold a sensor, unless it is held, or was released meanwhile, in one conditional write."""
        hold = LoopHold(held_at, reason)
        unreleased = Model.released_at == released_at if released_at else Model.released_at.does_not_exist()
        return self._change_loop(
            sensor,
            [Model.held_at.set(held_at), Model.held.set(hold.reason)],
            Model.held_at.does_not_exist() & unreleased,
            lambda current: (current.held_at, current.reason) == (hold.held_at, hold.reason),
        )

    def release_loop(self, sensor: str, at: int, by: str) -> bool:
        """Release a sensor, if it is held, in one conditional write."""
        released = LoopHold(released_at=at, released_by=by)
        actions = [
            Model.held_at.remove(),
            Model.held.remove(),
            Model.released_at.set(at),
            Model.released_by.set(released.released_by),
        ]
        return self._change_loop(sensor, actions, Model.held_at.exists(), lambda current: current == released)

    def _change_loop(
        self,
        sensor: str,
        actions: Sequence[Action],
        condition: Condition,
        is_done: Callable[[LoopHold], bool],
    ) -> bool:
        """Write a sensor's hold; return whether it was written now, or by an earlier call without an answer."""
        answer = self._database.update(self._table, _loop_key(sensor), actions, condition)
        if not isinstance(answer, ConditionFailed):
            return True
        return answer.current is not None and is_done(_read_loop_hold(answer.current))

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        """Record the results of the requests; the record expires from then on."""
        actions = changes(
            (Model.pending, None),
            (Model.pending_since, None),
            (Model.held, None),
            (Model.unreadable, None),
            (Model.held_requests, None),
            (Model.expires_at, _expiry(tick)),
            (Model.dispatched, _stored_counts(counts)),
            (Model.refusals, _refusals(refusals) or None),
        )
        # A record that has expired meanwhile must not reappear as an empty one.
        self._database.update(self._table, (tick.sensor, tick.tick_id), actions, Model.tick_id.exists())

    def mark_many_dispatched(self, done: Sequence[tuple[Tick, DispatchCounts]]) -> list[Exception | None]:
        """Record the results by statements; those not certainly executed, or for ticks postponed meanwhile, one by one."""
        are_done = [False] * len(done)
        if len(done) > 1:
            statements = [self._completion(tick, counts) for tick, counts in done]
            are_done = self._database.execute_many(self._table, statements)
        return [
            None if is_done else or_error(partial(self.mark_dispatched, tick, counts, ()))
            for (tick, counts), is_done in zip(done, are_done, strict=True)
        ]

    def _completion(self, tick: Tick, counts: DispatchCounts) -> Statement:
        """Return the statement that completes the dispatch of a tick as it was committed."""
        keys = {"sensor": tick.sensor, "tick_id": tick.tick_id}
        before = Model(**keys, pending=_shard(tick), pending_since=tick.ended_at)
        after = Model(**keys, expires_at=_expiry(tick), dispatched=_stored_counts(counts))
        items = after.serialize(null_check=False), before.serialize(null_check=False)
        return replacement(self._table, *items, ("sensor", "tick_id", "pending_since"))


def to_item(tick: Tick, outcomes: Outcomes) -> Item:
    """Convert a record to an item; a payload that is too large is in the blob store when this returns.

    Args:
        tick: the record.
        outcomes: packs its requests.

    Raises:
        StoreRejectedError: if the payload is larger than the maximum.
        StoreError: if the blob could not be stored.
    """
    pending = tick.is_to_be_dispatched
    model = Model(
        **encoded(_FIELDS, tick),
        error_type=tick.error.type if tick.error else None,
        error_message=tick.error.message if tick.error else None,
        error_stack=tick.error.stack if tick.error else None,
        pending=_shard(tick) if pending else None,
        pending_since=tick.ended_at if pending else None,
        rejected=len(tick.rejected) or None,
        expires_at=None if pending else _expiry(tick),
    )
    if is_empty(tick):
        return model.serialize()
    packed = outcomes.pack(tick, item_bytes(model.serialize()))
    model.requests, model.outcome_key, model.outcome_digest = packed.inline, packed.key, packed.digest
    return model.serialize()


def _shard(tick: Tick) -> str:
    """Return the partition of the index of pending ticks."""
    return str(zlib.crc32(tick.tick_id.encode()) % SHARDS)


def _expiry(tick: Tick) -> int:
    return tick.ended_at // 1000 + RETENTION_SECONDS


def _stored_counts(counts: DispatchCounts) -> list[int]:
    return [counts.started, counts.existing, counts.refused]


def _refusals(given: Collection[str]) -> list[str]:
    return [fit(each, MAX_REFUSAL) for each in list(given)[:MAX_REFUSALS]]


def is_underway(item: Mapping[str, Any]) -> bool:
    """Return whether the dispatch of an item's tick has begun: chunks of it are done, or it is held."""
    return "slices_of" in item or "held" in item


def _tick(model: Model, unpacked: Unpacked) -> Tick:
    error = None
    if model.error_type is not None:
        error = ErrorInfo(model.error_type, model.error_message or "", model.error_stack or "")
    return Tick(
        **decoded(_FIELDS, model),
        error=error,
        requests=unpacked.requests,
        existing_keys=unpacked.existing_keys,
        rejected=unpacked.rejected,
        asset_events=unpacked.asset_events,
        dynamic_partitions_request_results=unpacked.partitions,
        slicing=_chunk_progress(model),
    )


def _outline(item: Item) -> TickSummary:
    model = Model.from_raw_data(item)
    return TickSummary(
        **decoded(_COMMON, model),
        error_type=model.error_type,
        error_message=model.error_message,
        is_pending=model.pending is not None,
        rejected=whole_or_zero(model.rejected),
        is_dropped=model.dropped is not None,
    )


def _listed_outline(item: Item) -> TickSummary:
    try:
        return reader(_outline, _NAME)(item)
    except UnreadableRecordError as error:
        return outline(_unreadable(item, error))


def _unreadable(item: Item, error: UnreadableRecordError) -> Tick:
    tick_id = item["tick_id"]["S"]
    return unreadable_tick(item["sensor"]["S"], tick_id, tick_time(tick_id) or 0, error.reason)


def _counts(stored: Iterable[object] | None) -> DispatchCounts | None:
    return None if stored is None else DispatchCounts(*map(integer, stored))


def _unwritten(_: object) -> None:
    """Leave out what is stored only with the results of the requests."""


_COMMON = (
    Field("sensor"),
    Field("tick_id"),
    Field("kind", TickKind, attrgetter("value")),
    Field("status", TickStatus, attrgetter("value")),
    Field("time", integer),
    Field("started_at", integer),
    Field("ended_at", integer),
    Field("reason"),
    Field("trigger"),
    Field("attempts", integer),
    Field("skips", whole_or_zero, or_none),
    Field("last_time", whole),
    Field("dispatched", _counts, _unwritten),
    Field("paused"),
    Field("held"),
    Field("held_requests", whole_or_zero, or_none),
)
_DROPPED = one("dropped", Drop, at=integer, by=text, reason=text)
_FIELDS = (
    *_COMMON,
    Field("cursor"),
    Field("owner", text),
    Field("refusals", all_text, _unwritten),
    Field("log", all_text, or_none),
    Field("depth", whole_or_zero, or_none),
    _DROPPED,
    Field("acted_on"),
)
_OUTLINED = [
    *(field.name for field in _COMMON),
    *("error_type", "error_message", "pending", "set_aside", "dropped"),
]
"""The stored names of the attributes of a summary."""


def _loop_key(sensor: str) -> tuple[str, str]:
    return (f"{sensor}{_LOOP}", "loop")


def _loop_hold(item: Item) -> LoopHold:
    model = Model.from_raw_data(item)
    return LoopHold(
        whole(model.held_at), model.held or "", whole_or_zero(model.released_at), model.released_by or ""
    )


def _named_loop_hold(item: Item) -> tuple[str, LoopHold]:
    return item["sensor"]["S"].removesuffix(_LOOP), _loop_hold(item)


def _attempts(item: Item) -> tuple[str, TickStatus, int]:
    return item["tick_id"]["S"], TickStatus(item["status"]["S"]), read_number(item, "attempts")


_NAME = named("the tick of sensor", "sensor", "tick_id")
_read_alone = reader(lambda item: _tick(Model.from_raw_data(item), Unpacked()), _NAME)
_read_dropped = reader(lambda item: _DROPPED.decode(Model.from_raw_data(item).dropped), _NAME)
_read_loop_hold = reader(_loop_hold, _NAME)
_read_admitted = reader(lambda item: read_number(item, "admitted"), _NAME)
_read_attempts = reader(_attempts, _NAME)
_read_owner = reader(lambda item: text(item["owner"]["S"]), _NAME)


def _chunk_progress(model: Model) -> ChunkProgress | None:
    of = whole(model.chunk_count)
    if of is None:
        return None
    counts = (model.slices_started, model.slices_existing, model.slices_refused)
    return ChunkProgress(
        of,
        frozenset(integer(index) for index in model.slices_done or ()),
        DispatchCounts(*(integer(count or 0) for count in counts)),
        tuple(sorted(model.slices_refusals or ())),
    )
