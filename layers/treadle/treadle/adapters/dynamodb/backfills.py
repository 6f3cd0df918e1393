"""Backfills in DynamoDB: an item of the runs table for each, and one for every hundred of its partitions."""

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from treadle.adapters.dynamodb.database import ConditionFailed, Database, Item, Table
from treadle.adapters.dynamodb.fields import Field, decoded, encoded, or_none, several, whole_or_zero
from treadle.adapters.dynamodb.models import BackfillModel as Model
from treadle.adapters.dynamodb.models import BackfillPageModel, named, whole
from treadle.definitions.errors import StoreError
from treadle.model.backfills import (
    PAGE_SIZE,
    Backfill,
    BackfillPartition,
    BackfillStatus,
    PartitionState,
    page_token,
    pages,
    parse_page_token,
)
from treadle.model.records import each_readable, integer, reader, text, texts
from treadle.model.runs import OperatorEdit

PREFIX = "backfill#"
"""The beginning of the keys of all these items: no run id has a `#`."""

_LISTED = "#backfills"
"""The key of backfills in the index by sensor, which cannot name a sensor."""

_WATCHED = "backfill"
"""The key of unfinished backfills in the index of runs to check, whose other keys are numbers."""

_STATES = {state.byte for state in PartitionState}


class DynamoBackfillStore:
    """A `BackfillStore` in the runs table."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def create(self, backfill: Backfill, partitions: Sequence[BackfillPartition]) -> Backfill | None:
        """Put the partitions, under keys with their digest, and then the backfill if it does not exist."""
        existing = self.get(backfill.name)
        if existing is not None:
            return existing
        for number, page in enumerate(pages(partitions)):
            key = _page_key(backfill, number)
            item = BackfillPageModel(run_id=key, partitions=_packed_page(page)).serialize()
            self._database.put(self._table, (key,), item)
        failed = self._database.put(
            self._table,
            _key(backfill.name),
            _item(backfill, backfill.revision),
            Model.run_id.does_not_exist(),
        )
        return self._current(backfill.name, failed)

    def get(self, name: str) -> Backfill | None:
        """Read a backfill strongly."""
        item = self._database.get(self._table, *_key(name))
        return None if item is None else _read(item)

    def partitions(self, backfill: Backfill, positions: Collection[int]) -> Mapping[int, BackfillPartition]:
        """Read the pages that contain the partitions."""
        numbers = {
            _page_key(backfill, number): number for number in {each // PAGE_SIZE for each in positions}
        }
        items = self._database.batch_get(self._table, [(key,) for key in numbers], strongly=True)
        found = {
            numbers[item["run_id"]["S"]] * PAGE_SIZE + offset: partition
            for item in items
            for offset, partition in enumerate(_read_page(item))
        }
        missing = [position for position in positions if position not in found]
        if missing:
            msg = f"Partition {missing[0]} of backfill {backfill.name} is missing: its items must never be deleted."
            raise StoreError(msg)
        return {position: found[position] for position in positions}

    def replace(self, backfill: Backfill) -> Backfill | None:
        """Replace a backfill if its revision is unchanged."""
        item = _item(backfill, backfill.revision + 1)
        failed = self._database.put(
            self._table, _key(backfill.name), item, Model.revision == backfill.revision
        )
        return self._current(backfill.name, failed)

    def due(self, now: int, limit: int) -> list[str]:
        """Query the sparse index of runs to check, where backfills have a key of their own."""
        items = self._database.query(
            self._table,
            _WATCHED,
            index_name="watched",
            range_key_condition=Model.next_at <= now,
            limit=limit,
        )
        return list(map(_name, items))

    def unfinished(self, limit: int) -> list[str]:
        """Query the same index, whatever the time."""
        return list(
            map(_name, self._database.query(self._table, _WATCHED, index_name="watched", limit=limit))
        )

    def page(self, before: str | None, limit: int) -> tuple[list[Backfill], str | None]:
        """Return a page, by the index of runs by sensor."""
        start = None
        if before is not None:
            place = parse_page_token(before)
            if place is None:
                msg = f"{before[:80]!r} is not a page token of backfills: use the one of the previous page."
                raise StoreError(msg)
            time, name = place
            start = {
                "sensor": {"S": _LISTED},
                "created_at": {"N": str(time)},
                "run_id": {"S": f"{PREFIX}{name}"},
            }
        pages_of_keys = self._database.pages(
            self._table, _LISTED, index_name="by_sensor", scan_index_forward=False, limit=limit, start=start
        )
        keys = next(pages_of_keys, [])
        items = self._database.batch_get(
            self._table, [(item["run_id"]["S"],) for item in keys], strongly=True
        )
        found = {backfill.name: backfill for backfill in each_readable(_read, items)}
        last = keys[-1] if len(keys) == limit else None
        token = page_token(int(float(last["created_at"]["N"])), _name(last)) if last else None
        return [found[name] for name in map(_name, keys) if name in found], token

    def postpone(self, name: str, until: int, reason: str) -> bool:
        """Defer a backfill in one write that does not parse it."""
        actions = [Model.next_at.set(until), Model.unreadable.set(reason)]
        answer = self._database.update(
            self._table, _key(name), actions, Model.next_at.exists(), returning="ALL_OLD"
        )
        return not isinstance(answer, ConditionFailed) and "unreadable" not in answer

    def _current(self, name: str, failed: ConditionFailed | None) -> Backfill | None:
        if failed is None:
            return None
        if failed.current is None:
            msg = f"Backfill {name} existed and is gone: a backfill must never be deleted."
            raise StoreError(msg)
        return _read(failed.current)


def _key(name: str) -> tuple[str]:
    return (f"{PREFIX}{name}",)


def _page_key(backfill: Backfill, number: int) -> str:
    return f"{PREFIX}{backfill.name}#{backfill.digest}#{number}"


def _name(item: Item) -> str:
    return str(item["run_id"]["S"]).removeprefix(PREFIX)


def _packed_page(page: Sequence[BackfillPartition]) -> bytes:
    body = [[each.key, dict(each.tags)] if each.tags else [each.key] for each in page]
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode())


def _partition(key: object, tags: object = None) -> BackfillPartition:
    return BackfillPartition(text(key), texts(tags or {}))


def _page_of(item: Item) -> list[BackfillPartition]:
    stored = zlib.decompress(BackfillPageModel.from_raw_data(item).partitions)
    return [_partition(*each) for each in json.loads(stored)]


def _item(backfill: Backfill, revision: int) -> Item:
    return Model(
        run_id=f"{PREFIX}{backfill.name}",
        sensor=_LISTED,
        watch=None if backfill.next_at is None else _WATCHED,
        progress=zlib.compress(backfill.states + backfill.attempts),
        revision=revision,
        **encoded(_FIELDS, backfill),
        backfill_job=backfill.job,
        max_in_progress=backfill.limit or None,
    ).serialize()


def _backfill_of(item: Item) -> Backfill:
    model = Model.from_raw_data(item)
    progress = zlib.decompress(model.progress)
    total = len(progress) // 2
    if not total or len(progress) != 2 * total or not set(progress[:total]) <= _STATES:
        msg = f"its progress of {len(progress)} bytes is invalid"
        raise ValueError(msg)
    return Backfill(
        name=text(model.run_id).removeprefix(PREFIX),
        job=text(model.backfill_job),
        limit=whole_or_zero(model.max_in_progress),
        states=progress[:total],
        attempts=progress[total:],
        revision=integer(model.revision),
        **decoded(_FIELDS, model),
    )


_FIELDS = (
    Field("digest", text),
    Field("run_config", text),
    Field("tags", texts, dict),
    Field("created_at", integer),
    Field("status", BackfillStatus, attrgetter("value")),
    Field("problem", encode=or_none),
    several("edits", OperatorEdit, at=integer, by=text, action=text),
    Field("next_at", whole),
)
_read = reader(_backfill_of, named("backfill", "run_id"))
_read_page = reader(_page_of, named("partitions of backfill", "run_id"))
