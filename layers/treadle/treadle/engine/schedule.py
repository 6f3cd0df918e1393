"""When ticks are due."""


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
    return slot(now, 60_000)
