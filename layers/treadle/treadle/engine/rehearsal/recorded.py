"""A recorded tick, with what its evaluation was given."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.model.ticks import Tick, TickKind

if TYPE_CHECKING:
    from treadle.definitions.assets import AssetMaterialized
    from treadle.definitions.run_events import RunStatusEvent
    from treadle.definitions.sensors import SensorEvent


_BATCH = re.compile(r"Batch of [0-9]+ items?(?: of .*)?: batch-[0-9a-f]{64}", re.DOTALL)


def is_of_batch(tick: Tick) -> bool:
    """Return whether a tick evaluated a batch, by what its record names as its trigger."""
    return tick.kind is TickKind.EVENT and _BATCH.fullmatch(tick.trigger or "") is not None


@dataclass(frozen=True, slots=True)
class RecordedBatch:
    """A batch of which each item is recorded.

    Attributes:
        by: the value of `Batch.by` that they share.
        run_key: the default run key of the batch.
        items: the items, in the order in which they were accepted.
    """

    by: str
    run_key: str
    items: "tuple[RunStatusEvent | AssetMaterialized, ...]"


@dataclass(frozen=True, slots=True)
class RecordedTick:
    """A tick's record, and the input of its evaluation.

    Attributes:
        tick: the record; one that stands for several skips is rehearsed by the first of them.
        cursor_before: the cursor with which it began.
        cursor_after: the cursor that it left.
        knows_cursor_after: False if that is not recorded.
        last_run_key: the last run key that was requested before.
        last_completion: when the tick before it ended.
        sensor_started_at: when the sensor was last started, if that was before.
        event: the event that it evaluated; None for a leased tick, or a batch.
        batch: the batch that it evaluated, if its items are recorded.
        problem: why it cannot be rehearsed, if that is known before.
    """

    tick: Tick
    cursor_before: str | None = None
    cursor_after: str | None = None
    knows_cursor_after: bool = False
    last_run_key: str | None = None
    last_completion: int | None = None
    sensor_started_at: int | None = None
    event: "SensorEvent | None" = None
    batch: RecordedBatch | None = None
    problem: str | None = None

    @property
    def is_leased(self) -> bool:
        """Whether it has a cursor."""
        return self.tick.kind is TickKind.LEASED
