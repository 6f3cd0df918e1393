"""Tick records on DynamoDB."""

import json
import zlib
from collections.abc import Collection
from typing import Any

from treadle.adapters.dynamodb.database import Database, Item, Table, changes
from treadle.adapters.dynamodb.models import TickModel as Model
from treadle.adapters.dynamodb.models import whole
from treadle.definitions.errors import StoreError
from treadle.definitions.status import TickStatus
from treadle.ports.ticks import DispatchCounts, ErrorInfo, PlannedRun, SetAside, Tick, TickKind

SHARDS = 4
"""Pending ticks are spread over so many partitions of their index."""

RETENTION_SECONDS = 90 * 86_400
"""A tick record is kept for 90 days after its requests were dispatched."""

MAX_REQUESTS_BYTES = 300_000


class DynamoTickStore:
    """A `TickStore` on a table.

    Args:
        database: the client.
        table: of the tick records.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def get(self, sensor: str, tick_id: str) -> Tick | None:
        """The record, read strongly."""
        item = self._database.get(self._table, sensor, tick_id)
        return from_item(item) if item else None

    def latest(self, sensor: str, limit: int) -> list[Tick]:
        """The newest records first."""
        items = self._database.query(
            self._table, sensor, scan_index_forward=False, limit=limit, consistent_read=True
        )
        return [from_item(item) for item in items]

    def attempts(self, sensor: str, tick_ids: Collection[str]) -> dict[str, tuple[TickStatus, int]]:
        """Status and attempts of those that are stored, read strongly."""
        keys = [(sensor, tick_id) for tick_id in tick_ids]
        items = self._database.batch_get(self._table, keys, ("tick_id", "status", "attempts"), strongly=True)
        return {
            item["tick_id"]["S"]: (TickStatus(item["status"]["S"]), int(item["attempts"]["N"]))
            for item in items
        }

    def put(self, tick: Tick) -> bool:
        """Keep the record if there is none, or one of a failure."""
        absent = Model.tick_id.does_not_exist() | (Model.status == TickStatus.FAILURE.value)
        failed = self._database.put(self._table, (tick.sensor, tick.tick_id), to_item(tick), absent)
        if failed is None:
            return True
        return failed.standing is not None and failed.standing["owner"]["S"] == tick.owner

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        """Note what became of the requests; the record expires from then on."""
        actions = changes(
            (Model.pending, None),
            (Model.pending_since, None),
            (Model.expires_at, tick.ended_at // 1000 + RETENTION_SECONDS),
            (Model.dispatched, [counts.started, counts.existing, counts.refused]),
            (Model.refusals, list(refusals) or None),
        )
        # A record that has expired meanwhile must not come back as an empty one.
        self._database.update(self._table, (tick.sensor, tick.tick_id), actions, Model.tick_id.exists())


def to_item(tick: Tick) -> Item:
    """The record as it is stored.

    Raises:
        StoreError: if its requests are too many for one item.
    """
    pending = bool(tick.requests) and tick.dispatched is None
    model = Model(
        sensor=tick.sensor,
        tick_id=tick.tick_id,
        kind=tick.kind.value,
        status=tick.status.value,
        time=tick.time,
        started_at=tick.started_at,
        ended_at=tick.ended_at,
        reason=tick.reason,
        error_type=tick.error.type if tick.error else None,
        error_message=tick.error.message if tick.error else None,
        error_stack=tick.error.stack if tick.error else None,
        requests=_packed(tick),
        cursor=tick.cursor,
        trigger=tick.trigger,
        attempts=tick.attempts,
        owner=tick.owner,
        skips=tick.skips or None,
        last_time=tick.last_time,
        pending=str(zlib.crc32(tick.tick_id.encode()) % SHARDS) if pending else None,
        pending_since=tick.ended_at if pending else None,
        expires_at=None if pending else tick.ended_at // 1000 + RETENTION_SECONDS,
    )
    return model.serialize()


def from_item(item: Item) -> Tick:
    """The record that an item, of the table or its stream, holds."""
    model = Model.from_raw_data(item)
    error = None
    if model.error_type is not None:
        error = ErrorInfo(model.error_type, model.error_message or "", model.error_stack or "")
    packed = json.loads(zlib.decompress(model.requests)) if model.requests else {}
    return Tick(
        sensor=model.sensor,
        tick_id=model.tick_id,
        kind=TickKind(model.kind),
        status=TickStatus(model.status),
        time=int(model.time),
        started_at=int(model.started_at),
        ended_at=int(model.ended_at),
        reason=model.reason,
        error=error,
        requests=tuple(PlannedRun(*run) for run in packed.get("runs", ())),
        existing_keys=tuple(packed.get("existing", ())),
        set_aside=tuple(SetAside(*aside) for aside in packed.get("set_aside", ())),
        cursor=model.cursor,
        trigger=model.trigger,
        attempts=int(model.attempts),
        owner=model.owner,
        skips=int(model.skips or 0),
        last_time=whole(model.last_time),
        dispatched=DispatchCounts(*model.dispatched) if model.dispatched is not None else None,
        refusals=tuple(model.refusals or ()),
    )


def _packed(tick: Tick) -> bytes | None:
    if not (tick.requests or tick.existing_keys or tick.set_aside):
        return None
    content: dict[str, list[Any]] = {
        "runs": [
            [run.run_id, run.run_key, run.job, run.run_config, dict(run.tags), run.partition_key]
            for run in tick.requests
        ],
        "existing": list(tick.existing_keys),
        "set_aside": [[aside.run_key, aside.reason] for aside in tick.set_aside],
    }
    packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
    if len(packed) > MAX_REQUESTS_BYTES:
        msg = (
            f"The {len(tick.requests)} requests of tick {tick.tick_id} of sensor {tick.sensor} have "
            f"{len(packed)} bytes compressed, and {MAX_REQUESTS_BYTES} fit into its record. "
            "Return fewer, and go on from the cursor at the next tick."
        )
        raise StoreError(msg)
    return packed
