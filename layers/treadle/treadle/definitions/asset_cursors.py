"""The cursor of a multi-asset sensor: its position in each asset, in Dagster's format."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.event_log import EventLogRecord

MAX_UNCONSUMED = 1_000
"""Maximum number of partitions of an asset left for later ticks; Dagster's limit is 25."""


@dataclass(frozen=True, slots=True)
class AssetCursor:
    """The position up to which one asset's materializations are consumed.

    Attributes:
        partition: of the consumed materialization that was recorded last.
        storage_id: its storage id; 0 if none was consumed.
        unconsumed: by partition, the newest unconsumed materialization before that storage id.
    """

    partition: str | None = None
    storage_id: int = 0
    unconsumed: Mapping[str, int] = field(default_factory=dict)

    def advanced(self, consumed: Mapping[int, str | None], passed: Iterable[EventLogRecord]) -> "AssetCursor":
        """Return the cursor after more materializations were consumed.

        Consuming a materialization also consumes the earlier ones of its partition; other materializations
        that were passed over are left for later ticks.

        Args:
            consumed: partitions by storage id.
            passed: in order: what was left, and what lies between this position and the last one consumed.
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
    """Parse each asset's cursor.

    Args:
        text: in Dagster's format: `{str(key): [partition, storage id, {partition: storage id}]}`; for a
            single asset also the integer that an asset sensor stored.
        keys: of the assets.

    Raises:
        DagsterInvariantViolationError: if it has another format.
    """
    try:
        content = json.loads(text) if text else {}
        if isinstance(content, int):
            # Each asset has its own numbers, so one number cannot be the cursor of several assets.
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
    """Format the cursors as text.

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
