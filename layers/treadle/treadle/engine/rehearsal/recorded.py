"""A recorded tick, with what its evaluation was given."""

from typing import TYPE_CHECKING

from treadle.definitions.lazy_dataclasses import dataclass
from treadle.model.ticks import Tick, TickKind

if TYPE_CHECKING:
    from treadle.definitions.sensors import SensorEvent


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
        event: the event that it evaluated; None for a leased tick.
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
    problem: str | None = None

    @property
    def is_leased(self) -> bool:
        """Whether it has a cursor."""
        return self.tick.kind is TickKind.LEASED
