"""What Treadle tells on its bus; the form of each event is documented and versioned."""

from treadle.engine.identity import timestamp
from treadle.ports.system import BusEvent
from treadle.ports.ticks import Tick

VERSION = 1


def sensor_paused(tick: Tick) -> BusEvent:
    """That a sensor was paused after its failures.

    Args:
        tick: the last that failed.
    """
    return BusEvent(
        "Sensor Paused",
        {
            "version": VERSION,
            "id": f"{tick.sensor}/{tick.tick_id}/paused",
            "sensor": tick.sensor,
            "tick_id": tick.tick_id,
            "time": timestamp(tick.ended_at),
            "reason": tick.paused or "",
        },
    )
