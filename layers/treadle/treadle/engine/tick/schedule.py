"""Scheduled times of ticks."""

import hashlib

from treadle.engine.identity import timestamp

MINUTE_MS = 60_000


def slot(scheduled_for: int, interval: int, phase: int = 0) -> int:
    """Return the latest multiple of the interval (plus the phase) that is not after a scheduled time.

    Args:
        scheduled_for: the delivery's scheduled time, in milliseconds.
        interval: in milliseconds; 0 to use each scheduled time as it is.
        phase: the offset in milliseconds, less than the interval.
    """
    if interval <= 0:
        return scheduled_for
    return scheduled_for - (scheduled_for - phase) % interval


def minute(now: int) -> int:
    """Return the start of the minute: the scheduled time of a delivery that does not state one."""
    return slot(now, MINUTE_MS)


def later_slots(scheduled_for: int, interval: int) -> list[int]:
    """Return the scheduled times within a minute after its start, for a sensor with a shorter interval.

    Args:
        scheduled_for: the minute, in milliseconds.
        interval: in milliseconds.
    """
    if not 0 < interval < MINUTE_MS:
        return []
    first = slot(scheduled_for, interval) + interval
    return list(range(first, scheduled_for + MINUTE_MS, interval))


def phase_of(sensor: str, interval: int) -> int:
    """Return the offset of a sensor's scheduled times, which spreads the ticks of sensors with one interval.

    Whole minutes, as schedules fire once a minute: an offset in seconds would cost a message per tick.

    Args:
        sensor: its name, which alone determines the offset.
        interval: in milliseconds; there is no offset below two minutes.
    """
    minutes, rest = divmod(interval, MINUTE_MS)
    if minutes < 2 or rest:
        return 0
    digest = hashlib.sha256(sensor.encode()).digest()
    return int.from_bytes(digest[:4], "big") % minutes * MINUTE_MS


def deadline_message(at: int) -> dict[str, object]:
    """Return the message that a deadline was reached, as a sensor's schedule sends it and its queue holds it.

    Args:
        at: the deadline, in milliseconds.
    """
    return {"treadle": "deadline", "nominal_time": timestamp(at)}
