"""When ticks are due."""

import hashlib

from treadle.engine.identity import timestamp

MINUTE_MS = 60_000


def slot(nominal: int, interval: int, phase: int = 0) -> int:
    """The latest multiple of the interval (plus the phase) that is not after a delivery's nominal time.

    Args:
        nominal: the delivery's nominal time, in milliseconds.
        interval: in milliseconds; 0 where each nominal time is a slot of its own.
        phase: shifts the slots, in milliseconds, less than the interval.
    """
    if interval <= 0:
        return nominal
    return nominal - (nominal - phase) % interval


def minute(now: int) -> int:
    """The minute that a moment lies in: the nominal time of a delivery that does not carry one."""
    return slot(now, MINUTE_MS)


def later_slots(nominal: int, interval: int) -> list[int]:
    """The slots after a minute and before the next one, for a sensor that ticks more often than that.

    Args:
        nominal: the minute, in milliseconds.
        interval: in milliseconds.
    """
    if not 0 < interval < MINUTE_MS:
        return []
    first = slot(nominal, interval) + interval
    return list(range(first, nominal + MINUTE_MS, interval))


def phase_of(sensor: str, interval: int) -> int:
    """How far a sensor's slots are shifted, so that sensors of one interval do not all tick at once.

    Whole minutes, as schedules fire once a minute: a shift by seconds would cost a message per tick.

    Args:
        sensor: its name, which alone decides.
        interval: in milliseconds; below two minutes there is no shift.
    """
    minutes, rest = divmod(interval, MINUTE_MS)
    if minutes < 2 or rest:
        return 0
    digest = hashlib.sha256(sensor.encode()).digest()
    return int.from_bytes(digest[:4], "big") % minutes * MINUTE_MS


def deadline_message(at: int) -> dict[str, object]:
    """The message that a deadline is there, as a sensor's schedule brings it and its queue holds it.

    Args:
        at: the deadline, in milliseconds.
    """
    return {"treadle": "deadline", "nominal_time": timestamp(at)}
