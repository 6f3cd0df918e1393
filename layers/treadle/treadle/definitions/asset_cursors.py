"""How far a sensor over several assets has come with each of them, in Dagster's form of that."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.assets import AssetKey
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.event_log import EventLogRecord

MAX_UNCONSUMED = 1_000
"""So many partitions of an asset may be left for later ticks; Dagster's bound is 25."""


@dataclass(frozen=True, slots=True)
class AssetCursor:
    """How far one asset's materializations are consumed.

    Attributes:
        partition: of the consumed materialization that was recorded last.
        storage_id: its place; 0 if none was consumed.
        unconsumed: by partition, the newest materialization before that place that was left.
    """

    partition: str | None = None
    storage_id: int = 0
    unconsumed: Mapping[str, int] = field(default_factory=dict)

    def advanced(self, consumed: Mapping[int, str | None], passed: Iterable[EventLogRecord]) -> "AssetCursor":
        """The cursor behind more that was consumed.

        A partition's materialization consumes those before it; what else was passed is left for later ticks.

        Args:
            consumed: partitions by storage id.
            passed: in order: what was left, and what lies between this place and the last that is consumed.
        """
        left = dict(self.unconsumed)
        latest = {
            partition: max(n for n in consumed if consumed[n] == partition) for partition in consumed.values()
        }
        for record in passed:
            if record.partition_key is not None:
                left[record.partition_key] = record.storage_id
        left = {partition: number for partition, number in left.items() if number > latest.get(partition, 0)}
        newest = max(consumed, default=0)
        if newest <= self.storage_id:
            return AssetCursor(self.partition, self.storage_id, left)
        return AssetCursor(consumed[newest], newest, left)


def load_cursors(text: str | None, keys: Sequence[AssetKey]) -> dict[AssetKey, AssetCursor]:
    """Each asset's cursor.

    Args:
        text: as Dagster has it: `{str(key): [partition, storage id, {partition: storage id}]}`; or of one asset the
            integer that was an asset sensor's.
        keys: of the assets.

    Raises:
        DagsterInvariantViolationError: if it is nothing of the kind.
    """
    try:
        content = json.loads(text) if text else {}
        if isinstance(content, int):
            # An asset's numbers are its own, so one number says nothing of several assets.
            content = {str(keys[0]): [None, content, {}]} if len(keys) == 1 else {}
        return {key: _asset_cursor(content.get(str(key))) for key in keys}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        msg = (
            f"The cursor {(text or '')[:200]!r} is not a cursor of a multi_asset_sensor: {error}. Set "
            "it again, or clear it."
        )
        raise DagsterInvariantViolationError(msg) from error


def _asset_cursor(stored: Any) -> AssetCursor:
    if stored is None:
        return AssetCursor()
    partition, storage_id, unconsumed = stored
    return AssetCursor(partition, int(storage_id or 0), {name: int(n) for name, n in unconsumed.items()})


def dump_cursors(cursors: Mapping[AssetKey, AssetCursor]) -> str:
    """The cursors as text.

    Args:
        cursors: by asset.

    Raises:
        DagsterInvariantViolationError: if too many partitions of an asset are left.
    """
    for key, cursor in cursors.items():
        if len(cursor.unconsumed) > MAX_UNCONSUMED:
            msg = (
                "You have reached the maximum number of trailing unconsumed events "
                f"({MAX_UNCONSUMED}) for asset {key} and no more events can be added. Get them with "
                "get_trailing_unconsumed_events and pass them to advance_cursor, or call "
                "advance_all_cursors, which consumes all of them."
            )
            raise DagsterInvariantViolationError(msg)
    return json.dumps(
        {str(key): [c.partition, c.storage_id or None, dict(c.unconsumed)] for key, c in cursors.items()}
    )
